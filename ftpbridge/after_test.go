package ftpbridge

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gateway/integrity"
	"gateway/state"
)

// editable lets clients delete, move and make folders on a server of serve.
func (s *scripted) editable() {
	from := ""
	all := func() map[string]string {
		files := map[string]string{}
		for path, body := range s.files {
			files[path[1:]] = body
		}
		for dir := range s.mlsd {
			if dir != "" {
				files[dir[1:]+"/"] = ""
			}
		}
		return files
	}
	s.handlers = map[string]func(*talk, string){
		"DELE": func(c *talk, arg string) {
			if _, ok := s.files[c.abs(arg)]; !ok {
				c.say("550 no such file")
				return
			}
			files := all()
			delete(files, c.abs(arg)[1:])
			s.setFiles(files)
			c.say("250 gone")
		},
		"RNFR": func(c *talk, arg string) { from = c.abs(arg); c.say("350 to what?") },
		"RNTO": func(c *talk, arg string) {
			files := all()
			files[c.abs(arg)[1:]] = files[from[1:]]
			delete(files, from[1:])
			s.setFiles(files)
			c.say("250 moved")
		},
		"MKD": func(c *talk, arg string) {
			files := all()
			files[c.abs(arg)[1:]+"/"] = ""
			s.setFiles(files)
			c.say("257 made")
		},
	}
}

// left are the files on a server of serve.
func (s *scripted) left() []string {
	return slices.Sorted(maps.Keys(s.files))
}

func TestAfterDelete(t *testing.T) {
	srv := serve(t, map[string]string{"a": "1", "sub/b": "22"})
	srv.editable()
	m := newMove(t, srv.source(t, ""))
	m.run()
	equal(t, srv.left(), []string{"/a", "/sub/b"}) // kept without the option
	srv.setFiles(map[string]string{"a": "1", "sub/b": "22", "c": "333"})
	m.o.After = After{Action: DeleteSource}
	rep := m.run()
	equal(t, rep.Disposed, Tally{3, 6})
	equal(t, srv.left(), []string(nil))
	if !rep.Complete() {
		t.Errorf("%s", text(rep))
	}
	// They are gone because of the job, and stay in the destination.
	m.o.DeleteExtra = ForceExtra
	rep = m.run()
	equal(t, rep.Removed.Total+rep.Disposed.Files, int64(0))
	equal(t, m.files(), map[string]string{"a": "1", "sub/": "", "sub/b": "22", "c": "333"})

	// A file of the same name, size and time may be another one where MDTM was never asked: not so here.
	srv.setFiles(map[string]string{"a": "9"})
	rep = m.run()
	equal(t, rep.Disposed.Files, int64(1))
}

// Neither what changed since it was fetched, nor what is not safe in the destination.
func TestAfterDeleteOnlyWhatIsSafe(t *testing.T) {
	srv := serve(t, map[string]string{"grown": "1", "touched": "2", "lost": "3", "good": "4", "refused": "5"})
	srv.editable()
	m := newMove(t, srv.source(t, ""))
	m.run()
	m.write("lost", "X") // of the same size
	remove := srv.handlers["DELE"]
	srv.handlers["DELE"] = func(c *talk, arg string) {
		if strings.HasSuffix(arg, "refused") {
			c.say("550 Permission denied.")
			return
		}
		remove(c, arg)
	}
	srv.handlers["SIZE"] = func(c *talk, arg string) {
		if strings.HasSuffix(arg, "grown") {
			c.say("213 2")
			return
		}
		c.ordinary("SIZE", arg)
	}
	srv.handlers["MDTM"] = func(c *talk, arg string) {
		if strings.HasSuffix(arg, "touched") {
			srv.mlsd[""] = strings.Replace(srv.mlsd[""], "modify=20200102030405; touched", "modify=20200102030406; touched", 1)
			c.say("213 20200102030406")
			return
		}
		c.ordinary("MDTM", arg)
	}
	m.o.After = After{Action: DeleteSource}
	rep := m.run()
	equal(t, srv.left(), []string{"/grown", "/lost", "/refused", "/touched"})
	reasons(t, rep.NotDisposed, map[string]string{
		"grown": "its size was 1 and is 2", "touched": "lists another size or time", "lost": "not in the destination any more", "refused": "Permission denied",
	})
	if rep.Complete() {
		t.Error("what should have been deleted and was not is no failure")
	}
	f, err := m.store.GetFile(t.Context(), rep1(t, m), "refused")
	if err != nil || f.After != "" {
		t.Errorf("%+v, %v", f, err)
	}
}

func rep1(t *testing.T, m *move) int64 {
	t.Helper()
	for j, err := range m.store.Jobs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		return j.ID
	}
	t.Fatal("no job")
	return 0
}

func TestAfterMove(t *testing.T) {
	srv := serve(t, map[string]string{"a": "1", "a.1": "2", "sub/deep/b": "22", "old done/a": "earlier", "old done/b/c": "x"})
	srv.editable()
	m := newMove(t, srv.source(t, ""))
	m.o.After = After{Action: MoveSource, Folder: "old done"}
	rep := m.run()
	equal(t, rep.Disposed.Files, int64(3))
	equal(t, srv.files, map[string]string{
		"/old done/a": "earlier", "/old done/b/c": "x", "/old done/a.2": "1", "/old done/a.1": "2", "/old done/sub/deep/b": "22",
	})
	equal(t, m.files(), map[string]string{"a": "1", "a.1": "2", "sub/": "", "sub/deep/": "", "sub/deep/b": "22"})
	before := srv.count("RETR")
	m.o.DeleteExtra = ForceExtra
	rep = m.run()
	equal(t, rep.Disposed.Files+rep.Removed.Total+rep.Published.Files, int64(0))
	equal(t, srv.count("RETR"), before)
	if !rep.Complete() {
		t.Errorf("%s", text(rep))
	}
}

// Manifests stay until nothing waits for their word.
func TestAfterDeleteKeepsEvidence(t *testing.T) {
	files := map[string]string{"good": "1", "bad": "2"}
	files["SHA256SUMS"] = sums(map[string]string{"good": "1", "bad": "other"})
	srv := serve(t, files)
	srv.editable()
	m := newMove(t, srv.source(t, ""))
	m.policy(manifestPolicy)
	m.o.After = After{Action: DeleteSource}
	m.run()
	equal(t, srv.left(), []string{"/SHA256SUMS", "/bad"})
	srv.setFiles(map[string]string{"good": "1", "SHA256SUMS": sums(map[string]string{"good": "1", "bad": "22"}), "bad": "22"})
	m.run()
	equal(t, srv.left(), []string(nil))
}

func TestParseAfter(t *testing.T) {
	for in, want := range map[string]After{
		"": {}, "keep": {}, "delete": {Action: DeleteSource}, "move:done/x": {Action: MoveSource, Folder: "done/x"}, "move:/done/": {Action: MoveSource, Folder: "done"},
	} {
		got, err := ParseAfter(in)
		if err != nil || got != want {
			t.Errorf("%q: %+v, %v", in, got, err)
		}
	}
	for _, in := range []string{"move", "move:", "move:/", "move:..", "move:a/../..", "move:a//b", "burn", "delete:x", "keep:x"} {
		if a, err := ParseAfter(in); err == nil {
			t.Errorf("%q: %+v", in, a)
		}
	}
}

func TestDeleteExtra(t *testing.T) {
	srv := serve(t, map[string]string{"a": "1", "b": "2", "c": "3", "gone/x": "4", "gone/deep/y": "5", "kept/z": "6", "changed": "7", "d": "8", "e": "9", "f": "0", "g": "1", "h": "2"})
	m := newMove(t, srv.source(t, ""))
	m.run()
	m.write("changed", "by somebody")
	m.write("stranger", "not ours")
	if err := os.Remove(filepath.Join(m.dest, "old/b")); err != nil {
		t.Fatal(err)
	}
	now := map[string]string{"a": "1", "c": "3", "kept/": "", "d": "8", "e": "9", "f": "0", "g": "1", "h": "2"}
	srv.setFiles(now)
	equal(t, m.run().Removed.Total, int64(0)) // only when asked for

	m.o.DeleteExtra = RemoveExtra
	m.o.DryRun = true
	rep := m.run()
	equal(t, rep.Plan.Remove.Total, int64(5))
	m.o.DryRun = false
	asked := Removal{}
	m.o.ConfirmRemoval = func(_ context.Context, r Removal) (string, error) { asked = r; return "not today", nil }
	rep = m.run()
	equal(t, asked.List.Total, int64(5))
	equal(t, asked.Known, int64(12))
	if rep.Removed.Total != 0 || rep.Complete() || !strings.Contains(text(rep), "Nothing was removed: not today") {
		t.Errorf("%s", text(rep))
	}
	m.o.ConfirmRemoval = nil
	rep = m.run()
	reasons(t, rep.Removed, map[string]string{"b": "", "gone/x": "", "gone/deep/y": "", "kept/z": ""})
	reasons(t, rep.KeptExtra, map[string]string{"changed": "changed in the destination"})
	want := maps.Clone(now)
	want["changed"], want["stranger"] = "by somebody", "not ours"
	equal(t, m.files(), want)
	pub, err := m.store.Publication(t.Context(), "disk:old/gone/x")
	if err != nil || pub.Removed.IsZero() {
		t.Errorf("%+v, %v", pub, err)
	}
	story, err := Explain(t.Context(), m.store, m.o.Dest, "disk", "old/gone/x")
	if err != nil || !strings.Contains(story, "It had gone from the source") || strings.Contains(story, "somebody removed") {
		t.Errorf("%v\n%s", err, story)
	}
	for e, err := range Reexamine(t.Context(), ReexamineOptions{Store: m.store, Dest: m.o.Dest, DestName: "disk", Policy: &integrity.Policy{}}) {
		if err != nil || e.Name == "old/gone/x" {
			t.Errorf("%s is judged again: %v", e.Name, err)
		}
	}
	equal(t, m.run().Removed.Total, int64(0))

	// It comes back, and then another takes its name.
	now["gone/x"] = "4"
	srv.setFiles(now)
	equal(t, m.run().Published.Files, int64(1))
	equal(t, m.files()["gone/x"], "4")
	f, err := m.store.GetFile(t.Context(), rep1(t, m), "gone/x")
	if err != nil || f.Phase != state.Published {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestDeleteExtraRefused(t *testing.T) {
	files := map[string]string{"a": "1", "b": "2", "sub/c": "3", "d": "4"}
	srv := serve(t, files)
	m := newMove(t, srv.source(t, ""))
	m.run()
	m.o.DeleteExtra = RemoveExtra
	refused := func(words string) {
		t.Helper()
		rep := m.run()
		if !strings.Contains(rep.ExtraRefused, words) || rep.Removed.Total != 0 || rep.Complete() {
			t.Errorf("%s", text(rep))
		}
		equal(t, m.files(), map[string]string{"a": "1", "b": "2", "sub/": "", "sub/c": "3", "d": "4"})
	}
	srv.setFiles(map[string]string{}) // suddenly empty
	refused("4 of 4 files are gone")
	srv.setFiles(map[string]string{"a": "1"})
	refused("3 of 4")
	srv.setFiles(files)
	delete(srv.mlsd, "/sub")
	refused("not all of the source could be read")
	srv.setFiles(map[string]string{"a": "1", "b": "2", "d": "4"})
	srv.mlsd[""] += "rubbish\r\n"
	refused("not all of the source could be read")
	srv.setFiles(map[string]string{"a": "1"})
	m.o.DeleteExtra = ForceExtra
	equal(t, m.run().Removed.Total, int64(3))
	equal(t, m.files(), map[string]string{"a": "1"})
}
