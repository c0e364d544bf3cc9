package servers

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// errEndedEarly says that a server ended before it listened, most often because its port was taken.
var errEndedEarly = errors.New("ended before it listened")

// supervisor runs a daemon and outlives the test process by just enough to end it: its standard
// input is a pipe from the test, which closes however the test process dies. A shell does not read
// ahead in a here-less script, so descriptor 3 is the pipe's only reader.
const supervisor = `exec 3<&0
"$@" </dev/null 3<&- &
daemon=$!
{ cat <&3 >/dev/null; kill -TERM $daemon; sleep 1; kill -KILL 0; } 2>/dev/null &
exec 3<&-
wait $daemon`

// process is a daemon in a process group of its own.
type process struct {
	cmd   *exec.Cmd
	pipe  io.Closer
	ended chan struct{} // closed when the daemon has ended
	once  sync.Once

	groups []int        // every process group the daemon and its children were seen in
	pids   map[int]bool // every process seen in them when the daemon was stopped
}

func startProcess(l launch, output string) (*process, error) {
	out, err := os.Create(output)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	argv := []string{"-c", supervisor, "sh", "env"}
	argv = append(append(argv, l.env...), l.argv...)
	cmd := exec.Command("/bin/sh", argv...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = filepath.Dir(output)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, pipe: pipe, ended: make(chan struct{}), groups: []int{cmd.Process.Pid}}
	go func() {
		_ = cmd.Wait() // a daemon ends by a signal; how it ended says nothing
		close(p.ended)
	}()
	return p, nil
}

// awaitPort waits until something at addr speaks or, for implicit TLS, at least accepts.
func (p *process) awaitPort(addr string, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for {
		select {
		case <-p.ended:
			return errEndedEarly
		default:
		}
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("does not listen on %s after %v: %w", addr, limit, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// stop ends the daemon and its sessions: TERM first, KILL for what is left after two seconds.
func (p *process) stop() {
	p.once.Do(func() {
		p.groups = append(p.groups, groupsBelow(p.cmd.Process.Pid)...)
		p.pids = map[int]bool{}
		for _, q := range p.members() {
			p.pids[q.pid] = true
		}
		p.signal(syscall.SIGTERM)
		for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline) && p.alive(); {
			time.Sleep(10 * time.Millisecond)
		}
		p.signal(syscall.SIGKILL)
		p.pipe.Close()
		<-p.ended
		for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline) && p.alive(); {
			time.Sleep(10 * time.Millisecond)
		}
		sweepPAM(p.pids)
	})
}

func (p *process) signal(sig syscall.Signal) {
	for _, g := range p.groups {
		_ = syscall.Kill(-g, sig) // a group that is gone already is what we want
	}
}

func (p *process) alive() bool { return len(p.members()) > 0 }

// leftovers lists "pid name" of the processes that are still in the daemon's groups.
func (p *process) leftovers() []string {
	var left []string
	for _, q := range p.members() {
		left = append(left, fmt.Sprintf("%d %s", q.pid, q.name))
	}
	return left
}

// members returns the processes in the daemon's groups, without those that have ended.
func (p *process) members() []procStat {
	return slices.DeleteFunc(processes(), func(q procStat) bool {
		return q.state == "Z" || !slices.Contains(p.groups, q.group)
	})
}

// groupsBelow returns the process groups of all descendants of pid: a daemon may leave its own.
func groupsBelow(pid int) []int {
	all := processes()
	below := map[int]bool{pid: true}
	for grown := true; grown; {
		grown = false
		for _, q := range all {
			if below[q.parent] && !below[q.pid] {
				below[q.pid], grown = true, true
			}
		}
	}
	groups := map[int]bool{}
	for _, q := range all {
		if below[q.pid] && q.group != syscall.Getpgrp() {
			groups[q.group] = true
		}
	}
	out := make([]int, 0, len(groups))
	for g := range groups {
		out = append(out, g)
	}
	return out
}

// procStat is a line of /proc/PID/stat, proc(5).
type procStat struct {
	pid, parent, group int
	name, state        string
}

func processes() []procStat {
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well formed
	out := make([]procStat, 0, len(files))
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue // it ended meanwhile
		}
		pid, rest, ok1 := strings.Cut(string(data), " (")
		end := strings.LastIndex(rest, ") ")
		if !ok1 || end < 0 {
			continue
		}
		fields := strings.Fields(rest[end+2:])
		if len(fields) < 3 {
			continue
		}
		q := procStat{name: rest[:end], state: fields[0]}
		q.pid, _ = strconv.Atoi(pid)
		q.parent, _ = strconv.Atoi(fields[1])
		q.group, _ = strconv.Atoi(fields[2])
		out = append(out, q)
	}
	return out
}

// WorkDir is a folder below parent, which servers of other users may enter; it is removed at the end of the
// test. With "" it is in /dev/shm, where there is one, so that no disk is measured, or the temporary folder.
func WorkDir(t testing.TB, parent string) string {
	t.Helper()
	if parent == "" {
		parent = os.TempDir()
		if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
			parent = "/dev/shm"
		}
	}
	dir, err := os.MkdirTemp(parent, "gateway-bench-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
