package sftpsrv

import (
	"math/rand/v2"
	"net/netip"
	"sync"

	"gateway/auth"
)

// admission bounds the connections of a server: all of them, those that have not
// logged in, and those of one address (of one /64 for IPv6).
type admission struct {
	maxAll, maxUnknown, maxPerAddress int

	mu      sync.Mutex
	all     int
	unknown int
	from    map[netip.Prefix]*arrivals
}

type arrivals struct{ all, unknown int }

// ticket is one admitted connection.
type ticket struct {
	a     *admission
	from  netip.Prefix
	known bool
}

// enter admits a connection, or returns nil and a reason. As in OpenSSH's MaxStartups
// connections are dropped at random before the bound is reached, with rising
// probability from half of it on, so that a flood does not lock out everybody;
// one address gets a quarter of the places at most.
func (a *admission) enter(addr netip.Addr) (*ticket, string) {
	from := auth.Network(addr)
	a.mu.Lock()
	defer a.mu.Unlock()
	counts := a.from[from]
	if counts == nil {
		counts = &arrivals{}
	}
	half := a.maxUnknown / 2
	//nolint:gosec // chance spreads the load here, it keeps no secret
	unlucky := a.unknown > half && rand.IntN(a.maxUnknown-half) < a.unknown-half
	switch {
	case a.all >= a.maxAll:
		return nil, "too many connections"
	case counts.all >= a.maxPerAddress:
		return nil, "too many connections from this address"
	case a.unknown >= a.maxUnknown, unlucky:
		return nil, "too many connections that have not logged in"
	case counts.unknown >= max(a.maxUnknown/4, 1):
		return nil, "too many connections from this address that have not logged in"
	}
	counts.all++
	counts.unknown++
	a.all++
	a.unknown++
	a.from[from] = counts
	return &ticket{a: a, from: from}, ""
}

// loggedIn moves the connection to those that are known.
func (t *ticket) loggedIn() {
	t.a.mu.Lock()
	defer t.a.mu.Unlock()
	t.known = true
	t.a.unknown--
	t.a.from[t.from].unknown--
}

func (t *ticket) leave() {
	t.a.mu.Lock()
	defer t.a.mu.Unlock()
	counts := t.a.from[t.from]
	if !t.known {
		t.a.unknown--
		counts.unknown--
	}
	t.a.all--
	if counts.all--; counts.all == 0 {
		delete(t.a.from, t.from)
	}
}
