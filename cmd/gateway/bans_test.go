package main

import (
	"strings"
	"testing"
	"time"
)

func TestBans(t *testing.T) {
	e, out, stderr := newEnv(t)
	g := openGateway(t, e)
	said := func(args ...string) string {
		t.Helper()
		out.Reset()
		stderr.Reset()
		run(t.Context(), args, e.streams)
		return out.String() + stderr.String()
	}
	if got := said("bans"); got != "No address is banned.\n" {
		t.Errorf("nobody banned: %q", got)
	}
	for network, d := range map[string]time.Duration{"192.0.2.7/32": time.Hour, "2001:db8::/64": 24 * time.Hour} {
		if err := g.state.Ban(t.Context(), network, d); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(strings.TrimSpace(said("bans", "list")), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "2001:db8::/64  for 23h59m") && !strings.HasPrefix(lines[0], "2001:db8::/64  for 24h") || !strings.HasPrefix(lines[1], "192.0.2.7/32") {
		t.Errorf("listed: %q", lines)
	}
	if got := said("bans", "lift", "192.0.2.7"); got != "the ban of 192.0.2.7/32 is lifted\n" {
		t.Errorf("lift: %q", got)
	}
	if got := said("bans", "lift", "192.0.2.7"); !strings.Contains(got, "192.0.2.7/32 is not banned; see: gateway bans") {
		t.Errorf("lift again: %q", got)
	}
	if got := said("bans", "lift", "2001:db8::1"); !strings.Contains(got, "2001:db8::/64 is lifted") {
		t.Errorf("lift one of a network: %q", got)
	}
	if got := said("bans", "lift", "everybody"); !strings.Contains(got, "neither an address nor the network") {
		t.Errorf("lift nonsense: %q", got)
	}
	if got := said("audit", "show", "--verb", "admin"); strings.Count(got, "lift ban") != 2 {
		t.Errorf("audit log: %q", got)
	}
}
