package sftpsrv

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Session is a connection whose user has logged in, for who watches.
type Session struct {
	// ID is that of storage.Origin.Session, unique in this process.
	ID      string
	User    string
	Address netip.Addr
	Client  string // the client's version, as it says itself; hostile text
	Since   time.Time
	Active  time.Time // its latest request
	// Commands and Files say what it does: commands that run, files and folders that are open.
	Commands, Files int
}

// loggedIn is what is known of a connection from its login on.
type loggedIn struct {
	user, client string
	since        time.Time
}

// newSerial names a connection.
func (s *Server) newSerial() string { return "ssh-" + strconv.FormatUint(s.serials.Add(1), 10) }

// Sessions are those there are, the oldest first.
func (s *Server) Sessions() []Session {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]Session, 0, len(s.conns))
	for c := range s.conns {
		if about := c.about.Load(); about != nil {
			list = append(list, c.session(about))
		}
	}
	slices.SortFunc(list, func(a, b Session) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	return list
}

func (c *connection) session(about *loggedIn) Session {
	v := Session{
		ID: c.serial, User: about.user, Client: about.client, Address: c.from,
		Since: about.since, Active: time.Unix(0, c.lastActive.Load()),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v.Commands = len(c.commands)
	for s := range c.sessions {
		s.mu.Lock()
		v.Files += len(s.handles)
		s.mu.Unlock()
	}
	return v
}

// CloseSession ends the connection of a session, as if the network had; false: there is none of this ID.
// Uploads under way are kept to be continued, and publish nothing.
func (s *Server) CloseSession(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.serial == id && c.about.Load() != nil {
			c.log.Warn("connection is closed", "reason", "an operator closed it")
			c.close()
			return true
		}
	}
	return false
}
