package tests

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gateway/tests/servers"
)

// TestRealGuides goes the way of docs/from-vsftpd.md and docs/from-proftpd.md, with the commands of these pages:
// look, copy, copy again what has changed, prove, let the partner in, and the way back.
func TestRealGuides(t *testing.T) {
	for _, kind := range []servers.Kind{servers.VSFTPD, servers.ProFTPD} {
		t.Run(string(kind), func(t *testing.T) {
			old := filepath.Join(t.TempDir(), "acme")
			writeFile(t, filepath.Join(old, "in", "orders.csv"), []byte("order 1\n"))
			writeFile(t, filepath.Join(old, "out", "prices.csv"), []byte("price 1\n"))
			server := servers.Start(t, kind, servers.Options{Root: old, User: "acme", TLS: servers.ExplicitTLS, ReuseTLS: true})
			l := newLab(t)
			l.env = []string{"GATEWAY_SOURCE_PASSWORD=" + server.Pass}
			url := "ftpes://acme@" + strings.Replace(server.Addr, "127.0.0.1", "localhost", 1) + "/"
			ca := "--ca-file=" + server.CertFile
			say := func(want string, args ...string) {
				t.Helper()
				out := l.must(args...)
				t.Logf("$ gateway %s\n%s", strings.Join(args, " "), out)
				if !strings.Contains(out, want) {
					t.Errorf("gateway %s does not say %q:\n%s", args[0], want, out)
				}
			}

			say("For gateway.yaml", "probe", ca, url)
			say("2 files", "migrate", "--dry-run", ca, url, "acme")
			if _, err := os.Stat(l.files("acme", "in", "orders.csv")); err == nil {
				t.Error("the dry run fetched")
			}
			say("published               2 files", "migrate", ca, url, "acme")
			writeFile(t, filepath.Join(old, "in", "orders2.csv"), []byte("order 2\n"))
			say("published               1 file", "migrate", ca, url, "acme")
			say("hold the same files", "migrate", "--checksum-only", ca, url, "acme")

			l.sftpKeys = "  banner: moved\n"
			add := l.command("user", "add", "acme", "--folder", "acme")
			add.Stdin = strings.NewReader("correct horse battery\n")
			if r := finish(t, add); r.code != 0 {
				t.Fatal(r.stderr)
			}
			s := l.serve()
			s.user = "acme"
			if r := s.curl("https://" + s.https + "/in/orders2.csv"); r.out != "order 2\n" {
				t.Errorf("the partner reads %q: %s", r.out, r.stderr)
			}
			// The way back: what came since the cut-over is sent to the old server.
			writeFile(t, l.files("acme", "in", "orders3.csv"), []byte("order 3\n"))
			// What was copied from there is there already, and is replaced by itself.
			say("sent                    3 files", "push", "--overwrite", ca, "acme/in", url+"in")
			if got, err := os.ReadFile(filepath.Join(old, "in", "orders3.csv")); string(got) != "order 3\n" {
				t.Errorf("the old server has %q (%v)", got, err)
			}
		})
	}
}
