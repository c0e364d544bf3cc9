package ftpbridge

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/state"
)

// ledger is every line of the ledger, and the jobs.
func (m *move) ledger() (lines []state.File, jobs []state.Job) {
	m.t.Helper()
	for j, err := range m.store.Jobs(m.t.Context()) {
		if err != nil {
			m.t.Fatal(err)
		}
		jobs = append(jobs, j)
		for f, err := range m.store.Files(m.t.Context(), j.ID) {
			if err != nil {
				m.t.Fatal(err)
			}
			lines = append(lines, f)
		}
	}
	return lines, jobs
}

// A dry run says what a run then does, and leaves everything as it is.
func TestDryRun(t *testing.T) {
	srv := serve(t, map[string]string{"a": "1", "b": "22", "sub/c": "333", "other": "mine"})
	m := newMove(t, srv.source(t, ""))
	m.write("other", "another's")
	inside := m.files()
	m.o.DryRun = true
	rep := m.run()
	equal(t, rep.Plan.Fetch.Total, int64(3))
	equal(t, rep.Plan.Fetch.Bytes, int64(6))
	reasons(t, rep.Plan.Fetch, map[string]string{"a": "new", "b": "new", "sub/c": "new"})
	reasons(t, rep.Plan.Refused, map[string]string{"other": "another file"})
	lines, jobs := m.ledger()
	equal(t, len(lines)+len(jobs), 0)
	equal(t, m.files(), inside)
	equal(t, srv.count("RETR"), 0)
	if s := text(rep); !strings.Contains(s, "is not known") || !strings.Contains(s, "nothing was changed") {
		t.Error(s)
	}

	m.o.DryRun = false
	rep = m.run()
	equal(t, rep.Published, Tally{3, 6})
	equal(t, rep.Failed.Total, int64(1))
	lines, jobs = m.ledger()
	if err := m.store.AddRun(t.Context(), state.Run{
		Job: jobs[0].ID, Started: jobs[0].Started, Result: state.Complete, Published: 10, FetchedBytes: 100, Fetching: 20 * time.Second,
	}); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(m.dest, "old/b")); err != nil {
		t.Fatal(err)
	}
	srv.setFiles(map[string]string{"a": "1", "b": "22", "sub/c": "3333", "d": strings.Repeat("d", 94), "other": "mine"})
	m.o.DryRun, m.o.After, m.o.DeleteExtra = true, After{Action: DeleteSource}, RemoveExtra
	rep = m.run()
	reasons(t, rep.Plan.Fetch, map[string]string{"b": "no longer in the destination", "sub/c": "changed", "d": "new"})
	equal(t, rep.Unchanged.Files, int64(1))
	equal(t, rep.Plan.Dispose.Files, int64(4))
	if e := rep.Plan.Estimate; e == nil || e.Seconds != 20 { // 100 bytes at 5 bytes/s, not 3 files at 2 s
		t.Errorf("estimate %+v", e)
	}
	again, after := m.ledger()
	equal(t, again, lines)
	equal(t, after, jobs)
	if s := text(rep); !strings.Contains(s, "at the rate of the run of") || len(strings.TrimSpace(s)) == 0 {
		t.Error(s)
	}
}

func TestChecksumOnly(t *testing.T) {
	files := map[string]string{"a": "1", "b": "22", "sub/c": "333", "empty": ""}
	srv := serve(t, files)
	m := newMove(t, srv.source(t, ""))
	m.o.Source.Connections = 2
	m.run()
	lines, jobs := m.ledger()
	m.o.ChecksumOnly = true
	before := srv.count("RETR")
	rep := m.run()
	equal(t, rep.Comparison.Same, Tally{4, 6})
	if !rep.Complete() || srv.count("RETR") != before+4 || !strings.Contains(text(rep), "hold the same files") {
		t.Errorf("%s", text(rep))
	}

	m.write("b", "2X") // of the same size
	m.write("stranger", "?")
	if err := os.Remove(filepath.Join(m.dest, "old/a")); err != nil {
		t.Fatal(err)
	}
	rep = m.run()
	equal(t, rep.Comparison.Same, Tally{2, 3})
	reasons(t, rep.Comparison.Different, map[string]string{"b": "2 bytes with SHA-256 785f3ec7"})
	reasons(t, rep.Comparison.Missing, map[string]string{"a": "not there"})
	reasons(t, rep.Comparison.Extra, map[string]string{"stranger": "not on the source"})
	if rep.Complete() || strings.Contains(text(rep), "hold the same files") {
		t.Error("differences are no failure")
	}
	delete(srv.files, "/sub/c") // listed, and cannot be fetched
	rep = m.run()
	reasons(t, rep.Failed, map[string]string{"sub/c": "No such file"})
	again, after := m.ledger()
	equal(t, again, lines)
	equal(t, after, jobs)
}

func TestJobOptions(t *testing.T) {
	srv := serve(t, map[string]string{"a": "1"})
	for name, change := range map[string]func(*MigrateOptions){
		"compare and dry run": func(o *MigrateOptions) { o.ChecksumOnly, o.DryRun = true, true },
		"compare and delete":  func(o *MigrateOptions) { o.ChecksumOnly, o.After.Action = true, DeleteSource },
		"compare and remove":  func(o *MigrateOptions) { o.ChecksumOnly, o.DeleteExtra = true, RemoveExtra },
		"move to the root":    func(o *MigrateOptions) { o.After.Action = MoveSource },
		"move out":            func(o *MigrateOptions) { o.After = After{MoveSource, "../x"} },
		"choice and removal":  func(o *MigrateOptions) { o.Exclude, o.DeleteExtra = []string{"x"}, RemoveExtra },
		"unknown after":       func(o *MigrateOptions) { o.After.Action = "burn" },
		"unknown extra":       func(o *MigrateOptions) { o.DeleteExtra = "some" },
		"not in the charset":  func(o *MigrateOptions) { o.After, o.Source.Charset = After{MoveSource, "日"}, "ISO-8859-1" },
	} {
		m := newMove(t, srv.source(t, ""))
		change(&m.o)
		if _, err := Migrate(t.Context(), m.o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", name, err)
		}
	}
	equal(t, srv.count("USER"), 0)
}

func TestNoResume(t *testing.T) {
	body := strings.Repeat("0123456789", 100_000)
	srv := serve(t, map[string]string{"big": body})
	cut := true
	srv.handlers = map[string]func(*talk, string){"RETR": func(c *talk, arg string) {
		if cut {
			cut = false
			c.stream(body[:500_000], "426 broke")
			return
		}
		c.send(srv.files, c.abs(arg))
	}}
	m := newMove(t, srv.source(t, ""))
	m.o.NoResume = true
	rep := m.run()
	equal(t, m.files(), map[string]string{"big": body})
	equal(t, srv.count("REST"), 0)
	equal(t, rep.FetchedBytes, int64(1_500_000))
}

func TestNameSet(t *testing.T) {
	n := newNameSet()
	equal(t, n.has("a"), false)
	n.add("a")
	n.add("b")
	equal(t, n.has("a"), true)
	n.add("c")
	equal(t, n.has("c"), true)
	equal(t, n.has("d"), false)
}
