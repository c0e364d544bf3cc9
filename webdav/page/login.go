package page

import (
	"context"
	"errors"
	"net/http"

	"gateway/auth"
)

type loginPage struct {
	base
	User, Next, Fault string
	SignIn            []SignIn
}

// login shows the form and takes it.
func (q *request) login(ctx context.Context) error {
	next := localPath(q.boundedValue("next"))
	switch q.Method {
	case http.MethodGet, http.MethodHead:
		err := q.enter(ctx)
		if err == nil {
			return q.redirect(next, "")
		}
		if !errors.Is(err, errNoSession) {
			return err
		}
		q.showLogin(http.StatusOK, loginPage{Next: next})
		return nil
	case http.MethodPost:
		return q.tryLogin(ctx, next)
	}
	return refuse(http.StatusMethodNotAllowed, "This cannot be done here.")
}

// boundedValue is FormValue of a form that is not longer than a login is.
func (q *request) boundedValue(name string) string {
	q.Body = http.MaxBytesReader(q.w, q.Body, maxForm)
	return q.FormValue(name)
}

func (q *request) tryLogin(ctx context.Context, next string) error {
	user, password := q.PostFormValue("user"), q.PostFormValue("password")
	if err := q.h.cfg.Auth.Allowed(q.from); err != nil {
		return q.loginFailed(err, user, next)
	}
	id, err := q.h.cfg.Auth.Password(ctx, q.from, user, password)
	if err != nil {
		return q.loginFailed(err, user, next)
	}
	if err := q.h.start(ctx, q.w, q, id); err != nil {
		return err
	}
	return q.redirect(next, "")
}

// loginFailed shows the form again. The Authenticator has logged why, and has counted it.
func (q *request) loginFailed(err error, user, next string) error {
	p := loginPage{User: user, Next: next}
	switch {
	case errors.Is(err, auth.ErrBanned):
		p.Fault = "There were too many failed logins from your address. Wait a while, then try again."
		q.showLogin(http.StatusTooManyRequests, p)
	case errors.Is(err, auth.ErrBusy), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		p.Fault = "The server is busy. Try again in a moment."
		q.showLogin(http.StatusServiceUnavailable, p)
	case errors.Is(err, auth.ErrCredentials), errors.Is(err, auth.ErrDisabled):
		p.Fault = "The user name or the password is not right."
		q.showLogin(http.StatusForbidden, p)
	default:
		return err
	}
	return nil
}

func (q *request) showLogin(status int, p loginPage) {
	p.base, p.SignIn = q.base("Log in"), q.h.cfg.SignIn
	q.render(status, "login", &p)
}

func (q *request) logout(ctx context.Context, _ string) error {
	if err := q.h.sessions.end(ctx, q.session.ID); !errors.Is(err, errNoSession) {
		return err
	}
	http.SetCookie(q.w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	q.w.Header().Set("Clear-Site-Data", `"cache"`)
	return q.redirect(Prefix+"login", "out")
}

// StartSession logs a user in who has proved who they are to somebody else, whom the caller trusts. by says how, for the
// log. It sets the cookie; the answer is the caller's to write. auth.ErrCredentials if there is no such user,
// auth.ErrDisabled if they may not log in.
func (h *Handler) StartSession(w http.ResponseWriter, r *http.Request, user, by string) error {
	q := newRequest(h, w, r)
	id, err := h.cfg.Auth.Vouched(r.Context(), user, by)
	if err != nil {
		return err
	}
	return h.start(r.Context(), w, q, id)
}
