package ftpbridge

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"gateway/integrity"
	"gateway/state"
	"gateway/storage"
)

func TestMigrateTwice(t *testing.T) {
	files := map[string]string{
		"a.txt": "hello", "empty": "", "sub/b": "bee", "sub/deep/c": "sea", "void/": "", "-x y": "dash",
	}
	srv := serve(t, files)
	m := newMove(t, srv.source(t, ""))
	var mu sync.Mutex
	kinds := map[EventKind]int{}
	m.o.Progress = func(e Event) { mu.Lock(); kinds[e.Kind]++; mu.Unlock() }
	rep := m.run()
	want := maps.Clone(files)
	want["sub/"], want["sub/deep/"] = "", ""
	equal(t, m.files(), want)
	equal(t, rep.Published, Tally{5, 15})
	equal(t, rep.Folders, int64(3))
	if !rep.Complete() || kinds[EventFinished] != 5 || kinds[EventPlanned] != 1 || kinds[EventWalked] != 1 {
		t.Errorf("report %+v, events %v", rep, kinds)
	}
	info, err := m.o.Dest.Stat(t.Context(), "old/sub/b")
	if err != nil || !info.ModTime.Equal(time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("modified %v, %v", info.ModTime, err)
	}
	pub, err := m.store.Publication(t.Context(), "disk:old/sub/b")
	if err != nil || pub.Verdict != "unverified" || pub.Source != "ftp://"+srv.ln.Addr().String()+"/sub/b" {
		t.Errorf("publication %+v, %v", pub, err)
	}
	if _, err := integrity.ParseStatement(pub.Provenance); err != nil {
		t.Error(err)
	}

	before := srv.count("RETR")
	rep = m.run()
	equal(t, rep.Unchanged, Tally{5, 15})
	equal(t, rep.Published, Tally{})
	equal(t, srv.count("RETR"), before)
	equal(t, m.staged(), 0)
}

func TestMigrateChanges(t *testing.T) {
	srv := serve(t, map[string]string{"same": "1", "grown": "22", "gone": "3", "touched": "here"})
	m := newMove(t, srv.source(t, ""))
	m.run()
	srv.setFiles(map[string]string{"same": "1", "grown": "2222", "new": "4", "touched": "source"})
	m.write("touched", "by somebody")
	if err := os.Remove(filepath.Join(m.dest, "old/same")); err != nil {
		t.Fatal(err)
	}
	rep := m.run()
	equal(t, m.files(), map[string]string{"same": "1", "grown": "2222", "gone": "3", "new": "4", "touched": "by somebody"})
	reasons(t, rep.Failed, map[string]string{"touched": "another file"})
	m.o.Overwrite = true
	rep = m.run()
	equal(t, m.files()["touched"], "source")
	equal(t, rep.Failed.Total, int64(0))
}

// A change that neither the size nor the day of the listing shows.
func TestMigrateChangedTheSameDay(t *testing.T) {
	srv := &scripted{
		lists: map[string]string{"": "-rw-r--r-- 1 a a 3 Jan  2  2020 a\r\n-rw-r--r-- 1 a a 3 Jan  2  2020 b\r\n"},
		files: map[string]string{"/a": "one", "/b": "two"},
	}
	srv.start(t)
	m := newMove(t, srv.source(t, ""))
	m.o.Now = func() time.Time { return time.Date(2020, 1, 2, 3, 5, 0, 0, time.UTC) }
	m.run()
	srv.files["/a"] = "new"
	srv.handlers = map[string]func(*talk, string){"MDTM": func(c *talk, arg string) {
		if strings.HasSuffix(arg, "a") {
			c.say("213 20200102040506")
		} else {
			c.say("213 20200102030405")
		}
	}}
	m.o.Now = nil
	equal(t, m.run().Unchanged.Files, int64(1))
	equal(t, m.files(), map[string]string{"a": "new", "b": "two"})
	equal(t, slices.Contains(srv.heard(), "MDTM /b"), true)
	before := srv.count("MDTM")
	equal(t, m.run().Unchanged.Files, int64(2))
	equal(t, srv.count("MDTM"), before) // settled for good
}

func TestMigrateOntoOthers(t *testing.T) {
	srv := serve(t, map[string]string{"same": "1234", "size": "1234", "other": "12", "folder": "x"})
	m := newMove(t, srv.source(t, ""))
	m.write("same", "1234")
	m.write("size", "4321")
	m.write("other", "longer")
	m.write("folder/inside", "")
	rep := m.run()
	equal(t, rep.Published.Files, int64(1)) // the same bytes are taken over
	reasons(t, rep.Failed, map[string]string{"size": "another file", "other": "another file", "folder": "a folder"})
	equal(t, m.files(), map[string]string{"same": "1234", "size": "4321", "other": "longer", "folder/": "", "folder/inside": ""})
	if got := slices.Contains(srv.heard(), "RETR /other"); got {
		t.Error("fetched a file that could not be published")
	}
	equal(t, m.staged(), 0)
}

func TestMigrateNames(t *testing.T) {
	srv := serve(t, map[string]string{
		"caf\u00e9": "1", "cafe\u0301": "2", // one name in NFC
		".gateway-staging": "3", "tab\there": "4", "D\u00e9/x": "5", "De\u0301/x": "6", strings.Repeat("n", 256): "7",
		"back\\slash": "8",
	})
	m := newMove(t, srv.source(t, ""))
	rep := m.run()
	got := m.files()
	cut := strings.Repeat("n", 242) + "~342aaaf5a0fc"
	equal(t, got, map[string]string{
		"tab\uef09here": "4", "back\\slash": "8", "D\u00e9/": "", "D\u00e9/x": "5", "caf\u00e9": "1", "%2Egateway-staging": "3", cut: "7",
	})
	reasons(t, rep.Failed, map[string]string{"cafe\u0301": "would be that of"})
	reasons(t, rep.Unread, map[string]string{"De\u0301": "would be that of"})
	reasons(t, rep.Renamed, map[string]string{
		`tab\x09here`: "UTF-8", ".gateway-staging": "%XX", strings.Repeat("n", 256): "marked with ~",
	})
	rep = m.run()
	equal(t, rep.Failed.Total, int64(1))
	equal(t, rep.Unchanged.Files, int64(6))
}

func TestMigrateNewcomerDoesNotTakeAName(t *testing.T) {
	srv := serve(t, map[string]string{"caf\u00e9": "old"})
	m := newMove(t, srv.source(t, ""))
	m.run()
	srv.setFiles(map[string]string{"caf\u00e9": "old", "cafe\u0301": "new"})
	rep := m.run()
	equal(t, m.files(), map[string]string{"caf\u00e9": "old"})
	reasons(t, rep.Failed, map[string]string{"cafe\u0301": "would be that of"})
}

func TestMigrateLinks(t *testing.T) {
	srv := &scripted{
		lists: map[string]string{
			"": "drwxr-xr-x 2 a a 0 Jan  1  2020 dir\r\n" +
				"lrwxrwxrwx 1 a a 9 Jan  1  2020 to file -> dir/f\r\n" +
				"lrwxrwxrwx 1 a a 3 Jan  1  2020 to dir -> dir\r\n" +
				"lrwxrwxrwx 1 a a 3 Jan  1  2020 nowhere -> x\r\n" +
				"crw-rw-rw- 1 a a 1, 3 Jan  1  2020 null\r\n",
			"/dir":    "-rw-r--r-- 1 a a 4 Jan  1  2020 f\r\n",
			"/to dir": "-rw-r--r-- 1 a a 4 Jan  1  2020 f\r\n",
		},
		files: map[string]string{"/dir/f": "four", "/to file": "four"},
	}
	srv.start(t)
	m := newMove(t, srv.source(t, ""))
	rep := m.run()
	equal(t, m.files(), map[string]string{"dir/": "", "dir/f": "four", "to file": "four"})
	reasons(t, rep.Skipped, map[string]string{"to dir": "link to a folder", "nowhere": "leads to no file", "null": "neither"})
	if !rep.Complete() {
		t.Error("what is skipped counts as a failure")
	}
	// The listing has days only: MDTM gives the seconds.
	info, err := m.o.Dest.Stat(t.Context(), "old/dir/f")
	if err != nil || !info.ModTime.Equal(time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("modified %v, %v", info.ModTime, err)
	}
	equal(t, m.run().Unchanged.Files, int64(2))
}

func TestMigrateUnreadable(t *testing.T) {
	srv := serve(t, map[string]string{"good/a": "1", "bad/b": "2"})
	m := newMove(t, srv.source(t, ""))
	m.run()
	delete(srv.mlsd, "/bad")
	srv.mlsd[""] += "rubbish\r\n"
	rep := m.run()
	reasons(t, rep.Unread, map[string]string{"bad": "No such directory", "/": "rubbish"})
	equal(t, rep.Unchanged.Files, int64(1))
	equal(t, m.files()["bad/b"], "2")
	if rep.Complete() {
		t.Error("a folder that could not be read is no failure")
	}

	// A single line may have been a file.
	srv.setFiles(map[string]string{"good/a": "1", "bad/b": "2"})
	srv.mlsd[""] += "rubbish\r\n"
	if rep = m.run(); rep.Complete() {
		t.Error("a line that could not be read is no failure")
	}
	reasons(t, rep.Unread, map[string]string{"/": "rubbish"})
}

func TestMigrateGone(t *testing.T) {
	srv := serve(t, map[string]string{"a": "1", "b": "2"})
	m := newMove(t, srv.source(t, ""))
	delete(srv.files, "/a") // listed, not there
	rep := m.run()
	reasons(t, rep.Failed, map[string]string{"a": "550 /a: No such file"})
	if f := m.line("a"); f.Retry || f.Phase != state.Failed || f.Tries != 1 {
		t.Errorf("%+v", f)
	}
	srv.setFiles(map[string]string{"b": "2"})
	rep = m.run()
	equal(t, rep.Gone, int64(1))
	equal(t, rep.Failed.Total, int64(0))
}

func TestMigrateErrors(t *testing.T) {
	srv := serve(t, map[string]string{"a": "1"})
	dead := srv.source(t, "")
	dead.URL.Host = "127.0.0.1:1"
	wrong, err := ParseSource("ftp://user:wrong@" + srv.ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*MigrateOptions)
		want   error
	}{
		"unreachable":    {func(o *MigrateOptions) { o.Source = dead }, ErrUnreachable},
		"wrong password": {func(o *MigrateOptions) { o.Source = wrong }, ErrLogin},
		"missing folder": {func(o *MigrateOptions) { o.Source = srv.source(t, "missing") }, fs.ErrNotExist},
		"no store":       {func(o *MigrateOptions) { o.Store = nil }, ErrOptions},
		"colon":          {func(o *MigrateOptions) { o.DestName = "a:b" }, ErrOptions},
		"bad folder":     {func(o *MigrateOptions) { o.Folder = "../up" }, ErrOptions},
		"connections":    {func(o *MigrateOptions) { o.Connections = 1000 }, ErrSource},
		"full":           {func(o *MigrateOptions) { o.Dest = fullFS{o.Dest.(storage.Resumer)} }, storage.ErrNoSpace},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMove(t, srv.source(t, ""))
			c.change(&m.o)
			rep, err := Migrate(testContext(t), m.o)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			if strings.Contains(err.Error()+text(rep), "secret") {
				t.Errorf("the password is in %v", err)
			}
			if name == "missing folder" && !strings.Contains(err.Error(), "the path of the URL must be a folder") {
				t.Errorf("nothing says what to do: %v", err)
			}
			if n := len(m.files()); n > 0 {
				t.Errorf("%d files published", n)
			}
			if _, err := os.Stat(filepath.Join(m.dest, "old")); name != "full" && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the folder was made: %v", err)
			}
		})
	}
}

// fullFS has no room.
type fullFS struct{ storage.Resumer }

func (f fullFS) Create(ctx context.Context, name string, o storage.CreateOptions) (storage.Upload, error) {
	return nil, &fs.PathError{Op: "create", Path: name, Err: storage.ErrNoSpace}
}

func TestMigrateClaimed(t *testing.T) {
	srv := serve(t, map[string]string{"a": "1"})
	m := newMove(t, srv.source(t, ""))
	entered, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	m.o.Progress = func(e Event) {
		once.Do(func() { close(entered); <-leave })
	}
	done := make(chan error)
	go func() {
		_, err := Migrate(testContext(t), m.o)
		done <- err
	}()
	<-entered
	second := m.o
	second.Progress = nil
	rep, err := Migrate(testContext(t), second)
	close(leave)
	if !errors.Is(err, state.ErrClaimed) {
		t.Errorf("got %v", err)
	}
	if !rep.Started.IsZero() {
		t.Errorf("a report of a run that did not begin: %+v", rep)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// forgetful is a store whose Publish fails a few times.
type forgetful struct {
	state.Store
	fails int
}

var errForgot = errors.New("forgot")

func (s *forgetful) Publish(ctx context.Context, f state.File, p state.Publication) error {
	if s.fails--; s.fails >= 0 {
		return errForgot
	}
	return s.Store.Publish(ctx, f, p)
}

func TestMigrateCutBetweenCommitAndRecord(t *testing.T) {
	srv := serve(t, map[string]string{"a": random(700 << 10)})
	m := newMove(t, srv.source(t, ""))
	m.o.Store = &forgetful{m.store, 1}
	if _, err := Migrate(testContext(t), m.o); !errors.Is(err, errForgot) {
		t.Fatal(err)
	}
	equal(t, m.line("a").Phase, state.Verified)
	equal(t, len(m.files()), 1)
	rep := m.run()
	equal(t, rep.Published, Tally{1, 700 << 10})
	equal(t, rep.FetchedBytes, int64(0))
	equal(t, srv.count("RETR"), 1)
	equal(t, m.line("a").Phase, state.Published)

	// Found wanting by a policy that came since: it is taken back.
	m = newMove(t, srv.source(t, ""))
	m.o.Store = &forgetful{m.store, 1}
	if _, err := Migrate(testContext(t), m.o); !errors.Is(err, errForgot) {
		t.Fatal(err)
	}
	m.policy(manifestPolicy)
	rep = m.run()
	equal(t, rep.Quarantined.Total, int64(1))
	equal(t, len(m.files()), 0)
}

const manifestPolicy = `
rules:
  - paths: "**"
    evidence:
      - manifest: SHA256SUMS
    on_weak: publish
    on_missing: quarantine
`

func sums(files map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&b, "%x  %s\n", sha256.Sum256([]byte(files[name])), name)
	}
	return b.String()
}

func TestMigratePolicy(t *testing.T) {
	listed := map[string]string{"good": "good", "sub/fine": "fine", "tampered": "original"}
	files := maps.Clone(listed)
	files["tampered"], files["unlisted"], files["SHA256SUMS"] = "evil----", "who?", sums(listed)
	srv := serve(t, files)
	m := newMove(t, srv.source(t, ""))
	m.policy(manifestPolicy)
	rep := m.run()
	equal(t, m.files(), map[string]string{"good": "good", "sub/": "", "sub/fine": "fine", "SHA256SUMS": sums(listed)})
	reasons(t, rep.Quarantined, map[string]string{"tampered": "lists", "unlisted": "no manifest names"})
	equal(t, rep.Verdicts, Count{"intact": 2, "unverified": 1})
	if rep.Complete() || m.staged() != 2 {
		t.Errorf("complete %v, %d staged", rep.Complete(), m.staged())
	}
	for name, words := range map[string]string{
		"old/tampered": "it was proved bad", "/old/unlisted/": "release " + quarantineID(m.line("unlisted")),
		"old/good": "Verdict: intact", "old/none": "No migration",
	} {
		s := m.explain(name)
		if !strings.Contains(oneLine(s), words) {
			t.Errorf("%s: %q is not said in\n%s", name, words, s)
		}
		for line := range strings.Lines(s) {
			if len(line) > textWidth+1 {
				t.Errorf("%s: %d columns: %s", name, len(line)-1, line)
			}
		}
	}

	// Nothing is fetched again but the manifest, and nothing gets out.
	srv.mu.Lock()
	srv.said = nil
	srv.mu.Unlock()
	rep = m.run()
	equal(t, rep.Quarantined.Total, int64(2))
	equal(t, srv.count("RETR"), 1)

	// Without the policy the unlisted one gets out, the bad one never.
	m.o.Policy = nil
	rep = m.run()
	reasons(t, rep.Quarantined, map[string]string{"tampered": "lists"})
	equal(t, m.files()["unlisted"], "who?")

	// A manifest that names the new content frees it, and no byte is fetched for it.
	listed["tampered"] = files["tampered"]
	files["SHA256SUMS"] = sums(listed) + strings.Repeat("#", 3) + "\n"
	srv.setFiles(files)
	m.policy(manifestPolicy)
	srv.mu.Lock()
	srv.said = nil
	srv.mu.Unlock()
	m.run()
	equal(t, m.files()["tampered"], "evil----")
	if slices.Contains(srv.heard(), "RETR /tampered") {
		t.Error("fetched what was in quarantine")
	}
}

func TestQuarantine(t *testing.T) {
	files := map[string]string{"bad": "evil", "one": "1", "two": "2"}
	files["SHA256SUMS"] = sums(map[string]string{"bad": "good"})
	srv := serve(t, files)
	m := newMove(t, srv.source(t, ""))
	m.policy(manifestPolicy)
	m.run()
	q, ctx := m.quarantine(), t.Context()
	list, err := q.List(ctx)
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := q.Release(ctx, "old/bad", "me"); !errors.Is(err, ErrBad) {
		t.Errorf("a bad file was released: %v", err)
	}
	if _, err := q.Release(ctx, "old/nothing", "me"); !errors.Is(err, ErrNotQuarantined) {
		t.Errorf("got %v", err)
	}
	if _, err := q.Release(ctx, "/old/one", "me"); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Reject(ctx, quarantineID(m.line("two")), "me"); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Reject(ctx, "old/bad", "me"); err != nil {
		t.Fatal(err)
	}
	equal(t, m.files(), map[string]string{"SHA256SUMS": files["SHA256SUMS"], "one": "1"})
	equal(t, m.staged(), 0)
	pub, err := m.store.Publication(ctx, "disk:old/one")
	if err != nil || pub.Verdict != "unverified" || !strings.Contains(pub.Reason, "released from quarantine by me") {
		t.Errorf("%+v, %v", pub, err)
	}
	if s := m.explain("old/two"); !strings.Contains(s, "rejected") {
		t.Error(s)
	}

	// Decisions stay decided until the source changes.
	rep := m.run()
	equal(t, rep.Rejected.Total, int64(2))
	equal(t, rep.Quarantined.Total, int64(0))
	equal(t, rep.Unchanged.Files, int64(2))
	files["two"] = "22"
	srv.setFiles(files)
	rep = m.run()
	reasons(t, rep.Quarantined, map[string]string{"two": "no manifest names"})
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// What a server calls a file, and what it says, drives no terminal.
func TestExplainIsPrintable(t *testing.T) {
	srv := serve(t, map[string]string{"a\u202egnp.exe": "x", "\xe9\x1b[31m": "y"})
	m := newMove(t, srv.source(t, ""))
	m.policy(manifestPolicy)
	m.run()
	seen := 0
	for f, err := range m.store.Files(t.Context(), 1) {
		if err != nil {
			t.Fatal(err)
		}
		if f.Target == "" {
			continue
		}
		seen++
		s := m.explain(f.Target)
		if strings.ContainsFunc(strings.ReplaceAll(s, "\n", ""), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q", s)
		}
		if !strings.Contains(s, "in quarantine") {
			t.Error(s)
		}
	}
	if seen == 0 {
		t.Error("no file came")
	}
}

// A proof is of bytes, not of a name.
func TestExplainChanged(t *testing.T) {
	srv := serve(t, map[string]string{"same": "1", "changed": "22", "folder": "3", "gone": "4"})
	m := newMove(t, srv.source(t, ""))
	m.run()
	m.write("changed", "by")
	for _, name := range []string{"folder", "gone"} {
		if err := os.Remove(filepath.Join(m.dest, "old", name)); err != nil {
			t.Fatal(err)
		}
	}
	m.write("folder/file", "")
	for name, words := range map[string]string{
		"same": "", "changed": "something else is there now", "folder": "something else is there now", "gone": "not there any more",
	} {
		s := m.explain("old/" + name)
		if !strings.Contains(s, "Published 20") || !strings.Contains(s, words) || strings.Contains(s, "But") != (words != "") {
			t.Errorf("%s", s)
		}
	}
}

func TestReport(t *testing.T) {
	files := map[string]string{"SHA256SUMS": sums(map[string]string{"x": ""}), "a": "b"}
	srv := serve(t, files)
	m := newMove(t, srv.source(t, ""))
	m.policy(manifestPolicy)
	rep := m.run()
	for _, words := range []string{"in quarantine           1 files", "Warning: plain FTP", "no manifest names this file"} {
		if !strings.Contains(text(rep), words) {
			t.Errorf("%q is not said in\n%s", words, text(rep))
		}
	}
	for line := range strings.Lines(text(rep)) {
		if len(strings.TrimRight(line, "\n")) > textWidth {
			t.Errorf("wider than %d: %s", textWidth, line)
		}
	}
	raw, err := rep.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var back Report
	if err := json.Unmarshal(raw, &back); err != nil {
		t.Fatal(err)
	}
	equal(t, back, rep)
}
