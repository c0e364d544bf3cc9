package ftpbridge

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gateway/state"
	"gateway/state/sqlite"
	"gateway/storage/disk"
	"gateway/tests/servers"
)

// killEnv holds a killJob in a process that is to die.
const killEnv = "FTPBRIDGE_TEST_KILL"

// killJob is a migration that a child runs. With Step it kills itself at that step
// of what follows the walk; else it prints its events and the test kills it.
type killJob struct {
	Source, Dest, State string
	Connections         int
	After, Extra        string
	Step                int64
}

func (j killJob) options(ctx context.Context, t *testing.T) (MigrateOptions, func()) {
	t.Helper()
	src, err := ParseSource(j.Source)
	if err != nil {
		t.Fatal(err)
	}
	d, err := disk.Open(j.Dest, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.Open(ctx, j.State)
	if err != nil {
		t.Fatal(err)
	}
	o := MigrateOptions{
		Source: src, Dest: d, DestName: "disk", Folder: "old", Store: store, Connections: j.Connections,
		DeleteExtra: Extra(j.Extra), RetryWait: time.Millisecond,
	}
	if o.After, err = ParseAfter(j.After); err != nil {
		t.Fatal(err)
	}
	return o, func() {
		if err := errors.Join(store.Close(), d.Close()); err != nil {
			t.Error(err)
		}
	}
}

// killOrRun is the child's side. It reports whether this process is one.
func killOrRun(t *testing.T) bool {
	raw := os.Getenv(killEnv)
	if raw == "" {
		return false
	}
	var j killJob
	if err := json.Unmarshal([]byte(raw), &j); err != nil {
		t.Fatal(err)
	}
	o, done := j.options(t.Context(), t)
	defer done()
	if j.Step > 0 {
		steps := &steps{last: j.Step}
		o.Store = steppedStore{o.Store, steps}
		o.Dest = steppedDisk{o.Dest.(*disk.Disk), steps}
		o.Source.Logger = slog.New(steps) // each line of the dialogue is one
	} else {
		o.Progress = func(e Event) { fmt.Println("event", e.Kind) }
	}
	if _, err := Migrate(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	fmt.Println("event done")
	return true
}

// steps kills this process at the last of them. Counting begins with the first
// write to the ledger.
type steps struct {
	n, last int64
	begun   atomic.Bool
}

func (s *steps) step() {
	if s.begun.Load() && atomic.AddInt64(&s.n, 1) == s.last {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

func (s *steps) Enabled(context.Context, slog.Level) bool  { return true }
func (s *steps) Handle(context.Context, slog.Record) error { s.step(); return nil }
func (s *steps) WithAttrs([]slog.Attr) slog.Handler        { return s }
func (s *steps) WithGroup(string) slog.Handler             { return s }
func (s *steps) around(call func() error) error            { s.step(); err := call(); s.step(); return err }

type steppedStore struct {
	state.Store
	*steps
}

func (s steppedStore) PutFiles(ctx context.Context, files ...state.File) error {
	s.begun.Store(true)
	return s.around(func() error { return s.Store.PutFiles(ctx, files...) })
}

func (s steppedStore) Withdraw(ctx context.Context, f state.File, target string, at time.Time) error {
	return s.around(func() error { return s.Store.Withdraw(ctx, f, target, at) })
}

func (s steppedStore) FinishJob(ctx context.Context, id int64, at time.Time) error {
	return s.around(func() error { return s.Store.FinishJob(ctx, id, at) })
}

func (s steppedStore) AddRun(ctx context.Context, r state.Run) error {
	return s.around(func() error { return s.Store.AddRun(ctx, r) })
}

type steppedDisk struct {
	*disk.Disk
	*steps
}

func (d steppedDisk) Remove(ctx context.Context, name string) error {
	return d.around(func() error { return d.Disk.Remove(ctx, name) })
}

// startKillChild runs the calling top-level test in a child.
func startKillChild(t *testing.T, j killJob) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	raw, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	top, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.Command(os.Args[0], "-test.run=^"+top+"$", "-test.timeout=60m")
	cmd.Env = append(os.Environ(), killEnv+"="+string(raw))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// scene is a finished migration whose next step is to be cut off everywhere.
type scene struct {
	kind  servers.Kind
	after string
	extra string
	gone  []string // files that vanish from the source before
}

// allStepsEnv, if it is set, has TestRealJobKilled kill at every step.
const allStepsEnv = "GATEWAY_KILL_STEPS"

// TestRealJobKilled cuts the deletion and moving of files on the source, and the
// removal of files in the destination, off at every step: each write to the ledger,
// each line of the dialogue with the server, each removal.
func TestRealJobKilled(t *testing.T) {
	if killOrRun(t) {
		return
	}
	for name, s := range map[string]scene{
		"delete": {kind: servers.VSFTPD, after: "delete"},
		"move":   {kind: servers.Pyftpdlib, after: "move:fetched"},
		"extra":  {kind: servers.VSFTPD, extra: string(RemoveExtra), gone: []string{"sub/c"}},
	} {
		t.Run(name, func(t *testing.T) { s.test(t) })
	}
}

func (s scene) test(t *testing.T) {
	const maxSteps = 500
	root := t.TempDir()
	srv := servers.Start(t, s.kind, servers.Options{Root: root})
	migrated := killJob{Source: fmt.Sprintf("ftp://%s:%s@%s/", srv.User, srv.Pass, srv.Addr), Connections: 1}
	migrated.in(t.TempDir())
	if err := os.Mkdir(migrated.Dest, 0o755); err != nil {
		t.Fatal(err)
	}
	s.fill(t, root)
	s.run(t, migrated)
	// A third of the steps, another one each time; all of them where that is asked for.
	first, every := 1+rand.Int64N(3), int64(3)
	if os.Getenv(allStepsEnv) != "" {
		first, every = 1, 1
	}
	for n := first; ; n += every {
		if n >= maxSteps {
			t.Fatal("the job has no end")
		}
		s.fill(t, root)
		if !s.killedAt(t, migrated, root, n) {
			t.Logf("every %d of %d steps", every, n-1)
			if n < 10 {
				t.Error("these are too few to be true")
			}
			return
		}
	}
}

// sceneFiles are what is migrated; nothing else is.
func sceneFiles() map[string]string {
	return map[string]string{"a": "one", "sub/c": "three", "z": "five"}
}

// in puts destination and ledger into a folder.
func (j *killJob) in(dir string) {
	j.Dest, j.State = filepath.Join(dir, "dest"), filepath.Join(dir, "state.db")
}

// killedAt reports whether there was a step n.
func (s scene) killedAt(t *testing.T, migrated killJob, root string, n int64) bool {
	t.Helper()
	j, dir := migrated, t.TempDir()
	j.in(dir)
	if err := os.CopyFS(dir, os.DirFS(filepath.Dir(migrated.Dest))); err != nil {
		t.Fatal(err)
	}
	for _, name := range s.gone {
		if err := os.Remove(filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	j.After, j.Extra, j.Step = s.after, s.extra, n
	cmd, lines := startKillChild(t, j)
	finished := false
	for lines.Scan() {
		finished = finished || lines.Text() == "event done"
	}
	if err := cmd.Wait(); (err == nil) != finished {
		t.Fatalf("step %d: %v", n, err)
	}
	s.check(t, j, root, n, false)
	if rep := s.run(t, j); !rep.Complete() {
		t.Errorf("step %d: %s", n, text(rep))
	}
	s.check(t, j, root, n, true)
	if n%8 == 1 {
		if rep := s.run(t, j); rep.Published.Files+rep.Removed.Total+rep.Disposed.Files != 0 {
			t.Errorf("step %d: one more run still did something: %s", n, text(rep))
		}
	}
	return !finished
}

func (s scene) run(t *testing.T, j killJob) Report {
	t.Helper()
	o, done := j.options(t.Context(), t)
	defer done()
	rep, err := Migrate(testContext(t), o)
	if err != nil {
		t.Fatalf("%v\n%s", err, text(rep))
	}
	return rep
}

// fill makes the served folder hold exactly these files, with old times, so that
// listings are settled.
func (s scene) fill(t *testing.T, root string) {
	t.Helper()
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(root, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, body := range sceneFiles() {
		path := filepath.Join(root, name)
		err := os.MkdirAll(filepath.Dir(path), 0o777)
		if err == nil {
			err = os.Chmod(filepath.Dir(path), 0o777)
		}
		if err == nil {
			err = os.WriteFile(path, []byte(body), 0o666)
		}
		if err == nil {
			err = os.Chtimes(path, old, old)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// check holds source, destination and ledger together. In the end everything has
// to be where it belongs; before, nothing may be lost.
func (s scene) check(t *testing.T, j killJob, root string, n int64, end bool) {
	t.Helper()
	dest, source := readTree(t, filepath.Join(j.Dest, "old")), readTree(t, root)
	for name, body := range sceneFiles() {
		vanished := slices.Contains(s.gone, name)
		if got, ok := dest[name]; got != body && (ok || !vanished) || ok && vanished && end {
			t.Errorf("step %d: %s in the destination: %q, %v", n, name, got, ok)
		}
		delete(dest, name)
		at, moved := source[name], source["fetched/"+name]
		switch {
		case vanished:
		case at == body && moved == "" && (!end || s.after == ""):
		case at == "" && moved == "" && s.after == "delete":
		case at == "" && moved == body && s.after == "move:fetched":
		default:
			t.Errorf("step %d: %s on the source: %q, moved: %q", n, name, at, moved)
		}
		delete(source, name)
		delete(source, "fetched/"+name)
	}
	if len(dest)+len(source) > 0 {
		t.Errorf("step %d: besides there are %q and %q", n, dest, source)
	}
	for target, times := range published(t, j.State) {
		if times != 1 {
			t.Errorf("step %d: %s was published %d times", n, target, times)
		}
	}
}

func readTree(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		files[path[len(root)+1:]] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

const (
	manyEnv         = "GATEWAY_KILL_FILES" // how many files TestRealManyKilled moves
	manyFiles       = 800                  // without it
	manyKills       = 10
	manyInFolder    = 1000
	maxSmallFile    = 4 << 10
	eventsOfOneFile = 3 // started, bytes, finished
)

// TestRealManyKilled migrates many small files and is killed ten times at random
// moments. "make test-kill" runs it with 100,000.
func TestRealManyKilled(t *testing.T) {
	if killOrRun(t) {
		return
	}
	count := manyFiles
	if s := os.Getenv(manyEnv); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 10*manyKills {
			t.Fatalf("%s=%q: want a number of files from %d on", manyEnv, s, 10*manyKills)
		}
		count = n
	}
	root, dir := t.TempDir(), t.TempDir()
	random := rand.NewChaCha8([32]byte{1})
	for i := range count {
		path := filepath.Join(root, fmt.Sprintf("folder%04d/file%07d", i/manyInFolder, i))
		if i%manyInFolder == 0 {
			if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		body := make([]byte, random.Uint64()%maxSmallFile)
		_, _ = random.Read(body) // never fails
		if err := os.WriteFile(path, body, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	srv := servers.Start(t, servers.VSFTPD, servers.Options{Root: root})
	j := killJob{
		Source: fmt.Sprintf("ftp://%s:%s@%s/", srv.User, srv.Pass, srv.Addr),
		Dest:   filepath.Join(dir, "dest"), State: filepath.Join(dir, "state.db"), Connections: 4,
	}
	if err := os.Mkdir(j.Dest, 0o755); err != nil {
		t.Fatal(err)
	}
	began, finished := time.Now(), 0
	for kill := range manyKills {
		// Some die in the walk, which reports once for scanBatch files.
		after := 1 + rand.IntN(2*eventsOfOneFile*(count-finished)/(manyKills+1-kill))
		if kill%4 == 1 {
			after = 1 + rand.IntN(1+count/scanBatch)
		}
		n, done := killAfterEvents(t, j, after)
		if done {
			t.Fatalf("child %d finished before it was killed after %d events", kill, after)
		}
		finished += n
		t.Logf("kill %d after %d events: %d files are finished, %v", kill+1, after, finished, time.Since(began).Round(time.Millisecond))
	}
	last := time.Now()
	o, done := j.options(t.Context(), t)
	defer done()
	rep, err := Migrate(t.Context(), o)
	if err != nil || !rep.Complete() {
		t.Fatalf("%v\n%s", err, text(rep))
	}
	t.Logf("%d files; the last run published %d in %v; %v altogether", count, rep.Published.Files, time.Since(last), time.Since(began))
	checkMany(t, root, filepath.Join(j.Dest, "old"), j.State, count)
	rep, err = Migrate(t.Context(), o)
	if err != nil || rep.Unchanged.Files != int64(count) || rep.FetchedBytes != 0 {
		t.Errorf("%v\n%s", err, text(rep))
	}
}

// killAfterEvents kills a child after so many events. It gives the number of files
// that it had finished by then, and whether it was done altogether.
func killAfterEvents(t *testing.T, j killJob, events int) (files int, done bool) {
	t.Helper()
	cmd, lines := startKillChild(t, j)
	killed := false
	for n := 1; lines.Scan(); n++ {
		switch lines.Text() {
		case "event finished":
			files++
		case "event done":
			done = true
		}
		if n >= events && !killed {
			killed = true
			time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
			if err := cmd.Process.Kill(); err != nil && !done {
				t.Error(err)
			}
		}
	}
	_ = cmd.Wait()
	return files, done
}

// checkMany holds the destination against the source, file by file.
func checkMany(t *testing.T, source, dest, db string, count int) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(dest, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		found++
		got, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(filepath.Join(source, path[len(dest):]))
		if err == nil && string(got) != string(want) {
			t.Errorf("%s differs", path)
		}
		return err
	})
	if err != nil || found != count {
		t.Errorf("%d files in the destination, want %d: %v", found, count, err)
	}
	times := published(t, db)
	if len(times) != count {
		t.Errorf("%d files are on record as published, want %d", len(times), count)
	}
	for target, n := range times {
		if n != 1 {
			t.Errorf("%s was published %d times", target, n)
		}
	}
}
