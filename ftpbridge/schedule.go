package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"sync"
	"time"

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
	Schedule Schedule // nil: it runs only when it is asked for
	// Last reads what became of the latest run, by whomever.
	Last func(context.Context) (LastRun, error)
	// Held reads whether an operator keeps it from running by its schedule. nil: nobody does.
	Held func(context.Context) (bool, error)
	// Run runs it once, and reports and logs what comes of it. Its error is
	// state.ErrClaimed if somebody else runs it just now.
	Run func(context.Context) error
}

// Scheduler runs jobs when they are due, and when its Control is asked to: never one of them twice at
// once, and at most MaxRunsAtOnce of them.
type Scheduler struct {
	Jobs    []ScheduledJob
	Control *Control     // nil: nothing is asked for
	Logger  *slog.Logger // nil is silent
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
		control, done := s.Control.add(j.Name)
		wg.Go(func() {
			defer done()
			s.runJob(ctx, begin, j, control)
		})
	}
	wg.Wait()
}

func (s Scheduler) runJob(ctx, begin context.Context, j ScheduledJob, c *controlled) {
	notBefore, failures := time.Now(), 0
	for {
		due := s.due(begin, j)
		if due.Before(notBefore) {
			due = notBefore
		}
		if begin.Err() != nil {
			return
		}
		s.Logger.Debug("job waits", "job", j.Name, "due", due)
		wait := time.Until(due)
		asked, err := c.wait(begin, min(wait, readAgain))
		if err != nil {
			return
		}
		if asked == nil && wait > 0 {
			continue // another node may have run it meanwhile, or have died while it did
		}
		select {
		case s.Room <- struct{}{}:
		case <-begin.Done():
			return
		}
		began := time.Now()
		err = s.runOnce(ctx, j, c)
		<-s.Room
		if asked != nil {
			asked <- err
		}
		busy := errors.Is(err, state.ErrClaimed)
		if err != nil && !busy {
			failures++
		} else {
			failures = 0
		}
		notBefore = began.Add(rest(j.Schedule, began, busy, failures))
	}
}

// due is when a job is to run next; far off if that is not known, or an operator holds it.
func (s Scheduler) due(ctx context.Context, j ScheduledJob) time.Time {
	later := time.Now().Add(readAgain)
	if j.Schedule == nil {
		return later
	}
	if j.Held != nil {
		if held, err := j.Held(ctx); held || err != nil {
			s.told(ctx, j, err)
			return later
		}
	}
	last, err := j.Last(ctx)
	if err != nil {
		s.told(ctx, j, err)
		return later
	}
	return NextRun(j.Name, j.Schedule, last)
}

func (s Scheduler) told(ctx context.Context, j ScheduledJob, err error) {
	if err != nil && ctx.Err() == nil {
		s.Logger.Error("what is known of a job cannot be read", "job", j.Name, "error", err)
	}
}

// runOnce runs a job under the eyes of who may stop it.
func (s Scheduler) runOnce(ctx context.Context, j ScheduledJob, c *controlled) error {
	run, done := s.Control.runs(ctx, c)
	defer done()
	defer s.untilHeld(run, j, func() { s.Control.Stop(j.Name) })()
	return j.Run(run)
}

// rest is for how long a job is not run again, whatever the store says of it.
func rest(schedule Schedule, began time.Time, busy bool, failures int) time.Duration {
	if schedule == nil {
		return 0
	}
	again := readAgain
	if busy {
		again = busyAgain
	}
	interval := max(schedule.Next(began).Sub(began), time.Second)
	return max(min(interval, again), pauseAfter(interval, failures))
}
