package admin

import (
	"context"
	"errors"
	"time"
)

// Sentinels of what the interfaces of [Parts] fail with; others mean that something does not work.
// What an error says is shown to the operator.
var (
	ErrNotFound = errors.New("there is no such thing")
	// ErrConflict is for what cannot be done as things stand, such as starting a job that runs.
	ErrConflict = errors.New("not as things stand")
	// ErrInvalid is for what makes no sense, such as a network that cannot be read.
	ErrInvalid = errors.New("invalid")
)

// Parts are what the page shows and acts on. Each may be nil, and is then shown as empty.
type Parts struct {
	Sessions     Sessions
	Jobs         Jobs
	Quarantine   Quarantine
	Bans         Bans
	Storages     Storages
	Users        Users
	Certificates Certificates
	// Ready checks what the gateway needs in order to serve, each within the time of the context.
	Ready []Check
	// Outbox is how many events wait to be sent, and how many were given up; nil: there is no outbox.
	Outbox func(ctx context.Context) (waiting, dead int64, err error)
}

// Check is something that the gateway needs in order to serve.
type Check struct {
	Name string // "state", "storage default", "sftp"
	Test func(ctx context.Context) error
}

// Sessions are those of the users.
type Sessions interface {
	Sessions() []Session
	// CloseSession ends one, and the login of a browser with it; ErrNotFound.
	CloseSession(ctx context.Context, id string) error
}

// Session is a connection of a user, or an HTTP request that is under way.
type Session struct {
	ID       string    `json:"id"`
	User     string    `json:"user"`
	Address  string    `json:"address"`
	Protocol string    `json:"protocol"` // as storage.Origin
	Client   string    `json:"client"`   // what the client says it is; "" if it does not
	Since    time.Time `json:"since"`
	Active   time.Time `json:"active"` // when it last asked for something
	Doing    string    `json:"doing"`  // in plain words; "" for nothing
	Login    string    `json:"-"`      // what storage.Origin.Session is on it, if not ID: of a browser
	// Transfers are those under way. They are filled in by the Server.
	Transfers []Transfer `json:"transfers"`
}

// Jobs are the migrations and pushes.
type Jobs interface {
	// Jobs lists them all, those of the configuration first.
	Jobs(ctx context.Context) ([]Job, error)
	// Job is one of them, with its runs and counts; ErrNotFound.
	Job(ctx context.Context, id string) (Job, error)
	// RunJob begins a run at once and lets its schedule go on; ErrConflict if it is running or is not of
	// the configuration.
	RunJob(ctx context.Context, id, by string) error
	// StopJob ends a run, on whichever node, and holds the schedule until it is resumed or run.
	StopJob(ctx context.Context, id, by string) error
	// ResumeJob lets its schedule go on; ErrConflict unless it was held.
	ResumeJob(ctx context.Context, id, by string) error
}

// States of a job.
const (
	JobRunning   = "running"   // on this node
	JobElsewhere = "elsewhere" // claimed by another process, or that process was killed
	JobWaiting   = "waiting"   // for its schedule
	JobIdle      = "idle"      // it has no schedule
	JobHeld      = "held"      // an operator has stopped it
)

// Job is a migration or a push.
type Job struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"` // of the configuration; "" if it is not from there
	Kind        string     `json:"kind"` // "migration", "push", "mount"
	Source      string     `json:"source"`
	Destination string     `json:"destination"`
	State       string     `json:"state"`
	Schedule    string     `json:"schedule"` // as it is configured; "" for none
	Next        *time.Time `json:"next"`     // nil: not by itself
	HeldBy      string     `json:"held_by"`
	Last        *Run       `json:"last"`     // nil: it never ended
	Progress    *Progress  `json:"progress"` // nil: it does not run here
	// Configured says that it can be run, stopped and resumed here.
	Configured bool `json:"configured"`

	// Only of one job:
	Runs  []Run            `json:"runs,omitempty"`  // the newest first
	Files map[string]Count `json:"files,omitempty"` // by phase of the ledger
}

// Count is a number of files and their bytes.
type Count struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Run is one run of a job that has ended.
type Run struct {
	Started     time.Time `json:"started"`
	Finished    time.Time `json:"finished"`
	Result      string    `json:"result"`
	Error       string    `json:"error"`
	Published   int64     `json:"published"`
	Unchanged   int64     `json:"unchanged"`
	Quarantined int64     `json:"quarantined"`
	Failed      int64     `json:"failed"`
	Removed     int64     `json:"removed"`
	Bytes       int64     `json:"bytes"` // fetched
}

// Progress is how far a run is.
type Progress struct {
	Started   time.Time `json:"started"`
	Walking   bool      `json:"walking"` // the source is being listed; Files and Bytes grow
	Files     int64     `json:"files"`   // to be looked at
	Bytes     int64     `json:"bytes"`
	DoneFiles int64     `json:"done_files"`
	DoneBytes int64     `json:"done_bytes"`
	Held      int64     `json:"quarantined"` // files of DoneFiles
	Failed    int64     `json:"failed"`      // files of DoneFiles
	Rate      int64     `json:"rate"`        // bytes a second, of the last seconds
	Left      int64     `json:"left"`        // seconds, about; -1: not known
	// Current are the files under way.
	Current []FileProgress `json:"current"`
	// Rates are bytes a second, one of each SampleSeconds, the oldest first.
	Rates []int64 `json:"rates"`
}

// FileProgress is a file under way.
type FileProgress struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"` // -1: not known
	Offset int64  `json:"offset"`
}

// Quarantine is what was held back.
type Quarantine interface {
	// Held lists it, all storages together.
	Held(ctx context.Context) ([]Held, error)
	// HeldFile is one of it, with what is known; ErrNotFound.
	HeldFile(ctx context.Context, storage, id string) (Held, error)
	// Release publishes it; ErrConflict for what was proved bad.
	Release(ctx context.Context, storage, id, by, reason string) error
	// Reject throws it away.
	Reject(ctx context.Context, storage, id, by, reason string) error
}

// Held is a file in quarantine.
type Held struct {
	ID       string    `json:"id"`
	Storage  string    `json:"storage"`
	Path     string    `json:"path"` // where it would be published
	Source   string    `json:"source"`
	Size     int64     `json:"size"`
	SHA256   string    `json:"sha256"` // in hexadecimal
	Verdict  string    `json:"verdict"`
	Reason   string    `json:"reason"`
	Since    time.Time `json:"since"`
	Releases bool      `json:"releasable"` // false: it was proved bad
	Evidence string    `json:"evidence,omitempty"`
}

// Bans are the networks that may not log in.
type Bans interface {
	// Banned lists them, those first that end first.
	Banned(ctx context.Context) ([]Ban, error)
	// Ban bans an address or network ("192.0.2.7", "2001:db8::/64") for a time; ErrInvalid.
	Ban(ctx context.Context, network string, d time.Duration) error
	// LiftBan ends one and forgets the failures; ErrNotFound.
	LiftBan(ctx context.Context, network string) error
}

// Ban is a network that may not log in.
type Ban struct {
	Network string `json:"network"`
	Seconds int64  `json:"seconds"` // that are left
}

// Storages are where files live.
type Storages interface {
	StorageUse(ctx context.Context) ([]Storage, error)
}

// Storage is one of them.
type Storage struct {
	Name      string `json:"name"`
	Kind      string `json:"kind"` // "folder", "bucket", "mount"
	Place     string `json:"place"`
	Total     int64  `json:"total"`     // bytes; -1: not known
	Available int64  `json:"available"` // bytes; -1: not known
	Error     string `json:"error"`     // why it does not answer; "": it does
}

// Users are who may log in to the front ends.
type Users interface {
	// Users lists them by name; mistakes are of files that cannot be read.
	Users(ctx context.Context) (list []User, mistakes error)
	// DisableUser keeps one from logging in, or no longer; ErrNotFound.
	DisableUser(ctx context.Context, name string, disabled bool) error
}

// User is who may log in.
type User struct {
	Name     string   `json:"name"`
	Login    string   `json:"login"` // by what, in plain words
	Disabled bool     `json:"disabled"`
	Mounts   []string `json:"mounts"`
	Quota    int64    `json:"quota"` // bytes; 0: none
	Used     int64    `json:"used"`  // bytes of it; -1: not known
}

// Certificates are what the gateway shows clients who it is by.
type Certificates interface {
	Certificates() []Certificate
	HostKeys() []string // fingerprints
}

// Certificate is one of TLS.
type Certificate struct {
	Names      []string  `json:"names"`
	Issuer     string    `json:"issuer"`
	SelfSigned bool      `json:"self_signed"`
	NotAfter   time.Time `json:"not_after"`
	DaysLeft   int       `json:"days_left"` // below 0: it has ended
	SHA256     string    `json:"sha256"`    // of the certificate, in hexadecimal
}
