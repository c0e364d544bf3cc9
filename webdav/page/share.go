package page

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"gateway/auth"
	"gateway/state"
	"gateway/storage"
)

// A link is 16 random bytes, its end, and a signature of both. The state knows the first 16 bytes only; without the
// key they are no link, and without a good signature the state is not asked.
const (
	shareID  = 16
	shareLen = shareID + 8 + 16
)

// sharedFile is a share as its owner sees it.
type sharedFile struct {
	state.Share
	Link string
	Page string // about the file
	Dead bool   // the file is not there any more, or may not be read
}

// term is for how long a link can be shared.
type term struct {
	Hours int
	Label string
}

func (h *Handler) terms() (list []term) {
	for _, t := range []term{{1, "1 hour"}, {24, "1 day"}, {7 * 24, "7 days"}, {30 * 24, "30 days"}, {90 * 24, "90 days"}, {365 * 24, "1 year"}} {
		if time.Duration(t.Hours)*time.Hour <= h.cfg.ShareLongest {
			list = append(list, t)
		}
	}
	return list
}

func (h *Handler) link(s state.Share) string {
	id, err := hex.DecodeString(s.ID)
	if err != nil {
		return ""
	}
	token := binary.BigEndian.AppendUint64(id, uint64(s.Expires.Unix()))
	token = append(token, h.sign("share", string(token))...)
	_, last := storage.Split(s.Name)
	return Prefix + "s/" + base64.RawURLEncoding.EncodeToString(token) + "/" + url.PathEscape(last)
}

// parseLink is the ID of a share; false for what this gateway has not signed, or what has expired.
func (h *Handler) parseLink(text string) (id string, ok bool) {
	token, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(token) != shareLen {
		return "", false
	}
	signed := token[:shareID+8]
	if !hmac.Equal(token[shareID+8:], h.sign("share", string(signed))) {
		return "", false
	}
	expires := time.Unix(int64(binary.BigEndian.Uint64(signed[shareID:])), 0)
	return hex.EncodeToString(token[:shareID]), h.now().Before(expires)
}

// key is what a share is bound to: the file, not the name that the user has for it.
func (q *request) key(name string) (string, bool) {
	v, ok := q.fs.(interface{ Key(name string) string })
	if !ok {
		return "", false
	}
	return v.Key(name), true
}

func (q *request) share(ctx context.Context, name string) error {
	hours, err := strconv.Atoi(q.PostFormValue("hours"))
	lasts := time.Duration(hours) * time.Hour
	if err != nil || hours < 1 || lasts > q.h.cfg.ShareLongest || hours > 24*366 {
		return refuse(http.StatusBadRequest, "A link cannot be shared for so long. Choose another time.")
	}
	f, err := q.unobserved().Open(ctx, name) // who may not read cannot share
	if err != nil {
		return q.fault(ctx, name, err)
	}
	_ = f.Close()
	key, ok := q.key(name)
	if !ok {
		return errors.ErrUnsupported
	}
	id := make([]byte, shareID)
	_, _ = rand.Read(id) // never fails
	now := q.h.now()
	err = q.h.cfg.State.AddShare(ctx, state.Share{
		ID: hex.EncodeToString(id), User: q.User, Name: name, Key: key, Created: now, Expires: now.Add(lasts).Truncate(time.Second),
	})
	if errors.Is(err, state.ErrLimit) {
		err = refuse(http.StatusConflict, "You share as many files as can be. Revoke some of the links first.")
	}
	if err != nil {
		return q.fault(ctx, name, err)
	}
	q.changed("shared", name, "hours", hours)
	return q.redirect(at("file", name), "shared")
}

// sharesOf are the user's shares of a name that are in force; of all names for "".
func (q *request) sharesOf(ctx context.Context, name string) (list []sharedFile, err error) {
	all, err := q.h.cfg.State.SharesOf(ctx, q.User)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if (name == "" || s.Name == name) && q.h.now().Before(s.Expires) {
			key, _ := q.key(s.Name)
			list = append(list, sharedFile{Share: s, Link: q.h.link(s), Page: at("file", s.Name), Dead: key != s.Key})
		}
	}
	return list, nil
}

type sharesPage struct {
	base
	Crumbs []crumb
	Shares []sharedFile
}

func (q *request) listShares(ctx context.Context, _ string) (err error) {
	p := &sharesPage{base: q.base("Shared links"), Crumbs: crumbs("")}
	if p.Shares, err = q.sharesOf(ctx, ""); err != nil {
		return err
	}
	for i := range p.Shares {
		if _, err := q.fs.Stat(ctx, p.Shares[i].Name); err != nil {
			p.Shares[i].Dead = true
		}
	}
	q.render(http.StatusOK, "shares", p)
	return nil
}

func (q *request) revoke(ctx context.Context, _ string) error {
	id := q.PostFormValue("id")
	s, err := q.h.cfg.State.Share(ctx, id)
	if err == nil && s.User == q.User {
		err = q.h.cfg.State.RemoveShare(ctx, id)
		q.changed("share revoked", s.Name)
	}
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return err
	}
	return q.redirect(Prefix+"shares", "revoked")
}

// errGone is all that somebody with a link learns of why it does not work.
var errGone = refuse(http.StatusNotFound, "This link does not work any more, or never did. Ask whoever sent it to you for a new one.")

type sharePage struct {
	base
	Info    storage.Info
	SHA256  []byte
	Expires time.Time
	By      string
	Href    string
}

// shared serves a link: to people a page with a button, to programs the file. It needs no login; what the user who shared
// it may not read any more, it does not show.
func (q *request) shared(ctx context.Context, rest string) error {
	q.w.Header().Set("Referrer-Policy", "no-referrer")
	q.w.Header().Set("X-Robots-Tag", "noindex")
	if q.Method != http.MethodGet && q.Method != http.MethodHead {
		return refuse(http.StatusMethodNotAllowed, "A link can only be opened.")
	}
	ctx = storage.WithOrigin(ctx, storage.Origin{Protocol: "share", Address: q.from})
	text, _, _ := strings.Cut(rest, "/")
	s, err := q.openShare(ctx, text)
	if err != nil {
		return err
	}
	f, err := q.fs.Open(ctx, s.Name)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.Join(errGone, q.h.cfg.State.RemoveShare(ctx, s.ID))
	}
	if err != nil {
		if status, _ := q.explain(err); status >= http.StatusInternalServerError {
			return err
		}
		return errGone
	}
	defer f.Close()
	if wantsHTML(q.Request) && q.URL.Query().Get("download") == "" {
		return q.showShared(ctx, s, f)
	}
	q.h.log.Info("page: shared file read", "name", s.Name, "user", s.User, "remote", q.from.String())
	q.attach(f.Info().Name)
	return q.serveFile(ctx, f)
}

// openShare finds what a link shares, and opens the files of the user who shares it.
func (q *request) openShare(ctx context.Context, text string) (state.Share, error) {
	id, ok := q.h.parseLink(text)
	if !ok || q.h.cfg.ShareLongest < 0 {
		return state.Share{}, errGone
	}
	s, err := q.h.cfg.State.Share(ctx, id)
	switch {
	case errors.Is(err, state.ErrNotFound):
		return s, errGone
	case err != nil:
		return s, fmt.Errorf("look up a share: %w", err)
	case !q.h.now().Before(s.Expires):
		return s, errGone
	}
	who, err := q.h.cfg.Auth.Vouched(ctx, netip.Addr{}, s.User, "share")
	switch {
	case errors.Is(err, auth.ErrCredentials), errors.Is(err, auth.ErrDisabled):
		return s, errGone
	case err != nil:
		return s, err
	}
	q.session = &session{identity: who}
	if q.fs, err = q.h.cfg.OpenShared(ctx, who); err != nil {
		return s, err
	}
	if key, ok := q.key(s.Name); !ok || key != s.Key { // the user's folders are others by now
		return s, errGone
	}
	return s, nil
}

func (q *request) showShared(ctx context.Context, s state.Share, f storage.File) error {
	p := &sharePage{
		base: base{Title: f.Info().Name, Site: q.h.cfg.Title, Bare: true},
		Info: f.Info(), Expires: s.Expires, By: s.User, Href: q.URL.EscapedPath() + "?download=1",
	}
	var err error
	if p.SHA256, _, err = q.sum(ctx, s.Name, maxHashed); err != nil {
		return err
	}
	q.render(http.StatusOK, "share", p)
	return nil
}
