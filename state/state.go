// Package state is what the gateway remembers between runs: the ledger of
// migrations, what was published with which proof, what is in quarantine, which
// versions of signed evidence were accepted, which files are locked, what
// properties clients gave them, who may not log in for a while, which one-time codes
// were used, in which browsers somebody is logged in, which files are shared,
// what the nodes have of each user's quota, and what hooks are still to be told.
//
// The interfaces are here; state/sqlite is the embedded default, state/postgres is
// for several nodes. Package statetest holds every implementation to the contract.
// A call that returned nil is durable.
//
// It does not hold file contents (storage does) nor users (auth does).
package state

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Sentinels that callers branch on.
var (
	ErrNotFound = errors.New("no such record")
	ErrConflict = errors.New("the record was changed by somebody else")
	// ErrClaimed is Claim's answer while another run has the job.
	ErrClaimed = errors.New("another run of this job is under way")
	// ErrInvalid is for a record that cannot be kept: an unknown phase, an empty path or target.
	ErrInvalid = errors.New("invalid record")
	// ErrTooLarge is for bytes past a bound of this package.
	ErrTooLarge = errors.New("too large to be kept")
	// ErrLocked is for a lock that cannot be held together with another one.
	ErrLocked = errors.New("a conflicting lock is held")
	// ErrLimit is for one record more than a bound of this package.
	ErrLimit = errors.New("too many are kept")
)

// Phase is where a file of a job stands.
//
//	found -> fetching -> fetched -> verified -> published
//	                 \-> failed     \-> quarantined -> published (released)
//	                                               \-> rejected (bytes discarded)
//	published -> removed (gone from the source, and therefore from the destination)
type Phase string

// The phases of a file.
const (
	Found       Phase = "found"
	Fetching    Phase = "fetching"
	Fetched     Phase = "fetched"
	Verified    Phase = "verified"
	Published   Phase = "published"
	Quarantined Phase = "quarantined"
	Rejected    Phase = "rejected"
	Failed      Phase = "failed"
	Removed     Phase = "removed"
)

// Valid reports whether it is one of the phases above.
func (p Phase) Valid() bool {
	switch p {
	case Found, Fetching, Fetched, Verified, Published, Quarantined, Rejected, Failed, Removed:
		return true
	}
	return false
}

// Job is one migration: a source, a destination, and all the runs of it.
type Job struct {
	ID          int64
	Source      string // URL without the password
	Destination string // storage and folder
	Started     time.Time
	Finished    time.Time // zero while a run is under way or was killed
}

// File is one line of the ledger. Its key is (Job, Path).
//
// Times are kept to the nanosecond between the years 1678 and 2262; others are
// moved to the nearer end.
type File struct {
	Job    int64
	Path   string // raw bytes of the path on the source, slash-joined, relative to the job's root
	Target string // name in the destination, UTF-8

	Phase         Phase
	Size          int64         // -1: unknown
	ModTime       time.Time     // as the listing gave it, to be compared with the next listing
	TimePrecision time.Duration // 0: unknown time; else the resolution ModTime is known to
	MDTM          time.Time     // what the server's MDTM said when the fetch began; zero: not asked
	Seen          time.Time     // start of the last run whose walk found it on the source

	Token   string // staged upload, "" if none
	Offset  int64  // bytes of it that are durable
	Ranges  Ranges // beyond Offset that are durable too; none in most files
	SHA256  []byte // of the whole, once fetched
	Verdict string
	Reason  string // why it failed or was quarantined, in plain words
	Retry   bool   // Failed only: worth another try
	Tries   int
	Updated time.Time

	// After is what the job does with the file on the source once it is published,
	// "" for nothing. It is written before it is done: whether it was done, only
	// the source can tell.
	After string
}

// Publication is a published file and its proof.
type Publication struct {
	Target     string // destination storage and name
	Job        int64
	Source     string // URL of the file, without the password
	Size       int64
	SHA256     []byte
	Verdict    string
	Reason     string
	Provenance []byte // DSSE envelope around an in-toto statement, JSON; of old records the bare statement
	Published  time.Time
	Removed    time.Time // when it was taken away because it had gone from the source; zero: it was not
}

// Result is how a run ended.
type Result string

// The results of a run.
const (
	Complete    Result = "complete"    // everything on the source is published
	Incomplete  Result = "incomplete"  // it got to its end, and something is not published
	Broken      Result = "failed"      // something ended it early
	Interrupted Result = "interrupted" // somebody ended it
)

// Valid reports whether it is one of the results above.
func (r Result) Valid() bool {
	switch r {
	case Complete, Incomplete, Broken, Interrupted:
		return true
	}
	return false
}

// MaxRuns is how many runs of one job are kept, the newest ones.
const MaxRuns = 100

// Run is what became of one run of a job that was not killed.
type Run struct {
	Job               int64
	Started, Finished time.Time
	Result            Result
	Error             string // what ended it early, in plain words

	Published, Unchanged, Held, Failed, Removed int64 // files; Held in quarantine, Removed from the destination

	FetchedBytes int64
	Fetching     time.Duration // how long files were fetched, without the walk before
}

// Ledger keeps jobs and their files.
type Ledger interface {
	// OpenJob returns the job of this source and destination, made if it is new.
	// Opening it does not start a run: see Claim.
	OpenJob(ctx context.Context, source, destination string) (Job, error)
	// Claim takes the job for one run: it stamps Started, clears Finished, and
	// keeps every other run out, in this process and in others, with ErrClaimed.
	// held is done when ctx is or when the claim was lost; the run works under
	// it. The claim ends with release, or with the process, however it dies: at
	// once, or when its lease is over. What is written under held after the claim was
	// lost fails with ErrClaimed where another process could have the job.
	Claim(ctx context.Context, id int64, at time.Time) (held context.Context, release func() error, err error)
	// FinishJob stamps the end of a run; ErrNotFound.
	FinishJob(ctx context.Context, id int64, at time.Time) error
	// Jobs yields every job, oldest first.
	Jobs(ctx context.Context) iter.Seq2[Job, error]

	// PutFiles writes lines of the ledger, all or none; a line with the same key
	// is replaced. ErrInvalid for a line that cannot be kept (bad Ranges, too), ErrNotFound for an
	// unknown job.
	PutFiles(ctx context.Context, files ...File) error
	// GetFile fails with ErrNotFound.
	GetFile(ctx context.Context, job int64, path string) (File, error)
	// GetFiles returns those of the paths that have a line, by path.
	GetFiles(ctx context.Context, job int64, paths ...string) (map[string]File, error)
	// Files yields the files of a job in one of the phases (none: all), by path
	// in byte order. It is no snapshot: lines may be written meanwhile, and a
	// line is yielded as it was when its page was read, at most once.
	Files(ctx context.Context, job int64, phases ...Phase) iter.Seq2[File, error]
	// Counts sums the lines of a job by phase.
	Counts(ctx context.Context, job int64) (map[Phase]Count, error)

	// Publish writes the file as Published and its publication in one transaction.
	Publish(ctx context.Context, f File, p Publication) error
	// Withdraw writes the file as Removed and marks the latest publication of the
	// target as removed, in one transaction; ErrNotFound unless that is the job's.
	Withdraw(ctx context.Context, f File, target string, at time.Time) error

	// AddRun keeps what became of a run, as the newest of its job. ErrInvalid for
	// an unknown result, ErrNotFound for an unknown job.
	AddRun(ctx context.Context, r Run) error
	// Runs returns those of a job, the newest first, at most MaxRuns; none is no error.
	Runs(ctx context.Context, job int64) ([]Run, error)
}

// Count is a number of files and the sum of their known sizes in bytes.
type Count struct {
	Files int64
	Bytes int64
}

// Catalogue answers what is known about a published or quarantined file.
type Catalogue interface {
	// Publication is the latest of this target, also one that was removed; ErrNotFound.
	Publication(ctx context.Context, target string) (Publication, error)
	// Publications yields the latest of every target that begins with prefix and
	// was not removed, by target in byte order, at most once. It is no snapshot, as
	// Files is none.
	Publications(ctx context.Context, prefix string) iter.Seq2[Publication, error]
	// FileByTarget finds the newest ledger line for a target in any phase; ErrNotFound.
	FileByTarget(ctx context.Context, destination, target string) (Job, File, error)
}

// MaxGenerations is how many generations of one name are kept, the newest ones.
const MaxGenerations = 32

// Generation is one version of signed evidence that was accepted from a source.
type Generation struct {
	Source string    // URL of the source's root, without user and password
	Name   string    // of the evidence, as its user tells pieces apart
	SHA256 []byte    // of the signed bytes
	Date   time.Time // as it is signed; zero if it has none
	Seen   time.Time // when it was accepted
}

// History remembers what was accepted, so that nothing older is accepted again.
type History interface {
	// Generations returns those of a name, the newest first, at most
	// MaxGenerations; none is no error.
	Generations(ctx context.Context, source, name string) ([]Generation, error)
	// AddGeneration adds g as the newest of its name, if after is the SHA256 of
	// the one that was the newest until now (empty: if there is none), and fails
	// with ErrConflict otherwise. If g has the SHA256 of the newest it replaces
	// it. ErrInvalid without Source, Name or SHA256.
	AddGeneration(ctx context.Context, g Generation, after []byte) error
}

// Bounds of what an EvidenceStore keeps, in bytes.
const (
	MaxEvidence      = 32 << 20 // of one file; a larger one is not kept
	MaxEvidenceTotal = 1 << 30  // of all; beyond it those go that were kept longest ago
)

// Evidence is what proved something: the bytes of a manifest and its signature,
// or of one of them.
type Evidence struct {
	Source, Name        string // as in Generation
	Manifest, Signature []byte // nil for none
	Seen                time.Time
}

// EvidenceStore keeps evidence, so that what was published by it can be judged
// again. Equal bytes are kept once.
type EvidenceStore interface {
	// KeepEvidence makes e the latest of its name. ErrInvalid without Source,
	// Name or any bytes; ErrTooLarge, and nothing is kept, beyond MaxEvidence.
	KeepEvidence(ctx context.Context, e Evidence) error
	// LatestEvidence fails with ErrNotFound, also if some of its bytes had to go.
	LatestEvidence(ctx context.Context, source, name string) (Evidence, error)
	// EvidenceBytes returns a manifest or signature by its SHA-256; ErrNotFound.
	EvidenceBytes(ctx context.Context, sha256 []byte) ([]byte, error)
}

// Store is all of it.
type Store interface {
	Ledger
	Holds
	Catalogue
	History
	EvidenceStore
	Locks
	Bans
	Properties
	Quotas
	Outbox
	Codes
	Sessions
	Shares
	Close() error
}
