package s3

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"gateway/internal/pause"
)

// metaObject is the metadata key of the id of the upload that an object came from. It tells whether a
// request whose answer was lost did its work.
const metaObject = "Gateway-Object"

// metaSource is that of the ETag of what an object is a copy of.
const metaSource = "Gateway-Source"

// limitsFor divides a multipart upload so that MaxSize fits into it: the first parts as long as pages, the
// rest so many pages long as it takes (at most 5 GiB, S3's limit of a part).
func limitsFor(partSize int64) limits {
	l := limits{parts: 10_000, plain: 8_900}
	rest := (MaxSize+partSize-1)/partSize - int64(l.plain)
	n := int64(l.parts - l.plain)
	l.bigParts = max(1, (rest+n-1)/n)
	return l
}

// multipart is a multipart upload of the store. It is begun when the first part is sent.
type multipart struct {
	s      *Store
	key    string
	object string // the id in the metadata
	source string // the ETag of what it is a copy of
	sum    []byte // the SHA-256, if it is known before it begins

	mu    sync.Mutex
	id    string // "" before it is begun
	parts map[int]part
}

// part is a part that the store has. of says what it was made of, see upload.content.
type part struct {
	etag string
	size int64
	of   string
}

func newMultipart(s *Store, key, object string) *multipart {
	return &multipart{s: s, key: key, object: object, parts: map[int]part{}}
}

func (m *multipart) begin(ctx context.Context) (id string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.id != "" {
		return m.id, nil
	}
	// One whose answer is lost stays empty, until the sweep.
	err = m.s.try(ctx, func() (err error) {
		m.id, err = m.s.core.NewMultipartUpload(ctx, m.s.o.Bucket, m.key, minio.PutObjectOptions{UserMetadata: fileMeta(m.object, m.source, m.sum)})
		return err
	})
	return m.id, err
}

// started is the id of the upload, "" before it is begun.
func (m *multipart) started() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.id
}

func (m *multipart) set(n int, p part) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parts[n] = p
}

func (m *multipart) get(n int) (part, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, ok := m.parts[n]
	return p, ok
}

func (m *multipart) drop(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.parts, n)
}

// keepBelow forgets the parts after the first n; of those that are put together of several pages none.
func (m *multipart) keepBelow(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.parts {
		if i > n && i <= m.s.o.limits.plain {
			delete(m.parts, i)
		}
	}
}

func (m *multipart) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.parts)
}

// put sends a part.
func (m *multipart) put(ctx context.Context, n int, data []byte) (etag string, err error) {
	id, err := m.begin(ctx)
	if err != nil {
		return "", err
	}
	var sent minio.ObjectPart
	err = m.s.try(ctx, func() (err error) {
		sent, err = m.s.core.PutObjectPart(ctx, m.s.o.Bucket, m.key, id, n, bytes.NewReader(data), int64(len(data)),
			minio.PutObjectPartOptions{DisableContentSha256: !m.s.o.Insecure})
		return err
	})
	if err == nil {
		m.set(n, part{sent.ETag, int64(len(data)), sentContent(sent.ETag)})
	}
	return sent.ETag, err
}

// copy has the store make a part of a range of an object.
func (m *multipart) copy(ctx context.Context, n int, v *version, off, size int64, of string) error {
	id, err := m.begin(ctx)
	if err != nil {
		return err
	}
	var made minio.CompletePart
	err = m.s.try(ctx, func() (err error) {
		made, err = m.s.core.CopyObjectPart(ctx, m.s.o.Bucket, v.key, m.s.o.Bucket, m.key, id, n, off, size,
			map[string]string{"x-amz-copy-source-if-match": quoted(v.object.ETag)})
		return err
	})
	if err == nil {
		m.set(n, part{strings.Trim(made.ETag, `"`), size, of})
	}
	return err
}

func quoted(etag string) string { return `"` + etag + `"` }

// copyPart is how many bytes the store copies in one request.
const copyPart = 1 << 30

// copyWhole has the store make parts of a whole version, and says how many.
func (m *multipart) copyWhole(ctx context.Context, v *version) (n int, err error) {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(sending)
	for off := int64(0); off < v.object.Size; off += copyPart {
		n++
		number := n
		group.Go(func() error {
			return m.copy(ctx, number, v, off, min(copyPart, v.object.Size-off), "")
		})
	}
	return n, group.Wait()
}

// complete makes an object of the first n parts, under the conditions in o.
func (m *multipart) complete(ctx context.Context, n int, o minio.PutObjectOptions) (etag string, err error) {
	id, err := m.begin(ctx)
	if err != nil {
		return "", err
	}
	list := make([]minio.CompletePart, 0, n)
	for i := 1; i <= n; i++ {
		p, ok := m.get(i)
		if !ok {
			return "", fmt.Errorf("part %d was not sent", i)
		}
		list = append(list, minio.CompletePart{PartNumber: i, ETag: p.etag})
	}
	return m.s.publish(ctx, m.key, m.object, func() (string, error) {
		done, err := m.s.core.CompleteMultipartUpload(ctx, m.s.o.Bucket, m.key, id, list, o)
		return done.ETag, err
	})
}

// abort throws the parts away.
func (m *multipart) abort(ctx context.Context) error {
	m.mu.Lock()
	id := m.id
	m.id, m.parts = "", map[int]part{}
	m.mu.Unlock()
	if id == "" {
		return nil
	}
	return m.s.abortMultipart(ctx, m.key, id)
}

func (s *Store) abortMultipart(ctx context.Context, key, id string) error {
	err := s.try(ctx, func() error { return s.core.AbortMultipartUpload(ctx, s.o.Bucket, key, id) })
	if isMissing(err) {
		return nil
	}
	return err
}

// load learns from the store which parts it has; fs.ErrNotExist if it knows nothing of the upload.
func (m *multipart) load(ctx context.Context) error {
	for marker, more := 0, true; more; {
		var page minio.ListObjectPartsResult
		err := m.s.try(ctx, func() (err error) {
			page, err = m.s.core.ListObjectParts(ctx, m.s.o.Bucket, m.key, m.id, marker, listPage)
			return err
		})
		if err != nil {
			return err
		}
		for _, p := range page.ObjectParts {
			etag := strings.Trim(p.ETag, `"`)
			m.set(p.PartNumber, part{etag, p.Size, sentContent(etag)})
		}
		more = page.IsTruncated && page.NextPartNumberMarker > marker
		marker = page.NextPartNumberMarker
	}
	return nil
}

// publish does a conditional request that must not be done twice. Where it is not known whether it did
// its work, what is there now tells by the id in its metadata.
func (s *Store) publish(ctx context.Context, key, object string, request func() (etag string, err error)) (string, error) {
	wait, unsure := s.pauses(), false
	for n := 1; ; n++ {
		etag, err := request()
		if err == nil {
			return strings.Trim(etag, `"`), nil
		}
		if unsure = unsure || temporary(err); !unsure {
			return "", err
		}
		there, headErr := s.core.StatObject(ctx, s.o.Bucket, key, minio.StatObjectOptions{})
		if headErr == nil && there.UserMetadata[metaObject] == object {
			return there.ETag, nil
		}
		if n == maxTries || !temporary(err) {
			return "", err
		}
		if err := pause.For(ctx, wait.NextBackOff()); err != nil {
			return "", err
		}
	}
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
