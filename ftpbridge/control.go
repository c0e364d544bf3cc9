package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// heldAgain is how often a job that runs is looked at for an operator's word to stop it, which may
// have been given on another node.
const heldAgain = 2 * time.Second

// ErrHeld is the cause with which the context of a run ends that an operator stops.
var ErrHeld = errors.New("an operator stopped the job")

// Sentinels of a Control.
var (
	ErrUnknownJob = errors.New("there is no such job")
	ErrJobRuns    = errors.New("the job is running")
)

// Control has Schedulers do what no schedule says: one, and those that take its place. Make it with
// NewControl. Safe for concurrent use.
type Control struct {
	mu   sync.Mutex
	jobs map[string]*controlled
}

// controlled is what a Control knows of a job.
type controlled struct {
	ask        chan chan error // has room for one
	schedulers int             // that have the job
	runs       map[*context.CancelCauseFunc]struct{}
}

// NewControl knows of no jobs until a Scheduler runs.
func NewControl() *Control { return &Control{jobs: map[string]*controlled{}} }

// add notes that a Scheduler has a job, until done is called.
func (c *Control) add(name string) (j *controlled, done func()) {
	j = &controlled{ask: make(chan chan error, 1), runs: map[*context.CancelCauseFunc]struct{}{}}
	if c == nil {
		return j, func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if known := c.jobs[name]; known != nil {
		j = known
	}
	c.jobs[name] = j
	j.schedulers++
	return j, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if j.schedulers--; j.schedulers == 0 {
			delete(c.jobs, name)
		}
	}
}

// Run has a job run as soon as there is room. What the run ends with is sent to ended. ErrJobRuns if it is running,
// or is to run, here; ErrUnknownJob.
func (c *Control) Run(name string) (ended <-chan error, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.jobs[name]
	if j == nil {
		return nil, fmt.Errorf("%q: %w", name, ErrUnknownJob)
	}
	if len(j.runs) > 0 {
		return nil, fmt.Errorf("%q: %w", name, ErrJobRuns)
	}
	result := make(chan error, 1)
	select {
	case j.ask <- result:
		return result, nil
	default:
		return nil, fmt.Errorf("%q: %w", name, ErrJobRuns)
	}
}

// Stop ends the run of a job on this node; false: there is none. What it has fetched is kept.
func (c *Control) Stop(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.jobs[name]
	if j == nil || len(j.runs) == 0 {
		return false
	}
	for cancel := range j.runs {
		(*cancel)(ErrHeld)
	}
	return true
}

// Running reports whether a job runs on this node.
func (c *Control) Running(name string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	j := c.jobs[name]
	return j != nil && len(j.runs) > 0
}

// runs notes that a job runs until done is called, and gives the run a context that Stop ends.
func (c *Control) runs(ctx context.Context, j *controlled) (run context.Context, done func()) {
	run, cancel := context.WithCancelCause(ctx)
	if c == nil {
		return run, func() { cancel(nil) }
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	j.runs[&cancel] = struct{}{}
	return run, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(j.runs, &cancel)
		cancel(nil)
	}
}

// untilHeld ends a run when an operator wants it stopped, until the returned func is called.
func (s Scheduler) untilHeld(ctx context.Context, j ScheduledJob, stop func()) (done func()) {
	if j.Held == nil || s.Control == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t := time.NewTicker(heldAgain)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
			if held, err := j.Held(ctx); err == nil && held {
				stop()
				return
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}

// wait waits for d, or until somebody asks for a run; nil: nobody did.
func (j *controlled) wait(ctx context.Context, d time.Duration) (asked chan error, err error) {
	if d <= 0 {
		select {
		case asked = <-j.ask:
		default:
		}
		return asked, ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil, nil
	case asked = <-j.ask:
		return asked, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
