package servers

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Meter measures the processor time of a process and of those below it.
type Meter struct {
	root int
	stop chan struct{}
	done sync.WaitGroup

	before time.Duration
	first  map[int]time.Duration // what each had used before
	last   map[int]time.Duration // what each had used when it was last seen
}

// sampleEvery is how often a Meter looks for processes that nobody will account for when they end.
const sampleEvery = 20 * time.Millisecond

// StartMeter begins to measure.
func StartMeter(root int) *Meter {
	m := &Meter{root: root, stop: make(chan struct{}), last: map[int]time.Duration{}}
	m.before, m.first = usage(root)
	m.done.Go(func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, own := usage(root)
				m.see(own)
			case <-m.stop:
				return
			}
		}
	})
	return m
}

func (m *Meter) see(own map[int]time.Duration) {
	for pid, used := range own {
		m.last[pid] = used
	}
}

// Stop ends the measurement and says what was used. Processes that ended are counted by what their parents say of
// them, or, where those did not wait for them, as sshd's do not, by what they had used when they were last seen.
func (m *Meter) Stop() time.Duration {
	close(m.stop)
	m.done.Wait()
	after, own := usage(m.root)
	m.see(own)
	var seen time.Duration
	for pid, used := range m.last {
		seen += used - m.first[pid]
	}
	return max(after-m.before, seen)
}

// usage is the processor time of a process and those below it: with their children that were waited for, and each alone.
func usage(root int) (total time.Duration, own map[int]time.Duration) {
	type process struct {
		parent         int
		own, inherited time.Duration
	}
	all := map[int]process{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	for _, path := range stats {
		data, err := os.ReadFile(path)
		if err != nil { // it has ended
			continue
		}
		// The name in parentheses may hold anything; proc(5) counts the fields behind it from 3.
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		if len(fields) < 15 {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		var p process
		p.parent, _ = strconv.Atoi(fields[1])
		p.own = ticks(fields[11]) + ticks(fields[12])
		p.inherited = ticks(fields[13]) + ticks(fields[14])
		all[pid] = p
	}
	own = map[int]time.Duration{}
	for pid, p := range all {
		for at := pid; at > 1; at = all[at].parent {
			if at == root {
				own[pid] = p.own
				total += p.own + p.inherited
				break
			}
		}
	}
	return total, own
}

// ticks reads a time of proc(5). It is counted in hundredths of a second on every Linux that Go runs on.
func ticks(s string) time.Duration {
	n, _ := strconv.ParseInt(s, 10, 64)
	return time.Duration(n) * time.Second / 100
}
