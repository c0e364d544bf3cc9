package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"gateway/state"
)

// ReserveQuota implements state.Quotas.
func (s *Store) ReserveQuota(ctx context.Context, user, holder string, added, reserved, bound int64) (allAdded, allReserved int64, ok bool, err error) {
	if user == "" || holder == "" || added < 0 || reserved < 0 {
		return 0, 0, false, wrap(state.ErrInvalid, "reserve quota")
	}
	err = s.transact(ctx, "reserve quota", func(ctx context.Context, tx pgx.Tx) error {
		// The line is locked by writing it, whether it is new or not.
		_, err := tx.Exec(ctx, `INSERT INTO quotas (of_user, added) VALUES ($1, 0)
			ON CONFLICT (of_user) DO UPDATE SET of_user = excluded.of_user`, text(user))
		if err != nil {
			return err
		}
		// What those reserved that are gone counts as added.
		err = tx.QueryRow(ctx, `WITH gone AS (
				DELETE FROM reservations WHERE of_user = $1 AND until <= clock_timestamp() RETURNING reserved)
			UPDATE quotas SET added = added + (SELECT coalesce(sum(reserved), 0) FROM gone) WHERE of_user = $1 RETURNING added`,
			text(user)).Scan(&allAdded)
		if err != nil {
			return err
		}
		var own int64
		err = tx.QueryRow(ctx, `SELECT coalesce(sum(reserved), 0)::bigint, coalesce(sum(reserved) FILTER (WHERE holder = $2), 0)::bigint
			FROM reservations WHERE of_user = $1`, text(user), holder).Scan(&allReserved, &own)
		if err != nil {
			return err
		}
		if ok = added <= bound-allAdded && reserved <= bound-allAdded-added-(allReserved-own); !ok {
			return nil
		}
		allAdded, allReserved = allAdded+added, allReserved-own+reserved
		b := &pgx.Batch{}
		if added != 0 {
			b.Queue("UPDATE quotas SET added = $2 WHERE of_user = $1", text(user), allAdded)
		}
		if reserved == 0 {
			b.Queue("DELETE FROM reservations WHERE of_user = $1 AND holder = $2", text(user), holder)
		} else {
			b.Queue(`INSERT INTO reservations (of_user, holder, reserved, until) VALUES ($1, $2, $3, clock_timestamp() + $4)
				ON CONFLICT (of_user, holder) DO UPDATE SET reserved = excluded.reserved, until = excluded.until`,
				text(user), holder, reserved, state.QuotaLease)
		}
		return tx.SendBatch(ctx, b).Close()
	})
	return allAdded, allReserved, ok && err == nil, err
}

// QuotaTotals implements state.Quotas.
func (s *Store) QuotaTotals(ctx context.Context, user string) (allAdded, allReserved int64, err error) {
	type totals struct{ added, reserved int64 }
	// What is reserved by those who are gone is not added yet, and counts all the same.
	sum, err := queryRow(ctx, s, "quota totals", func(r pgx.Row) (t totals, err error) {
		err = r.Scan(&t.added, &t.reserved)
		return t, err
	}, `SELECT coalesce((SELECT added FROM quotas WHERE of_user = $1), 0),
		(SELECT coalesce(sum(reserved), 0)::bigint FROM reservations WHERE of_user = $1)`, text(user))
	return sum.added, sum.reserved, err
}
