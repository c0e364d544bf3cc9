package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/pprof"
	"net/url"
	"runtime/debug"
	"strings"

	"gateway/auth"
	"gateway/storage"
)

// access is what a route asks for.
type access int

const (
	open      access = iota // of everybody
	scraped                 // a login or token, unless Config.MetricsOpen
	byPage                  // a session; others are sent to log in
	byAPI                   // a token, or a session
	byProfile               // as byAPI, with more than reading
)

// route is one line of the table of what is served.
type route struct {
	method, pattern string
	access          access
	serve           http.HandlerFunc
}

// table lists everything that is served. Those of /api/ are in openapi.yaml.
func (s *Server) table() []route {
	all := []route{
		{"GET", "/healthz", open, s.healthz},
		{"GET", "/readyz", open, s.readyz},
		{"GET", "/metrics", scraped, s.metrics.serve},
		{"GET", "/static/{file}", open, static},
		{"GET", "/login", open, s.loginPage},
		{"POST", "/login", open, s.loginPost},
		{"GET", "/api/v1/openapi.yaml", byAPI, serveOpenAPI},
	}
	for pattern, get := range s.apiReads() {
		all = append(all, route{"GET", pattern, byAPI, s.answerJSON(get)})
	}
	for _, w := range s.apiActs() {
		all = append(all, route{w.method, w.pattern, byAPI, s.answerAct(w)})
	}
	all = append(all, s.pages()...)
	if s.cfg.Pprof {
		all = append(all,
			route{"GET", "/debug/pprof/", byProfile, pprof.Index},
			route{"GET", "/debug/pprof/cmdline", byProfile, pprof.Cmdline},
			route{"GET", "/debug/pprof/profile", byProfile, pprof.Profile},
			route{"GET", "/debug/pprof/symbol", byProfile, pprof.Symbol},
			route{"GET", "/debug/pprof/trace", byProfile, pprof.Trace},
		)
	}
	return all
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.table() {
		mux.Handle(r.method+" "+r.pattern, s.guard(r.access, r.serve))
	}
	mux.HandleFunc("/", s.nowhere)
	return s.everything(http.NewCrossOriginProtection().Handler(mux))
}

// policy lets the page load and send nothing but what is of this origin, and nobody frame it.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// everything is around all requests.
func (s *Server) everything(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // a panic value, compared as net/http does
				s.log.Error("request failed by a defect of the server", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				http.Error(w, "a defect of the gateway; its log says more", http.StatusInternalServerError)
			}
		}()
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		ctx := storage.WithOrigin(r.Context(), storage.Origin{Protocol: "admin", Address: remoteAddr(r)})
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

// guard lets those in whom the route is for.
func (s *Server) guard(need access, next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if need == open || need == scraped && s.cfg.MetricsOpen {
			next(w, r)
			return
		}
		who, err := s.whoIs(r)
		switch {
		case errors.Is(err, auth.ErrBanned): // else a program with a good token would be told that it is not
			problem(w, http.StatusTooManyRequests, "there were too many failed logins from this address, so its tokens count only when the ban ends; who has logged in on the page can lift it")
			return
		case err != nil && need == byPage:
			s.toLogin(w, r)
			return
		case err != nil:
			w.Header().Set("WWW-Authenticate", `Bearer realm="gateway admin"`)
			problem(w, http.StatusUnauthorized, "log in on the page, or send a good token: Authorization: Bearer TOKEN")
			return
		case need == byPage && who.session == nil:
			problem(w, http.StatusForbidden, "tokens are for /api/ and /metrics")
			return
		case who.readOnly && (need == byProfile || r.Method != http.MethodGet && r.Method != http.MethodHead):
			problem(w, http.StatusForbidden, "this token may only read")
			return
		case who.session != nil && r.Method != http.MethodGet && r.Method != http.MethodHead && !csrfGood(who.session, r):
			problem(w, http.StatusForbidden, "the form is too old, or comes from another site; load the page again")
			return
		}
		next(w, r.WithContext(context.WithValue(r.Context(), operatorKey{}, who)))
	})
}

// whoIs finds who sent a request: by a token if there is one, else by the cookie.
func (s *Server) whoIs(r *http.Request) (operator, error) {
	if secret, ok := bearer(r); ok {
		return s.byToken(r, secret)
	}
	if session := s.sessionOf(r); session != nil {
		return operator{name: session.id.User.Name, session: session}, nil
	}
	return operator{}, errLogin
}

// toLogin sends a browser to log in, and then back.
func (s *Server) toLogin(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Refresh") != "" { // the script; it then loads the page
		problem(w, http.StatusUnauthorized, "log in")
		return
	}
	to := "/login"
	if r.Method == http.MethodGet && r.URL.Path != "/" {
		to += "?" + url.Values{"to": {r.URL.RequestURI()}}.Encode()
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (s *Server) nowhere(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		problem(w, http.StatusNotFound, "there is no such resource; see /api/v1/openapi.yaml")
		return
	}
	http.Error(w, "there is no such page", http.StatusNotFound)
}

// Problem is how the API says what is wrong (RFC 9457).
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Problem{http.StatusText(status), status, detail}) // who does not take it is gone
}

// statusOf translates an error of the gateway.
func statusOf(err error) int {
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, ErrConflict):
		return http.StatusConflict
	case errors.Is(err, ErrInvalid):
		return http.StatusBadRequest
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, context.DeadlineExceeded):
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

// act does something for the operator and says so to the audit.
func (s *Server) act(r *http.Request, a Act, do func(ctx context.Context) error) error {
	a.By, a.Address = operatorOf(r.Context()).name, addressText(remoteAddr(r))
	ctx, cancel := context.WithTimeout(r.Context(), workTimeout)
	defer cancel()
	a.Err = do(ctx)
	s.told(r.Context(), a)
	return a.Err
}

func (s *Server) told(ctx context.Context, a Act) {
	if s.cfg.Audit != nil {
		s.cfg.Audit(context.WithoutCancel(ctx), a)
	}
	log := s.log.With("by", a.By, "from", a.Address, "what", a.What, "object", a.Object)
	if a.Reason != "" {
		log = log.With("reason", a.Reason)
	}
	if errors.Is(a.Err, auth.ErrBanned) { // a banned address may ask very often, and would push all else out of Recent
		log.Debug("operator's act was refused", "error", a.Err)
		return
	}
	if a.Err != nil {
		log.Warn("operator's act was refused or failed", "error", a.Err)
		return
	}
	log.Info("operator's act")
}

// maxReason bounds what an operator gives as a reason, in bytes.
const maxReason = 500

func checkReason(text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return fmt.Errorf("%w: give a reason; it is kept with the file", ErrInvalid)
	case len(text) > maxReason:
		return fmt.Errorf("%w: the reason is longer than %d bytes", ErrInvalid, maxReason)
	}
	return nil
}
