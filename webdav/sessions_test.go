package webdav

import (
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"
)

// TestSessions: who is connected is told, and can be cut off; an upload under way publishes nothing.
func TestSessions(t *testing.T) {
	for name, config := range map[string]*tls.Config{"plain": nil, "HTTP/2": tlsConfig(t)} {
		t.Run(name, func(t *testing.T) {
			s := startWith(t, settings{tls: config})
			s.run(step{method: "OPTIONS", path: "/", want: 200})
			if list := s.handler.Sessions(); len(list) != 0 {
				t.Fatalf("nobody has logged in: %+v", list)
			}
			body, send := io.Pipe()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.url+"/half.bin", body)
			if err != nil {
				t.Fatal(err)
			}
			r.SetBasicAuth("alice", "alice")
			r.Header.Set("User-Agent", "test")
			failed := make(chan bool, 1)
			go func() {
				a, err := s.client.Do(r)
				if err == nil {
					a.Body.Close()
				}
				failed <- err != nil
			}()
			if _, err := send.Write(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			var session Session
			for end := time.Now().Add(time.Minute); session.Requests == 0; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("no session is told")
				}
				for _, v := range s.handler.Sessions() {
					session = v
				}
			}
			if session.User != "alice" || session.Protocol != "webdav" || session.Client != "test" || session.Doing != "PUT /half.bin" || session.Address.String() != "127.0.0.1" {
				t.Errorf("session %+v", session)
			}
			if _, ok := s.handler.CloseSession("https-0"); ok {
				t.Error("a session that is not there was closed")
			}
			if closed, ok := s.handler.CloseSession(session.ID); !ok || closed.User != "alice" {
				t.Fatal("it cannot be closed")
			}
			go func() { // it goes on, and finds out
				for {
					if _, err := send.Write(make([]byte, 1000)); err != nil {
						return
					}
					time.Sleep(5 * time.Millisecond)
				}
			}()
			if !<-failed {
				t.Error("the upload was answered")
			}
			_ = body.Close()
			for end := time.Now().Add(time.Minute); len(s.handler.Sessions()) > 0; time.Sleep(5 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("it is still told")
				}
			}
			s.wantFiles(map[string]string{})
		})
	}
}
