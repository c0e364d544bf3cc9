package sftpsrv

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestSessions: who is connected is told, and can be cut off; an upload under way publishes nothing.
func TestSessions(t *testing.T) {
	f := serve(t)
	if list := f.server.Sessions(); len(list) != 0 {
		t.Fatalf("nobody is there: %+v", list)
	}
	if f.server.CloseSession("ssh-1") {
		t.Error("a session that is not there was closed")
	}
	before := time.Now()
	c := f.client()
	file, err := c.OpenFile("half.bin", os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(pattern(1000)); err != nil {
		t.Fatal(err)
	}
	list := f.server.Sessions()
	if len(list) != 1 {
		t.Fatalf("one is there: %+v", list)
	}
	s := list[0]
	if s.User != testUser || s.Address.String() != "127.0.0.1" || !strings.HasPrefix(s.Client, "SSH-2.0-Go") || s.Files != 1 || s.Since.Before(before) || s.Active.Before(s.Since) {
		t.Errorf("session %+v", s)
	}
	if !f.server.CloseSession(s.ID) {
		t.Fatal("it cannot be closed")
	}
	f.eventually("the end of the connection", func() bool { return f.connections() == 0 && len(f.server.Sessions()) == 0 })
	if _, err := file.Write(pattern(1)); err == nil {
		t.Error("the client can still write")
	}
	f.expect("half.bin", nil)
	if f.server.CloseSession(s.ID) {
		t.Error("it can be closed twice")
	}
}
