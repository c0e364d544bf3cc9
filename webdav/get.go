package webdav

import (
	"context"
	"errors"
	"html/template"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"gateway/storage"
)

// maxListing is how many entries the HTML listing shows.
const maxListing = 10_000

// get serves GET and HEAD (RFC 9110 sections 9.3.1 and 9.3.2), with ranges and
// conditions.
func (q *request) get(ctx context.Context) error {
	f, err := q.fs.Open(ctx, q.name)
	if errors.Is(err, storage.ErrIsDir) {
		return q.listing(ctx)
	}
	if err != nil {
		return as(err, http.StatusNotFound, "there is nothing here", storage.ErrNotDir)
	}
	defer f.Close()
	if q.slash {
		return refuse(http.StatusNotFound, "this is a file, not a folder")
	}
	info := f.Info()
	kind := contentType(info.Name)
	hd := q.w.Header()
	hd.Set("Content-Type", kind)
	if info.ETag != "" {
		hd.Set("ETag", quoteETag(info))
	}
	q.h.file.set(hd)
	if active(kind) {
		hd.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": info.Name}))
	}
	if q.Method == http.MethodHead {
		q.Header.Del("Range") // it has a meaning with GET only (RFC 9110 section 14.2)
	} else {
		q.mendRange(info.Size)
	}
	if err := q.offerDigest(ctx, f); err != nil {
		return err
	}
	if q.Header.Get("Range") == "" { // many ranges can have more bytes between them than the file
		q.w.gather(q.Request, info.Size)
	}
	return serveBytes(ctx, q.w, q.Request, f)
}

// serveBytes answers with the bytes of a file under the headers that are set. After an
// error what was sent is short; the client must not take it for the file.
func serveBytes(ctx context.Context, w http.ResponseWriter, r *http.Request, f storage.File) error {
	body := &fileReader{ctx: ctx, SectionReader: io.NewSectionReader(f, 0, f.Info().Size), rest: newRest(w, r.ProtoMajor)}
	http.ServeContent(w, r, "", f.Info().ModTime, body)
	return body.err
}

// mendRange makes of the Range header what http.ServeContent serves as RFC 9110 has it: a
// unit that is not known is ignored (section 14.2), and a suffix of length 0, for which it
// would send an impossible Content-Range, is not satisfied (section 14.1.3).
func (q *request) mendRange(size int64) {
	unit, specs, ok := strings.Cut(q.Header.Get("Range"), "=")
	if !ok || !strings.EqualFold(unit, "bytes") {
		q.Header.Del("Range")
		return
	}
	var kept []string
	for spec := range strings.SplitSeq(specs, ",") {
		digits, suffix := strings.CutPrefix(strings.TrimSpace(spec), "-")
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if !suffix || err != nil || n != 0 {
			kept = append(kept, spec)
		}
	}
	if len(kept) == 0 {
		kept = append(kept, strconv.FormatInt(size, 10)+"-")
	}
	q.Header.Set("Range", "bytes="+strings.Join(kept, ","))
}

// fileReader remembers an error, which http.ServeContent would not tell.
type fileReader struct {
	*io.SectionReader
	ctx  context.Context
	err  error
	rest *rest
}

func (r *fileReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		r.err = err
		return 0, err
	}
	r.rest.begin()
	n, err := r.SectionReader.Read(p)
	r.rest.end()
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

const octetStream = "application/octet-stream"

// contentType goes by the extension alone; content is never sniffed.
func contentType(name string) string {
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return octetStream
}

// active reports whether a browser would run what a file of this type contains.
func active(kind string) bool {
	if kind == octetStream {
		return false
	}
	t, _, err := mime.ParseMediaType(kind)
	return err != nil || strings.HasPrefix(t, "multipart/") ||
		strings.HasSuffix(t, "/html") || strings.HasSuffix(t, "/xml") || strings.HasSuffix(t, "+xml") ||
		strings.HasSuffix(t, "javascript") || t == "message/rfc822" || t == "application/x-shockwave-flash"
}

// listingPage is read by programs too: lftp takes what stands between blanks for
// size and date.
var listingPage = template.Must(template.New("listing").Parse(`<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{{.Path}}</title></head><body><h1>{{.Path}}</h1>
<table><thead><tr><th>Name</th><th>Bytes</th><th>Modified (UTC)</th></tr></thead><tbody>
{{if ne .Path "/"}}<tr><td><a href="../">../</a></td><td></td><td></td></tr>
{{end}}{{range .Entries}}<tr><td><a href="{{.Href}}">{{.Name}}</a></td> <td>{{.Size}}</td> <td>{{.Modified}}</td></tr>
{{end}}</tbody></table>
{{if .Cut}}<p>There are more; only {{len .Entries}} are shown.</p>
{{end}}</body></html>
`))

type listingEntry struct {
	Name, Href, Modified string
	Size                 any
	dir                  bool
}

// listing shows a directory to a person.
func (q *request) listing(ctx context.Context) error {
	if !q.slash {
		http.Redirect(q.w, q.Request, href(q.name, true), http.StatusMovedPermanently)
		return nil
	}
	page := struct {
		Path    string
		Entries []listingEntry
		Cut     bool
	}{Path: strings.TrimSuffix("/"+q.name, "/") + "/"}
	for info, err := range q.fs.List(ctx, q.name) {
		if err != nil {
			return err
		}
		if page.Cut = len(page.Entries) == maxListing; page.Cut {
			break
		}
		e := listingEntry{Name: info.Name, Size: info.Size, dir: info.IsDir(),
			Modified: info.ModTime.UTC().Format("2006-01-02 15:04:05")}
		if e.dir {
			e.Name, e.Size = e.Name+"/", ""
		}
		// "./" keeps a name with a colon from being read as a scheme.
		// The template would write a plus as an entity, which lftp does not know.
		e.Href = "./" + strings.ReplaceAll(url.PathEscape(info.Name), "+", "%2B") + e.Name[len(info.Name):]
		page.Entries = append(page.Entries, e)
	}
	slices.SortFunc(page.Entries, func(a, b listingEntry) int {
		if a.dir != b.dir {
			if a.dir {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	hd := q.w.Header()
	hd.Set("Content-Type", "text/html; charset=utf-8")
	hd.Set("Cache-Control", "private, no-cache")
	hd.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	q.w.WriteHeader(http.StatusOK)
	if q.Method == http.MethodHead {
		return nil
	}
	return listingPage.Execute(q.w, page)
}
