package ftpbridge

import (
	"crypto/ed25519"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// sftpScript is an SFTP server for one folder of files that says what a test wants.
type sftpScript struct {
	mu    sync.Mutex // held while a request is answered
	files map[string]string
	names []string // that the folder lists; nil: those of files
	size  int64    // of every file, by STAT and FSTAT; 0: the true one
	short int      // the most bytes in answer to a READ; 0: as many as were asked for
	// reply answers a request in place of the ordinary way, unless it gives nil.
	reply   func(kind byte, id uint32, body fields) []byte
	auth    func(*ssh.ServerConfig) // changes how one logs in
	listed  bool                    // the READDIR before gave all names
	addr    string
	hostKey ssh.Signer
}

func (s *sftpScript) start(t *testing.T) *sftpScript {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.hostKey, err = ssh.NewSignerFromKey(private); err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PasswordCallback: func(c ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
		if string(password) != "pw" {
			return nil, io.EOF
		}
		return nil, nil
	}}
	if s.auth != nil {
		s.auth(config)
	}
	config.AddHostKey(s.hostKey)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() { s.serve(c, config) })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return s
}

func (s *sftpScript) serve(c net.Conn, config *ssh.ServerConfig) {
	defer c.Close()
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	for nc := range channels {
		ch, reqs, err := nc.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range reqs {
				_ = r.Reply(true, nil)
			}
		}()
		s.talk(ch)
		ch.Close()
	}
}

func (s *sftpScript) talk(ch ssh.Channel) {
	for {
		var head [9]byte
		if _, err := io.ReadFull(ch, head[:5]); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[:])-1)
		if _, err := io.ReadFull(ch, body); err != nil {
			return
		}
		f := fields{b: body}
		id := f.uint32()
		s.mu.Lock()
		var out []byte
		if s.reply != nil {
			out = s.reply(head[4], id, f)
		}
		if out == nil {
			out = s.ordinary(head[4], id, &f)
		}
		s.mu.Unlock()
		if string(out) == hangUp {
			return
		}
		if _, err := ch.Write(out); err != nil {
			return
		}
	}
}

// hangUp in place of a reply ends the connection.
const hangUp = "hang up"

func status(id, code uint32, text string) []byte {
	return newRequest(sftpStatus, id).uint32(code).string(text).string("en").wire()
}

func (s *sftpScript) attrs(id uint32, name string) []byte {
	content, ok := s.files[strings.TrimPrefix(name, "/")]
	mode := uint32(0o100644)
	switch {
	case name == "/":
		mode = 0o040755
	case !ok:
		return status(id, statusNoFile, "")
	}
	size := uint64(len(content))
	if s.size != 0 {
		size = uint64(s.size)
	}
	return newRequest(sftpAttrs, id).uint32(0xd).uint64(size).uint32(mode).uint32(0).uint32(1577934245).wire()
}

// ordinary is a server that is as it should be. A handle is the name of its file;
// that of a folder is used up by its only listing.
func (s *sftpScript) ordinary(kind byte, id uint32, f *fields) []byte {
	switch kind {
	case sftpInit:
		return []byte{0, 0, 0, 5, sftpVersion, 0, 0, 0, 3}
	case sftpRealpath:
		return newRequest(sftpName, id).uint32(1).string("/").string("").uint32(0).wire()
	case sftpOpendir:
		return newRequest(sftpHandle, id).string("dir").wire()
	case sftpOpen:
		return newRequest(sftpHandle, id).string(f.string()).wire()
	case sftpStat, sftpFstat:
		return s.attrs(id, f.string())
	case sftpRead:
		content := s.files[strings.TrimPrefix(f.string(), "/")]
		off, n := f.uint64(), int(f.uint32())
		if off >= uint64(len(content)) {
			return status(id, statusEOF, "")
		}
		if s.short > 0 {
			n = min(n, s.short)
		}
		return newRequest(sftpData, id).string(content[off:min(int(off)+n, len(content))]).wire()
	case sftpReaddir:
		return s.list(id)
	case sftpClose:
		return status(id, statusOK, "")
	}
	return status(id, statusUnsupported, "")
}

// list answers every second READDIR with all names, the others with the end.
func (s *sftpScript) list(id uint32) []byte {
	s.listed = !s.listed
	if !s.listed {
		return status(id, statusEOF, "")
	}
	names := s.names
	if names == nil {
		for name := range s.files {
			names = append(names, name)
		}
		slices.Sort(names)
	}
	r := newRequest(sftpName, id).uint32(uint32(len(names)))
	for _, name := range names {
		r = r.string(name).string("-rw-r--r--").uint32(0xd).uint64(uint64(len(s.files[name]))).uint32(0o100644).uint32(0).uint32(1577934245)
	}
	return r.wire()
}

func (s *sftpScript) source() Source {
	return Source{
		URL:         &url.URL{Scheme: "sftp", Host: s.addr, User: url.UserPassword("u", "pw"), Path: "/"},
		Fingerprint: ssh.FingerprintSHA256(s.hostKey.PublicKey()), Timeout: 5 * time.Second,
	}
}
