package ftpbridge

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gateway/internal/pause"
	"gateway/state"
)

// every is a schedule as a configuration makes it.
type every time.Duration

func (e every) Next(t time.Time) time.Time { return t.Add(time.Duration(e)) }

// skewed is a schedule by a clock that is late.
type skewed struct {
	Schedule
	late time.Duration
}

func (s skewed) Next(t time.Time) time.Time { return s.Schedule.Next(t).Add(s.late) }

type never struct{}

func (never) Next(time.Time) time.Time { return time.Time{} }

func TestNextRun(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)
	run := func(took time.Duration, failures int) LastRun {
		return LastRun{Started: at, Finished: at.Add(took), Failures: failures}
	}
	for name, c := range map[string]struct {
		s    Schedule
		last LastRun
		want time.Duration // after at
	}{
		"after a short run":      {every(time.Hour), run(time.Minute, 0), time.Hour},
		"times during the run":   {every(time.Hour), run(150*time.Minute, 0), 3 * time.Hour},
		"at the end of the run":  {every(time.Hour), run(time.Hour, 0), time.Hour},
		"one failure":            {every(time.Hour), run(time.Minute, 1), 2 * time.Hour},
		"three failures":         {every(time.Hour), run(time.Minute, 3), 5 * time.Hour},
		"many failures":          {every(time.Hour), run(time.Minute, 1000), 7 * time.Hour},
		"failures of a rare job": {every(24 * time.Hour), run(time.Minute, 9), 48 * time.Hour},
	} {
		got := NextRun("x", c.s, c.last)
		if late := got.Sub(at.Add(c.want)); late < 0 || late > maxJitter {
			t.Errorf("%s: %v after the run began, want %v", name, got.Sub(at), c.want)
		}
		if again := NextRun("x", c.s, c.last); !again.Equal(got) {
			t.Errorf("%s: %v, and then %v", name, got, again)
		}
	}
	if NextRun("x", every(time.Hour), run(0, 0)).Equal(NextRun("y", every(time.Hour), run(0, 0))) {
		t.Error("two jobs begin at the same moment")
	}
	for name, last := range map[string]LastRun{"never ran": {}, "killed": {Started: at}, "killed the second time": {Started: at, Finished: at.Add(-time.Hour)}} {
		if got := NextRun("x", every(time.Hour), last); !got.IsZero() {
			t.Errorf("%s: %v, want at once", name, got)
		}
	}
	if got := NextRun("x", never{}, run(0, 0)); got.Year() != 9999 {
		t.Errorf("never: %v", got)
	}
}

// fakeJob keeps what a store would.
type fakeJob struct {
	last    LastRun
	takes   time.Duration
	err     error
	begun   []time.Duration // after the beginning of the test
	began   time.Time
	running atomic.Int32
	readErr error
}

func (f *fakeJob) job(t *testing.T, s Schedule) ScheduledJob {
	f.began = time.Now()
	return ScheduledJob{Name: "job", Schedule: s,
		Last: func(context.Context) (LastRun, error) { return f.last, f.readErr },
		Run: func(ctx context.Context) error {
			if f.running.Add(1) != 1 {
				t.Error("two runs at once")
			}
			defer f.running.Add(-1)
			f.begun = append(f.begun, time.Since(f.began))
			if errors.Is(f.err, state.ErrClaimed) {
				return f.err
			}
			f.last.Started, f.last.Finished = time.Now(), time.Time{}
			_ = pause.For(ctx, f.takes)
			f.last.Finished = time.Now()
			if f.last.Failures++; f.err == nil {
				f.last.Failures = 0
			}
			return f.err
		}}
}

func runFor(t *testing.T, d time.Duration, jobs ...ScheduledJob) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	Scheduler{Jobs: jobs}.Run(ctx)
}

func TestScheduler(t *testing.T) {
	hours := func(t *testing.T, f *fakeJob, want ...int) {
		t.Helper()
		var got []int
		for _, d := range f.begun {
			got = append(got, int((d+time.Second)/time.Hour))
		}
		equal(t, got, want)
	}
	t.Run("on time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeJob{takes: 10 * time.Minute}
			runFor(t, 4*time.Hour-time.Minute, f.job(t, every(time.Hour)))
			hours(t, f, 0, 1, 2, 3)
		})
	})
	t.Run("overdue once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeJob{last: LastRun{Started: time.Now().Add(-50 * time.Hour), Finished: time.Now().Add(-49 * time.Hour)}}
			runFor(t, 2*time.Hour-time.Minute, f.job(t, every(time.Hour)))
			hours(t, f, 0, 1)
		})
	})
	t.Run("longer than the interval", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeJob{takes: 90 * time.Minute}
			runFor(t, 7*time.Hour, f.job(t, every(time.Hour)))
			hours(t, f, 0, 2, 4, 6)
		})
	})
	t.Run("failing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeJob{err: errors.New("no such host")}
			runFor(t, 25*time.Hour, f.job(t, every(time.Hour)))
			hours(t, f, 0, 1, 3, 7, 13, 19)
		})
	})
	t.Run("fails before the store knows of it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeJob{}
			j := f.job(t, every(time.Hour))
			j.Run = func(context.Context) error {
				f.begun = append(f.begun, time.Since(f.began))
				return errors.New("no password")
			}
			runFor(t, 8*time.Hour, j)
			hours(t, f, 0, 1, 3, 7)
		})
	})
	t.Run("claimed by somebody else", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeJob{last: LastRun{Started: time.Now()}, err: state.ErrClaimed}
			runFor(t, 10*time.Minute-time.Second, f.job(t, every(time.Hour)))
			equal(t, len(f.begun), 120)
		})
	})
	t.Run("on two nodes, whose clocks differ", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var claim, mu sync.Mutex
			var last LastRun
			f, began := &fakeJob{}, time.Now()
			node := func(late time.Duration) ScheduledJob {
				return ScheduledJob{Name: "job", Schedule: skewed{every(time.Hour), late},
					Last: func(context.Context) (LastRun, error) {
						mu.Lock()
						defer mu.Unlock()
						return last, nil
					},
					Run: func(ctx context.Context) error {
						if !claim.TryLock() {
							return state.ErrClaimed
						}
						defer claim.Unlock()
						mu.Lock()
						f.begun = append(f.begun, time.Since(began))
						last = LastRun{Started: time.Now()}
						mu.Unlock()
						_ = pause.For(ctx, time.Second)
						mu.Lock()
						defer mu.Unlock()
						last.Finished = time.Now()
						return nil
					}}
			}
			runFor(t, 4*time.Hour-time.Minute, node(0), node(5*time.Second))
			hours(t, f, 0, 1, 2, 3)
		})
	})
	t.Run("unreadable", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeJob{readErr: errors.New("disk")}
			runFor(t, time.Hour, f.job(t, every(time.Hour)))
			equal(t, len(f.begun), 0)
		})
	})
	t.Run("not all at once", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var now, most atomic.Int32
			var jobs []ScheduledJob
			for range 3 * MaxRunsAtOnce {
				f := &fakeJob{takes: time.Minute}
				j := f.job(t, every(time.Hour))
				inner := j.Run
				j.Run = func(ctx context.Context) error {
					if n := now.Add(1); n > most.Load() {
						most.Store(n)
					}
					defer now.Add(-1)
					return inner(ctx)
				}
				jobs = append(jobs, j)
			}
			runFor(t, 30*time.Minute, jobs...)
			equal(t, most.Load(), int32(MaxRunsAtOnce))
		})
	})
}

// TestRunUntil: a scheduler that is replaced lets its run end, and begins no other.
func TestRunUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64
		release := make(chan struct{})
		job := ScheduledJob{
			Name: "a", Schedule: every(time.Minute),
			Last: func(context.Context) (LastRun, error) { return LastRun{}, nil },
			Run: func(ctx context.Context) error {
				runs.Add(1)
				<-release
				return ctx.Err()
			},
		}
		begin, replace := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			Scheduler{Jobs: []ScheduledJob{job}}.RunUntil(t.Context(), begin)
		}()
		synctest.Wait()
		replace()
		time.Sleep(time.Hour)
		select {
		case <-ended:
			t.Error("it ended before its run did")
		default:
		}
		close(release)
		time.Sleep(time.Hour)
		<-ended
		if n := runs.Load(); n != 1 {
			t.Errorf("%d runs", n)
		}
	})
}

// TestControl: an operator runs a job now, and stops it.
func TestControl(t *testing.T) {
	start := func(t *testing.T, jobs ...ScheduledJob) (*Control, func()) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		s, ended := Scheduler{Jobs: jobs, Control: NewControl()}, make(chan struct{})
		go func() { defer close(ended); s.Run(ctx) }()
		synctest.Wait()
		return s.Control, func() { cancel(); <-ended }
	}
	t.Run("without a schedule", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeJob{takes: time.Minute, err: state.ErrClaimed}
			c, stop := start(t, f.job(t, nil))
			defer stop()
			time.Sleep(48 * time.Hour)
			equal(t, len(f.begun), 0)
			ended, err := c.Run("job")
			if err == nil {
				err = <-ended
			}
			if !errors.Is(err, state.ErrClaimed) || len(f.begun) != 1 {
				t.Errorf("%v, %d runs", err, len(f.begun))
			}
			if _, err := c.Run("none"); !errors.Is(err, ErrUnknownJob) {
				t.Error(err)
			}
			equal(t, c.Stop("job"), false)
			equal(t, c.Stop("none"), false)
		})
	})
	t.Run("now, and then as scheduled", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeJob{takes: 10 * time.Minute, last: LastRun{Started: time.Now(), Finished: time.Now()}}
			c, stop := start(t, f.job(t, every(4*time.Hour)))
			defer stop()
			time.Sleep(time.Hour)
			if _, err := c.Run("job"); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			equal(t, c.Running("job"), true)
			if _, err := c.Run("job"); !errors.Is(err, ErrJobRuns) {
				t.Errorf("it is run twice: %v", err)
			}
			time.Sleep(8 * time.Hour)
			equal(t, c.Running("job"), false)
			var hours []int
			for _, d := range f.begun {
				hours = append(hours, int(d/time.Hour))
			}
			equal(t, hours, []int{1, 5})
		})
	})
	t.Run("held", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeJob{takes: time.Hour}
			var held atomic.Bool
			j := f.job(t, every(2*time.Hour))
			j.Held = func(context.Context) (bool, error) { return held.Load(), nil }
			c, stop := start(t, j)
			defer stop()
			equal(t, c.Running("job"), true) // it never ran, and was due at once
			held.Store(true)                 // on another node
			time.Sleep(heldAgain + time.Second)
			equal(t, c.Running("job"), false)
			time.Sleep(9 * time.Hour)
			equal(t, len(f.begun), 1)
			held.Store(false)
			time.Sleep(readAgain + time.Second)
			equal(t, c.Running("job"), true)
			equal(t, c.Stop("job"), true)
			synctest.Wait()
			equal(t, c.Running("job"), false)
		})
	})
	t.Run("what is held runs when it is asked for", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeJob{}
			j := f.job(t, every(time.Hour))
			j.Held = func(context.Context) (bool, error) { return true, nil }
			c, stop := start(t, j)
			defer stop()
			ended, err := c.Run("job")
			if err == nil {
				err = <-ended
			}
			if err != nil || len(f.begun) != 1 {
				t.Errorf("%v, %d runs", err, len(f.begun))
			}
		})
	})
}

// TestControlOfReplaced: one Control knows the run that a Scheduler which was replaced ends, and its successor's jobs.
func TestControlOfReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewControl()
		run := func(begin context.Context, names ...string) (ended chan struct{}) {
			ended = make(chan struct{})
			var jobs []ScheduledJob
			for _, name := range names {
				jobs = append(jobs, ScheduledJob{
					Name: name, Last: func(context.Context) (LastRun, error) { return LastRun{}, nil },
					Run: func(ctx context.Context) error { return pause.For(ctx, time.Hour) },
				})
			}
			go func() {
				defer close(ended)
				Scheduler{Jobs: jobs, Control: c}.RunUntil(t.Context(), begin)
			}()
			synctest.Wait()
			return ended
		}
		begin, replace := context.WithCancel(t.Context())
		old := run(begin, "a", "gone")
		if _, err := c.Run("a"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		replace()
		end, stop := context.WithCancel(t.Context())
		next := run(end, "a", "new")
		if _, err := c.Run("a"); !errors.Is(err, ErrJobRuns) {
			t.Errorf("its run goes on: %v", err)
		}
		if _, err := c.Run("gone"); !errors.Is(err, ErrUnknownJob) {
			t.Errorf("the successor does not have it: %v", err)
		}
		equal(t, c.Stop("a"), true)
		<-old
		synctest.Wait()
		equal(t, c.Running("a"), false)
		if _, err := c.Run("a"); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		equal(t, c.Running("a"), true)
		equal(t, c.Stop("a"), true)
		stop()
		<-next
	})
}
