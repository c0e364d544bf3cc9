package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gateway/state"
	"gateway/storage"
)

// AfterPush is what becomes of a file of the gateway once the partner has it.
type AfterPush string

// What Push can do with it.
const (
	KeepPushed   AfterPush = "keep" // the default
	DeletePushed AfterPush = "delete"
)

// DefaultTemporary is the pattern of temporary names on the partner's server.
const DefaultTemporary = ".*.part-"

// PushOptions says what to send where. Source, Dest and Store are required.
type PushOptions struct {
	// Source has the files. SourceName is what the ledger calls it; it has no
	// colon. Folder is where in it they arrive, "" for its root.
	Source             storage.FS
	SourceName, Folder string
	// Dest is the partner's server and the folder there.
	Dest  Source
	Store state.Store
	// Connections is the most sessions at once; 0 takes Dest.Connections.
	Connections int
	// After is what becomes of a file that was sent.
	After AfterPush
	// Overwrite lets a file replace one on the server that Push did not put there.
	Overwrite bool
	// Temporary is the name that a file has on the server until it is whole, with
	// * for its own name and random digits behind: DefaultTemporary, or something
	// like "*.part-" for servers that refuse a dot at the beginning.
	Temporary string
	// Quiet leaves the server alone where there is nothing to send, for runs that
	// follow one another closely. That it can be reached is not found out then.
	Quiet bool
	// Tries and RetryWait are as in MigrateOptions.
	Tries     int
	RetryWait time.Duration
	// Progress hears of every step, from one goroutine at a time. It must be quick.
	Progress func(Event)
	Now      func() time.Time // nil is time.Now
	Logger   *slog.Logger     // nil is silent
}

func (o PushOptions) withDefaults() (PushOptions, error) {
	bad := func(format string, args ...any) (PushOptions, error) {
		return o, fmt.Errorf("push: %w: %s", ErrOptions, fmt.Sprintf(format, args...))
	}
	if o.Source == nil || o.Store == nil || o.SourceName == "" || strings.Contains(o.SourceName, ":") {
		return bad("Source, Store and a SourceName without colon are needed")
	}
	folder, err := storage.CleanName(o.Folder)
	if err != nil {
		return bad("folder: %v", err)
	}
	o.Folder = folder
	if o.Connections != 0 {
		o.Dest.Connections = o.Connections
	}
	if err := o.Dest.validate(); err != nil {
		return o, fmt.Errorf("push: %w", err)
	}
	setDefault(&o.After, KeepPushed)
	setDefault(&o.Temporary, DefaultTemporary)
	setDefault(&o.Tries, DefaultTries)
	setDefault(&o.RetryWait, DefaultRetryWait)
	switch {
	case o.After != KeepPushed && o.After != DeletePushed:
		return bad("after sending: %q is neither keep nor delete", o.After)
	case o.Tries < 0 || o.RetryWait < 0:
		return bad("a limit is negative")
	}
	if err := CheckTemporary(o.Temporary); err != nil {
		return o, fmt.Errorf("push: %w", err)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Dest.Logger == nil {
		o.Dest.Logger = o.Logger
	}
	return o, nil
}

// Push sends what is new or changed in a folder since the last run of the same
// folder and server, and goes on where that one was stopped, however it was. The
// report is valid in any case, and zero if the run did not begin.
//
// Each file goes to a temporary name, is compared by its size, and by the server's
// own hash where it has one, and then gets its name. A file on the server is
// replaced only if it is the one that Push sent before, or with Overwrite; nothing
// else there is touched. A file that cannot be sent is reported as failed; the run
// goes on. After a kill between the last two steps, and only if the partner took the
// file away in that moment, it is sent twice rather than not at all.
//
// The error is for what ends a run, as that of Migrate.
func Push(ctx context.Context, o PushOptions) (Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Report{}, err
	}
	p := newPusher(o)
	switch e, err := o.Source.Stat(ctx, o.Folder); {
	case err != nil:
		return Report{}, fmt.Errorf("push %s to %s: %w", p.report.Source, p.report.Destination, err)
	case !e.IsDir():
		return Report{}, fmt.Errorf("push: %w: %q is a file; name the folder that it is in", ErrOptions, o.Folder)
	}
	if p.job, err = o.Store.OpenJob(ctx, p.report.Source, p.report.Destination); err != nil {
		return Report{}, fmt.Errorf("push: %w", err)
	}
	failed := func(err error) error {
		return fmt.Errorf("push %s to %s: %w", p.job.Source, p.job.Destination, err)
	}
	held, release, err := o.Store.Claim(ctx, p.job.ID, p.start)
	if err != nil {
		return Report{}, failed(err)
	}
	err = p.push(held)
	stopped := ctx.Err() != nil
	err = lostClaim(held, err, stopped)
	// As Migrate ends.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(held), time.Minute)
	defer cancel()
	err = errors.Join(err, p.finish(ctx))
	err = errors.Join(err, o.Store.AddRun(ctx, runOf(p.report, err, stopped)), release())
	if err != nil {
		p.report.Error = plain(err)
		if stopped {
			p.report.Error = "it was interrupted"
		}
		return p.report, failed(err)
	}
	return p.report, nil
}

// pusher is one run of a push.
type pusher struct {
	PushOptions
	start    time.Time
	job      state.Job
	report   Report
	progress *progress // of retries
	pool     *Pool
	retries  *run // its way to try again, on sessions of the pool

	dos  bool // a backslash is no part of a name there
	mu   sync.Mutex
	made map[string]bool // folders that are on the server, raw names; maxMade at most
}

// maxMade is how many folders of the server are remembered as being there.
const maxMade = 100_000

func newPusher(o PushOptions) *pusher {
	p := &pusher{PushOptions: o, start: o.Now().UTC(), made: map[string]bool{}}
	p.report = Report{
		Action: ActionPush, Source: Destination(o.SourceName, o.Folder), Destination: o.Dest.Redacted(), Started: p.start,
	}
	if !o.Dest.Secure() {
		p.report.Warnings = append(p.report.Warnings,
			"plain FTP: whoever sits on the network between can read the password and the files, and change them")
	}
	p.retries = &run{MigrateOptions: MigrateOptions{Source: o.Dest, Tries: o.Tries, RetryWait: o.RetryWait, Logger: o.Logger}}
	p.progress = &p.retries.progress
	p.progress.report, p.progress.tell = &p.report, o.Progress
	return p
}

func (p *pusher) push(ctx context.Context) error {
	if p.Quiet {
		if err := p.scan(ctx); err != nil {
			return err
		}
		counts, err := p.Store.Counts(ctx, p.job.ID)
		if err != nil {
			return fatal(err)
		}
		if !slices.ContainsFunc(unsent(), func(phase state.Phase) bool { return counts[phase].Files > 0 }) {
			return nil
		}
	}
	pool, err := NewPool(p.Dest)
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }() // says goodbye, cannot fail
	p.pool, p.retries.pool = pool, pool
	// The folder has to be there: it is the partner's. Its names tell the charset, if
	// they may be seen. As for a migration, the first connection is not tried again.
	err = pool.Do(ctx, func(r Remote) error {
		p.dos = r.Info().Dialect == dosDialect{}.name()
		_, err := listInto(ctx, r, "", nothing{})
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !r.Broken() && ctx.Err() == nil {
			p.Logger.Debug("push: the folder cannot be listed", "error", err)
			return nil
		}
		return err
	})
	if err != nil {
		return fatal(err)
	}
	if !p.Quiet {
		if err := p.scan(ctx); err != nil {
			return err
		}
	}
	return p.work(ctx)
}

// unsent lists the phases that a run still has to do with.
func unsent() []state.Phase {
	return []state.Phase{state.Found, state.Fetching, state.Verified, state.Failed}
}

func (p *pusher) work(ctx context.Context) error {
	counts, err := p.Store.Counts(ctx, p.job.ID)
	if err != nil {
		return fatal(err)
	}
	e := Event{Action: ActionPush, Kind: EventPlanned}
	for _, phase := range unsent() {
		e.Files += counts[phase].Files
		e.Bytes += counts[phase].Bytes
	}
	p.progress.event(e)
	lines := make(chan state.File)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(lines)
		for f, err := range p.Store.Files(ctx, p.job.ID, unsent()...) {
			if err != nil {
				return fatal(err)
			}
			select {
			case lines <- f:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range p.Dest.connections() {
		g.Go(func() error {
			for f := range lines {
				if err := p.one(ctx, f); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// finish completes the report from the ledger and stamps the end of the run.
func (p *pusher) finish(ctx context.Context) error {
	rep := &p.report
	rep.Job = p.job.ID
	for f, err := range p.Store.Files(ctx, p.job.ID, unsent()...) {
		if err != nil {
			return err
		}
		switch {
		case f.Phase != state.Failed:
			rep.Pending.add(f.Size)
		case f.Seen.Equal(p.start):
			rep.Failed.add(Item{Path: printable(f.Path), Target: f.Target, Size: max(f.Size, 0), Reason: f.Reason, Retry: f.Retry})
		}
	}
	rep.Finished = p.Now().UTC()
	rep.Seconds = rep.Finished.Sub(rep.Started).Seconds()
	return p.Store.FinishJob(ctx, p.job.ID, rep.Finished)
}
