package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

	"gateway/internal/pause"
	"gateway/state"
)

const (
	// MaxRunsAtOnce is how many jobs a Scheduler runs at the same time; the others wait.
	MaxRunsAtOnce = 8
	// MaxBackoff is the longest that a schedule is left out because of failures.
	MaxBackoff = 6 * time.Hour
	// maxJitter is the most by which a run begins later than its schedule says, so
	// that jobs of one schedule do not all begin at once; a tenth of the time to the
	// next run if that is less.
	maxJitter = 5 * time.Minute
	// readAgain is after how long what is known of a job is asked for again: other
	// nodes run it too.
	readAgain = time.Minute
	// busyAgain is the same while somebody else runs it: who may die.
	busyAgain = 5 * time.Second
)

// Schedule says when something is due next after a time; the zero time is never.
type Schedule interface {
	Next(time.Time) time.Time
}

// LastRun is what a schedule needs to know of a job.
type LastRun struct {
	Started  time.Time // zero: it never ran
	Finished time.Time // zero: it is under way, or was killed or interrupted
	Failures int       // runs in a row that something ended early
}

// ReadLastRun reads it from what the store knows of a job, by what the ledger calls its
// two ends: Source.Redacted and Destination, of a push the other way round.
func ReadLastRun(ctx context.Context, store state.Store, source, destination string) (LastRun, state.Job, []state.Run, error) {
	var found state.Job
	for job, err := range store.Jobs(ctx) {
		if err != nil {
			return LastRun{}, found, nil, err
		}
		if job.Source == source && job.Destination == destination {
			found = job
		}
	}
	last := LastRun{Started: found.Started, Finished: found.Finished}
	runs, err := store.Runs(ctx, found.ID)
	if len(runs) > 0 && runs[0].Result == state.Interrupted && runs[0].Started.Equal(found.Started) {
		last.Finished = time.Time{} // something is left to be done
	}
	for _, run := range runs {
		if run.Result != state.Broken {
			break
		}
		last.Failures++
	}
	return last, found, runs, err
}

// NextRun is when a job of this name is due. A job that never ran, or was killed or
// interrupted, is due at once: the zero time. Times that passed while it ran are left out, so
// that runs never pile up; one that passed while nothing ran is made up for once,
// since it lies in the past. After failures in a row the schedule is left out for
// a growing time, up to MaxBackoff.
//
// The answer depends on nothing else, so that it can be told by other processes;
// never is a year 9999.
func NextRun(name string, s Schedule, last LastRun) time.Time {
	if last.Finished.IsZero() || last.Finished.Before(last.Started) {
		return time.Time{}
	}
	due := s.Next(last.Started)
	interval := s.Next(due).Sub(due)
	not := last.Finished.Add(pauseAfter(interval, last.Failures))
	for !due.IsZero() && due.Before(not) {
		due = s.Next(due)
	}
	if due.IsZero() {
		return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return due.Add(jitter(name, due, interval))
}

// pauseAfter is for how long a schedule of this interval is left out.
func pauseAfter(interval time.Duration, failures int) time.Duration {
	if failures == 0 {
		return 0
	}
	wait := interval
	for range failures - 1 {
		if wait >= MaxBackoff {
			break
		}
		wait *= 2
	}
	return min(wait, max(MaxBackoff, interval))
}

// jitter differs by job and time, and is the same in every process.
func jitter(name string, due time.Time, interval time.Duration) time.Duration {
	most := min(interval/10, maxJitter)
	if most <= 0 {
		return 0
	}
	h := fnv.New64a()
	fmt.Fprint(h, name, due.UnixNano())
	return time.Duration(h.Sum64() % uint64(most))
}

// ScheduledJob is a job that a Scheduler runs.
type ScheduledJob struct {
	Name     string
	Schedule Schedule
	// Last reads what became of the latest run, by whomever.
	Last func(context.Context) (LastRun, error)
	// Run runs it once, and reports and logs what comes of it. Its error is
	// state.ErrClaimed if somebody else runs it just now.
	Run func(context.Context) error
}

// Scheduler runs jobs when they are due: never one of them twice at once, and at
// most MaxRunsAtOnce of them.
type Scheduler struct {
	Jobs   []ScheduledJob
	Logger *slog.Logger // nil is silent
	// Room is what bounds those that run at once, where several Schedulers share it: one that is
	// replaced ends its last runs beside its successor. nil: MaxRunsAtOnce of its own.
	Room chan struct{}
}

// Run returns when ctx ended and every job has stopped.
func (s Scheduler) Run(ctx context.Context) { s.RunUntil(ctx, ctx) }

// RunUntil is Run, but begins no run any more when begin ends: it returns when those that are under way
// have ended by themselves, or by ctx.
func (s Scheduler) RunUntil(ctx, begin context.Context) {
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}
	if s.Room == nil {
		s.Room = make(chan struct{}, MaxRunsAtOnce)
	}
	begin, cancel := context.WithCancel(begin)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	var wg sync.WaitGroup
	for _, j := range s.Jobs {
		wg.Go(func() { s.runJob(ctx, begin, j) })
	}
	wg.Wait()
}

func (s Scheduler) runJob(ctx, begin context.Context, j ScheduledJob) {
	notBefore, failures := time.Now(), 0
	for {
		last, err := j.Last(begin)
		due := NextRun(j.Name, j.Schedule, last)
		if begin.Err() != nil {
			return
		}
		if err != nil {
			s.Logger.Error("what is known of a job cannot be read", "job", j.Name, "error", err)
			due = time.Now().Add(readAgain)
		}
		if due.Before(notBefore) {
			due = notBefore
		}
		s.Logger.Debug("job waits", "job", j.Name, "due", due)
		if wait := time.Until(due); wait > 0 {
			if pause.For(begin, min(wait, readAgain)) != nil {
				return
			}
			continue // another node may have run it meanwhile, or have died while it did
		}
		select {
		case s.Room <- struct{}{}:
		case <-begin.Done():
			return
		}
		began := time.Now()
		err = j.Run(ctx)
		<-s.Room
		busy := errors.Is(err, state.ErrClaimed)
		if err != nil && !busy {
			failures++
		} else {
			failures = 0
		}
		// Whatever the store says, a job is not run again and again without a pause.
		again := readAgain
		if busy {
			again = busyAgain
		}
		interval := max(j.Schedule.Next(began).Sub(began), time.Second)
		notBefore = began.Add(max(min(interval, again), pauseAfter(interval, failures)))
	}
}
