package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gateway/state"
	"gateway/state/postgres"
	"gateway/tests/servers"
)

func openAt(t testing.TB, server, dir string, o postgres.Options) *postgres.Store {
	t.Helper()
	if o.Lease == 0 {
		o.Lease = lease
	}
	s, err := postgres.Open(t.Context(), schemaURL(t, server, dir), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func newJob(t testing.TB, s state.Store) state.Job {
	t.Helper()
	j, err := s.OpenJob(t.Context(), "ftp://host/pub", "disk:legacy")
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func line(job int64, path string) state.File {
	return state.File{Job: job, Path: path, Target: path, Phase: state.Found}
}

// The server is stopped and crashes while it is written to: calls wait for it, and
// what they acknowledge is there, once.
func TestRealRestart(t *testing.T) {
	server := servers.StartPostgres(t)
	s := openAt(t, server.URL(""), "d", postgres.Options{})
	j, ctx := newJob(t, s), t.Context()
	stop, ended := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	var acked [4]atomic.Int64
	for w := range acked {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprintf("%d/%d", w, n)
				g := state.Generation{Source: "s", Name: fmt.Sprint(w), SHA256: []byte(name), Date: time.Unix(int64(n), 0)}
				var after []byte
				if n > 0 {
					after = fmt.Appendf(nil, "%d/%d", w, n-1)
				}
				err := errors.Join(s.PutFiles(ctx, line(j.ID, name)), s.AddGeneration(ctx, g, after),
					s.Publish(ctx, line(j.ID, name), state.Publication{Target: name}))
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				acked[w].Store(int64(n + 1))
			}
		})
	}
	go func() { wg.Wait(); close(ended) }()
	progress := func() {
		t.Helper()
		for w := range acked {
			before, deadline := acked[w].Load(), time.Now().Add(30*time.Second)
			for acked[w].Load() < before+3 && !t.Failed() {
				if time.Now().After(deadline) {
					t.Errorf("writer %d does not go on after %d lines", w, before)
				}
				time.Sleep(5 * time.Millisecond)
			}
		}
	}
	for _, end := range []func(){server.Stop, server.Crash, server.Crash} {
		progress()
		end()
		time.Sleep(300 * time.Millisecond)
		server.Start()
	}
	progress()
	close(stop)
	<-ended
	for w := range acked {
		n := int(acked[w].Load())
		for i := range n {
			name := fmt.Sprintf("%d/%d", w, i)
			f, err := s.GetFile(ctx, j.ID, name)
			if err != nil || f.Phase != state.Published {
				t.Errorf("%s: %+v, %v", name, f, err)
			}
		}
		list, err := s.Generations(ctx, "s", fmt.Sprint(w))
		if err != nil || len(list) != min(n, state.MaxGenerations) {
			t.Errorf("writer %d: %d generations, %v", w, len(list), err)
		}
		for i, g := range list {
			if string(g.SHA256) != fmt.Sprintf("%d/%d", w, n-1-i) {
				t.Errorf("writer %d: generation %s", w, g.SHA256)
			}
		}
	}
}

// A call that waits for the server ends with its context, and otherwise with the
// patience of the store, and then says what to do.
func TestRealServerAway(t *testing.T) {
	server := servers.StartPostgres(t)
	patient := openAt(t, server.URL(""), "d", postgres.Options{})
	hasty := openAt(t, server.URL(""), "d", postgres.Options{Patience: 300 * time.Millisecond})
	j := newJob(t, patient)
	server.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := patient.PutFiles(ctx, line(j.ID, "a")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if _, err := hasty.GetFile(t.Context(), j.ID, "a"); err == nil || !strings.Contains(err.Error(), "is the database server running") {
		t.Errorf("got %v", err)
	}
	server.Start()
	if err := hasty.PutFiles(t.Context(), line(j.ID, "a")); err != nil {
		t.Error(err)
	}
}

// A claim that cannot be renewed ends before another node may have the job.
func TestRealClaimLost(t *testing.T) {
	server := servers.StartPostgres(t)
	s := openAt(t, server.URL(""), "d", postgres.Options{})
	j := newJob(t, s)
	for name, away := range map[string]func() (back func()){
		"stopped": func() func() { server.Stop(); return server.Start },
		"frozen":  server.Freeze,
	} {
		held, release, err := s.Claim(t.Context(), j.ID, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(lease + lease/2)
		if held.Err() != nil {
			t.Fatalf("%s: the claim was not renewed: %v", name, context.Cause(held))
		}
		gone := time.Now()
		back := away()
		select {
		case <-held.Done():
		case <-time.After(lease + 2*time.Second):
			t.Errorf("%s: still held %v after the server went", name, time.Since(gone))
		}
		if cause := context.Cause(held); !errors.Is(cause, state.ErrClaimed) {
			t.Errorf("%s: the claim ended by %v", name, cause)
		}
		time.Sleep(time.Until(gone.Add(lease + 500*time.Millisecond)))
		back()
		other := openAt(t, server.URL(""), "d", postgres.Options{})
		_, mine, err := other.Claim(t.Context(), j.ID, time.Now())
		if err != nil {
			t.Fatalf("%s: nobody can have the job: %v", name, err)
		}
		// What the first had on its way is refused, and it takes nothing from the second.
		late := context.WithoutCancel(held)
		for what, err := range map[string]error{
			"put files": s.PutFiles(late, line(j.ID, "late")),
			"publish":   s.Publish(late, line(j.ID, "late"), state.Publication{Target: "late"}),
			"finish":    s.FinishJob(late, j.ID, time.Now()),
			"add run":   s.AddRun(late, state.Run{Job: j.ID, Result: state.Complete}),
		} {
			if !errors.Is(err, state.ErrClaimed) {
				t.Errorf("%s: %s without a claim: %v", name, what, err)
			}
		}
		if err := release(); err != nil {
			t.Error(err)
		}
		if _, _, err := s.Claim(t.Context(), j.ID, time.Now()); !errors.Is(err, state.ErrClaimed) {
			t.Errorf("%s: the job of another run could be claimed: %v", name, err)
		}
		if err := mine(); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.GetFile(t.Context(), j.ID, "late"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("the late line: %v", err)
	}
}

// A claim that another node took, whatever the clocks of the nodes say, ends at the
// next renewal.
func TestRealClaimTaken(t *testing.T) {
	server := servers.StartPostgres(t)
	s := openAt(t, server.URL(""), "d", postgres.Options{})
	j := newJob(t, s)
	held, release, err := s.Claim(t.Context(), j.ID, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pool().Exec(t.Context(), "UPDATE claims SET token = 'x'"); err != nil {
		t.Fatal(err)
	}
	select {
	case <-held.Done():
	case <-time.After(lease):
		t.Error("still held")
	}
	if err := release(); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Claim(t.Context(), j.ID, time.Now()); !errors.Is(err, state.ErrClaimed) {
		t.Errorf("got %v", err)
	}
}

func TestRealOpen(t *testing.T) {
	server := servers.StartPostgres(t, "synchronous_commit=off")
	ctx := t.Context()
	s := openAt(t, server.URL(""), "d", postgres.Options{})
	for name, want := range map[string]string{"synchronous_commit": "on", "statement_timeout": "25s", "application_name": "gateway"} {
		var got string
		if err := s.Pool().QueryRow(ctx, "SELECT current_setting($1)", name).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
	for name, c := range map[string]struct {
		url    string
		o      postgres.Options
		advice string
	}{
		"no URL":         {"host=localhost password=hush", postgres.Options{}, "postgres://"},
		"short lease":    {server.URL(""), postgres.Options{Lease: time.Millisecond}, "shorter"},
		"wrong password": {server.URL(""), postgres.Options{Password: "hush"}, "pg_hba.conf"},
		"no database":    {server.URL("nothing"), postgres.Options{}, "create it"},
		"no schema":      {server.URL("") + "&search_path=nothing", postgres.Options{}, "create it"},
	} {
		s, err := postgres.Open(ctx, c.url, c.o)
		if err == nil {
			_ = s.Close()
			t.Errorf("%s: opened", name)
		} else if !strings.Contains(err.Error(), c.advice) || strings.Contains(err.Error(), server.Pass) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nodes of one version that start at once bring the tables up to date once.
func TestRealUpgrade(t *testing.T) {
	server, ctx := servers.StartPostgres(t).URL(""), t.Context()
	url := schemaURL(t, server, "many")
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			s, err := postgres.Open(ctx, url, postgres.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			_ = s.Close()
		})
	}
	wg.Wait()
	s := openAt(t, server, "many", postgres.Options{})
	if _, err := s.Pool().Exec(ctx, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)"); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Open(ctx, url, postgres.Options{}); err == nil || !strings.Contains(err.Error(), "newer gateway") {
		t.Errorf("got %v", err)
	}
}

// Beyond the bound go those that were kept longest ago, whose use counts anew.
func TestRealEvidenceBound(t *testing.T) {
	s := openAt(t, servers.StartPostgres(t).URL(""), "d", postgres.Options{})
	s.SetMaxEvidence(1000)
	keep := func(name string, size int, c byte, want string) {
		t.Helper()
		e := state.Evidence{Source: "s", Name: name, Manifest: bytes.Repeat([]byte{c}, size)}
		if err := s.KeepEvidence(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, name := range []string{"a", "b", "c", "d"} {
			if e, err := s.LatestEvidence(t.Context(), "s", name); err == nil && len(e.Manifest) > 0 {
				got += name
			} else if !errors.Is(err, state.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if got != want {
			t.Errorf("kept %s, want %s", got, want)
		}
	}
	keep("a", 400, 1, "a")
	keep("b", 400, 2, "ab")
	keep("a", 400, 1, "ab")
	keep("c", 400, 3, "ac")
	keep("d", 400, 1, "acd") // the bytes of a
	keep("b", 999, 4, "b")
	keep("a", 1001, 5, "")
	keep("c", 10, 6, "c")
}

// Pages go by an index, also while the planner knows nothing yet of the tables.
func TestRealPlans(t *testing.T) {
	s := openAt(t, servers.StartPostgres(t, "autovacuum=off").URL(""), "d", postgres.Options{})
	first, next := postgres.PublicationQueries()
	pages, args := postgres.PageQuery(1, "a", []state.Phase{state.Found, state.Failed})
	all, allArgs := postgres.PageQuery(1, "a", nil)
	check := func() {
		t.Helper()
		for _, c := range []struct {
			query string
			args  []any
			index string
		}{
			{pages, args, "files_by_phase"}, {all, allArgs, "files_by_path"},
			{first, []any{[]byte("a"), 64}, "publications_by_target"}, {next, []any{[]byte("a"), 64}, "publications_by_target"},
		} {
			rows, err := s.Pool().Query(t.Context(), "EXPLAIN "+c.query, c.args...)
			if err != nil {
				t.Fatal(err)
			}
			plan := ""
			for rows.Next() {
				var step string
				if err := rows.Scan(&step); err != nil {
					t.Fatal(err)
				}
				plan += step + "\n"
			}
			if rows.Err() != nil || strings.Contains(plan, "Seq Scan") || strings.Contains(plan, "Bitmap") || !strings.Contains(plan, "Index Scan using "+c.index) {
				t.Errorf("%v: not by %s alone:\n%s", rows.Err(), c.index, plan)
			}
		}
	}
	check()
	_, err := s.Pool().Exec(t.Context(), `INSERT INTO jobs (source, destination) VALUES ('s', 'd');
		INSERT INTO files (job, path, target, phase, size, precision, token, "offset", ranges, verdict, reason, retry, tries, after)
			SELECT 1, convert_to('dir/' || n, 'UTF8'), convert_to('dir/' || n, 'UTF8'), CASE n % 100 WHEN 0 THEN 'found' ELSE 'published' END,
				1, 0, '', 0, '', '', '', false, 0, '' FROM generate_series(1, 20000) AS n;
		INSERT INTO publications (target, job, source, size, sha256, verdict, reason)
			SELECT target, 1, '', 1, '', '', '' FROM files`)
	if err != nil {
		t.Fatal(err)
	}
	check()
	if _, err = s.Pool().Exec(t.Context(), "ANALYZE"); err != nil {
		t.Fatal(err)
	}
	check()
}

// A database of each version before this one is brought up to date, with all it holds.
func TestRealUpgradeOlder(t *testing.T) {
	server, ctx := servers.StartPostgres(t).URL(""), t.Context()
	for version := range int64(4) {
		url := schemaURL(t, server, fmt.Sprint("from", version))
		if err := postgres.MigrateTo(ctx, url, version); version > 0 && err != nil {
			t.Fatal(err)
		}
		s, err := postgres.Open(ctx, url, postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		j := newJob(t, s)
		l := state.Lock{Token: "t", Root: "/a", User: "u", Timeout: time.Hour}
		_, err = s.CreateLock(ctx, l)
		if err = errors.Join(err, s.PutFiles(ctx, line(j.ID, "a")), s.Close()); err != nil {
			t.Error(err)
		}
		if err := postgres.MigrateTo(ctx, url, 1); err != nil {
			t.Fatal(err)
		}
		s = openURL(t, url)
		if f, err := s.GetFile(ctx, j.ID, "a"); err != nil || f.Phase != state.Found {
			t.Errorf("taken back to 1 and brought up again: %+v, %v", f, err)
		}
		if _, err := s.CreateLock(ctx, l); err != nil {
			t.Error(err)
		}
	}
}

func openURL(t testing.TB, url string) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), url, postgres.Options{Lease: lease})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// What a node reserved that is gone counts as added.
func TestRealQuotaOfGone(t *testing.T) {
	s := openAt(t, servers.StartPostgres(t).URL(""), "d", postgres.Options{})
	ctx := t.Context()
	for _, holder := range []string{"gone", "here"} {
		if _, _, ok, err := s.ReserveQuota(ctx, "anna", holder, 1, 10, 100); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if _, err := s.Pool().Exec(ctx, "UPDATE reservations SET until = clock_timestamp() WHERE holder = 'gone'"); err != nil {
		t.Fatal(err)
	}
	added, reserved, ok, err := s.ReserveQuota(ctx, "anna", "here", 1, 20, 100)
	if added != 13 || reserved != 20 || !ok || err != nil {
		t.Errorf("%d added, %d reserved, %v, %v", added, reserved, ok, err)
	}
}
