package page

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"gateway/storage"
	"gateway/webdav"
)

const (
	maxText    = 256 << 10 // bytes of a text that are shown
	maxPicture = 32 << 20  // of a picture
	sniffed    = 512       // bytes by which the type of a picture is told
)

type filePage struct {
	base
	Name, Folder string
	Crumbs       []crumb
	Info         storage.Info
	Dir          bool
	SHA256       []byte
	TooLarge     bool // to be read for its digest without being asked
	Proof        *Published
	Same         bool // the bytes are those that were judged
	Kind         string
	Text         string
	TextCut      bool
	May          rights
	Shares       []sharedFile
	Terms        []term
	Fault        string
}

// file shows all that is known of a file or folder, and what can be done with it.
func (q *request) file(ctx context.Context, name string) error {
	return q.showFile(ctx, name, http.StatusOK, "")
}

func (q *request) showFile(ctx context.Context, name string, status int, fault string) error {
	info, err := q.fs.Stat(ctx, name)
	if err != nil {
		return err
	}
	folder, last := storage.Split(name)
	p := &filePage{
		base: q.base(last), Name: name, Folder: webdav.Href(folder, true), Crumbs: crumbs(folder), Info: info, Dir: info.IsDir(),
		May: q.rights(name), Terms: q.h.terms(), Fault: fault,
	}
	if name == "" {
		return q.redirect("/", "")
	}
	if p.Dir || !p.May.Read {
		q.render(status, "file", p)
		return nil
	}
	if err := q.proof(ctx, p); err != nil {
		return err
	}
	if err := q.preview(ctx, p); err != nil {
		return err
	}
	if p.Shares, err = q.sharesOf(ctx, name); err != nil {
		return err
	}
	q.render(status, "file", p)
	return nil
}

// proof finds the digest of a file and where it came from.
func (q *request) proof(ctx context.Context, p *filePage) (err error) {
	limit := int64(maxHashed)
	if q.URL.Query().Get("digest") != "" {
		limit = 1<<63 - 1
	}
	if p.SHA256, _, err = q.sum(ctx, p.Name, limit); err != nil {
		return err
	}
	p.TooLarge = p.SHA256 == nil
	if p.Proof, err = q.published(ctx, p.Name); err != nil {
		return err
	}
	p.Same = p.Proof != nil && bytes.Equal(p.Proof.SHA256, p.SHA256)
	return nil
}

// preview decides by the bytes, not by the name, what can be shown. Only what is shown has been read by the user.
func (q *request) preview(ctx context.Context, p *filePage) error {
	head, size, err := beginning(ctx, q.unobserved(), p.Name, maxText)
	if err != nil {
		return err
	}
	if pictureType(head) != "" && size <= maxPicture {
		p.Kind = "picture" // which the browser asks for
		return nil
	}
	if _, ok := asText(head, size > maxText); !ok || size == 0 {
		return nil
	}
	if head, size, err = beginning(ctx, q.fs, p.Name, maxText); err != nil {
		return err
	}
	p.Kind, p.TextCut = "text", size > maxText
	p.Text, _ = asText(head, p.TextCut)
	return nil
}

// beginning reads the first bytes of a file, and tells how many it has.
func beginning(ctx context.Context, tree storage.FS, name string, limit int64) (head []byte, size int64, err error) {
	f, err := tree.Open(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	size = f.Info().Size
	head = make([]byte, min(size, limit))
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, size, err
	}
	return head[:n], size, nil
}

// asText is what a file says, if it is text: UTF-8, or bytes of a code page of the West.
func asText(data []byte, cut bool) (string, bool) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	for _, c := range data {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != 0x1b || c == 0x7f {
			return "", false
		}
	}
	whole := data
	for i := 0; cut && i < utf8.UTFMax-1 && len(whole) > 0 && !utf8.Valid(whole); i++ {
		whole = whole[:len(whole)-1] // a character that is cut through
	}
	if utf8.Valid(whole) {
		return string(whole), true
	}
	text, err := charmap.Windows1252.NewDecoder().Bytes(data)
	return string(text), err == nil
}

// pictureType is the type of a picture that browsers show and that cannot act; "" for anything else. It goes by the
// bytes.
func pictureType(head []byte) string {
	switch t := http.DetectContentType(head[:min(len(head), sniffed)]); t {
	case "image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp":
		return t
	}
	return ""
}

// guardFile sets what keeps the bytes of a file from acting as a page of this server.
func guardFile(hd http.Header) {
	hd.Set("Content-Security-Policy", "sandbox; default-src 'none'; frame-ancestors 'none'")
	hd.Set("X-Content-Type-Options", "nosniff")
}

// picture serves a picture to the page that shows it.
func (q *request) picture(ctx context.Context, name string) error {
	f, err := q.fs.Open(ctx, name)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, sniffed)
	n, err := f.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	kind := pictureType(head[:n])
	if kind == "" || f.Info().Size > maxPicture {
		return refuse(http.StatusUnsupportedMediaType, "This is no picture that can be shown. Download it instead.")
	}
	guardFile(q.w.Header())
	q.w.Header().Set("Content-Type", kind)
	return q.serveFile(ctx, f)
}

// download serves a file to be kept, never to be shown.
func (q *request) download(ctx context.Context, name string) error {
	f, err := q.fs.Open(ctx, name)
	if errors.Is(err, storage.ErrIsDir) {
		return q.redirect(webdav.Href(name, true), "")
	}
	if err != nil {
		return err
	}
	defer f.Close()
	q.attach(f.Info().Name)
	return q.serveFile(ctx, f)
}

// attach has the browser keep what comes, under a name.
func (q *request) attach(name string) {
	hd := q.w.Header()
	guardFile(hd)
	disposition := mime.FormatMediaType("attachment", map[string]string{"filename": name})
	if disposition == "" {
		disposition = "attachment"
	}
	hd.Set("Content-Disposition", disposition)
	hd.Set("Content-Type", "application/octet-stream")
}

func extension(name string) string {
	if i := strings.LastIndexByte(name, '.'); i > 0 {
		return name[i:]
	}
	return ""
}

func (q *request) serveFile(ctx context.Context, f storage.File) error {
	if err := webdav.ServeFile(ctx, q.w, q.Request, f); err != nil {
		if ctx.Err() == nil {
			q.h.log.Warn("page: download broken off", "name", f.Info().Name, "err", err)
		}
		panic(http.ErrAbortHandler)
	}
	return nil
}
