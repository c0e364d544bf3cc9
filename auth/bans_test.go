package auth

import (
	"errors"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"gateway/state"
)

func TestParseNetwork(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7": "192.0.2.7/32", "192.0.2.7/32": "192.0.2.7/32", "2001:db8::1": "2001:db8::/64", "2001:db8::/64": "2001:db8::/64", "::ffff:192.0.2.7": "192.0.2.7/32",
		"192.0.2.0/24": "", "0.0.0.0/0": "", "2001:db8::/32": "", "2001:db8::1/64": "", "here": "", "": "",
	} {
		p, err := ParseNetwork(in)
		if (err == nil) != (want != "") || err == nil && p.String() != want {
			t.Errorf("%q: %v, %v, want %q", in, p, err, want)
		}
	}
}

func FuzzParseNetwork(f *testing.F) {
	for _, s := range []string{"192.0.2.7", "2001:db8::/64", "fe80::1%eth0", "::ffff:1.2.3.4/128"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParseNetwork(s)
		if err != nil {
			return
		}
		if p != Network(p.Addr()) {
			t.Errorf("%q: %v is not what counts as one", s, p)
		}
		if again, err := ParseNetwork(p.String()); err != nil || again != p {
			t.Errorf("%q: %v, and then %v, %v", s, p, again, err)
		}
	})
}

// TestBansByHand: a ban, and its end, are known to another guard too.
func TestBansByHand(t *testing.T) {
	file, ctx := filepath.Join(t.TempDir(), "state.db"), t.Context()
	a, b := sharedGuard(t, openBans(t, file)), sharedGuard(t, openBans(t, file))
	network := Network(home)
	if err := a.LiftBan(ctx, network); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("nothing is banned: %v", err)
	}
	if err := a.Ban(ctx, network, time.Hour); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.Allowed(home), awaitBan(b)); !errors.Is(err, ErrBanned) {
		t.Errorf("after the ban: %v", err)
	}
	if err := a.LiftBan(ctx, network); err != nil {
		t.Fatal(err)
	}
	if err := a.Allowed(home); err != nil {
		t.Errorf("after it was lifted: %v", err)
	}
	for end := time.Now().Add(20 * time.Second); b.Allowed(home) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("another node never learns that it was lifted")
		}
	}
	if a.Allowed(netip.MustParseAddr("192.0.2.99")) != nil {
		t.Error("others are banned too")
	}
}

// TestBanAlone: without a database.
func TestBanAlone(t *testing.T) {
	g, ctx := NewGuard(GuardLimits{Failures: 3, Window: time.Hour, Ban: time.Hour}), t.Context()
	if err := g.LiftBan(ctx, Network(home)); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("nothing is banned: %v", err)
	}
	if err := g.Ban(ctx, Network(home), time.Hour); err != nil || g.Allowed(home) == nil {
		t.Errorf("after the ban: %v", err)
	}
	if err := g.LiftBan(ctx, Network(home)); err != nil || g.Allowed(home) != nil {
		t.Errorf("after it was lifted: %v", err)
	}
}
