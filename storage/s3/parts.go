package s3

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

// A file is divided into pages of Options.PartSize, and its multipart upload into parts. The first
// limits.plain parts are a page each; every later one is a large part of limits.bigParts pages, which a
// multipart upload of its own (upload.bigs) puts together first.

// limitsFor divides a multipart upload so that MaxSize fits into it: the first parts as long as pages, the
// rest so many pages long as it takes (at most 5 GiB, S3's limit of a part).
func limitsFor(partSize int64) limits {
	l := limits{parts: 10_000, plain: 8_900}
	rest := (MaxSize+partSize-1)/partSize - int64(l.plain)
	n := int64(l.parts - l.plain)
	l.bigParts = max(1, (rest+n-1)/n)
	return l
}

// unitKey is the key of the object that a page is staged in.
func (u *upload) unitKey(index int64) string { return fmt.Sprintf("%s%08d", u.unitsKey(), index) }

func (u *upload) unitsKey() string { return u.s.own + "parts/" + u.id + "/" }

// bigOf says which of the parts made of several pages a page belongs to; -1 if to none.
func (s *Store) bigOf(index int64) int64 {
	if index < int64(s.o.limits.plain) {
		return -1
	}
	return (index - int64(s.o.limits.plain)) / s.o.limits.bigParts
}

// bigPart is the number of a large part in the upload of the file.
func (s *Store) bigPart(k int64) int { return s.o.limits.plain + int(k) + 1 }

// target is the multipart upload that a page goes into, and the number of its part there.
func (u *upload) target(index int64) (*multipart, int) {
	k := u.s.bigOf(index)
	if k < 0 {
		return u.multi, int(index) + 1
	}
	return u.big(k), int((index-int64(u.s.o.limits.plain))%u.s.o.limits.bigParts) + 1
}

// big is the multipart upload that puts the pages of one large part together.
func (u *upload) big(k int64) *multipart {
	u.sendMu.Lock()
	defer u.sendMu.Unlock()
	if u.bigs[k] == nil {
		u.bigs[k] = newMultipart(u.s, fmt.Sprintf("%sbig%06d", u.unitsKey(), k), u.id)
		u.staged = true
	}
	return u.bigs[k]
}

// inPart reports whether a page is nowhere but in a part, where it cannot be read. u.mu is held.
func (u *upload) inPart(index int64) bool {
	if !u.direct {
		return false
	}
	sent, ok := u.units[index]
	if !ok {
		return false
	}
	if k := u.s.bigOf(index); k >= 0 {
		if _, assembled := u.multi.get(u.s.bigPart(k)); assembled {
			return true
		}
	}
	m, n := u.target(index)
	p, ok := m.get(n)
	return ok && p.etag == sent.etag
}

// forgetPart forgets that a page that was cut off is in a part.
func (u *upload) forgetPart(index int64) {
	m, n := u.target(index)
	m.drop(n)
}

// transmit sends a page: as a part, or as an object that can be read again, or, for a part of an
// upload whose pages must stay readable, as the one and then by a copy as the other.
func (u *upload) transmit(ctx context.Context, index int64, data []byte, asPart bool) (etag string, err error) {
	if u.direct && asPart {
		m, n := u.target(index)
		if etag, err = m.put(ctx, n, data); err == nil {
			err = u.assembleFull(ctx, index)
		}
		return etag, err
	}
	if etag, err = u.putUnit(ctx, u.unitKey(index), data); err != nil {
		return "", err
	}
	if asPart && int64(len(data)) == u.s.o.PartSize && u.s.bigOf(index) < 0 {
		v := &version{s: u.s, key: u.unitKey(index)}
		v.object.ETag = etag
		err = u.multi.copy(ctx, int(index)+1, v, 0, int64(len(data)), sentContent(etag))
	}
	return etag, err
}

func (u *upload) putUnit(ctx context.Context, key string, data []byte) (etag string, err error) {
	u.sendMu.Lock()
	u.staged = true
	u.sendMu.Unlock()
	var sent minio.UploadInfo
	err = u.s.try(ctx, func() (err error) {
		sent, err = u.s.core.PutObject(ctx, u.s.o.Bucket, key, bytes.NewReader(data), int64(len(data)), "", "",
			minio.PutObjectOptions{DisableContentSha256: !u.s.o.Insecure})
		return err
	})
	return sent.ETag, err
}

// The contents of a part, in a word that changes with them.
func sentContent(etag string) string { return "sent:" + etag }

// content says what a page holds. u.mu is held, or nothing changes.
func (u *upload) content(index int64) string {
	if sent, ok := u.units[index]; ok {
		return sentContent(sent.etag)
	}
	if u.base.covers(index * u.s.o.PartSize) {
		return "base"
	}
	return "zeros"
}

// assembleFull puts a large part of a direct upload together when it has all its pages.
func (u *upload) assembleFull(ctx context.Context, index int64) error {
	k := u.s.bigOf(index)
	if k < 0 || u.big(k).count() < int(u.s.o.limits.bigParts) {
		return nil
	}
	return u.assemble(ctx, k, int(u.s.o.limits.bigParts))
}

// assemble completes the first n pages of a large part and makes them one of the upload.
func (u *upload) assemble(ctx context.Context, k int64, n int) error {
	m := u.big(k)
	var size int64
	for i := 1; i <= n; i++ {
		p, _ := m.get(i)
		size += p.size
	}
	etag, err := m.complete(ctx, n, minio.PutObjectOptions{})
	if err != nil {
		return err
	}
	v := &version{s: u.s, key: m.key}
	v.object.ETag = etag
	if err := u.multi.copy(ctx, u.s.bigPart(k), v, 0, size, sentContent(etag)); err != nil {
		return err
	}
	u.sendMu.Lock()
	delete(u.bigs, k)
	u.sendMu.Unlock()
	return u.s.remove(ctx, m.key)
}

// ready makes sure that the multipart upload has every part of the file, and says how many there are. All
// pages have been sent, and nothing else runs.
func (u *upload) ready(ctx context.Context) (n int, err error) {
	pages := u.count()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sending)
	for index := range min(pages, int64(u.s.o.limits.plain)) {
		m, n := u.target(index)
		if p, ok := m.get(n); ok && p.of == u.content(index) && p.size == u.expected(index) {
			continue
		}
		group.Go(func() error { return u.fill(ctx, m, n, index) })
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	n = int(min(pages, int64(u.s.o.limits.plain)))
	for k := int64(0); int64(u.s.o.limits.plain)+k*u.s.o.limits.bigParts < pages; k++ {
		if err := u.readyBig(context.WithoutCancel(ctx), k, pages); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// readyBig is ready for one large part.
func (u *upload) readyBig(ctx context.Context, k, pages int64) error {
	first := int64(u.s.o.limits.plain) + k*u.s.o.limits.bigParts
	last := min(first+u.s.o.limits.bigParts, pages)
	size := min(last*u.s.o.PartSize, u.size) - first*u.s.o.PartSize
	if p, ok := u.multi.get(u.s.bigPart(k)); ok && u.direct && p.size == size {
		return nil // what was sent in order does not change
	}
	m := u.big(k)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(sending)
	for index := first; index < last; index++ {
		n := int(index-first) + 1
		if p, ok := m.get(n); ok && p.of == u.content(index) && p.size == u.expected(index) {
			continue
		}
		group.Go(func() error { return u.fill(groupCtx, m, n, index) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return u.assemble(ctx, k, int(last-first))
}

// fill has the store make a part of a page that it has, or of zeros.
func (u *upload) fill(ctx context.Context, m *multipart, n int, index int64) error {
	v, off, have := u.source(index)
	if u.direct && v != nil {
		return fmt.Errorf("part %d was sent and is gone from the store", n)
	}
	size := u.expected(index)
	if v == nil {
		zeros, err := u.zeroPage(ctx)
		if err != nil {
			return err
		}
		v, have = zeros, size
	}
	if have != size {
		return fmt.Errorf("page %d has %d bytes, not %d", index, have, size)
	}
	return m.copy(ctx, n, v, off, size, u.content(index))
}

// zeroPage is an object of zeros, made when the first hole needs it.
func (u *upload) zeroPage(ctx context.Context) (*version, error) {
	u.sendMu.Lock()
	v := u.zeros
	u.sendMu.Unlock()
	if v != nil {
		return v, nil
	}
	v = &version{s: u.s, key: u.unitsKey() + "zeros"}
	etag, err := u.putUnit(ctx, v.key, make([]byte, u.s.o.PartSize))
	if err != nil {
		return nil, err
	}
	v.object.ETag = etag
	u.sendMu.Lock()
	u.zeros = v
	u.sendMu.Unlock()
	return v, nil
}

// count is how many pages the file has.
func (u *upload) count() int64 { return (u.size + u.s.o.PartSize - 1) / u.s.o.PartSize }

// expected is how long a page of the file is.
func (u *upload) expected(index int64) int64 {
	return min(u.s.o.PartSize, u.size-index*u.s.o.PartSize)
}

// unevenPages are those that the store has with another length than the file needs: a page was sent
// when it was the last one, or the base ends in it.
func (u *upload) unevenPages() []int64 {
	var list []int64
	for index := range u.units {
		if u.units[index].size != u.expected(index) && index < u.count() {
			list = append(list, index)
		}
	}
	if u.base != nil && u.base.size > 0 {
		index := (u.base.size - 1) / u.s.o.PartSize
		if _, sent := u.units[index]; !sent && u.base.size-index*u.s.o.PartSize != u.expected(index) {
			list = append(list, index)
		}
	}
	slices.Sort(list)
	return list
}
