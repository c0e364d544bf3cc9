package auth

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"gateway/state"
)

// ParseNetwork reads what can be banned: an address, or what counts as one ([Network]).
func ParseNetwork(s string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(s); err == nil {
		return Network(addr), nil
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p != Network(p.Addr()) {
		return netip.Prefix{}, fmt.Errorf("%.64q is neither an address nor the network that counts as one; write for example 192.0.2.7 or 2001:db8::/64", strings.ToValidUTF8(s, "?"))
	}
	return p, nil
}

// Ban bans a network of [ParseNetwork] for a time, whatever it did.
func (g *Guard) Ban(ctx context.Context, network netip.Prefix, d time.Duration) error {
	if g.shared != nil {
		if err := g.shared.Ban(ctx, network.String(), d); err != nil {
			return err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.learn(network, state.Failures{Network: network.String(), Banned: d})
	return nil
}

// LiftBan ends the ban of a network and forgets its failures; state.ErrNotFound if it is not banned.
func (g *Guard) LiftBan(ctx context.Context, network netip.Prefix) error {
	g.mu.Lock()
	r := g.seen[network]
	known := r != nil && g.now().Before(r.until)
	g.mu.Unlock()
	if g.shared != nil {
		if err := g.shared.LiftBan(ctx, network.String()); err != nil {
			return err
		}
	} else if !known {
		return fmt.Errorf("ban of %s: %w", network, state.ErrNotFound)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.seen, network)
	return nil
}

// forgetLifted ends the bans that others have lifted: what was learned before since and is not in the
// list. What was counted alone, while the database was away, stays. The caller holds mu.
func (g *Guard) forgetLifted(list []state.Failures, since time.Time) {
	if len(list) >= state.MaxNetworks {
		return // there may be more than it has
	}
	banned := make(map[string]bool, len(list))
	for _, f := range list {
		banned[f.Network] = true
	}
	now := g.now()
	for network, r := range g.seen {
		if now.Before(r.until) && !r.learned.IsZero() && r.learned.Before(since) && !banned[network.String()] {
			r.until = time.Time{}
		}
	}
}
