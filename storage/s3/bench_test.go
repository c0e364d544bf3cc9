package s3

import (
	"io"
	"os"
	"strconv"
	"testing"

	"github.com/minio/minio-go/v7"

	"gateway/storage"
	"gateway/tests/servers"
)

// The benchmarks move one file of 1 GiB (GATEWAY_S3_MIB says how many MiB), by this backend and by minio-go alone, which gets the same
// stream and its defaults. Run them with "make bench-s3".

func benchSize(b *testing.B) int64 {
	b.Helper()
	if n, err := strconv.ParseInt(os.Getenv("GATEWAY_S3_MIB"), 10, 64); err == nil {
		return n << 20
	}
	return 1 << 30
}

// stream yields the same bytes again and again, and is nothing but an io.Reader.
type stream struct {
	data []byte
	off  int
	left int64
}

func newStream(n int64) *stream { return &stream{data: random(1, 1<<20), left: n} }

func (s *stream) Read(p []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(int64(len(p)), s.left)], s.data[s.off:])
	s.off = (s.off + n) % len(s.data)
	s.left -= int64(n)
	return n, nil
}

func BenchmarkRealWrite(b *testing.B) {
	size := benchSize(b)
	server := servers.StartS3(b, serverKind())
	o := options(server, false)
	s := openStore(b, o)
	b.Run("minio-go", func(b *testing.B) {
		client := server.Client()
		b.SetBytes(size)
		for b.Loop() {
			if _, err := client.PutObject(b.Context(), o.Bucket, "alone", newStream(size), size, minio.PutObjectOptions{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("gateway in order", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			_, err := storage.Put(b.Context(), s, "gateway", newStream(size), storage.CreateOptions{Size: size}, storage.CommitOptions{})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("gateway any order", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			if err := writeAny(b, s, size); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func writeAny(b *testing.B, s *Store, size int64) error {
	b.Helper()
	u, err := s.Create(b.Context(), "any", storage.CreateOptions{Size: -1})
	if err != nil {
		return err
	}
	defer u.Abort(b.Context())
	r, buf := newStream(size), make([]byte, 256<<10)
	for off := int64(0); off < size; {
		n, err := r.Read(buf)
		if err != nil {
			return err
		}
		if _, err := u.WriteAt(buf[:n], off); err != nil {
			return err
		}
		off += int64(n)
	}
	_, err = u.Commit(b.Context(), storage.CommitOptions{})
	return err
}

func BenchmarkRealRead(b *testing.B) {
	size := benchSize(b)
	server := servers.StartS3(b, serverKind())
	o := options(server, false)
	s := openStore(b, o)
	if _, err := storage.Put(b.Context(), s, "f", newStream(size), storage.CreateOptions{Size: size}, storage.CommitOptions{}); err != nil {
		b.Fatal(err)
	}
	b.Run("minio-go", func(b *testing.B) {
		client := server.Client()
		b.SetBytes(size)
		for b.Loop() {
			object, err := client.GetObject(b.Context(), o.Bucket, s.fileKey("f"), minio.GetObjectOptions{})
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, object); n != size || err != nil {
				b.Fatal(n, err)
			}
			object.Close()
		}
	})
	b.Run("gateway", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			f, err := s.Open(b.Context(), "f")
			if err != nil {
				b.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, storage.Reader(b.Context(), f)); n != size || err != nil {
				b.Fatal(n, err)
			}
			f.Close()
		}
	})
}
