package webdav

import (
	"bufio"
	"context"
	"encoding/xml"
	"io"
	"net/http"
	"slices"
	"strconv"

	"gateway/storage"
)

const (
	maxProperties = 100    // that one request may name
	maxInfinity   = 10_000 // resources that a PROPFIND with Depth infinity may find
	streamBuffer  = 32 << 10
)

// query says which properties are wanted (RFC 4918 section 14.20).
type query struct {
	namesOnly bool
	all       bool
	names     []xmlName // asked for by name; with all, besides
}

// parseQuery reads a propfind element; nil means everything.
func parseQuery(root *element) (query, error) {
	if root == nil {
		return query{all: true}, nil
	}
	bad := refuse(http.StatusBadRequest, "the propfind element is not one")
	if root.xmlName != dav("propfind") {
		return query{}, bad
	}
	prop, include := root.child(dav("prop")), root.child(dav("include"))
	q := query{
		all:       root.child(dav("allprop")) != nil,
		namesOnly: root.child(dav("propname")) != nil,
	}
	kinds := 0
	for _, is := range []bool{q.all, q.namesOnly, prop != nil} {
		if is {
			kinds++
		}
	}
	if kinds != 1 || include != nil && !q.all {
		return query{}, bad
	}
	for _, list := range []*element{prop, include} {
		if list == nil {
			continue
		}
		for _, c := range list.children() {
			if !slices.Contains(q.names, c.xmlName) {
				q.names = append(q.names, c.xmlName)
			}
			if len(q.names) > maxProperties {
				return query{}, refuse(http.StatusBadRequest, "too many properties are asked for")
			}
		}
	}
	return q, nil
}

// propfind serves PROPFIND (RFC 4918 section 9.1). The answer is streamed from
// the listing; no file is opened.
func (q *request) propfind(ctx context.Context) error {
	depth, err := q.depth(depthInfinity)
	if err != nil {
		return err
	}
	root, err := q.body()
	if err != nil {
		return err
	}
	want, err := parseQuery(root)
	if err != nil {
		return err
	}
	info, err := q.fs.Stat(ctx, q.name)
	if err != nil {
		return as(err, http.StatusNotFound, "there is nothing here", storage.ErrNotDir)
	}
	p, err := q.newProperties(ctx, want)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		depth = depthZero
	}
	if depth == depthInfinity {
		return q.propfindInfinity(ctx, p)
	}
	m := q.multistatus()
	if err := p.write(m, q.name, info); err != nil || depth == depthZero {
		return firstError(err, m.close)
	}
	for info, err := range q.fs.List(ctx, q.name) {
		if err != nil {
			return err
		}
		if err := p.write(m, storage.Join(q.name, info.Name), info); err != nil {
			return err
		}
	}
	return m.close()
}

// propfindInfinity collects before it answers, since the refusal of a large tree
// is a status of its own (RFC 4918 section 9.1, propfind-finite-depth).
func (q *request) propfindInfinity(ctx context.Context, p *properties) error {
	var found []storage.Entry
	for e, err := range storage.Walk(ctx, q.fs, q.name) {
		if err != nil {
			return err
		}
		if len(found) == maxInfinity {
			return &statusError{status: http.StatusForbidden, condition: "propfind-finite-depth"}
		}
		found = append(found, e)
	}
	m := q.multistatus()
	for _, e := range found {
		if err := p.write(m, e.Name, e.Info); err != nil {
			return err
		}
	}
	return m.close()
}

func firstError(err error, next func() error) error {
	if err != nil {
		return err
	}
	return next()
}

// multistatus streams a 207 answer (RFC 4918 section 13). The header goes out
// with the first full buffer, so that an early error still gets its own status.
type multistatus struct {
	*bufio.Writer
	begun bool
}

func (q *request) multistatus() *multistatus {
	return &multistatus{Writer: bufio.NewWriterSize(&lateHeader{q}, streamBuffer)}
}

type lateHeader struct{ q *request }

func (l *lateHeader) Write(p []byte) (int, error) {
	if l.q.w.status == 0 {
		l.q.w.Header().Set("Content-Type", contentTypeXML)
		l.q.w.WriteHeader(http.StatusMultiStatus)
	}
	return l.q.w.Write(p)
}

var _ io.Writer = (*lateHeader)(nil)

// The errors of the writes below stick to the bufio.Writer and come out of close.

func (m *multistatus) begin() {
	if !m.begun {
		m.begun = true
		_, _ = m.WriteString(xml.Header + `<D:multistatus xmlns:D="DAV:">`)
	}
}

// open starts the response element of a resource.
func (m *multistatus) open(ref string) {
	m.begin()
	_, _ = m.WriteString("\n<D:response><D:href>" + escapeXML(ref) + "</D:href>")
}

func (m *multistatus) shut() error {
	_, err := m.WriteString("</D:response>")
	return err
}

// propstat writes properties that share a status; props is their XML.
func (m *multistatus) propstat(status int, props []byte, condition string) {
	_, _ = m.WriteString("<D:propstat><D:prop>")
	_, _ = m.Write(props)
	_, _ = m.WriteString("</D:prop><D:status>" + statusLine(status) + "</D:status>")
	if condition != "" {
		_, _ = m.WriteString("<D:error><D:" + condition + "/></D:error>")
	}
	_, _ = m.WriteString("</D:propstat>")
}

// status writes a response that has no properties.
func (m *multistatus) status(ref string, status int) {
	m.open(ref)
	_, _ = m.WriteString("<D:status>" + statusLine(status) + "</D:status>")
	_ = m.shut()
}

func (m *multistatus) close() error {
	m.begin()
	_, _ = m.WriteString("\n</D:multistatus>\n")
	return m.Flush()
}

func statusLine(status int) string {
	return "HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status)
}
