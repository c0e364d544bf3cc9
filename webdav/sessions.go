package webdav

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// maxAgent is how much of what a client says it is, and of what it asked for, is kept.
const maxAgent = 200

// Session is a connection on which a user has logged in, for who watches. HTTP knows no sessions: a
// client may have several connections, and a proxy may have many users on one, of which this is the latest.
type Session struct {
	// ID is that of storage.Origin.Session, unique in this process.
	ID       string
	User     string
	Address  netip.Addr
	Protocol string // of the latest request, as in storage.Origin
	Client   string // User-Agent of the latest request; hostile text
	Since    time.Time
	Active   time.Time // its latest request
	Requests int       // under way
	Doing    string    // method and path of the latest one; hostile text
	Login    string    // ID of the state.Session of a browser; "" if it is none
}

// connections are those of a server, by what net/http calls them.
type connections struct {
	serials atomic.Uint64
	mu      sync.Mutex
	all     map[net.Conn]*connection
}

// connection is one of them. It is also the value in the context of its requests.
type connection struct {
	conn net.Conn
	mu   sync.Mutex
	Session
	method, path string // of the latest request; put together when somebody asks
}

// told is the session for who watches. The caller holds mu.
func (c *connection) told() Session {
	s, doing := c.Session, c.method+" "+c.path
	s.Client, s.Doing = s.Client[:min(len(s.Client), maxAgent)], doing[:min(len(doing), maxAgent)]
	return s
}

type connectionKey struct{}

func newConnections() *connections { return &connections{all: make(map[net.Conn]*connection)} }

// begin is the http.Server.ConnContext.
func (s *connections) begin(ctx context.Context, conn net.Conn) context.Context {
	c := &connection{conn: conn, Session: Session{
		ID: "https-" + strconv.FormatUint(s.serials.Add(1), 10), Since: time.Now(),
	}}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[conn] = c
	return context.WithValue(ctx, connectionKey{}, c)
}

// state is a http.Server.ConnState.
func (s *connections) state(conn net.Conn, state http.ConnState) {
	if state == http.StateClosed || state == http.StateHijacked {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.all, conn)
	}
}

// LoggedIn notes on the connection of a request who sent it, until done is called; login is the ID of the
// state.Session of a browser, or "". It returns the ID for storage.Origin; "" where there is no connection.
func LoggedIn(r *http.Request, user, protocol, login string) (id string, done func()) {
	c, _ := r.Context().Value(connectionKey{}).(*connection)
	if c == nil {
		return "", func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.Address.IsValid() {
		c.Address = remoteAddr(r)
	}
	c.User, c.Protocol, c.Login, c.Active = user, protocol, login, time.Now()
	c.Client, c.method, c.path = r.UserAgent(), r.Method, r.URL.Path
	c.Requests++
	return c.ID, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.Requests--
		c.Active = time.Now()
	}
}

// Sessions are the connections with a user, the oldest first.
func (h *Handler) Sessions() []Session {
	h.conns.mu.Lock()
	defer h.conns.mu.Unlock()
	list := make([]Session, 0, len(h.conns.all))
	for _, c := range h.conns.all {
		c.mu.Lock()
		if c.User != "" {
			list = append(list, c.told())
		}
		c.mu.Unlock()
	}
	slices.SortFunc(list, func(a, b Session) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	return list
}

// CloseSession closes a connection, as if the network had; false: there is none of this ID. Uploads
// under way on it publish nothing. A browser would connect again: its login is another matter.
func (h *Handler) CloseSession(id string) (closed Session, ok bool) {
	h.conns.mu.Lock()
	defer h.conns.mu.Unlock()
	for _, c := range h.conns.all {
		if c.ID != id {
			continue
		}
		conn := c.conn
		if t, ok := conn.(*tls.Conn); ok {
			conn = t.NetConn() // whose Close waits for no one
		}
		h.log.Warn("webdav: connection is closed", "session", id, "reason", "an operator closed it")
		_ = conn.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.told(), true
	}
	return Session{}, false
}
