package statetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"gateway/state"
)

// LockTests are those of state.Locks, which other stores of locks than a state.Store
// can be held to as well. open gives the locks of a folder; the tests open one
// folder several times.
func LockTests(open func(t testing.TB, dir string) state.Locks) map[string]func(*testing.T) {
	tests := map[string]func(*testing.T){}
	for name, test := range map[string]func(*testing.T, openLocks){
		"Locks":         testLocks,
		"LockConflicts": testLockConflicts,
		"LockExpiry":    testLockExpiry,
		"LockBounds":    testLockBounds,
		"LockKeys":      testLockKeys,
		"LocksAtOnce":   testLocksAtOnce,
	} {
		tests[name] = func(t *testing.T) { test(t, open) }
	}
	return tests
}

type openLocks func(t testing.TB, dir string) state.Locks

func exclusive(token, root string) state.Lock {
	return state.Lock{Token: token, Root: root, User: "anna", Timeout: time.Hour}
}

// wantLocks compares without what is left, which it wants to be near the time-out.
func wantLocks(t *testing.T, got []state.Lock, err error, want ...state.Lock) {
	t.Helper()
	must(t, err)
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(state.Lock{}, "Left"), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("want -, got +:\n%s", d)
	}
	for _, l := range got {
		if l.Left > l.Timeout || l.Left < l.Timeout-time.Minute {
			t.Errorf("%s has %v left of %v", l.Token, l.Left, l.Timeout)
		}
	}
}

func testLocks(t *testing.T, open openLocks) {
	s, ctx := open(t, t.TempDir()), t.Context()
	file := state.Lock{Token: "1", Root: "/a/b", Shared: true, User: "anna", Owner: "<x>\u00e9</x>", Timeout: time.Hour}
	tree := state.Lock{Token: "2", Root: "/a", Infinite: true, Shared: true, User: "bert", Timeout: time.Minute}
	for _, l := range []state.Lock{file, tree} {
		got, err := s.CreateLock(ctx, l)
		wantLocks(t, []state.Lock{got}, err, l)
	}
	covering := func(key string, want ...state.Lock) {
		t.Helper()
		got, err := s.LocksCovering(ctx, key)
		wantLocks(t, got, err, want...)
	}
	below := func(key string, want ...state.Lock) {
		t.Helper()
		got, err := s.LocksBelow(ctx, key)
		wantLocks(t, got, err, want...)
	}
	covering("/a/b", tree, file)
	covering("/a/b/c", tree)
	covering("/a", tree)
	covering("/ab")
	covering("")
	for _, keys := range [][]string{{}, {"/ab", ""}} {
		got, err := s.LocksCovering(ctx, keys...)
		wantLocks(t, got, err)
	}
	many, err := s.LocksCovering(ctx, "/ab", "/a/b", "/a", "/a/b")
	wantLocks(t, many, err, tree, file)
	many, err = s.LocksCovering(ctx, "/a/c", "/a/d")
	wantLocks(t, many, err, tree)
	below("/a", file)
	below("", tree, file)
	below("/a/b")

	file.Timeout = 2 * time.Hour
	got, err := s.RefreshLock(ctx, "1", file.Timeout)
	wantLocks(t, []state.Lock{got}, err, file)
	below("/a", file)
	_, err = s.RefreshLock(ctx, "3", time.Hour)
	wantErr(t, err, state.ErrNotFound)
	_, err = s.RefreshLock(ctx, "1", 0)
	wantErr(t, err, state.ErrInvalid)

	must(t, s.RemoveLock(ctx, "2"))
	wantErr(t, s.RemoveLock(ctx, "2"), state.ErrNotFound)
	covering("/a/b", file)
	must(t, s.RemoveLocksBelow(ctx, "/a/b", false))
	covering("/a/b", file)
	must(t, s.RemoveLocksBelow(ctx, "/a/b", true))
	covering("/a/b")
	for _, root := range []string{"/t", "/t/1", "/t/1/2", "/t!", "/t0", "/tt"} {
		_, err := s.CreateLock(ctx, exclusive(root, root))
		must(t, err)
	}
	must(t, s.RemoveLocksBelow(ctx, "/t", false))
	below("", exclusive("/t", "/t"), exclusive("/t!", "/t!"), exclusive("/t0", "/t0"), exclusive("/tt", "/tt"))
	must(t, s.RemoveLocksBelow(ctx, "/t", true))
	below("", exclusive("/t!", "/t!"), exclusive("/t0", "/t0"), exclusive("/tt", "/tt"))

	for _, bad := range []state.Lock{
		{Root: "/x", User: "u", Timeout: 1}, {Token: "x", User: "u", Timeout: 1}, {Token: "x", Root: "/x", Timeout: 1},
		{Token: "x", Root: "/x", User: "u"},
		{Token: "x", Root: "/x", User: "u", Timeout: 1, Owner: strings.Repeat("x", state.MaxLockOwner+1)},
		{Token: "x", Root: strings.Repeat("x", state.MaxLockKey+1), User: "u", Timeout: 1},
	} {
		_, err := s.CreateLock(ctx, bad)
		wantErr(t, err, state.ErrInvalid)
	}
}

func testLockConflicts(t *testing.T, open openLocks) {
	s, ctx := open(t, t.TempDir()), t.Context()
	for i, c := range []struct {
		held, wanted state.Lock
		conflict     bool
	}{
		{state.Lock{Root: "/a/b"}, state.Lock{Root: "/a/b"}, true},
		{state.Lock{Root: "/a/b", Shared: true}, state.Lock{Root: "/a/b"}, true},
		{state.Lock{Root: "/a/b"}, state.Lock{Root: "/a/b", Shared: true}, true},
		{state.Lock{Root: "/a/b", Shared: true}, state.Lock{Root: "/a/b", Shared: true}, false},
		{state.Lock{Root: "/a", Infinite: true}, state.Lock{Root: "/a/b/c"}, true},
		{state.Lock{Root: "/a", Infinite: true, Shared: true}, state.Lock{Root: "/a/b", Shared: true}, false},
		{state.Lock{Root: "/a"}, state.Lock{Root: "/a/b"}, false},
		{state.Lock{Root: "/a/b"}, state.Lock{Root: "/a"}, false},
		{state.Lock{Root: "/a/b"}, state.Lock{Root: "/a", Infinite: true}, true},
		{state.Lock{Root: "/a/b"}, state.Lock{Root: "/a", Infinite: true, Shared: true}, true},
		{state.Lock{Root: "/a", Infinite: true}, state.Lock{Root: "/ab"}, false},
		{state.Lock{Root: "/ab"}, state.Lock{Root: "/a", Infinite: true}, false},
		{state.Lock{Root: "/a!b"}, state.Lock{Root: "/a", Infinite: true}, false},
	} {
		c.held.Token, c.held.User, c.held.Timeout = "held", "anna", time.Hour
		c.wanted.Token, c.wanted.User, c.wanted.Timeout = "wanted", "anna", time.Hour
		_, err := s.CreateLock(ctx, c.held)
		must(t, err)
		got, err := s.CreateLock(ctx, c.wanted)
		if c.conflict {
			if !errors.Is(err, state.ErrLocked) || got.Token != "held" {
				t.Errorf("%d: %+v, %v; want the lock in the way", i, got, err)
			}
		} else if err != nil || got.Token != "wanted" {
			t.Errorf("%d: %+v, %v", i, got, err)
		}
		must(t, s.RemoveLocksBelow(ctx, "/", false))
		must(t, s.RemoveLocksBelow(ctx, "", false))
	}
}

func testLockExpiry(t *testing.T, open openLocks) {
	dir, ctx := t.TempDir(), t.Context()
	s, other := open(t, dir), open(t, dir)
	short := exclusive("short", "/a/b")
	short.Timeout = 300 * time.Millisecond
	began := time.Now()
	_, err := s.CreateLock(ctx, short)
	must(t, err)
	got, err := other.LocksCovering(ctx, "/a/b")
	if time.Since(began) < short.Timeout {
		wantLocks(t, got, err, short)
	}
	time.Sleep(time.Until(began.Add(short.Timeout / 2)))
	refreshed := time.Now()
	_, err = other.RefreshLock(ctx, "short", 600*time.Millisecond)
	if time.Since(began) < short.Timeout {
		must(t, err)
		time.Sleep(time.Until(began.Add(short.Timeout + 50*time.Millisecond)))
		if got, err := s.LocksBelow(ctx, "/a"); time.Since(refreshed) < 600*time.Millisecond && (err != nil || len(got) != 1) {
			t.Errorf("a lock that was refreshed: %v, %v", got, err)
		}
	}
	time.Sleep(time.Until(time.Now().Add(650 * time.Millisecond)))
	for _, s := range []state.Locks{s, other} {
		got, err := s.LocksCovering(ctx, "/a/b")
		wantLocks(t, got, err)
		got, err = s.LocksBelow(ctx, "/a")
		wantLocks(t, got, err)
		_, err = s.RefreshLock(ctx, "short", time.Hour)
		wantErr(t, err, state.ErrNotFound)
		wantErr(t, s.RemoveLock(ctx, "short"), state.ErrNotFound)
	}
	_, err = s.CreateLock(ctx, exclusive("next", "/a/b"))
	must(t, err)
}

func testLockBounds(t *testing.T, open openLocks) {
	s, ctx := open(t, t.TempDir()), t.Context()
	for n := range state.MaxLocksPerName {
		l := exclusive(fmt.Sprint(n), "/a")
		l.Shared = true
		_, err := s.CreateLock(ctx, l)
		must(t, err)
	}
	one := exclusive("one", "/a")
	one.Shared = true
	_, err := s.CreateLock(ctx, one)
	wantErr(t, err, state.ErrLimit)
	for n := range state.MaxLocksPerUser - state.MaxLocksPerName {
		_, err := s.CreateLock(ctx, exclusive(fmt.Sprint("b", n), fmt.Sprint("/b/", n)))
		must(t, err)
	}
	one.Root = "/c"
	_, err = s.CreateLock(ctx, one)
	wantErr(t, err, state.ErrLimit)
	one.User = "bert"
	_, err = s.CreateLock(ctx, one)
	must(t, err)
	list, err := s.LocksBelow(ctx, "/b")
	must(t, err)
	equal(t, len(list), state.MaxLocksPerUser-state.MaxLocksPerName)
}

// Keys are compared by their bytes, however long they are.
func testLockKeys(t *testing.T, open openLocks) {
	s, ctx := open(t, t.TempDir()), t.Context()
	long := "/" + strings.Repeat("0123456789", 400)
	keys := []string{"/%_", "/\u00e9", "/e\u0301", "/A", "/a", long, long + "/x", long + "1"}
	for _, key := range keys {
		_, err := s.CreateLock(ctx, exclusive(key, key))
		must(t, err)
	}
	for _, key := range keys {
		got, err := s.LocksCovering(ctx, key)
		wantLocks(t, got, err, exclusive(key, key))
	}
	got, err := s.LocksBelow(ctx, long)
	wantLocks(t, got, err, exclusive(long+"/x", long+"/x"))
	tree := exclusive("tree", long)
	tree.Infinite = true
	_, err = s.CreateLock(ctx, tree)
	wantErr(t, err, state.ErrLocked)
	for _, key := range []string{long, long + "/x"} {
		must(t, s.RemoveLock(ctx, key))
	}
	_, err = s.CreateLock(ctx, tree)
	must(t, err)
	got, err = s.LocksCovering(ctx, long+"/y/z")
	wantLocks(t, got, err, tree)
}

// Of many that want one name, one at a time has it.
func testLocksAtOnce(t *testing.T, open openLocks) {
	const stores, each = 4, 5
	dir := t.TempDir()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range stores {
		s := open(t, dir)
		wg.Go(func() {
			for won := 0; won < each; {
				l := exclusive(fmt.Sprint(i, "-", won), fmt.Sprint("/a", strings.Repeat("/b", i%2)))
				l.Infinite = i%2 == 0
				_, err := s.CreateLock(t.Context(), l)
				if errors.Is(err, state.ErrLocked) {
					time.Sleep(time.Millisecond)
					continue
				}
				if err != nil || !mu.TryLock() {
					t.Errorf("two have the lock, or none: %v", err)
					return
				}
				won++
				mu.Unlock()
				if err := s.RemoveLock(t.Context(), l.Token); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// lockOfChild is for how long a child locks a name before it is killed.
const lockOfChild = 2 * time.Second

// A process that dies leaves its locks, until they expire.
func testLockOfKilled(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	acks, kill := startChild(t, dir, "lock")
	if _, ok := nextAck(acks); !ok {
		t.Fatal("the child ended by itself")
	}
	locked := time.Now()
	s := open(t, dir)
	defer s.Close()
	kill()
	got, err := s.LocksCovering(ctx, "/a")
	must(t, err)
	_, err = s.CreateLock(ctx, exclusive("mine", "/a"))
	if time.Since(locked) < lockOfChild/2 && (len(got) != 1 || !errors.Is(err, state.ErrLocked)) {
		t.Errorf("the lock of a process that was killed: %v; another one: %v", got, err)
	}
	time.Sleep(time.Until(locked.Add(lockOfChild)))
	_, err = s.CreateLock(ctx, exclusive("mine", "/a"))
	must(t, err)
}

// A lock is still there when the store is opened again.
func testLockReopen(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	s := open(t, dir)
	l := exclusive("1", "/a")
	_, err := s.CreateLock(ctx, l)
	must(t, err)
	must(t, s.Close())
	s = open(t, dir)
	defer s.Close()
	got, err := s.LocksCovering(ctx, "/a")
	wantLocks(t, got, err, l)
}
