package ftpbridge

import (
	"context"
	"strings"

	"gateway/listing"
)

// hiddenChecks is in how many folders LIST -a is held against an MLSD that shows
// no name with a dot in front.
const hiddenChecks = 3

// dotNames is a sink that counts names with a dot in front, and passes all on.
type dotNames struct {
	to sink
	n  int
}

func (d *dotNames) reset() {
	d.n = 0
	d.to.reset()
}

func (d *dotNames) add(e *listing.Entry) error {
	if strings.HasPrefix(e.RawName, ".") {
		d.n++
	}
	return d.to.add(e)
}

// mlsdHides reports whether LIST -a shows hidden files in the current directory
// of which MLSD has shown dots. It decides for all sessions, and asks in the first
// folders only: RFC 3659 lets a server leave out what it likes. Servers that are
// known to show all are not asked.
func (s *Session) mlsdHides(ctx context.Context, dots int) bool {
	if !s.mayHide(dots) {
		return false
	}
	found := dotNames{to: nothing{}}
	_, _, err := s.readListing(ctx, "LIST -a", "", &found)
	s.know.mu.Lock()
	defer s.know.mu.Unlock()
	switch {
	case err != nil:
		s.know.mlsdChecks = hiddenChecks
	case found.n > 0:
		s.know.noMLSD, s.know.hidden = true, hiddenShown
	}
	return s.know.noMLSD
}

func (s *Session) mayHide(dots int) bool {
	s.know.mu.Lock()
	defer s.know.mu.Unlock()
	switch s.info.Software {
	case "ProFTPD", "Pure-FTPd", "pyftpdlib", "FileZilla Server", "Microsoft IIS":
		return false
	}
	if dots > 0 || !s.dialect.showsHidden() {
		s.know.mlsdChecks = hiddenChecks
	}
	s.know.mlsdChecks++
	return s.know.mlsdChecks <= hiddenChecks
}
