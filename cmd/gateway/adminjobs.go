package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gateway/admin"
	"gateway/ftpbridge"
	"gateway/state"
)

// askedTime is for how long who asks for a run waits to hear that it cannot begin.
const askedTime = time.Second

// operatorJobs shows the jobs to the operator, and has the scheduler run and stop them.
type operatorJobs struct {
	now     func() *gateway
	control *ftpbridge.Control
}

var (
	_ admin.Jobs          = operatorJobs{}
	_ admin.LedgerCounter = operatorJobs{}
)

// adminID is how a configured job is named to the operator: also in URLs.
func (j configuredJob) adminID() string {
	if j.action == ftpbridge.ActionPush {
		return "push-" + j.name
	}
	return "source-" + j.name
}

// Jobs implements admin.Jobs.
func (o operatorJobs) Jobs(ctx context.Context) ([]admin.Job, error) {
	// A mistake that came with a file that changed since the start is told by the log, and by check-config.
	configured, _ := o.now().configuredJobs()
	var list []admin.Job
	known := map[int64]bool{}
	for _, c := range configured {
		j, id, err := o.configured(ctx, c)
		if err != nil {
			return nil, err
		}
		known[id] = true
		list = append(list, j)
	}
	for job, err := range o.now().state.Jobs(ctx) {
		if err != nil {
			return nil, err
		}
		if known[job.ID] {
			continue
		}
		j, err := o.other(ctx, job)
		if err != nil {
			return nil, err
		}
		list = append(list, j)
	}
	return list, nil
}

func (o operatorJobs) configured(ctx context.Context, c configuredJob) (j admin.Job, id int64, err error) {
	last, job, runs, err := c.last(ctx, o.now().state)
	if err != nil {
		return j, 0, err
	}
	j = admin.Job{
		ID: c.adminID(), Name: c.name, Kind: "migration", Source: c.source, Destination: c.destination,
		Schedule: c.when, Configured: true, Progress: o.now().runs.progress(c.id()),
	}
	if c.action == ftpbridge.ActionPush {
		j.Kind = "push"
	}
	hold, err := o.now().hold(ctx, job.ID)
	if err != nil {
		return j, 0, err
	}
	under := underWay(job)
	switch {
	case o.control.Running(c.id()):
		j.State = admin.JobRunning
	case hold != nil && !under:
		j.State = admin.JobHeld
	case under && !job.Started.IsZero():
		j.State = admin.JobElsewhere
	case c.schedule == nil:
		j.State = admin.JobIdle
	default:
		j.State = admin.JobWaiting
		next := ftpbridge.NextRun(c.id(), c.schedule, last)
		if now := time.Now(); next.Before(now) {
			next = now
		}
		j.Next = &next
	}
	if hold != nil {
		j.HeldBy = hold.By
	}
	j.Last, j.Runs = adminRuns(runs)
	return j, job.ID, nil
}

// underWay reports whether the latest run of a job has not ended, or was killed.
func underWay(job state.Job) bool {
	return !job.Started.IsZero() && job.Finished.Before(job.Started)
}

// hold is that of a job; nil if there is none, or if the job never ran.
func (g *gateway) hold(ctx context.Context, job int64) (*state.Hold, error) {
	if job == 0 {
		return nil, nil
	}
	h, err := g.state.HoldOf(ctx, job)
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &h, nil
}

// other is a job that is not of the configuration: it was run from a command line, or is a mount.
func (o operatorJobs) other(ctx context.Context, job state.Job) (admin.Job, error) {
	runs, err := o.now().state.Runs(ctx, job.ID)
	if err != nil {
		return admin.Job{}, err
	}
	j := admin.Job{ID: "job-" + strconv.FormatInt(job.ID, 10), Kind: "migration", Source: job.Source, Destination: job.Destination, State: admin.JobIdle}
	if !strings.Contains(job.Source, "://") {
		j.Kind = "push"
	}
	if name, ok := strings.CutSuffix(job.Destination, ":"); ok && o.now().cfg.Storages[name].Source != "" {
		j.Kind = "mount"
	} else if underWay(job) {
		j.State = admin.JobElsewhere
	}
	j.Last, j.Runs = adminRuns(runs)
	return j, nil
}

func adminRuns(runs []state.Run) (last *admin.Run, list []admin.Run) {
	for _, r := range runs {
		list = append(list, admin.Run{
			Started: r.Started, Finished: r.Finished, Result: string(r.Result), Error: r.Error,
			Published: r.Published, Unchanged: r.Unchanged, Quarantined: r.Held, Failed: r.Failed, Removed: r.Removed, Bytes: r.FetchedBytes,
		})
	}
	if len(list) > 0 {
		last = &list[0]
	}
	return last, list
}

// find is the job of an ID, and what it is in the configuration; nil if it is not there.
func (o operatorJobs) find(ctx context.Context, id string) (admin.Job, *configuredJob, error) {
	configured, _ := o.now().configuredJobs()
	for _, c := range configured {
		if c.adminID() == id {
			j, _, err := o.configured(ctx, c)
			return j, &c, err
		}
	}
	for job, err := range o.now().state.Jobs(ctx) {
		if err != nil {
			return admin.Job{}, nil, err
		}
		if id == "job-"+strconv.FormatInt(job.ID, 10) {
			j, err := o.other(ctx, job)
			return j, nil, err
		}
	}
	return admin.Job{}, nil, fmt.Errorf("%w: no job %.64q", admin.ErrNotFound, id)
}

// Job implements admin.Jobs.
func (o operatorJobs) Job(ctx context.Context, id string) (admin.Job, error) {
	j, _, err := o.find(ctx, id)
	if err != nil {
		return j, err
	}
	j.Files = map[string]admin.Count{}
	for job, err := range o.now().state.Jobs(ctx) {
		if err != nil {
			return j, err
		}
		if job.Source != j.Source || job.Destination != j.Destination {
			continue
		}
		counts, err := o.now().state.Counts(ctx, job.ID)
		if err != nil {
			return j, err
		}
		for phase, n := range counts {
			j.Files[string(phase)] = admin.Count(n)
		}
	}
	return j, nil
}

// LedgerFiles implements admin.LedgerCounter.
func (o operatorJobs) LedgerFiles(ctx context.Context) (map[string]int64, error) {
	files := map[string]int64{}
	for job, err := range o.now().state.Jobs(ctx) {
		if err != nil {
			return nil, err
		}
		counts, err := o.now().state.Counts(ctx, job.ID)
		if err != nil {
			return nil, err
		}
		for phase, n := range counts {
			files[string(phase)] += n.Files
		}
	}
	return files, nil
}

// ours is the configured job of an ID.
func (o operatorJobs) ours(ctx context.Context, id string) (admin.Job, *configuredJob, error) {
	j, c, err := o.find(ctx, id)
	if err == nil && c == nil {
		err = fmt.Errorf("%w: job %s is not of the configuration; it is run from a command line", admin.ErrConflict, id)
	}
	return j, c, err
}

// RunJob implements admin.Jobs.
func (o operatorJobs) RunJob(ctx context.Context, id, _ string) error {
	_, c, err := o.ours(ctx, id)
	if err != nil {
		return err
	}
	held, err := o.unhold(ctx, c) // first: a run that finds the hold ends
	if err != nil {
		return err
	}
	err = o.runNow(ctx, c)
	if held != nil && errors.Is(err, admin.ErrConflict) {
		// The run that there is may be one that was stopped, and has not heard of it.
		return errors.Join(err, o.now().state.HoldJob(context.WithoutCancel(ctx), *held))
	}
	return err
}

// runNow has a job run, and waits a moment to hear why it cannot.
func (o operatorJobs) runNow(ctx context.Context, c *configuredJob) error {
	ended, err := o.control.Run(c.id())
	if errors.Is(err, ftpbridge.ErrJobRuns) {
		return fmt.Errorf("%w: the job is running", admin.ErrConflict)
	}
	if errors.Is(err, ftpbridge.ErrUnknownJob) {
		return fmt.Errorf("%w: the job is not of the configuration that is in force; reload it", admin.ErrConflict)
	}
	if err != nil {
		return err
	}
	select {
	case err := <-ended:
		if errors.Is(err, state.ErrClaimed) {
			return fmt.Errorf("%w: another node, or a command, runs it just now", admin.ErrConflict)
		}
		if err != nil {
			return fmt.Errorf("the job ended at once: %w", err)
		}
	case <-time.After(askedTime): // it is under way, or waits for room
	case <-ctx.Done():
	}
	return nil
}

// unhold lets the schedule of a job go on, and returns the hold that there was; nil: there was none.
func (o operatorJobs) unhold(ctx context.Context, c *configuredJob) (*state.Hold, error) {
	job, err := o.now().state.OpenJob(ctx, c.source, c.destination)
	if err != nil {
		return nil, err
	}
	held, err := o.now().hold(ctx, job.ID)
	if err != nil || held == nil {
		return nil, err
	}
	if err := o.now().state.UnholdJob(ctx, job.ID); err != nil && !errors.Is(err, state.ErrNotFound) {
		return nil, err
	}
	return held, nil
}

// StopJob implements admin.Jobs. Other nodes read the hold.
func (o operatorJobs) StopJob(ctx context.Context, id, by string) error {
	_, c, err := o.ours(ctx, id)
	if err != nil {
		return err
	}
	job, err := o.now().state.OpenJob(ctx, c.source, c.destination)
	if err != nil {
		return err
	}
	if err := o.now().state.HoldJob(ctx, state.Hold{Job: job.ID, By: by, At: time.Now()}); err != nil {
		return err
	}
	o.control.Stop(c.id())
	return nil
}

// ResumeJob implements admin.Jobs.
func (o operatorJobs) ResumeJob(ctx context.Context, id, _ string) error {
	_, c, err := o.ours(ctx, id)
	if err != nil {
		return err
	}
	held, err := o.unhold(ctx, c)
	if err == nil && held == nil {
		return fmt.Errorf("%w: the job is not held", admin.ErrConflict)
	}
	return err
}

// liveRuns are the runs of this process, for who watches.
type liveRuns struct {
	mu  sync.Mutex
	all map[string]*liveRun // by configuredJob.id
}

// liveRun is one of them. The sum of bytes never falls, so that the rate is one of what is moved.
type liveRun struct {
	mu      sync.Mutex
	p       admin.Progress
	current map[string]admin.FileProgress
	moved   int64
	meter   admin.Meter
}

// begin has a run watched until done is called. event is its progress.
func (l *liveRuns) begin(id string) (event func(ftpbridge.Event), done func()) {
	r := &liveRun{current: map[string]admin.FileProgress{}}
	r.p.Started, r.p.Walking = time.Now(), true
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil {
		l.all = map[string]*liveRun{}
	}
	l.all[id] = r
	ctx, cancel := context.WithCancel(context.Background())
	go every(ctx, admin.SampleSeconds*time.Second, func(context.Context) { r.sample(time.Now()) })
	return r.event, func() {
		cancel()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.all[id] == r {
			delete(l.all, id)
		}
	}
}

// progress is that of a run; nil: there is none.
func (l *liveRuns) progress(id string) *admin.Progress {
	l.mu.Lock()
	r := l.all[id]
	l.mu.Unlock()
	if r == nil {
		return nil
	}
	return r.progress()
}

func (r *liveRun) event(e ftpbridge.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Kind {
	case ftpbridge.EventWalked:
		r.p.Files, r.p.Bytes = e.Files, e.Bytes
	case ftpbridge.EventPlanned:
		r.p.Files, r.p.Bytes, r.p.Walking = e.Files, e.Bytes, false
		r.sampleLocked(time.Now())
	case ftpbridge.EventStarted: // what was fetched before counts as done, and is not moved
		r.current[e.Path] = admin.FileProgress{Path: e.Path, Size: e.Size, Offset: e.Offset}
	case ftpbridge.EventBytes:
		f := r.current[e.Path]
		r.moved += max(0, e.Offset-f.Offset)
		r.current[e.Path] = admin.FileProgress{Path: e.Path, Size: e.Size, Offset: e.Offset}
	case ftpbridge.EventFinished:
		f, under := r.current[e.Path]
		if under && e.Phase == state.Published {
			r.moved += max(0, e.Size-f.Offset)
		}
		delete(r.current, e.Path)
		r.p.DoneFiles++
		r.p.DoneBytes += max(0, e.Size)
		switch e.Phase {
		case state.Quarantined:
			r.p.Held++
		case state.Failed:
			r.p.Failed++
		}
	}
}

func (r *liveRun) sample(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sampleLocked(now)
}

func (r *liveRun) sampleLocked(now time.Time) { r.meter.Add(now, r.moved) }

func (r *liveRun) progress() *admin.Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.p
	p.Current = []admin.FileProgress{}
	for _, path := range slices.Sorted(maps.Keys(r.current)) {
		p.Current = append(p.Current, r.current[path])
		p.DoneBytes += r.current[path].Offset
	}
	p.Rate, p.Rates, p.Left = r.meter.Rate(), r.meter.Rates(), -1
	if left := p.Bytes - p.DoneBytes; p.Rate > 0 && !p.Walking && left >= 0 {
		p.Left = left / p.Rate
	}
	return &p
}
