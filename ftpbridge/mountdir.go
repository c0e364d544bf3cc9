package ftpbridge

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"slices"
	"time"

	"gateway/listing"
	"gateway/storage"
)

// mountDir is one listing, kept for a while. Its entries are guarded by Mount.mu.
type mountDir struct {
	name    string // in the tree
	raw     string // path on the server
	read    time.Time
	join    func(name string) string
	entries map[string]*mountEntry
}

// mountEntry is a file or folder of a listing. It is not changed once it is in a
// mountDir: patch puts another in its place.
type mountEntry struct {
	raw       string
	typ       listing.Type
	size      int64 // -1: unknown
	estimated bool  // size is a guess from blocks
	mod       time.Time
	precision time.Duration // of mod; 0: unknown
	link      bool          // the rest is of what it leads to, once followed
	followed  bool
}

func (d *mountDir) count() int { return len(d.entries) }

// lookup finds a file or folder below the root by the listing of its folder.
func (m *Mount) lookup(ctx context.Context, name string) (*mountEntry, error) {
	up, base := storage.Split(name)
	d, err := m.readDir(ctx, up)
	if errors.Is(err, storage.ErrNotDir) {
		return nil, fs.ErrNotExist
	}
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	e := d.entries[base]
	m.mu.Unlock()
	if e == nil {
		return nil, fs.ErrNotExist
	}
	if e.link && !e.followed {
		return m.follow(ctx, name, d, e)
	}
	return e, nil
}

// readDir is a listing that is not older than TTL.
func (m *Mount) readDir(ctx context.Context, name string) (*mountDir, error) {
	m.mu.Lock()
	d := m.dirs[name]
	m.mu.Unlock()
	if d != nil && time.Since(d.read) < m.o.TTL {
		return d, nil
	}
	raw, err := m.rawDir(ctx, name)
	if err != nil {
		return nil, err
	}
	// Who asks first lists for all. Its end must not be theirs, so it runs under the
	// Mount's own context; a session's deadlines bound it.
	result := m.flights.DoChan(name, func() (any, error) { return m.list(name, raw) })
	select {
	case r := <-result:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*mountDir), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// rawDir finds the folder's path on the server.
func (m *Mount) rawDir(ctx context.Context, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	e, err := m.lookup(ctx, name)
	if err != nil {
		return "", err
	}
	if e.typ != listing.Dir {
		return "", storage.ErrNotDir
	}
	d, err := m.readDir(ctx, parent(name))
	if err != nil {
		return "", err
	}
	return d.join(e.raw), nil
}

func (m *Mount) list(name, raw string) (*mountDir, error) {
	ctx, cancel := context.WithTimeout(m.ctx, m.listTime)
	defer cancel()
	res, err := asked(ctx, m, func(r Remote) (listing.Result, error) { return r.List(ctx, raw) })
	if err != nil && ctx.Err() != nil && m.ctx.Err() == nil {
		err = fmt.Errorf("%w: the listing did not end within %v: %w", ErrTimeout, m.listTime, err)
	}
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && name != "" {
			m.forget(name)
		}
		return nil, err
	}
	d := &mountDir{
		name: name, raw: raw, read: time.Now(), entries: make(map[string]*mountEntry, len(res.Entries)),
		join: func(base string) string { return m.pool.Join(raw, base) },
	}
	for _, e := range res.Entries {
		base, fault := safeName(e.Name, e.RawName, storage.MaxElement)
		other := d.entries[base]
		// Of two that would have one name it is always the same that has it.
		if fault != "" || e.Type == listing.Other || isTemporary(base) || other != nil && (other.raw == base || e.RawName != base && other.raw <= e.RawName) {
			continue
		}
		d.entries[base] = newMountEntry(e)
	}
	m.keep(d)
	return d, nil
}

// asked is Mount.ask for calls that give something.
func asked[T any](ctx context.Context, m *Mount, fn func(Remote) (T, error)) (v T, err error) {
	err = m.ask(ctx, func(r Remote) (err error) {
		v, err = fn(r)
		return err
	})
	return v, err
}

func newMountEntry(e listing.Entry) *mountEntry {
	n := &mountEntry{raw: e.RawName, typ: e.Type, size: e.Size, estimated: e.SizeEstimated}
	if p := precision(e.ModTime.Precision); p != 0 && storage.ValidModTime(e.ModTime.Time) {
		n.mod, n.precision = e.ModTime.UTC(), p
	}
	if e.Type == listing.Link {
		n.link, n.typ = true, listing.File
	}
	return n
}

// keep makes d the listing of its folder, and forgets the oldest where there are
// too many entries.
func (m *Mount) keep(d *mountDir) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(d.name)
	m.dirs[d.name] = d
	m.entries += len(d.entries)
	for m.entries > MaxMountEntries && len(m.dirs) > 1 {
		oldest := ""
		for name, other := range m.dirs {
			if o := m.dirs[oldest]; name != d.name && (o == nil || oldest == d.name || other.read.Before(o.read)) {
				oldest = name
			}
		}
		if oldest == d.name {
			return
		}
		m.drop(oldest)
	}
}

// drop is forget with Mount.mu held.
func (m *Mount) drop(dir string) {
	if d := m.dirs[dir]; d != nil {
		m.entries -= len(d.entries)
		delete(m.dirs, dir)
	}
}

// forget drops the listing that name is in: something is not as it says.
func (m *Mount) forget(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(parent(name))
}

// forgetBelow drops the listing of a folder and of all below it.
func (m *Mount) forgetBelow(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for dir := range m.dirs {
		if storage.Within(dir, name) {
			m.drop(dir)
		}
	}
}

// patch brings a listing in line with a change that was made; nil removes.
func (m *Mount) patch(name string, e *mountEntry) {
	up, base := storage.Split(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.dirs[up]
	if d == nil {
		return
	}
	m.entries -= len(d.entries)
	if e == nil {
		delete(d.entries, base)
	} else {
		d.entries[base] = e
	}
	m.entries += len(d.entries)
}

// snapshot yields the entries of a listing, sorted, while others may change it.
func (m *Mount) snapshot(d *mountDir) iter.Seq2[string, *mountEntry] {
	m.mu.Lock()
	names := slices.Sorted(maps.Keys(d.entries))
	m.mu.Unlock()
	return func(yield func(string, *mountEntry) bool) {
		for _, base := range names {
			m.mu.Lock()
			e := d.entries[base]
			m.mu.Unlock()
			if e != nil && !yield(base, e) {
				return
			}
		}
	}
}

// follow finds out what a link leads to: a file has a size, a folder can be
// listed. fs.ErrNotExist where it leads to neither.
func (m *Mount) follow(ctx context.Context, name string, d *mountDir, e *mountEntry) (*mountEntry, error) {
	path := d.join(e.raw)
	there := *e
	there.followed = true
	there.mod, there.precision, there.size = time.Time{}, 0, -1
	err := m.ask(ctx, func(r Remote) (err error) {
		if there.size, err = r.Size(ctx, path); err == nil {
			there.typ = listing.File
			return nil
		}
		if r.Broken() || ctx.Err() != nil {
			return err
		}
		if _, lerr := r.List(ctx, path); lerr != nil {
			return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
		}
		there.typ, there.size = listing.Dir, 0
		return nil
	})
	if err != nil {
		return nil, err
	}
	m.patch(name, &there)
	return &there, nil
}

// refine asks for what the listing did not tell of a file.
func (m *Mount) refine(ctx context.Context, name string, e *mountEntry) (*mountEntry, error) {
	if e.typ != listing.File || e.size >= 0 && !e.estimated {
		return e, nil
	}
	d, err := m.readDir(ctx, parent(name))
	if err != nil {
		return nil, err
	}
	better := *e
	err = m.ask(ctx, func(r Remote) (err error) {
		better.size, err = r.Size(ctx, d.join(e.raw))
		return err
	})
	if errors.Is(err, ErrUnsupported) {
		return e, nil // it shows when the file is read
	}
	if err != nil {
		return nil, err
	}
	better.estimated = false
	m.patch(name, &better)
	return &better, nil
}

// ownVersion is the exact version of a file that was written through the Mount,
// which a listing may show less exactly.
type ownVersion struct {
	size  int64
	mod   time.Time
	nonce uint64
}

func randomNonce() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:])
}

// remember makes e, just written, a version of its own at name.
func (m *Mount) remember(name string, e *mountEntry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.next++
	if len(m.own) >= MaxMountVersions {
		for other := range m.own { // any: what is forgotten gets a new ETag, no more
			delete(m.own, other)
			break
		}
	}
	m.own[name] = ownVersion{size: e.size, mod: e.mod, nonce: m.next}
}

// version is what was written at name through the Mount.
func (m *Mount) version(name string) (ownVersion, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.own[name]
	return v, ok
}

// info describes an entry.
func (m *Mount) info(name string, e *mountEntry) storage.Info {
	_, base := storage.Split(name)
	m.mu.Lock()
	defer m.mu.Unlock()
	info := storage.Info{Name: base, ModTime: e.mod, Link: e.link}
	if e.typ == listing.Dir {
		info.Mode = fs.ModeDir | 0o755
		return info
	}
	info.Mode, info.Size = 0o644, max(e.size, 0)
	own, ok := m.own[name]
	if ok && (own.size != e.size || !sameTime(own.mod, e.mod, e.precision)) {
		delete(m.own, name) // somebody else replaced it
		ok = false
	}
	if ok {
		info.ModTime = own.mod
	}
	info.ETag = versionTag(info.Size, info.ModTime, own.nonce)
	return info
}

func sameTime(exact, listed time.Time, p time.Duration) bool {
	if p == 0 {
		return true // nothing speaks against it
	}
	return cut(exact.UTC(), p).Equal(cut(listed.UTC(), p))
}

func versionTag(size int64, mod time.Time, nonce uint64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %d", size, mod.Unix(), nonce))
	return hex.EncodeToString(sum[:12])
}
