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
		vouched bool
	}{
		{"open", "", "", false, storage.ErrBusy, false},
		{"map", "", "", false, storage.ErrBusy, false},
		{"exchange", "", "ready", false, storage.ErrDigest, false},
		{"exchange", "ready", "dressed", false, storage.ErrDigest, false},
		{"exchange", "ready", "synced", false, storage.ErrDigest, false},
		{"open late", "ready", "", false, storage.ErrDigest, false},
		{"open late", "synced", "", false, storage.ErrDigest, false},
		{"open", "", "ready", true, storage.ErrDigest, false},
		{"open", "ready", "dressed", true, storage.ErrDigest, false},
		{"open", "ready", "synced", true, storage.ErrDigest, false},
		{"exchange", "ready", "synced", true, storage.ErrDigest, false},
		{"open late", "", "", false, storage.ErrDigest, true},
		{"exchange", "", "ready", false, storage.ErrDigest, true},
		{"exchange", "ready", "dressed", false, storage.ErrDigest, true},
		{"open late", "ready", "", false, storage.ErrDigest, true},
		{"open late", "synced", "", false, storage.ErrDigest, true},
		{"open", "", "ready", true, storage.ErrDigest, true},
		{"open", "ready", "synced", true, storage.ErrDigest, true},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s %s %s %v %v", test.how, test.start, test.act, test.noLease, test.vouched), func(t *testing.T) {
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
			up, err := d.Create(t.Context(), "f", storage.CreateOptions{Size: -1, Vouched: test.vouched})
			must(t, err)
			defer up.Abort(t.Context())
			_, err = up.WriteAt([]byte(good), 0)
			must(t, err)
			if test.start == "" {
				m = startMeddler(t, dir, test.how)
				time.Sleep(3 * tick) // one that opens late is at it by now
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

// Who vouches for a hash is believed only while nobody else could have written: not
// after a look of somebody, not after the upload was kept and taken up again.
func TestVouched(t *testing.T) {
	good := strings.Repeat("good", 100)
	sum, wrong := sha256.Sum256([]byte(good)), sha256.Sum256([]byte(evil))
	create := func(dir string) (*Disk, storage.Upload) {
		d := open(t, dir, Options{})
		up, err := d.Create(t.Context(), "f", storage.CreateOptions{Size: -1, Vouched: true})
		must(t, err)
		_, err = up.WriteAt([]byte(good), 0)
		must(t, err)
		return d, up
	}
	commit := func(up storage.Upload, sum [32]byte) error {
		_, err := up.Commit(t.Context(), storage.CommitOptions{SHA256: sum[:]})
		return err
	}

	d, up := create(t.TempDir())
	must(t, commit(up, sum))
	if got := read(t, d, "f"); got != good {
		t.Errorf("published %q", got)
	}

	dir := t.TempDir()
	d, up = create(dir)
	must(t, d.Sweep(t.Context()))
	parts, err := filepath.Glob(filepath.Join(dir, storage.StagingName, "*"+partSuffix))
	if err != nil || len(parts) != 1 {
		t.Fatalf("%d staged files, %v", len(parts), err)
	}
	if f, err := os.OpenFile(parts[0], os.O_RDWR|unix.O_NONBLOCK, 0); !errors.Is(err, unix.EWOULDBLOCK) {
		f.Close()
		t.Errorf("somebody else opened the staged file: %v", err)
	}
	if err := commit(up, wrong); !errors.Is(err, storage.ErrDigest) {
		t.Errorf("after somebody wanted the file: %v, want ErrDigest", err)
	}
	must(t, commit(up, sum))

	d, up = create(t.TempDir())
	token, err := up.Suspend(t.Context(), storage.SuspendOptions{})
	must(t, err)
	up, err = d.Resume(t.Context(), token)
	must(t, err)
	if err := commit(up, wrong); !errors.Is(err, storage.ErrDigest) {
		t.Errorf("after Resume: %v, want ErrDigest", err)
	}
	must(t, commit(up, sum))
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
