package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gateway/state"
)

// holdClaim fails unless the claim is still held.
const holdClaim = "SELECT hold_claim($1, $2)"

// claim is a run's hold on a job.
type claim struct {
	job   int64
	token []byte
}

type claimKey struct{}

// claimOf is the claim that a call works under.
func claimOf(ctx context.Context) (claim, bool) {
	c, ok := ctx.Value(claimKey{}).(claim)
	return c, ok
}

// Claim implements state.Ledger. The claim is a lease: it is renewed at a third of
// its time, and held ends when a fifth of it is left and no renewal succeeded.
func (s *Store) Claim(ctx context.Context, id int64, at time.Time) (context.Context, func() error, error) {
	c := claim{job: id, token: newOnce()}
	var granted time.Time
	err := s.write(ctx, fmt.Sprintf("claim job %d", id), func(ctx context.Context) error {
		granted = time.Now() // before the server's clock begins to count
		tag, err := s.pool.Exec(ctx, `WITH taken AS (
				INSERT INTO claims (job, token, until) VALUES ($1, $2, clock_timestamp() + $3)
				ON CONFLICT (job) DO UPDATE SET token = excluded.token, until = clock_timestamp() + $3
				WHERE claims.until <= clock_timestamp() OR claims.token = excluded.token
				RETURNING job)
			UPDATE jobs SET started = $4, finished = NULL FROM taken WHERE jobs.id = taken.job`,
			c.job, c.token, s.lease, toNano(at))
		switch {
		case hasCode(err, codeForeignKey):
			return state.ErrNotFound
		case err == nil && tag.RowsAffected() == 0:
			return state.ErrClaimed
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	held, lose := context.WithCancelCause(context.WithValue(ctx, claimKey{}, c))
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		s.keep(c, granted, quit, lose)
	}()
	var once sync.Once
	return held, func() (err error) {
		lose(nil)
		once.Do(func() {
			close(quit)
			<-ended
			err = s.unclaim(context.WithoutCancel(ctx), c)
		})
		return err
	}, nil
}

// keep renews a claim until quit, and calls lose when it cannot be sure of it any
// longer.
func (s *Store) keep(c claim, last time.Time, quit <-chan struct{}, lose func(error)) {
	pause := s.lease / 3
	for {
		sure := last.Add(s.lease - s.lease/5)
		select {
		case <-quit:
			return
		case <-time.After(min(pause, max(time.Until(sure), 0))):
		}
		began := time.Now()
		err := s.renew(c, sure, quit)
		switch {
		case err == nil:
			last, pause = began, s.lease/3
		case errors.Is(err, state.ErrClaimed):
			lose(fmt.Errorf("state: the claim of job %d was lost: %w", c.job, err))
			return
		case !time.Now().Before(sure):
			lose(fmt.Errorf("state: the claim of job %d could not be renewed: %w: %w", c.job, state.ErrClaimed, err))
			return
		default:
			pause = s.lease / 20
		}
	}
}

// renew begins the lease anew. It fails with ErrClaimed if somebody else has the job,
// and once the lease is over: a server that was away may find the renewal of a run
// that has given up.
func (s *Store) renew(c claim, sure time.Time, quit <-chan struct{}) error {
	ctx, cancel := context.WithDeadline(context.Background(), sure)
	defer cancel()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-quit:
			cancel()
		case <-stop:
		}
	}()
	tag, err := s.pool.Exec(ctx, `UPDATE claims SET until = clock_timestamp() + $3
		WHERE job = $1 AND token = $2 AND until > clock_timestamp()`, c.job, c.token, s.lease)
	if err == nil && tag.RowsAffected() == 0 {
		return state.ErrClaimed
	}
	return err
}

// unclaim gives the job back at once. Where that fails it is free when the lease is over.
func (s *Store) unclaim(ctx context.Context, c claim) error {
	return s.write(ctx, fmt.Sprintf("release job %d", c.job), func(ctx context.Context) error {
		_, err := s.pool.Exec(ctx, "DELETE FROM claims WHERE job = $1 AND token = $2", c.job, c.token)
		return err
	})
}
