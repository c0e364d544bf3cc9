package disk

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"gateway/storage"
)

// meddlerEnv tells a child how to get at the staged file in dirEnv.
const meddlerEnv = "DISK_TEST_MEDDLE"

// meddlerChild gets at the staged file, says so, and changes it when told to.
func meddlerChild() error {
	parts, err := filepath.Glob(filepath.Join(os.Getenv(dirEnv), storage.StagingName, "*"+partSuffix))
	if err != nil || len(parts) != 1 {
		return fmt.Errorf("%d staged files: %w", len(parts), err)
	}
	how := os.Getenv(meddlerEnv)
	change, err := meddle(how, parts[0])
	if err != nil {
		return err
	}
	fmt.Println("ready")
	if how == "open late" {
		return change()
	}
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	return change()
}

const evil = "evil"

func meddle(how, part string) (change func() error, err error) {
	switch how {
	case "open": // and write when it is time
		f, err := os.OpenFile(part, os.O_RDWR, 0)
		return func() error { _, err := f.WriteAt([]byte(evil), 0); return errors.Join(err, f.Close()) }, err
	case "map": // and close: the mapping stays
		f, err := os.OpenFile(part, os.O_RDWR, 0)
		if err != nil {
			return nil, err
		}
		mapped, err := unix.Mmap(int(f.Fd()), 0, len(evil), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		return func() error { copy(mapped, evil); return unix.Msync(mapped, unix.MS_SYNC) }, errors.Join(err, f.Close())
	case "open late": // once it is sealed
		return func() error {
			f, err := os.OpenFile(part, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteAt([]byte(evil), 0)
			return errors.Join(err, f.Close())
		}, nil
	case "exchange": // the file for another one
		return func() error {
			other := part + "-other"
			return errors.Join(os.WriteFile(other, []byte(evil+" other"), 0o600), os.Rename(other, part))
		}, nil
	}
	return nil, fmt.Errorf("%q", how)
}

// meddler is a child that meddles with what is staged in dir.
type meddler struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
	cmd *exec.Cmd
}

func startMeddler(t *testing.T, dir, how string) *meddler {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), childEnv+"=meddler", dirEnv+"="+dir, meddlerEnv+"="+how)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	m := &meddler{t, in, bufio.NewReader(out), cmd}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, err := m.out.ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	return m
}

// change has it change the bytes, and waits until it has.
func (m *meddler) change() {
	m.t.Helper()
	_, _ = io.WriteString(m.in, "now\n") // one that opens late is not asked
	if err := m.cmd.Wait(); err != nil {
		m.t.Errorf("the child: %v", err)
	}
}

// Another process, of the gateway's own user, that gets at the staged file before
// or while it is published, by whatever way. The good bytes are published, or none.
func TestAttackExchangedAfterCheck(t *testing.T) {
	good := strings.Repeat("good", 100)
	sum := sha256.Sum256([]byte(good))
	tests := []struct {
		how     string
		start   string // the step at which it comes; "" before all
		act     string // and at which it writes
		noLease bool
		want    error // nil: published, as it was
	}{
		{"open", "", "", false, storage.ErrBusy},
		{"map", "", "", false, storage.ErrBusy},
		{"exchange", "", "ready", false, storage.ErrDigest},
		{"exchange", "ready", "dressed", false, storage.ErrDigest},
		{"exchange", "ready", "synced", false, storage.ErrDigest},
		{"open late", "ready", "", false, storage.ErrDigest},
		{"open late", "synced", "", false, storage.ErrDigest},
		{"open", "", "ready", true, storage.ErrDigest},
		{"open", "ready", "dressed", true, storage.ErrDigest},
		{"open", "ready", "synced", true, storage.ErrDigest},
		{"exchange", "ready", "synced", true, storage.ErrDigest},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s %s %s %v", test.how, test.start, test.act, test.noLease), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			var m *meddler
			d := open(t, dir, Options{noLease: test.noLease, step: func(step string) {
				if step == test.start {
					m = startMeddler(t, dir, test.how)
					time.Sleep(3 * tick) // it is at open by now; and the clock of the file system moves on
				}
				if step == test.act && m != nil {
					time.Sleep(3 * tick)
					m.change()
				}
			}})
			up, err := d.Create(t.Context(), "f", storage.CreateOptions{Size: -1})
			must(t, err)
			defer up.Abort(t.Context())
			_, err = up.WriteAt([]byte(good), 0)
			must(t, err)
			if test.start == "" {
				m = startMeddler(t, dir, test.how)
			}
			_, err = up.Commit(t.Context(), storage.CommitOptions{SHA256: sum[:], IfNoneMatch: true})
			if !errors.Is(err, test.want) {
				t.Errorf("commit: %v, want %v", err, test.want)
			}
			if _, serr := d.Stat(t.Context(), "f"); !errors.Is(serr, fs.ErrNotExist) {
				t.Errorf("published: %v", serr)
			}
		})
	}
}

// Whoever only looks, as a sweep or a scanner does, delays a publish and does not
// prevent it.
func TestSealAndOthers(t *testing.T) {
	good := strings.Repeat("good", 100)
	sum := sha256.Sum256([]byte(good))
	for _, step := range []string{"ready", "dressed", "synced"} {
		dir := t.TempDir()
		done := make(chan error, 1)
		looked := 0
		d := open(t, dir, Options{step: func(s string) {
			if s != step {
				return
			}
			looked++
			second, err := Open(dir, Options{}) // sweeps
			must(t, err)
			must(t, second.Close())
			go func() {
				parts, _ := filepath.Glob(filepath.Join(dir, storage.StagingName, "*"+partSuffix))
				data, err := os.ReadFile(parts[0])
				if err == nil && string(data) != good {
					err = fmt.Errorf("it reads %q", data)
				}
				done <- err
			}()
			time.Sleep(3 * tick)
		}})
		must(t, putFile(t.Context(), d, "f", good, storage.CommitOptions{SHA256: sum[:]}))
		if got := read(t, d, "f"); got != good || looked != 1 {
			t.Errorf("%s: published %q", step, got)
		}
		must(t, <-done)
	}
}

// A seal ends with the publish: nobody waits for a published file.
func TestSealEnds(t *testing.T) {
	good := "good"
	sum := sha256.Sum256([]byte(good))
	dir := t.TempDir()
	d := open(t, dir, Options{step: func(s string) {
		if s != "published" {
			return
		}
		f, err := os.OpenFile(filepath.Join(dir, "f"), os.O_RDWR|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Errorf("the published file is sealed: %v", err)
			return
		}
		_ = f.Close()
	}})
	must(t, putFile(t.Context(), d, "f", good, storage.CommitOptions{SHA256: sum[:]}))
}

// A file that nobody else can have had open since it was made is not hashed again:
// the digest of the writer is taken for what it is.
func TestFence(t *testing.T) {
	good := strings.Repeat("good", 1000)
	sum, wrong := sha256.Sum256([]byte(good)), sha256.Sum256(nil)
	for name, c := range map[string]struct {
		o       storage.CreateOptions // Hashed where it has no mode
		noLease bool
		before  func(t *testing.T, dir string) // what happens while the upload is open
		commit  storage.CommitOptions
		want    []error // any; none: it is published
	}{
		"trusted":           {commit: storage.CommitOptions{SHA256: wrong[:]}},
		"right":             {commit: storage.CommitOptions{SHA256: sum[:]}},
		"not said":          {o: storage.CreateOptions{ModePerm: 0o644}, commit: storage.CommitOptions{SHA256: wrong[:]}, want: []error{storage.ErrDigest}},
		"no digest":         {commit: storage.CommitOptions{}},
		"no leases":         {noLease: true, commit: storage.CommitOptions{SHA256: wrong[:]}, want: []error{storage.ErrDigest}},
		"somebody looks":    {before: looks, commit: storage.CommitOptions{SHA256: sum[:]}},
		"looked, and wrong": {before: looks, commit: storage.CommitOptions{SHA256: wrong[:]}, want: []error{storage.ErrDigest}},
		"somebody writes": {before: func(t *testing.T, dir string) { startMeddler(t, dir, "open late") },
			commit: storage.CommitOptions{SHA256: sum[:]}, want: []error{storage.ErrDigest, storage.ErrBusy}},
		"somebody exchanges it": {before: func(t *testing.T, dir string) { startMeddler(t, dir, "exchange").change() },
			commit: storage.CommitOptions{SHA256: sum[:]}, want: []error{storage.ErrDigest}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			d := open(t, dir, Options{noLease: c.noLease})
			if c.o.Size == 0 {
				c.o.Size = -1
			}
			c.o.Hashed = c.o.ModePerm == 0
			up, err := d.Create(t.Context(), "f", c.o)
			must(t, err)
			defer up.Abort(t.Context())
			_, err = up.WriteAt([]byte(good), 0)
			must(t, err)
			if c.before != nil {
				c.before(t, dir)
				time.Sleep(3 * tick)
			}
			_, err = up.Commit(t.Context(), c.commit)
			as := func(target error) bool { return errors.Is(err, target) }
			if (err != nil) != (c.want != nil) || err != nil && !slices.ContainsFunc(c.want, as) {
				t.Errorf("commit: %v, want %v", err, c.want)
			}
			if c.want == nil {
				if got := read(t, d, "f"); got != good {
					t.Errorf("published %.20q", got)
				}
			} else if _, err := d.Stat(t.Context(), "f"); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("published: %v", err)
			}
		})
	}
}

// looks opens the staged file as a scanner does, and waits for its bytes.
func looks(t *testing.T, dir string) {
	parts, err := filepath.Glob(filepath.Join(dir, storage.StagingName, "*"+partSuffix))
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = os.ReadFile(parts[0])
	}()
	t.Cleanup(func() { <-done })
}

// A fence ends with the upload, and does not keep a commit without it from trying again.
func TestFenceAfterPrecondition(t *testing.T) {
	good := "good"
	sum := sha256.Sum256([]byte(good))
	d := open(t, t.TempDir(), Options{})
	must(t, putFile(t.Context(), d, "f", "old", storage.CommitOptions{}))
	up, err := d.Create(t.Context(), "f", storage.CreateOptions{Size: -1, Hashed: true})
	must(t, err)
	defer up.Abort(t.Context())
	_, err = up.WriteAt([]byte(good), 0)
	must(t, err)
	o := storage.CommitOptions{SHA256: sum[:], IfNoneMatch: true}
	if _, err := up.Commit(t.Context(), o); !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	o.IfNoneMatch = false
	if _, err := up.Commit(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got := read(t, d, "f"); got != good {
		t.Errorf("published %q", got)
	}
}
