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

// lookups are for how many resources dead properties are read at once.
const lookups = 64

// properties answers one query for many resources.
type properties struct {
	q     *request
	query query
	names []xmlName               // that are looked up for each resource
	locks map[string][]state.Lock // all that may cover one of them, by root
	space *space                  // nil until asked for
	ctx   context.Context

	dead    bool            // resources may have dead properties that are asked for
	pending []storage.Entry // whose dead properties are to be read together

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
	// Once for all resources of the answer.
	trees := append(q.mountsBelow(q.name), q.lockKey(q.name))
	if slices.Contains(p.names, dav("lockdiscovery")) {
		if err := p.findLocks(trees); err != nil {
			return nil, err
		}
	}
	if q.h.cfg.Properties == nil || !want.all && !want.namesOnly && !slices.ContainsFunc(p.names, mayBeDead) {
		return p, nil
	}
	for _, tree := range trees {
		has, err := q.h.cfg.Properties.HasProperties(ctx, tree)
		if err != nil {
			return nil, err
		}
		p.dead = p.dead || has
	}
	return p, nil
}

// findLocks reads all that may cover something in the trees.
func (p *properties) findLocks(trees []string) error {
	locks, err := p.q.h.locks.LocksCovering(p.ctx, trees...)
	for i := 0; err == nil && i < len(trees); i++ {
		var below []state.Lock
		below, err = p.q.h.locks.LocksBelow(p.ctx, trees[i])
		locks = append(locks, below...)
	}
	if err != nil {
		return err
	}
	slices.SortFunc(locks, func(a, b state.Lock) int { return strings.Compare(a.Token, b.Token) })
	p.locks = map[string][]state.Lock{}
	for _, l := range slices.CompactFunc(locks, func(a, b state.Lock) bool { return a.Token == b.Token }) {
		p.locks[l.Root] = append(p.locks[l.Root], l)
	}
	return nil
}

// add answers for one resource, in the end: what has been added is written in groups.
func (p *properties) add(m *multistatus, name string, info storage.Info) error {
	p.pending = append(p.pending, storage.Entry{Name: name, Info: info})
	if p.dead && len(p.pending) < lookups {
		return nil
	}
	return p.flush(m)
}

// close answers for the rest and ends the whole.
func (p *properties) close(m *multistatus) error { return firstError(p.flush(m), m.close) }

func (p *properties) flush(m *multistatus) error {
	var dead map[string][]state.Property
	if p.dead && len(p.pending) > 0 {
		keys := make([]string, len(p.pending))
		for i, e := range p.pending {
			keys[i] = p.q.lockKey(e.Name)
		}
		var err error
		if dead, err = p.q.h.cfg.Properties.PropertiesOf(p.ctx, keys...); err != nil {
			return err
		}
	}
	for _, e := range p.pending {
		var own []state.Property
		if len(dead) > 0 {
			own = dead[p.q.lockKey(e.Name)]
		}
		if err := p.write(m, e.Name, e.Info, own); err != nil {
			return err
		}
	}
	p.pending = p.pending[:0]
	return nil
}

// write adds the response element of one resource.
func (p *properties) write(m *multistatus, name string, info storage.Info, dead []state.Property) error {
	p.found.Reset()
	p.missing.Reset()
	for _, n := range p.names {
		if i := slices.IndexFunc(dead, func(d state.Property) bool { return nameOf(d) == n }); i >= 0 && mayBeDead(n) {
			p.writeDead(dead[i])
			continue
		}
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
	for _, d := range dead {
		if (p.query.all || p.query.namesOnly) && !slices.Contains(p.names, nameOf(d)) {
			p.writeDead(d)
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
	case dav("current-user-principal"):
		// RFC 5397. There are no pages about users; the root is the one resource that is the user's own.
		return "<D:href>/</D:href>", true
	case dav("current-user-privilege-set"):
		return p.q.privileges(name, info.IsDir()), true
	}
	return "", false
}

func (p *properties) lockDiscovery(name string) string {
	if len(p.locks) == 0 || p.query.namesOnly {
		return ""
	}
	key := p.q.lockKey(name)
	var b strings.Builder
	for _, root := range state.LockRoots(key) {
		for _, l := range p.locks[root] {
			if l.Covers(key) {
				b.WriteString(p.q.activeLock(name, l))
			}
		}
	}
	return b.String()
}

// privileges are the content of current-user-privilege-set (RFC 3744 section 5.5).
func (q *request) privileges(name string, dir bool) string {
	may := func(p storage.Permission) bool { return q.may(name, p) }
	read, write := may(storage.PermRead), may(storage.PermOverwrite)
	if dir {
		read, write = may(storage.PermList), may(storage.PermCreate) && may(storage.PermDelete)
	}
	var b strings.Builder
	for _, p := range []struct {
		name string
		has  bool
	}{
		{"read", read},
		{"write", write && may(storage.PermSetTime)}, // all of the next four that there are
		{"write-content", !dir && write},
		{"write-properties", may(storage.PermSetTime)},
		{"bind", dir && (may(storage.PermCreate) || may(storage.PermMkdir))},
		{"unbind", dir && may(storage.PermDelete)},
		{"read-current-user-privilege-set", true},
	} {
		if p.has {
			b.WriteString("<D:privilege><D:" + p.name + "/></D:privilege>")
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
