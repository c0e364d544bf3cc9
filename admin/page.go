package admin

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"gateway/auth"
)

//go:embed templates static
var assets embed.FS

// maxRows bounds the rows of a table of the page; the API has the rest.
const maxRows = 500

// templates are the pages, each with the layout around it.
var templates = func() map[string]*template.Template {
	layout := template.Must(template.New("layout.html").Funcs(functions()).ParseFS(assets, "templates/layout.html"))
	all := map[string]*template.Template{}
	files, err := assets.ReadDir("templates")
	if err != nil {
		panic(err) // they are embedded
	}
	for _, f := range files {
		if f.Name() != "layout.html" {
			page := template.Must(layout.Clone())
			all[strings.TrimSuffix(f.Name(), ".html")] = template.Must(page.ParseFS(assets, "templates/"+f.Name()))
		}
	}
	return all
}()

// view is what a template gets.
type view struct {
	Title  string
	Nav    []navItem // none: nobody has logged in
	Admin  string
	CSRF   string
	Said   string // of the act before
	Failed bool   // Said is why it was not done
	Live   bool   // the script asks for news
	Zone   string
	Data   any
	More   int // rows that are left out
}

type navItem struct {
	Path, Title string
	Here        bool
	Count       int // 0: none is shown
}

// page is one page of those who have logged in.
type page struct {
	path, template, title string
	live                  bool
	data                  func(ctx context.Context, r *http.Request) (any, error)
}

func (s *Server) allPages() []page {
	return []page{
		{"/{$}", "overview", "Overview", true, s.overviewPage},
		{"/jobs", "jobs", "Migrations and pushes", true, func(ctx context.Context, _ *http.Request) (any, error) { return s.jobs(ctx) }},
		{"/jobs/{id}", "job", "Job", true, func(ctx context.Context, r *http.Request) (any, error) { return s.job(ctx, r.PathValue("id")) }},
		{"/quarantine", "quarantine", "Quarantine", true, func(ctx context.Context, _ *http.Request) (any, error) { return s.held(ctx) }},
		{"/quarantine/{storage}/{id}", "held", "File in quarantine", false, func(ctx context.Context, r *http.Request) (any, error) {
			return s.heldFile(ctx, r.PathValue("storage"), r.PathValue("id"))
		}},
		{"/sessions", "sessions", "Sessions", true, func(context.Context, *http.Request) (any, error) { return s.sessionList(), nil }},
		{"/bans", "bans", "Bans", true, func(ctx context.Context, _ *http.Request) (any, error) { return s.bans(ctx) }},
		{"/storage", "storage", "Storage", false, func(ctx context.Context, _ *http.Request) (any, error) { return s.storages(ctx) }},
		{"/users", "users", "Users", false, func(ctx context.Context, _ *http.Request) (any, error) { return s.users(ctx) }},
		{"/certificates", "certificates", "Certificates and keys", false, func(context.Context, *http.Request) (any, error) { return s.certificates(), nil }},
		{"/log", "log", "Warnings and errors", true, func(context.Context, *http.Request) (any, error) { return s.cfg.Recent.Records(), nil }},
		{"/tokens", "tokens", "Tokens of the API", false, func(ctx context.Context, _ *http.Request) (any, error) { return s.tokens(ctx) }},
	}
}

// nav is the pages that lead everywhere.
func (s *Server) nav(here string) []navItem {
	items := []navItem{
		{Path: "/", Title: "Overview"}, {Path: "/jobs", Title: "Jobs"}, {Path: "/quarantine", Title: "Quarantine"},
		{Path: "/sessions", Title: "Sessions"}, {Path: "/bans", Title: "Bans"}, {Path: "/storage", Title: "Storage"},
		{Path: "/users", Title: "Users"}, {Path: "/certificates", Title: "Certificates"}, {Path: "/log", Title: "Log"}, {Path: "/tokens", Title: "Tokens"},
	}
	for i := range items {
		p := items[i].Path
		items[i].Here = here == p || p != "/" && strings.HasPrefix(here, p+"/")
	}
	return items
}

// pages are the routes of the page.
func (s *Server) pages() []route {
	var all []route
	for _, p := range s.allPages() {
		all = append(all, route{"GET", p.path, byPage, s.showPage(p)})
	}
	post := func(pattern string, act func(r *http.Request) (said, back string, err error)) {
		all = append(all, route{"POST", pattern, byPage, s.doAndShow(act)})
	}
	for _, what := range []string{"run", "stop", "resume"} {
		said := map[string]string{"run": "The job begins.", "stop": "The job stops, and its schedule is held.", "resume": "The schedule goes on."}[what]
		post("/jobs/{id}/"+what, func(r *http.Request) (string, string, error) {
			id := r.PathValue("id")
			return said, "/jobs/" + url.PathEscape(id), s.actOnJob(r, what, id)
		})
	}
	for what, said := range map[string]string{"release": "Released: the file is published.", "reject": "Rejected: the file was thrown away."} {
		post("/quarantine/{storage}/{id}/"+what, func(r *http.Request) (string, string, error) {
			storage, id := r.PathValue("storage"), r.PathValue("id")
			err := s.decide(r, what, storage, id, r.PostFormValue("reason"))
			if err != nil {
				return "", "/quarantine/" + url.PathEscape(storage) + "/" + url.PathEscape(id), err
			}
			return said, "/quarantine", nil
		})
	}
	post("/sessions/{id}/close", func(r *http.Request) (string, string, error) {
		return "The session was closed.", "/sessions", s.closeSession(r, r.PathValue("id"))
	})
	post("/bans", s.banForm)
	post("/bans/lift", func(r *http.Request) (string, string, error) {
		return "The ban was lifted.", "/bans", s.liftBan(r, r.PostFormValue("network"))
	})
	for what, disabled := range map[string]bool{"disable": true, "enable": false} {
		post("/users/{name}/"+what, func(r *http.Request) (string, string, error) {
			name := r.PathValue("name")
			return "User " + shown(name) + " is " + what + "d.", "/users", s.disableUser(r, name, disabled)
		})
	}
	post("/tokens/{name}/revoke", func(r *http.Request) (string, string, error) {
		return "The token was revoked.", "/tokens", s.revokeToken(r, r.PathValue("name"))
	})
	return append(all, route{"POST", "/logout", byPage, s.logout})
}

func (s *Server) banForm(r *http.Request) (said, back string, err error) {
	minutes, err := strconv.ParseInt(strings.TrimSpace(r.PostFormValue("minutes")), 10, 32)
	if err != nil {
		minutes = 0 // which is refused, as what was meant is not known
	}
	return "The network is banned.", "/bans", s.ban(r, strings.TrimSpace(r.PostFormValue("network")), minutes*60, r.PostFormValue("reason"))
}

// showPage gathers what a page shows and renders it.
func (s *Server) showPage(p page) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), workTimeout)
		defer cancel()
		v := s.newView(r, p.title)
		v.Live = p.live
		data, err := p.data(ctx, r)
		if err != nil {
			v.Title, v.Data = http.StatusText(statusOf(err)), err.Error()
			render(w, statusOf(err), "failed", v)
			return
		}
		if named, ok := data.(interface{ pageTitle() string }); ok {
			v.Title = named.pageTitle()
		}
		v.Data, v.More = cut(data)
		render(w, http.StatusOK, p.template, v)
	}
}

// newView is a view with what all pages have.
func (s *Server) newView(r *http.Request, title string) view {
	zone, _ := time.Now().Zone()
	v := view{Title: title, Zone: zone}
	who := operatorOf(r.Context())
	if who.session == nil {
		return v
	}
	v.Nav, v.Admin, v.CSRF = s.nav(r.URL.Path), who.name, who.session.csrf
	if r.Header.Get("X-Refresh") == "" {
		v.Said, v.Failed = s.sessions.takeSaid(who.session)
	}
	return v
}

// cut leaves out rows beyond maxRows.
func cut(data any) (any, int) {
	switch list := data.(type) {
	case []Held:
		return cutList(list)
	case []Session:
		return cutList(list)
	case []Ban:
		return cutList(list)
	case []Job:
		return cutList(list)
	case UserList:
		var more int
		list.Users, more = cutList(list.Users)
		return list, more
	}
	return data, 0
}

func cutList[T any](list []T) ([]T, int) {
	n := min(len(list), maxRows)
	return list[:n], len(list) - n
}

func render(w http.ResponseWriter, status int, name string, v view) {
	var b bytes.Buffer
	if err := templates[name].Execute(&b, v); err != nil {
		panic(fmt.Errorf("template %s: %w", name, err)) // a defect, logged by everything
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // who does not take it is gone
}

// doAndShow does what a form asks for and goes back to a page, which says what became of it.
func (s *Server) doAndShow(act func(r *http.Request) (said, back string, err error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		said, back, err := act(r)
		if err != nil {
			said = "Not done: " + err.Error()
		}
		s.sessions.say(operatorOf(r.Context()).session, said, err != nil)
		http.Redirect(w, r, back, http.StatusSeeOther)
	}
}

func static(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	data, err := assets.ReadFile(path.Join("static", path.Base(name)))
	if err != nil {
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	types := map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
	w.Header().Set("Content-Type", types[path.Ext(name)])
	w.Header().Set("Cache-Control", "max-age=300")
	_, _ = w.Write(data) // who does not take it is gone
}

// loginPage asks for name and password.
func (s *Server) loginPage(w http.ResponseWriter, r *http.Request) {
	if s.sessionOf(r) != nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	v := s.newView(r, "Log in")
	v.Data = map[string]string{"To": localPath(r.URL.Query().Get("to"))}
	render(w, http.StatusOK, "login", v)
}

// localPath is a path of this site, or "/".
func localPath(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") || strings.ContainsAny(to, "\\\r\n\t") {
		return "/"
	}
	return to
}

// loginPost checks them. The answer to a wrong one is held back by the authenticator.
func (s *Server) loginPost(w http.ResponseWriter, r *http.Request) {
	name, to := r.PostFormValue("name"), localPath(r.PostFormValue("to"))
	id, err := s.login(r.Context(), remoteAddr(r), name, r.PostFormValue("password"), strings.TrimSpace(r.PostFormValue("code")))
	s.cfg.Watch.LoggedIn("admin", err == nil)
	s.told(r.Context(), Act{By: shown(name[:min(len(name), 64)]), Address: addressText(remoteAddr(r)), What: "login", Err: err})
	if err != nil {
		v := s.newView(r, "Log in")
		v.Said, v.Failed = "That did not work: "+errLogin.Error()+".", true
		status := http.StatusForbidden
		if errors.Is(err, auth.ErrBanned) {
			status = http.StatusTooManyRequests
		}
		v.Data = map[string]string{"To": to, "Name": name}
		render(w, status, "login", v)
		return
	}
	setCookie(w, s.sessions.begin(id), int(loginLongest/time.Second))
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(cookieName); err == nil {
		s.sessions.end(c.Value)
	}
	setCookie(w, "", -1)
	s.told(r.Context(), Act{By: operatorOf(r.Context()).name, Address: addressText(remoteAddr(r)), What: "logout"})
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// overviewData is what the first page shows.
type overviewData struct {
	Overview
	Rates     Rates
	Running   []Job
	Transfers []Transfer
	Storages  []Storage
	Recent    []LogRecord
}

func (s *Server) overviewPage(ctx context.Context, _ *http.Request) (any, error) {
	o, err := s.overview(ctx)
	if err != nil {
		return nil, err
	}
	d := overviewData{Overview: o, Rates: s.cfg.Watch.Rates()}
	jobs, err := s.jobs(ctx)
	for _, j := range jobs {
		if j.Progress != nil {
			d.Running = append(d.Running, j)
		}
	}
	const few = 10
	d.Transfers = s.cfg.Watch.Transfers()
	d.Transfers = d.Transfers[:min(len(d.Transfers), few)]
	d.Recent = s.cfg.Recent.Records()
	d.Recent = d.Recent[:min(len(d.Recent), few/2)]
	return d, err
}

// pageTitle is what the job is called.
func (j Job) pageTitle() string {
	if j.Name != "" {
		return j.Name
	}
	return j.ID
}

// pageTitle is the name of the file.
func (h Held) pageTitle() string { return shown(path.Base(h.Path)) }
