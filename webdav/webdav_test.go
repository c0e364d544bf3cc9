package webdav

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/ssh"

	"gateway/auth"
	"gateway/storage"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeAuth knows testUsers, whose passwords are their names, and counts how often
// it is asked.
type fakeAuth struct {
	checks  atomic.Int64
	banned  atomic.Bool
	refusal error
}

func (a *fakeAuth) Password(_ context.Context, _ netip.Addr, user, password string) (auth.Identity, error) {
	a.checks.Add(1)
	if a.refusal != nil {
		return auth.Identity{}, a.refusal
	}
	u, ok := findUser(user)
	if !ok || user != password {
		return auth.Identity{}, auth.ErrCredentials
	}
	return auth.Identity{User: u, By: "password"}, nil
}

func (a *fakeAuth) PublicKey(context.Context, netip.Addr, string, ssh.PublicKey) (auth.Identity, error) {
	return auth.Identity{}, auth.ErrCredentials
}

func (a *fakeAuth) Allowed(netip.Addr) error {
	if a.banned.Load() {
		return auth.ErrBanned
	}
	return nil
}

func (a *fakeAuth) Failed(netip.Addr) {}

// server is a Handler on a real listener.
type server struct {
	t       *testing.T
	handler *Handler
	auth    *fakeAuth
	tree    storage.FS // as alice sees it
	dir     string     // the shared folder on disk
	addr    string
	url     string
	client  *http.Client
	log     *syncBuffer
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

// settings change a server under test.
type settings struct {
	config func(*Config)
	wrap   func(storage.FS) storage.FS
	tls    *tls.Config
}

func start(t *testing.T) *server { return startWith(t, settings{}) }

func startWith(t *testing.T, o settings) *server {
	t.Helper()
	s := &server{t: t, auth: &fakeAuth{}, log: &syncBuffer{}}
	var open func(string) storage.FS
	open, s.dir = newTrees(t)
	wrap := o.wrap
	if wrap == nil {
		wrap = func(f storage.FS) storage.FS { return f }
	}
	cfg := Config{
		Auth:   s.auth,
		Logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Open: func(_ context.Context, id auth.Identity) (storage.FS, error) {
			return wrap(open(id.User.Name)), nil
		},
	}
	if o.config != nil {
		o.config(&cfg)
	}
	s.tree = open("alice")
	var err error
	if s.handler, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = ln.Addr().String()
	s.url = "http://" + s.addr
	transport := &http.Transport{}
	if o.tls != nil {
		s.url = "https://" + s.addr
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
		transport.ForceAttemptHTTP2 = true
	}
	s.client = &http.Client{Transport: transport, Timeout: 2 * time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.handler.Serve(ctx, ln, o.tls) }()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

// step is one request and what must come of it. Header lines are "Name: value",
// one to a line; user is alice where it is "".
type step struct {
	method, path, header, body string
	user                       string
	want                       int
}

type answer struct {
	status int
	header http.Header
	body   string
}

func (s *server) send(st step) answer {
	s.t.Helper()
	a, err := s.try(st)
	if err != nil {
		s.t.Fatalf("%s %s: %v", st.method, st.path, err)
	}
	return a
}

func (s *server) try(st step) (answer, error) {
	req, err := http.NewRequest(st.method, s.url+st.path, strings.NewReader(st.body))
	if err != nil {
		return answer{}, err
	}
	for line := range strings.Lines(st.header) {
		k, v, ok := strings.Cut(strings.TrimSpace(line), ": ")
		if ok {
			req.Header.Set(k, strings.ReplaceAll(v, "$HOST", s.addr))
		}
	}
	user := st.user
	if user == "" {
		user = "alice"
	}
	if user != "-" {
		req.SetBasicAuth(user, user)
	}
	res, err := s.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	return answer{res.StatusCode, res.Header, string(data)}, err
}

func (s *server) run(steps ...step) {
	s.t.Helper()
	for i, st := range steps {
		if a := s.send(st); a.status != st.want {
			s.t.Fatalf("step %d: %s %s %q: status %d, want %d\n%s", i, st.method, st.path, st.header, a.status, st.want, a.body)
		}
	}
}

func (s *server) put(files map[string]string) {
	s.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if dir, _ := storage.Split(name); dir != "" {
			if err := storage.MkdirAll(s.t.Context(), s.tree, dir); err != nil {
				s.t.Fatal(err)
			}
		}
		if strings.HasSuffix(name, "/") {
			continue
		}
		_, err := storage.Put(s.t.Context(), s.tree, name, strings.NewReader(files[name]),
			storage.CreateOptions{Size: -1}, storage.CommitOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// files is the whole tree: content by name, directories with a slash at the end.
func (s *server) files() map[string]string {
	s.t.Helper()
	found := map[string]string{}
	for e, err := range storage.Walk(s.t.Context(), s.tree, "") {
		switch {
		case err != nil:
			s.t.Fatal(err)
		case e.Name == "":
		case e.IsDir():
			found[e.Name+"/"] = ""
		default:
			data, err := storage.ReadFile(s.t.Context(), s.tree, e.Name, 64<<20)
			if err != nil {
				s.t.Fatal(err)
			}
			found[e.Name] = string(data)
		}
	}
	return found
}

func (s *server) wantFiles(want map[string]string) {
	s.t.Helper()
	if got := s.files(); !maps.Equal(got, want) {
		s.t.Errorf("the tree is\n%.2000s\nwant\n%.2000s", fmt.Sprint(got), fmt.Sprint(want))
	}
}

// faults is an FS some calls of which go wrong.
type faults struct {
	storage.FS
	create, rename, commit error
	writeAfter             int64 // bytes until WriteAt fails, where write is set
	write                  error
	listAfter              int // entries until List fails, where list is set
	list                   error
	read                   error
	panics                 bool
}

func (f faults) Create(ctx context.Context, name string, o storage.CreateOptions) (storage.Upload, error) {
	if f.create != nil {
		return nil, storage.PathError("create", name, f.create)
	}
	u, err := f.FS.Create(ctx, name, o)
	if err != nil {
		return nil, err
	}
	return &faultyUpload{u, f}, nil
}

type faultyUpload struct {
	storage.Upload
	f faults
}

func (u *faultyUpload) WriteAt(p []byte, off int64) (int, error) {
	if u.f.write != nil && off+int64(len(p)) > u.f.writeAfter {
		return 0, u.f.write
	}
	return u.Upload.WriteAt(p, off)
}

func (u *faultyUpload) Commit(ctx context.Context, o storage.CommitOptions) (storage.Info, error) {
	if u.f.commit != nil {
		return storage.Info{}, u.f.commit
	}
	return u.Upload.Commit(ctx, o)
}

func (f faults) Rename(ctx context.Context, from, to string, o storage.RenameOptions) error {
	if f.rename != nil {
		return storage.PathError("rename", from, f.rename)
	}
	return f.FS.Rename(ctx, from, to, o)
}

func (f faults) List(ctx context.Context, name string) iter.Seq2[storage.Info, error] {
	if f.list == nil {
		return f.FS.List(ctx, name)
	}
	return func(yield func(storage.Info, error) bool) {
		n := 0
		for info, err := range f.FS.List(ctx, name) {
			if n++; n > f.listAfter {
				yield(storage.Info{}, f.list)
				return
			}
			if !yield(info, err) {
				return
			}
		}
	}
}

func (f faults) Open(ctx context.Context, name string) (storage.File, error) {
	if f.panics {
		panic("a fault of the test")
	}
	file, err := f.FS.Open(ctx, name)
	if err != nil || f.read == nil {
		return file, err
	}
	return &faultyFile{file, f.read}, nil
}

type faultyFile struct {
	storage.File
	err error
}

func (f *faultyFile) ReadAt(p []byte, off int64) (int, error) {
	if off > 0 {
		return 0, f.err
	}
	return f.File.ReadAt(p, off)
}

var errDisk = errors.New("read /secret/place: input/output error")
