package ftpbridge

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"
	"time"

	"gateway/integrity"
	"gateway/listing"
	"gateway/storage"
)

// uploadOwner is how the spool remembers what an upload is: its own names are none
// that a user gave.
type uploadOwner struct {
	Owner     string `json:"owner"`
	Name      string `json:"name"`
	Exclusive bool   `json:"exclusive,omitempty"`
}

func (o uploadOwner) String() string {
	b, _ := json.Marshal(o) // strings and a bool
	return string(b)
}

// Create implements storage.FS.
func (m *Mount) Create(ctx context.Context, name string, o storage.CreateOptions) (up storage.Upload, err error) {
	err = m.frame(ctx, "create", name, func() error {
		if m.o.ReadOnly {
			return ErrReadOnly
		}
		m.names.RLock()
		err := m.mayCreate(ctx, name, o)
		m.names.RUnlock()
		if err != nil {
			return err
		}
		up, err = m.create(ctx, name, o)
		return err
	})
	if err != nil {
		return nil, err
	}
	return up, nil
}

func (m *Mount) mayCreate(ctx context.Context, name string, o storage.CreateOptions) error {
	if name == "" {
		return storage.ErrIsDir
	}
	if _, _, err := m.newName(ctx, name); err != nil {
		return err
	}
	e, err := m.lookup(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if o.Edit {
			return err
		}
		return nil
	case err != nil:
		return err
	case e.typ == listing.Dir:
		return storage.ErrIsDir
	case o.Exclusive:
		return fs.ErrExist
	}
	return nil
}

func (m *Mount) create(ctx context.Context, name string, o storage.CreateOptions) (storage.Upload, error) {
	owner := uploadOwner{Owner: o.Owner, Name: name, Exclusive: o.Exclusive}
	staged, err := m.o.Spool.Create(ctx, spooledName, storage.CreateOptions{Owner: owner.String(), Size: o.Size})
	if err != nil {
		return nil, err
	}
	up := &mountUpload{Upload: staged, m: m, name: name, exclusive: o.Exclusive}
	if o.Edit {
		if err := m.copyInto(ctx, staged, name); err != nil {
			staged.Abort(context.WithoutCancel(ctx))
			return nil, err
		}
	}
	return up, nil
}

// copyInto begins an upload with the bytes that the file has now.
func (m *Mount) copyInto(ctx context.Context, up storage.Upload, name string) error {
	f, err := m.open(ctx, name)
	if err != nil {
		return err
	}
	defer f.Close()
	return hashInto(ctx, &offsetWriter{up, 0}, f, f.Info().Size)
}

type offsetWriter struct {
	up  storage.Upload
	off int64
}

func (w *offsetWriter) Write(p []byte) (int, error) {
	n, err := w.up.WriteAt(p, w.off)
	w.off += int64(n)
	return n, err
}

// mountUpload is staged in the spool; only Commit has to do with the server.
type mountUpload struct {
	storage.Upload
	m         *Mount
	name      string
	exclusive bool
	done      bool
}

// Commit implements storage.Upload.
func (u *mountUpload) Commit(ctx context.Context, o storage.CommitOptions) (info storage.Info, err error) {
	m := u.m
	err = m.frame(ctx, "commit", u.name, func() error {
		if u.done {
			return fs.ErrClosed
		}
		if o.ModTime.IsZero() {
			o.ModTime = time.Now()
		}
		if !storage.ValidModTime(o.ModTime) {
			return fs.ErrInvalid
		}
		info, err = m.send(ctx, u, o)
		return err
	})
	if err == nil || !storage.CommitRetryable(err) {
		u.done = true
		u.Upload.Abort(context.WithoutCancel(ctx))
	}
	return info, err
}

// Abort implements storage.Upload.
func (u *mountUpload) Abort(ctx context.Context) error {
	u.done = true
	return u.Upload.Abort(ctx)
}

// send brings a staged file to the server and gives it its name.
func (m *Mount) send(ctx context.Context, u *mountUpload, o storage.CommitOptions) (storage.Info, error) {
	if u.exclusive {
		o.IfNoneMatch = true
	}
	sum, err := u.digest(ctx, o.SHA256)
	if err != nil {
		return storage.Info{}, err
	}
	// Before the bytes travel: what is refused now would be refused afterwards.
	m.names.RLock()
	_, err = m.conditions(ctx, u.name, o)
	var dir *mountDir
	var raw string
	if err == nil {
		dir, raw, err = m.newName(ctx, u.name)
	}
	m.names.RUnlock()
	if err != nil {
		return storage.Info{}, err
	}
	temporary := dir.join(temporaryName())
	at, err := m.transfer(ctx, u, temporary, sum, o.ModTime)
	if err != nil {
		m.removeTemporary(ctx, temporary)
		return storage.Info{}, err
	}
	info, err := m.publish(ctx, u, dir, raw, temporary, at, o)
	if err != nil {
		m.removeTemporary(ctx, temporary)
	}
	return info, err
}

// digest computes what the staged bytes hash to and compares it with want.
func (u *mountUpload) digest(ctx context.Context, want []byte) ([]byte, error) {
	h := sha256.New()
	if err := hashInto(ctx, h, u, u.Size()); err != nil {
		return nil, err
	}
	sum := h.Sum(nil)
	if want != nil && !bytes.Equal(sum, want) {
		return nil, storage.ErrDigest
	}
	return sum, nil
}

// An upload on its way to the server has a name of this form. Mounts do not show
// it; other clients of the server see it while it grows, on Unix as a hidden file.
const (
	temporaryPrefix = ".gw-"
	temporarySuffix = ".tmp"
	temporaryRandom = 12 // characters between
)

func temporaryName() string { return temporaryPrefix + rand.Text()[:temporaryRandom] + temporarySuffix }

func isTemporary(name string) bool {
	return strings.HasPrefix(name, temporaryPrefix) && strings.HasSuffix(name, temporarySuffix) &&
		len(name) == len(temporaryPrefix)+temporaryRandom+len(temporarySuffix)
}

// transfer stores the bytes and makes as sure as it can that the server has them.
// It returns the time that the file has there, zero if the server does not tell.
func (m *Mount) transfer(ctx context.Context, u *mountUpload, path string, sum []byte, modTime time.Time) (at time.Time, err error) {
	err = m.act(ctx, func(r Remote) error {
		if _, err := r.Store(ctx, path, storage.Reader(ctx, u), 0); err != nil {
			return err
		}
		if err := m.sameHash(ctx, r, path, u.Size(), sum); err != nil {
			return err
		}
		if err := r.SetModTime(ctx, path, modTime); err != nil && (r.Broken() || ctx.Err() != nil) {
			return err
		} // any other refusal: the file has the time of its upload, as on a server without the command
		at, err = r.ModTime(ctx, path)
		if err != nil && !r.Broken() && ctx.Err() == nil {
			err = nil
		}
		return err
	})
	return at, err
}

// sameHash asks the server for its own hash of what was stored, if it has a strong one.
func (m *Mount) sameHash(ctx context.Context, r Remote, path string, size int64, sum []byte) error {
	if alg, ok := r.Info().HashAlgorithm(); !ok || alg != integrity.SHA256 {
		return nil
	}
	theirs, command, err := r.Hash(ctx, path, size)
	if errors.Is(err, ErrUnsupported) {
		return nil
	}
	if err != nil && (r.Broken() || ctx.Err() != nil) {
		return err
	}
	if err == nil && !bytes.Equal(theirs.Sum, sum) {
		return fmt.Errorf("%w: %s says that the server has other bytes than were sent", storage.ErrDigest, command)
	}
	return nil
}

func (m *Mount) removeTemporary(ctx context.Context, path string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	err := m.ask(ctx, func(r Remote) error { return r.Remove(ctx, path) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.log.Warn("mount: a temporary file may be left on the server", "path", path, "error", err)
	}
}

// publish gives stored bytes their name, if the conditions hold at that moment.
func (m *Mount) publish(ctx context.Context, u *mountUpload, dir *mountDir, raw, temporary string, at time.Time, o storage.CommitOptions) (storage.Info, error) {
	m.names.Lock()
	defer m.names.Unlock()
	old, err := m.conditions(ctx, u.name, o)
	if err != nil {
		return storage.Info{}, err
	}
	if old != nil {
		raw = old.raw
		m.settle(ctx, u.name)
	}
	if err := m.move(ctx, temporary, dir.join(raw), old); err != nil {
		m.forget(u.name)
		return storage.Info{}, err
	}
	e := &mountEntry{raw: raw, typ: listing.File, size: u.Size(), mod: at, precision: time.Second}
	if at.IsZero() {
		e.mod = time.Now().UTC().Truncate(time.Second) // until the listing tells better
	}
	m.patch(u.name, e)
	m.remember(u.name, e)
	return m.info(u.name, e), nil
}

// conditions looks at what is to be replaced; nil if nothing is there.
func (m *Mount) conditions(ctx context.Context, name string, o storage.CommitOptions) (*mountEntry, error) {
	e, err := m.lookup(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && o.IfMatch != "":
		return nil, storage.ErrPrecondition
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case o.IfNoneMatch:
		return nil, fs.ErrExist
	case e.typ == listing.Dir:
		return nil, storage.ErrIsDir
	case o.IfMatch != "" && m.info(name, e).ETag != o.IfMatch:
		return nil, storage.ErrPrecondition
	}
	return e, nil
}

// Resume implements storage.Resumer.
func (m *Mount) Resume(ctx context.Context, t storage.Token) (storage.Upload, error) {
	var found *uploadOwner
	for s, err := range m.o.Spool.Suspended(ctx, "") {
		if err != nil {
			return nil, err
		}
		if o, ok := ownerOf(s); ok && s.Token == t {
			found = &o
			break
		}
	}
	if found == nil {
		return nil, storage.PathError("resume", "", fs.ErrNotExist)
	}
	up, err := m.o.Spool.Resume(ctx, t)
	if err != nil {
		return nil, storage.PathError("resume", found.Name, err)
	}
	return &mountUpload{Upload: up, m: m, name: found.Name, exclusive: found.Exclusive}, nil
}

func ownerOf(s storage.Suspended) (o uploadOwner, ok bool) {
	err := json.Unmarshal([]byte(s.Owner), &o)
	return o, err == nil && s.Name == spooledName
}

// Suspended implements storage.Resumer.
func (m *Mount) Suspended(ctx context.Context, owner string) iter.Seq2[storage.Suspended, error] {
	return SpooledUploads(ctx, m.o.Spool, owner)
}

// SpooledUploads are the suspended uploads that lie in the spool of a Mount; owner "" means everybody's.
func SpooledUploads(ctx context.Context, spool storage.Resumer, owner string) iter.Seq2[storage.Suspended, error] {
	return func(yield func(storage.Suspended, error) bool) {
		for s, err := range spool.Suspended(ctx, "") {
			if err != nil {
				yield(s, err)
				return
			}
			o, ok := ownerOf(s)
			if !ok || owner != "" && o.Owner != owner {
				continue
			}
			s.Owner, s.Name = o.Owner, o.Name
			if !yield(s, nil) {
				return
			}
		}
	}
}

// Discard implements storage.Resumer.
func (m *Mount) Discard(ctx context.Context, t storage.Token) error {
	return storage.PathError("discard", "", m.o.Spool.Discard(ctx, t))
}
