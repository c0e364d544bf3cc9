package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"

	"gateway/auth"
	"gateway/config"
	"gateway/state/sqlite"
	"gateway/storage"
	"gateway/storage/disk"
)

// gateway is what the commands share, built from the configuration.
type gateway struct {
	cfg      config.Config
	log      *slog.Logger
	users    *auth.Users
	storages map[string]*disk.Disk
	state    *sqlite.Store

	mu     sync.Mutex
	quotas map[string]*userQuota
}

// open builds it; the folders and the database are made at first use.
func (e *env) open() (*gateway, error) {
	cfg, err := e.config()
	if err != nil {
		return nil, err
	}
	g := &gateway{
		cfg:      cfg,
		log:      newLogger(e.err, cfg.Log),
		storages: map[string]*disk.Disk{},
		quotas:   map[string]*userQuota{},
	}
	if err := g.open(e.ctx); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

func (g *gateway) open(ctx context.Context) error {
	if err := os.MkdirAll(g.cfg.Data, 0o700); err != nil {
		return fmt.Errorf("data folder: %w; choose another with --data DIR", err)
	}
	var err error
	if g.users, err = auth.OpenUsers(g.cfg.UsersDir()); err != nil {
		return err
	}
	for _, name := range g.cfg.StorageNames() {
		path := g.cfg.Storages[name].Path
		if err := os.MkdirAll(path, 0o755); err != nil {
			return fmt.Errorf("storage %s: %w", name, err)
		}
		if g.storages[name], err = disk.Open(path, disk.Options{}); err != nil {
			delete(g.storages, name)
			return fmt.Errorf("storage %s: %w", name, err)
		}
	}
	g.state, err = sqlite.Open(ctx, g.cfg.StateFile())
	return err
}

// Close closes the database and the storages.
func (g *gateway) Close() error {
	var errs []error
	if g.state != nil {
		errs = append(errs, g.state.Close())
	}
	for _, d := range g.storages {
		errs = append(errs, d.Close())
	}
	return errors.Join(errs...)
}

// userQuota is one user's quota, shared by all their sessions. It is made anew
// when the limit in the user's file changes.
type userQuota struct {
	limit auth.Bytes
	quota *storage.Quota
}

// view is the tree that a user sees. Both front ends get it from here.
func (g *gateway) view(ctx context.Context, id auth.Identity) (storage.FS, error) {
	u := id.User
	mounts := make([]storage.Mount, 0, len(u.Mounts))
	for _, m := range u.Mounts {
		d, ok := g.storages[storageName(m.Storage)]
		if !ok {
			return nil, fmt.Errorf("user %s: mount %s: there is no storage %q in the configuration", u.Name, m.Path, m.Storage)
		}
		folder, err := storage.CleanName(m.Folder)
		if err != nil {
			return nil, err
		}
		// At each login: somebody may have removed it since.
		if err := storage.MkdirAll(ctx, d, folder); err != nil {
			return nil, fmt.Errorf("user %s: make folder %s: %w", u.Name, folder, err)
		}
		mounts = append(mounts, storage.Mount{Path: m.Path, FS: d, Root: folder, Permissions: storage.Permission(m.Permissions)})
	}
	return storage.NewView(mounts, storage.ViewOptions{User: u.Name, Quota: g.quota(u, mounts)})
}

func (g *gateway) quota(u auth.User, mounts []storage.Mount) *storage.Quota {
	if u.Quota == 0 {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.quotas[u.Name]
	if q == nil || q.limit != u.Quota {
		q = &userQuota{limit: u.Quota, quota: storage.NewQuota(int64(u.Quota))}
		g.quotas[u.Name] = q
	}
	return q.quota
}

// place is a folder or file of a storage, as it is written on a command line.
type place struct {
	storage string
	name    string // clean, inside the storage
	disk    *disk.Disk
}

func (p place) String() string { return p.storage + ":/" + p.name }

// place reads STORAGE:PATH or PATH, which is on the default storage.
func (g *gateway) place(arg string) (place, error) {
	name, path, ok := strings.Cut(arg, ":")
	if !ok {
		name, path = config.DefaultStorage, arg
	}
	d, ok := g.storages[name]
	if !ok {
		return place{}, fmt.Errorf("%q: there is no storage %q; there are: %s", arg, name, strings.Join(g.cfg.StorageNames(), ", "))
	}
	clean, err := storage.CleanName(path)
	if err != nil {
		return place{}, fmt.Errorf("%q: %w; write a path inside the storage, such as %s:/partner", arg, err, name)
	}
	return place{storage: name, name: clean, disk: d}, nil
}

func storageName(s string) string {
	if s == "" {
		return config.DefaultStorage
	}
	return s
}
