package s3

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/minio/minio-go/v7"

	"gateway/storage"
	"gateway/storage/internal/uploadid"
)

// Commit implements storage.Upload. If only the last step fails, to keep the modification time, the file
// is published with the time at which it came; the error says so.
func (u *upload) Commit(ctx context.Context, o storage.CommitOptions) (storage.Info, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.failed != nil && !u.closed { // once more: the bytes are still here
		u.failed = nil
		_ = u.flush(false)
	}
	if err := u.usable(); errors.Is(err, fs.ErrClosed) {
		return storage.Info{}, u.fail("commit", err)
	}
	info, err := u.commit(ctx, o)
	err = u.fail("commit", err)
	if err != nil && storage.CommitRetryable(err) {
		return storage.Info{}, err
	}
	u.close()
	_ = u.forget(context.WithoutCancel(ctx)) // else the sweep does
	return info, err
}

func (u *upload) commit(ctx context.Context, o storage.CommitOptions) (storage.Info, error) {
	if err := errors.Join(ctx.Err(), u.usable()); err != nil {
		return storage.Info{}, err
	}
	modTime := o.ModTime
	if !modTime.IsZero() && !storage.ValidModTime(modTime) {
		return storage.Info{}, fs.ErrInvalid
	}
	o.IfNoneMatch = o.IfNoneMatch || u.o.Exclusive
	sum, err := u.verify(ctx, o.SHA256)
	if err != nil {
		return storage.Info{}, err
	}
	unlock, err := u.s.names.Lock(ctx, u.name)
	if err != nil {
		return storage.Info{}, err
	}
	defer unlock()
	replaces, err := u.s.conditions(ctx, u.name, o)
	if err != nil {
		return storage.Info{}, err
	}
	put, err := u.prepare(ctx, sum)
	if err != nil {
		return storage.Info{}, err
	}
	if err := u.own(ctx); err != nil {
		return storage.Info{}, err
	}
	if err := ctx.Err(); err != nil { // the last moment
		return storage.Info{}, err
	}
	ctx = context.WithoutCancel(ctx)
	etag, err := put(ctx, publishing(o))
	if err != nil {
		return storage.Info{}, conflict(err, o)
	}
	if u.count() <= 1 {
		sum = nil // it is in the metadata of the file
	}
	return u.s.dress(ctx, u.name, minio.ObjectInfo{ETag: etag, Size: u.size}, modTime, sum, replaces)
}

// conditions looks at what is to be replaced, so that most conflicts are found before bytes are sent. What
// decides is the condition in the request that publishes.
func (s *Store) conditions(ctx context.Context, name string, o storage.CommitOptions) (replaces bool, err error) {
	e, err := s.exists(ctx, name)
	switch {
	case isMissing(err) && o.IfMatch == "":
		return false, nil
	case isMissing(err):
		return false, storage.ErrPrecondition
	case err != nil:
		return false, err
	case o.IfNoneMatch:
		return true, fs.ErrExist
	case e.isDir:
		return true, storage.ErrIsDir
	case o.IfMatch != "" && o.IfMatch != e.object.ETag:
		return true, storage.ErrPrecondition
	}
	return true, nil
}

// publishing is the condition as the store takes it.
func publishing(o storage.CommitOptions) minio.PutObjectOptions {
	var p minio.PutObjectOptions
	switch {
	case o.IfNoneMatch:
		p.SetMatchETagExcept("*")
	case o.IfMatch != "":
		p.SetMatchETag(o.IfMatch)
	}
	return p
}

// conflict says what the store's refusal of a condition means.
func conflict(err error, o storage.CommitOptions) error {
	switch {
	case isCondition(err) && o.IfNoneMatch:
		return fs.ErrExist
	case isCondition(err), o.IfMatch != "" && code(err) == "NoSuchKey":
		return storage.ErrPrecondition
	case isMissing(err):
		return fmt.Errorf("the store knows nothing of the upload any more: %w", errors.New(err.Error()))
	}
	return err
}

// prepare sends what has to be sent before the publish, and returns the request that publishes.
func (u *upload) prepare(ctx context.Context, sum []byte) (func(context.Context, minio.PutObjectOptions) (string, error), error) {
	if u.count() <= 1 && !u.inPart(0) {
		data, err := u.onlyPage()
		if err != nil {
			return nil, err
		}
		return func(ctx context.Context, o minio.PutObjectOptions) (string, error) { return u.put(ctx, data, sum, o) }, nil
	}
	uneven := u.unevenPages()
	if u.direct && u.known(u.count()-1) && !u.inPart(u.count()-1) {
		uneven = append(uneven, u.count()-1) // it was kept as an object
	}
	for _, index := range uneven {
		pg, err := u.page(index, false)
		if err != nil {
			return nil, err
		}
		pg.dirty = true
	}
	if err := u.flush(true); err != nil {
		return nil, err
	}
	n, err := u.ready(ctx)
	if isMissing(err) && !u.direct { // the store has forgotten the upload, but not the pages
		_ = u.multi.abort(ctx)
		n, err = u.ready(ctx)
	}
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, o minio.PutObjectOptions) (string, error) {
		return u.multi.complete(ctx, n, o)
	}, nil
}

// onlyPage is the whole of a file that has no second page.
func (u *upload) onlyPage() ([]byte, error) {
	u.settle()
	if u.size == 0 {
		return nil, nil
	}
	pg, err := u.page(0, false)
	if err != nil {
		return nil, err
	}
	return pg.bytes(u.size)[:u.size], nil
}

// put publishes a small file in one request.
func (u *upload) put(ctx context.Context, data, sum []byte, o minio.PutObjectOptions) (string, error) {
	// An id of this publish: an earlier try may have had other bytes.
	return u.s.putFile(ctx, u.key(), uploadid.New(), data, sum, o)
}

// putFile publishes an object in one request, under the conditions in o.
func (s *Store) putFile(ctx context.Context, key, object string, data, sum []byte, o minio.PutObjectOptions) (etag string, err error) {
	o.UserMetadata = fileMeta(object, o.UserMetadata[metaSource], sum)
	o.DisableContentSha256 = !s.o.Insecure
	return s.publish(ctx, key, object, func() (string, error) {
		sent, err := s.core.PutObject(ctx, s.o.Bucket, key, bytes.NewReader(data), int64(len(data)), "", "", o)
		return sent.ETag, err
	})
}

// fileMeta is the metadata of a file; source is the ETag of what it is a copy of.
func fileMeta(object, source string, sum []byte) map[string]string {
	meta := map[string]string{metaObject: object}
	if source != "" {
		meta[metaSource] = source
	}
	if sum != nil {
		meta[metaSHA256] = hex.EncodeToString(sum)
	}
	return meta
}

// dress gives what was published its time, and describes it as Stat does.
func (s *Store) dress(ctx context.Context, name string, o minio.ObjectInfo, modTime time.Time, sum []byte, replaces bool) (storage.Info, error) {
	_, base := storage.Split(name)
	stamped := modTime
	if stamped.IsZero() && sum != nil {
		// The digest needs a place, and it is that of the time.
		stamped = time.Now().Truncate(time.Second)
	}
	if !stamped.IsZero() || replaces {
		if err := s.setTime(ctx, ofFile, name, bindOf(o.ETag), stamped, sum); err != nil {
			return storage.Info{}, fmt.Errorf("published, but its time could not be kept: %w", errors.New(cause(err).Error()))
		}
	}
	if stamped.IsZero() {
		there, err := s.head(ctx, s.fileKey(name))
		if err != nil && !isMissing(err) {
			return storage.Info{}, fmt.Errorf("published, but it could not be looked at: %w", errors.New(cause(err).Error()))
		}
		if err != nil || there.ETag != o.ETag { // somebody was quick
			there = minio.ObjectInfo{ETag: o.ETag, Size: o.Size, LastModified: time.Now()}
		}
		return fileInfo(base, there, nil), nil
	}
	return fileInfo(base, o, []stamp{{time: time.Unix(0, stamped.UnixNano()).UTC(), bind: bindOf(o.ETag)}}), nil
}

// verify compares the staged bytes with the digest that they must have, and returns theirs; nil where
// nobody asks and most would have to be read back. u.mu is held.
func (u *upload) verify(ctx context.Context, want []byte) ([]byte, error) {
	u.settle()
	if u.o.Hashed && want != nil {
		return want, nil
	}
	sum, err := u.hash(ctx, want != nil)
	if err == nil && want != nil && !bytes.Equal(sum, want) {
		err = storage.ErrDigest
	}
	return sum, err
}

// hash is the SHA-256 of the staged bytes. Without must, it is nil if it would have to fetch any.
func (u *upload) hash(ctx context.Context, must bool) ([]byte, error) {
	// A copy: the upload may go on afterwards.
	r := resumeRunning(u.sum.state(), u.sum.done)
	first := r.done / u.s.o.PartSize
	for index := first; index < u.count() && !must; index++ {
		if v, _, _ := u.source(index); v != nil && u.pages[index] == nil {
			return nil, nil
		}
	}
	if !must && u.count()-first > u.s.o.Memory/u.s.o.PartSize {
		return nil, nil // a hole
	}
	buf := make([]byte, min(u.size, chunkAlign))
	for off := r.done; off < u.size; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		n, err := u.readPages(buf[:min(int64(len(buf)), u.size-off)], off)
		if err != nil {
			return nil, err
		}
		r.hash.Write(buf[:n])
		off += int64(n)
	}
	return r.hash.Sum(nil), nil
}
