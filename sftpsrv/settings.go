package sftpsrv

import (
	"errors"
	"slices"

	"golang.org/x/crypto/ssh"
)

// settings are a configuration and what is made of it. A connection keeps those that it began with.
type settings struct {
	Config
	algorithms algorithmSet
	keys       []ssh.Signer // in use
	announced  []ssh.Signer // these and the next ones
}

func newSettings(c Config) (*settings, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if len(c.HostKeys) == 0 {
		return nil, errors.New("sftpsrv: Config.HostKeys is empty")
	}
	offered := modern()
	if c.LegacyAlgorithms {
		offered = legacy()
	}
	keys, err := usableHostKeys(append(slices.Clone(c.HostKeys), c.NextHostKeys...), offered.hostRSA)
	if err != nil {
		return nil, err
	}
	return &settings{Config: c, algorithms: offered, keys: keys[:len(c.HostKeys)], announced: keys}, nil
}

// Check finds what New and Reconfigure would not take.
func Check(c Config) error {
	_, err := newSettings(c)
	return err
}

// Reconfigure has the connections that come from now on served by another configuration; those that
// are open keep theirs. Bounds that are lower than what is open close nothing. MaxBuffered stays as it was
// given to New. When it fails, as New does, nothing has changed.
func (s *Server) Reconfigure(c Config) error {
	changed, err := newSettings(c)
	if err != nil {
		return err
	}
	s.settings.Store(changed)
	s.admit.limit(changed.Config)
	return nil
}

// limit sets the bounds.
func (a *admission) limit(c Config) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.maxAll, a.maxUnknown, a.maxPerAddress = c.MaxConnections, c.MaxUnauthenticated, c.MaxPerAddress
}
