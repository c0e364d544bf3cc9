package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gateway/tests/servers"
)

// bucketStorage is the configuration of a default storage that is a new bucket, and the environment that it needs.
func bucketStorage(t *testing.T, store *servers.S3) (yaml string, env []string) {
	t.Helper()
	secret := filepath.Join(t.TempDir(), "s3.secret")
	if err := os.WriteFile(secret, []byte(store.SecretKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`storages:
  default:
    s3:
      endpoint: https://%s
      bucket: %s
      prefix: gateway
      access_key_env: TEST_ACCESS_KEY
      secret_key_file: %s
      ca_file: %s
`, store.Addr, store.Bucket(false), secret, store.CertFile), []string{"TEST_ACCESS_KEY=" + store.AccessKey}
}

// newBucketLab is a gateway whose default storage is a bucket. more is the rest of its configuration.
func newBucketLab(t *testing.T, store *servers.S3, more string) *lab {
	t.Helper()
	l := newLab(t)
	l.storages, l.env = bucketStorage(t, store)
	l.storages += more
	if err := os.WriteFile(filepath.Join(filepath.Dir(l.data), "gateway.yaml"), []byte(l.storages), 0o600); err != nil {
		t.Fatal(err)
	}
	return l
}

const (
	// leaseTime is for how long a job stays claimed by a gateway that was killed; the next run waits by itself for
	// the end of the claim of an upload.
	leaseTime = 3 * time.Second
	// checkpointTime is for how long the store may be busy with what came before a
	// stall, until all of it is checkpointed.
	checkpointTime = 20 * time.Second
)

// TestMainJobBucket is TestMainJob once more with the files in a bucket and the state in PostgreSQL: a migration under a policy
// is killed in the middle of the big file, goes on there, and everything is read back over both front ends.
func TestMainJobBucket(t *testing.T) {
	tree := servers.MakeTree(t, filepath.Join(t.TempDir(), "tree"), servers.TreeOptions{})
	server := servers.Start(t, servers.VSFTPD, servers.Options{Root: tree.Root})
	proxy := servers.StartProxy(t, server.Addr, servers.ProxyOptions{FTP: true})
	db := servers.StartPostgres(t)
	l := newBucketLab(t, servers.StartS3(t, servers.VersityGW), postgresState(db))
	l.env = append(l.env, "DB_PASSWORD="+db.Pass, "GATEWAY_SOURCE_PASSWORD="+server.Pass)
	l.must("check-config")
	migrate := []string{
		"migrate", "--json", "--policy", signedPolicy(t, tree.Signer),
		fmt.Sprintf("ftp://%s@%s/", server.User, proxy.Addr), "partner",
	}
	killInTheMiddle(t, l, proxy, migrate, checkpointTime)
	firstRun := len(proxy.Transfers())
	time.Sleep(leaseTime)

	secondRun(t, l, proxy, migrate, firstRun, tree)
	s := l.serve()
	readBackSFTP(t, s, tree)
	readBackHTTPS(t, s, tree)
	l.must("verify", "--published", "--policy", migrate[3])
	l.must("provenance", "--check", "partner/"+servers.TreeBig)
}

// TestClientsBucket moves a tree of awkward files into a bucket with a client of each protocol, and reads it with one of the other.
func TestClientsBucket(t *testing.T) {
	s := newBucketLab(t, servers.StartS3(t, servers.VersityGW), "").serve()
	tree := oddTree(t)
	back := t.TempDir()
	s.batch("put -rp "+tree+" odd", "get -rp odd "+back)
	sameTree(t, "read back over SFTP", filepath.Join(back, "odd"), tree, true)
	s.batch("rename odd moved", "mkdir empty", "rmdir empty")
	again := t.TempDir()
	s.batch("get -rp moved " + again)
	sameTree(t, "read after a rename", filepath.Join(again, "moved"), tree, true)
	r := s.rcloneHTTPS(t, "owncloud")
	to := filepath.Join(t.TempDir(), "back")
	r.run("copy", r.remote+"moved", to)
	sameTree(t, "read over WebDAV", to, tree, true)
	r.run("copy", tree, r.remote+"cloud")
	r.run("check", "--download", tree, r.remote+"cloud")
	to = filepath.Join(t.TempDir(), "cloud")
	sftpFolder(t, s, "cloud", to)
	sameTree(t, "written over WebDAV, read over SFTP", to, tree, true)
}

// TestClientsBucketHandles has the clients that keep files open work in a bucket as they do on a disk.
func TestClientsBucketHandles(t *testing.T) {
	s := newBucketLab(t, servers.StartS3(t, servers.VersityGW), "").serve()
	tree := filepath.Join(t.TempDir(), "tree")
	for _, name := range oddNames() {
		writeFile(t, filepath.Join(tree, name), []byte(name))
	}
	t.Run("paramiko", func(t *testing.T) { paramikoClient(t, s.in(t), tree) })
	t.Run("sshfs", func(t *testing.T) {
		if servers.HasFUSE(t) {
			sshfsFolder(t, mountSSHFS(t, s.in(t)), tree)
		}
	})
}
