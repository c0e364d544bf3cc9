package page

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"gateway/auth"
	"gateway/state"
	"gateway/storage"
	"gateway/webdav"
)

// Prefix is where everything is that is no folder.
const Prefix = "/" + storage.PageName + "/"

// Config is what a Handler is made of. Auth, Open, State and Key are required; every other zero value works.
type Config struct {
	Auth auth.Voucher
	// Open returns the tree that a user sees.
	Open func(ctx context.Context, id auth.Identity) (storage.FS, error)
	// OpenShared is Open for whoever has a link of the user, and is no session of theirs; nil: Open.
	OpenShared func(ctx context.Context, id auth.Identity) (storage.FS, error)
	// State keeps sessions and shares.
	State State
	// Key signs links and tokens: KeySize random bytes, the same on all nodes.
	Key []byte
	// Catalogue tells where files came from; nil knows nothing.
	Catalogue Catalogue
	// Certificate is the user whom the client certificate of a request names, "" if none does; required says that
	// nobody else may be let in. nil: certificates log nobody in.
	Certificate func(r *http.Request) (user string, required bool)
	// SignIn are other ways to log in, shown below the form.
	SignIn []SignIn
	// Title is what the page is called; "" means "Files".
	Title string
	// Logger takes one Info record for each login and change. Neither passwords nor links are in it. nil means none.
	Logger *slog.Logger

	// SessionIdle ends a session that is not used for so long, SessionLongest any; 0 means 8 h and 7 days.
	SessionIdle, SessionLongest time.Duration
	// ShareLongest is for how long a link can be shared; 0 means 30 days, below 0 that none can.
	ShareLongest time.Duration
	// KeepUploads is for how long an upload that broke off can be gone on with; 0 means 24 h.
	KeepUploads time.Duration
}

// KeySize is the length of Config.Key in bytes.
const KeySize = 32

// State keeps what outlives a process.
type State interface {
	state.Sessions
	state.Shares
}

// SignIn is another way to log in: a button that leads to URL, with where to go then as "next" in its query. What is
// there calls [Handler.StartSession] in the end.
type SignIn struct{ Label, URL string }

// Published is what is known of a file that a migration published.
type Published struct {
	Source    string // URL, without a password
	Verdict   string
	Does, Not string // what the verdict promises, and what it does not: each goes on after "it proves that"
	Reason    string
	Size      int64
	SHA256    []byte
	At        time.Time
}

// Catalogue tells where files came from. Key and name are those of [storage.View.Locate].
type Catalogue interface {
	// Any reports whether anything at all is known below a folder.
	Any(ctx context.Context, key, folder string) (bool, error)
	// Published is what is known of a file; nil if nothing is.
	Published(ctx context.Context, key, name string) (*Published, error)
}

const (
	defaultIdle         = 8 * time.Hour
	defaultLongest      = 7 * 24 * time.Hour
	defaultShareLongest = 30 * 24 * time.Hour
	defaultKeepUploads  = 24 * time.Hour

	maxForm = 64 << 10 // bytes of a form without files
)

// Handler serves the page. Safe for concurrent use.
type Handler struct {
	cfg      Config
	log      *slog.Logger
	origin   *http.CrossOriginProtection
	sessions *sessions
	sums     *sums
	uploads  *uploads
	zips     chan struct{} // a token for each zip under way
	zipped   int           // maxZipped
	now      func() time.Time
}

var _ webdav.Page = (*Handler)(nil)

// New checks the configuration and makes a Handler.
func New(cfg Config) (*Handler, error) {
	if cfg.Auth == nil || cfg.Open == nil || cfg.State == nil || len(cfg.Key) != KeySize {
		return nil, errors.New("page: Config.Auth, Open, State and a Key of 32 bytes are required")
	}
	for p, v := range map[*time.Duration]time.Duration{
		&cfg.SessionIdle: defaultIdle, &cfg.SessionLongest: defaultLongest,
		&cfg.ShareLongest: defaultShareLongest, &cfg.KeepUploads: defaultKeepUploads,
	} {
		if *p == 0 {
			*p = v
		}
	}
	if cfg.SessionIdle < 0 || cfg.SessionLongest < 0 || cfg.KeepUploads < 0 {
		return nil, errors.New("page: times must not be negative")
	}
	if cfg.OpenShared == nil {
		cfg.OpenShared = cfg.Open
	}
	if cfg.Certificate == nil {
		cfg.Certificate = func(*http.Request) (string, bool) { return "", false }
	}
	if cfg.Title == "" {
		cfg.Title = "Files"
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	h := &Handler{
		cfg: cfg, log: cfg.Logger, origin: http.NewCrossOriginProtection(), now: time.Now,
		sums: newSums(), uploads: newUploads(), zips: make(chan struct{}, maxZips), zipped: maxZipped,
	}
	h.sessions = newSessions(h)
	return h, nil
}

// Serves implements webdav.Page: all below Prefix, and what a browser asks for that does not send a password
// by itself. Cookies are kept only over TLS.
func (h *Handler) Serves(r *http.Request) bool {
	if r.TLS == nil {
		return false
	}
	path := r.URL.EscapedPath()
	if strings.HasPrefix(path, Prefix) || path+"/" == Prefix {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPatch, http.MethodDelete, http.MethodOptions:
			return true
		}
		return false
	}
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Authorization") == "" && wantsHTML(r) &&
		!strings.HasPrefix(r.UserAgent(), "Java/") // programs in Java ask for HTML unless told otherwise, and wait for a 401
}

func wantsHTML(r *http.Request) bool { return strings.Contains(r.Header.Get("Accept"), "text/html") }

// request is one request on its way through the handler.
type request struct {
	*http.Request
	h        *Handler
	w        http.ResponseWriter
	from     netip.Addr
	*session // nil before the login
}

func newRequest(h *Handler, w http.ResponseWriter, r *http.Request) *request {
	return &request{Request: r, h: h, w: w, from: webdav.RemoteAddr(r)}
}

// refusal is an answer that is no success, in words for people.
type refusal struct {
	status int
	text   string
}

func (e *refusal) Error() string { return e.text }

func refuse(status int, text string) error { return &refusal{status, text} }

// errNoSession sends people to the login, and programs away.
var errNoSession = errors.New("no session")

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := newRequest(h, w, r)
	defer func() {
		p := recover()
		if p == nil || p == http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
			if p != nil {
				panic(p)
			}
			return
		}
		h.log.Error("page: panic", "method", r.Method, "panic", p, "stack", string(debug.Stack()))
		panic(http.ErrAbortHandler)
	}()
	setSecurity(w.Header())
	if err := q.serve(r.Context()); err != nil {
		q.fail(err)
	}
}

// setSecurity sets what every answer has. The policy is for pages; what serves files sets a stricter one.
func setSecurity(hd http.Header) {
	hd.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	hd.Set("X-Content-Type-Options", "nosniff")
	hd.Set("X-Frame-Options", "DENY")
	hd.Set("Cross-Origin-Resource-Policy", "same-origin")
	hd.Set("Cross-Origin-Opener-Policy", "same-origin")
	hd.Set("Referrer-Policy", "same-origin")
	hd.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	hd.Set("Cache-Control", "no-store")
}

// serve finds what a request is for.
func (q *request) serve(ctx context.Context) error {
	if err := q.h.origin.Check(q.Request); err != nil {
		return refuse(http.StatusForbidden, "This request came from another site. Open the page itself and try again.")
	}
	ctx = storage.WithOrigin(ctx, storage.Origin{Protocol: "page", Address: q.from})
	if user, required := q.h.cfg.Certificate(q.Request); required && user == "" {
		return refuse(http.StatusForbidden, "A client certificate is required here.")
	}
	path := q.URL.EscapedPath()
	rest, reserved := strings.CutPrefix(path, Prefix)
	if !reserved && path+"/" != Prefix {
		if err := q.enter(ctx); err != nil {
			return err
		}
		return q.browse(q.origin(ctx))
	}
	verb, rest, _ := strings.Cut(rest, "/")
	switch verb {
	case "assets":
		return q.asset(rest)
	case "s":
		return q.shared(ctx, rest)
	case "login":
		return q.login(ctx)
	}
	if err := q.enter(ctx); err != nil {
		return err
	}
	if err := q.checkToken(verb); err != nil {
		return err
	}
	ctx = q.origin(ctx)
	if verb == "tus" {
		return q.tus(ctx, rest)
	}
	serve := q.verb(verb)
	if serve == nil {
		return refuse(http.StatusNotFound, "There is no such page.")
	}
	name, _, err := webdav.ParsePath("/" + rest)
	if err != nil {
		return err
	}
	return serve(ctx, name)
}

// origin is the context of what a session does.
func (q *request) origin(ctx context.Context) context.Context {
	_, done := webdav.LoggedIn(q.Request, q.session.User, "page", q.session.ID)
	context.AfterFunc(q.Context(), done)
	return storage.WithOrigin(ctx, storage.Origin{Protocol: "page", Address: q.from, Session: q.session.ID[:12]})
}

// verb maps the first element below Prefix to what serves it, for a user who has logged in; nil where there is none
// for this method.
func (q *request) verb(verb string) func(ctx context.Context, name string) error {
	switch q.Method {
	case http.MethodGet, http.MethodHead:
		return map[string]func(context.Context, string) error{
			"": q.home, "file": q.file, "download": q.download, "picture": q.picture, "zip": q.zip,
			"delete": q.askDelete, "shares": q.listShares,
		}[verb]
	case http.MethodPost:
		return map[string]func(context.Context, string) error{
			"logout": q.logout, "mkdir": q.mkdir, "rename": q.rename, "delete": q.delete,
			"upload": q.upload, "share": q.share, "revoke": q.revoke,
		}[verb]
	}
	return nil
}

func (q *request) home(context.Context, string) error { return q.redirect("/", "") }

// redirect sends the browser on with GET; said names a message to show there.
func (q *request) redirect(to, said string) error {
	if said != "" {
		to += "?said=" + said
	}
	http.Redirect(q.w, q.Request, to, http.StatusSeeOther)
	return nil
}

// changed logs a change.
func (q *request) changed(what, name string, more ...any) {
	q.h.log.Info("page: "+what, append([]any{"name", name, "user", q.session.identity.User.Name, "remote", q.from.String()}, more...)...)
}

// fail answers with an error: as a page to people, as a line of text to the script.
func (q *request) fail(err error) {
	if errors.Is(err, errNoSession) {
		q.toLogin()
		return
	}
	status, text := q.explain(err)
	hd := q.w.Header()
	for _, k := range []string{"Content-Length", "ETag", "Last-Modified", "Content-Encoding", "Content-Disposition"} {
		hd.Del(k)
	}
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		hd.Set("Retry-After", "10")
	}
	if !wantsHTML(q.Request) {
		hd.Set("Content-Type", "text/plain; charset=utf-8")
		q.w.WriteHeader(status)
		_, _ = q.w.Write([]byte(text + "\n"))
		return
	}
	q.render(status, "error", &errorPage{base: q.base(http.StatusText(status)), Text: text})
}

type errorPage struct {
	base
	Text string
}

// explain says in words for people what an error is, and logs what is the server's own.
func (q *request) explain(err error) (int, string) {
	var r *refusal
	if errors.As(err, &r) {
		return r.status, r.text
	}
	if errors.Is(err, auth.ErrSessions) {
		q.h.log.Info("login refused", "from", q.from, "reason", err)
		return http.StatusTooManyRequests, "You have as many sessions open as you may have. End one, or wait a few minutes."
	}
	status, text := webdav.Status(err)
	if status >= http.StatusInternalServerError && status != http.StatusInsufficientStorage && q.Context().Err() == nil {
		q.h.log.Error("page: request failed", "method", q.Method, "status", status, "err", err)
	}
	return status, sentence(text)
}

// sentence makes a sentence of the words of the one table of errors.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}
