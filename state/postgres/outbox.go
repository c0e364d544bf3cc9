package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"gateway/state"
)

const deliveryColumns = "id, hook, payload, created, greatest(due - clock_timestamp(), interval '0'), tries, error, dead"

func scanDelivery(r pgx.Row) (d state.Delivery, err error) {
	var text []byte
	err = r.Scan(&d.ID, &d.Hook, &d.Payload, &d.Created, &d.Wait, &d.Tries, &text, &d.Dead)
	d.Created, d.Error = d.Created.UTC(), string(text)
	return d, err
}

// AddDeliveries implements state.Outbox.
func (s *Store) AddDeliveries(ctx context.Context, list ...state.Delivery) error {
	const op = "add deliveries"
	err := state.ValidDeliveries(list)
	if err == nil {
		err = s.outbox.Take(int64(len(list)), func() (int64, error) {
			waiting, _, err := s.CountDeliveries(ctx)
			return waiting, err
		})
	}
	if err != nil {
		return wrap(err, op)
	}
	return s.send(ctx, op, func(b *pgx.Batch) {
		for _, d := range list {
			payload := d.Payload
			if payload == nil {
				payload = []byte{}
			}
			b.Queue(`INSERT INTO outbox (hook, payload, created, due, tries, error, dead)
				VALUES ($1, $2, clock_timestamp(), clock_timestamp(), 0, '', false)`, d.Hook, payload)
		}
	})
}

// HoldHook implements state.Outbox.
func (s *Store) HoldHook(ctx context.Context, hook, holder string, lease time.Duration) (held bool, err error) {
	err = s.write(ctx, "hold hook "+hook, func(ctx context.Context) error {
		tag, err := s.pool.Exec(ctx, `INSERT INTO hooks AS h (hook, holder, until, pause) VALUES ($1, $2, clock_timestamp() + $3, '-infinity')
			ON CONFLICT (hook) DO UPDATE SET holder = excluded.holder, until = excluded.until
			WHERE (h.holder = excluded.holder OR h.until <= clock_timestamp()) AND h.pause <= clock_timestamp()`, hook, holder, lease)
		held = tag.RowsAffected() > 0
		return err
	})
	return held && err == nil, err
}

// LeaveHook implements state.Outbox.
func (s *Store) LeaveHook(ctx context.Context, hook, holder string, pause time.Duration) error {
	return s.write(ctx, "leave hook "+hook, func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, `UPDATE hooks SET holder = '', until = '-infinity', pause = clock_timestamp() + $3
			WHERE hook = $1 AND holder = $2`, hook, holder, pause)
		return err
	})
}

// NextDeliveries implements state.Outbox.
func (s *Store) NextDeliveries(ctx context.Context, hook string, limit int) ([]state.Delivery, error) {
	return query(ctx, s, "deliveries to "+hook, scanDelivery,
		"SELECT "+deliveryColumns+" FROM outbox WHERE hook = $1 AND NOT dead ORDER BY id LIMIT $2", hook, limit)
}

// held fails with ErrClaimed unless holder holds the hook. Nobody else can until the transaction ends.
func held(ctx context.Context, tx pgx.Tx, hook, holder string) error {
	tag, err := tx.Exec(ctx, "SELECT 1 FROM hooks WHERE hook = $1 AND holder = $2 AND until > clock_timestamp() FOR UPDATE", hook, holder)
	if err == nil && tag.RowsAffected() == 0 {
		err = state.ErrClaimed
	}
	return err
}

// EndDeliveries implements state.Outbox.
func (s *Store) EndDeliveries(ctx context.Context, hook, holder string, ids ...int64) error {
	return s.transact(ctx, "end deliveries to "+hook, func(ctx context.Context, tx pgx.Tx) error {
		if err := held(ctx, tx, hook, holder); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "DELETE FROM outbox WHERE id = ANY($1) AND hook = $2", ids, hook)
		return err
	})
}

// FailDelivery implements state.Outbox.
func (s *Store) FailDelivery(ctx context.Context, hook, holder string, id int64, f state.Failure) error {
	return s.transact(ctx, "failed delivery to "+hook, func(ctx context.Context, tx pgx.Tx) error {
		if err := held(ctx, tx, hook, holder); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "UPDATE outbox SET tries = tries + 1, error = $3, due = clock_timestamp() + $4, dead = $5 WHERE id = $1 AND hook = $2",
			id, hook, text(f.Text()), f.Wait, f.Dead)
		if err != nil || !f.Dead {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM outbox WHERE dead AND id IN (
			SELECT id FROM outbox WHERE dead ORDER BY id LIMIT greatest((SELECT count(*) FROM outbox WHERE dead) - $1, 0) FOR UPDATE SKIP LOCKED)`, state.MaxDead)
		return err
	})
}

// Deliveries implements state.Outbox.
func (s *Store) Deliveries(ctx context.Context, dead bool, limit int) ([]state.Delivery, error) {
	return query(ctx, s, "deliveries", scanDelivery, "SELECT "+deliveryColumns+" FROM outbox WHERE dead = $1 ORDER BY id LIMIT $2", dead, limit)
}

// RetryDelivery implements state.Outbox.
func (s *Store) RetryDelivery(ctx context.Context, id int64) error {
	return s.transact(ctx, "retry delivery", func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `WITH old AS (DELETE FROM outbox WHERE id = $1 RETURNING hook, payload, created)
			INSERT INTO outbox (hook, payload, created, due, tries, error, dead)
			SELECT hook, payload, created, clock_timestamp(), 0, '', false FROM old`, id)
		if err == nil && tag.RowsAffected() == 0 {
			err = state.ErrNotFound
		}
		return err
	})
}

// DropDelivery implements state.Outbox.
func (s *Store) DropDelivery(ctx context.Context, id int64) error {
	return s.transact(ctx, "drop delivery", func(ctx context.Context, tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "DELETE FROM outbox WHERE id = $1", id)
		if err == nil && tag.RowsAffected() == 0 {
			err = state.ErrNotFound
		}
		return err
	})
}

// CountDeliveries implements state.Outbox.
func (s *Store) CountDeliveries(ctx context.Context) (waiting, dead int64, err error) {
	type counts struct{ waiting, dead int64 }
	c, err := queryRow(ctx, s, "count deliveries", func(r pgx.Row) (c counts, err error) {
		err = r.Scan(&c.waiting, &c.dead)
		return c, err
	}, "SELECT (SELECT count(*) FROM outbox WHERE NOT dead), (SELECT count(*) FROM outbox WHERE dead)")
	return c.waiting, c.dead, err
}
