// Package storage is the one contract between the front ends and the bridge on
// one side and the places where bytes live on the other.
//
// # The promise
//
// It is the same on every backend and through every wrapper:
//
//   - a reader sees the whole old file or the whole new file, never a part;
//   - an interrupted overwrite leaves the old file untouched;
//   - a write that was acknowledged (Commit returned nil) survives the death of
//     the process and the loss of power.
//
// Package storagetest holds every FS to it.
//
// # Names
//
// Names are slash-separated, relative and clean in the sense of [CleanName];
// "" is the root. A backend may rely on it: names are checked once, at the edge.
//
// # What it does not do
//
// It knows nothing of users, protocols or verification. [View] decides who may
// do what; integrity decides what is published.
package storage

import (
	"context"
	"io"
	"io/fs"
	"iter"
	"time"
)

// FS is one tree of files. Implementations are safe for concurrent use.
//
// Errors wrap the sentinels of this package and of io/fs in an [fs.PathError]
// whose Path is the name inside the tree, never a path of the machine.
type FS interface {
	// Properties says what the backend can do, so that nobody has to find out by trying.
	Properties() Properties

	// Stat describes a file or directory, following links that stay inside the
	// tree. It fails with fs.ErrNotExist where there is nothing (staged uploads
	// and links that leave the tree count as nothing).
	Stat(ctx context.Context, name string) (Info, error)

	// List yields the entries of a directory in no particular order, without
	// "." and "..", streamed: a directory of any size takes bounded memory.
	// An error ends the sequence. Entries that vanish meanwhile are left out.
	List(ctx context.Context, name string) iter.Seq2[Info, error]

	// Open opens a file for reading. What is read is one version of the bytes
	// until Close, whatever happens to the name. ErrIsDir for a directory.
	Open(ctx context.Context, name string) (File, error)

	// Create begins a staged upload to name. Nobody can see it before Commit.
	// The parent directory must exist (fs.ErrNotExist) and be one (ErrNotDir).
	Create(ctx context.Context, name string, o CreateOptions) (Upload, error)

	// Mkdir makes one directory; fs.ErrExist where the name is taken.
	Mkdir(ctx context.Context, name string) error

	// Remove removes a file or an empty directory; ErrNotEmpty otherwise.
	Remove(ctx context.Context, name string) error

	// Rename moves a file or directory. Without Replace an existing target is
	// fs.ErrExist, decided atomically. With Replace a file replaces a file
	// atomically and a directory an empty directory; ErrIsDir and ErrNotDir
	// where the kinds differ. A directory into itself is ErrInvalidMove.
	Rename(ctx context.Context, from, to string, o RenameOptions) error

	// SetModTime sets the modification time of a file or directory;
	// fs.ErrInvalid outside the years [MinYear, MaxYear].
	SetModTime(ctx context.Context, name string, t time.Time) error
}

// Properties declares the semantics of a backend.
type Properties struct {
	CaseSensitive   bool // "A" and "a" are two files
	TrueDirectories bool // directories exist without files in them
	AtomicRename    bool // Rename of a directory is one step
	ModTimes        bool // SetModTime is kept
	Resume          bool // implements Resumer
}

// Info describes a file or directory.
type Info struct {
	Name    string      // base name; "" for the root
	Size    int64       // in bytes; 0 for directories
	Mode    fs.FileMode // type (regular or directory) and permission bits
	ModTime time.Time
	// ETag is a strong validator: it differs between any two versions of a
	// file's bytes at one name. Without quotes; "" for directories.
	ETag string
	// Link says that the entry is a symbolic link and the rest describes where it
	// leads. Remove and Rename act on the link itself, [Walk] does not descend.
	Link bool
}

// IsDir reports whether it is a directory.
func (i Info) IsDir() bool { return i.Mode.IsDir() }

// File is an open file: one consistent version of its bytes.
type File interface {
	io.ReaderAt
	io.Closer
	// Info describes the version that is open.
	Info() Info
}

// Upload is a staged file. Writes to disjoint ranges may run concurrently, and
// beside them reads of what was written before; the other calls may not overlap with anything. After Commit, Suspend or Abort
// every call fails with fs.ErrClosed, except Abort, which then does nothing and
// returns nil, so that it can be deferred.
type Upload interface {
	io.WriterAt // any order, overlapping, beyond the end (the gap reads as zeros)
	io.ReaderAt // what was written so far

	// Truncate cuts or extends (with zeros) the staged file.
	Truncate(size int64) error

	// Size is the length of the staged file in bytes.
	Size() int64

	// Checkpoint makes what was written so far durable and returns the token by
	// which the upload can be resumed, even after the process died. The upload
	// stays open. errors.ErrUnsupported where the FS is no Resumer.
	Checkpoint(ctx context.Context) (Token, error)

	// Suspend is Checkpoint and then closing: the bytes are kept until
	// SuspendOptions.Until for a later Resume. No reader sees them.
	Suspend(ctx context.Context, o SuspendOptions) (Token, error)

	// Commit publishes the file: all or nothing, and durable when it returns nil.
	// On error nothing was published and the staged bytes are gone, except for
	// ErrPrecondition, ErrDigest, ErrLocked, fs.ErrExist and an ended context: then the upload
	// is still open, so that the caller may Suspend it.
	Commit(ctx context.Context, o CommitOptions) (Info, error)

	// Abort throws the staged bytes away.
	Abort(ctx context.Context) error
}

// Replacer is an Upload that knows what was published under its name when it was begun.
type Replacer interface {
	// Replaced fails with fs.ErrNotExist where there was nothing, as Stat does.
	Replaced(ctx context.Context) (Info, error)
}

// Replaced is what was at name when the upload u to it was begun, or is there now if u does not know.
func Replaced(ctx context.Context, tree FS, name string, u Upload) (Info, error) {
	if r, ok := u.(Replacer); ok {
		return r.Replaced(ctx)
	}
	return tree.Stat(ctx, name)
}

// CreateOptions says what is about to be uploaded.
type CreateOptions struct {
	// Owner is who uploads; suspended uploads are listed by it. May be "".
	Owner string
	// Size is the expected length in bytes, or -1 when it is not known. It is a
	// promise to nobody: it lets a backend refuse early (ErrNoSpace, ErrQuota).
	Size int64
	// Edit starts with a copy of the present file, for writes into the middle.
	// fs.ErrNotExist where there is none.
	Edit bool
	// Exclusive fails with fs.ErrExist at once if the name is taken, and again
	// at Commit, atomically, if somebody else took it meanwhile.
	Exclusive bool
	// ModePerm are the permission bits of a new file; 0 means the backend's default.
	// A file that replaces another keeps that one's bits.
	ModePerm fs.FileMode
	// Hashed says that the caller hashes the very bytes that it writes, or reads
	// back, and gives that SHA-256 to Commit. A backend that can tell that nobody
	// else could reach them since Create need not read them again then.
	Hashed bool
	// Sequential promises that every write begins where the last one ended, and that nothing is read
	// back or cut off. A backend that sends bytes on need not be able to take them back then; if
	// the promise is broken it fails with errors.ErrUnsupported.
	Sequential bool
}

// CommitOptions are the conditions and attributes of a publish.
type CommitOptions struct {
	// IfMatch, when not "", publishes only over the version with this ETag;
	// ErrPrecondition otherwise.
	IfMatch string
	// IfNoneMatch publishes only where nothing is; fs.ErrExist otherwise.
	IfNoneMatch bool
	// ModTime of the published file; zero means now. Outside the years
	// [MinYear, MaxYear] Commit fails with fs.ErrInvalid.
	ModTime time.Time
	// SHA256, when not nil, is what the whole staged file must hash to, computed
	// by the backend over the very bytes it publishes (but see
	// CreateOptions.Hashed); ErrDigest otherwise. A backend whose staged bytes
	// another process can reach keeps them from being changed in between, with
	// ErrBusy if one has them open.
	SHA256 []byte
}

// The years that a modification time may lie in: what 64 bits of nanoseconds and
// the file systems in use can keep. Front ends clamp or refuse what is outside.
const (
	MinYear = 1902
	MaxYear = 2261
)

// ValidModTime reports whether every backend can keep t; the zero time is
// not valid.
func ValidModTime(t time.Time) bool {
	year := t.UTC().Year()
	return year >= MinYear && year <= MaxYear
}

// RenameOptions are the conditions of a Rename.
type RenameOptions struct {
	Replace bool
}

// Token names a suspended or checkpointed upload. Opaque; safe to store.
type Token string

// SuspendOptions says for how long a suspended upload is kept.
type SuspendOptions struct {
	// Until is when the sweep may remove it; zero means never.
	Until time.Time
}

// Suspended describes an upload that can be resumed.
type Suspended struct {
	Token   Token
	Name    string // where it was going
	Owner   string
	Size    int64 // bytes that are durable
	Updated time.Time
	Until   time.Time // zero: kept until discarded
	// Claimed says that a process has it open, or had it until less than ClaimTime ago. A backend
	// that cannot tell says no.
	Claimed bool
}

// Resumer is an FS that keeps uploads across the death of the process.
type Resumer interface {
	FS
	// Resume reopens an upload. fs.ErrNotExist if the token is unknown or
	// expired, ErrBusy if the upload is open in this or another process.
	Resume(ctx context.Context, t Token) (Upload, error)
	// Suspended lists what can be resumed; owner "" means everybody's.
	Suspended(ctx context.Context, owner string) iter.Seq2[Suspended, error]
	// Discard removes a suspended upload.
	Discard(ctx context.Context, t Token) error
}

// Space is what a backend knows about its capacity, in bytes.
type Space struct {
	Total, Free, Available int64 // Available: to an unprivileged writer
}

// SpaceReporter is an FS that knows its capacity.
type SpaceReporter interface {
	Space(ctx context.Context, name string) (Space, error)
}

// Copier is an FS that copies a file better than by reading and writing it.
// The copy is published like an upload: whole or not at all.
type Copier interface {
	Copy(ctx context.Context, from, to string, o CommitOptions) (Info, error)
}

// TreeRemover is an FS that removes a directory and all below it in fewer steps.
type TreeRemover interface {
	RemoveAll(ctx context.Context, name string) error
}
