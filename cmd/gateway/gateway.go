package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gateway/auth"
	"gateway/config"
	"gateway/state"
	"gateway/state/postgres"
	"gateway/state/sqlite"
	"gateway/storage"
	"gateway/storage/disk"
)

// gateway is what the commands share, built from the configuration.
type gateway struct {
	cfg   config.Config
	log   *slog.Logger
	users *auth.Users
	state state.Store
	// storages are the folders on this machine and the buckets, by storage: those with a
	// path or s3, and of mounted sources with a policy what was proved.
	storages map[string]backend
	mounts   mounts
	// ledgers are those of storages that are not in state.
	ledgers map[string]state.Store

	// observers are told what users do. Complete before the first view is made.
	observers storage.Observers
	audit     *auditing
	events    *eventing

	sessions   *sessions
	bandwidths *bandwidths

	quotas  *quotas
	changes *underway
	level   *slog.LevelVar // of log
	runs    *liveRuns
}

// open builds it; the folders and the database are made at first use.
func (e *env) open() (*gateway, error) {
	cfg, err := e.config()
	if err != nil {
		return nil, err
	}
	g := &gateway{
		cfg:      cfg,
		level:    new(slog.LevelVar),
		quotas:   new(quotas),
		runs:     new(liveRuns),
		audit:    new(auditing),
		changes:  new(underway),
		sessions: new(sessions), bandwidths: new(bandwidths),
		storages: map[string]backend{},
		ledgers:  map[string]state.Store{},
	}
	g.log = newLoggerAt(e.err, cfg.Log, g.level)
	if err := g.open(e.ctx); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

func (g *gateway) open(ctx context.Context) error {
	if err := os.MkdirAll(g.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("data folder: %w; choose another with --data DIR", err)
	}
	g.observers = append(g.observers, g.sessions)
	err := g.bandwidths.configure(g.cfg)
	if err != nil {
		return err
	}
	if g.users, err = auth.OpenUsers(g.cfg.UsersDir()); err != nil {
		return err
	}
	if g.events, err = g.newEventing(); err != nil {
		return err
	}
	for _, name := range g.cfg.StorageNames() {
		s, path, mode := g.cfg.Storages[name], g.cfg.Storages[name].Path, fs.FileMode(0o755)
		if s.Source != "" {
			if g.cfg.Sources[s.Source].Policy == "" {
				continue // nothing of it is kept here
			}
			path, mode = filepath.Join(g.cfg.MountsDir(), name, "proved"), 0o700
		}
		var b backend
		if s.S3 != nil {
			said := g.sayWaiting("storage " + name + ", bucket " + s.S3.Bucket + " at " + s.S3.Endpoint)
			b, err = openBucket(ctx, g.cfg, name)
			said()
		} else {
			b, err = openFolder(path, mode)
		}
		if err != nil {
			return fmt.Errorf("storage %s: %w", name, err)
		}
		g.storages[name] = b
	}
	said := g.sayWaiting("the database, " + cmp.Or(g.cfg.State.URL, g.cfg.StateFile()))
	g.state, err = openState(ctx, g.cfg)
	said()
	if err != nil {
		return err
	}
	g.watchState()
	return g.openLedgers(ctx)
}

// waitingTime is for how long something may take until the operator is told that it does.
const waitingTime = 2 * time.Second

// sayWaiting logs what is waited for, if that takes long, until done is called.
func (g *gateway) sayWaiting(what string) (done func()) {
	t := time.AfterFunc(waitingTime, func() { g.log.Info("waiting for an answer", "of", what) })
	return func() { t.Stop() }
}

// openState opens the database, the one in the data folder unless the configuration
// names another.
func openState(ctx context.Context, c config.Config) (state.Store, error) {
	if !c.State.Shared() {
		s, err := sqlite.Open(ctx, c.StateFile())
		if err != nil {
			return nil, err // and no typed nil
		}
		return newCalm(s), nil
	}
	password, err := c.State.Password()
	if err != nil {
		return nil, err
	}
	s, err := postgres.Open(ctx, c.State.URL, postgres.Options{
		Password: password, Lease: c.State.Lease, Connections: c.State.Connections,
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// openFolder opens a folder as a storage. It is made if it is not there.
func openFolder(path string, mode fs.FileMode) (*disk.Disk, error) {
	if err := os.MkdirAll(path, mode); err != nil {
		return nil, err
	}
	return disk.Open(path, disk.Options{})
}

// folders are the names of storages, sorted.
func (g *gateway) folders() []string { return slices.Sorted(maps.Keys(g.storages)) }

// Close closes the database and the storages.
func (g *gateway) Close() error {
	errs := []error{g.mounts.close()}
	for _, own := range g.ledgers {
		errs = append(errs, own.Close())
	}
	if g.state != nil {
		errs = append(errs, g.state.Close())
	}
	for _, d := range g.storages {
		errs = append(errs, d.Close())
	}
	errs = append(errs, g.audit.close())
	return errors.Join(errs...)
}

// view is the tree that a user sees. Both front ends get it from here.
func (g *gateway) view(ctx context.Context, id auth.Identity) (storage.FS, error) {
	if err := g.sessions.enter(ctx, id.User); err != nil {
		return nil, err
	}
	return g.tree(ctx, id)
}

// tree is the view without a session.
func (g *gateway) tree(ctx context.Context, id auth.Identity) (storage.FS, error) {
	u := id.User
	mounts := make([]storage.Mount, 0, len(u.Mounts))
	for _, m := range u.Mounts {
		folder, err := storage.CleanName(m.Folder)
		if err != nil {
			return nil, err
		}
		if live := g.mounts.fs[storageName(m.Storage)]; live != nil {
			// No word with the server: it may be down, and the user has other mounts.
			mounts = append(mounts, storage.Mount{Path: m.Path, FS: live, Root: folder, Key: storageName(m.Storage), Permissions: storage.Permission(m.Permissions), Uncounted: true})
			continue
		}
		d, ok := g.storages[storageName(m.Storage)]
		if !ok {
			return nil, fmt.Errorf("user %s: mount %s: there is no storage %q in the configuration", u.Name, m.Path, m.Storage)
		}
		// At each login: somebody may have removed it since.
		if err := storage.MkdirAll(ctx, d, folder); err != nil {
			return nil, fmt.Errorf("user %s: make folder %s: %w", u.Name, folder, err)
		}
		mounts = append(mounts, storage.Mount{Path: m.Path, FS: d, Root: folder, Key: storageName(m.Storage), Permissions: storage.Permission(m.Permissions)})
	}
	v, err := storage.NewView(mounts, storage.ViewOptions{User: u.Name, Quota: g.quota(u), Guard: guard{g.state, g.changes, g.log}})
	if err != nil {
		return nil, err // and no typed nil
	}
	return g.bandwidths.throttle(storage.Observe(v, g.observers), u), nil
}

// place is a folder or file of a storage, as it is written on a command line.
type place struct {
	storage string
	name    string // clean, inside the storage
	store   backend
}

func (p place) String() string { return p.storage + ":/" + p.name }

// folder is place for where files are moved to or from, which a mounted source is not.
func (g *gateway) folder(arg string) (place, error) {
	p, err := g.place(arg)
	if err != nil {
		return p, err
	}
	return p, g.notMounted(arg, p.storage)
}

func (g *gateway) notMounted(arg, name string) error {
	if source := g.cfg.Storages[name].Source; source != "" {
		return fmt.Errorf("%q: storage %s is a mount of the source %s, and its files are on that server; name a storage that is a folder or a bucket", arg, name, source)
	}
	return nil
}

// place reads STORAGE:PATH or PATH, which is on the default storage.
func (g *gateway) place(arg string) (place, error) {
	name, path, ok := strings.Cut(arg, ":")
	if !ok {
		name, path = config.DefaultStorage, arg
	}
	d, ok := g.storages[name]
	if !ok {
		if err := g.notMounted(arg, name); err != nil {
			return place{}, err
		}
		return place{}, fmt.Errorf("%q: there is no storage %q; there are: %s", arg, name, strings.Join(g.cfg.StorageNames(), ", "))
	}
	clean, err := storage.CleanName(path)
	if err != nil {
		return place{}, fmt.Errorf("%q: %w; write a path inside the storage, such as %s:/partner", arg, err, name)
	}
	return place{storage: name, name: clean, store: d}, nil
}

func storageName(s string) string {
	if s == "" {
		return config.DefaultStorage
	}
	return s
}
