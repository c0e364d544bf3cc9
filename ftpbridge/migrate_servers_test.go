package ftpbridge

import (
	"bufio"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/integrity"
	"gateway/state/sqlite"
	"gateway/storage/disk"
	"gateway/tests/servers"
)

// childEnv holds a childJob in the process that a test kills.
const childEnv = "FTPBRIDGE_TEST_CHILD"

type childJob struct {
	Source, Dest, State, Policy string
	Fingerprint                 string // of the source
	Connections                 int
	SegmentFrom                 int64 // bytes; 0: as by default
}

// options opens what a childJob names. The caller closes it.
func (j childJob) options(t *testing.T) (MigrateOptions, func()) {
	t.Helper()
	src, err := ParseSource(j.Source)
	if err != nil {
		t.Fatal(err)
	}
	src.Fingerprint = j.Fingerprint
	d, err := disk.Open(j.Dest, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(t.Context(), j.State)
	if err != nil {
		t.Fatal(err)
	}
	var policy *integrity.Policy
	if j.Policy != "" {
		if policy, err = integrity.LoadPolicy(j.Policy); err != nil {
			t.Fatal(err)
		}
	}
	return MigrateOptions{
		Source: src, Dest: d, DestName: "disk", Folder: "old", Store: store, Policy: policy,
		Connections: j.Connections, RetryWait: time.Millisecond, Checkpoint: childCheckpoint,
		segmentFrom: j.SegmentFrom, segmentLeast: j.SegmentFrom / 4,
	}, func() { store.Close(); d.Close() }
}

const (
	childCheckpoint = 1 << 20
	bigTreeFile     = 24 << 20
	migrateKills    = 8
)

// runChild migrates and prints a line for each event.
func runChild(t *testing.T, raw string) {
	var j childJob
	if err := json.Unmarshal([]byte(raw), &j); err != nil {
		t.Fatal(err)
	}
	o, done := j.options(t)
	defer done()
	o.Progress = func(e Event) { fmt.Println("event", e.Kind) }
	if _, err := Migrate(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	fmt.Println("event done")
}

// killChild lets a child run for a number of events and then kills it. It
// reports whether the child had finished before.
func killChild(t *testing.T, j childJob, events int) (finished bool) {
	t.Helper()
	raw, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestRealMigrateKilled$", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), childEnv+"="+string(raw))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; n < events && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "event") {
			n++
		}
		finished = lines.Text() == "event done"
	}
	time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
	if err := cmd.Process.Kill(); err != nil && !finished {
		t.Error(err)
	}
	for lines.Scan() {
		finished = finished || lines.Text() == "event done"
	}
	_ = cmd.Wait()
	return finished
}

func signedPolicy(t *testing.T, s *servers.Signer) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	yaml := fmt.Sprintf(`rules:
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
    on_weak: quarantine
`, servers.TreeManifest, servers.TreeSignature, s.Fingerprint, s.PublicKey)
	if err := os.WriteFile(path, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// checkTree holds the destination against the source: the right bytes under the
// right names with the right times, and nothing else.
func checkTree(t *testing.T, dest string, tr *servers.Tree, published []string) {
	t.Helper()
	want := map[string]servers.TreeFile{}
	for _, raw := range published {
		want[tr.Files[raw].Name] = tr.Files[raw]
	}
	for link, target := range tr.Links {
		if f, ok := tr.Files[target]; ok {
			want[link] = f
		}
	}
	err := filepath.WalkDir(dest, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name := path[len(dest)+1:]
		f, ok := want[name]
		delete(want, name)
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		sum := sha256.Sum256(data)
		switch {
		case !ok:
			t.Errorf("%q should not be published", name)
		case hex.EncodeToString(sum[:]) != f.SHA256:
			t.Errorf("%q: %d bytes differ from the source's %d", name, len(data), f.Size)
		case !info.ModTime().Equal(f.ModTime):
			t.Errorf("%q: modified %v, want %v", name, info.ModTime().UTC(), f.ModTime)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for name := range want {
		t.Errorf("%q is not published", name)
	}
	for _, dir := range tr.Dirs {
		if name := dir; !strings.HasPrefix(dir, "latin1/") && !strings.HasPrefix(dir, "shift_jis/") {
			if info, err := os.Stat(filepath.Join(dest, name)); err != nil || !info.IsDir() {
				t.Errorf("folder %q: %v", name, err)
			}
		}
	}
}

// behindLink is what a server shows below TreeDirLink: pyftpdlib's MLSD tells of
// what a link leads to, as if it were there.
func behindLink(kind servers.Kind, tr *servers.Tree) map[string]servers.TreeFile {
	files := map[string]servers.TreeFile{}
	for raw, f := range tr.Files {
		inside, ok := strings.CutPrefix(raw, tr.Links[servers.TreeDirLink]+"/")
		if ok && kind == servers.Pyftpdlib {
			f.Name = servers.TreeDirLink + "/" + inside
			files[f.Name] = f
		}
	}
	return files
}

// published lists how often each target was.
func published(t *testing.T, path string) map[string]int {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT target, count(*) FROM publications GROUP BY target")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	counts := map[string]int{}
	for rows.Next() {
		var target string
		var n int
		if err := rows.Scan(&target, &n); err != nil {
			t.Fatal(err)
		}
		counts[target] = n
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return counts
}

// TestRealMigrateKilled kills migrations of an awkward tree at random moments until
// one gets through, and then looks at everything.
func TestRealMigrateKilled(t *testing.T) {
	if raw := os.Getenv(childEnv); raw != "" {
		runChild(t, raw)
		return
	}
	for _, kind := range []servers.Kind{servers.VSFTPD, servers.Pyftpdlib} {
		t.Run(string(kind), func(t *testing.T) { testMigrateKilled(t, kind) })
	}
}

func testMigrateKilled(t *testing.T, kind servers.Kind) {
	root := t.TempDir()
	tr := servers.MakeTree(t, root, servers.TreeOptions{BigSize: bigTreeFile})
	srv := servers.Start(t, kind, servers.Options{Root: root})
	proxy := servers.StartProxy(t, srv.Addr, servers.ProxyOptions{FTP: true})
	dir := t.TempDir()
	j := childJob{
		Source: fmt.Sprintf("ftp://%s:%s@%s/", srv.User, srv.Pass, proxy.Addr),
		Dest:   filepath.Join(dir, "dest"), State: filepath.Join(dir, "state.db"),
		Policy: signedPolicy(t, tr.Signer), Connections: 2,
	}
	if err := os.Mkdir(j.Dest, 0o755); err != nil {
		t.Fatal(err)
	}
	kills := 0
	for ; kills < migrateKills; kills++ {
		if killChild(t, j, 1+rand.IntN(60)) {
			break
		}
	}
	o, done := j.options(t)
	defer done()
	rep, err := Migrate(testContext(t), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, text(rep))
	}
	held := map[string]string{servers.TreeTampered: "lists", servers.TreeUnlisted: "no manifest names", servers.TreeLink: "no manifest names"}
	skipped := map[string]string{servers.TreeDirLink: "link to a folder"}
	if behind := behindLink(kind, tr); len(behind) > 0 {
		skipped = map[string]string{}
		for name := range behind {
			held[name] = "no manifest names"
		}
	}
	reasons(t, rep.Quarantined, held)
	reasons(t, rep.Skipped, skipped)
	equal(t, rep.Failed.Total+rep.Unread.Total+rep.Pending.Files, int64(0))
	delete(tr.Links, servers.TreeLink) // no manifest names a link
	checkTree(t, filepath.Join(j.Dest, "old"), tr, slices.Concat(tr.Good(), []string{servers.TreeManifest, servers.TreeSignature}))
	for target, n := range published(t, j.State) {
		if n != 1 {
			t.Errorf("%s was published %d times", target, n)
		}
	}

	// What was durable was not fetched again: a kill costs what came since the
	// last checkpoint, and what was on its way.
	var big, durable int64
	for _, tf := range proxy.Transfers() {
		if tf.Command == "RETR" && strings.HasSuffix(tf.Path, servers.TreeBig) {
			big += tf.Bytes
			if tf.Offset < durable-overlap {
				t.Errorf("went back from %d to %d", durable, tf.Offset)
			}
			durable = max(durable, tf.Offset)
		}
	}
	const lost = childCheckpoint + overlap + 8<<20 // buffers of the proxy's and the kernel's
	if big > bigTreeFile+int64(kills)*lost {
		t.Errorf("%d bytes of the big file were fetched with %d kills", big, kills)
	}
	before := len(retrievals(proxy))
	rep, err = Migrate(testContext(t), o)
	if err != nil || rep.Published.Files != 0 || rep.Quarantined.Total != int64(len(held)) {
		t.Errorf("%v\n%s", err, text(rep))
	}
	equal(t, retrievals(proxy)[before:], []string{servers.TreeManifest, servers.TreeSignature})
	t.Logf("%d kills; of the big file %d bytes were fetched, %d are in it", kills, big, int64(bigTreeFile))
}

// retrievals names the files that were fetched.
func retrievals(p *servers.Proxy) []string {
	var names []string
	for _, tf := range p.Transfers() {
		if tf.Command == "RETR" {
			names = append(names, strings.TrimPrefix(tf.Path, "/"))
		}
	}
	return names
}

// TestRealMigrateWithoutPolicy reads everything from each server; links to files
// come as files.
func TestRealMigrateWithoutPolicy(t *testing.T) {
	for _, kind := range servers.All() {
		t.Run(string(kind), func(t *testing.T) {
			root := t.TempDir()
			tr := servers.MakeTree(t, root, servers.TreeOptions{BigSize: 9 << 20})
			srv := servers.Start(t, kind, servers.Options{Root: root})
			src, err := ParseSource(fmt.Sprintf("ftp://%s:%s@%s/", srv.User, srv.Pass, srv.Addr))
			if err != nil {
				t.Fatal(err)
			}
			src.Connections = 3
			m := newMove(t, src)
			rep := m.run()
			if !strings.Contains(text(rep), "nothing was verified") {
				t.Errorf("%s", text(rep))
			}
			maps.Copy(tr.Files, behindLink(kind, tr))
			failed := map[string]string{}
			var all []string
			for raw, f := range tr.Files {
				if kind == servers.PureFTPD && strings.Contains(raw, `\`) { // it lists them and serves none
					failed[f.Name] = "Prohibited file name"
				} else {
					all = append(all, raw)
				}
			}
			reasons(t, rep.Failed, failed)
			checkTree(t, filepath.Join(m.dest, "old"), tr, all)
			equal(t, m.run().Published.Files, int64(0))
		})
	}
}

// TestRealMigrateLostConnections cuts transfers in the middle, again and again.
func TestRealMigrateLostConnections(t *testing.T) {
	root := t.TempDir()
	tr := servers.MakeTree(t, root, servers.TreeOptions{BigSize: bigTreeFile})
	srv := servers.Start(t, servers.VSFTPD, servers.Options{Root: root})
	proxy := servers.StartProxy(t, srv.Addr, servers.ProxyOptions{FTP: true})
	src, err := ParseSource(fmt.Sprintf("ftp://%s:%s@%s/", srv.User, srv.Pass, proxy.Addr))
	if err != nil {
		t.Fatal(err)
	}
	m := newMove(t, src)
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range 3 {
			select {
			case <-proxy.CutAfter(servers.Down, 5<<20):
			case <-stop:
				return
			}
		}
	}()
	rep := m.run()
	close(stop)
	<-ended
	if rep.Retries < 2 || !rep.Complete() {
		t.Errorf("%s", text(rep))
	}
	var all []string
	for raw := range tr.Files {
		all = append(all, raw)
	}
	checkTree(t, filepath.Join(m.dest, "old"), tr, all)
	if rep.FetchedBytes > bigTreeFile+4*(overlap+8<<20) {
		t.Errorf("fetched %d bytes", rep.FetchedBytes)
	}
}
