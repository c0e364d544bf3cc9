package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gateway/listing"
)

// tree is a Lister of a tree that is made up while it is walked.
type tree struct {
	list  func(dir string, yield func(listing.Entry) bool)
	wait  func() // within every listing
	calls atomic.Int64
}

func (l *tree) List(ctx context.Context, dir string) (res listing.Result, err error) {
	in := keeper{&res}
	res.Quality, err = l.listInto(ctx, dir, in)
	return res, err
}

type keeper struct{ res *listing.Result }

func (k keeper) reset() { k.res.Entries = nil }

func (k keeper) add(e *listing.Entry) error {
	k.res.Entries = append(k.res.Entries, *e)
	return nil
}

func (l *tree) listInto(ctx context.Context, dir string, to sink) (listing.Quality, error) {
	l.calls.Add(1)
	if l.wait != nil {
		l.wait()
	}
	to.reset()
	var err error
	l.list(dir, func(e listing.Entry) bool {
		if err = ctx.Err(); err == nil {
			err = to.add(&e)
		}
		return err == nil
	})
	return listing.Quality{Format: listing.Unix}, err
}

func (l *tree) Stat(context.Context, string) (listing.Entry, error) {
	return listing.Entry{}, ErrUnsupported
}
func (l *tree) Join(dir, name string) string { return joinRel(dir, name) }
func (l *tree) Show(path string) string      { return path }

func entry(name string, kind listing.Type) listing.Entry {
	return listing.Entry{Name: name, RawName: name, Type: kind, Size: 7, ModTime: listing.Time{
		Time: time.Unix(1e9, 0).UTC(), Precision: listing.Minute,
	}}
}

// fanOut has n folders in every folder down to a depth, and n files.
func fanOut(n, depth int) func(string, func(listing.Entry) bool) {
	return func(dir string, yield func(listing.Entry) bool) {
		for i := range n {
			if strings.Count(dir, "d") < depth && !yield(entry(fmt.Sprint("d", i), listing.Dir)) {
				return
			}
			if !yield(entry(fmt.Sprint("f", i, "of", dir), listing.File)) {
				return
			}
		}
	}
}

// However many folders are listed at once, and in whatever order they answer, fn
// hears the same.
func TestWalkAheadKeepsOrder(t *testing.T) {
	l := &tree{list: fanOut(4, 4)}
	one, err := walked(t, l, "", WalkOptions{})
	if err != nil || len(one) != 4*(1+4+16+64+256)+4+16+64+256 {
		t.Fatalf("%d, %v", len(one), err)
	}
	var n atomic.Int64
	l.wait = func() { time.Sleep(time.Duration(n.Add(7)%5) * 100 * time.Microsecond) }
	many, err := walked(t, l, "", WalkOptions{Connections: 8})
	if err != nil || !slices.Equal(one, many) {
		t.Errorf("%d, %v", len(many), err)
	}
	got, err := walked(t, l, "", WalkOptions{Connections: 8, MaxDepth: 2})
	if err != nil || len(got) != 4*5+4+4*4+16 { // with those too deep
		t.Errorf("%d, %v", len(got), err)
	}
	_, err = walked(t, l, "", WalkOptions{Connections: 8, MaxEntries: 100})
	want(t, err, []error{ErrTooLarge})
}

// A walk that fn steers is the same too, and what is left out for good is not listed.
func TestWalkAheadSteering(t *testing.T) {
	stop := errors.New("stop")
	for _, end := range []error{nil, stop, fs.SkipAll} {
		var seen [2][]string
		for i, connections := range []int{1, 8} {
			l := &tree{list: fanOut(4, 3)}
			err := Walk(testContext(t), l, "", WalkOptions{
				Connections: connections,
				Enter:       func(f Found) bool { return !strings.HasSuffix(f.Rel, "d3") },
				Folder: func(f Found, entries iter.Seq[Found]) (any, error) {
					seen[i] = append(seen[i], fmt.Sprint("in ", f.Name, f.Dir))
					for range entries {
					}
					if f.Rel == "d1/d1" {
						return nil, fs.SkipDir
					}
					return f.Rel, nil
				},
			}, func(f Found) error {
				seen[i] = append(seen[i], fmt.Sprint(f.Rel, " in ", f.Dir))
				switch f.Rel {
				case "d0/d1", "d2", "d1/d0/f1ofd1/d0":
					return fs.SkipDir
				case "d1/d2/d0":
					return end
				}
				return nil
			})
			if all := errors.Is(end, fs.SkipAll); !errors.Is(err, end) && !all || all && err != nil {
				t.Fatal(err)
			}
			if end == nil && connections == 1 && l.calls.Load() != 19 {
				t.Errorf("%d listings", l.calls.Load())
			}
		}
		if !slices.Equal(seen[0], seen[1]) {
			t.Errorf("one by one %q, at once %q", seen[0], seen[1])
		}
	}
}

// As many LISTs are open at once as connections are allowed.
func TestWalkListsAtOnce(t *testing.T) {
	const connections = 4
	var mu sync.Mutex
	open, most := 0, 0
	full := make(chan struct{})
	srv := (&scripted{lists: map[string]string{"": ""}}).start(t)
	for i := range 12 {
		name := fmt.Sprint("d", i)
		srv.lists[""] += unixDir(name)
		srv.lists["/"+name] = unixLine("f", 1)
	}
	srv.handlers = map[string]func(*talk, string){"LIST": func(c *talk, _ string) {
		if c.cwd != "/" {
			mu.Lock()
			if open++; open > most {
				if most = open; most == connections {
					close(full)
				}
			}
			mu.Unlock()
			select { // none ends before all have begun
			case <-full:
			case <-time.After(10 * time.Second):
			}
			defer func() { mu.Lock(); open--; mu.Unlock() }()
		}
		c.send(srv.lists, strings.TrimSuffix(c.cwd, "/"))
	}}
	m := newMove(t, srv.source(t, ""))
	m.o.Connections = connections
	for i := range 12 {
		srv.files = map[string]string{}
		srv.files[fmt.Sprintf("/d%d/f", i)] = "x"
	}
	rep := m.run()
	equal(t, rep.Found.Files, int64(12))
	if most != connections || srv.most > connections {
		t.Errorf("%d listings at once over %d connections", most, srv.most)
	}
}

// Many folders that contain themselves, on a server that tells nothing of their
// identity, are cut early and reported once.
func TestWalkCutsLoopsEarly(t *testing.T) {
	l := &tree{list: func(_ string, yield func(listing.Entry) bool) {
		for i := range 20 {
			if !yield(entry(fmt.Sprint("loop", i), listing.Dir)) {
				return
			}
		}
		yield(entry("file", listing.File))
	}}
	for _, connections := range []int{1, 8} {
		l.calls.Store(0)
		got, err := walked(t, l, "", WalkOptions{Connections: connections})
		if err != nil {
			t.Fatal(err)
		}
		problems := 0
		for _, p := range got {
			if strings.HasPrefix(p, "!") {
				problems++
			}
		}
		if n := l.calls.Load(); problems != 1 || n > 61+4*maxAheadFolders {
			t.Errorf("%d reported, %d listings", problems, n)
		}
	}
}

// A loop through two folders has no two neighbours that are the same.
func TestWalkCutsLongLoops(t *testing.T) {
	l := &tree{list: func(dir string, yield func(listing.Entry) bool) {
		name := "ab"[strings.Count(dir, "/")%2 : 1+strings.Count(dir, "/")%2]
		_ = yield(entry(name, listing.Dir)) && yield(entry("1"+name, listing.File)) && yield(entry("2", listing.File))
	}}
	var last Found
	err := Walk(testContext(t), l, "", WalkOptions{}, func(f Found) error {
		if f.Err != nil {
			last = f
		}
		return nil
	})
	if err != nil || !errors.Is(last.Err, ErrLoop) || last.Depth > 2*maxSameRich+1 {
		t.Errorf("%+v, %v", last, err)
	}
}

// What only looks alike is walked whole: copies beside each other, and a chain of
// folders that are each the only thing in the one above.
func TestWalkKeepsRepeatedStructures(t *testing.T) {
	l := &tree{list: func(dir string, yield func(listing.Entry) bool) {
		depth := strings.Count(dir, "/")
		switch {
		case dir == "":
			for i := range 10 {
				yield(entry(fmt.Sprint("copy", i), listing.Dir))
			}
			yield(entry("x", listing.Dir))
		case strings.HasPrefix(dir, "copy") && depth < 2:
			yield(entry("a", listing.Dir))
			yield(entry("b", listing.File))
			yield(entry("c", listing.File))
		case strings.HasPrefix(dir, "x") && depth < maxSameListing-1:
			yield(entry("x", listing.Dir))
		case strings.HasPrefix(dir, "x"):
			yield(entry("end", listing.File))
		}
	}}
	got, err := walked(t, l, "", WalkOptions{Connections: 4})
	if err != nil || !slices.Contains(got, "x/x/x/x/x/x/x/x/end") || len(got) != 10+1+10*2*3+maxSameListing {
		t.Errorf("%d, %v: %q", len(got), err, got)
	}
}

// The entries come out of their packing as they went in.
func TestPacked(t *testing.T) {
	zone := time.FixedZone("x", 3600)
	in := []listing.Entry{
		{},
		{Name: "a", RawName: "a", Size: -1, Type: listing.Dir, Line: 70000},
		{Name: "caf\u00e9", RawName: "caf\xe9", Size: 1 << 40, SizeEstimated: true, ModTime: listing.Time{Time: time.Date(1960, 1, 2, 3, 4, 0, 0, zone), Precision: listing.Day}},
		{Name: "l", RawName: "l", Target: "where", Type: listing.Link, ModTime: listing.Time{Time: time.Date(2020, 1, 2, 3, 4, 5, 6, time.UTC), Precision: listing.Second, ZoneKnown: true}},
		{Name: "v", RawName: "v", Version: "12", Facts: "unique=abc;", Type: listing.Other},
		{Name: strings.Repeat("n", 100<<10), RawName: "n"},
	}
	var held, kept atomic.Int64
	var urgent atomic.Bool
	p := &packed{held: &held, kept: &kept, urgent: &urgent}
	for range 300 {
		for i := range in {
			if err := p.add(&in[i]); errors.Is(err, errAhead) {
				urgent.Store(true)
				if err = p.add(&in[i]); err != nil {
					t.Fatal(err)
				}
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, e := range p.all() {
		w := in[i%len(in)]
		if !e.ModTime.Equal(w.ModTime.Time) || e.ModTime.Format(time.RFC3339) != w.ModTime.Format(time.RFC3339) && e.ModTime.Precision != 0 {
			t.Fatalf("%d: time %v, want %v", i, e.ModTime, w.ModTime)
		}
		e.ModTime.Time = w.ModTime.Time
		equal(t, e.Name == w.Name && e.RawName == w.RawName && e.Size == w.Size && e.Type == w.Type && e.Line == w.Line, true)
		equal(t, []any{e.SizeEstimated, e.ModTime.Precision, e.ModTime.ZoneKnown, e.Target, e.Version, e.Facts},
			[]any{w.SizeEstimated, w.ModTime.Precision, w.ModTime.ZoneKnown, w.Target, w.Version, w.Facts})
	}
	if p.reset(); held.Load() != 0 {
		t.Errorf("%d bytes are held", held.Load())
	}
}

// peak runs fn and returns by how many bytes the live heap grew at most.
func peak(fn func(sample func())) int64 {
	live := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, most := live(), int64(0)
	fn(func() { most = max(most, live()-before) })
	return most
}

// A folder of many entries costs some dozens of bytes for each: the bound of the
// folder, MaxFolder entries of this kind, fits into maxHeld.
func TestWalkHugeFolder(t *testing.T) {
	const n = 100_000
	body := func(yield func(listing.Entry) bool) {
		for i := range n {
			kind := listing.File
			if i%10 == 0 {
				kind = listing.Dir
			}
			if !yield(entry(fmt.Sprintf("a file of usual name %07d", i), kind)) {
				return
			}
		}
	}
	l := &tree{list: func(dir string, yield func(listing.Entry) bool) {
		if dir == "" {
			body(yield)
		}
	}}
	files, folders := 0, 0
	most := peak(func(sample func()) {
		err := Walk(testContext(t), l, "", WalkOptions{Connections: 8, Folder: func(f Found, _ iter.Seq[Found]) (any, error) {
			if folders++; folders%5_000 == 1 {
				sample()
			}
			return nil, nil
		}}, func(f Found) error {
			if f.Err != nil {
				return f.Err
			}
			files++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	if files != n || folders != n/10+1 {
		t.Errorf("%d entries, %d folders", files, folders)
	}
	if per := most / n; per > 96 {
		t.Errorf("%d bytes at most, %d an entry", most, per)
	}
}

// A tree of huge folders within huge folders ends in a report for each that does
// not fit, not in memory.
func TestWalkHugeTree(t *testing.T) {
	const n = 4000
	l := &tree{list: func(dir string, yield func(listing.Entry) bool) {
		if strings.Count(dir, "/") > 9 {
			return
		}
		for i := range n {
			if !yield(entry(fmt.Sprintf("%s-%d-%05000d", dir[max(0, len(dir)-9):], strings.Count(dir, "/"), i), listing.Dir)) {
				return
			}
		}
	}}
	refused := errors.New("seen enough")
	var problem error
	seen := 0
	most := peak(func(sample func()) {
		err := Walk(testContext(t), l, "", WalkOptions{Connections: 8, Folder: func(Found, iter.Seq[Found]) (any, error) {
			sample()
			return nil, nil
		}}, func(f Found) error {
			if f.Err != nil {
				problem = f.Err
				sample()
				return refused
			}
			seen++
			return nil
		})
		if !errors.Is(err, refused) {
			t.Fatal(err)
		}
	})
	want(t, problem, []error{ErrTooLarge}, "folders above it")
	if most > maxHeld+maxAhead+64<<20 {
		t.Errorf("%d bytes after %d entries", most, seen)
	}
}
