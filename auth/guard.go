package auth

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"gateway/state"
)

// Bounds of the guard.
const (
	maxAddresses = 1 << 16                // remembered at once; beyond it the oldest goes
	firstDelay   = 250 * time.Millisecond // after the first failure; doubled with each
	maxDelay     = 4 * time.Second

	// Of a guard that shares its counts: how old the bans of others may be, how much
	// of the time may go into reading them, and for how long the database is waited for.
	bansEvery   = time.Second
	bansPortion = 20 // one in
	bansTime    = 3 * time.Second
)

// Guard counts failed logins by address, delays the next answer and bans.
// IPv6 addresses count by their /64, since that is what one person has.
//
// One that is shared counts together with all that share its database. It asks the
// database when a login is decided; at connections and requests it goes by what it
// read of it at most a second before the latest of them. While the database is away
// it counts alone.
// Safe for concurrent use.
type Guard struct {
	limits atomic.Pointer[GuardLimits]
	now    func() time.Time
	shared state.Bans // nil: it counts alone
	log    *slog.Logger

	mu      sync.Mutex
	seen    map[netip.Prefix]*record
	reading bool      // somebody reads the bans
	readAt  time.Time // when they are to be read next
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
	learned  time.Time // when the database last said so; zero: it did not
}

// NewGuard returns a guard that knows of no failures.
func NewGuard(l GuardLimits) *Guard {
	g := &Guard{now: time.Now, seen: map[netip.Prefix]*record{}}
	g.SetLimits(l)
	return g
}

// SetLimits changes the limits. A ban that is in force stays as long as it was to be.
func (g *Guard) SetLimits(l GuardLimits) { g.limits.Store(&l) }

// NewSharedGuard returns a guard that counts together with others, and knows the
// bans that are in force.
func NewSharedGuard(ctx context.Context, l GuardLimits, bans state.Bans, log *slog.Logger) *Guard {
	g := NewGuard(l)
	g.shared, g.log = bans, log
	g.reading = true
	g.readBans(ctx)
	return g
}

// Allowed is nil, or ErrBanned while the address is banned.
func (g *Guard) Allowed(from netip.Addr) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if g.shared != nil && !g.reading && !now.Before(g.readAt) {
		g.reading = true
		go g.readBans(context.Background())
	}
	if r := g.seen[Network(from)]; r != nil && now.Before(r.until) {
		return ErrBanned
	}
	return nil
}

// readBans learns of the bans of others.
func (g *Guard) readBans(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, bansTime)
	defer cancel()
	began, asked := time.Now(), g.now()
	list, err := g.shared.Banned(ctx)
	took := time.Since(began)
	if err != nil {
		g.log.Warn("the bans of other nodes cannot be read", "error", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reading = false
	g.readAt = g.now().Add(max(bansEvery, bansPortion*took))
	g.makeRoom(g.now())
	if err == nil {
		g.forgetLifted(list, asked)
	}
	for _, f := range list {
		network, err := netip.ParsePrefix(f.Network)
		// To make room for each would take long; Decide asks for what is left out.
		if err == nil && (g.seen[network] != nil || len(g.seen) < maxAddresses) {
			g.learn(network, f)
		}
	}
}

// learn notes what the database knows of a network.
func (g *Guard) learn(network netip.Prefix, f state.Failures) *record {
	now := g.now()
	r := g.record(network, now)
	r.failures = f.Count
	if f.Count > 0 {
		r.last = now
	}
	if f.Banned > 0 {
		r.until, r.learned = now.Add(f.Banned), now
	}
	return r
}

// record finds or makes what is known of a network.
func (g *Guard) record(network netip.Prefix, now time.Time) *record {
	r := g.seen[network]
	if r == nil {
		g.makeRoom(now)
		r = &record{}
		g.seen[network] = r
	}
	return r
}

// Decide is Allowed when a login is decided: others may have brought the ban.
func (g *Guard) Decide(ctx context.Context, from netip.Addr) error {
	network := Network(from)
	if g.shared != nil {
		ctx, cancel := context.WithTimeout(ctx, bansTime)
		defer cancel()
		f, err := g.shared.FailuresOf(ctx, network.String())
		g.mu.Lock()
		if err != nil {
			g.log.Warn("the failed logins of other nodes cannot be read", "error", err)
		} else if f.Count > 0 || f.Banned > 0 {
			g.learn(network, f)
		}
		g.mu.Unlock()
	}
	return g.Allowed(from)
}

// Failed counts a failure and says for how long to hold back the answer.
func (g *Guard) Failed(from netip.Addr) time.Duration {
	network := Network(from)
	if g.shared == nil {
		return g.count(network)
	}
	ctx, cancel := context.WithTimeout(context.Background(), bansTime)
	defer cancel()
	f, err := g.shared.AddFailure(ctx, network.String(), state.FailureLimits(*g.limits.Load()))
	if err != nil {
		g.log.Warn("a failed login cannot be counted for other nodes", "error", err)
		return g.count(network)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.learn(network, f)
	r.last = g.now()
	return delayAfter(r.failures)
}

// count counts a failure alone.
func (g *Guard) count(network netip.Prefix) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	r := g.record(network, now)
	f := state.Failures{Count: r.failures}.Another(now.Sub(r.last), state.FailureLimits(*g.limits.Load()))
	r.failures, r.last = f.Count, now
	if f.Banned > 0 {
		r.until, r.learned = now.Add(f.Banned), time.Time{}
	}
	return delayAfter(r.failures)
}

func delayAfter(failures int) time.Duration {
	return min(firstDelay<<min(max(failures-1, 0), 10), maxDelay)
}

// Succeeded forgets the failures of an address, but not a ban. It costs nothing
// where there are none.
func (g *Guard) Succeeded(from netip.Addr) {
	network := Network(from)
	g.mu.Lock()
	r := g.seen[network]
	known := r != nil && !g.now().Before(r.until)
	if known {
		delete(g.seen, network)
	}
	g.mu.Unlock()
	if !known || g.shared == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), bansTime)
	defer cancel()
	if err := g.shared.ForgetFailures(ctx, network.String()); err != nil {
		g.log.Warn("failed logins cannot be forgotten for other nodes", "error", err)
	}
}

// makeRoom forgets what is over, and then the oldest, so that an attacker with
// many addresses cannot fill the memory.
func (g *Guard) makeRoom(now time.Time) {
	if len(g.seen) < maxAddresses {
		return
	}
	window := g.limits.Load().Window
	var oldest netip.Prefix
	var at time.Time
	for k, r := range g.seen {
		if now.Sub(r.last) > window && !now.Before(r.until) {
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
