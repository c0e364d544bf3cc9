package sqlite

import (
	"context"
	"time"

	"gateway/state"
)

// ReserveQuota implements state.Quotas.
func (s *Store) ReserveQuota(ctx context.Context, user, holder string, added, reserved, bound int64) (allAdded, allReserved int64, ok bool, err error) {
	if user == "" || holder == "" || added < 0 || reserved < 0 {
		return 0, 0, false, wrap(state.ErrInvalid, "reserve quota")
	}
	err = s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		now := time.Now()
		if err := endReservations(ctx, tx, user, now); err != nil {
			return err
		}
		var own int64
		err := tx.QueryRowContext(ctx, `SELECT coalesce((SELECT added FROM quotas WHERE user = ?1), 0),
			(SELECT coalesce(sum(reserved), 0) FROM reservations WHERE user = ?1),
			(SELECT coalesce(sum(reserved), 0) FROM reservations WHERE user = ?1 AND holder = ?2)`, user, holder).Scan(&allAdded, &allReserved, &own)
		if err != nil {
			return err
		}
		if ok = added <= bound-allAdded && reserved <= bound-allAdded-added-(allReserved-own); !ok {
			return nil
		}
		allAdded, allReserved = allAdded+added, allReserved-own+reserved
		if err := addToQuota(ctx, tx, user, added); err != nil {
			return err
		}
		if reserved == 0 {
			_, err = tx.ExecContext(ctx, "DELETE FROM reservations WHERE user = ? AND holder = ?", user, holder)
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO reservations (user, holder, reserved, until) VALUES (?, ?, ?, ?)",
			user, holder, reserved, now.Add(state.QuotaLease).UnixNano())
		return err
	})
	return allAdded, allReserved, ok && err == nil, wrap(err, "reserve quota")
}

// endReservations counts what those reserved that are gone as added.
func endReservations(ctx context.Context, tx *transaction, user string, now time.Time) error {
	var gone int64
	err := tx.QueryRowContext(ctx, "SELECT coalesce(sum(reserved), 0) FROM reservations WHERE user = ? AND until <= ?", user, now.UnixNano()).Scan(&gone)
	if err != nil || gone == 0 {
		return err
	}
	if _, err = tx.ExecContext(ctx, "DELETE FROM reservations WHERE user = ? AND until <= ?", user, now.UnixNano()); err != nil {
		return err
	}
	return addToQuota(ctx, tx, user, gone)
}

func addToQuota(ctx context.Context, tx *transaction, user string, n int64) error {
	if n == 0 {
		return nil
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO quotas (user, added) VALUES (?, ?) ON CONFLICT (user) DO UPDATE SET added = added + excluded.added", user, n)
	return err
}

// QuotaTotals implements state.Quotas.
func (s *Store) QuotaTotals(ctx context.Context, user string) (allAdded, allReserved int64, err error) {
	// What is reserved by those who are gone is not added yet, and counts all the same.
	err = s.read.QueryRowContext(ctx, `SELECT coalesce((SELECT added FROM quotas WHERE user = ?1), 0),
		(SELECT coalesce(sum(reserved), 0) FROM reservations WHERE user = ?1)`, user).Scan(&allAdded, &allReserved)
	return allAdded, allReserved, wrap(err, "quota totals")
}
