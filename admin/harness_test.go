package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gateway/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const password = "correct horse battery"

// passwordHash is made once: it takes a while.
var passwordHash = sync.OnceValues(func() (string, error) { return auth.HashPassword(password) })

// hostile is a name as an attacker would choose it.
const hostile = "<script>alert(1)</script>\u202egnp.exe\x1b[2J"

// parts is a gateway that remembers what it was told to do.
type parts struct {
	mu   sync.Mutex
	done []string
	fail error
}

func (p *parts) did(format string, args ...any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fail != nil {
		return p.fail
	}
	p.done = append(p.done, fmt.Sprintf(format, args...))
	return nil
}

func (p *parts) take() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := strings.Join(p.done, "; ")
	p.done = nil
	return s
}

var at = time.Date(2026, 2, 28, 23, 59, 59, 0, time.UTC)

func (p *parts) Sessions() []Session {
	return []Session{{ID: "ssh-1", User: hostile, Address: "192.0.2.7", Protocol: "sftp", Client: hostile, Since: at, Active: at, Doing: hostile}}
}
func (p *parts) CloseSession(_ context.Context, id string) error { return p.did("close %s", id) }

func (p *parts) Jobs(context.Context) ([]Job, error) {
	next := at
	run := Run{Started: at, Finished: at.Add(time.Hour), Result: "incomplete", Error: hostile, Published: 3, Quarantined: 1}
	return []Job{
		{ID: "source-old", Name: "old", Kind: "migration", Source: "ftp://h/" + hostile, Destination: "default:old", State: JobRunning, Schedule: "every 1h", Configured: true, Last: &run,
			Progress: &Progress{Started: at, Files: 10, Bytes: 1000, DoneFiles: 3, DoneBytes: 300, Rate: 5, Left: 140, Held: 1, Failed: 1, Rates: []int64{1, 5}, Current: []FileProgress{{Path: hostile, Size: 100, Offset: 7}}}},
		{ID: "push-out", Name: "out", Kind: "push", State: JobHeld, HeldBy: hostile, Schedule: "cron 1 2 * * *", Configured: true},
		{ID: "source-wait", Name: "wait", Kind: "migration", State: JobWaiting, Schedule: "every 1h", Configured: true, Next: &next},
		{ID: "job-7", Kind: "mount", State: JobIdle},
	}, nil
}

func (p *parts) Job(ctx context.Context, id string) (Job, error) {
	all, _ := p.Jobs(ctx)
	for _, j := range all {
		if j.ID == id {
			if j.Last != nil {
				j.Runs = []Run{*j.Last}
			}
			j.Files = map[string]Count{"published": {Files: 3, Bytes: 300}}
			return j, nil
		}
	}
	return Job{}, fmt.Errorf("%w: no job %q", ErrNotFound, id)
}
func (p *parts) RunJob(_ context.Context, id, by string) error { return p.did("run %s by %s", id, by) }
func (p *parts) StopJob(_ context.Context, id, by string) error {
	return p.did("stop %s by %s", id, by)
}
func (p *parts) ResumeJob(_ context.Context, id, by string) error {
	return p.did("resume %s by %s", id, by)
}

func (p *parts) LedgerFiles(context.Context) (map[string]int64, error) {
	return map[string]int64{"published": 3, "quarantined": 1}, nil
}

func (p *parts) Held(context.Context) ([]Held, error) {
	return []Held{
		{ID: "abc123", Storage: "default", Path: hostile, Source: "ftp://h/", Size: 5, SHA256: strings.Repeat("ab", 32), Verdict: "unverified", Reason: hostile, Since: at, Releases: true},
		{ID: "bad", Storage: "default", Path: "bad.bin", Verdict: "bad", Reason: "digest", Since: at},
	}, nil
}

func (p *parts) HeldFile(ctx context.Context, storage, id string) (Held, error) {
	all, _ := p.Held(ctx)
	for _, h := range all {
		if h.ID == id && h.Storage == storage {
			h.Evidence = hostile
			return h, nil
		}
	}
	return Held{}, fmt.Errorf("%w: %q is not in quarantine", ErrNotFound, id)
}

func (p *parts) Release(_ context.Context, storage, id, by, reason string) error {
	return p.did("release %s %s by %s: %s", storage, id, by, reason)
}

func (p *parts) Reject(_ context.Context, storage, id, by, reason string) error {
	return p.did("reject %s %s by %s: %s", storage, id, by, reason)
}
func (p *parts) Banned(context.Context) ([]Ban, error) { return []Ban{{"2001:db8::/64", 90}}, nil }
func (p *parts) Ban(_ context.Context, network string, d time.Duration) error {
	return p.did("ban %s %s", network, d)
}
func (p *parts) LiftBan(_ context.Context, network string) error { return p.did("lift %s", network) }
func (p *parts) StorageUse(context.Context) ([]Storage, error) {
	return []Storage{{Name: "default", Kind: "folder", Place: "/files", Total: 100, Available: 40}, {Name: "s3", Kind: "bucket", Total: -1, Available: -1, Error: hostile}}, nil
}

func (p *parts) Users(context.Context) ([]User, error) {
	return []User{{Name: "anna", Login: "password", Mounts: []string{"/"}, Quota: 100, Used: 30}, {Name: "bob", Disabled: true, Mounts: []string{}, Used: -1}}, errors.New("broken.yaml:1: " + hostile)
}

func (p *parts) DisableUser(_ context.Context, name string, disabled bool) error {
	return p.did("disable %s %v", name, disabled)
}

func (p *parts) Certificates() []Certificate {
	return []Certificate{{Names: []string{"files.example.org"}, Issuer: "CN=x", NotAfter: at, DaysLeft: 3, SHA256: strings.Repeat("0f", 32)}}
}
func (p *parts) HostKeys() []string { return []string{"ssh-ed25519 SHA256:abc"} }

// lab is a server over TLS with an administrator "anna".
type lab struct {
	t      *testing.T
	url    string
	parts  *parts
	srv    *Server
	users  *auth.Users
	tokens *Tokens
	acts   []Act
	client *http.Client // keeps cookies, follows nothing
}

func newLab(t *testing.T, change func(*Config)) *lab {
	t.Helper()
	l := &lab{t: t, parts: &parts{}}
	dir := t.TempDir()
	var err error
	if l.users, err = auth.OpenUsers(dir); err != nil {
		t.Fatal(err)
	}
	hash, err := passwordHash()
	if err == nil {
		err = l.users.Put(t.Context(), auth.User{Name: "anna", PasswordHash: hash})
	}
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	guard := auth.NewGuard(auth.GuardLimits{Failures: 3, Window: time.Hour, Ban: time.Hour})
	logins, err := auth.NewLogins(l.users, guard, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if l.tokens, err = OpenTokens(dir + "/tokens"); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	c := Config{
		Auth: logins, Tokens: l.tokens, Logger: quiet, Recent: NewRecent(slog.DiscardHandler),
		Parts: Parts{Sessions: l.parts, Jobs: l.parts, Quarantine: l.parts, Bans: l.parts, Storages: l.parts, Users: l.parts, Certificates: l.parts,
			Ready:  []Check{{Name: "state", Test: func(context.Context) error { return nil }}},
			Outbox: func(context.Context) (int64, int64, error) { return 4, 1, nil }},
		Audit: func(_ context.Context, a Act) {
			mu.Lock()
			defer mu.Unlock()
			l.acts = append(l.acts, a)
		},
	}
	slog.New(c.Recent).Error(hostile, "name", hostile)
	if change != nil {
		change(&c)
	}
	if l.srv, err = New(c); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(l.srv)
	t.Cleanup(server.Close)
	l.url = server.URL
	l.client = server.Client()
	l.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	l.client.Jar, _ = cookiejar.New(nil)
	return l
}

// answer is a response that was read.
type answer struct {
	*http.Response
	body string
}

func (l *lab) do(method, path, body string, header ...string) answer {
	l.t.Helper()
	r, err := http.NewRequestWithContext(l.t.Context(), method, l.url+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	a, err := l.client.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer a.Body.Close()
	text, err := io.ReadAll(a.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return answer{a, string(text)}
}

func (l *lab) form(path string, values url.Values, header ...string) answer {
	l.t.Helper()
	return l.do("POST", path, values.Encode(), append(header, "Content-Type", "application/x-www-form-urlencoded")...)
}

func (l *lab) logIn() {
	l.t.Helper()
	l.want(l.form("/login", url.Values{"name": {"anna"}, "password": {password}}), http.StatusSeeOther)
}

func (l *lab) want(a answer, status int) answer {
	l.t.Helper()
	if a.StatusCode != status {
		l.t.Fatalf("%s %s: %s, want %d\n%s", a.Request.Method, a.Request.URL.Path, a.Status, status, a.body)
	}
	return a
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

func (l *lab) csrf() string {
	l.t.Helper()
	m := csrfField.FindStringSubmatch(l.want(l.do("GET", "/bans", ""), http.StatusOK).body)
	if m == nil {
		l.t.Fatal("no csrf token on the page")
	}
	return m[1]
}

func (l *lab) token(t Token, lifetime time.Duration) (header []string) {
	l.t.Helper()
	secret, err := l.tokens.Create(l.t.Context(), t, lifetime)
	if err != nil {
		l.t.Fatal(err)
	}
	return []string{"Authorization", "Bearer " + secret}
}

func (l *lab) lastAct() Act {
	l.t.Helper()
	if len(l.acts) == 0 {
		l.t.Fatal("no act was told")
	}
	return l.acts[len(l.acts)-1]
}
