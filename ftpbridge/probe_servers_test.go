package ftpbridge

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"gateway/tests/servers"
)

// TestRealProbe asks every server what it is, and knows what the answers must be.
func TestRealProbe(t *testing.T) {
	type facts struct {
		software, command string
		hash, setTimes    bool
		tls               servers.TLS
	}
	for kind, want := range map[servers.Kind]facts{
		servers.VSFTPD:    {"vsftpd", "LIST -a", false, true, servers.ExplicitTLS},
		servers.ProFTPD:   {"ProFTPD", "MLSD", true, true, servers.ExplicitTLS},
		servers.PureFTPD:  {"Pure-FTPd", "MLSD", false, true, servers.ExplicitTLS},
		servers.Pyftpdlib: {"pyftpdlib", "MLSD", false, true, servers.ExplicitTLS},
		servers.InetUtils: {"GNU inetutils", "LIST -a", false, false, servers.NoTLS},
		servers.LinuxFTPD: {"linux-ftpd", "LIST -a", false, false, servers.NoTLS},
	} {
		t.Run(string(kind), func(t *testing.T) {
			root := t.TempDir()
			servers.MakeTree(t, root, servers.TreeOptions{BigSize: -1})
			srv := servers.Start(t, kind, servers.Options{Root: root, TLS: want.tls})
			scheme := "ftp"
			if want.tls != servers.NoTLS {
				scheme = "ftpes"
			}
			p, err := ProbeServer(testContext(t), liveSource(t, srv, scheme), ProbeOptions{Connections: 3})
			if err != nil {
				t.Fatal(err)
			}
			if p.Software != want.software || p.Dialect != "unix" || p.Listing.Command != want.command {
				t.Errorf("software %q, dialect %q, command %q", p.Software, p.Dialect, p.Listing.Command)
			}
			if !p.Size.OK || !p.Resume.OK || p.Hash.OK != want.hash || p.SetTimes.OK != want.setTimes {
				t.Errorf("size %+v\nresume %+v\nhash %+v\nset times %+v", p.Size, p.Resume, p.Hash, p.SetTimes)
			}
			if p.TLS.Offered != (want.tls != servers.NoTLS) || p.TLS.Offered && (len(p.TLS.Fingerprint) != 64 || p.TLS.Trusted) {
				t.Errorf("TLS %+v", p.TLS)
			}
			if p.Connections.Taken != 3 || p.Listing.Skipped != 0 || p.Charset.NonASCII == 0 || len(p.Charset.Examples) == 0 {
				t.Errorf("sessions %+v\nlisting %+v\ncharset %+v", p.Connections, p.Listing, p.Charset)
			}
			var text bytes.Buffer
			if err := p.WriteText(&text); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(text.String()) {
				if n := utf8.RuneCountInString(line); n > probeColumns+1 && len(strings.Fields(line)) > 3 {
					t.Errorf("%d columns: %s", n, line)
				}
			}
			if strings.Contains(text.String(), srv.Pass) {
				t.Error("the password is shown")
			}
			t.Logf("\n%s", text.String())
		})
	}
}
