package admin

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

//go:embed openapi.yaml
var openAPI []byte

func serveOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(openAPI) // who does not take it is gone
}

// reading answers a GET of the API.
type reading func(ctx context.Context, r *http.Request) (any, error)

// acting is a request of the API that does something.
type acting struct {
	method, pattern string
	act             func(r *http.Request, in actBody) error
}

// actBody is what acts are given; each takes some of it.
type actBody struct {
	Reason  string `json:"reason"`
	Network string `json:"network"`
	Seconds int64  `json:"seconds"`
}

func (s *Server) apiReads() map[string]reading {
	return map[string]reading{
		"/api/v1/overview":  func(ctx context.Context, _ *http.Request) (any, error) { return s.overview(ctx) },
		"/api/v1/sessions":  func(context.Context, *http.Request) (any, error) { return s.sessionList(), nil },
		"/api/v1/transfers": func(context.Context, *http.Request) (any, error) { return s.cfg.Watch.Transfers(), nil },
		"/api/v1/rates":     func(context.Context, *http.Request) (any, error) { return s.cfg.Watch.Rates(), nil },
		"/api/v1/jobs":      func(ctx context.Context, _ *http.Request) (any, error) { return s.jobs(ctx) },
		"/api/v1/jobs/{id}": func(ctx context.Context, r *http.Request) (any, error) { return s.job(ctx, r.PathValue("id")) },
		"/api/v1/quarantine": func(ctx context.Context, _ *http.Request) (any, error) {
			return s.held(ctx)
		},
		"/api/v1/quarantine/{storage}/{id}": func(ctx context.Context, r *http.Request) (any, error) {
			return s.heldFile(ctx, r.PathValue("storage"), r.PathValue("id"))
		},
		"/api/v1/bans":         func(ctx context.Context, _ *http.Request) (any, error) { return s.bans(ctx) },
		"/api/v1/storages":     func(ctx context.Context, _ *http.Request) (any, error) { return s.storages(ctx) },
		"/api/v1/users":        func(ctx context.Context, _ *http.Request) (any, error) { return s.users(ctx) },
		"/api/v1/certificates": func(context.Context, *http.Request) (any, error) { return s.certificates(), nil },
		"/api/v1/errors":       func(context.Context, *http.Request) (any, error) { return s.cfg.Recent.Records(), nil },
		"/api/v1/tokens":       func(ctx context.Context, _ *http.Request) (any, error) { return s.tokens(ctx) },
	}
}

func (s *Server) apiActs() []acting {
	return []acting{
		{"DELETE", "/api/v1/sessions/{id}", func(r *http.Request, _ actBody) error { return s.closeSession(r, r.PathValue("id")) }},
		{"POST", "/api/v1/jobs/{id}/run", func(r *http.Request, _ actBody) error { return s.actOnJob(r, "run", r.PathValue("id")) }},
		{"POST", "/api/v1/jobs/{id}/stop", func(r *http.Request, _ actBody) error { return s.actOnJob(r, "stop", r.PathValue("id")) }},
		{"POST", "/api/v1/jobs/{id}/resume", func(r *http.Request, _ actBody) error { return s.actOnJob(r, "resume", r.PathValue("id")) }},
		{"POST", "/api/v1/quarantine/{storage}/{id}/release", func(r *http.Request, in actBody) error {
			return s.decide(r, "release", r.PathValue("storage"), r.PathValue("id"), in.Reason)
		}},
		{"POST", "/api/v1/quarantine/{storage}/{id}/reject", func(r *http.Request, in actBody) error {
			return s.decide(r, "reject", r.PathValue("storage"), r.PathValue("id"), in.Reason)
		}},
		{"POST", "/api/v1/bans", func(r *http.Request, in actBody) error {
			return s.ban(r, in.Network, in.Seconds, in.Reason)
		}},
		{"DELETE", "/api/v1/bans/{network}", func(r *http.Request, _ actBody) error { return s.liftBan(r, r.PathValue("network")) }},
		{"POST", "/api/v1/users/{name}/disable", func(r *http.Request, _ actBody) error { return s.disableUser(r, r.PathValue("name"), true) }},
		{"POST", "/api/v1/users/{name}/enable", func(r *http.Request, _ actBody) error { return s.disableUser(r, r.PathValue("name"), false) }},
		{"DELETE", "/api/v1/tokens/{name}", func(r *http.Request, _ actBody) error { return s.revokeToken(r, r.PathValue("name")) }},
	}
}

// answerJSON answers with what get returns.
func (s *Server) answerJSON(get reading) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), workTimeout)
		defer cancel()
		v, err := get(ctx, r)
		if err != nil {
			problem(w, statusOf(err), err.Error())
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // who does not take it is gone
	}
}

// answerAct does what was asked for and answers 204.
func (s *Server) answerAct(a acting) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		in, err := readBody(r)
		if err == nil {
			err = a.act(r, in)
		}
		if err != nil {
			problem(w, statusOf(err), err.Error())
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// readBody reads a JSON object, or nothing.
func readBody(r *http.Request) (in actBody, err error) {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err = d.Decode(&in)
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, io.EOF), errors.As(err, &large):
		return in, ignoreEOF(err)
	case err != nil:
		return in, fmt.Errorf("%w: the body is not the JSON object that openapi.yaml describes: %w", ErrInvalid, err)
	case d.Decode(&struct{}{}) != io.EOF:
		return in, fmt.Errorf("%w: there is more after the JSON object", ErrInvalid)
	}
	return in, nil
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// Overview is the state of the gateway in a few numbers.
type Overview struct {
	Version       Version     `json:"version"`
	Started       time.Time   `json:"started"`
	Ready         []Readiness `json:"ready"`
	Sessions      int         `json:"sessions"`
	Transfers     int         `json:"transfers"`
	RateIn        int64       `json:"rate_in"`  // bytes a second
	RateOut       int64       `json:"rate_out"` // bytes a second
	JobsRunning   int         `json:"jobs_running"`
	JobsHeld      int         `json:"jobs_held"`
	JobsFailed    int         `json:"jobs_failed"` // whose last run failed, or left something
	Quarantine    int         `json:"quarantine"`
	Bans          int         `json:"bans"`
	Outbox        int64       `json:"outbox"`      // events that wait; -1: there is no outbox
	OutboxDead    int64       `json:"outbox_dead"` // events that were given up
	DaysLeft      *int        `json:"days_left"`   // of the certificate that ends first; null: there is none
	Errors        int         `json:"errors"`      // warnings and errors that are kept
	Administrator string      `json:"administrator"`
}

// NotReady are the checks that failed.
func (o Overview) NotReady() (names []string) {
	for _, c := range o.Ready {
		if !c.Ready {
			names = append(names, c.Name)
		}
	}
	return names
}

func (s *Server) overview(ctx context.Context) (Overview, error) {
	o := Overview{
		Version: s.cfg.Version, Started: s.started, Ready: s.ready.state(ctx), Outbox: -1,
		Errors: len(s.cfg.Recent.Records()), Administrator: operatorOf(ctx).name,
	}
	o.Sessions = len(s.sessionList())
	for _, t := range s.cfg.Watch.Transfers() {
		o.Transfers++
		if t.Verb == "upload" {
			o.RateIn += t.Rate
		} else {
			o.RateOut += t.Rate
		}
	}
	jobs, err := s.jobs(ctx)
	for _, j := range jobs {
		switch j.State {
		case JobRunning, JobElsewhere:
			o.JobsRunning++
		case JobHeld:
			o.JobsHeld++
		}
		if j.Last != nil && (j.Last.Result == "failed" || j.Last.Result == "incomplete") {
			o.JobsFailed++
		}
	}
	held, herr := s.held(ctx)
	bans, berr := s.bans(ctx)
	o.Quarantine, o.Bans = len(held), len(bans)
	if s.cfg.Outbox != nil {
		var oerr error
		o.Outbox, o.OutboxDead, oerr = s.cfg.Outbox(ctx)
		err = errors.Join(err, oerr)
	}
	for _, c := range s.certificates().Certificates {
		if o.DaysLeft == nil || c.DaysLeft < *o.DaysLeft {
			o.DaysLeft = &c.DaysLeft
		}
	}
	return o, errors.Join(err, herr, berr)
}

// sessionList is the sessions with their transfers.
func (s *Server) sessionList() []Session {
	list := []Session{}
	if s.cfg.Sessions != nil {
		list = append(list, s.cfg.Sessions.Sessions()...)
	}
	bySession := map[string][]Transfer{}
	for _, t := range s.cfg.Watch.Transfers() {
		bySession[t.Session] = append(bySession[t.Session], t)
	}
	for i := range list {
		list[i].Transfers = append([]Transfer{}, bySession[list[i].ID]...)
		if login := list[i].Login; login != "" {
			list[i].Transfers = append(list[i].Transfers, bySession[login]...)
		}
	}
	slices.SortStableFunc(list, func(a, b Session) int { return a.Since.Compare(b.Since) })
	return list
}

func (s *Server) jobs(ctx context.Context) ([]Job, error) {
	if s.cfg.Jobs == nil {
		return []Job{}, nil
	}
	list, err := s.cfg.Jobs.Jobs(ctx)
	return append([]Job{}, list...), err
}

func (s *Server) job(ctx context.Context, id string) (Job, error) {
	if s.cfg.Jobs == nil {
		return Job{}, fmt.Errorf("%w: no job %q", ErrNotFound, id)
	}
	return s.cfg.Jobs.Job(ctx, id)
}

func (s *Server) held(ctx context.Context) ([]Held, error) {
	if s.cfg.Quarantine == nil {
		return []Held{}, nil
	}
	list, err := s.cfg.Quarantine.Held(ctx)
	return append([]Held{}, list...), err
}

func (s *Server) heldFile(ctx context.Context, storage, id string) (Held, error) {
	if s.cfg.Quarantine == nil {
		return Held{}, fmt.Errorf("%w: nothing is in quarantine", ErrNotFound)
	}
	return s.cfg.Quarantine.HeldFile(ctx, storage, id)
}

func (s *Server) bans(ctx context.Context) ([]Ban, error) {
	if s.cfg.Bans == nil {
		return []Ban{}, nil
	}
	list, err := s.cfg.Bans.Banned(ctx)
	return append([]Ban{}, list...), err
}

func (s *Server) storages(ctx context.Context) ([]Storage, error) {
	if s.cfg.Storages == nil {
		return []Storage{}, nil
	}
	list, err := s.cfg.Storages.StorageUse(ctx)
	return append([]Storage{}, list...), err
}

// UserList is the users, and what is wrong with the files of others.
type UserList struct {
	Users    []User `json:"users"`
	Mistakes string `json:"mistakes"` // "": none
}

func (s *Server) users(ctx context.Context) (UserList, error) {
	l := UserList{Users: []User{}}
	if s.cfg.Users == nil {
		return l, nil
	}
	list, mistakes := s.cfg.Users.Users(ctx)
	if mistakes != nil {
		l.Mistakes = mistakes.Error()
	}
	l.Users = append(l.Users, list...)
	return l, ctx.Err()
}

// CertificateList is what clients can tell the gateway by.
type CertificateList struct {
	Certificates []Certificate `json:"certificates"`
	HostKeys     []string      `json:"host_keys"`
}

func (s *Server) certificates() CertificateList {
	l := CertificateList{Certificates: []Certificate{}, HostKeys: []string{}}
	if s.cfg.Certificates == nil {
		return l
	}
	l.Certificates = append(l.Certificates, s.cfg.Certificates.Certificates()...)
	l.HostKeys = append(l.HostKeys, s.cfg.Certificates.HostKeys()...)
	return l
}

func (s *Server) tokens(ctx context.Context) ([]Token, error) {
	list, err := s.cfg.Tokens.List(ctx)
	if list != nil && err != nil && ctx.Err() == nil {
		s.log.Error("files of tokens cannot be read; their tokens let nobody in", "error", err)
		err = nil
	}
	return append([]Token{}, list...), err
}
