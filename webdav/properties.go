package webdav

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"gateway/state"
	"gateway/storage"
)

// microsoft is the namespace of the properties of the Windows client.
const microsoft = "urn:schemas-microsoft-com:"

// liveNames are the properties that allprop and propname give (RFC 4918 section 15).
// creationdate is not among them: no backend knows it.
func liveNames() []xmlName {
	return []xmlName{
		dav("resourcetype"), dav("displayname"), dav("getcontentlength"), dav("getlastmodified"),
		dav("getetag"), dav("getcontenttype"), dav("supportedlock"), dav("lockdiscovery"),
	}
}

// properties answers one query for many resources.
type properties struct {
	q     *request
	query query
	names []xmlName    // that are looked up for each resource
	locks []state.Lock // all that may cover one of them
	space *space       // nil until asked for
	ctx   context.Context

	found, missing bytes.Buffer // of one resource; reused
}

func (q *request) newProperties(ctx context.Context, want query) (*properties, error) {
	p := &properties{q: q, query: want, names: want.names, ctx: ctx}
	if want.all || want.namesOnly {
		p.names = liveNames()
		for _, n := range want.names {
			if !slices.Contains(p.names, n) {
				p.names = append(p.names, n)
			}
		}
	}
	if !slices.Contains(p.names, dav("lockdiscovery")) {
		return p, nil
	}
	// Once for all resources of the answer.
	for _, key := range append(q.mountsBelow(q.name), q.lockKey(q.name)) {
		for _, find := range []func(context.Context, string) ([]state.Lock, error){q.h.locks.LocksCovering, q.h.locks.LocksBelow} {
			locks, err := find(ctx, key)
			if err != nil {
				return nil, err
			}
			p.locks = append(p.locks, locks...)
		}
	}
	slices.SortFunc(p.locks, func(a, b state.Lock) int { return strings.Compare(a.Token, b.Token) })
	p.locks = slices.CompactFunc(p.locks, func(a, b state.Lock) bool { return a.Token == b.Token })
	return p, nil
}

// write adds the response element of one resource.
func (p *properties) write(m *multistatus, name string, info storage.Info) error {
	p.found.Reset()
	p.missing.Reset()
	for _, n := range p.names {
		value, ok := p.value(n, name, info)
		open, shut := n.tags()
		switch {
		case ok && (p.query.namesOnly || value == ""):
			p.found.WriteString("<" + open + "/>")
		case ok:
			p.found.WriteString("<" + open + ">" + value + "</" + shut + ">")
		case slices.Contains(p.query.names, n):
			p.missing.WriteString("<" + open + "/>")
		}
	}
	m.open(href(name, info.IsDir()))
	if p.found.Len() > 0 || p.missing.Len() == 0 {
		m.propstat(http.StatusOK, p.found.Bytes(), "")
	}
	if p.missing.Len() > 0 {
		m.propstat(http.StatusNotFound, p.missing.Bytes(), "")
	}
	return m.shut()
}

// value is the XML content of a property of a resource; ok is false where the
// resource does not have it.
func (p *properties) value(n xmlName, name string, info storage.Info) (value string, ok bool) {
	switch n {
	case dav("resourcetype"):
		if info.IsDir() {
			return "<D:collection/>", true
		}
		return "", true
	case dav("displayname"):
		return escapeXML(info.Name), true
	case dav("getcontentlength"):
		return strconv.FormatInt(info.Size, 10), !info.IsDir()
	case dav("getlastmodified"), xmlName{microsoft, "Win32LastModifiedTime"}:
		return info.ModTime.UTC().Format(http.TimeFormat), true
	case dav("getetag"):
		return escapeXML(quoteETag(info)), info.ETag != ""
	case dav("getcontenttype"):
		if info.IsDir() {
			return "", false
		}
		return escapeXML(contentType(info.Name)), true
	case dav("supportedlock"):
		return `<D:lockentry><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>` +
			`<D:lockentry><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>`, true
	case dav("lockdiscovery"):
		return p.lockDiscovery(name), true
	case dav("quota-available-bytes"), dav("quota-used-bytes"):
		return p.quota(n.local, info)
	case xmlName{owncloud, "checksums"}:
		return p.q.checksums(name, info)
	}
	return "", false
}

func (p *properties) lockDiscovery(name string) string {
	if len(p.locks) == 0 || p.query.namesOnly {
		return ""
	}
	key := p.q.lockKey(name)
	var b strings.Builder
	for _, l := range p.locks {
		if l.Covers(key) {
			b.WriteString(p.q.activeLock(name, l))
		}
	}
	return b.String()
}

// space is what RFC 4331 tells, in bytes.
type space struct {
	known           bool
	available, used int64
}

// quota gives the properties of RFC 4331, which directories have where the
// user has a quota or the storage knows its space. One answer serves all
// directories of a request, since counting may take a walk.
func (p *properties) quota(local string, info storage.Info) (string, bool) {
	if !info.IsDir() {
		return "", false
	}
	if p.space == nil {
		s := p.q.spaceLeft(p.ctx)
		p.space = &s
	}
	if local == "quota-available-bytes" {
		return strconv.FormatInt(p.space.available, 10), p.space.known
	}
	return strconv.FormatInt(p.space.used, 10), p.space.known
}

func (q *request) spaceLeft(ctx context.Context) space {
	if u, ok := q.fs.(interface {
		Usage(context.Context) (used, limit int64, err error)
	}); ok {
		if used, limit, err := u.Usage(ctx); err == nil {
			return space{true, max(limit-used, 0), used}
		}
	}
	r, ok := q.fs.(storage.SpaceReporter)
	if !ok {
		return space{}
	}
	s, err := r.Space(ctx, q.name)
	return space{err == nil, s.Available, s.Total - s.Free}
}
