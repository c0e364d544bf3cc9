package webdav

import (
	"bufio"
	"compress/gzip"
	"encoding/xml"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// streamBuffer is what an answer may have in bytes until a part of it goes out; one that is larger
// is compressed for clients that can take it.
const streamBuffer = 32 << 10

// multistatus streams a 207 answer (RFC 4918 section 13). The header goes out
// with the first full buffer, so that an early error still gets its own status.
type multistatus struct {
	*bufio.Writer
	out   *lateHeader
	begun bool
}

func (q *request) multistatus() *multistatus {
	out := &lateHeader{q: q}
	return &multistatus{Writer: bufio.NewWriterSize(out, streamBuffer), out: out}
}

// lateHeader sends the header with the first bytes.
type lateHeader struct {
	q    *request
	last bool         // what is written now is all that is left
	gzip *gzip.Writer // nil: as it is
}

func (l *lateHeader) Write(p []byte) (int, error) {
	if l.q.w.status == 0 {
		hd := l.q.w.Header()
		hd.Set("Content-Type", contentTypeXML)
		hd.Add("Vary", "Accept-Encoding")
		if !l.last && acceptsGzip(l.q.Header.Values("Accept-Encoding")) {
			hd.Set("Content-Encoding", "gzip")
			l.gzip, _ = gzip.NewWriterLevel(l.q.w, gzip.BestSpeed) // the level is one
		}
		l.q.w.WriteHeader(http.StatusMultiStatus)
	}
	if l.gzip != nil {
		return l.gzip.Write(p)
	}
	return l.q.w.Write(p)
}

var _ io.Writer = (*lateHeader)(nil)

// acceptsGzip reads Accept-Encoding (RFC 9110 section 12.5.3): gzip by its name, and not with weight 0.
func acceptsGzip(values []string) bool {
	for coding := range strings.SplitSeq(strings.Join(values, ","), ",") {
		name, params, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		weight, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(params), " ", ""), "q=")
		q, err := strconv.ParseFloat(weight, 64)
		return !ok || err == nil && q > 0
	}
	return false
}

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
	_, _ = m.WriteString("</D:prop>" + statusXML(status, condition) + "</D:propstat>")
}

// status writes a response that has no properties.
func (m *multistatus) status(ref string, status int, condition string) {
	m.open(ref)
	_, _ = m.WriteString(statusXML(status, condition))
	_ = m.shut()
}

func (m *multistatus) close() error {
	m.begin()
	_, _ = m.WriteString("\n</D:multistatus>\n")
	m.out.last = true
	if err := m.Flush(); err != nil || m.out.gzip == nil {
		return err
	}
	return m.out.gzip.Close()
}

// statusXML is a status element, with an error element where there is a condition (RFC 4918 section 16) to name.
func statusXML(status int, condition string) string {
	s := "<D:status>HTTP/1.1 " + strconv.Itoa(status) + " " + http.StatusText(status) + "</D:status>"
	if condition != "" {
		s += "<D:error><D:" + condition + "/></D:error>"
	}
	return s
}
