package tests

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"gateway/tests/servers"
)

// operator talks to the API of a gateway with a token.
type operator struct {
	t      testing.TB
	base   string
	token  string
	client *http.Client
}

// operator makes a token with the command line.
func (s *serving) operator(config string, flags ...string) *operator {
	s.t.Helper()
	args := append([]string{"admin", "token", fmt.Sprintf("test-%d", time.Now().UnixNano()%1e9)}, flags...)
	if config != "" {
		args = append([]string{"--config", config}, args...)
	}
	o := &operator{t: s.t, base: "https://" + s.admin, token: strings.TrimSpace(s.must(args...))}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	s.t.Cleanup(transport.CloseIdleConnections)
	o.client = &http.Client{Transport: transport, Timeout: time.Minute}
	return o
}

// do sends a request and returns status and body.
func (o *operator) do(method, path, body string) (int, string) {
	o.t.Helper()
	r, err := http.NewRequest(method, o.base+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+o.token)
	a, err := o.client.Do(r)
	if err != nil {
		o.t.Fatal(err)
	}
	defer a.Body.Close()
	data, err := io.ReadAll(a.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return a.StatusCode, string(data)
}

func (o *operator) want(status int, method, path, body string) string {
	o.t.Helper()
	got, text := o.do(method, path, body)
	if got != status {
		o.t.Fatalf("%s %s: %d, want %d: %s", method, path, got, status, text)
	}
	return text
}

// get reads JSON of the API.
func get[T any](o *operator, path string) (v T) {
	o.t.Helper()
	if err := json.Unmarshal([]byte(o.want(200, "GET", path, "")), &v); err != nil {
		o.t.Fatal(err)
	}
	return v
}

// metrics reads /metrics as Prometheus does.
func (o *operator) metrics() map[string]*dto.MetricFamily {
	o.t.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(o.want(200, "GET", "/metrics", "")))
	if err != nil {
		o.t.Fatal(err)
	}
	return families
}

// metric is the value of the metric with these labels, "name=value" each; -1 if there is none.
func metric(families map[string]*dto.MetricFamily, name string, labels ...string) float64 {
	slices.Sort(labels)
	for _, m := range families[name].GetMetric() {
		var have []string
		for _, l := range m.GetLabel() {
			have = append(have, l.GetName()+"="+l.GetValue())
		}
		if slices.Sort(have); slices.Equal(have, labels) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return -1
}

// adminJob is what these tests look at of a job.
type adminJob struct {
	ID, State string
	HeldBy    string `json:"held_by"`
	Last      *struct{ Result string }
	Progress  *struct {
		Files, Bytes, Rate int64
		DoneBytes          int64 `json:"done_bytes"`
		Current            []struct{ Path string }
	}
	Files map[string]struct{ Files int64 }
}

// TestAdminMetrics: what real clients do with the built gateway is counted, and a probe needs no login.
func TestAdminMetrics(t *testing.T) {
	s := newLab(t).serve()
	if s.admin == "" || len(s.adminPassword) < 20 {
		t.Fatalf("the operator's page %q, password %q", s.admin, s.adminPassword)
	}
	for path, want := range map[string]string{"/healthz": "200", "/readyz": "200", "/metrics": "401", "/api/v1/sessions": "401", "/": "303", "/debug/pprof/": "404"} {
		if got := s.answer("https://" + s.admin + path); got != want {
			t.Errorf("%s without a login: %s, want %s", path, got, want)
		}
	}
	if got := s.answer("-u", "admin:"+s.adminPassword, "https://"+s.admin+"/api/v1/sessions"); got != "401" {
		t.Errorf("with a password and no session: %s", got)
	}
	o := s.operator("", "--read-only", "--expires", "1d")
	local := filepath.Join(t.TempDir(), "local")
	writeFile(t, local, bytes.Repeat([]byte("x"), 100_000))
	s.batch("put "+local+" a.bin", "get a.bin "+local+".back", "mkdir folder")
	s.curl("-T", local, s.url("b.bin"))
	s.curl("-o", local+".back", s.url("b.bin"))
	s.answer(s.url("none"))
	s.answer("-u", s.user+":wrong", s.url("a.bin"))

	families := o.metrics()
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"gateway_operations_total", []string{"protocol=sftp", "verb=upload", "result=ok"}, 1},
		{"gateway_operations_total", []string{"protocol=sftp", "verb=download", "result=ok"}, 1},
		{"gateway_operations_total", []string{"protocol=sftp", "verb=mkdir", "result=ok"}, 1},
		{"gateway_operations_total", []string{"protocol=webdav", "verb=upload", "result=ok"}, 1},
		{"gateway_operations_total", []string{"protocol=webdav", "verb=download", "result=refused"}, 1},
		{"gateway_transferred_bytes_total", []string{"protocol=sftp", "direction=in"}, 100_000},
		{"gateway_transferred_bytes_total", []string{"protocol=webdav", "direction=out"}, 100_000},
		{"gateway_logins_total", []string{"protocol=sftp", "result=ok"}, 1},
		{"gateway_logins_total", []string{"protocol=webdav", "result=refused"}, 1},
		{"gateway_outbox_length", nil, 0},
		{"gateway_ready", []string{"check=state"}, 1},
		{"gateway_ready", []string{"check=sftp"}, 1},
		{"gateway_ready", []string{"check=https"}, 1},
		{"gateway_ready", []string{"check=storage default"}, 1},
		{"gateway_quarantine_files", nil, 0},
		{"gateway_bans", nil, 0},
	} {
		if got := metric(families, c.name, c.labels...); got != c.want {
			t.Errorf("%s%v is %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	if days := metric(families, "gateway_certificate_days_left", "name=localhost"); days < 300 {
		t.Errorf("the certificate ends in %v days", days)
	}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		for _, m := range families[name].GetMetric() {
			for _, l := range m.GetLabel() {
				if strings.Contains(l.GetValue(), s.user) || strings.Contains(l.GetValue(), "a.bin") || strings.Contains(l.GetValue(), "127.0.0.1") {
					t.Errorf("%s tells %s=%q", name, l.GetName(), l.GetValue())
				}
			}
		}
	}
	if status, _ := o.do("POST", "/api/v1/jobs/x/run", ""); status != 403 {
		t.Errorf("a token to read may act: %d", status)
	}
}

// TestAdminSessions: an operator sees OpenSSH's client and curl, and cuts them off; then the address is banned, and let in again.
func TestAdminSessions(t *testing.T) {
	s := newLab(t).serve()
	o := s.operator("")
	sftp := clientCommand(t, "sftp", "", s.sftpArgs()...)
	sftp.Stdin = nil
	in, err := sftp.StdinPipe()
	mustDo(t, err)
	mustDo(t, sftp.Start())
	_, err = io.WriteString(in, "pwd\n")
	mustDo(t, err)
	body, send := io.Pipe()
	put := clientCommand(t, "curl", "", "-sSk", "-u", s.user+":"+s.password, "-T", "-", s.url("slow.bin"))
	put.Stdin = body
	mustDo(t, put.Start())
	go func() {
		for {
			if _, err := send.Write(make([]byte, 1000)); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	type session struct {
		ID, User, Address, Protocol, Client, Doing string
		Transfers                                  []struct {
			Verb, Name string
			Bytes      int64
		}
	}
	seen := map[string]session{}
	waitFor(t, "two sessions", func() bool {
		for _, v := range get[[]session](o, "/api/v1/sessions") {
			seen[v.Protocol] = v
		}
		return len(seen) == 2 && len(seen["webdav"].Transfers) == 1 && seen["webdav"].Transfers[0].Bytes > 1000
	})
	if v := seen["sftp"]; v.User != s.user || v.Address != "127.0.0.1" || !strings.HasPrefix(v.Client, "SSH-2.0-OpenSSH") {
		t.Errorf("sftp: %+v", v)
	}
	if v := seen["webdav"]; v.User != s.user || v.Doing != "PUT /slow.bin" || v.Transfers[0].Verb != "upload" || v.Transfers[0].Name != "slow.bin" {
		t.Errorf("webdav: %+v", v)
	}
	for _, v := range seen {
		o.want(204, "DELETE", "/api/v1/sessions/"+v.ID, "")
	}
	_, _ = io.WriteString(in, "ls\n") // it finds out at the latest now
	_ = in.Close()
	if sftp.Wait() == nil {
		t.Error("sftp ended as if nothing had been")
	}
	_ = body.CloseWithError(io.ErrClosedPipe)
	if put.Wait() == nil {
		t.Error("curl ended as if nothing had been")
	}
	waitFor(t, "no sessions", func() bool { return len(get[[]session](o, "/api/v1/sessions")) == 0 })
	if _, err := os.Stat(s.files("slow.bin")); err == nil {
		t.Error("half an upload was published")
	}
	o.want(404, "DELETE", "/api/v1/sessions/"+seen["sftp"].ID, "")

	// A ban would hold for the operator's own token too; the session that is open is not asked.
	o.want(400, "POST", "/api/v1/bans", `{"network": "127.0.0.0/8", "seconds": 60}`)
	o.want(204, "POST", "/api/v1/bans", `{"network": "192.0.2.7", "seconds": 60, "reason": "a test"}`)
	if bans := get[[]struct{ Network string }](o, "/api/v1/bans"); len(bans) != 1 || bans[0].Network != "192.0.2.7/32" {
		t.Errorf("bans %+v", bans)
	}
	o.want(204, "DELETE", "/api/v1/bans/"+url.PathEscape("192.0.2.7/32"), "")
	o.want(404, "DELETE", "/api/v1/bans/192.0.2.7", "")

	o.want(204, "POST", "/api/v1/users/"+s.user+"/disable", "")
	if got := s.answer(s.url("")); got != "401" {
		t.Errorf("a disabled user gets %s", got)
	}
	o.want(204, "POST", "/api/v1/users/"+s.user+"/enable", "")
	log := s.must("audit", "show", "--json")
	for _, act := range []string{"session.close", "ban.add", "ban.lift", "user.disable", "user.enable"} {
		if !strings.Contains(log, fmt.Sprintf(`"ref":%q`, act)) {
			t.Errorf("the audit log does not tell of %s", act)
		}
	}
	if got := s.answer(s.url("")); got != "200" {
		t.Errorf("an enabled user gets %s", got)
	}
}

// slowSource is a source at a real server with one file that takes its time, as part of a configuration.
func slowSource(t *testing.T, every string) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	writeFile(t, filepath.Join(root, "big.bin"), bytes.Repeat([]byte("0123456789abcdef"), 4<<20))
	server := servers.Start(t, servers.VSFTPD, servers.Options{Root: root})
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "pass"), []byte(server.Pass))
	return fmt.Sprintf("sources:\n  slow:\n    url: ftp://%s@%s/\n    password_file: %s/pass\n    to: slow\n    bwlimit: 512k\n%s", server.User, server.Addr, dir, every)
}

// TestAdminJobs: an operator runs a migration from a real server, watches it, stops it, and it goes on where it was.
func TestAdminJobs(t *testing.T) {
	l := newLab(t)
	l.storages = slowSource(t, "")
	s := l.serve()
	o := s.operator("")
	job := func() adminJob { return get[adminJob](o, "/api/v1/jobs/source-slow") }
	if j := job(); j.State != "idle" || j.Last != nil {
		t.Fatalf("before: %+v", j)
	}
	o.want(409, "POST", "/api/v1/jobs/source-slow/resume", "")
	o.want(404, "POST", "/api/v1/jobs/source-none/run", "")
	o.want(204, "POST", "/api/v1/jobs/source-slow/run", "")
	o.want(409, "POST", "/api/v1/jobs/source-slow/run", "")
	var before int64
	waitFor(t, "progress", func() bool {
		j := job()
		if j.Progress == nil || len(j.Progress.Current) != 1 || j.Progress.DoneBytes == 0 {
			return false
		}
		if j.Progress.Bytes != 64<<20 || j.Progress.Files != 1 || j.Progress.Current[0].Path != "big.bin" || j.State != "running" {
			t.Fatalf("progress %+v", j)
		}
		grown := before > 0 && j.Progress.DoneBytes > before
		before = j.Progress.DoneBytes
		return grown && j.Progress.Rate > 0
	})
	o.want(204, "POST", "/api/v1/jobs/source-slow/stop", "")
	waitFor(t, "the end", func() bool { return job().State == "held" })
	if j := job(); j.Last == nil || j.Last.Result != "interrupted" || !strings.HasPrefix(j.HeldBy, "token test-") {
		t.Errorf("stopped: %+v", j)
	}
	if n := metric(o.metrics(), "gateway_jobs", "state=held"); n != 0 && n != 1 { // kept for half a minute
		t.Errorf("%v jobs are held", n)
	}
	o.want(204, "POST", "/api/v1/jobs/source-slow/resume", "")
	if j := job(); j.State != "idle" || j.HeldBy != "" {
		t.Errorf("resumed: %+v", j)
	}
}

// TestAdminNodes: a job that runs on one node is stopped on another, and its hold is known to both.
func TestAdminNodes(t *testing.T) {
	two := nodes(t, 2, servers.StartPostgres(t), slowSource(t, "    every: 1h\n"))
	var o []*operator
	for _, n := range two {
		n.start(n.config)
		o = append(o, n.operator(n.config))
	}
	job := func(o *operator) adminJob { return get[adminJob](o, "/api/v1/jobs/source-slow") }
	var runs, other *operator
	waitFor(t, "a run", func() bool { // it never ran, and is due at once
		for i, each := range o {
			if j := job(each); j.State == "running" && j.Progress != nil && j.Progress.DoneBytes > 0 {
				runs, other = each, o[1-i]
			}
		}
		return runs != nil
	})
	if j := job(other); j.State != "elsewhere" || j.Progress != nil {
		t.Errorf("on the other node: %+v", j)
	}
	if status, body := other.do("POST", "/api/v1/jobs/source-slow/run", ""); status != 409 || !strings.Contains(body, "another node") {
		t.Errorf("it runs twice: %d %s", status, body)
	}
	other.want(204, "POST", "/api/v1/jobs/source-slow/stop", "")
	waitFor(t, "the end", func() bool { return job(runs).State == "held" && job(other).State == "held" })
	if j := job(runs); j.Last == nil || j.Last.Result != "interrupted" || j.Progress != nil {
		t.Errorf("stopped: %+v", j)
	}
	other.want(204, "POST", "/api/v1/jobs/source-slow/run", "")
	waitFor(t, "a run on the node that was asked", func() bool { return job(other).State == "running" })
	if j := job(runs); j.State != "elsewhere" || j.HeldBy != "" {
		t.Errorf("on the first node: %+v", j)
	}
}
