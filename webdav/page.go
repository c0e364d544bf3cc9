package webdav

import (
	"context"
	"errors"
	"net/http"
	"net/netip"

	"gateway/storage"
)

// Page serves what people with browsers come for, beside WebDAV: see package page.
type Page interface {
	http.Handler
	// Serves reports whether a request is the page's. It decides by the request alone: no other
	// client than a browser may see a difference.
	Serves(r *http.Request) bool
}

// servePage has the page serve a request, at the pace that all have to keep. Its log is the page's own,
// since some of its paths are secrets.
func (h *Handler) servePage(w http.ResponseWriter, r *http.Request) {
	rw, body := h.paced(w, r)
	defer body.finish()
	h.cfg.Page.ServeHTTP(rw, body.of(r))
}

// CertificateUser is the user whom the client certificate of a request names, "" if none does; required says that
// nobody else may be let in.
func (h *Handler) CertificateUser(r *http.Request) (user string, required bool) {
	q := &request{Request: r, h: h}
	cert, clients := q.certificate()
	if cert != nil {
		user = clients.User(cert)
	}
	return user, clients.Required
}

// ParsePath turns the escaped path of a URL into a clean name; slash says that it ended in one.
func ParsePath(escaped string) (name string, slash bool, err error) { return parsePath(escaped) }

// Href is the escaped absolute path of a name, with a slash after a folder.
func Href(name string, folder bool) string { return href(name, folder) }

// Status is the HTTP status for an error, and what a client may read about it.
func Status(err error) (status int, text string) {
	var e *statusError
	if errors.As(err, &e) {
		return e.status, e.text
	}
	return statusOf(err)
}

// ServeFile answers GET or HEAD of an open file, with ranges and conditions. Type, disposition and
// what protects a browser from it are the caller's to set before. After an error what was sent is short,
// and the connection has to be broken.
func ServeFile(ctx context.Context, w http.ResponseWriter, r *http.Request, f storage.File) error {
	hd := w.Header()
	if info := f.Info(); info.ETag != "" {
		hd.Set("ETag", quoteETag(info))
	}
	hd.Set("Cache-Control", "private, no-cache")
	q := &request{Request: r}
	if r.Method == http.MethodHead {
		r.Header.Del("Range")
	} else {
		q.mendRange(f.Info().Size)
	}
	return serveBytes(ctx, w, r, f)
}

// RemoteAddr is the peer of the connection of a request.
func RemoteAddr(r *http.Request) netip.Addr { return remoteAddr(r) }
