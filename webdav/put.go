package webdav

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"gateway/storage"
)

// uploadBuffer is what one PUT holds in memory, in bytes.
const uploadBuffer = 256 << 10

// put serves PUT (RFC 9110 section 9.3.4). A Content-Type is not kept: that of a file
// goes by its name. What Finder keeps beside files (._NAME, .DS_Store) are files like all.
func (q *request) put(ctx context.Context) error {
	if err := q.checkContentHeaders(); err != nil {
		return err
	}
	mtime, err := ocModTime(q.Header.Get("X-OC-Mtime"))
	if err != nil {
		return err
	}
	digests, err := q.expectedDigests()
	if err != nil {
		return err
	}
	now, err := q.present(ctx)
	if err != nil {
		return err
	}
	if q.slash || now.exists && now.info.IsDir() {
		return refuse(http.StatusMethodNotAllowed, "a folder cannot be uploaded")
	}
	commit, err := q.preconditions(now)
	if err != nil {
		return err
	}
	commit.ModTime = mtime
	change := effect{name: q.name, member: !now.exists}
	if err := q.confirm(ctx, change); err != nil {
		return err
	}
	info, err := q.receive(ctx, commit, change, digests)
	if err != nil {
		return err
	}
	hd := q.w.Header()
	if info.ETag != "" {
		hd.Set("ETag", quoteETag(info))
	}
	// Not every storage keeps times, and a client would ask for its file again and again.
	if !mtime.IsZero() && info.ModTime.Unix() == mtime.Unix() {
		hd.Set("X-OC-Mtime", "accepted")
	}
	if now.exists {
		q.w.WriteHeader(http.StatusNoContent)
	} else {
		q.w.WriteHeader(http.StatusCreated)
	}
	return nil
}

// checkContentHeaders refuses bodies that are not the file itself (RFC 9110
// section 14.5: a PUT with Content-Range must not replace the whole). A Range has no
// meaning with PUT, but lftp ("put -c") names by it the part that it sends.
func (q *request) checkContentHeaders() error {
	for _, header := range []string{"Content-Range", "Range"} {
		if q.Header.Get(header) != "" {
			return refuse(http.StatusBadRequest, "PUT with "+header+" is not supported; send the whole file. Nothing was stored")
		}
	}
	if e := q.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return refuse(http.StatusUnsupportedMediaType, "send the file without a Content-Encoding")
	}
	return nil
}

// receive stages the body and publishes it once all of it is there and is what the
// client says it is.
func (q *request) receive(ctx context.Context, commit storage.CommitOptions, change effect, digests *expected) (storage.Info, error) {
	size, err := q.expectedSize()
	if err != nil {
		return storage.Info{}, err
	}
	// Whatever can be refused is refused here, before the first byte is read: a client
	// that waits for 100 Continue sends none of them.
	up, err := q.fs.Create(ctx, q.name, storage.CreateOptions{
		Owner:      q.id.User.Name,
		Size:       size,
		Exclusive:  commit.IfNoneMatch,
		Sequential: true,
		Hashed:     digests.hashes["sha-256"] != nil,
	})
	if err != nil {
		return storage.Info{}, putError(err, commit)
	}
	defer up.Abort(context.WithoutCancel(ctx))
	var body io.Reader = q.Body
	if size >= 0 {
		body = io.LimitReader(body, size+1)
	}
	n, err := stage(up, io.TeeReader(body, digests))
	switch {
	case err != nil:
		return storage.Info{}, bodyError(err)
	case size >= 0 && n > size:
		return storage.Info{}, refuse(http.StatusBadRequest, "the request body is longer than X-Expected-Entity-Length; nothing was stored")
	case size >= 0 && n < size:
		return storage.Info{}, bodyError(io.ErrUnexpectedEOF)
	}
	sums, err := digests.check()
	if err != nil {
		return storage.Info{}, err
	}
	commit.SHA256 = sums["sha-256"]
	// An upload can take hours, in which others may have locked the name.
	if err := q.confirm(ctx, change); err != nil {
		return storage.Info{}, err
	}
	// The whole file is here: it is published even if the client has closed its
	// side of the connection, which ends the context.
	info, err := up.Commit(context.WithoutCancel(ctx), commit)
	if err == nil {
		q.h.sums.add(q.version(q.name, info), sums)
	}
	return info, putError(err, commit)
}

// putError tells a name that is taken because the client wanted it new from one
// that the user may not replace, and perhaps not even see.
func putError(err error, o storage.CommitOptions) error {
	if errors.Is(err, fs.ErrExist) && !o.IfNoneMatch {
		return fs.ErrPermission
	}
	return as(err, http.StatusConflict, "the folder does not exist", fs.ErrNotExist, storage.ErrNotDir)
}

// expectedSize is the length that the client announces and is held to: Finder does so
// in a header of its own when it sends chunks. -1 means unknown.
func (q *request) expectedSize() (int64, error) {
	announced := q.Header.Get("X-Expected-Entity-Length")
	if q.ContentLength >= 0 || announced == "" {
		return q.ContentLength, nil
	}
	n, err := strconv.ParseInt(announced, 10, 64)
	if err != nil || n < 0 || n == math.MaxInt64 {
		return 0, refuse(http.StatusBadRequest, "X-Expected-Entity-Length is not a length in bytes; nothing was stored")
	}
	return n, nil
}

// readError is a failure of the request body, as against one of the storage.
type readError struct{ err error }

func (e *readError) Error() string { return fmt.Sprintf("read the request body: %v", e.err) }
func (e *readError) Unwrap() error { return e.err }

// stage writes body into up from the start, in full buffers.
func stage(up io.WriterAt, body io.Reader) (int64, error) {
	buf := make([]byte, uploadBuffer)
	var off int64
	for {
		n, readErr := fill(body, buf)
		if n > 0 {
			if _, err := up.WriteAt(buf[:n], off); err != nil {
				return off, err
			}
			off += int64(n)
		}
		switch {
		case readErr == nil:
		case errors.Is(readErr, io.EOF):
			return off, nil
		default:
			return off, &readError{readErr}
		}
	}
}

// fill reads until buf is full. Unlike io.ReadFull it hands the error on as it
// is: there an end within the buffer and a body that was cut off look the same.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	return n, err
}

// bodyError is the answer to a body that could not be read. Most clients are gone
// by then.
func bodyError(err error) error {
	var (
		re     *readError
		tooBig *http.MaxBytesError
	)
	switch {
	case errors.As(err, &tooBig), errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case errors.As(err, &re), errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(http.StatusBadRequest, "the request body ended early; nothing was stored")
	}
	return err
}

// ocModTime reads X-OC-Mtime, seconds since 1970; zero where it is absent.
func ocModTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	whole, _, _ := strings.Cut(s, ".") // some clients send a fraction
	n, err := strconv.ParseInt(whole, 10, 64)
	if t := time.Unix(n, 0); err == nil && storage.ValidModTime(t) {
		return t, nil
	}
	return time.Time{}, refuse(http.StatusBadRequest, "X-OC-Mtime is not a time in seconds since 1970")
}

// resource is what is at a name now.
type resource struct {
	exists bool
	info   storage.Info
}

func (q *request) present(ctx context.Context) (resource, error) {
	info, err := q.fs.Stat(ctx, q.name)
	switch {
	case err == nil:
		return resource{exists: true, info: info}, nil
	case absent(err):
		return resource{}, nil
	}
	return resource{}, err
}

// preconditions evaluates If-Match, If-None-Match and If-Unmodified-Since of a
// changing method (RFC 9110 section 13), and returns them as conditions of the
// publish, so that they still hold at that moment.
func (q *request) preconditions(now resource) (storage.CommitOptions, error) {
	var o storage.CommitOptions
	match, none := q.Header.Get("If-Match"), q.Header.Get("If-None-Match")
	since := q.Header.Get("If-Unmodified-Since")
	failed := refuse(http.StatusPreconditionFailed, "the file is not the expected version")
	if match != "" {
		if !now.exists || !matchETag(match, now.info, true) {
			return o, failed
		}
		if match != "*" {
			o.IfMatch = now.info.ETag
		}
	} else if t, err := http.ParseTime(since); since != "" && err == nil && now.exists {
		if now.info.ModTime.Truncate(time.Second).After(t) {
			return o, failed
		}
		o.IfMatch = now.info.ETag
	}
	if none != "" {
		if now.exists && matchETag(none, now.info, false) {
			return o, failed
		}
		o.IfNoneMatch = none == "*"
	}
	return o, nil
}

// matchETag reports whether a list of entity tags, or "*", names the version.
// The strong comparison never matches a weak tag (RFC 9110 section 8.8.3.2).
func matchETag(header string, info storage.Info, strong bool) bool {
	if strings.TrimSpace(header) == "*" {
		return true
	}
	for header != "" {
		header = strings.TrimLeft(header, " \t,")
		rest, weak := strings.CutPrefix(header, "W/")
		tag, after, ok := strings.Cut(strings.TrimPrefix(rest, `"`), `"`)
		if !ok || !strings.HasPrefix(rest, `"`) {
			return false
		}
		if info.ETag != "" && tag == info.ETag && !(weak && strong) {
			return true
		}
		header = after
	}
	return false
}
