package s3

import (
	"sync"
	"testing"
	"time"

	"gateway/storage"
	"gateway/storage/storagetest"
	"gateway/tests/servers"
)

// options are those of a new bucket of the server.
func options(s *servers.S3, versioned bool) Options {
	return Options{
		Endpoint: s.Addr, Bucket: s.Bucket(versioned), Prefix: "the folder", Region: s.Region,
		AccessKey: s.AccessKey, SecretKey: s.SecretKey, RootCAs: s.RootCAs, retryPause: time.Millisecond,
	}
}

// openStore opens a store until the end of the test.
func openStore(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	t.Cleanup(func() { once.Do(func() { s.Close() }) })
	return s
}

func TestRealConformance(t *testing.T) {
	server := servers.StartS3(t, servers.VersityGW)
	storagetest.Test(t, func(t *testing.T) storage.FS { return openStore(t, options(server, false)) })
}

// TestRealConformanceVersions is the suite on a bucket that keeps old versions.
func xTestRealConformanceVersions(t *testing.T) {
	server := servers.StartS3(t, servers.VersityGW)
	storagetest.Test(t, func(t *testing.T) storage.FS { return openStore(t, options(server, true)) })
}
