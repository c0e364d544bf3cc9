package ftpbridge

import (
	"context"
	"fmt"
	"io"
	"time"

	"gateway/integrity"
)

// Remote is one logged-in session with a source, whatever protocol it speaks.
// Session is that of FTP, SFTPSession that of SFTP. It is for one goroutine at a time; while a fetch is
// open, every other call fails with ErrInUse.
//
// Paths are raw names as they were listed, joined by slashes; a path that is not
// absolute counts from the root of the source's URL. Errors are those of this
// package, with the server's own words.
type Remote interface {
	Lister

	// Size is the size of a file in bytes; ErrUnsupported where the server cannot tell.
	Size(ctx context.Context, path string) (int64, error)
	// ModTime is exact to the second, in UTC; ErrUnsupported where the server cannot tell.
	ModTime(ctx context.Context, path string) (time.Time, error)
	// Fetch reads a file from offset on. Read gives io.EOF only for a transfer that
	// is known to be whole.
	Fetch(ctx context.Context, path string, offset int64) (io.ReadCloser, error)
	// Hash is the server's own hash of a file and the command that gave it;
	// ErrUnsupported where it has none.
	Hash(ctx context.Context, path string, size int64) (integrity.Digest, string, error)

	// Store writes r to path from offset on, and succeeds only if the server has
	// all of it afterwards. A file that is there is replaced, or, with an offset,
	// written into. See Session.Store.
	Store(ctx context.Context, path string, r io.Reader, offset int64) (int64, error)
	// Remove deletes a file, RemoveDir an empty directory.
	Remove(ctx context.Context, path string) error
	RemoveDir(ctx context.Context, path string) error
	// MakeDir wraps fs.ErrExist where there is a directory of this name already.
	MakeDir(ctx context.Context, path string) error
	// Rename gives a file or directory another name. Whether it replaces a file of
	// that name is the server's affair.
	Rename(ctx context.Context, from, to string) error
	// SetModTime sets the modification time, to the second; ErrUnsupported where
	// the server has no command for it.
	SetModTime(ctx context.Context, path string, t time.Time) error

	// Info is what the server said of itself.
	Info() ServerInfo
	// Broken reports whether the session can no longer be used.
	Broken() bool
	// Close ends the session. It never fails in a way that matters.
	Close() error

	// ping reports whether the server still listens to an idle session.
	ping(ctx context.Context) bool
	// inUse reports whether a call is under way, or a fetch open.
	inUse() bool
}

var _ Remote = (*Session)(nil)

// DialRemote connects and logs in with the protocol of the source's URL. Errors
// are those of Dial, or of DialSFTP.
func DialRemote(ctx context.Context, src Source) (Remote, error) {
	if err := src.validate(); err != nil {
		return nil, err
	}
	return dialRemote(ctx, src, newKnowledge())
}

// dialRemote is DialRemote for a source that is valid.
func dialRemote(ctx context.Context, src Source, know *knowledge) (Remote, error) {
	if src.Secrets != nil {
		var err error
		if src.Password, src.KeyPassphrase, err = src.Secrets(); err != nil {
			return nil, fmt.Errorf("%w %q: %w", ErrSource, src.Redacted(), err)
		}
	}
	if src.sftp() {
		return dialSFTP(ctx, src, know)
	}
	return dial(ctx, src, know)
}
