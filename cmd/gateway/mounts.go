package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"gateway/auth"
	"gateway/config"
	"gateway/ftpbridge"
	"gateway/integrity"
	"gateway/storage/disk"
)

// mounts are the sources that are mounted as storages. Only serve has any.
type mounts struct {
	fs     map[string]*ftpbridge.Mount // by storage
	pools  map[string]*ftpbridge.Pool  // by source
	spools map[string]*disk.Disk       // by storage
}

func (m *mounts) close() error {
	var errs []error
	for _, fs := range m.fs {
		errs = append(errs, fs.Close())
	}
	for _, pool := range m.pools {
		errs = append(errs, pool.Close())
	}
	for _, spool := range m.spools {
		errs = append(errs, spool.Close())
	}
	*m = mounts{}
	return errors.Join(errs...)
}

func (m *mounts) keepSpool(storage string, spool *disk.Disk) {
	if m.spools == nil {
		m.spools = map[string]*disk.Disk{}
	}
	m.spools[storage] = spool
}

// mountSources mounts what the configuration says. No server is asked for anything yet.
func (g *gateway) mountSources(ctx context.Context) error {
	g.mounts = mounts{fs: map[string]*ftpbridge.Mount{}, pools: map[string]*ftpbridge.Pool{}}
	for _, name := range g.cfg.StorageNames() {
		if g.cfg.Storages[name].Source == "" {
			continue
		}
		if err := g.mountSource(ctx, name); err != nil {
			return fmt.Errorf("storage %s: %w", name, err)
		}
	}
	return nil
}

func (g *gateway) mountSource(ctx context.Context, name string) error {
	s := g.cfg.Storages[name]
	o := ftpbridge.MountOptions{TTL: s.ListingTTL, ReadOnly: s.ReadOnly, Logger: g.log.With("storage", name, "source", s.Source)}
	var err error
	if o.CacheSize, err = cacheSize(g.cfg, name); err != nil {
		return err
	}
	if o.Pool, err = g.sharedPool(s.Source); err != nil {
		return err
	}
	if o.Prove, err = g.proveOptions(name); err != nil {
		return err
	}
	spool, err := openFolder(filepath.Join(g.cfg.MountsDir(), name, "spool"), 0o700)
	if err != nil {
		return err
	}
	g.mounts.keepSpool(name, spool)
	o.Spool = spool
	m, err := ftpbridge.NewMount(ctx, o)
	if err != nil {
		return err
	}
	g.mounts.fs[name] = m
	return nil
}

// sharedPool is the pool of a mounted source. Its secrets are read at each login.
func (g *gateway) sharedPool(source string) (*ftpbridge.Pool, error) {
	if pool := g.mounts.pools[source]; pool != nil {
		return pool, nil
	}
	src, err := configuredSource(g.cfg, source)
	if err != nil {
		return nil, err
	}
	src.Logger = g.log.With("source", source)
	src.Secrets = func() (password, keyPassphrase string, err error) {
		var read ftpbridge.Source
		err = addSecrets(g.cfg, "sources."+source, g.cfg.Sources[source].Server, &read)
		return read.Password, read.KeyPassphrase, err
	}
	pool, err := ftpbridge.NewPool(src)
	if err == nil {
		g.mounts.pools[source] = pool
	}
	return pool, err
}

// proveOptions are those of a mounted source with a policy; nil without one.
func (g *gateway) proveOptions(name string) (*ftpbridge.MigrateOptions, error) {
	source := g.cfg.Storages[name].Source
	file := g.cfg.Sources[source].Policy
	if file == "" {
		return nil, nil
	}
	policy, err := integrity.LoadPolicy(file)
	if err != nil {
		return nil, g.cfg.Mistake("sources."+source+".policy", err)
	}
	signer, err := g.provenanceKeys().signer()
	if err != nil {
		return nil, err
	}
	return &ftpbridge.MigrateOptions{
		Dest: g.storages[name], DestName: name, Policy: policy, Store: g.ledger(name), Signer: signer,
		Logger: g.log.With("storage", name, "source", source),
	}, nil
}

// share has a migration use the sessions of the mount of its source, if there is
// one, and leave one of them to those who use the mount.
func (g *gateway) share(name string, o *ftpbridge.MigrateOptions) {
	pool := g.mounts.pools[name]
	if pool == nil {
		return
	}
	o.Pool, o.Connections = pool, max(1, o.Source.Connections-1)
	if o.Segments == 0 {
		o.Segments = 1
	}
}

// checkMount finds mistakes in the configuration of a mounted source.
func checkMount(c config.Config, name string) error {
	if c.Storages[name].Source == "" {
		return nil
	}
	_, err := cacheSize(c, name)
	return err // the source is checked as one
}

// cacheSize is how many bytes of a mounted source are kept; 0 is the default.
func cacheSize(c config.Config, name string) (int64, error) {
	text := c.Storages[name].Cache
	if text == "" {
		return 0, nil
	}
	n, err := auth.ParseBytes(text)
	if err == nil && n <= 0 {
		err = fmt.Errorf("%q is not more than 0", text)
	}
	if err != nil {
		return 0, c.Mistake("storages."+name+".cache", err)
	}
	return int64(n), nil
}
