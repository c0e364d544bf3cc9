package page

import (
	"context"
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gateway/auth"
)

type loginPage struct {
	base
	User, Next, Fault string
	SignIn            []SignIn
	Half              string // the first step is done: what says so
}

// codeTime is for how long a code can be given after the password.
const codeTime = 5 * time.Minute

// half is a login of which the code is still to come. The browser keeps it, signed.
type half struct {
	User  string    `json:"u"`
	Stamp string    `json:"s"`
	By    string    `json:"b"`
	From  string    `json:"f"`
	Until time.Time `json:"t"`
}

// login shows the form and takes it.
func (q *request) login(ctx context.Context) error {
	next := LocalPath(q.boundedValue("next"))
	switch q.Method {
	case http.MethodGet, http.MethodHead:
		err := q.enter(ctx)
		if err == nil {
			return q.redirect(next, "")
		}
		if !errors.Is(err, errNoSession) {
			return err
		}
		return q.beginLogin(ctx, next)
	case http.MethodPost:
		if step := q.PostFormValue("half"); step != "" {
			return q.tryCode(ctx, step, next)
		}
		return q.tryLogin(ctx, next)
	}
	return refuse(http.StatusMethodNotAllowed, "This cannot be done here.")
}

// boundedValue is FormValue of a form that is not longer than a login is.
func (q *request) boundedValue(name string) string {
	q.Body = http.MaxBytesReader(q.w, q.Body, maxForm)
	return q.FormValue(name)
}

// beginLogin shows the form, unless a client certificate is enough.
func (q *request) beginLogin(ctx context.Context, next string) error {
	user, _ := q.h.cfg.Certificate(q.Request)
	certificates, ok := q.h.cfg.Auth.(auth.CertificateLogin)
	if user == "" || !ok || q.URL.Query().Get("said") != "" { // who has just logged out is not logged in again
		q.showLogin(http.StatusOK, loginPage{Next: next, User: user})
		return nil
	}
	if id, err := certificates.ClientCertificate(ctx, q.from, user); err == nil && !id.NeedsPassword {
		return q.proved(ctx, id, next)
	}
	q.showLogin(http.StatusOK, loginPage{Next: next, User: user})
	return nil
}

// prove checks a password, with a client certificate before it where there is one of the user.
func (q *request) prove(ctx context.Context, user, password string) (auth.Identity, error) {
	named, required := q.h.cfg.Certificate(q.Request)
	certificates, ok := q.h.cfg.Auth.(auth.CertificateLogin)
	if named != "" && named == user && ok {
		id, err := certificates.ClientCertificate(ctx, q.from, user)
		if err == nil && id.NeedsPassword {
			return certificates.PasswordToo(ctx, q.from, id, password)
		}
		if required {
			return id, err
		}
	}
	if required {
		q.h.cfg.Auth.Failed(q.from)
		return auth.Identity{}, auth.ErrCredentials
	}
	return q.h.cfg.Auth.Password(ctx, q.from, user, password)
}

func (q *request) tryLogin(ctx context.Context, next string) error {
	user, password := q.PostFormValue("user"), q.PostFormValue("password")
	if err := q.h.cfg.Auth.Allowed(q.from); err != nil {
		return q.loginFailed(ctx, err, user, next)
	}
	id, err := q.prove(ctx, user, password)
	if err != nil {
		return q.loginFailed(ctx, err, user, next)
	}
	return q.proved(ctx, id, next)
}

// proved goes on after the first step of a login.
func (q *request) proved(ctx context.Context, id auth.Identity, next string) error {
	if id.NeedsCode {
		q.showLogin(http.StatusOK, loginPage{Next: next, Half: q.half(id)})
		return nil
	}
	return q.finishLogin(ctx, id, next)
}

func (q *request) finishLogin(ctx context.Context, id auth.Identity, next string) error {
	if err := q.h.start(ctx, q.w, q, id); err != nil {
		return err
	}
	return q.redirect(next, "")
}

func (q *request) half(id auth.Identity) string {
	data, _ := json.Marshal(half{id.User.Name, id.User.Stamp(), id.By, q.from.String(), q.h.now().Add(codeTime)}) // strings and a time
	text := base64.RawURLEncoding.EncodeToString(data)
	return text + "." + base64.RawURLEncoding.EncodeToString(q.h.sign("code", text))
}

// parseHalf is false for what this gateway has not signed, what is of another address, or has taken too long.
func (q *request) parseHalf(step string) (h half, ok bool) {
	text, mac, _ := strings.Cut(step, ".")
	sum, err := base64.RawURLEncoding.DecodeString(mac)
	if err != nil || !hmac.Equal(sum, q.h.sign("code", text)) {
		return h, false
	}
	data, err := base64.RawURLEncoding.DecodeString(text)
	ok = err == nil && json.Unmarshal(data, &h) == nil
	return h, ok && h.From == q.from.String() && q.h.now().Before(h.Until)
}

// tryCode takes the code after the password. The Authenticator counts codes that are wrong.
func (q *request) tryCode(ctx context.Context, step, next string) error {
	again := loginPage{Next: next, Fault: "The login took too long. Begin again."}
	h, ok := q.parseHalf(step)
	if !ok {
		q.showLogin(http.StatusForbidden, again)
		return nil
	}
	factor, ok := q.h.cfg.Auth.(auth.SecondFactor)
	if !ok {
		return fmt.Errorf("the user %q has to give a code, and nothing can check it", h.User)
	}
	id, err := q.h.cfg.Auth.Vouched(ctx, q.from, h.User, h.By)
	if err == nil && id.User.Stamp() != h.Stamp {
		q.showLogin(http.StatusForbidden, again)
		return nil
	}
	if err == nil {
		id.NeedsCode = true
		id, err = factor.Code(ctx, q.from, id, strings.ReplaceAll(q.PostFormValue("code"), " ", ""))
	}
	if errors.Is(err, auth.ErrCredentials) {
		q.refused(ctx, h.User, h.By+"+code", err)
		q.showLogin(http.StatusForbidden, loginPage{Next: next, Half: step, Fault: "The code is not right. Wait for the next one and try again."})
		return nil
	}
	if err != nil {
		return q.loginFailed(ctx, err, h.User, next)
	}
	return q.finishLogin(ctx, id, next)
}

// refused tells of a login that was not let in. Who cannot be checked has not been refused.
func (q *request) refused(ctx context.Context, user, by string, err error) {
	if errors.Is(err, auth.ErrCredentials) || errors.Is(err, auth.ErrDisabled) || errors.Is(err, auth.ErrBanned) {
		auth.Tell(ctx, q.h.cfg.Auth, auth.LoginEvent{Kind: auth.LoginRefused, From: q.from, User: user, By: by, Err: err})
	}
}

// loginFailed shows the form again. The Authenticator has logged why, and has counted it.
func (q *request) loginFailed(ctx context.Context, err error, user, next string) error {
	p := loginPage{User: user, Next: next}
	q.refused(ctx, user, "password", err)
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
	auth.Tell(ctx, q.h.cfg.Auth, auth.LoginEvent{Kind: auth.LoggedOut, From: q.from, User: q.User, By: q.By, Lasted: q.h.now().Sub(q.Created).Round(time.Second)})
	http.SetCookie(q.w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	q.w.Header().Set("Clear-Site-Data", `"cache"`)
	return q.redirect(Prefix+"login", "out")
}

// StartSession logs a user in who has proved who they are to somebody else, whom the caller trusts. by says how, for the
// log. It sets the cookie; the answer is the caller's to write. auth.ErrCredentials if there is no such user,
// auth.ErrDisabled if they may not log in.
func (h *Handler) StartSession(w http.ResponseWriter, r *http.Request, user, by string) error {
	q := newRequest(h, w, r)
	id, err := h.cfg.Auth.Vouched(r.Context(), q.from, user, by)
	if err != nil {
		return err
	}
	return h.start(r.Context(), w, q, id)
}
