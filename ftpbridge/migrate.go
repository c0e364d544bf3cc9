package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"gateway/integrity"
	"gateway/state"
	"gateway/storage"
)

// Defaults of MigrateOptions.
const (
	DefaultTries       = 5
	DefaultRetryWait   = time.Second
	DefaultCheckpoint  = 32 << 20
	DefaultMaxFileSize = 1 << 40
	DefaultSegments    = 4
	DefaultVerifier    = "urn:gateway:migrate"
)

const (
	maxRetryWait    = 30 * time.Second
	awayWaits       = 300                 // RetryWaits for which a source that went away is waited for
	checkpointEvery = 10 * time.Second    // a slow transfer is checkpointed by time
	partialKept     = 30 * 24 * time.Hour // how long an unfinished file waits for the next run
	maxChanges      = 3                   // versions of one file that are tried in one run
	overlap         = 64 << 10            // bytes read again and compared before a transfer goes on
	fetchBuffer     = 256 << 10           // bytes in one write to the destination, at least
	clockSkew       = time.Minute         // between the source's clock and this machine's
	maxPublishing   = 32                  // files that are fetched and not yet published
	scanBatch       = 512                 // entries of the walk in one transaction of the ledger
)

// ErrOptions is for MigrateOptions that cannot be used.
var ErrOptions = errors.New("invalid option")

// MigrateOptions says what to move where. Source, Dest and Store are required.
type MigrateOptions struct {
	Source Source
	// Dest takes the files. Unfinished and quarantined files survive the
	// process only if it is a storage.Resumer.
	Dest storage.FS
	// DestName is what the ledger calls Dest; it has no colon. Folder is where
	// in it the files go, "" for its root.
	DestName, Folder string
	// Policy decides what is published. Without one everything is, as
	// unverified, and the report says so.
	Policy *integrity.Policy
	Store  state.Store
	// Pool, when not nil, is a pool of Source that others use too, such as a Mount. It
	// is not closed. With fewer Connections than it has sessions, some are left to them.
	Pool *Pool
	// Connections is the most sessions at once; 0 takes Source.Connections.
	Connections int
	// Segments is by how many sessions a file of SegmentFrom bytes and more is
	// fetched at once, where the server can begin at an offset; never more than
	// Connections. 1 is off, 0 is DefaultSegments, the most is MaxConnections.
	Segments int
	// BytesPerSecond bounds what all sessions fetch together, file contents only;
	// 0 is no bound. The least is MinBytesPerSecond.
	BytesPerSecond int64
	// Overwrite lets a file replace one in Dest that this job did not put there.
	Overwrite bool
	// MaxFileSize in bytes bounds files whose size the server does not tell,
	// and refuses larger ones; 0 is DefaultMaxFileSize.
	MaxFileSize int64
	// Include and Exclude choose files and folders, the latter with all that is
	// in them, by patterns on their paths under the root as people see them:
	// "*" and "?" stay within one folder, "**" is any number of folders. A
	// pattern without a slash is looked for in every folder. What matches
	// Exclude is left out; with an Include, all that does not match it, too.
	Include, Exclude []string
	// Since leaves out files that were modified before; those of unknown time stay.
	Since time.Time
	// MaxDepth leaves out what lies deeper than this many names; 1 is the files in
	// the root, 0 any depth.
	MaxDepth int
	// Tries is how often something is tried that fails without progress, at
	// least 1; 0 is DefaultTries. RetryWait is the first wait between, which
	// grows; 0 is DefaultRetryWait. A source that was reached in this run and cannot
	// be any more is waited for 300 times as long: 5 minutes.
	Tries     int
	RetryWait time.Duration
	// Checkpoint is after how many bytes a file's progress is made durable;
	// 0 is DefaultCheckpoint.
	Checkpoint int64
	// DryRun fetches nothing and writes nothing, neither to Dest nor to Store: the
	// report says in Plan what a run would do.
	DryRun bool
	// ChecksumOnly fetches every file and compares its bytes with those in Dest. It
	// publishes nothing and writes nothing: the report says in Comparison what differs.
	ChecksumOnly bool
	// After says what becomes of the files on the source that are published.
	After After
	// DeleteExtra says what becomes of files that this job published and that are
	// no longer on the source, after a walk that read all of it. A file that
	// somebody changed in Dest since is kept.
	DeleteExtra Extra
	// ConfirmRemoval is asked before anything is removed by DeleteExtra. It agrees with
	// "", or says why not, and nothing is removed; nil agrees always.
	ConfirmRemoval func(context.Context, Removal) (refused string, err error)
	// NoResume fetches every unfinished file from its beginning.
	NoResume bool
	// Progress hears of every step, from one goroutine at a time. It must be quick.
	Progress func(Event)
	// Verifier is the URI that provenance names as the verifier.
	Verifier string
	// Signer signs the provenance; without one it is kept unsigned, and is then
	// only as good as the Store.
	Signer *integrity.ProvenanceSigner
	Now    func() time.Time // nil is time.Now
	Logger *slog.Logger     // nil is silent

	segmentFrom, segmentPiece, segmentLeast int64 // smaller in tests; 0 is as the constants
}

// Destination is what the ledger calls the folder of a storage: "name:folder".
func Destination(name, folder string) string { return name + ":" + folder }

func (o MigrateOptions) withDefaults() (MigrateOptions, error) {
	bad := func(format string, args ...any) (MigrateOptions, error) {
		return o, fmt.Errorf("migrate: %w: %s", ErrOptions, fmt.Sprintf(format, args...))
	}
	if o.Dest == nil || o.Store == nil || o.DestName == "" || strings.Contains(o.DestName, ":") {
		return bad("Dest, Store and a DestName without colon are needed")
	}
	folder, err := storage.CleanName(o.Folder)
	if err != nil {
		return bad("destination folder: %v", err)
	}
	o.Folder = folder
	if o.Connections != 0 {
		o.Source.Connections = o.Connections
	}
	if err := o.Source.validate(); err != nil {
		return o, fmt.Errorf("migrate: %w", err)
	}
	if o.Segments < 0 || o.Segments > MaxConnections {
		return bad("%d segments; must be 1 to %d", o.Segments, MaxConnections)
	}
	if o.BytesPerSecond != 0 && o.BytesPerSecond < MinBytesPerSecond {
		return bad("%d bytes a second; must be at least %d", o.BytesPerSecond, MinBytesPerSecond)
	}
	if o.Tries < 0 || o.RetryWait < 0 || o.Checkpoint < 0 || o.MaxFileSize < 0 {
		return bad("a limit is negative")
	}
	if err := o.validateJob(); err != nil {
		return o, fmt.Errorf("migrate: %w", err)
	}
	setDefault(&o.Tries, DefaultTries)
	setDefault(&o.RetryWait, DefaultRetryWait)
	setDefault(&o.Checkpoint, DefaultCheckpoint)
	setDefault(&o.MaxFileSize, DefaultMaxFileSize)
	setDefault(&o.Segments, DefaultSegments)
	setDefault(&o.segmentFrom, SegmentFrom)
	setDefault(&o.segmentPiece, segmentPiece)
	setDefault(&o.segmentLeast, segmentLeast)
	setDefault(&o.Verifier, DefaultVerifier)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Source.Logger == nil {
		o.Source.Logger = o.Logger
	}
	if o.Policy != nil {
		o.Policy = o.Policy.ForSource(o.Source.PolicyNames()...)
	}
	return o, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Migrate copies what is new or changed on the source since the last run of the
// same source and destination, and goes on where that one was stopped, however
// it was. The report is valid in any case, and zero if the run did not begin.
//
// Each file is published whole, with its digest and what proves it, or goes to
// quarantine, or is reported as failed; the run goes on past such files. The
// error is for what ends a run: the source cannot be reached or listed (the
// errors of Dial and List), the destination is full (storage.ErrNoSpace,
// ErrQuota), the store fails, another run has the job (state.ErrClaimed), the
// options are wrong (ErrOptions, ErrSource), or ctx ended. Unfinished files then
// wait for the next run.
func Migrate(ctx context.Context, o MigrateOptions) (Report, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Report{}, err
	}
	r := newRun(o)
	if r.filter, err = newFilter(o); err != nil {
		return Report{}, err
	}
	if o.DryRun || o.ChecksumOnly {
		return r.inspect(ctx)
	}
	if r.job, err = o.Store.OpenJob(ctx, o.Source.Redacted(), r.destination); err != nil {
		return Report{}, fmt.Errorf("migrate: %w", err)
	}
	r.baseURL = plainURL(o.Source)
	held, release, err := o.Store.Claim(ctx, r.job.ID, r.start)
	if err != nil {
		return Report{}, fmt.Errorf("migrate %s to %s: %w", r.job.Source, r.destination, err)
	}
	stop := r.progress.watch()
	err = r.migrate(held)
	stop()
	stopped := ctx.Err() != nil
	err = lostClaim(held, err, stopped)
	// What is known is written down and reported also when ctx ended, but not into the
	// run of who took the job over when the claim was lost.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(held), time.Minute)
	defer cancel()
	err = errors.Join(err, r.finish(ctx, err == nil))
	err = errors.Join(err, r.keepRun(ctx, err, stopped), release())
	if err != nil {
		r.report.Error = plain(err)
		if stopped { // whatever it was doing just then failed because of that
			r.report.Error = "it was interrupted"
		}
		return r.report, fmt.Errorf("migrate %s to %s: %w", r.job.Source, r.destination, err)
	}
	return r.report, nil
}

// lostClaim is what ended a run whose claim was lost; err of any other one.
func lostClaim(held context.Context, err error, stopped bool) error {
	if cause := context.Cause(held); err != nil && !stopped && errors.Is(cause, state.ErrClaimed) {
		return cause
	}
	return err
}

// run is one run of a job.
type run struct {
	MigrateOptions
	publisher

	destination string
	owner       string // of staged uploads
	start       time.Time
	pool        *Pool
	evidence    *evidenceCache
	generations *generations
	rebuilt     bool // the walk read every folder
	filter      *filter
	fetching    time.Duration
	noMDTM      atomic.Bool
	reached     atomic.Bool   // the source was, in this run
	linesWarned bool          // of changed line ends; under progress
	bandwidth   *rate.Limiter // nil: no bound
	progress    progress
	report      Report

	hashAlgorithm integrity.Algorithm // of the server's own hashes, "" if it has none
}

func newRun(o MigrateOptions) *run {
	r := &run{MigrateOptions: o, destination: Destination(o.DestName, o.Folder), start: o.Now().UTC()}
	r.publisher = publisher{
		store: o.Store, fsys: o.Dest, destName: o.DestName, overwrite: o.Overwrite, verifier: o.Verifier, signer: o.Signer, now: o.Now,
	}
	r.owner = stagingOwner(o.Source.Redacted(), r.destination)
	r.evidence = newEvidenceCache()
	r.bandwidth = newBandwidth(o.BytesPerSecond)
	r.generations = newGenerations()
	r.progress = progress{report: &r.report, tell: o.Progress}
	r.report = Report{Source: o.Source.Redacted(), Destination: r.destination, Started: r.start}
	if o.Policy == nil {
		r.report.Warnings = append(r.report.Warnings,
			"no policy was given: nothing was verified, every file is published as unverified")
	}
	if !o.Source.Secure() {
		r.report.Warnings = append(r.report.Warnings,
			"plain FTP: whoever sits on the network between can read the password and change the files")
	}
	return r
}

// connect makes the pool; disconnect closes it.
func (r *run) connect(ctx context.Context) error {
	pool := r.Pool
	if pool == nil {
		var err error
		if pool, err = NewPool(r.Source); err != nil {
			return err
		}
	}
	r.pool = pool
	// The first connection is not tried again: what is wrong with it is wrong with
	// the URL, mostly, and somebody is waiting for the answer.
	first, err := pool.Get(ctx)
	if err != nil {
		r.disconnect()
		return fatal(err)
	}
	r.hashAlgorithm, _ = first.Info().HashAlgorithm()
	pool.Put(first)
	return nil
}

// disconnect ends what connect began.
func (r *run) disconnect() {
	if r.Pool == nil {
		_ = r.pool.Close() // says goodbye, cannot fail
	}
}

func (r *run) migrate(ctx context.Context) error {
	if err := r.connect(ctx); err != nil {
		return err
	}
	defer r.disconnect()
	if err := r.discardOrphans(ctx); err != nil {
		return err
	}
	if err := r.findZone(ctx); err != nil {
		return err
	}
	if err := r.scan(ctx); err != nil {
		return err
	}
	// Not earlier: a source that cannot be read leaves nothing behind.
	if err := storage.MkdirAll(ctx, r.Dest, r.Folder); err != nil {
		return err
	}
	if err := r.timeFetching(func() error { return r.work(ctx) }); err != nil {
		return err
	}
	if err := r.removeExtra(ctx); err != nil {
		return err
	}
	return r.dispose(ctx)
}

// discardOrphans removes staged bytes of this job that no line of the ledger
// knows: a run was killed between making them durable and writing that down.
func (r *run) discardOrphans(ctx context.Context) error {
	res, ok := r.Dest.(storage.Resumer)
	if !ok {
		return nil
	}
	known := make(map[storage.Token]bool)
	for f, err := range r.store.Files(ctx, r.job.ID, open()...) { // the other phases keep no bytes
		if err != nil {
			return err
		}
		if f.Token != "" {
			known[storage.Token(f.Token)] = true
		}
	}
	var orphans []storage.Token
	for s, err := range res.Suspended(ctx, r.owner) {
		if err != nil {
			return err
		}
		if !known[s.Token] {
			orphans = append(orphans, s.Token)
		}
	}
	for _, t := range orphans {
		if err := res.Discard(ctx, t); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, storage.ErrBusy) {
			return err
		}
	}
	return nil
}
