package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"gateway/listing"
	"gateway/storage"
)

// Defaults and bounds of a Mount.
const (
	// DefaultListingTTL is for how long a Mount believes a listing.
	DefaultListingTTL = 10 * time.Second
	// DefaultMountCache is how many bytes of files that were read a Mount keeps.
	DefaultMountCache = 4 << 30
	// MaxMountEntries is how many entries of listings a Mount keeps, of all folders.
	MaxMountEntries = 1_000_000
	// MaxMountVersions is of how many files that were written through it a Mount
	// remembers the exact version.
	MaxMountVersions = 100_000
	// mountListTime is how long a listing may take, however slowly it comes: whoever
	// changes names waits for those who look for one.
	mountListTime = 2 * time.Minute
	// mountSettleTime is how long a change waits for the readers of what it replaces.
	mountSettleTime = 30 * time.Second
)

// MountOptions says what to mount and how. Pool and Spool are required.
type MountOptions struct {
	// Pool is that of the source. Jobs of the same source may share it. The Mount
	// does not close it.
	Pool *Pool
	// Spool is a storage of the Mount's own on this machine: uploads on their way,
	// and files that were read.
	Spool storage.Resumer
	// TTL is for how long a listing is believed; 0 is DefaultListingTTL. What is
	// changed through the Mount is seen at once.
	TTL time.Duration
	// CacheSize in bytes bounds the files kept, and each file of which the server
	// does not tell the size; 0 is DefaultMountCache.
	CacheSize int64
	// ReadOnly refuses every change with fs.ErrPermission.
	ReadOnly bool
	// Prove, when not nil, makes every file that is opened a migration of its own:
	// it is fetched whole, judged by Prove.Policy, published in Prove.Dest, and read
	// there. What is not proved cannot be opened (fs.ErrPermission, with the reason).
	// Its Source is that of Pool.
	Prove *MigrateOptions
	// Logger is told of what no caller hears; nil is silent.
	Logger *slog.Logger
}

// Mount is a legacy server as a storage.FS: reading goes through to it, and so
// does writing.
//
//   - A file is read as one version, or not to its end: size and time are asked
//     when it is opened and again before the last bytes are given out, so that a
//     reader gets the whole old file, the whole new one, or an error.
//   - An upload is staged on this machine. Commit sends it to a temporary name on
//     the server, compares the size (and the server's own hash, where it has one),
//     and renames it. Where a server refuses to rename over a file, the old one is
//     moved aside first, and moved back if the second step fails.
//   - Conditions (IfMatch, IfNoneMatch) are decided by the Mount, one change at a
//     time. FTP has no way to keep somebody else from changing the server between
//     the question and the rename.
//   - An ETag is made of size and time, and of a number for what was written through
//     the Mount. Others who replace a file by one of the same size within the
//     precision of the listing's times are not noticed.
//
// Folders and files that cannot be named here are left out of listings.
type Mount struct {
	o    MountOptions
	pool *Pool
	log  *slog.Logger

	ctx    context.Context // ends with Close; background reads run under it
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// names is held for writing while something on the server changes its name, and
	// for reading while a file is found and opened.
	names   sync.RWMutex
	flights singleflight.Group

	mu      sync.Mutex
	dirs    map[string]*mountDir
	entries int // of dirs
	own     map[string]ownVersion
	next    uint64 // nonce of the next version that is written
	streams map[string]*stream
	cache   readCache
	learned traits

	prover prover

	listTime, settleTime time.Duration // mountListTime and mountSettleTime, but in tests
}

// traits is what a Mount learned of its server.
type traits struct {
	known   bool
	fold    bool // it takes "A" and "a" for the same
	dialect dialect
}

// ErrReadOnly is for a change through a Mount that is read only. It wraps fs.ErrPermission.
var ErrReadOnly = fmt.Errorf("the source is mounted read only: %w", fs.ErrPermission)

var _ storage.Resumer = (*Mount)(nil)

// NewMount makes a Mount. It connects to nothing yet.
func NewMount(ctx context.Context, o MountOptions) (*Mount, error) {
	if o.Pool == nil || o.Spool == nil || o.Prove != nil && o.Prove.Policy == nil {
		return nil, fmt.Errorf("mount: %w: Pool and Spool are needed, and a Policy to prove anything", ErrOptions)
	}
	setDefault(&o.TTL, DefaultListingTTL)
	setDefault(&o.CacheSize, DefaultMountCache)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	m := &Mount{
		o: o, pool: o.Pool, log: o.Logger,
		dirs: make(map[string]*mountDir), own: make(map[string]ownVersion),
		next: randomNonce(), streams: make(map[string]*stream),
		listTime: mountListTime, settleTime: mountSettleTime,
	}
	m.ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if err := m.cache.load(ctx, o.Spool, o.CacheSize); err != nil {
		m.cancel()
		return nil, fmt.Errorf("mount: %w", err)
	}
	return m, nil
}

// Close stops what reads in the background. Open files can be read no more.
func (m *Mount) Close() error {
	m.cancel()
	m.wg.Wait()
	return m.prover.end()
}

// learn takes over what a session knows of the server.
func (m *Mount) learn(r Remote) {
	info := r.Info()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.learned.known {
		return
	}
	d, ok := dialectNamed(info.Dialect)
	if !ok {
		d = unixDialect{} // SFTP
	}
	m.learned = traits{known: true, fold: d.name() != "unix", dialect: d}
}

// Properties implements storage.FS. Times can be set on most servers, but not on
// all, not of folders, and not before 1970, so that they are not promised. Before
// the first connection names that differ in case only are not promised either.
func (m *Mount) Properties() storage.Properties {
	m.mu.Lock()
	defer m.mu.Unlock()
	return storage.Properties{
		CaseSensitive: m.learned.known && !m.learned.fold, TrueDirectories: true, AtomicRename: true, Resume: true,
	}
}

// ask runs fn with a session, and once more where the first was broken.
func (m *Mount) ask(ctx context.Context, fn func(Remote) error) error {
	return m.pool.again(ctx, func(r Remote) error {
		m.learn(r)
		return fn(r)
	})
}

// act runs fn once: a change whose answer was lost must not be made twice.
func (m *Mount) act(ctx context.Context, fn func(Remote) error) error {
	return m.pool.Do(ctx, func(r Remote) error {
		m.learn(r)
		return fn(r)
	})
}

// frame wraps the error of a call and checks what every call checks first.
func (m *Mount) frame(ctx context.Context, op, name string, do func() error) error {
	err := ctx.Err()
	if err == nil {
		err = m.ctx.Err()
		if err != nil {
			err = fs.ErrClosed
		}
	}
	if err == nil {
		err = do()
	}
	return storage.PathError(op, name, mountError(err))
}

// mountError gives a server's refusal the sentinels of storage.
func mountError(err error) error {
	var re *ReplyError
	if errors.As(err, &re) && re.Code == 552 { // RFC 959: exceeded storage allocation
		return fmt.Errorf("%w: %w", storage.ErrNoSpace, err)
	}
	return err
}

// Stat implements storage.FS.
func (m *Mount) Stat(ctx context.Context, name string) (info storage.Info, err error) {
	err = m.frame(ctx, "stat", name, func() error {
		m.names.RLock()
		defer m.names.RUnlock()
		info, err = m.stat(ctx, name)
		return err
	})
	return info, err
}

func (m *Mount) stat(ctx context.Context, name string) (storage.Info, error) {
	if name == "" {
		return storage.Info{Mode: fs.ModeDir | 0o755}, nil
	}
	e, err := m.lookup(ctx, name)
	if err != nil {
		return storage.Info{}, err
	}
	if e, err = m.refine(ctx, name, e); err != nil {
		return storage.Info{}, err
	}
	return m.info(name, e), nil
}

// List implements storage.FS.
func (m *Mount) List(ctx context.Context, name string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		var d *mountDir
		err := m.frame(ctx, "list", name, func() (err error) {
			m.names.RLock()
			defer m.names.RUnlock()
			d, err = m.readDir(ctx, name)
			return err
		})
		if err != nil {
			yield(storage.Info{}, err)
			return
		}
		for base, e := range m.snapshot(d) {
			if err := ctx.Err(); err != nil {
				yield(storage.Info{}, storage.PathError("list", name, err))
				return
			}
			full := storage.Join(name, base)
			if e.link && !e.followed {
				if e, err = m.follow(ctx, full, d, e); err != nil {
					continue // it leads nowhere
				}
			}
			if !yield(m.info(full, e), nil) {
				return
			}
		}
	}
}

// Mkdir implements storage.FS.
func (m *Mount) Mkdir(ctx context.Context, name string) error {
	return m.change(ctx, "mkdir", name, func() error {
		if name == "" {
			return fs.ErrExist
		}
		dir, raw, err := m.newName(ctx, name)
		if err != nil {
			return err
		}
		if _, err := m.lookup(ctx, name); err == nil {
			return fs.ErrExist
		}
		if err := m.act(ctx, func(r Remote) error { return r.MakeDir(ctx, dir.join(raw)) }); err != nil {
			return m.since(ctx, name, err)
		}
		m.patch(name, &mountEntry{raw: raw, typ: listing.Dir, size: 0})
		return nil
	})
}

// since says why a new name could not be made: somebody may have been faster.
func (m *Mount) since(ctx context.Context, name string, err error) error {
	m.forget(name)
	if _, lerr := m.lookup(ctx, name); lerr == nil {
		return fmt.Errorf("%w: %w", fs.ErrExist, err)
	}
	return err
}

// Remove implements storage.FS.
func (m *Mount) Remove(ctx context.Context, name string) error {
	return m.change(ctx, "remove", name, func() error {
		if name == "" {
			return fs.ErrPermission
		}
		e, err := m.lookup(ctx, name)
		if err != nil {
			return err
		}
		dir, err := m.readDir(ctx, parent(name))
		if err != nil {
			return err
		}
		path := dir.join(e.raw)
		if e.typ == listing.Dir && !e.link {
			return m.removeDir(ctx, name, path)
		}
		m.settle(ctx, name)
		if err := m.act(ctx, func(r Remote) error { return r.Remove(ctx, path) }); err != nil {
			m.forget(name)
			return err
		}
		m.patch(name, nil)
		return nil
	})
}

func (m *Mount) removeDir(ctx context.Context, name, path string) error {
	m.forgetBelow(name)
	inside, err := m.readDir(ctx, name)
	if err == nil && inside.count() > 0 {
		return storage.ErrNotEmpty
	}
	if err := m.act(ctx, func(r Remote) error { return r.RemoveDir(ctx, path) }); err != nil {
		m.forget(name)
		return err
	}
	m.forgetBelow(name)
	m.patch(name, nil)
	return nil
}

// SetModTime implements storage.FS; errors.ErrUnsupported where the server has no
// command for it.
func (m *Mount) SetModTime(ctx context.Context, name string, t time.Time) error {
	return m.change(ctx, "set the time of", name, func() error {
		if !storage.ValidModTime(t) {
			return fs.ErrInvalid
		}
		if name == "" {
			return errors.ErrUnsupported
		}
		e, err := m.lookup(ctx, name)
		if err != nil {
			return err
		}
		dir, err := m.readDir(ctx, parent(name))
		if err != nil {
			return err
		}
		err = m.act(ctx, func(r Remote) error { return r.SetModTime(ctx, dir.join(e.raw), t) })
		if errors.Is(err, ErrUnsupported) {
			return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
		}
		if err != nil {
			return err
		}
		changed := *e
		changed.mod, changed.precision = t.UTC().Truncate(time.Second), time.Second
		m.patch(name, &changed)
		m.remember(name, &changed)
		return nil
	})
}

// change is the frame of every call that changes names on the server.
func (m *Mount) change(ctx context.Context, op, name string, do func() error) error {
	return m.frame(ctx, op, name, func() error {
		if m.o.ReadOnly {
			return ErrReadOnly
		}
		m.names.Lock()
		defer m.names.Unlock()
		return do()
	})
}

// Rename implements storage.FS.
func (m *Mount) Rename(ctx context.Context, from, to string, o storage.RenameOptions) error {
	return m.change(ctx, "rename", from, func() error {
		if from == "" || to == "" {
			return fs.ErrPermission
		}
		e, err := m.lookup(ctx, from)
		if err != nil {
			return err
		}
		isDir := e.typ == listing.Dir && !e.link
		switch {
		case from == to && o.Replace:
			return nil
		case from == to:
			return fs.ErrExist
		case storage.Within(to, from):
			return storage.ErrInvalidMove
		}
		dir, raw, err := m.newName(ctx, to)
		if err != nil {
			return err
		}
		old, err := m.lookup(ctx, to)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := m.mayReplace(ctx, to, old, isDir, o.Replace); err != nil {
			return err
		}
		source, err := m.readDir(ctx, parent(from))
		if err != nil {
			return err
		}
		m.settle(ctx, from)
		if old != nil {
			m.settle(ctx, to)
			raw = old.raw
		}
		if err := m.move(ctx, source.join(e.raw), dir.join(raw), old); err != nil {
			m.forget(from)
			m.forget(to)
			return err
		}
		m.moved(from, to, e, raw)
		return nil
	})
}

// mayReplace decides whether something may take the name of old, which may be nil.
func (m *Mount) mayReplace(ctx context.Context, name string, old *mountEntry, isDir, replace bool) error {
	if old == nil {
		return nil
	}
	oldIsDir := old.typ == listing.Dir && !old.link
	switch {
	case !replace:
		return fs.ErrExist
	case oldIsDir && !isDir:
		return storage.ErrIsDir
	case isDir && !oldIsDir:
		return storage.ErrNotDir
	case !oldIsDir:
		return nil
	}
	m.forgetBelow(name)
	inside, err := m.readDir(ctx, name)
	if err == nil && inside.count() > 0 {
		err = storage.ErrNotEmpty
	}
	return err
}

// moved brings what is known in line with a rename that was done.
func (m *Mount) moved(from, to string, e *mountEntry, raw string) {
	version, known := m.version(from)
	m.patch(from, nil)
	m.forgetBelow(from)
	m.forgetBelow(to)
	there := *e
	there.raw = raw
	m.patch(to, &there)
	m.mu.Lock()
	delete(m.own, from)
	delete(m.own, to)
	m.mu.Unlock()
	if known && e.typ != listing.Dir {
		there.mod, there.precision = version.mod, time.Second
	}
	if e.typ != listing.Dir {
		m.remember(to, &there) // another version at this name than any before
	}
}

// newName gives the folder of name, and the bytes by which the server will know
// its last element. It fails as storage.FS demands where the folder is none.
func (m *Mount) newName(ctx context.Context, name string) (*mountDir, string, error) {
	if _, err := storage.CleanName(name); err != nil {
		return nil, "", err
	}
	up := parent(name)
	dir, err := m.readDir(ctx, up)
	if errors.Is(err, fs.ErrNotExist) && up != "" {
		// Below a file, and not below nothing?
		for at := parent(up); ; at = parent(at) {
			e, lerr := m.lookup(ctx, at)
			if at == "" || lerr == nil && e.typ == listing.Dir {
				break
			}
			if lerr == nil {
				return nil, "", storage.ErrNotDir
			}
		}
	}
	if err != nil {
		return nil, "", err
	}
	_, base := storage.Split(name)
	raw, err := m.encode(base)
	if err != nil {
		return nil, "", err
	}
	return dir, raw, nil
}

// encode turns a name into the bytes that the server's other names are in.
func (m *Mount) encode(name string) (string, error) {
	charset := m.pool.src.Charset
	if charset == "" {
		charset, _ = m.pool.know.detector.Charset()
	}
	raw, err := listing.Encode(name, charset)
	if err != nil {
		return "", fmt.Errorf("%w: %w; the server's names are in %s", storage.ErrName, err, charset)
	}
	m.mu.Lock()
	d := m.learned.dialect
	m.mu.Unlock()
	if _, native := d.(nativeDialect); native {
		return "", fmt.Errorf("%w: new files can be given to servers with the paths of Unix or Windows only, this one has those of %s", ErrReadOnly, d.name())
	}
	why := d.unsafe(string(raw), false)
	if strings.HasSuffix(name, asideSuffix) || isTemporary(name) {
		why = "names of this form are the gateway's own"
	}
	if why != "" {
		return "", fmt.Errorf("%w: the server cannot have it: %s", storage.ErrName, why)
	}
	return string(raw), nil
}
