package s3

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"strconv"
	"strings"
	"time"

	"gateway/storage"
)

// Checkpoint implements storage.Upload. A page that is not full is sent as an object of its own.
func (u *upload) Checkpoint(ctx context.Context) (storage.Token, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return "", u.fail("checkpoint", err)
	}
	now := time.Now()
	return u.keep(ctx, now.Add(u.s.o.Keep), now.Add(u.s.o.lease))
}

// Suspend keeps the bytes whether or not the context has ended: the connection that it belongs to
// usually has.
func (u *upload) Suspend(ctx context.Context, o storage.SuspendOptions) (storage.Token, error) {
	ctx = context.WithoutCancel(ctx)
	u.mu.Lock()
	defer u.mu.Unlock()
	t, err := u.keep(ctx, o.Until, time.Time{})
	if u.closed {
		return t, err
	}
	u.close()
	if err != nil && !u.kept.exists() {
		_ = u.forget(ctx) // else the sweep does
	}
	return t, err
}

// keep makes the staged bytes, and that they can be resumed, durable. u.mu is held.
func (u *upload) keep(ctx context.Context, until, lease time.Time) (storage.Token, error) {
	if u.closed {
		return "", u.fail("checkpoint", fs.ErrClosed)
	}
	if err := u.flush(false); err != nil {
		return "", u.fail("checkpoint", err)
	}
	token := makeToken(u.o.Owner, u.id)
	key, _, _ := u.s.sidecarKey(token)
	if err := u.kept.write(ctx, u.s, key, u.sidecar(until, lease)); err != nil {
		return "", u.fail("checkpoint", err)
	}
	if !lease.IsZero() {
		u.s.renewing()
	}
	return token, nil
}

// sidecar describes the upload. u.mu is held.
func (u *upload) sidecar(until, lease time.Time) sidecar {
	side := sidecar{
		Name: u.name, Owner: u.o.Owner, Size: u.size, Exclusive: u.o.Exclusive, ModePerm: u.o.ModePerm,
		Updated: time.Now().UTC(), Until: until.UTC(), Lease: lease.UTC(),
		PartSize: u.s.o.PartSize, Direct: u.direct, Upload: u.multi.started(), Bigs: map[int64]string{},
		Hashed: u.sum.done, Hash: u.sum.state(),
	}
	if u.base != nil {
		side.Base = &sidecarBase{u.base.object.ETag, u.base.object.VersionID, u.base.object.Size, u.base.size}
	}
	u.sendMu.Lock()
	defer u.sendMu.Unlock()
	for k, m := range u.bigs {
		if id := m.started(); id != "" {
			side.Bigs[k] = id
		}
	}
	return side
}

// forget removes all that is staged of the upload. What Resume needs goes first.
func (u *upload) forget(ctx context.Context) error {
	if u.kept.isLost() {
		return nil // it is another's now
	}
	u.kept.mu.Lock()
	key := u.kept.key
	u.kept.mu.Unlock()
	var errs []error
	if key != "" {
		if err := u.s.remove(ctx, key); err != nil {
			return err
		}
	}
	errs = append(errs, u.multi.abort(ctx))
	u.sendMu.Lock()
	bigs, staged := maps.Clone(u.bigs), u.staged
	u.sendMu.Unlock()
	for _, m := range bigs {
		errs = append(errs, m.abort(ctx))
	}
	if staged {
		errs = append(errs, u.s.removePrefix(ctx, u.unitsKey()))
	}
	return errors.Join(errs...)
}

// Resume implements storage.Resumer. What was written after the last checkpoint is cut off; bytes
// before it that were written again since may be either.
func (s *Store) Resume(ctx context.Context, t storage.Token) (storage.Upload, error) {
	u, err := s.resume(ctx, t)
	if err != nil {
		return nil, s.fail("resume", "", err)
	}
	return u, nil
}

func (s *Store) resume(ctx context.Context, t storage.Token) (*upload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key, id, ok := s.sidecarKey(t)
	if !ok {
		return nil, fs.ErrNotExist
	}
	side, etag, err := s.readSidecar(ctx, key)
	if err != nil {
		return nil, err
	}
	if s.isOpen(id) || side.Lease.After(time.Now()) {
		return nil, storage.ErrBusy
	}
	if side.PartSize != s.o.PartSize {
		return nil, fmt.Errorf("it was begun with parts of %d bytes, and the configuration says %d now", side.PartSize, s.o.PartSize)
	}
	o := storage.CreateOptions{Owner: side.Owner, Size: -1, Exclusive: side.Exclusive, ModePerm: side.ModePerm}
	u := s.newUpload(id, side.Name, o, side.Direct)
	if err := s.enter(u); err != nil {
		return nil, err
	}
	if err := u.takeOver(ctx, key, etag, side); err != nil {
		s.leave(u)
		return nil, err
	}
	s.renewing()
	return u, nil
}

// takeOver claims a suspended upload and learns what the store has of it.
func (u *upload) takeOver(ctx context.Context, key, etag string, side sidecar) error {
	before := side
	side.Lease = time.Now().Add(u.s.o.lease).UTC()
	u.kept.etag = etag
	if err := u.kept.write(ctx, u.s, key, side); err != nil {
		return err // errLost is storage.ErrBusy
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	err := u.restore(ctx, side)
	if err != nil {
		before.Lease = time.Time{}
		_ = u.kept.write(context.WithoutCancel(ctx), u.s, key, before) // else the lease ends by itself
	}
	return err
}

// restore is the way back from a sidecar. u.mu is held.
func (u *upload) restore(ctx context.Context, side sidecar) error {
	u.staged, u.size = true, side.Size
	u.sum = resumeRunning(side.Hash, side.Hashed)
	if b := side.Base; b != nil {
		u.base = &base{version: version{s: u.s, key: u.key()}, size: b.Left}
		u.base.object.ETag, u.base.object.VersionID, u.base.object.Size = b.ETag, b.Version, b.Size
	}
	for object, err := range u.s.keys(ctx, u.unitsKey(), "", wholeTree) {
		if err != nil {
			return err
		}
		if index, err := strconv.ParseInt(object.Key[len(u.unitsKey()):], 10, 64); err == nil {
			u.units[index] = unit{object.Size, object.ETag}
			u.size = max(u.size, index*u.s.o.PartSize+object.Size)
		}
	}
	if err := u.restoreParts(ctx, side); err != nil {
		return err
	}
	return u.cut(side.Size)
}

// restoreParts learns which parts the store has.
func (u *upload) restoreParts(ctx context.Context, side sidecar) error {
	if side.Upload == "" {
		return nil
	}
	u.multi.id = side.Upload
	err := u.multi.load(ctx)
	if isMissing(err) && !u.direct { // the store has swept it: the pages are there still
		u.multi.id, u.multi.parts = "", map[int]part{}
		return nil
	}
	if err != nil || !u.direct {
		return err
	}
	for k, id := range side.Bigs {
		m := u.big(k)
		m.id = id
		if err := m.load(ctx); err != nil && !isMissing(err) { // missing: it was put together since
			return err
		}
	}
	u.size = side.Size // what came later is sent again
	for index := range side.Size / u.s.o.PartSize {
		if k := u.s.bigOf(index); k >= 0 {
			if _, ok := u.multi.get(u.s.bigPart(k)); ok {
				u.units[index] = unit{u.s.o.PartSize, ""}
				continue
			}
		}
		m, n := u.target(index)
		p, ok := m.get(n)
		if !ok || p.size != u.s.o.PartSize {
			return fmt.Errorf("%w: the store has lost part %d of it", fs.ErrNotExist, index+1)
		}
		u.units[index] = unit{p.size, p.etag}
	}
	last := side.Size / u.s.o.PartSize
	for index := range u.units {
		if index > last {
			delete(u.units, index)
		}
	}
	u.multi.keepBelow(int(min(last, int64(u.s.o.limits.plain))))
	return nil
}

// Suspended implements storage.Resumer. Uploads that are open and have been checkpointed are among them;
// to resume one is ErrBusy.
func (s *Store) Suspended(ctx context.Context, owner string) iter.Seq2[storage.Suspended, error] {
	return func(yield func(storage.Suspended, error) bool) {
		prefix := s.own + "uploads/"
		if owner != "" {
			prefix += ownerHash(owner) + "/"
		}
		for object, err := range s.keys(ctx, prefix, "", wholeTree) {
			var side sidecar
			if err == nil {
				side, _, err = s.readSidecar(ctx, object.Key)
			}
			if isMissing(err) || err == nil && owner != "" && side.Owner != owner {
				continue
			}
			if err != nil {
				yield(storage.Suspended{}, s.fail("list suspended uploads", "", err))
				return
			}
			t := storage.Token(strings.NewReplacer(s.own+"uploads/", "", "/", "", ".json", "").Replace(object.Key))
			found := storage.Suspended{Token: t, Name: side.Name, Owner: side.Owner, Size: side.Size, Updated: side.Updated, Until: side.Until}
			found.Claimed = side.Lease.After(time.Now())
			if !yield(found, nil) {
				return
			}
		}
	}
}

// Discard implements storage.Resumer. ErrBusy while the upload is open.
func (s *Store) Discard(ctx context.Context, t storage.Token) error {
	return s.fail("discard", "", s.discard(ctx, t))
}

func (s *Store) discard(ctx context.Context, t storage.Token) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	key, id, ok := s.sidecarKey(t)
	if !ok {
		return fs.ErrNotExist
	}
	side, _, err := s.readSidecar(ctx, key)
	if err != nil {
		return err
	}
	if s.isOpen(id) || side.Lease.After(time.Now()) {
		return storage.ErrBusy
	}
	return s.discardSidecar(ctx, key, id, side)
}

func (s *Store) discardSidecar(ctx context.Context, key, id string, side sidecar) error {
	u := s.newUpload(id, side.Name, storage.CreateOptions{}, side.Direct)
	u.staged, u.kept.key, u.multi.id = true, key, side.Upload
	for k, id := range side.Bigs {
		u.big(k).id = id
	}
	return u.forget(ctx)
}
