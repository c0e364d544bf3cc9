package events

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/semaphore"

	"gateway/state"
	"gateway/state/sqlite"
)

func openBox(t testing.TB) state.Store {
	t.Helper()
	s, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// told is a Deliverer that fails as it is told to.
type told struct {
	mu    sync.Mutex
	got   []string
	fail  func(e Event) error
	batch int
	pause time.Duration
	calls int
}

func (d *told) Batch() int           { return max(1, d.batch) }
func (d *told) Pause() time.Duration { return d.pause }

func (d *told) Deliver(_ context.Context, list []Event) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.calls++
	for _, e := range list {
		if d.fail != nil {
			if err := d.fail(e); err != nil {
				return err
			}
		}
	}
	for _, e := range list {
		d.got = append(d.got, e.Path)
	}
	return nil
}

func (d *told) paths() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.got)
}

func await(t testing.TB, what string, true func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !true(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// run starts a dispatcher that ends with the test.
func run(t testing.TB, d *Dispatcher) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		d.Run(ctx)
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

func put(t testing.TB, hs Hooks, box state.Outbox, e Event) []string {
	t.Helper()
	names, err := hs.Put(t.Context(), box, e)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestChosen(t *testing.T) {
	box := openBox(t)
	hs := Hooks{
		{Name: "all", On: []Kind{Upload, Delete}},
		{Name: "user", On: []Kind{Upload}, Users: []string{"anna"}},
		{Name: "path", On: []Kind{Upload, Rename}, Match: func(key string) bool { return strings.HasPrefix(key, "default:in/") }},
	}
	for _, tt := range []struct {
		e    Event
		want []string
	}{
		{Event{Kind: Upload, User: "anna", Key: "default:x"}, []string{"all", "user"}},
		{Event{Kind: Upload, User: "bert", Key: "default:in/x"}, []string{"all", "path"}},
		{Event{Kind: Rename, Key: "default:x", ToKey: "default:in/x"}, []string{"path"}},
		{Event{Kind: Rename, Key: "default:x", ToKey: "default:y"}, nil},
		{Event{Kind: Download, User: "anna"}, nil},
	} {
		if got := put(t, hs, box, tt.e); !slices.Equal(got, tt.want) {
			t.Errorf("%+v goes to %q, want %q", tt.e, got, tt.want)
		}
	}
	list, err := box.Deliveries(t.Context(), false, 100)
	if err != nil || len(list) != 5 {
		t.Fatalf("%d in the outbox, %v; want 5", len(list), err)
	}
	a, _ := Parse(list[0].Payload)
	b, _ := Parse(list[1].Payload)
	c, _ := Parse(list[2].Payload)
	if a.ID != b.ID || a.ID == c.ID || a.Time.IsZero() {
		t.Errorf("IDs %s, %s of one event and %s of another", a.ID, b.ID, c.ID)
	}
	if hs.Wants(Mkdir) || !hs.Wants(Rename) {
		t.Error("Wants is wrong")
	}
}

func TestOrderAndRetry(t *testing.T) {
	box := openBox(t)
	tries := 0
	to := &told{fail: func(e Event) error {
		if e.Path == "/2" && tries < 2 {
			tries++
			return errors.New("down")
		}
		return nil
	}}
	d := &Dispatcher{Box: box, Holder: "me", Hooks: Hooks{{Name: "a", On: []Kind{Upload}, Deliver: to}}, poll: 10 * time.Millisecond}
	for i := range 5 {
		put(t, d.Hooks, box, Event{Kind: Upload, Path: fmt.Sprintf("/%d", i)})
	}
	run(t, d)
	await(t, "all are told", func() bool { return len(to.paths()) == 5 })
	if got := to.paths(); !slices.Equal(got, []string{"/0", "/1", "/2", "/3", "/4"}) {
		t.Errorf("told in the order %q", got)
	}
	await(t, "the outbox is empty", func() bool { w, _, err := box.CountDeliveries(t.Context()); return w == 0 && err == nil })
}

// TestGivenUp: what is refused is given up after its tries, and does not hold up the next for ever.
func TestGivenUp(t *testing.T) {
	box := openBox(t)
	to := &told{fail: func(e Event) error {
		if e.Path == "/bad" {
			return &Refused{errors.New("no")}
		}
		return nil
	}}
	d := &Dispatcher{Box: box, Holder: "me", Hooks: Hooks{{Name: "a", On: []Kind{Upload}, Deliver: to, Tries: 2}}, poll: 10 * time.Millisecond}
	put(t, d.Hooks, box, Event{Kind: Upload, Path: "/bad"})
	put(t, d.Hooks, box, Event{Kind: Upload, Path: "/good"})
	if err := box.AddDeliveries(t.Context(), state.Delivery{Hook: "a", Payload: []byte("{")}); err != nil {
		t.Fatal(err)
	}
	put(t, d.Hooks, box, Event{Kind: Upload, Path: "/last"})
	run(t, d)
	await(t, "the others are told", func() bool { return slices.Equal(to.paths(), []string{"/good", "/last"}) })
	dead, err := box.Deliveries(t.Context(), true, 10)
	if err != nil || len(dead) != 2 || dead[0].Tries != 2 || dead[0].Error != "no" {
		t.Fatalf("%+v, %v", dead, err)
	}
	to.mu.Lock()
	to.fail = nil
	to.mu.Unlock()
	if err := box.RetryDelivery(t.Context(), dead[0].ID); err != nil {
		t.Fatal(err)
	}
	await(t, "it is told", func() bool { return slices.Equal(to.paths(), []string{"/good", "/last", "/bad"}) })
}

// TestTwoProcesses share an outbox: each event is told once, in order.
func TestTwoProcesses(t *testing.T) {
	box := openBox(t)
	to := &told{}
	hs := Hooks{{Name: "a", On: []Kind{Upload}, Deliver: to}}
	for i := range 3 {
		run(t, &Dispatcher{Box: box, Holder: fmt.Sprint(i), Hooks: hs, poll: time.Millisecond})
	}
	var want []string
	for i := range 100 {
		want = append(want, fmt.Sprintf("/%d", i))
		put(t, hs, box, Event{Kind: Upload, Path: want[i]})
	}
	await(t, "all are told", func() bool { return len(to.paths()) >= len(want) })
	if got := to.paths(); !slices.Equal(got, want) {
		t.Errorf("told %q", got)
	}
}

func TestPause(t *testing.T) {
	box := openBox(t)
	to := &told{batch: 100, pause: time.Hour}
	d := &Dispatcher{Box: box, Holder: "me", Hooks: Hooks{{Name: "a", On: []Kind{Upload}, Deliver: to}}, poll: time.Millisecond}
	for i := range 7 {
		put(t, d.Hooks, box, Event{Kind: Upload, Path: fmt.Sprint(i)})
	}
	stop := run(t, d)
	await(t, "all are told", func() bool { return len(to.paths()) == 7 })
	put(t, d.Hooks, box, Event{Kind: Upload, Path: "later"})
	// Another one may not either.
	held, err := box.HoldHook(t.Context(), "a", "other", time.Minute)
	if err != nil || held {
		t.Fatalf("the hook can be held in its pause: %v, %v", held, err)
	}
	stop()
	if to.calls != 1 || len(to.paths()) != 7 {
		t.Errorf("%d mails with %d events", to.calls, len(to.paths()))
	}
}

// script writes a program that the command runs.
func script(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "hook")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return file
}

func newCommand(argv ...string) *Command {
	return &Command{Argv: argv, Slots: semaphore.NewWeighted(MaxCommands), Logger: slog.New(slog.DiscardHandler)}
}

// TestCommandNames runs a program for files with the names of attackers, and looks at what it was given.
func TestCommandNames(t *testing.T) {
	for _, name := range []string{"$(reboot).txt; rm -rf", "`id`", "-rf", "a\nb", "'\"\\ *?", "\u202e", "{path}", "{key}", "é"} {
		out := filepath.Join(t.TempDir(), "out")
		c := newCommand(script(t, `out=$1; shift
for a; do printf '%s\0' "$a"; done > "$out"
printf '%s\0' "$GATEWAY_PATH" "$GATEWAY_EVENT" "$GATEWAY_BYTES" "$GATEWAY_FILE" "$HOME" "$SECRET_OF_GATEWAY" >> "$out"
cat >> "$out"
`), out, "{path}", "fixed", "{file}")
		t.Setenv("SECRET_OF_GATEWAY", "secret")
		c.File = func(key string) string { return "/data/" + strings.TrimPrefix(key, "default:") }
		e := Event{ID: "i", Kind: Upload, Path: "/" + name, Key: "default:" + name, Bytes: 7, Time: time.Now().UTC()}
		if err := c.Deliver(t.Context(), []Event{e}); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Split(string(data), "\x00")
		want := []string{"/" + name, "fixed", "/data/" + name, "/" + name, "upload", "7", "/data/" + name, "/", ""}
		if !slices.Equal(got[:len(want)], want) {
			t.Errorf("%q: the program has %q, want %q", name, got[:len(want)], want)
		}
		var read Event
		if err := json.Unmarshal([]byte(got[len(want)]), &read); err != nil || read.Path != e.Path || read.ID != "i" {
			t.Errorf("%q on standard input: %+v, %v", got[len(want)], read, err)
		}
	}
}

func TestCommandFails(t *testing.T) {
	var refused *Refused
	if err := newCommand(script(t, "echo no; exit 3")).Deliver(t.Context(), []Event{{Kind: Upload}}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("a program that fails: %v", err)
	}
	if err := newCommand("/nonexistent/program").Deliver(t.Context(), []Event{{Kind: Upload}}); err == nil || errors.As(err, &refused) {
		t.Errorf("a program that is not there: %v", err)
	}
	if err := newCommand("/bin/true", "{path}").Deliver(t.Context(), []Event{{Kind: Upload, Path: "a\x00b"}}); !errors.As(err, &refused) {
		t.Errorf("a NUL: %v", err)
	}
}

// TestCommandTime: a program that does not end is killed, with all that it started.
func TestCommandTime(t *testing.T) {
	alive := filepath.Join(t.TempDir(), "pid")
	c := newCommand(script(t, "sleep 1000 & echo $! > "+alive+".new; mv "+alive+".new "+alive+"; wait"))
	c.Timeout = 2 * time.Second
	var refused *Refused
	if err := c.Deliver(t.Context(), []Event{{Kind: Upload}}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "did not end") {
		t.Fatalf("%v", err)
	}
	pid, err := os.ReadFile(alive)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "what it started is gone", func() bool {
		stat, err := os.ReadFile("/proc/" + strings.TrimSpace(string(pid)) + "/stat")
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
}

func TestCommandOutput(t *testing.T) {
	var log strings.Builder
	c := newCommand(script(t, `head -c 100000 /dev/zero | tr '\0' x; printf '\033[2J'`))
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	if err := c.Deliver(t.Context(), []Event{{Kind: Upload}}); err != nil {
		t.Fatal(err)
	}
	if s := log.String(); len(s) > maxOutput+500 || !strings.Contains(s, "more was left out") || strings.Contains(s, "\x1b") {
		t.Errorf("%d bytes in the log", len(s))
	}
}

func TestCheckCommand(t *testing.T) {
	for _, good := range [][]string{{"/bin/true"}, {"/bin/true", "{path}", "-x", "{to_file}"}} {
		if err := CheckCommand(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range [][]string{nil, {"true"}, {"./x"}, {"{path}"}, {"/bin/{event}"}, {"/bin/sh", "-c", "ls {path}"}, {"/bin/true", "{nothing}"}, {"/bin/true", "--file={path}"}, {"/bin/true", "a\x00"}} {
		if err := CheckCommand(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestWebhook(t *testing.T) {
	secret := []byte("0123456789abcdef0123")
	var answer int
	var seen []string
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		if want := Sign(secret, r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), body); r.Header.Get("webhook-signature") != want || r.Method != "POST" {
			t.Errorf("%s is signed %q, want %q", r.Method, r.Header.Get("webhook-signature"), want)
		}
		var e Event
		if err := json.Unmarshal(body, &e); err != nil || e.ID != r.Header.Get("webhook-id") {
			t.Errorf("%s: %v", body, err)
		}
		seen = append(seen, e.ID)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(answer)
		fmt.Fprint(w, strings.Repeat("x", 1<<20))
	}))
	defer srv.Close()
	client := NewClient(0, nil)
	client.Transport.(*http.Transport).TLSClientConfig.RootCAs = srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	w := &Webhook{URL: srv.URL + "/hook?token=geheim", Client: client, Secret: func() ([]byte, error) { return secret, nil }}
	var refused *Refused
	for code, want := range map[int]string{200: "ok", 204: "ok", 302: "refused", 307: "refused", 400: "refused", 404: "refused", 410: "refused", 429: "later", 500: "later", 503: "later", 408: "later"} {
		answer = code
		err := w.Deliver(t.Context(), []Event{{ID: fmt.Sprint(code), Kind: Upload}})
		got := "later"
		switch {
		case err == nil:
			got = "ok"
		case errors.As(err, &refused):
			got = "refused"
		}
		if got != want {
			t.Errorf("an answer %d counts as %s, want %s: %v", code, got, want, err)
		}
		if err != nil && (strings.Contains(err.Error(), "geheim") || len(err.Error()) > 500) {
			t.Errorf("the error tells of the token, or is long: %v", err)
		}
	}
	if len(seen) != 11 {
		t.Errorf("%d requests, want 11: redirects are not followed", len(seen))
	}
	w.Client = NewClient(0, nil)
	if err := w.Deliver(t.Context(), []Event{{ID: "x"}}); err == nil || !strings.Contains(err.Error(), "certificate") || strings.Contains(err.Error(), "geheim") {
		t.Errorf("a certificate of nobody: %v", err)
	}
	srv.Close()
	if err := w.Deliver(t.Context(), []Event{{ID: "x"}}); err == nil || errors.As(err, &refused) || strings.Contains(err.Error(), "geheim") {
		t.Errorf("a server that is away: %v", err)
	}
}

// TestSign holds the signature to the example of the specification (standard-webhooks, section on symmetric signatures).
func TestSign(t *testing.T) {
	secret, err := ParseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := Sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	for _, bad := range []string{"", "short", "whsec_!", "whsec_" + base64.StdEncoding.EncodeToString([]byte("short"))} {
		if _, err := ParseSecret(bad); err == nil {
			t.Errorf("the secret %q is accepted", bad)
		}
	}
}

func TestCheckURL(t *testing.T) {
	for _, good := range []string{"https://example.org/x?y", "http://127.0.0.1:8080/", "http://localhost/", "http://[::1]:1/"} {
		if err := CheckURL(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{"", "example.org", "http://example.org/", "http://127.0.0.1.example.org/", "https://u:p@example.org/", "file:///etc/passwd", "https://", "http://10.0.0.1/"} {
		if err := CheckURL(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

// TestGivenUpByTime: who cannot be reached is given up when it took too long, and not at the first try.
func TestGivenUpByTime(t *testing.T) {
	box := openBox(t)
	to := &told{fail: func(Event) error { return errors.New("away") }}
	d := &Dispatcher{Box: box, Holder: "me", Hooks: Hooks{{Name: "a", On: []Kind{Upload}, Deliver: to, GiveUp: time.Nanosecond}}, poll: 10 * time.Millisecond}
	put(t, d.Hooks, box, Event{Kind: Upload, Path: "/1"})
	run(t, d)
	await(t, "it is given up", func() bool { _, dead, err := box.CountDeliveries(t.Context()); return dead == 1 && err == nil })
	if list, err := box.Deliveries(t.Context(), true, 1); err != nil || list[0].Tries != 2 {
		t.Errorf("%+v, %v", list, err)
	}
}

// slow is a Deliverer that takes its time.
type slow struct {
	begun chan struct{}
	let   chan struct{}
}

func (*slow) Batch() int           { return 1 }
func (*slow) Pause() time.Duration { return 0 }

func (s *slow) Deliver(ctx context.Context, _ []Event) error {
	s.begun <- struct{}{}
	select {
	case <-s.let:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestStopped: what is being told when the process is stopped may end; what takes too long is told again by the next.
func TestStopped(t *testing.T) {
	for _, ends := range []bool{true, false} {
		box := openBox(t)
		s := &slow{make(chan struct{}, 1), make(chan struct{})}
		d := &Dispatcher{Box: box, Holder: "me", Hooks: Hooks{{Name: "a", On: []Kind{Upload}, Deliver: s}}, grace: time.Minute}
		if !ends {
			d.grace = time.Millisecond
		}
		put(t, d.Hooks, box, Event{Kind: Upload, Path: "/1"})
		put(t, d.Hooks, box, Event{Kind: Upload, Path: "/2"})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { d.Run(ctx); close(ended) }()
		<-s.begun
		cancel()
		want := int64(2)
		if ends {
			s.let <- struct{}{}
			want = 1
		}
		<-ended
		if waiting, dead, err := box.CountDeliveries(t.Context()); waiting != want || dead != 0 || err != nil {
			t.Errorf("ends %v: %d wait, want %d; %d are dead, %v", ends, waiting, want, dead, err)
		}
		if held, err := box.HoldHook(t.Context(), "a", "next", time.Minute); !held || err != nil {
			t.Errorf("ends %v: the next cannot go on: %v, %v", ends, held, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"id":"a","event":"upload","time":"2026-11-30T00:00:00Z","path":"/a"}`))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := Parse(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(e)
		if err != nil {
			return // a year beyond 9999
		}
		if e2, err := Parse(again); err != nil || e2.ID != e.ID || e2.Path != e.Path {
			t.Errorf("%q is read as %+v, then %+v, %v", data, e, e2, err)
		}
		if s := digest([]Event{e}); strings.ContainsAny(s, "\x1b\r\x00\u202e\u009b") {
			t.Errorf("a mail has %q", s)
		}
	})
}
