package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// greeter says the same to everybody.
func greeter(t *testing.T, words string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte(words)) // who went away hears nothing
			_ = c.Close()
		}
	}()
	return l.Addr().String()
}

func TestHealth(t *testing.T) {
	answer := func(status int) string {
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodOptions || r.Header.Get("Authorization") != "" {
				status = http.StatusBadRequest
			}
			w.WriteHeader(status)
		}))
		t.Cleanup(s.Close)
		return s.Listener.Addr().String()
	}
	gone := greeter(t, "")
	ssh, https := greeter(t, "SSH-2.0-x\r\n"), answer(http.StatusOK)
	everywhere := strings.TrimPrefix(ssh, "127.0.0.1")
	for _, tt := range []struct {
		name, sftp, https string
		want              string // of the error; "" for none
	}{
		{"both", "listen: " + ssh, "listen: " + https, ""},
		{"every address", "listen: '" + everywhere + "'", "listen: " + https, ""},
		{"one is off", "off: true", "listen: " + https, ""},
		{"the other is off", "listen: " + ssh, "off: true", ""},
		{"no greeting", "listen: " + gone, "listen: " + https, "sftp does not answer on " + gone},
		{"another server", "listen: " + greeter(t, "220 ready\r\n"), "listen: " + https, "something else answers"},
		{"no TLS", "listen: " + ssh, "listen: " + gone, "https does not answer on " + gone},
		{"an error", "listen: " + ssh, "listen: " + answer(http.StatusInternalServerError), "it answers 500"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, out, _ := newEnv(t)
			e.cli.Config = filepath.Join(t.TempDir(), "gateway.yaml")
			if err := os.WriteFile(e.cli.Config, []byte("sftp:\n  "+tt.sftp+"\nhttps:\n  "+tt.https+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			err := healthCmd{}.Run(e)
			switch {
			case tt.want == "" && (err != nil || out.String() != "healthy\n"):
				t.Errorf("%v, %q", err, out)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}
