package page

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gateway/auth"
	"gateway/state/sqlite"
	"gateway/storage"
	"gateway/storage/disk"
	"gateway/webdav"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// site is the page beside WebDAV on a real listener, over a real disk, state and users.
type site struct {
	t      *testing.T
	dir    string
	users  *auth.Users
	logins *auth.Logins
	disk   *disk.Disk
	state  *sqlite.Store
	page   *Handler
	url    string
	stop   func()
	log    *syncBuffer

	mu  sync.Mutex
	off time.Duration // how far the page's clock is ahead
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newSite has the users anna, who may do everything, and bert, who has a drop box and a folder to read.
func newSite(t *testing.T, change ...func(*Config)) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), log: &syncBuffer{}}
	must(t, os.MkdirAll(filepath.Join(s.dir, "files"), 0o755))
	must(t, os.MkdirAll(filepath.Join(s.dir, "keys"), 0o700))
	var err error
	s.users, err = auth.OpenUsers(filepath.Join(s.dir, "users"))
	must(t, err)
	all := auth.Permissions(storage.PermReadWrite)
	s.user("anna", auth.Mount{Path: "/", Permissions: all})
	s.user("bert", auth.Mount{Path: "/box", Folder: "box", Permissions: auth.Permissions(storage.PermDropBox)},
		auth.Mount{Path: "/read", Folder: "read", Permissions: auth.Permissions(storage.PermReadOnly)})
	s.logins, err = auth.NewLogins(s.users, auth.NewGuard(auth.GuardLimits{Failures: 5, Window: time.Minute, Ban: time.Minute}), slog.New(slog.DiscardHandler))
	must(t, err)
	s.disk, err = disk.Open(filepath.Join(s.dir, "files"), disk.Options{})
	must(t, err)
	t.Cleanup(func() { _ = s.disk.Close() })
	s.state, err = sqlite.Open(t.Context(), filepath.Join(s.dir, "state.db"))
	must(t, err)
	t.Cleanup(func() { _ = s.state.Close() })
	s.start(change...)
	return s
}

// passwordOf is the password of a user.
func passwordOf(user string) string { return "this is " + user }

var hashes sync.Map // of passwords: they cost more than a test

// user writes a user.
func (s *site) user(name string, mounts ...auth.Mount) {
	s.t.Helper()
	hash, ok := hashes.Load(name)
	if !ok {
		fresh, err := auth.HashPassword(passwordOf(name))
		must(s.t, err)
		hash = fresh
		hashes.Store(name, hash)
	}
	must(s.t, s.users.Put(s.t.Context(), auth.User{Name: name, PasswordHash: hash.(string), Mounts: mounts}))
}

// view is the tree of a user.
func (s *site) view(ctx context.Context, id auth.Identity) (storage.FS, error) {
	var mounts []storage.Mount
	for _, m := range id.User.Mounts {
		if err := storage.MkdirAll(ctx, s.disk, m.Folder); err != nil {
			return nil, err
		}
		mounts = append(mounts, storage.Mount{Path: m.Path, FS: s.disk, Root: m.Folder, Key: "default", Permissions: storage.Permission(m.Permissions)})
	}
	return storage.NewView(mounts, storage.ViewOptions{User: id.User.Name, Guard: shareGuard{s}})
}

// shareGuard ends shares as the gateway's own guard does.
type shareGuard struct{ s *site }

func (shareGuard) Allow(context.Context, string, ...storage.Change) (func(), error) {
	return func() {}, nil
}
func (shareGuard) Bound(context.Context, string) (bool, error) { return false, nil }
func (g shareGuard) Moved(ctx context.Context, from, _ string) { g.Removed(ctx, from) }
func (g shareGuard) Removed(ctx context.Context, tree string) {
	if err := g.s.state.RemoveSharesBelow(ctx, tree); err != nil {
		g.s.t.Error(err)
	}
}

// start serves, as a gateway does that was started anew over the same files and state.
func (s *site) start(change ...func(*Config)) {
	s.t.Helper()
	cfg := Config{
		Auth: s.logins, Open: s.view, State: s.state, Key: bytes.Repeat([]byte{7}, KeySize),
		Logger: slog.New(slog.NewTextHandler(s.log, nil)),
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	s.page, err = New(cfg)
	must(s.t, err)
	s.page.now = func() time.Time {
		s.mu.Lock()
		defer s.mu.Unlock()
		return time.Now().Add(s.off)
	}
	dav, err := webdav.New(webdav.Config{Auth: s.logins, Open: s.view, Page: s.page})
	must(s.t, err)
	cert, _, err := webdav.SelfSigned(filepath.Join(s.dir, "keys"), []string{"localhost", "127.0.0.1"})
	must(s.t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(s.t, err)
	s.url = "https://" + ln.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- dav.Serve(ctx, ln, &tls.Config{Certificates: []tls.Certificate{cert}}) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})
	s.t.Cleanup(s.stop)
}

// later moves the page's clock.
func (s *site) later(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.off += d
}

// put writes a file behind the gateway's back.
func (s *site) put(name, content string) {
	s.t.Helper()
	file := filepath.Join(s.dir, "files", filepath.FromSlash(name))
	must(s.t, os.MkdirAll(filepath.Dir(file), 0o755))
	must(s.t, os.WriteFile(file, []byte(content), 0o644))
}

func (s *site) content(name string) string {
	s.t.Helper()
	data, err := os.ReadFile(filepath.Join(s.dir, "files", filepath.FromSlash(name)))
	if err != nil {
		return "(" + err.Error()[strings.LastIndex(err.Error(), ":")+2:] + ")"
	}
	return string(data)
}

// browser has cookies, and sends what browsers send.
type browser struct {
	*site
	client *http.Client
}

func (s *site) browser() *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	must(s.t, err)
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &browser{s, &http.Client{Jar: jar, Transport: transport, Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// in is a browser in which a user has logged in.
func (s *site) in(user string) *browser {
	s.t.Helper()
	b, w := s.browser(), httptest.NewRecorder()
	r, err := http.NewRequest(http.MethodGet, s.url, nil)
	must(s.t, err)
	must(s.t, s.page.StartSession(w, r, user, "test")) // a password costs more than most tests
	b.client.Jar.SetCookies(r.URL, w.Result().Cookies())
	return b
}

type answer struct {
	t      *testing.T
	what   string
	status int
	header http.Header
	body   string
}

func (a answer) want(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("%s: status %d, want %d\n%.2000s", a.what, a.status, status, a.body)
	}
	return a
}

// has fails where the body lacks a text.
func (a answer) has(texts ...string) answer {
	a.t.Helper()
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			a.t.Errorf("%s: it does not have %q:\n%.3000s", a.what, text, a.body)
		}
	}
	return a
}

func (a answer) hasNot(texts ...string) answer {
	a.t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			a.t.Errorf("%s: it has %q:\n%.3000s", a.what, text, a.body)
		}
	}
	return a
}

func (b *browser) try(method, path string, body io.Reader, header ...string) (answer, error) {
	r, err := http.NewRequest(method, b.url+path, body)
	if err != nil {
		return answer{}, err
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for i := 0; i+1 < len(header); i += 2 {
		if header[i+1] == "" {
			r.Header.Del(header[i])
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	res, err := b.client.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return answer{b.t, method + " " + path, res.StatusCode, res.Header, string(data)}, err
}

func (b *browser) send(method, path string, body io.Reader, header ...string) answer {
	b.t.Helper()
	a, err := b.try(method, path, body, header...)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

func (b *browser) get(path string, header ...string) answer {
	b.t.Helper()
	return b.send("GET", path, nil, header...)
}

// post sends a form as a browser does.
func (b *browser) post(path string, fields ...string) answer {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.send("POST", path, strings.NewReader(form.Encode()), "Content-Type", "application/x-www-form-urlencoded")
}

var tokenField = regexp.MustCompile(`name="token" value="([^"]+)"`)

// token is one from a page of the session.
func (b *browser) token() string {
	b.t.Helper()
	a := b.get("/").want(http.StatusOK)
	m := tokenField.FindStringSubmatch(a.body)
	if m == nil {
		b.t.Fatalf("no token on the page:\n%s", a.body)
	}
	return m[1]
}

// do posts a form with the token.
func (b *browser) do(path string, fields ...string) answer {
	b.t.Helper()
	return b.post(path, append(fields, "token", b.token())...)
}

// dav sends a request as a WebDAV client does.
func (s *site) dav(method, path, user string, body io.Reader, header ...string) answer {
	s.t.Helper()
	b := s.browser()
	h := append([]string{"Accept", "*/*", "Sec-Fetch-Site", ""}, header...)
	if user != "" {
		r := &http.Request{Header: http.Header{}}
		r.SetBasicAuth(user, passwordOf(user))
		h = append(h, "Authorization", r.Header.Get("Authorization"))
	}
	return b.send(method, path, body, h...)
}
