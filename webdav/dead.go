package webdav

import (
	"context"
	"errors"
	"strings"

	"gateway/state"
)

// Dead properties (RFC 4918 section 4.1) are kept as the XML of their element, which stands by
// itself wherever an answer takes it up: see writeElement.

func nameOf(p state.Property) xmlName { return xmlName{p.Space, p.Local} }

// mayBeDead reports whether clients can set a property of this name to what they like. Names of DAV:
// mean what RFCs say, so they are the server's; two are not, by RFC 4918 section 15: where nobody
// has set the name to be shown, it is the file's.
func mayBeDead(n xmlName) bool {
	switch n {
	case dav("displayname"), dav("getcontentlanguage"):
		return true
	}
	return n.space != "DAV:" && n.space != owncloud && !isModTime(n)
}

// isModTime reports whether the property is another word for the modification time. The second is what
// rclone sets, in seconds since 1970, on servers that it takes for those of Nextcloud.
func isModTime(n xmlName) bool {
	return n == dav("getlastmodified") || n == dav("lastmodified") || n == xmlName{microsoft, "Win32LastModifiedTime"}
}

// writeDead adds a property to those that were found.
func (p *properties) writeDead(d state.Property) {
	if p.query.namesOnly {
		open, _ := nameOf(d).tags()
		p.found.WriteString("<" + open + "/>")
		return
	}
	p.found.WriteString(d.Value)
}

// dead is what the instruction asks to be kept.
func (p patch) dead() state.PropertyChange {
	var b strings.Builder
	if !p.remove {
		writeElement(&b, p.element)
	}
	return state.PropertyChange{
		Property: state.Property{Space: p.space, Local: p.local, Value: b.String()},
		Remove:   p.remove,
	}
}

// copyProperties gives a copy the properties of its original. The copy itself is made and stays if
// that fails.
func (q *request) copyProperties(ctx context.Context, from, to string) {
	if q.h.cfg.Properties == nil {
		return
	}
	err := q.h.cfg.Properties.CopyProperties(context.WithoutCancel(ctx), q.lockKey(from), q.lockKey(to), q.id.User.Name)
	level := q.h.log.Error
	if errors.Is(err, state.ErrLimit) {
		level = q.h.log.Warn
	}
	if err != nil {
		level("webdav: a copy is without its properties", "from", from, "to", to, "user", q.id.User.Name, "err", err)
	}
}
