package sftpsrv

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestRealWireOpenFlags opens a file that is there and one that is not with every combination of flags, writes a byte
// and closes, and holds what comes of it against what OpenSSH's server makes of it.
func TestRealWireOpenFlags(t *testing.T) {
	both := wireServers(t)
	ours, theirs := both["ours"].openAll(t), both["sftp-server"].openAll(t)
	for key, got := range ours {
		want := theirs[key]
		if reason, ok := openDifference(key); got != want && !ok {
			t.Errorf("%s:\n got %s\nwant %s", key, got, want)
		} else if got == want && ok {
			t.Errorf("%s: there is no difference any more (%s)", key, reason)
		}
	}
}

// openKey is one OPEN.
type openKey struct {
	flags uint32
	there bool
}

func (k openKey) has(flag uint32) bool { return k.flags&flag != 0 }

func (k openKey) String() string {
	name := ""
	for i, letter := range "rwactx" {
		if k.has(1 << i) {
			name += string(letter)
		}
	}
	return fmt.Sprintf("OPEN with %q, file is there: %v", name, k.there)
}

// openDifference says whether there is a reason for another outcome than that of OpenSSH.
func openDifference(k openKey) (reason string, ok bool) {
	refused := k.there && k.has(openCreat) && k.has(openExcl) || !k.there && !k.has(openCreat)
	switch {
	case k.has(openWrite) || refused:
		return "", false
	case k.has(openAppend):
		return "the draft says that APPEND writes", true
	case k.there && k.has(openTrunc):
		return "what is opened for reading is not changed", true
	}
	return "", false
}

// openAll tells what came of each OPEN: its answer, whether a byte could be written, and what the file is then.
func (s wireServer) openAll(t *testing.T) map[openKey]string {
	w := s.cold(t)
	w.raw(packet(fxpInit, uint32(protocolVersion)))
	w.read()
	outcomes := map[openKey]string{}
	for flags := range uint32(64) {
		for _, there := range []bool{true, false} {
			name := fmt.Sprintf("f%02d-%v", flags, there)
			file := filepath.Join(s.dir, name)
			if there {
				mustDo(t, os.WriteFile(file, []byte("content"), 0o644))
			}
			outcome := ""
			if r := w.ask(fxpOpen, name, flags, uint32(0)); r.kind == fxpHandle {
				h := r.body.handle()
				written, closed := w.ask(fxpWrite, h, uint64(0), "x"), w.ask(fxpClose, h)
				outcome = fmt.Sprintf("opened, written %v, closed %s", written.body.uint32() == statusOK, statusNames[closed.body.uint32()])
			} else {
				outcome = statusNames[r.body.uint32()]
			}
			content, err := os.ReadFile(file)
			outcomes[openKey{flags, there}] = fmt.Sprintf("%s: %q, is there: %v", outcome, content, err == nil)
		}
	}
	return outcomes
}
