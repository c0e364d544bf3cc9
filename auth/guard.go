package auth

import (
	"net/netip"
	"sync"
	"time"
)

// Bounds of the guard.
const (
	maxAddresses = 1 << 16                // remembered at once; beyond it the oldest goes
	firstDelay   = 250 * time.Millisecond // after the first failure; doubled with each
	maxDelay     = 4 * time.Second
)

// Guard counts failed logins by address, delays the next answer and bans.
// IPv6 addresses count by their /64, since that is what one person has.
// Safe for concurrent use.
type Guard struct {
	limits GuardLimits
	now    func() time.Time

	mu   sync.Mutex
	seen map[netip.Prefix]*record
}

// GuardLimits are the limits of a Guard.
type GuardLimits struct {
	Failures int           // within Window until the ban
	Window   time.Duration // after which failures are forgotten
	Ban      time.Duration
}

type record struct {
	failures int
	last     time.Time
	until    time.Time // banned until
}

// NewGuard returns a guard that knows of no failures.
func NewGuard(l GuardLimits) *Guard {
	return &Guard{limits: l, now: time.Now, seen: map[netip.Prefix]*record{}}
}

// Allowed is nil, or ErrBanned while the address is banned.
func (g *Guard) Allowed(from netip.Addr) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r := g.seen[Network(from)]; r != nil && g.now().Before(r.until) {
		return ErrBanned
	}
	return nil
}

// Failed counts a failure and says for how long to hold back the answer.
func (g *Guard) Failed(from netip.Addr) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	key, now := Network(from), g.now()
	r := g.seen[key]
	if r == nil {
		g.makeRoom(now)
		r = &record{}
		g.seen[key] = r
	}
	if now.Sub(r.last) > g.limits.Window {
		r.failures = 0
	}
	r.failures++
	r.last = now
	if r.failures >= g.limits.Failures {
		r.until = now.Add(g.limits.Ban)
		r.failures = 0
	}
	return min(firstDelay<<min(max(r.failures-1, 0), 10), maxDelay)
}

// Succeeded forgets the failures of an address, but not a ban.
func (g *Guard) Succeeded(from netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r := g.seen[Network(from)]; r != nil && !g.now().Before(r.until) {
		delete(g.seen, Network(from))
	}
}

// makeRoom forgets what is over, and then the oldest, so that an attacker with
// many addresses cannot fill the memory.
func (g *Guard) makeRoom(now time.Time) {
	if len(g.seen) < maxAddresses {
		return
	}
	var oldest netip.Prefix
	var at time.Time
	for k, r := range g.seen {
		if now.Sub(r.last) > g.limits.Window && !now.Before(r.until) {
			delete(g.seen, k)
		} else if at.IsZero() || r.last.Before(at) {
			oldest, at = k, r.last
		}
	}
	if len(g.seen) >= maxAddresses {
		delete(g.seen, oldest)
	}
}

// Network is what counts as one address where addresses are counted: an IPv4
// address, or the /64 of an IPv6 one, since that is what one person has.
func Network(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits) // the zero Addr gives the zero Prefix: one record for "unknown"
	return p
}
