package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"gateway/storage"
)

// drips serves a file for ever, a little at a time, as fast as it must.
func drips(begun func()) func(*talk, string) {
	return func(c *talk, _ string) {
		c.rest = 0
		c.say("150 go")
		d := c.accept()
		if d == nil {
			return
		}
		defer d.Close()
		begun()
		for err := error(nil); err == nil; {
			_, err = io.WriteString(d, strings.Repeat("x", 600))
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// soon fails the test if do does not end.
func soon(t *testing.T, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatalf("%s does not end", what)
	}
}

// A file that comes a byte at a time keeps nobody from anything else.
func TestMountDrips(t *testing.T) {
	t.Run("a file of unknown size", func(t *testing.T) {
		t.Parallel()
		s := newShelf(t, map[string]string{"slow": "x", "f": "x"})
		s.handlers["SIZE"] = says("502 no")
		s.handlers["MLSD"] = func(c *talk, _ string) { c.stream("type=file; slow\r\ntype=file;size=1; f\r\n", "226 done") }
		begun := make(chan struct{})
		s.handlers["RETR"] = drips(sync.OnceFunc(func() { close(begun) }))
		m := s.mount(t, 3, MountOptions{})
		ctx, cancel := context.WithCancel(testContext(t))
		opened := make(chan error, 1)
		go func() {
			_, err := m.Open(ctx, "slow")
			opened <- err
		}()
		<-begun
		soon(t, "a change beside it", func() { m.Remove(testContext(t), "f") })
		cancel()
		want(t, <-opened, []error{context.Canceled})
		allBack(t, m.pool)
	})
	t.Run("a far read", func(t *testing.T) {
		t.Parallel()
		s := newShelf(t, map[string]string{"f": random(40 << 20)})
		begun := make(chan struct{})
		slow := drips(sync.OnceFunc(func() { close(begun) }))
		s.handlers["RETR"] = func(c *talk, arg string) {
			if c.rest > 1<<20 {
				slow(c, arg)
				return
			}
			s.retr(c, arg)
		}
		m := s.mount(t, 3, MountOptions{})
		f, err := m.Open(testContext(t), "f")
		if err != nil {
			t.Fatal(err)
		}
		read := make(chan error, 1)
		go func() {
			_, err := f.ReadAt(make([]byte, 4<<20), 30<<20)
			read <- err
		}()
		<-begun
		soon(t, "Close", func() { f.Close() })
		soon(t, "the read", func() { want(t, <-read, nil) })
		allBack(t, m.pool)
	})
	t.Run("a file that is replaced", func(t *testing.T) {
		t.Parallel()
		s := newShelf(t, map[string]string{"f": random(1 << 20)})
		s.handlers["RETR"] = drips(func() {})
		m := s.mount(t, 3, MountOptions{})
		m.settleTime = time.Second
		f, err := m.Open(testContext(t), "f")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		readAt(t, f, 0, 10)
		soon(t, "the upload", func() {
			if err := mountPut(t, m, "f", "new", storage.CommitOptions{}); err != nil {
				t.Error(err)
			}
		})
		if _, err := f.ReadAt(make([]byte, 1000), 1<<20-1000); err == nil {
			t.Error("the end of a file that is gone was read")
		}
	})
	t.Run("a listing", func(t *testing.T) {
		t.Parallel()
		s := newShelf(t, map[string]string{"f": "x"})
		s.handlers["MLSD"] = drips(func() {})
		m := s.mount(t, 3, MountOptions{})
		m.listTime = time.Second
		soon(t, "Stat", func() {
			_, err := m.Stat(t.Context(), "f")
			want(t, err, []error{ErrTimeout})
		})
		allBack(t, m.pool)
	})
}

// A file without a size, and without an end.
func TestMountEndlessFile(t *testing.T) {
	s := newShelf(t, map[string]string{"f": "x"})
	s.handlers["SIZE"] = says("502 no")
	s.handlers["MLSD"] = func(c *talk, _ string) { c.stream("type=file; f\r\n", "226 done") }
	var sent atomic.Int64
	s.handlers["RETR"] = func(c *talk, _ string) {
		c.say("150 go")
		d := c.accept()
		defer d.Close()
		for err := error(nil); err == nil && sent.Load() < 256<<20; sent.Add(1 << 16) {
			_, err = io.WriteString(d, strings.Repeat("x", 1<<16))
		}
	}
	m := s.mount(t, 1, MountOptions{CacheSize: 1 << 20})
	_, err := m.Open(testContext(t), "f")
	want(t, err, []error{ErrTooLarge})
	allBack(t, m.pool)
	if n := sent.Load(); n > 64<<20 {
		t.Errorf("%d bytes were taken", n)
	}
}

// Files that end at the same moment do not overfill the cache together.
func TestMountCacheBound(t *testing.T) {
	const n, each, limit = 8, 1 << 20, 3 << 20
	held := map[string]string{}
	for i := range n {
		held[fmt.Sprint("f", i)] = random(each)
	}
	s := newShelf(t, held)
	var ready sync.WaitGroup
	ready.Add(n)
	s.handlers["RETR"] = func(c *talk, arg string) {
		body, _ := s.get(c.abs(arg))
		c.stream(body, "")
		ready.Done()
		ready.Wait()
		c.say("226 done")
	}
	m := s.mount(t, n, MountOptions{CacheSize: limit})
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			f, err := m.Open(testContext(t), fmt.Sprint("f", i))
			if err != nil {
				t.Error(err)
				ready.Done()
				return
			}
			defer f.Close()
			if got, err := io.ReadAll(storage.Reader(testContext(t), f)); err != nil || len(got) != each {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	kept := func(m *Mount) (sum int64) {
		for info, err := range m.o.Spool.List(t.Context(), cacheFolder) {
			if err != nil {
				t.Fatal(err)
			}
			sum += info.Size
		}
		if sum > m.o.CacheSize || sum != m.cache.bytes || sum == 0 || m.cache.taken != 0 {
			t.Errorf("%d bytes are kept, %d are counted, %d are allowed", sum, m.cache.bytes, m.o.CacheSize)
		}
		return sum
	}
	kept(m)
	o := m.o
	o.CacheSize = each
	m.Close()
	m, err := NewMount(t.Context(), o) // the same spool with less room
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	equal(t, kept(m), int64(each))
}

// Whatever names a server lists, the mount gives names that are none of its own
// paths and of which no two are the same.
func TestMountHostileNames(t *testing.T) {
	s := newShelf(t, nil)
	hostile := []string{"../up", "/abs", "..", "a\x00b", "\x1b[2J", "bell\x07", "rtl\u202egnp", "cr\rDELE f", "same\x1b", "same%1B", "plain", strings.Repeat("long", 500)}
	var list strings.Builder
	for _, name := range hostile {
		fmt.Fprintf(&list, "type=file;size=4;modify=20200102030405; %s\r\n", name)
		s.held["/"+name] = "four"
	}
	s.handlers["MLSD"] = func(c *talk, _ string) { c.stream(list.String()+list.String(), "226 done") }
	m := s.mount(t, 1, MountOptions{})
	names := map[string]bool{}
	for info, err := range m.List(testContext(t), "") {
		if err != nil {
			t.Fatal(err)
		}
		if _, cerr := storage.CleanName(info.Name); cerr != nil || strings.ContainsFunc(info.Name, unicode.IsControl) || strings.Contains(info.Name, "/") || names[info.Name] {
			t.Errorf("listed as %q", info.Name)
		}
		names[info.Name] = true
		f, err := m.Open(testContext(t), info.Name)
		if err != nil {
			t.Errorf("%q: %v", info.Name, err)
			continue
		}
		if got := readAt(t, f, 0, 10); string(got) != "four" {
			t.Errorf("%q: %q", info.Name, got)
		}
		f.Close()
	}
	if !names["plain"] || len(names) < 5 {
		t.Errorf("%v", names)
	}
	for _, name := range []string{"../up", "a/../../b", "..", "x\r\nDELE plain", "x\x00"} {
		if _, err := m.Open(testContext(t), name); err == nil {
			t.Errorf("%q was opened", name)
		}
		if err := mountPut(t, m, name, "x", storage.CommitOptions{}); err == nil {
			t.Errorf("%q was written", name)
		}
	}
	if s.count("DELE") != 0 || s.count("STOR") != 0 {
		t.Errorf("%q", s.heard())
	}
}

// Two who write one name at once: the file is that of one of them, and who wants
// to be the first is that alone.
func TestMountTwoWriters(t *testing.T) {
	bodies := []string{strings.Repeat("a", 100_000), strings.Repeat("b", 90_000)}
	for _, first := range []bool{false, true} {
		s := newShelf(t, nil)
		var both sync.WaitGroup
		both.Add(2)
		s.handlers["STOR"] = func(c *talk, arg string) {
			both.Done()
			both.Wait()
			s.stor(c, arg)
		}
		m := s.mount(t, 4, MountOptions{})
		errs := make([]error, 2)
		var wg sync.WaitGroup
		for i, body := range bodies {
			wg.Go(func() { errs[i] = mountPut(t, m, "f", body, storage.CommitOptions{IfNoneMatch: first}) })
		}
		wg.Wait()
		won := 0
		for i, err := range errs {
			switch {
			case err == nil:
				won++
			case !first || !errors.Is(err, fs.ErrExist):
				t.Errorf("%d: %v", i, err)
			}
		}
		if first && won != 1 || !first && won != 2 {
			t.Errorf("%d have written, %v", won, errs)
		}
		got := s.all()
		if body := got["/f"]; len(got) != 1 || body != bodies[0] && body != bodies[1] {
			t.Errorf("%d files, %d bytes", len(got), len(body))
		}
		allBack(t, m.pool)
	}
}
