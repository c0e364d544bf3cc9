package servers

import (
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestWeb(t *testing.T) {
	for _, kind := range []WebKind{Nginx, Apache} {
		t.Run(string(kind), func(t *testing.T) {
			root := t.TempDir()
			if err := os.WriteFile(filepath.Join(root, "a"), []byte("hello"), 0o644); err != nil {
				t.Fatal(err)
			}
			w := StartWeb(t, kind, root)
			client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
			defer client.CloseIdleConnections()
			do := func(method, name, body string, want int) string {
				req, err := http.NewRequestWithContext(t.Context(), method, "https://"+w.Addr+"/"+name, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Depth", "1")
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				data, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != want {
					t.Errorf("%s %s: %s, %v: %s", method, name, resp.Status, err, data)
				}
				return string(data)
			}
			if got := do("GET", "a", "", 200); got != "hello" {
				t.Errorf("read %q", got)
			}
			do("PUT", "b", "new", 201)
			if got := do("PROPFIND", "", "", 207); !strings.Contains(got, "/b") {
				t.Errorf("PROPFIND: %s", got)
			}
			var used time.Duration // counted in hundredths of a second
			for tries := 0; used == 0 && tries < 50; tries++ {
				meter := StartMeter(w.PID())
				for range 200 {
					do("GET", "a", "", 200)
				}
				used = meter.Stop()
			}
			if used <= 0 {
				t.Errorf("%v of CPU time", used)
			}
		})
	}
}
