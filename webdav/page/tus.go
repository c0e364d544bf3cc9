package page

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gateway/storage"
)

// Uploads that can be gone on with: tus 1.0.0 with the extensions creation, creation-with-upload, expiration and
// termination (https://tus.io/protocols/resumable-upload).
//
// An upload is a staged one of the storage. Its address is made of the storage's token and of what is to be done
// in the end, and signed; nothing else is kept of it. What has come is made durable when the connection ends, and while
// it lasts every checkpointEvery, so that it can be gone on with on any node.
const (
	tusVersion    = "1.0.0"
	tusExtensions = "creation,creation-with-upload,expiration,termination"

	checkpointEvery = 8 * time.Second
	maxMetadata     = 24 << 10 // bytes of the header
)

// pending is an upload, as its address says.
type pending struct {
	Token   storage.Token `json:"t"`
	Size    int64         `json:"s"`           // that it has when it is whole, in bytes
	ModTime int64         `json:"m,omitempty"` // ms since 1970; 0: none
	New     bool          `json:"n,omitempty"` // it must replace nothing
}

// address is what stands behind "tus/" for an upload of a user.
func (q *request) address(p pending) string {
	data, _ := json.Marshal(p) // strings and numbers
	text := base64.RawURLEncoding.EncodeToString(data)
	return text + "." + base64.RawURLEncoding.EncodeToString(q.h.sign("upload", q.User+"\x00"+text))
}

func (q *request) parseAddress(address string) (p pending, err error) {
	unknown := refuse(http.StatusNotFound, "There is no such upload. It may have expired.")
	text, mac, _ := strings.Cut(address, ".")
	sum, err := base64.RawURLEncoding.DecodeString(mac)
	if err != nil || !hmac.Equal(sum, q.h.sign("upload", q.User+"\x00"+text)) {
		return p, unknown
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(data, &p) != nil {
		return p, unknown
	}
	return p, nil
}

// tus serves what is below "tus/".
func (q *request) tus(ctx context.Context, rest string) error {
	hd := q.w.Header()
	hd.Set("Tus-Resumable", tusVersion)
	if q.Method == http.MethodOptions {
		hd.Set("Tus-Version", tusVersion)
		hd.Set("Tus-Extension", tusExtensions)
		q.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	if q.Header.Get("Tus-Resumable") != tusVersion {
		hd.Set("Tus-Version", tusVersion)
		return refuse(http.StatusPreconditionFailed, "Only version 1.0.0 of tus is spoken here.")
	}
	if rest == "" {
		if q.Method != http.MethodPost {
			return refuse(http.StatusMethodNotAllowed, "An upload is begun with POST.")
		}
		return q.begin(ctx)
	}
	p, err := q.parseAddress(rest)
	if err != nil {
		return err
	}
	switch q.Method {
	case http.MethodHead:
		return q.tell(ctx, p)
	case http.MethodPatch:
		return q.goOn(ctx, p)
	case http.MethodDelete:
		return q.terminate(ctx, p)
	}
	return refuse(http.StatusMethodNotAllowed, "An upload takes HEAD, PATCH and DELETE.")
}

// metadata reads Upload-Metadata: pairs of a key and a value in base64, with commas between.
func metadata(header string) (map[string]string, bool) {
	if len(header) > maxMetadata {
		return nil, false
	}
	m := map[string]string{}
	for pair := range strings.SplitSeq(header, ",") {
		key, value, _ := strings.Cut(strings.TrimSpace(pair), " ")
		if key == "" {
			continue
		}
		text, err := base64.StdEncoding.DecodeString(value)
		if _, twice := m[key]; err != nil || twice {
			return nil, false
		}
		m[key] = string(text)
	}
	return m, true
}

// begin serves the creation, with the first bytes or all of them.
func (q *request) begin(ctx context.Context) error {
	size, err := strconv.ParseInt(q.Header.Get("Upload-Length"), 10, 64)
	if err != nil || size < 0 || size == math.MaxInt64 {
		return refuse(http.StatusBadRequest, "Upload-Length is not a length in bytes.")
	}
	m, ok := metadata(q.Header.Get("Upload-Metadata"))
	if !ok {
		return refuse(http.StatusBadRequest, "Upload-Metadata cannot be read.")
	}
	name, err := q.target(ctx, m)
	if err != nil {
		return err
	}
	p := pending{Size: size, New: m["replace"] != "1"}
	if ms, err := strconv.ParseInt(m["mtime"], 10, 64); err == nil && storage.ValidModTime(time.UnixMilli(ms)) {
		p.ModTime = ms
	}
	with := q.Header.Get("Content-Type") == "application/offset+octet-stream"
	whole := size == 0 || with && q.ContentLength == size
	if with && q.ContentLength > size {
		return refuse(http.StatusRequestEntityTooLarge, "There are more bytes than Upload-Length says.")
	}
	// Not Exclusive: whoever finds the name taken may decide to replace what is there, after all has been sent. The
	// commit has the condition.
	switch info, err := q.fs.Stat(ctx, name); {
	case err == nil && info.IsDir():
		return uploadError(storage.ErrIsDir)
	case err == nil && p.New:
		return uploadError(fs.ErrExist)
	}
	up, err := q.fs.Create(ctx, name, storage.CreateOptions{Owner: q.User, Size: size, Sequential: whole})
	if err != nil {
		return uploadError(err)
	}
	defer up.Abort(context.WithoutCancel(ctx))
	if whole {
		return q.beginWhole(ctx, up, p, name)
	}
	if p.Token, err = up.Checkpoint(ctx); err != nil {
		return err // errors.ErrUnsupported: the script sends it in one piece
	}
	hd := q.w.Header()
	hd.Set("Location", Prefix+"tus/"+q.address(p))
	hd.Set("Upload-Offset", "0")
	if with {
		work := q.h.uploads.enter(p.Token, q.w)
		defer work.leave()
		offset, readErr := q.copy(ctx, work, up, 0, size)
		if readErr != nil && offset == 0 {
			return readErr
		}
		hd.Set("Upload-Offset", strconv.FormatInt(offset, 10))
	}
	if err := q.suspend(ctx, up); err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusCreated)
	return nil
}

// beginWhole stores an upload whose bytes all come with its creation: nothing is kept if they do not.
func (q *request) beginWhole(ctx context.Context, up storage.Upload, p pending, name string) error {
	work := q.h.uploads.enter("", q.w)
	defer work.leave()
	offset, err := q.copy(ctx, work, up, 0, p.Size)
	if err != nil {
		return err
	}
	if offset < p.Size {
		return brokenOff(io.ErrUnexpectedEOF)
	}
	if err := q.commit(ctx, up, p, name); err != nil {
		return uploadError(err)
	}
	q.w.Header().Set("Location", Prefix+"tus/"+q.address(p))
	q.w.Header().Set("Upload-Offset", strconv.FormatInt(p.Size, 10))
	q.w.WriteHeader(http.StatusCreated)
	return nil
}

// target is where an upload goes: a path below a folder. Folders that are missing in it are made.
func (q *request) target(ctx context.Context, m map[string]string) (string, error) {
	bad := refuse(http.StatusBadRequest, "This name is not allowed. Rename the file first.")
	folder, err := storage.CleanName(m["folder"])
	if err != nil {
		return "", bad
	}
	path, err := storage.CleanName(m["name"])
	if err != nil || path == "" {
		return "", bad
	}
	name, err := storage.CleanName(storage.Join(folder, path))
	if err != nil {
		return "", bad
	}
	if parent, _ := storage.Split(name); parent != folder {
		if err := storage.MkdirAll(ctx, q.fs, parent); err != nil {
			return "", uploadError(err)
		}
	}
	return name, nil
}

func (q *request) commit(ctx context.Context, up storage.Upload, p pending, name string) error {
	o := storage.CommitOptions{IfNoneMatch: p.New}
	if p.ModTime != 0 {
		o.ModTime = time.UnixMilli(p.ModTime)
	}
	// All of it is here: it is published even if the browser is gone by now.
	info, err := up.Commit(context.WithoutCancel(ctx), o)
	if err != nil {
		return err
	}
	q.h.uploads.finish(p.Token)
	q.changed("uploaded", name, "bytes", info.Size)
	return nil
}

// copy writes the body into an upload from offset on, up to size, and says how far it came. An error is one
// of the storage: after a connection that broke what has come is good.
func (q *request) copy(ctx context.Context, work *work, up storage.Upload, offset, size int64) (int64, error) {
	buf := make([]byte, copyBuffer)
	kept := q.h.now()
	for offset < size && !work.over() {
		n, err := io.ReadFull(q.Body, buf[:min(int64(len(buf)), size-offset)])
		if n > 0 {
			if _, err := up.WriteAt(buf[:n], offset); err != nil {
				return offset, err
			}
			offset += int64(n)
		}
		if err != nil {
			break
		}
		if now := q.h.now(); work.token != "" && now.Sub(kept) >= checkpointEvery && offset < size {
			if _, err := up.Checkpoint(ctx); err != nil && ctx.Err() == nil {
				return offset, err
			}
			kept = now
		}
	}
	return offset, nil //nolint:nilerr // the connection broke: what came is kept
}

// suspend keeps what has come.
func (q *request) suspend(ctx context.Context, up storage.Upload) error {
	until := q.h.now().Add(q.h.cfg.KeepUploads)
	if _, err := up.Suspend(context.WithoutCancel(ctx), storage.SuspendOptions{Until: until}); err != nil {
		return err
	}
	q.w.Header().Set("Upload-Expires", until.UTC().Format(http.TimeFormat))
	return nil
}

// kept finds a suspended upload.
func (q *request) kept(ctx context.Context, p pending) (storage.Resumer, storage.Suspended, error) {
	r, ok := q.fs.(storage.Resumer)
	if !ok {
		return nil, storage.Suspended{}, errors.ErrUnsupported
	}
	for s, err := range r.Suspended(ctx, q.User) {
		if err != nil {
			return nil, s, err
		}
		if s.Token == p.Token {
			return r, s, nil
		}
	}
	return nil, storage.Suspended{}, refuse(http.StatusNotFound, "There is no such upload. It may have expired.")
}

// tell serves HEAD: how far the upload is. Whoever asks wants to go on, so a connection that still has it is cut off.
func (q *request) tell(ctx context.Context, p pending) error {
	hd := q.w.Header()
	hd.Set("Upload-Length", strconv.FormatInt(p.Size, 10))
	work := q.h.uploads.enter(p.Token, q.w)
	defer work.leave()
	if q.h.uploads.finished(p.Token) {
		hd.Set("Upload-Offset", strconv.FormatInt(p.Size, 10))
		q.w.WriteHeader(http.StatusOK)
		return nil
	}
	_, s, err := q.kept(ctx, p)
	if err != nil {
		return err
	}
	hd.Set("Upload-Offset", strconv.FormatInt(s.Size, 10))
	if !s.Until.IsZero() {
		hd.Set("Upload-Expires", s.Until.UTC().Format(http.TimeFormat))
	}
	q.w.WriteHeader(http.StatusOK)
	return nil
}

// goOn serves PATCH. With X-Gateway-Replace: 1 the upload may replace a file, also if that was not said before.
func (q *request) goOn(ctx context.Context, p pending) error {
	if q.Header.Get("Content-Type") != "application/offset+octet-stream" {
		return refuse(http.StatusUnsupportedMediaType, "The bytes of an upload are application/offset+octet-stream.")
	}
	offset, err := strconv.ParseInt(q.Header.Get("Upload-Offset"), 10, 64)
	if err != nil || offset < 0 {
		return refuse(http.StatusBadRequest, "Upload-Offset is not an offset in bytes.")
	}
	if q.ContentLength > p.Size-offset {
		return refuse(http.StatusRequestEntityTooLarge, "There are more bytes than Upload-Length says.")
	}
	p.New = p.New && q.Header.Get("X-Gateway-Replace") != "1"
	work := q.h.uploads.enter(p.Token, q.w)
	defer work.leave()
	r, s, err := q.kept(ctx, p)
	if err != nil {
		return err
	}
	up, err := storage.ResumeClaimed(ctx, r, p.Token)
	if errors.Is(err, fs.ErrNotExist) {
		return refuse(http.StatusNotFound, "There is no such upload. It may have expired.")
	}
	if err != nil {
		return err
	}
	defer up.Abort(context.WithoutCancel(ctx))
	if up.Size() != offset {
		if err := q.suspend(ctx, up); err != nil {
			return err
		}
		return refuse(http.StatusConflict, "Upload-Offset is not how far the upload is.")
	}
	offset, err = q.copy(ctx, work, up, offset, p.Size)
	if err != nil {
		return errors.Join(uploadError(err), q.suspend(ctx, up))
	}
	if offset == p.Size && !work.over() {
		return q.publish(ctx, up, p, s.Name)
	}
	if err := q.suspend(ctx, up); err != nil {
		return err
	}
	q.patched(offset)
	return nil
}

func (q *request) publish(ctx context.Context, up storage.Upload, p pending, name string) error {
	err := q.commit(ctx, up, p, name)
	if err == nil {
		q.patched(p.Size)
		return nil
	}
	if storage.CommitRetryable(err) { // it can be tried again, to replace what is there
		if kept := q.suspend(ctx, up); kept != nil {
			return kept
		}
	}
	return uploadError(err)
}

func (q *request) patched(offset int64) {
	q.w.Header().Set("Upload-Offset", strconv.FormatInt(offset, 10))
	q.w.WriteHeader(http.StatusNoContent)
}

// terminate serves DELETE.
func (q *request) terminate(ctx context.Context, p pending) error {
	work := q.h.uploads.enter(p.Token, q.w)
	defer work.leave()
	r, _, err := q.kept(ctx, p)
	if err != nil {
		return err
	}
	if err := r.Discard(ctx, p.Token); err != nil {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}
