package s3

import (
	"bytes"
	"context"
	"fmt"
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
