package sftpsrv

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gateway/auth"
)

// overseer is an Authenticator that ends sessions.
type overseer struct {
	*fakeAuth
	says  atomic.Pointer[error]
	asked atomic.Pointer[atomic.Int64] // counts how often
}

func (o *overseer) Holds(_ context.Context, _ netip.Addr, id auth.Identity) error {
	if n := o.asked.Load(); n != nil {
		n.Add(1)
	}
	if err := o.says.Load(); err != nil && id.User.Name == testUser {
		return *err
	}
	return nil
}

// TestLoginThatDoesNotHold: the session of a user who was disabled ends at the next keepalive, and its upload is kept; what
// is not known ends nothing, and is logged once.
func TestLoginThatDoesNotHold(t *testing.T) {
	var o *overseer
	f := serve(t, func(c *Config) {
		o = &overseer{fakeAuth: c.Auth.(*fakeAuth)}
		c.Auth, c.KeepAlive = o, 50*time.Millisecond
	})
	unknown := fmt.Errorf("the disk is away")
	o.says.Store(&unknown)
	c := f.client()
	w, err := c.Create("a")
	mustDo(t, err)
	_, err = w.Write(pattern(100_000))
	mustDo(t, err)
	other, err := f.dial("bob")
	mustDo(t, err)
	defer other.Close()
	f.eventually("the check", func() bool { return strings.Contains(f.log.String(), "the disk is away") })
	var asked atomic.Int64 // after it was logged
	o.asked.Store(&asked)
	f.eventually("three more checks of each", func() bool { return asked.Load() >= 6 })
	if n := strings.Count(f.log.String(), "the disk is away"); n != 1 || f.connections() != 2 {
		t.Errorf("%d lines, %d connections", n, f.connections())
	}
	gone := fmt.Errorf("%w: the user is disabled", auth.ErrEnded)
	o.says.Store(&gone)
	f.eventually("the end of one session", func() bool { return f.connections() == 1 })
	if !strings.Contains(f.log.String(), "the user is disabled") {
		t.Error("the log does not say why")
	}
	mustDo(t, other.Close())
	if got := f.suspended(1)["a"].Size; got != 100_000 {
		t.Errorf("%d bytes of the upload are kept", got)
	}
}

// TestReconfigure: connections that come later have the new configuration, those that are there keep theirs, and one that
// cannot be changes nothing.
func TestReconfigure(t *testing.T) {
	var config Config
	f := serve(t, func(c *Config) { c.MaxPerAddress = 1; config = *c })
	first := f.mustDial()
	if second, err := f.dial(testUser); err == nil {
		second.Close()
		t.Fatal("a second connection is admitted")
	}
	config.MaxPerAddress, config.HostKeys = 2, nil
	if err := f.server.Reconfigure(config); err == nil {
		t.Error("a configuration without host keys is taken")
	}
	if second, err := f.dial(testUser); err == nil {
		second.Close()
		t.Fatal("the configuration that was refused counts")
	}
	f.hostKey = newSigner(t)
	config.HostKeys = append(config.HostKeys, f.hostKey)
	mustDo(t, f.server.Reconfigure(config))
	second, err := f.dial(testUser) // which knows the new host key only
	mustDo(t, err)
	defer second.Close()
	if _, _, err := first.SendRequest("keepalive@openssh.com", true, nil); err != nil {
		t.Errorf("the first connection: %v", err)
	}
}
