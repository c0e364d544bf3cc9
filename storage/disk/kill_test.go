package disk

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gateway/storage"
)

// The test binary is its own child: with childEnv set it plays one scenario in the
// folder dirEnv and, at step killEnv, kills itself as kill -9 would.
const (
	childEnv = "DISK_TEST_CHILD"
	dirEnv   = "DISK_TEST_DIR"
	killEnv  = "DISK_TEST_KILL"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		if err := child(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(name string) error {
	switch name {
	case "endless":
		return endlessChild()
	case "limited":
		return limitedChild()
	case "meddler":
		return meddlerChild()
	}
	at, err := strconv.Atoi(os.Getenv(killEnv))
	if err != nil {
		return err
	}
	step := 0
	s := scenarios[name]
	o := s.options
	o.step = func(string) {
		if step++; step == at {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	d, err := Open(os.Getenv(dirEnv), o)
	if err != nil {
		return err
	}
	defer d.Close()
	return s.act(context.Background(), d)
}

func startChild(t *testing.T, name, dir string, kill int) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self)
	cmd.Env = append(os.Environ(), childEnv+"="+name, dirEnv+"="+dir, fmt.Sprintf("%s=%d", killEnv, kill))
	return cmd
}

type scenario struct {
	options Options
	prepare func(ctx context.Context, d *Disk) error // in the parent
	act     func(ctx context.Context, d *Disk) error // in the child
}

var (
	oldContent = strings.Repeat("old ", 50_000)
	newContent = strings.Repeat("new!", 70_000)
)

func putFile(ctx context.Context, d *Disk, name, content string, o storage.CommitOptions) error {
	_, err := storage.Put(ctx, d, name, strings.NewReader(content), storage.CreateOptions{Size: -1}, o)
	return err
}

func putOld(ctx context.Context, d *Disk) error {
	return putFile(ctx, d, "f", oldContent, storage.CommitOptions{})
}

func nothing(context.Context, *Disk) error { return nil }

func putNew(o storage.CommitOptions) func(context.Context, *Disk) error {
	return func(ctx context.Context, d *Disk) error { return putFile(ctx, d, "f", newContent, o) }
}

// stage uploads newContent up to the checkpoint.
func stage(ctx context.Context, d *Disk, o storage.CreateOptions) (storage.Upload, error) {
	u, err := d.Create(ctx, "f", o)
	if err != nil {
		return nil, err
	}
	if _, err := u.WriteAt([]byte(newContent), 0); err != nil {
		return nil, err
	}
	_, err = u.Checkpoint(ctx)
	return u, err
}

func commitCheckpointed(o storage.CreateOptions) func(context.Context, *Disk) error {
	return func(ctx context.Context, d *Disk) error {
		u, err := stage(ctx, d, o)
		if err == nil {
			_, err = u.Commit(ctx, storage.CommitOptions{})
		}
		return err
	}
}

func plantTree(ctx context.Context, d *Disk) error {
	if err := storage.MkdirAll(ctx, d, "d/e"); err != nil {
		return err
	}
	return errors.Join(putOld(ctx, d), putFile(ctx, d, "d/e/x", "x", storage.CommitOptions{}))
}

func rename2(from, to string) func(context.Context, *Disk) error {
	return func(ctx context.Context, d *Disk) error {
		return d.Rename(ctx, from, to, storage.RenameOptions{Replace: true})
	}
}

var scenarios = map[string]scenario{
	"overwrite":  {Options{}, putOld, putNew(storage.CommitOptions{})},
	"create":     {Options{}, nothing, putNew(storage.CommitOptions{})},
	"exclusive":  {Options{}, nothing, putNew(storage.CommitOptions{IfNoneMatch: true})},
	"link":       {Options{noRenameat2: true}, nothing, putNew(storage.CommitOptions{IfNoneMatch: true})},
	"checkpoint": {Options{}, putOld, commitCheckpointed(storage.CreateOptions{Size: -1})},
	"checkpoint and link": {
		Options{noRenameat2: true}, nothing, commitCheckpointed(storage.CreateOptions{Size: -1, Exclusive: true}),
	},
	"suspend": {Options{}, putOld, func(ctx context.Context, d *Disk) error {
		u, err := stage(ctx, d, storage.CreateOptions{Size: -1})
		if err == nil {
			_, err = u.Suspend(ctx, storage.SuspendOptions{})
		}
		return err
	}},
	"abort": {Options{}, putOld, func(ctx context.Context, d *Disk) error {
		u, err := stage(ctx, d, storage.CreateOptions{Size: -1})
		return errors.Join(err, u.Abort(ctx))
	}},
	"edit": {Options{}, putOld, func(ctx context.Context, d *Disk) error {
		u, err := d.Create(ctx, "f", storage.CreateOptions{Edit: true})
		if err != nil {
			return err
		}
		if _, err := u.WriteAt([]byte("edited"), 10); err != nil {
			return err
		}
		_, err = u.Commit(ctx, storage.CommitOptions{})
		return err
	}},
	"copy": {Options{}, plantTree, func(ctx context.Context, d *Disk) error {
		_, err := d.Copy(ctx, "d/e/x", "f", storage.CommitOptions{})
		return err
	}},
	"mkdir":            {Options{DirMode: 0o777}, nothing, func(ctx context.Context, d *Disk) error { return d.Mkdir(ctx, "d") }},
	"rename":           {Options{}, plantTree, rename2("f", "d/e/x")},
	"rename directory": {Options{}, plantTree, rename2("d", "g")},
	"rename without renameat2": {Options{noRenameat2: true}, plantTree, func(ctx context.Context, d *Disk) error {
		return d.Rename(ctx, "f", "g", storage.RenameOptions{})
	}},
	"remove":     {Options{}, putOld, func(ctx context.Context, d *Disk) error { return d.Remove(ctx, "f") }},
	"remove all": {Options{}, plantTree, func(ctx context.Context, d *Disk) error { return d.RemoveAll(ctx, "d") }},
}

// TestKill kills a child at each step of each scenario and looks at what is left.
func TestKill(t *testing.T) {
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			before, after := bothStates(t, s)
			const maxSteps = 50
			for at := 1; ; at++ {
				if at > maxSteps {
					t.Fatalf("the child did not end after %d steps", maxSteps)
				}
				dir := t.TempDir()
				prepare(t, s, dir)
				cmd := startChild(t, name, dir, at)
				out, err := cmd.CombinedOutput()
				if err == nil {
					checkLeft(t, dir, after)
					return
				}
				if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
					t.Fatalf("step %d: the child ended with %v: %s", at, err, out)
				}
				if t.Failed() {
					return
				}
				t.Logf("killed at step %d", at)
				checkLeft(t, dir, before, after)
			}
		})
	}
}

func prepare(t *testing.T, s scenario, dir string) {
	t.Helper()
	d := open(t, dir, Options{})
	if err := s.prepare(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// bothStates plays the scenario to its end.
func bothStates(t *testing.T, s scenario) (before, after string) {
	t.Helper()
	dir := t.TempDir()
	prepare(t, s, dir)
	before = visible(t, dir)
	d := open(t, dir, s.options)
	if err := s.act(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	return before, visible(t, dir)
}

// visible is what anybody can see in a folder, the gateway or not.
func visible(t *testing.T, dir string) string {
	t.Helper()
	var list []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path == storage.StagingName:
			return fs.SkipDir
		case e.IsDir():
			list = append(list, path+"/")
			return nil
		}
		data, err := os.ReadFile(filepath.Join(dir, path))
		list = append(list, path+"="+string(data))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, "\n")
}

// checkLeft checks that the folder is in one of the states, that opening it leaves
// nothing in staging but what can be resumed, and that this is whole.
func checkLeft(t *testing.T, dir string, states ...string) {
	t.Helper()
	ctx := t.Context()
	left := visible(t, dir)
	if !slices.Contains(states, left) {
		t.Fatalf("neither old nor new: %.200q", left)
	}
	d, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if now := visible(t, dir); now != left {
		t.Errorf("opening changed what is seen to %.200q", now)
	}
	staged := 0
	for s, err := range d.Suspended(ctx, "") {
		if err != nil {
			t.Fatal(err)
		}
		staged++
		u, err := d.Resume(ctx, s.Token)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := u.Commit(ctx, storage.CommitOptions{}); err != nil {
			t.Fatal(err)
		}
		if got, err := storage.ReadFile(ctx, d, s.Name, 1<<20); err != nil || string(got) != newContent {
			t.Errorf("resumed: %.40q, %v", got, err)
		}
	}
	if staged > 1 {
		t.Errorf("%d uploads can be resumed", staged)
	}
	wantEmptyStaging(t, dir)
}

func wantEmptyStaging(t *testing.T, dir string) {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(dir, storage.StagingName))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.Name() != lockName {
			t.Errorf("left in staging: %s", e.Name())
		}
	}
}

// TestKillAnytime kills a child at any moment between its overwrites. What it said
// was committed must be there, or a later version.
func TestKillAnytime(t *testing.T) {
	for round := range 6 {
		dir := t.TempDir()
		cmd := startChild(t, "endless", dir, 0)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		acknowledged := -1
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if acknowledged, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatal(err)
			}
			if acknowledged == round+1 {
				// Not a point of our choosing, which is the point.
				time.AfterFunc(time.Duration(round)*3*time.Millisecond, func() { cmd.Process.Kill() })
			}
		}
		cmd.Wait()
		got, err := os.ReadFile(filepath.Join(dir, "f"))
		if err != nil {
			t.Fatal(err)
		}
		found, _, _ := strings.Cut(string(got), "\n")
		n, err := strconv.Atoi(found)
		if err != nil || string(got) != endlessContent(n) || n < acknowledged {
			t.Errorf("acknowledged was %d, found is %d: %.40q (%d bytes)", acknowledged, n, got, len(got))
		}
		open(t, dir, Options{})
		wantEmptyStaging(t, dir)
	}
}

func endlessContent(i int) string {
	return strings.Repeat(strconv.Itoa(i)+"\n", 10_000+i%5*10_000)
}

func endlessChild() error {
	d, err := Open(os.Getenv(dirEnv), Options{})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		if err := putFile(context.Background(), d, "f", endlessContent(i), storage.CommitOptions{}); err != nil {
			return err
		}
		fmt.Println(i)
	}
}

// TestFull fills a disk: a child may make no file larger than a limit, so that the kernel
// refuses its writes in the middle, as it does when a disk is full.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	if err := putOld(t.Context(), open(t, dir, Options{})); err != nil {
		t.Fatal(err)
	}
	if out, err := startChild(t, "limited", dir, 0).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := visible(t, dir); got != "./\nf="+oldContent {
		t.Errorf("the old file is now %.100q", got)
	}
	wantEmptyStaging(t, dir)
}

func limitedChild() error {
	ctx := context.Background()
	d, err := Open(os.Getenv(dirEnv), Options{})
	if err != nil {
		return err
	}
	defer d.Close()
	signal.Ignore(syscall.SIGXFSZ)
	const limit = 100_000
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
		return err
	}
	if err := putFile(ctx, d, "f", newContent, storage.CommitOptions{}); !errors.Is(err, storage.ErrNoSpace) {
		return fmt.Errorf("put: %w", err)
	}
	// A front end that overlooks the error cannot publish what is incomplete.
	u, err := d.Create(ctx, "f", storage.CreateOptions{Size: -1})
	if err != nil {
		return err
	}
	if _, err := u.WriteAt([]byte(newContent), 0); !errors.Is(err, storage.ErrNoSpace) {
		return fmt.Errorf("write: %w", err)
	}
	if _, err := u.Commit(ctx, storage.CommitOptions{}); err == nil {
		return errors.New("an incomplete upload was published")
	}
	// What came through is kept for later, up to the write that failed.
	if u, err = d.Create(ctx, "f", storage.CreateOptions{Size: -1}); err != nil {
		return err
	}
	const good = 60_000
	if _, err := u.WriteAt([]byte(newContent[:good]), 0); err != nil {
		return err
	}
	if _, err := u.WriteAt([]byte(newContent[good:]), good); !errors.Is(err, storage.ErrNoSpace) {
		return fmt.Errorf("write: %w", err)
	}
	token, err := u.Suspend(ctx, storage.SuspendOptions{})
	if err != nil {
		return err
	}
	resumed, err := d.Resume(ctx, token)
	if err != nil {
		return err
	}
	if resumed.Size() != good {
		return fmt.Errorf("resumed at %d", resumed.Size())
	}
	return resumed.Abort(ctx)
}
