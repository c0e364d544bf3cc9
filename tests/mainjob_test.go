package tests

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/tests/servers"
)

// TestMainJob is the reason why the gateway exists, with nothing made up: a
// legacy server is migrated under a policy that demands a signed manifest, the
// process is killed in the middle of the big file, run again, and everything is
// read back over both front ends.
func TestMainJob(t *testing.T) {
	for _, kind := range []servers.Kind{servers.VSFTPD, servers.Pyftpdlib} {
		t.Run(string(kind), func(t *testing.T) { mainJob(t, kind) })
	}
}

func mainJob(t *testing.T, kind servers.Kind) {
	tree := servers.MakeTree(t, filepath.Join(t.TempDir(), "tree"), servers.TreeOptions{})
	server := servers.Start(t, kind, servers.Options{Root: tree.Root})
	proxy := servers.StartProxy(t, server.Addr, servers.ProxyOptions{FTP: true})
	l := newLab(t)
	l.env = []string{"GATEWAY_SOURCE_PASSWORD=" + server.Pass}
	migrate := []string{
		"migrate", "--json", "--policy", signedPolicy(t, tree.Signer),
		fmt.Sprintf("ftp://%s@%s/", server.User, proxy.Addr), "partner",
	}

	killInTheMiddle(t, l, proxy, migrate, 0)
	firstRun := len(proxy.Transfers())
	if _, err := os.Stat(l.files("partner", servers.TreeBig)); err == nil {
		t.Error("the big file is published although its transfer was killed")
	}

	secondRun(t, l, proxy, migrate, firstRun, tree)

	done := len(proxy.Transfers())
	rep := lastReport(t, l.run(migrate...))
	if rep.Published.Files != 0 {
		t.Errorf("third run published %d files; nothing had changed", rep.Published.Files)
	}
	for _, tr := range proxy.Transfers()[done:] {
		if name := filepath.Base(tr.Path); tr.Command == "RETR" && name != servers.TreeManifest && name != servers.TreeSignature {
			t.Errorf("third run fetched %s again", tr.Path)
		}
	}

	s := l.serve()
	readBackSFTP(t, s, tree)
	readBackHTTPS(t, s, tree)
	proved(t, l, tree, migrate[3])
}

// secondRun goes on after the first, which made so many transfers and was killed in the middle of the big file: that is
// resumed, and nothing but the quarantine is left.
func secondRun(t *testing.T, l *lab, proxy *servers.Proxy, migrate []string, firstRun int, tree *servers.Tree) {
	t.Helper()
	r := l.run(migrate...)
	rep := lastReport(t, r)
	if r.code != 1 || rep.Failed.Total != 0 || rep.Error != "" {
		t.Fatalf("second run: exit status %d, want 1 for the quarantine\n%s%s", r.code, r.out, r.stderr)
	}
	resumedOnce(t, proxy.Transfers()[firstRun:], tree.Files[servers.TreeBig].Size, rep)
	quarantine(t, l, rep)
}

// proved checks, beside the running gateway, that all that is published can be
// shown to be what it was, also to somebody who has only a file, its exported
// provenance and the fingerprint of the gateway's key.
func proved(t *testing.T, l *lab, tree *servers.Tree, policy string) {
	t.Helper()
	l.must("verify", "--published", "--policy", policy)
	l.must("provenance", "--check", "partner/"+servers.TreeBig)
	dir := t.TempDir()
	exported := filepath.Join(dir, "provenance.json")
	if err := os.WriteFile(exported, []byte(l.must("provenance", "partner/"+servers.TreeBig)), 0o600); err != nil {
		t.Fatal(err)
	}
	fingerprint, _, _ := strings.Cut(l.must("provenance", "--public-key"), " ")
	elsewhere := &lab{t: t, data: filepath.Join(dir, "data")}
	check := []string{"provenance", "--check", exported, "--key", fingerprint, "--file"}
	elsewhere.must(append(check, l.files("partner", servers.TreeBig))...)
	if r := elsewhere.run(append(check, l.files("partner", servers.TreeManifest))...); r.code != 1 {
		t.Errorf("the proof of another file is taken: exit status %d\n%s%s", r.code, r.out, r.stderr)
	}

	// Somebody writes past the gateway.
	if err := os.WriteFile(l.files("partner", servers.TreeManifest), []byte("evil"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := l.run("verify", "--published"); r.code != 1 || !strings.Contains(r.out, "partner/"+servers.TreeManifest) {
		t.Errorf("exit status %d\n%s%s", r.code, r.out, r.stderr)
	}
}

// signedPolicy demands the manifest with its signature for everything.
func signedPolicy(t *testing.T, signer *servers.Signer) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	text := fmt.Sprintf(`rules:
  - paths: "**"
    require: all
    evidence:
      - manifest: %s
        signature: %s
        type: openpgp
        keys: [%q]
        key_files: [%q]
    min_hash: sha256
    on_missing: quarantine
`, servers.TreeManifest, servers.TreeSignature, signer.Fingerprint, signer.PublicKey)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// killInTheMiddle runs a migration that stalls inside the big file, and kills it there
// after a while.
func killInTheMiddle(t *testing.T, l *lab, proxy *servers.Proxy, args []string, after time.Duration) {
	t.Helper()
	// Everything else is small: after this many bytes the big file is half there.
	stalled := proxy.StallAfter(servers.Down, 180<<20)
	cmd := l.command(args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, bufio.NewReader(out)) }()
	select {
	case <-stalled:
		time.Sleep(after)
	case <-time.After(commandTime):
		t.Error("the big file was not reached")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	proxy.DropAll()
	proxy.Resume()
}

// resumedOnce checks on the server's side that the second run took up the big
// file at the checkpoint.
func resumedOnce(t *testing.T, transfers []servers.Transfer, size int64, rep report) {
	t.Helper()
	var bytes int64
	for _, tr := range transfers {
		if tr.Command == "RETR" && strings.HasSuffix(tr.Path, servers.TreeBig) {
			bytes += tr.Bytes
		}
	}
	t.Logf("second run: %d of %d bytes fetched of the big file, %d saved", bytes, size, rep.SavedBytes)
	const (
		stalled  = 180 << 20
		lost     = 96 << 20 // since the last checkpoint, which comes every 32 MiB, and in the buffers of four connections
		overshot = 96 << 20 // what a server has sent already when a segment is told to end, and the overlaps that are compared
	)
	if rep.ResumedFiles != 1 || rep.SavedBytes < stalled-lost {
		t.Errorf("the report says %d files resumed, %d bytes saved", rep.ResumedFiles, rep.SavedBytes)
	}
	if bytes > size-rep.SavedBytes+overshot {
		t.Errorf("%d bytes of the big file were fetched, %d are said to be saved", bytes, rep.SavedBytes)
	}
}

// quarantine checks that what must not be published is held back, with reasons
// that a person understands.
func quarantine(t *testing.T, l *lab, rep report) {
	t.Helper()
	var held []string
	for _, item := range rep.Quarantined.Items {
		held = append(held, item.Path)
	}
	for _, name := range []string{servers.TreeTampered, servers.TreeUnlisted} {
		if !slices.Contains(held, name) {
			t.Errorf("%s is not among the quarantined %q", name, held)
		}
		if _, err := os.Stat(l.files("partner", name)); err == nil {
			t.Errorf("%s is published", name)
		}
	}
	for name, reason := range map[string]string{
		servers.TreeTampered: "but the file has sha256:",
		servers.TreeUnlisted: "no manifest names",
	} {
		if text := l.must("explain", "partner/"+name); !strings.Contains(strings.Join(strings.Fields(text), " "), reason) {
			t.Errorf("explain %s does not say %q:\n%s", name, reason, text)
		}
		if list := l.must("quarantine", "list"); !strings.Contains(list, "partner/"+name) {
			t.Errorf("quarantine list does not name %s:\n%s", name, list)
		}
	}
	if text := l.must("explain", "partner/"+servers.TreeBig); !strings.Contains(text, "authentic") {
		t.Errorf("explain %s does not say that it is authentic:\n%s", servers.TreeBig, text)
	}
	if r := l.run("quarantine", "release", "partner/"+servers.TreeTampered); r.code != 1 || !strings.Contains(r.stderr, "bad") {
		t.Errorf("release of the tampered file: exit status %d\n%s", r.code, r.stderr)
	}
}

// expected are the files that a reader must see, by name.
func expected(tree *servers.Tree) map[string]servers.TreeFile {
	want := map[string]servers.TreeFile{}
	for raw, f := range tree.Files {
		if raw != servers.TreeTampered && raw != servers.TreeUnlisted {
			want[f.Name] = f
		}
	}
	return want
}

// readBackSFTP fetches everything with OpenSSH's sftp and compares.
func readBackSFTP(t *testing.T, s *serving, tree *servers.Tree) {
	t.Helper()
	to := t.TempDir()
	s.batch("get -rp partner " + to)
	want := expected(tree)
	err := filepath.WalkDir(filepath.Join(to, "partner"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(filepath.Join(to, "partner"), path)
		f, ok := want[name]
		if !ok {
			t.Errorf("sftp shows %q, which should not be there", name)
			return nil
		}
		delete(want, name)
		info, err := d.Info()
		if err != nil {
			return err
		}
		if sum := sumFile(t, path); sum != f.SHA256 {
			t.Errorf("sftp: %q has the digest %s, want %s", name, sum, f.SHA256)
		}
		if !info.ModTime().Equal(f.ModTime) {
			t.Errorf("sftp: %q is of %v, want %v", name, info.ModTime().UTC(), f.ModTime)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for name := range want {
		t.Errorf("sftp does not show %q", name)
	}
}

// readBackHTTPS fetches everything with curl and compares.
func readBackHTTPS(t *testing.T, s *serving, tree *servers.Tree) {
	t.Helper()
	to := t.TempDir()
	want := expected(tree)
	var config strings.Builder
	files := map[string]string{}
	for name := range want {
		file := filepath.Join(to, fmt.Sprint(len(files)))
		files[name] = file
		fmt.Fprintf(&config, "url = \"%s\"\noutput = %q\nremote-time\nfail\n", s.url("partner/"+name), file)
	}
	if r := clientResult(t, "curl", config.String(), "-sS", "-k", "-u", s.user+":"+s.password, "-K", "-"); r.code != 0 {
		t.Fatalf("curl: exit status %d\n%s", r.code, r.stderr)
	}
	for name, f := range want {
		info, err := os.Stat(files[name])
		if err != nil {
			t.Errorf("curl did not get %q: %v", name, err)
			continue
		}
		if sum := sumFile(t, files[name]); sum != f.SHA256 {
			t.Errorf("curl: %q has the digest %s, want %s", name, sum, f.SHA256)
		}
		if !info.ModTime().Equal(f.ModTime) {
			t.Errorf("curl: %q is of %v, want %v", name, info.ModTime().UTC(), f.ModTime)
		}
	}
	for _, name := range []string{servers.TreeTampered, servers.TreeUnlisted} {
		if status := s.status("partner/" + name); status != "404" {
			t.Errorf("GET of %s: status %s, want 404", name, status)
		}
	}
}

func sumFile(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}
