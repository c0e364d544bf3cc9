package sqlite

import (
	"context"
	"database/sql"
	"time"

	"gateway/state"
)

const deliveryColumns = "id, hook, payload, created, due, tries, error, dead"

func scanDelivery(now time.Time) func(row) (state.Delivery, error) {
	return func(r row) (d state.Delivery, err error) {
		var created, due int64
		err = r.Scan(&d.ID, &d.Hook, &d.Payload, &created, &due, &d.Tries, &d.Error, &d.Dead)
		d.Created = time.Unix(0, created).UTC()
		d.Wait = max(0, time.Duration(due-now.UnixNano()))
		return d, err
	}
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
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		now := time.Now().UnixNano()
		for _, d := range list {
			if err := addDelivery(ctx, tx, d.Hook, d.Payload, now, now); err != nil {
				return err
			}
		}
		return nil
	}), op)
}

func addDelivery(ctx context.Context, tx *transaction, hook string, payload []byte, created, due int64) error {
	if payload == nil {
		payload = []byte{}
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO outbox (hook, payload, created, due, tries, error, dead) VALUES (?, ?, ?, ?, 0, '', 0)",
		hook, payload, created, due)
	return err
}

// HoldHook implements state.Outbox.
func (s *Store) HoldHook(ctx context.Context, hook, holder string, lease time.Duration) (held bool, err error) {
	err = s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		now := time.Now()
		r, err := tx.ExecContext(ctx, `INSERT INTO hooks (hook, holder, until, pause) VALUES (?1, ?2, ?3, 0)
			ON CONFLICT (hook) DO UPDATE SET holder = excluded.holder, until = excluded.until
			WHERE (holder = excluded.holder OR until <= ?4) AND pause <= ?4`, hook, holder, now.Add(lease).UnixNano(), now.UnixNano())
		if err != nil {
			return err
		}
		n, err := r.RowsAffected()
		held = n > 0
		return err
	})
	return held && err == nil, wrap(err, "hold hook "+hook)
}

// LeaveHook implements state.Outbox.
func (s *Store) LeaveHook(ctx context.Context, hook, holder string, pause time.Duration) error {
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		_, err := tx.ExecContext(ctx, "UPDATE hooks SET holder = '', until = 0, pause = ? WHERE hook = ? AND holder = ?",
			time.Now().Add(pause).UnixNano(), hook, holder)
		return err
	}), "leave hook "+hook)
}

// NextDeliveries implements state.Outbox.
func (s *Store) NextDeliveries(ctx context.Context, hook string, limit int) ([]state.Delivery, error) {
	list, err := query(ctx, s.read, scanDelivery(time.Now()),
		"SELECT "+deliveryColumns+" FROM outbox WHERE hook = ? AND dead = 0 ORDER BY id LIMIT ?", hook, limit)
	return list, wrap(err, "deliveries to "+hook)
}

// held fails with ErrClaimed unless holder holds the hook.
func held(ctx context.Context, tx *transaction, hook, holder string) error {
	var one int
	err := tx.QueryRowContext(ctx, "SELECT count(*) FROM hooks WHERE hook = ? AND holder = ? AND until > ?", hook, holder, time.Now().UnixNano()).Scan(&one)
	if err == nil && one == 0 {
		err = state.ErrClaimed
	}
	return err
}

// EndDeliveries implements state.Outbox.
func (s *Store) EndDeliveries(ctx context.Context, hook, holder string, ids ...int64) error {
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		if err := held(ctx, tx, hook, holder); err != nil {
			return err
		}
		for _, id := range ids {
			if _, err := tx.ExecContext(ctx, "DELETE FROM outbox WHERE id = ? AND hook = ?", id, hook); err != nil {
				return err
			}
		}
		return nil
	}), "end deliveries to "+hook)
}

// FailDelivery implements state.Outbox.
func (s *Store) FailDelivery(ctx context.Context, hook, holder string, id int64, f state.Failure) error {
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		if err := held(ctx, tx, hook, holder); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE outbox SET tries = tries + 1, error = ?, due = ?, dead = ? WHERE id = ? AND hook = ?",
			f.Text(), time.Now().Add(f.Wait).UnixNano(), f.Dead, id, hook)
		if err != nil || !f.Dead {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM outbox WHERE dead = 1 AND id IN (
			SELECT id FROM outbox WHERE dead = 1 ORDER BY id LIMIT max(0, (SELECT count(*) FROM outbox WHERE dead = 1) - ?))`, state.MaxDead)
		return err
	}), "failed delivery to "+hook)
}

// Deliveries implements state.Outbox.
func (s *Store) Deliveries(ctx context.Context, dead bool, limit int) ([]state.Delivery, error) {
	list, err := query(ctx, s.read, scanDelivery(time.Now()), "SELECT "+deliveryColumns+" FROM outbox WHERE dead = ? ORDER BY id LIMIT ?", dead, limit)
	return list, wrap(err, "deliveries")
}

// RetryDelivery implements state.Outbox.
func (s *Store) RetryDelivery(ctx context.Context, id int64) error {
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		var hook string
		var payload []byte
		var created int64
		err := tx.QueryRowContext(ctx, "DELETE FROM outbox WHERE id = ? RETURNING hook, payload, created", id).Scan(&hook, &payload, &created)
		if err != nil {
			return err
		}
		return addDelivery(ctx, tx, hook, payload, created, time.Now().UnixNano())
	}), "retry delivery")
}

// DropDelivery implements state.Outbox.
func (s *Store) DropDelivery(ctx context.Context, id int64) error {
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		r, err := tx.ExecContext(ctx, "DELETE FROM outbox WHERE id = ?", id)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); n == 0 || err != nil {
			return sql.ErrNoRows
		}
		return nil
	}), "drop delivery")
}

// CountDeliveries implements state.Outbox.
func (s *Store) CountDeliveries(ctx context.Context) (waiting, dead int64, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM outbox WHERE dead = 0), (SELECT count(*) FROM outbox WHERE dead = 1)`).Scan(&waiting, &dead)
	return waiting, dead, wrap(err, "count deliveries")
}
