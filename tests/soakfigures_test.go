package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// holdings is what a process has open, by kind.
type holdings map[string]int

// holdings looks at the descriptors of the gateway (proc(5), /proc/pid/fd).
func (s *serving) holdings() holdings {
	dir := fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid)
	fds, err := os.ReadDir(dir)
	if err != nil {
		s.t.Fatal(err)
	}
	listening := 3 // SFTP, HTTPS and the operator's page
	now := holdings{"connection": -listening}
	for _, fd := range fds {
		to, err := os.Readlink(filepath.Join(dir, fd.Name()))
		switch {
		case err != nil: // closed meanwhile
		case strings.HasPrefix(to, "socket:"):
			now["connection"]++
		case strings.Contains(to, ".part"):
			now["staged file"]++
		case strings.HasPrefix(to, s.files()):
			now["other file of the storage"]++
		case strings.HasPrefix(to, filepath.Join(s.data, "audit")): // whichever file it has come to
			now["audit log"]++
		case strings.HasPrefix(to, s.data):
			now[filepath.Base(to)]++
		default:
			now["other"]++
		}
	}
	return now
}

// above is what there is more of than before; nil is a gateway that was not used yet. The database
// keeps some connections that it had to make, each with its descriptors.
func (h holdings) above(before holdings) []string {
	const database = 10
	var more []string
	for kind, n := range h {
		allowed := before[kind]
		if before == nil && kind != "connection" && kind != "staged file" {
			allowed = n
		}
		if strings.Contains(kind, ".db") {
			allowed += database
		}
		if n > allowed {
			more = append(more, kind)
		}
	}
	return more
}

// samples are figures of a process over time.
type samples struct {
	rss     []int // KiB
	threads []int
	heap    []int // MiB that were alive after each collection
}

var statusLine = regexp.MustCompile(`(?m)^(VmRSS|Threads):\s+(\d+)`)

// sample reads the figures of the gateway (proc(5), /proc/pid/status) for a time; wait returns them.
func (s *serving) sample(d time.Duration) (wait func() samples) {
	out := make(chan samples, 1)
	file := fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid)
	go func() {
		var all samples
		for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(250 * time.Millisecond) {
			data, _ := os.ReadFile(file) // no process: no figures, which flat finds
			for _, m := range statusLine.FindAllStringSubmatch(string(data), -1) {
				n, _ := strconv.Atoi(m[2])
				if m[1] == "VmRSS" {
					all.rss = append(all.rss, n)
				} else {
					all.threads = append(all.threads, n)
				}
			}
		}
		out <- all
	}()
	return func() samples { return <-out }
}

// collection is a line that Go writes with GODEBUG=gctrace=1: seconds since the start, and MiB alive after it.
var collection = regexp.MustCompile(`(?m)^gc \d+ @([\d.]+)s .* \d+->\d+->(\d+) MB, .*\n`)

// collections takes the lines of the collections out of a log, and those within d of the start into the samples.
func (a *samples) collections(log string, d time.Duration) (rest string) {
	for _, m := range collection.FindAllStringSubmatch(log, -1) {
		at, _ := strconv.ParseFloat(m[1], 64)
		if n, _ := strconv.Atoi(m[2]); at < d.Seconds() {
			a.heap = append(a.heap, n)
		}
	}
	return collection.ReplaceAllString(log, "")
}

// flat checks that memory and threads grow no more: what there is in the last third is at most a
// quarter, and a little, above the middle third. Of the memory that the kernel counts it is half and more: Go
// gives back slowly what it had for the checks of all users' passwords at once, 64 MiB each, every minute.
func (a samples) flat(t *testing.T) {
	t.Helper()
	for _, figure := range []struct {
		name         string
		values       []int
		part, little int
	}{{"live heap (MiB)", a.heap, 4, 16}, {"memory (KiB)", a.rss, 2, soakUsers * 64 << 10}, {"threads", a.threads, 4, 16}} {
		n := len(figure.values) / 3
		if n == 0 {
			t.Fatalf("%s: no figures", figure.name)
		}
		first, middle, last := median(figure.values[:n]), median(figure.values[n:2*n]), median(figure.values[2*n:])
		t.Logf("%s: %d, %d, %d in the thirds, %d at most", figure.name, first, middle, last, slices.Max(figure.values))
		if last > middle+middle/figure.part+figure.little {
			t.Errorf("%s grow: %d in the middle third, %d in the last", figure.name, middle, last)
		}
	}
}

func median(values []int) int {
	return slices.Sorted(slices.Values(values))[len(values)/2]
}

var createdBy = regexp.MustCompile(`(?m)^created by (\S+)`)

// startedBy is the function that started a goroutine of a dump.
func startedBy(block string) string {
	if m := createdBy.FindStringSubmatch(block); m != nil {
		return m[1]
	}
	return "the runtime"
}

// sameGoroutines checks that no function has more goroutines running than in an idle gateway.
func sameGoroutines(t *testing.T, got, idle map[string][]string) {
	t.Helper()
	n := 0
	for by, blocks := range got {
		if strings.HasPrefix(by, "runtime.") { // its own, as many as it likes
			continue
		}
		n += len(blocks)
		if len(blocks) > len(idle[by]) {
			t.Errorf("%d goroutines were started by %s and still run, %d in an idle gateway; one of them:\n%s",
				len(blocks), by, len(idle[by]), blocks[len(blocks)-1])
		}
	}
	t.Logf("%d goroutines at the end", n)
}
