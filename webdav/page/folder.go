package page

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"gateway/storage"
	"gateway/webdav"
)

const (
	maxEntries = 100_000 // of a folder, that are read and sorted
	pageRows   = 500     // that one page shows; the script asks for more when they are scrolled to

	maxVisited = 100_000         // files and folders that one search looks at
	maxFound   = 500             // that it shows
	searchTime = 5 * time.Second // that it takes
)

// row is a line of a listing.
type row struct {
	Name, Shown string // clean name; what is shown of it
	Href        string
	Dir, Link   bool
	Size        int64
	ModTime     time.Time
	Verdict     string
}

type folderPage struct {
	base
	Name       string
	Crumbs     []crumb
	Rows       []row
	Total      int
	Folders    int
	Bytes      int64
	Cut        bool // there are more than are read
	Hidden     bool // the user may not list
	Query      string
	Sort       string
	Desc       bool
	Next       string // address of the next rows, "" at the end
	May        rights
	Searched   bool
	Judged     bool              // a row has a verdict
	OtherOrder map[string]string // address of the listing sorted otherwise, by key
	Free       int64             // bytes that may still be stored; -1: not known
}

// rights are what the user may do in a folder, so that a page offers nothing that would be refused.
type rights struct{ Create, Mkdir, Rename, Delete, Read, List, Share bool }

func (q *request) rights(name string) rights {
	p := storage.PermReadWrite
	if v, ok := q.fs.(interface {
		Permissions(name string) storage.Permission
	}); ok {
		p = v.Permissions(name)
	}
	may := func(want storage.Permission) bool { return p&want != 0 }
	return rights{
		Create: may(storage.PermCreate | storage.PermOverwrite), Mkdir: may(storage.PermMkdir), Rename: may(storage.PermRename),
		Delete: may(storage.PermDelete), Read: may(storage.PermRead), List: may(storage.PermList),
		Share: may(storage.PermRead) && q.h.cfg.ShareLongest > 0,
	}
}

// browse serves what is at a URL outside of Prefix: a folder as a listing, a file as the page about it.
func (q *request) browse(ctx context.Context) error {
	name, slash, err := webdav.ParsePath(q.URL.EscapedPath())
	if err != nil {
		return err
	}
	info, err := q.fs.Stat(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, storage.ErrNotDir):
		return refuse(http.StatusNotFound, "There is nothing at this address. It may have been moved or deleted.")
	case err != nil:
		return err
	case !info.IsDir():
		return q.redirect(at("file", name), "")
	case !slash:
		return q.redirect(webdav.Href(name, true), "")
	}
	return q.listing(ctx, name)
}

func (q *request) listing(ctx context.Context, name string) error {
	v := q.URL.Query()
	_, last := storage.Split(name)
	p := &folderPage{
		base: q.base(cmp.Or(last, q.h.cfg.Title)), Name: name, Crumbs: crumbs(name), Query: strings.TrimSpace(v.Get("q")),
		Sort: v.Get("sort"), Desc: v.Get("order") == "desc", May: q.rights(name), Free: q.free(ctx, name),
	}
	if p.Sort != "size" && p.Sort != "time" {
		p.Sort = "name"
	}
	p.Searched = p.Query != ""
	var rows []row
	var err error
	if p.Searched {
		rows, p.Cut, err = q.search(ctx, name, p.Query)
	} else {
		rows, p.Cut, err = q.entries(ctx, name)
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		p.Hidden = true
	case err != nil:
		return err
	}
	for _, r := range rows {
		if r.Dir {
			p.Folders++
		}
		p.Bytes += r.Size
	}
	p.Total = len(rows)
	slices.SortFunc(rows, order(p.Sort, p.Desc))
	p.page(rows, v)
	p.Judged = q.judge(ctx, name, p.Rows)
	q.render(http.StatusOK, "folder", p)
	return nil
}

// page picks the rows that are shown, and makes the links to others.
func (p *folderPage) page(rows []row, v url.Values) {
	n, err := strconv.Atoi(v.Get("page"))
	if err != nil || n < 1 || n > maxEntries/pageRows {
		n = 1
	}
	from := min((n-1)*pageRows, len(rows))
	p.Rows = rows[from:min(from+pageRows, len(rows))]
	link := func(sort string, desc bool, page int) string {
		o := url.Values{}
		if p.Query != "" {
			o.Set("q", p.Query)
		}
		if sort != "name" || desc {
			o.Set("sort", sort)
		}
		if desc {
			o.Set("order", "desc")
		}
		if page > 1 {
			o.Set("page", strconv.Itoa(page))
		}
		return "?" + o.Encode()
	}
	if from+len(p.Rows) < len(rows) {
		p.Next = link(p.Sort, p.Desc, n+1)
	}
	p.OtherOrder = map[string]string{}
	for _, key := range []string{"name", "size", "time"} {
		p.OtherOrder[key] = link(key, key == p.Sort && !p.Desc, 1)
	}
}

// lotRows is how many rows a browser lays out together, or not at all while they are out of sight.
const lotRows = 100

// Lots are the rows in lots of lotRows.
func (p *folderPage) Lots() [][]row { return slices.Collect(slices.Chunk(p.Rows, lotRows)) }

// SortState is the value of aria-sort for a column.
func (p *folderPage) SortState(key string) string {
	switch {
	case key != p.Sort:
		return "none"
	case p.Desc:
		return "descending"
	}
	return "ascending"
}

func newRow(name, shown string, info storage.Info) row {
	r := row{Name: name, Shown: shown, Dir: info.IsDir(), Link: info.Link, Size: info.Size, ModTime: info.ModTime}
	if r.Href = at("file", name); r.Dir {
		r.Href = webdav.Href(name, true)
	}
	return r
}

// entries reads a folder.
func (q *request) entries(ctx context.Context, name string) (rows []row, cut bool, err error) {
	for info, err := range q.fs.List(ctx, name) {
		if err != nil {
			return nil, false, err
		}
		if len(rows) == maxEntries {
			return rows, true, nil
		}
		rows = append(rows, newRow(storage.Join(name, info.Name), info.Name, info))
	}
	return rows, false, nil
}

// search finds what has the words in its name, in a folder and below it. What may not be listed is passed over. It has an
// end: cut says that it came before that of the tree.
func (q *request) search(ctx context.Context, root, words string) (rows []row, cut bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, searchTime)
	defer cancel()
	want := strings.Fields(strings.ToLower(words))
	todo, visited := []string{root}, 0
	for len(todo) > 0 {
		dir := todo[0]
		todo = todo[1:]
		for info, err := range q.fs.List(ctx, dir) {
			if ctx.Err() != nil || visited == maxVisited || len(rows) == maxFound {
				return rows, true, nil
			}
			if err != nil && dir == root {
				return nil, false, err
			}
			if err != nil {
				break
			}
			visited++
			name := storage.Join(dir, info.Name)
			shown := strings.TrimPrefix(strings.TrimPrefix(name, root), "/")
			if hasAll(strings.ToLower(shown), want) {
				rows = append(rows, newRow(name, shown, info))
			}
			if info.IsDir() && !info.Link && strings.Count(name, "/") < storage.MaxDepth {
				todo = append(todo, name)
			}
		}
	}
	return rows, false, nil
}

func hasAll(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// free is how much room there is; -1 where nobody knows.
func (q *request) free(ctx context.Context, name string) int64 {
	r, ok := q.fs.(storage.SpaceReporter)
	if !ok {
		return -1
	}
	space, err := r.Space(ctx, name)
	if err != nil {
		return -1
	}
	return space.Available
}

// order compares rows: folders first, then by the key, then by name.
func order(key string, desc bool) func(a, b row) int {
	sign := 1
	if desc {
		sign = -1
	}
	return func(a, b row) int {
		if a.Dir != b.Dir {
			if a.Dir {
				return -1
			}
			return 1
		}
		by := 0
		switch key {
		case "size":
			by = cmp.Compare(a.Size, b.Size)
		case "time":
			by = a.ModTime.Compare(b.ModTime)
		}
		return sign * cmp.Or(by, compareNames(a.Shown, b.Shown))
	}
}

// compareNames orders names as people do: without regard to case, and numbers in them by their value.
func compareNames(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		if isDigit(x[0]) && isDigit(y[0]) {
			var m, n string
			m, x = number(x)
			n, y = number(y)
			if c := cmp.Or(cmp.Compare(len(m), len(n)), strings.Compare(m, n)); c != 0 {
				return c
			}
			continue
		}
		r, n := utf8.DecodeRuneInString(x)
		s, m := utf8.DecodeRuneInString(y)
		if c := cmp.Compare(unicode.ToLower(r), unicode.ToLower(s)); c != 0 {
			return c
		}
		x, y = x[n:], y[m:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// number cuts off the number that a text begins with, without its leading zeros.
func number(text string) (digits, rest string) {
	i := 0
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	return strings.TrimLeft(text[:i], "0"), text[i:]
}
