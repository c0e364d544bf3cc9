package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"gateway/state"
)

// lockRetry is how often a lock that is waited for is tried again.
const lockRetry = 20 * time.Millisecond

// errLocked is tryLock's answer when another open file holds the lock.
var errLocked = errors.New("locked")

// lockFile takes the operating system's lock on a file of its own. It ends with
// the returned function or with the process. The file stays: removing it would
// let two processes lock two files of one name.
func lockFile(ctx context.Context, path string, wait bool) (func() error, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = tryLock(f)
		if err == nil {
			return f.Close, nil
		}
		if !wait || !errors.Is(err, errLocked) {
			return nil, errors.Join(err, f.Close())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), f.Close())
		case <-time.After(lockRetry):
		}
	}
}

// Claim implements state.Ledger.
func (s *Store) Claim(ctx context.Context, id int64, at time.Time) (context.Context, func() error, error) {
	unlock, err := lockFile(ctx, fmt.Sprintf("%s.job-%d.lock", s.path, id), false)
	if errors.Is(err, errLocked) {
		return nil, nil, fmt.Errorf("state: claim job %d: %w", id, state.ErrClaimed)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("state: claim job %d: %w", id, err)
	}
	err = s.stampJob(ctx, id, "UPDATE jobs SET started = ?, finished = NULL WHERE id = ?", at)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("state: claim job %d: %w", id, err), unlock())
	}
	held, cancel := context.WithCancel(ctx)
	return held, func() error { cancel(); return unlock() }, nil
}

func tryLock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EWOULDBLOCK):
			return errLocked
		}
		return err
	}
}
