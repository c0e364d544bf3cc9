package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"html/template"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"gateway/storage"
	"gateway/webdav"
)

//go:embed assets
var assetFiles embed.FS

//go:embed templates
var templateFiles embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"size":    func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) },
	"bytes":   humanize.Comma,
	"stamp":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"day":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
	"at":      at,
	"folder":  func(name string) string { return webdav.Href(name, true) },
	"asset":   assetPath,
	"toInt64": func(n int) int64 { return int64(n) },
	"hex":     hex.EncodeToString,
}).ParseFS(templateFiles, "templates/*.html"))

// at is the path of what a verb does with a name.
func at(verb, name string) string { return Prefix + verb + webdav.Href(name, false) }

// assetPath has a hash of what is there, so that browsers keep it until it changes.
func assetPath(name string) (string, error) {
	data, err := assetFiles.ReadFile("assets/" + name)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return Prefix + "assets/" + hex.EncodeToString(sum[:6]) + "/" + name, nil
}

// asset serves what is embedded.
func (q *request) asset(rest string) error {
	hash, name, _ := strings.Cut(rest, "/")
	data, err := assetFiles.ReadFile("assets/" + name)
	if err != nil || q.Method != http.MethodGet && q.Method != http.MethodHead {
		return refuse(http.StatusNotFound, "There is no such page.")
	}
	sum := sha256.Sum256(data)
	hd := q.w.Header()
	hd.Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	if hash == hex.EncodeToString(sum[:6]) {
		hd.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(q.w, q.Request, "", time.Time{}, bytes.NewReader(data))
	return nil
}

// base is what every page shows.
type base struct {
	Title, Site  string
	User, Token  string // "" where nobody has logged in
	Said         string // what was just done
	Narrow, Bare bool   // Bare: no links to other pages
}

// said are the messages after something was done, by what stands in the address.
var said = map[string]string{
	"made":    "The folder is made.",
	"renamed": "It is renamed.",
	"deleted": "It is deleted.",
	"sent":    "The upload is complete.",
	"shared":  "The link is ready.",
	"revoked": "The link works no more.",
	"out":     "You are logged out.",
}

func (q *request) base(title string) base {
	b := base{Title: title, Site: q.h.cfg.Title, Said: said[q.URL.Query().Get("said")]}
	if q.session != nil && q.session.ID != "" { // and not one who only shares
		b.User, b.Token = q.identity.User.Name, q.token()
	}
	return b
}

// minCompressed is from what size on a page is compressed.
const minCompressed = 4 << 10

// render writes a page. It is made in memory first, so that a fault in the middle is no half of one.
func (q *request) render(status int, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name+".html", data); err != nil {
		q.h.log.Error("page: cannot be rendered", "page", name, "err", err)
		http.Error(q.w, "The server could not do this; its log says why.", http.StatusInternalServerError)
		return
	}
	hd := q.w.Header()
	hd.Set("Content-Type", "text/html; charset=utf-8")
	hd.Add("Vary", "Accept, Accept-Encoding, Cookie")
	if b.Len() < minCompressed || !strings.Contains(q.Header.Get("Accept-Encoding"), "gzip") {
		q.w.WriteHeader(status)
		if q.Method != http.MethodHead {
			_, _ = b.WriteTo(q.w)
		}
		return
	}
	hd.Set("Content-Encoding", "gzip")
	q.w.WriteHeader(status)
	if q.Method == http.MethodHead {
		return
	}
	z, _ := gzip.NewWriterLevel(q.w, gzip.BestSpeed) // the level is valid
	_, _ = b.WriteTo(z)
	_ = z.Close() // who is gone does not miss it
}

// crumb is a folder above, in the path that a page shows.
type crumb struct{ Name, Href string }

// crumbs are the folders above a name, from the root down; of a folder it is the last one itself.
func crumbs(name string) []crumb {
	all := []crumb{{"Files", "/"}}
	for i, r := range name + "/" {
		if r == '/' && i > 0 {
			_, last := storage.Split(name[:i])
			all = append(all, crumb{last, webdav.Href(name[:i], true)})
		}
	}
	return all
}
