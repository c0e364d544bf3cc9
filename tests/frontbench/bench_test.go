package frontbench

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/tests/servers"
)

var (
	full   = flag.Bool("full", false, "measure the real works; otherwise tiny ones, which say nothing")
	rounds = flag.Int("n", 0, "how often each server is measured; 0 = 5 times in full, else once")
	works  = flag.String("work", "", "only the works whose `name` matches this expression")
	by     = flag.String("by", "", "only the servers whose `name` matches this expression")
	binary = flag.String("gateway", "", "measure this `binary` instead of building one")
)

// peer is a server with the folder it serves.
type peer struct {
	name string
	ours bool
	root string // its files, as they lie on the disk
	pid  int

	// For SFTP:
	addr, user, keyFile string
	// For HTTPS, with a slash at the end, and what goes into the requests:
	url, password string
}

// work is one row of measurements.
type work struct {
	name  string
	title string
	unit  string
	done  float64 // units that a run does
	// prepare is done before each run, and is not measured.
	prepare func(t testing.TB, p *peer)
	run     func(t testing.TB, p *peer)
	check   func(t testing.TB, p *peer)
}

// settle is how long the processes of sessions may take to end, so that their CPU time is counted.
const settle = 300 * time.Millisecond

// row is what one server took for one work.
type row struct {
	peer      *peer
	took, cpu []time.Duration
}

func TestMain(m *testing.M) {
	if servePeer() {
		return
	}
	os.Exit(m.Run())
}

// TestRealFronts measures and prints the tables. It asserts that everything was moved, and nothing about speed.
func TestRealFronts(t *testing.T) {
	s := sizes{big: 1 << 20, small: 20, listed: 50, connections: 3, gets: 50}
	if *full {
		s = sizes{big: 1 << 30, small: 2000, listed: 10000, connections: 40, gets: 20000}
	}
	all := append(sftpWorks(t, s), webWorks(t, s)...)
	only, who := regexp.MustCompile(*works), regexp.MustCompile(*by)
	var chosen []work
	for _, w := range all {
		if only.MatchString(w.name) {
			chosen = append(chosen, w)
		}
	}
	var text bytes.Buffer
	sets := map[string][]*peer{}
	for _, w := range chosen {
		kind, _, _ := strings.Cut(w.name, "-")
		if sets[kind] == nil {
			sets[kind] = startPeers(t, kind, s)
		}
		var rows []row
		for _, p := range sets[kind] {
			if who.MatchString(p.name) {
				rows = append(rows, row{peer: p})
			}
		}
		measure(t, w, rows)
		table(&text, w, rows)
	}
	fmt.Print(text.String())
}

func measure(t *testing.T, w work, rows []row) {
	n := *rounds
	if n == 0 {
		n = 1
		if *full {
			n = 5
		}
	}
	for round := range n {
		for i := range rows {
			r := &rows[i]
			if w.prepare != nil {
				w.prepare(t, r.peer)
			}
			meter, began := servers.StartMeter(r.peer.pid), time.Now()
			w.run(t, r.peer)
			took := time.Since(began)
			time.Sleep(settle)
			used := meter.Stop()
			if w.check != nil {
				w.check(t, r.peer)
			}
			r.took, r.cpu = append(r.took, took), append(r.cpu, used)
			t.Logf("%s: %s: round %d: %.3f s, %.4g %s, %.2f s of the server's CPU", w.name, r.peer.name, round+1,
				took.Seconds(), w.done/took.Seconds(), w.unit, used.Seconds())
		}
	}
}

// table has the medians, the slowest and the quickest run, the CPU, and how many times as quick as each peer ours is.
func table(b *bytes.Buffer, w work, rows []row) {
	fmt.Fprintf(b, "\n### %s\n\n| server | %s, median | slowest to quickest | CPU | gateway is × |\n|---|---|---|---|---|\n", w.title, w.unit)
	var ours time.Duration
	for _, r := range rows {
		if r.peer.ours {
			ours = median(r.took)
		}
	}
	for _, r := range rows {
		m := median(r.took)
		fmt.Fprintf(b, "| %s | %.4g | %.4g to %.4g | %.2f s |", r.peer.name, w.done/m.Seconds(),
			w.done/slices.Max(r.took).Seconds(), w.done/slices.Min(r.took).Seconds(), median(r.cpu).Seconds())
		if r.peer.ours || ours == 0 {
			b.WriteString(" |\n")
			continue
		}
		fmt.Fprintf(b, " %.2f |\n", m.Seconds()/ours.Seconds())
	}
}

// median of times; of an even number the mean of the two in the middle.
func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
