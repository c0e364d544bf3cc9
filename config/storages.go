package config

import (
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Storage is one place where files live: a folder, a bucket, or a source that is mounted.
type Storage struct {
	// Path is a folder on a local disk. It is made at the first start.
	Path string `yaml:"path"`
	// S3 is a bucket of an object store, in place of Path.
	S3 *S3 `yaml:"s3"`
	// Source names a source whose server is mounted, in place of Path.
	Source string `yaml:"source"`
	// ReadOnly refuses every change of a mounted source.
	ReadOnly bool `yaml:"read_only"`
	// ListingTTL is for how long listings of a mounted source are believed; 0 is 10 s.
	ListingTTL time.Duration `yaml:"listing_ttl"`
	// Cache is how much of what was read of a mounted source is kept on this machine,
	// such as 4GiB; "" is that.
	Cache string `yaml:"cache"`
}

// StorageNames are the names of the storages, sorted.
func (c Config) StorageNames() []string {
	names := make([]string, 0, len(c.Storages))
	for n := range c.Storages {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Mounted reports whether a storage is a mount of the source.
func (c Config) Mounted(source string) bool {
	for _, s := range c.Storages {
		if s.Source == source {
			return true
		}
	}
	return false
}

func (c Config) validateStorages(bad func(key, format string, args ...any)) {
	for _, name := range c.StorageNames() {
		s, key := c.Storages[name], "storages."+name
		if !storageName.MatchString(name) {
			bad(key, "a storage name has 1 to 32 of a-z, 0-9, _ and -")
		}
		switch {
		case s.Source != "":
			c.validateMount(s, func(k, format string, args ...any) { bad(key+k, format, args...) })
		case s.ReadOnly || s.ListingTTL != 0 || s.Cache != "":
			bad(key, "read_only, listing_ttl and cache are for a storage with a source")
		case s.S3 != nil && s.Path != "":
			bad(key+".s3", "path is given too; give one of them")
		case s.S3 != nil:
			s.S3.validate(func(k, format string, args ...any) { bad(key+".s3"+k, format, args...) })
			if other := c.sharesBucket(name); other != "" {
				bad(key+".s3.prefix", "storage %s has the same bucket, and one of the two prefixes is in the other; give each one of its own", other)
			}
		case s.Path == "":
			bad(key, "path is missing: the folder where the files are kept; or s3, a bucket; or source, the name of one to mount")
		case c.exposes(s.Path):
			bad(key, "%s holds the keys and users of the data folder, or lies among them, so that users could read and write those; choose another folder, for example %s",
				s.Path, filepath.Join(c.Data, "files"))
		}
	}
}

// sharesBucket names a storage before this one, by name, whose part of a bucket is, or
// is in, or holds that of this one; "" if there is none.
func (c Config) sharesBucket(name string) string {
	// "" for the whole of a bucket, which is the beginning of each part
	within := func(prefix string) string { return strings.TrimLeft(strings.Trim(prefix, "/")+"/", "/") }
	own := c.Storages[name].S3
	host, insecure := own.Host()
	for _, other := range c.StorageNames() {
		s := c.Storages[other].S3
		if other >= name || s == nil || s.Bucket != own.Bucket {
			continue
		}
		if h, i := s.Host(); h != host || i != insecure {
			continue
		}
		a, b := within(s.Prefix), within(own.Prefix)
		if strings.HasPrefix(a, b) || strings.HasPrefix(b, a) {
			return other
		}
	}
	return ""
}

func (c Config) validateMount(s Storage, bad func(key, format string, args ...any)) {
	if s.Path != "" {
		bad(".source", "path is given too; give one of them")
	}
	if s.S3 != nil {
		bad(".source", "s3 is given too; give one of them")
	}
	if _, ok := c.Sources[s.Source]; !ok {
		bad(".source", "there is no source %q; there are: %s", s.Source, namesOrNone(c.SourceNames()))
	}
	if s.ListingTTL < 0 {
		bad(".listing_ttl", "must be longer than 0, for example 10s")
	}
}

// folder checks that a migration or push can use a storage; what it is for goes into the error.
func (c Config) folder(key, storage, what string, bad func(key, format string, args ...any)) {
	s, ok := c.Storages[storage]
	switch {
	case !ok:
		bad(key, "there is no storage %q; there are: %s", storage, strings.Join(c.StorageNames(), ", "))
	case s.Source != "":
		bad(key, "storage %s is a mount of the source %s; %s a storage with a path", storage, s.Source, what)
	}
}

func namesOrNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// exposes reports whether a storage at path would show what the gateway keeps for
// itself in the data folder. Links are followed as far as the folders are there.
func (c Config) exposes(path string) bool {
	path = resolved(path)
	for _, own := range []string{c.UsersDir(), c.AdminsDir(), c.KeysDir(), c.StateFile(), c.MountsDir(), c.ACMEDir(), c.AuditDir()} {
		own = resolved(own)
		if path == own || inside(own, path) || inside(path, own) {
			return true
		}
	}
	return false
}

// resolved is path as an absolute one, without links in the part of it that exists.
func resolved(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return filepath.Clean(path)
	}
	if followed, err := filepath.EvalSymlinks(abs); err == nil {
		return followed
	}
	if dir := filepath.Dir(abs); dir != abs {
		return filepath.Join(resolved(dir), filepath.Base(abs))
	}
	return abs
}

// inside reports whether path lies beneath dir; both are as from resolved.
func inside(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != "." && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
