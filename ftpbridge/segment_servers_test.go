package ftpbridge

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gateway/state"
	"gateway/state/sqlite"
	"gateway/tests/servers"
)

const (
	killedFile = "killed.bin"
	killedSize = 64 << 20
	// killedSpeed is that of each connection in bytes a second: little is under way.
	killedSpeed = 8 << 20
	// killedEvents is after how many a child is killed, at most: it cannot be done
	// in fewer than four runs.
	killedEvents = killedSize / fetchBuffer / 4
)

// TestRealSegmentsKilled kills a migration of one file by several sessions at
// random moments until it gets through.
func TestRealSegmentsKilled(t *testing.T) {
	root := t.TempDir()
	body := []byte(random(killedSize))
	if err := os.WriteFile(filepath.Join(root, killedFile), body, 0o644); err != nil {
		t.Fatal(err)
	}
	srv := servers.Start(t, servers.VSFTPD, servers.Options{Root: root})
	proxy := servers.StartProxy(t, srv.Addr, servers.ProxyOptions{FTP: true, BytesPerSecond: killedSpeed})
	dir := t.TempDir()
	j := childJob{
		Source: fmt.Sprintf("ftp://%s:%s@%s/", srv.User, srv.Pass, proxy.Addr),
		Dest:   filepath.Join(dir, "dest"), State: filepath.Join(dir, "state.db"),
		Connections: 4, SegmentFrom: 4 << 20,
	}
	if err := os.Mkdir(j.Dest, 0o755); err != nil {
		t.Fatal(err)
	}
	kills, most, again := 0, 0, int64(0)
	for ; kills < migrateKills; kills++ {
		durable, before := durableRanges(t, j), len(proxy.Transfers())
		most = max(most, len(durable))
		finished := killChild(t, j, 1+rand.IntN(killedEvents))
		again += fetchedAgain(t, durable, proxy.Transfers()[before:])
		if finished {
			break
		}
	}
	durable, before := durableRanges(t, j), len(proxy.Transfers())
	most = max(most, len(durable))
	o, done := j.options(t)
	defer done()
	rep, err := Migrate(testContext(t), o)
	if err != nil || !rep.Complete() {
		t.Fatalf("%v\n%s", err, text(rep))
	}
	again += fetchedAgain(t, durable, proxy.Transfers()[before:])
	got, err := os.ReadFile(filepath.Join(j.Dest, "old", killedFile))
	if err != nil || !bytes.Equal(got, body) {
		t.Errorf("not as it is served: %d bytes, %v", len(got), err)
	}
	equal(t, published(t, j.State), map[string]int{"disk:old/" + killedFile: 1})
	if most < 2 {
		t.Error("never was anything durable beyond the beginning of the file")
	}
	t.Logf("%d kills, %d ranges at most, %d bytes fetched that were durable", kills, most, again)
}

// durableRanges is what the ledger has of the file.
func durableRanges(t *testing.T, j childJob) state.Ranges {
	t.Helper()
	store, err := sqlite.Open(t.Context(), j.State)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	for job, err := range store.Jobs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		f, err := store.GetFile(t.Context(), job.ID, killedFile)
		if err != nil || f.Phase != state.Fetching || f.Token == "" {
			continue
		}
		if !f.Ranges.Valid(f.Offset) {
			t.Errorf("in the ledger: %+v", f)
		}
		return slices.Concat(state.Ranges{{From: 0, To: f.Offset}}, f.Ranges)
	}
	return nil
}

// fetchedAgain is how many bytes of transfers were durable before. Those before
// the place where one goes on are compared, and those behind its end, where it may
// be stopped late.
func fetchedAgain(t *testing.T, durable state.Ranges, transfers []servers.Transfer) (all int64) {
	t.Helper()
	const late = 4 << 20 // buffers of the proxy's and the kernel's
	for _, tf := range transfers {
		if tf.Command != "RETR" || !strings.HasSuffix(tf.Path, killedFile) {
			continue
		}
		again := int64(0)
		for _, r := range durable {
			if r.From <= tf.Offset && tf.Offset < r.To-overlap {
				t.Errorf("a transfer from %d, where %d to %d are durable", tf.Offset, r.From, r.To)
			}
			again += max(0, min(r.To, tf.Offset+tf.Bytes)-max(r.From, tf.Offset))
		}
		if again > 2*overlap+late {
			t.Errorf("a transfer of %d bytes from %d, of which %d were durable: %v", tf.Bytes, tf.Offset, again, durable)
		}
		all += again
	}
	return all
}
