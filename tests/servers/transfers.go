package servers

import (
	"bufio"
	"bytes"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Transfer is one use of a data connection, as a server's log or a Proxy saw it.
type Transfer struct {
	Command string // RETR, STOR, APPE; a Proxy also sees LIST, MLSD and NLST
	// Path is the file: absolute as clients of the server see it in a server's log, the argument
	// as it was sent at a Proxy. VSFTPD's log has '?' for each byte that is not printable ASCII.
	Path   string
	Offset int64 // where it started, by REST; -1 where PureFTPD does not say
	Bytes  int64 // moved, without what went before Offset; -1 where VSFTPD does not say, since the client vanished
}

// Transfers reads the server's own log: the files that were sent and received, in order. Bytes counts
// what the server wrote to its socket, which may be a few buffers more than a client that left early
// has read; for exact counts and names put a Proxy in front. VSFTPD logs a transfer when it starts,
// the others when it ends.
func (s *Server) Transfers(t testing.TB) []Transfer {
	t.Helper()
	if s.Kind == InetUtils || s.Kind == LinuxFTPD {
		t.Fatalf("servers: %s has no log of transfers; put a Proxy in front", s.Kind)
	}
	data, err := os.ReadFile(s.Log)
	if os.IsNotExist(err) {
		return nil // the daemon makes it with its first line
	}
	if err != nil {
		t.Fatal(err)
	}
	switch s.Kind {
	case VSFTPD:
		return vsftpdTransfers(data)
	case PureFTPD:
		return w3cTransfers(data, s.Root)
	default:
		return lineTransfers(data)
	}
}

// BytesSent sums the bytes of all files that the server's own log says it sent; see Transfers.
func (s *Server) BytesSent(t testing.TB) int64 {
	t.Helper()
	return sum(s.Transfers(t), "RETR")
}

func sum(transfers []Transfer, command string) int64 {
	var n int64
	for _, tr := range transfers {
		if tr.Command == command && tr.Bytes > 0 {
			n += tr.Bytes
		}
	}
	return n
}

var (
	vsftpdCommand = regexp.MustCompile(`\[pid (\d+)\].* FTP command: Client "[^"]*", "([A-Z]+) ?(.*)"$`)
	vsftpdResult  = regexp.MustCompile(`\[pid (\d+)\].* (?:OK|FAIL) (?:DOWNLOAD|UPLOAD): Client "[^"]*", "(.*)", (\d+) bytes`)
)

// vsftpdTransfers puts the commands of each session, which is one process, beside their results. A
// session whose client has gone writes no result.
func vsftpdTransfers(log []byte) []Transfer {
	var out []Transfer
	rest := map[string]int64{} // by process: the offset of the next transfer
	open := map[string]int{}   // by process: index in out of the transfer without result
	for line := range lines(log) {
		if m := vsftpdCommand.FindStringSubmatch(line); m != nil {
			pid, command, arg := m[1], m[2], m[3]
			switch command {
			case "REST":
				rest[pid] = number(arg)
			case "RETR", "STOR", "APPE":
				open[pid] = len(out)
				out = append(out, Transfer{Command: command, Path: arg, Offset: rest[pid], Bytes: -1})
				rest[pid] = 0
			}
		} else if m := vsftpdResult.FindStringSubmatch(line); m != nil {
			if i, ok := open[m[1]]; ok {
				out[i].Path, out[i].Bytes = m[2], number(m[3])
				delete(open, m[1])
			}
		}
	}
	return out
}

// w3cTransfers reads PureFTPD's log, which names files by their place on the disk, URL-encoded.
func w3cTransfers(log []byte, root string) []Transfer {
	commands := map[string]string{"[]sent": "RETR", "[]created": "STOR"}
	var out []Transfer
	for line := range lines(log) {
		f := strings.Fields(line)
		if len(f) != 8 || commands[f[3]] == "" {
			continue
		}
		path, err := url.PathUnescape(f[4])
		if err != nil {
			path = f[4]
		}
		out = append(out, Transfer{Command: commands[f[3]], Path: strings.TrimPrefix(path, root),
			Offset: -1, Bytes: number(f[7])})
	}
	return out
}

// lineTransfers reads the form that we have ProFTPD and Pyftpdlib write: command, offset, bytes, path.
func lineTransfers(log []byte) []Transfer {
	var out []Transfer
	for line := range lines(log) {
		f := strings.SplitN(line, " ", 4)
		if len(f) == 4 {
			out = append(out, Transfer{Command: f[0], Offset: number(f[1]), Bytes: number(f[2]), Path: f[3]})
		}
	}
	return out
}

func lines(log []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		sc := bufio.NewScanner(bytes.NewReader(log))
		sc.Buffer(nil, len(log)+1)
		for sc.Scan() {
			if !yield(sc.Text()) {
				return
			}
		}
	}
}

// number reads a count; what is not one is -1, unknown.
func number(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return -1
	}
	return n
}
