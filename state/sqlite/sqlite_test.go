package sqlite_test

import (
	"bytes"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gateway/state"
	"gateway/state/sqlite"
	"gateway/state/statetest"
)

func open(t testing.TB, dir string) state.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) { statetest.Test(t, statetest.Suite{Open: open}) }

func TestOpenOddNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?mode=memory&x%41#é")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode())
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database\n", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ path, advice string }{
		"no folder":  {filepath.Join(dir, "missing", "state.db"), "no such file"},
		"a folder":   {dir, "must be writable"},
		"other file": {text, "from a backup"},
	} {
		s, err := sqlite.Open(t.Context(), c.path)
		if err == nil {
			_ = s.Close()
			t.Errorf("%s: opened", name)
		} else if !strings.Contains(err.Error(), c.path) || !strings.Contains(err.Error(), c.advice) {
			t.Errorf("%s: the message says neither which file nor what to do: %v", name, err)
		}
	}
}

func TestOpenAtOnce(t *testing.T) {
	dir := t.TempDir()
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			s, err := sqlite.Open(t.Context(), filepath.Join(dir, "state.db"))
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestOpenNewer(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "state.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec("INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = sqlite.Open(t.Context(), path)
	if err == nil || !strings.Contains(err.Error(), "newer gateway") {
		t.Errorf("got %v", err)
	}
}

// A file of the version before this one is brought up to date, with all it holds.
func TestOpenOlder(t *testing.T) {
	dir := t.TempDir()
	path, ctx := filepath.Join(dir, "state.db"), t.Context()
	err := sqlite.MakeOld(ctx, path, 1,
		"INSERT INTO jobs (id, source, destination) VALUES (7, 'ftp://host/pub', 'disk:legacy')",
		`INSERT INTO files (job, path, target, phase, size, precision, token, "offset", verdict, reason, retry, tries)
			VALUES (7, x'61', 'legacy/a', 'published', 1, 0, '', 0, 'authentic', '', 0, 0)`,
		"INSERT INTO publications (target, job, source, size, sha256, verdict, reason) VALUES ('disk:legacy/a', 7, 'ftp://host/pub/a', 1, x'00', 'authentic', '')",
	)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, dir)
	defer func() { s.Close() }()
	if f, err := s.GetFile(ctx, 7, "a"); err != nil || f.Phase != state.Published {
		t.Errorf("%+v, %v", f, err)
	}
	if p, err := s.Publication(ctx, "disk:legacy/a"); err != nil || p.Verdict != "authentic" {
		t.Errorf("%+v, %v", p, err)
	}
	g := state.Generation{Source: "s", Name: "n", SHA256: []byte{1}}
	if err := s.AddGeneration(ctx, g, nil); err != nil {
		t.Error(err)
	}
	if err := s.KeepEvidence(ctx, state.Evidence{Source: "s", Name: "n", Manifest: []byte("x")}); err != nil {
		t.Error(err)
	}
	if err := errors.Join(s.(*sqlite.Store).DownTo(ctx, 1), s.Close()); err != nil {
		t.Error(err)
	}
	s = open(t, dir)
	if f, err := s.GetFile(ctx, 7, "a"); err != nil || f.Phase != state.Published {
		t.Errorf("taken back and brought up again: %+v, %v", f, err)
	}
}

// Beyond the bound go those that were kept longest ago, whose use counts anew.
func TestEvidenceBound(t *testing.T) {
	s := open(t, t.TempDir()).(*sqlite.Store)
	defer s.Close()
	s.SetMaxEvidence(1000)
	ctx := t.Context()
	keep := func(name string, size int, c byte) {
		t.Helper()
		e := state.Evidence{Source: "s", Name: name, Manifest: bytes.Repeat([]byte{c}, size)}
		if err := s.KeepEvidence(ctx, e); err != nil {
			t.Fatal(err)
		}
	}
	there := func(names string) {
		t.Helper()
		got := ""
		for _, name := range []string{"a", "b", "c", "d"} {
			e, err := s.LatestEvidence(ctx, "s", name)
			if err == nil && len(e.Manifest) > 0 {
				got += name
			} else if !errors.Is(err, state.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got != names {
			t.Errorf("kept %s, want %s", got, names)
		}
	}
	keep("a", 400, 1)
	keep("b", 400, 2)
	there("ab")
	keep("a", 400, 1)
	keep("c", 400, 3)
	there("ac")
	keep("d", 400, 1) // the bytes of a
	there("acd")
	keep("b", 999, 4)
	there("b")
	keep("a", 1001, 5)
	there("")
	keep("c", 10, 6)
	there("c")
}

func TestSettings(t *testing.T) {
	s := open(t, t.TempDir()).(*sqlite.Store)
	defer s.Close()
	for pragma, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "30000",
	} {
		for pool, db := range map[string]*sql.DB{"read": s.Reader(), "write": s.Writer()} {
			var got string
			if err := db.QueryRow("PRAGMA " + pragma).Scan(&got); err != nil || got != want {
				t.Errorf("%s: %s = %q, %v; want %q", pool, pragma, got, err, want)
			}
		}
	}
	if _, err := s.Reader().Exec("DELETE FROM files"); err == nil {
		t.Error("the read pool can write")
	}
}

// Pages by the primary key would read all lines of other phases again and again.
func TestFilesByIndex(t *testing.T) {
	s := open(t, t.TempDir()).(*sqlite.Store)
	defer s.Close()
	q, args := sqlite.PageQuery(1, "a", []state.Phase{state.Found, state.Failed})
	rows, err := s.Reader().Query("EXPLAIN QUERY PLAN "+q, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	searches := 0
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(step, "SEARCH files") {
			searches++
			if !strings.Contains(step, "files_by_phase (job=? AND phase=? AND path>?)") {
				t.Error(step)
			}
		}
	}
	if err := rows.Err(); err != nil || searches != 2 {
		t.Errorf("%d searches, %v", searches, err)
	}
}

// What a process reserved that is gone counts as added.
func TestQuotaOfGone(t *testing.T) {
	s := open(t, t.TempDir()).(*sqlite.Store)
	defer s.Close()
	ctx := t.Context()
	for _, holder := range []string{"gone", "here"} {
		if _, _, ok, err := s.ReserveQuota(ctx, "anna", holder, 1, 10, 100); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if _, err := s.Writer().Exec("UPDATE reservations SET until = 1 WHERE holder = 'gone'"); err != nil {
		t.Fatal(err)
	}
	added, reserved, ok, err := s.ReserveQuota(ctx, "anna", "here", 1, 20, 100)
	if added != 13 || reserved != 20 || !ok || err != nil {
		t.Errorf("%d added, %d reserved, %v, %v", added, reserved, ok, err)
	}
}
