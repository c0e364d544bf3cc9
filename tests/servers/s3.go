package servers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// S3Kind names an S3-compatible object store.
type S3Kind string

// The object stores that can be started. VersityGW keeps objects as files of a folder; its version is
// pinned in tests/s3server. MinIO is the second opinion, pinned in tests/minioserver; building it takes
// minutes, so that only "make test-minio" asks for it.
const (
	VersityGW S3Kind = "versitygw"
	MinIO     S3Kind = "minio"
)

func (k S3Kind) build() nested {
	if k == MinIO {
		return nested{"minioserver", "github.com/minio/minio", "github.com/minio/minio"}
	}
	return nested{"s3server", "github.com/versity/versitygw", "github.com/versity/versitygw/cmd/versitygw"}
}

// S3 is a running object store, reached over TLS.
type S3 struct {
	Kind      S3Kind
	Addr      string // host:port
	AccessKey string
	SecretKey string
	Region    string
	RootCAs   *x509.CertPool // holds the server's certificate
	CertFile  string         // that certificate in PEM

	t       testing.TB
	argv    func(port int) launch
	run     string
	proc    *process
	buckets atomic.Int64
}

// StartS3 runs an object store on 127.0.0.1 with a certificate of its own until the test ends. It is
// built first if it has to be. One that does not answer fails the test with its output.
func StartS3(t testing.TB, kind S3Kind) *S3 {
	t.Helper()
	program := buildS3(t, kind)
	j := &job{t: t, run: scratch(t, string(kind))}
	s := &S3{
		Kind: kind, AccessKey: "gatewaytest", SecretKey: "not-a-secret-of-anyone", Region: "us-east-1",
		RootCAs: j.makeCertificate(), CertFile: j.cert, t: t, run: j.run,
	}
	if kind == MinIO {
		s.argv = s.minio(j, program)
	} else {
		s.argv = s.versity(j, program)
	}
	var err error
	for range 4 { // a free port can be taken before the server listens on it
		if err = s.start(freePort(t, "127.0.0.1")); err == nil || !errors.Is(err, errEndedEarly) {
			break
		}
	}
	if err != nil {
		t.Fatalf("servers: %s: %v\n%s", kind, err, output(s.run))
	}
	t.Cleanup(func() {
		s.proc.stop()
		stopped(t, string(kind), s.Addr, s.run, s.proc)
	})
	return s
}

func (s *S3) start(port int) error {
	s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	p, err := startProcess(s.argv(port), filepath.Join(s.run, "output.log"))
	if err != nil {
		return err
	}
	if err = p.awaitPort(s.Addr, 30*time.Second); err == nil {
		err = s.awaitAnswer(30 * time.Second)
	}
	if err != nil {
		p.stop()
		return err
	}
	s.proc = p
	return nil
}

// Stop ends the store as a crash would. It may be called more than once.
func (s *S3) Stop() { s.proc.stop() }

// Restart starts the store again at the same address, after Stop.
func (s *S3) Restart() {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.Addr)
	n, err := strconv.Atoi(port)
	if err == nil {
		err = s.start(n)
	}
	if err != nil {
		s.t.Fatalf("servers: restart %s: %v\n%s", s.Kind, err, output(s.run))
	}
}

// awaitAnswer waits for any reply but that the store is not ready.
func (s *S3) awaitAnswer(limit time.Duration) error {
	client := &http.Client{Timeout: 5 * time.Second, Transport: s.Transport()}
	defer client.CloseIdleConnections()
	for deadline := time.Now().Add(limit); ; time.Sleep(50 * time.Millisecond) {
		r, err := client.Get("https://" + s.Addr + "/")
		if err == nil {
			r.Body.Close()
			if r.StatusCode != http.StatusServiceUnavailable {
				return nil
			}
			err = errors.New(r.Status)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("does not answer on %s after %v: %w", s.Addr, limit, err)
		}
	}
}

// Transport is a new HTTP transport that trusts the server.
func (s *S3) Transport() *http.Transport {
	return &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.RootCAs, MinVersion: tls.VersionTLS12}}
}

// Client is a client of the store that shares nothing with the gateway.
func (s *S3) Client() *minio.Client {
	s.t.Helper()
	c, err := minio.New(s.Addr, &minio.Options{
		Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Secure: true, Region: s.Region, Transport: s.Transport(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// Bucket makes a new bucket; with versioned, one that keeps the old versions of its objects.
func (s *S3) Bucket(versioned bool) string {
	s.t.Helper()
	name, ctx, c := fmt.Sprintf("bucket%d", s.buckets.Add(1)), context.Background(), s.Client()
	err := c.MakeBucket(ctx, name, minio.MakeBucketOptions{Region: s.Region})
	if err == nil && versioned {
		err = c.EnableVersioning(ctx, name)
	}
	if err != nil {
		s.t.Fatalf("servers: make bucket %s: %v", name, err)
	}
	return name
}

// Folder is where VersityGW keeps the objects of a bucket, as files: to put many there quickly.
func (s *S3) Folder(bucket string) string { return filepath.Join(s.folder("data"), bucket) }

func (s *S3) folder(name string) string {
	s.t.Helper()
	dir := filepath.Join(s.run, name) // absolute, as versitygw needs it
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	return dir
}

func (s *S3) versity(j *job, program string) func(port int) launch {
	data, versions := s.folder("data"), s.folder("versions")
	return func(port int) launch {
		return launch{
			env: []string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey},
			argv: []string{
				program, "-q", "--keep-alive", "--port", "127.0.0.1:" + strconv.Itoa(port), "--cert", j.cert, "--key", j.key,
				"posix", "--versioning-dir", versions, data,
			},
		}
	}
}

func (s *S3) minio(j *job, program string) func(port int) launch {
	data := s.folder("data")
	certs := filepath.Dir(j.write("certs/public.crt", read(j.t, j.cert), 0o644))
	j.write("certs/private.key", read(j.t, j.key), 0o600)
	return func(port int) launch {
		return launch{
			env: []string{
				"MINIO_ROOT_USER=" + s.AccessKey, "MINIO_ROOT_PASSWORD=" + s.SecretKey, "HOME=" + s.run,
				"MINIO_BROWSER=off", "MINIO_UPDATE=off", "MINIO_CI_CD=on",
			},
			argv: []string{program, "server", "--quiet", "--certs-dir", certs, "--address", "127.0.0.1:" + strconv.Itoa(port), data},
		}
	}
}

func read(t testing.TB, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func buildS3(t testing.TB, kind S3Kind) string {
	t.Helper()
	return kind.build().program(t, string(kind))
}
