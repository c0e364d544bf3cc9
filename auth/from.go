package auth

import (
	"fmt"
	"net/netip"
	"slices"

	"gateway/config"
)

// errFrom is only for the log: to the client it is as if the password or key were wrong.
var errFrom = fmt.Errorf("%w: the user may not log in from this address", ErrCredentials)

// comesFrom reports whether the user may come from an address. A list that cannot be read lets nobody in; check finds it.
func (u User) comesFrom(addr netip.Addr) bool {
	if len(u.AllowFrom) == 0 {
		return true
	}
	networks, err := config.ParseNetworks(u.AllowFrom)
	addr = addr.Unmap().WithZone("")
	return err == nil && slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// checkFrom finds mistakes in the list.
func (u User) checkFrom() error {
	if _, err := config.ParseNetworks(u.AllowFrom); err != nil {
		return fmt.Errorf("allow_from: %w", err)
	}
	return nil
}
