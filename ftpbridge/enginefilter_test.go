package ftpbridge

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/listing"
	"gateway/state"
)

func TestFilter(t *testing.T) {
	day := func(s string) time.Time {
		at, err := time.Parse(time.DateOnly, s)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, tc := range []struct {
		o            MigrateOptions
		files, dirs  string // wanted
		not, notDirs string
	}{
		{MigrateOptions{Exclude: []string{"*.tmp", "/cache/", "a/b"}}, "x a/x cach/f a/bb/f", "a b/cache", "x.tmp a/b.tmp/f cache/f a/b/c/d", "cache a/b a/b/c"},
		{MigrateOptions{Include: []string{"pub/**/*.iso", "docs"}}, "pub/x.iso pub/a/b/x.iso docs/x z/docs/x", "pub pub/a docs docs/a z", "x.iso pub/x", ""},
		{MigrateOptions{Include: []string{"/docs/**"}}, "docs/x", "docs", "z/docs/x x", "z"},
		{MigrateOptions{Include: []string{"*"}, Exclude: []string{"**/x/*"}}, "a b/c", "x", "x/f a/x/f a/x/f/g", "x/f"},
		{MigrateOptions{MaxDepth: 2}, "a a/b", "a", "a/b/c", "a/b"},
		{MigrateOptions{Include: []string{"caf\u00e9"}}, "cafe\u0301", "", "", ""},
	} {
		f, err := newFilter(tc.o)
		if err != nil {
			t.Fatal(err)
		}
		depth := func(p string) int { return strings.Count(p, "/") + 1 }
		check := func(list string, want bool, got func(string) bool) {
			for _, p := range strings.Fields(list) {
				if got(p) != want {
					t.Errorf("%+v %+v: %s", tc.o.Include, tc.o.Exclude, p)
				}
			}
		}
		wants := func(p string) bool { return f.wants(p, depth(p), listing.Time{}) }
		enters := func(p string) bool { return f.enters(Found{Name: p, Depth: depth(p)}) }
		check(tc.files, true, wants)
		check(tc.not, false, wants)
		check(tc.dirs, true, enters)
		check(tc.notDirs, false, enters)
	}
	tokyo := time.FixedZone("", 9*3600)
	for _, tc := range []struct {
		at   listing.Time
		zone *time.Location
		want bool
	}{
		{listing.Time{}, nil, true},
		{listing.Time{Time: day("2020-05-01"), Precision: listing.Second, ZoneKnown: true}, nil, true},
		{listing.Time{Time: day("2020-05-01").Add(-time.Second), Precision: listing.Second, ZoneKnown: true}, nil, true}, // to the second
		{listing.Time{Time: day("2020-05-01").Add(-2 * time.Second), Precision: listing.Second, ZoneKnown: true}, nil, false},
		{listing.Time{Time: day("2020-04-30"), Precision: listing.Day}, time.UTC, true},
		{listing.Time{Time: day("2020-04-29"), Precision: listing.Day}, time.UTC, false},
		{listing.Time{Time: day("2020-04-30").Add(13 * time.Hour), Precision: listing.Minute}, nil, true}, // anywhere on earth
		{listing.Time{Time: day("2020-04-30").Add(11 * time.Hour), Precision: listing.Minute}, nil, false},
		{listing.Time{Time: day("2020-05-01").Add(7 * time.Hour), Precision: listing.Minute}, tokyo, false},
		{listing.Time{Time: day("2020-05-01").Add(9 * time.Hour), Precision: listing.Minute}, tokyo, true},
	} {
		f := filter{since: day("2020-05-01"), zone: tc.zone}
		if got := f.wants("x", 1, tc.at); got != tc.want {
			t.Errorf("%+v in %v: %v", tc.at, tc.zone, got)
		}
	}
	for _, o := range []MigrateOptions{{Include: []string{"a**"}}, {Exclude: []string{""}}, {Exclude: []string{"/"}}, {MaxDepth: -1}} {
		if _, err := newFilter(o); !errors.Is(err, ErrOptions) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestMigrateFiltered(t *testing.T) {
	files := map[string]string{"keep": "1", "a.tmp": "22", "cache/x": "3", "cache/deep/y": "4", "new/z": "5"}
	srv := serve(t, files)
	m := newMove(t, srv.source(t, ""))
	m.o.Exclude = []string{"*.tmp", "cache"}
	rep := m.run()
	equal(t, m.files(), map[string]string{"keep": "1", "new/": "", "new/z": "5"})
	equal(t, rep.Filtered, Tally{1, 2})
	equal(t, rep.Found.Files, int64(2))
	if !rep.Complete() || slices.Contains(srv.heard(), "CWD /cache") {
		t.Errorf("complete %v, said %q", rep.Complete(), srv.heard())
	}
	if !strings.Contains(text(rep), "left out") {
		t.Error(text(rep))
	}

	// What an earlier run left open is neither gone nor failed while it is left out.
	m.o.Exclude = nil
	delete(srv.files, "/a.tmp")
	rep = m.run()
	reasons(t, rep.Failed, map[string]string{"a.tmp": "No such file"})
	m.o.Exclude = []string{"*.tmp", "cache"}
	rep = m.run()
	if rep.Gone != 0 || !rep.Complete() || rep.Pending.Files != 0 {
		t.Errorf("%+v", rep)
	}
	if f := m.line("a.tmp"); f.Phase != state.Failed || !strings.Contains(f.Reason, "No such file") {
		t.Errorf("%+v", f)
	}
}

// What proves the included files comes with them.
func TestMigrateIncludeWithPolicy(t *testing.T) {
	files := map[string]string{"a.iso": "1", "b.txt": "2"}
	files["SHA256SUMS"] = sums(files)
	srv := serve(t, files)
	m := newMove(t, srv.source(t, ""))
	m.policy(manifestPolicy)
	m.o.Include = []string{"*.iso"}
	rep := m.run()
	equal(t, m.files(), map[string]string{"a.iso": "1", "SHA256SUMS": files["SHA256SUMS"]})
	equal(t, rep.Verdicts["intact"], int64(1))
	if strings.Contains(text(rep), "every file") {
		t.Errorf("a needless warning: %v", rep.Warnings)
	}
	none := newMove(t, srv.source(t, ""))
	none.o.Include = []string{"*.[ab]"}
	if rep = none.run(); !strings.Contains(text(rep), "leaves out every file") {
		t.Errorf("no warning of a pattern that chooses nothing: %v", rep.Warnings)
	}
	m.o.Include, m.o.Since = nil, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	rep = m.run()
	equal(t, rep.Filtered.Files, int64(2))
}

// A size that the listing only estimates is asked for before it counts.
func TestMigrateEstimatedSizes(t *testing.T) {
	srv := (&scripted{
		lists: map[string]string{"": "-rw-r--r-- 1 a a 1.5k Jan  1  2020 small\r\n-rw-r--r-- 1 a a 2.0k Jan  1  2020 large\r\n"},
		files: map[string]string{"/small": strings.Repeat("x", 1500), "/large": strings.Repeat("x", 2010)},
	}).start(t)
	m := newMove(t, srv.source(t, ""))
	m.o.MaxFileSize = 2000
	rep := m.run()
	equal(t, rep.Found, Tally{2, 1536 + 2048})
	equal(t, rep.Published, Tally{1, 1500})
	reasons(t, rep.Failed, map[string]string{"large": "2010 bytes, the limit is 2000"})
	equal(t, m.line("small").Size, int64(1500))
}
