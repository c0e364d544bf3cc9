package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gateway/tests/servers"
)

// contender is a program with its settings.
type contender struct {
	name string // as in the table and in -by
	ours bool
	slow bool // takes minutes for this work: measured only once
	run  func(j *job) *exec.Cmd
}

// job is one run of a contender: move all that addr serves into dest. Both dest and scratch are
// empty.
type job struct {
	t       testing.TB
	server  *servers.Server
	addr    string // of the server, or of the proxy before it
	file    string // the only file of a tree of one, relative; else ""
	dest    string // where the tree is expected; the contender makes it
	scratch string
	gateway string // the binary
}

func (j *job) url() string {
	return fmt.Sprintf("ftp://%s:%s@%s/", j.server.User, j.server.Pass, j.addr)
}

// smallFiles are the contenders for many small files.
func smallFiles(far bool) []contender {
	all := []contender{
		gateway(8), gateway(16),
		lftpMirror("lftp, 8", 8, ""),
		rclone("rclone, 8", 8), rclone("rclone, 16", 16),
	}
	if far {
		// Commands are sent without waiting for the reply to the one before.
		all = append(all, lftpMirror("lftp, 8, sync-mode off", 8, "set ftp:sync-mode off; "))
	}
	w := wget()
	w.slow = far
	return append(all, w)
}

// bigFile are the contenders for one big file.
func bigFile(far bool) []contender {
	all := []contender{gateway(1), lftpGet("lftp", ""), rclone("rclone", 1), wget(), curl()}
	if far {
		all = append(all, gateway(4), lftpGet("lftp, 4 segments", "pget -n 4"))
	}
	return all
}

// gateway is ours, with everything it does for safety.
func gateway(connections int, flags ...string) contender {
	name := "gateway, " + strconv.Itoa(connections)
	if len(flags) > 0 {
		name += " " + strings.Join(flags, " ")
	}
	return contender{name: name, ours: true, run: func(j *job) *exec.Cmd {
		data := filepath.Join(j.scratch, "data")
		j.dest = filepath.Join(data, "files", "moved")
		args := append([]string{"--data", data, "migrate", "--connections", strconv.Itoa(connections)}, flags...)
		return exec.Command(j.gateway, append(args, j.url(), "moved")...)
	}}
}

func lftpMirror(name string, parallel int, settings string) contender {
	return contender{name: name, run: func(j *job) *exec.Cmd {
		return lftp(j, fmt.Sprintf("%sopen %s; mirror --parallel=%d / %s", settings, j.url(), parallel, j.dest))
	}}
}

// lftpGet fetches the only file with a command, "" for get.
func lftpGet(name, command string) contender {
	if command == "" {
		command = "get"
	}
	return contender{name: name, run: func(j *job) *exec.Cmd {
		to := filepath.Join(j.dest, j.file)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			j.t.Fatal(err)
		}
		return lftp(j, fmt.Sprintf("open %s; %s %s -o %s", j.url(), command, j.file, to))
	}}
}

func lftp(j *job, script string) *exec.Cmd {
	return exec.Command(servers.Tool(j.t, "lftp"), "--norc", "-c", "set cmd:fail-exit yes; "+script)
}

func rclone(name string, transfers int) contender {
	return contender{name: name, run: func(j *job) *exec.Cmd {
		host, port, _ := strings.Cut(j.addr, ":")
		tool := servers.Tool(j.t, "rclone")
		pass, err := exec.Command(tool, "obscure", j.server.Pass).Output()
		if err != nil {
			j.t.Fatalf("rclone obscure: %v", err)
		}
		from := fmt.Sprintf(":ftp,host=%s,port=%s,user=%s,pass=%s:/", host, port, j.server.User, strings.TrimSpace(string(pass)))
		return exec.Command(tool, "copy", "--config", filepath.Join(j.scratch, "rclone.conf"),
			"--transfers", strconv.Itoa(transfers), "--checkers", strconv.Itoa(max(transfers, 8)), from, j.dest)
	}}
}

func wget() contender {
	return contender{name: "wget", run: func(j *job) *exec.Cmd {
		return exec.Command(servers.Tool(j.t, "wget"), "--no-config", "-q", "-r", "-l", "inf", "-nH", "-P", j.dest, j.url())
	}}
}

func curl() contender {
	return contender{name: "curl", run: func(j *job) *exec.Cmd {
		return exec.Command(servers.Tool(j.t, "curl"), "-q", "-sS", "--create-dirs", "-o", filepath.Join(j.dest, j.file), j.url()+j.file)
	}}
}
