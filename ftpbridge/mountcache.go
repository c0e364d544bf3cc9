package ftpbridge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"gateway/storage"
)

// cacheFolder is where a Mount's spool holds files that were read, by version.
const cacheFolder = "read"

// spooledName is where uploads and reads on their way would go in the spool; they
// never do.
const spooledName = "spooled"

func cacheName(key string) string { return cacheFolder + "/" + key }

// cacheKey names a version of a file.
func cacheKey(path, etag string, at time.Time) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%d", path, etag, at.UnixNano()))
	return hex.EncodeToString(sum[:16])
}

// readCache knows what is in the cache folder. The files used longest ago go first.
type readCache struct {
	mu    sync.Mutex
	limit int64
	bytes int64
	taken int64 // by files on their way into the cache
	files map[string]cached
}

type cached struct {
	size int64
	used time.Time
}

func (c *readCache) load(ctx context.Context, spool storage.FS, limit int64) error {
	c.limit, c.files = limit, make(map[string]cached)
	if err := storage.MkdirAll(ctx, spool, cacheFolder); err != nil {
		return err
	}
	for info, err := range spool.List(ctx, cacheFolder) {
		if err != nil {
			return err
		}
		c.files[info.Name] = cached{info.Size, info.ModTime}
		c.bytes += info.Size
	}
	c.room(ctx, spool, 0) // there may have been more of it
	return nil
}

// open opens a cached version; fs.ErrNotExist if it is not there.
func (c *readCache) open(ctx context.Context, spool storage.FS, key string) (storage.File, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f, ok := c.files[key]
	if !ok {
		return nil, fs.ErrNotExist
	}
	file, err := spool.Open(ctx, cacheName(key))
	if err != nil {
		c.bytes -= f.size
		delete(c.files, key)
		return nil, err
	}
	f.used = time.Now()
	c.files[key] = f
	return file, nil
}

// room makes room for size bytes and reports whether there is any. It is taken
// until settle.
func (c *readCache) room(ctx context.Context, spool storage.FS, size int64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken+size > c.limit {
		return false
	}
	for len(c.files) > 0 && c.bytes+c.taken+size > c.limit {
		oldest := ""
		for key, f := range c.files {
			if oldest == "" || f.used.Before(c.files[oldest].used) {
				oldest = key
			}
		}
		if err := spool.Remove(ctx, cacheName(oldest)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false
		}
		c.bytes -= c.files[oldest].size
		delete(c.files, oldest)
	}
	if c.bytes+c.taken+size > c.limit {
		return false
	}
	c.taken += size
	return true
}

// settle ends what room began: the file is in the cache, or will not be.
func (c *readCache) settle(size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken -= size
}

// added opens a version that was just published in the cache.
func (c *readCache) added(ctx context.Context, spool storage.FS, key string) (storage.File, error) {
	file, err := spool.Open(ctx, cacheName(key))
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += file.Info().Size - c.files[key].size
	c.files[key] = cached{file.Info().Size, time.Now()}
	return file, nil
}
