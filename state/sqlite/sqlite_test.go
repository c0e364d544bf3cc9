package sqlite_test

import (
	"database/sql"
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

func TestContract(t *testing.T) { statetest.Test(t, open) }

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
