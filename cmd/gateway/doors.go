package main

import (
	"net"

	"gateway/config"
	"gateway/internal/ingress"
)

// doors stand before the listeners: who is let in, and for whom a balancer speaks.
type doors struct {
	sftp, https *ingress.Listener // nil: off
}

// putDoors puts one before each listener that is open.
func (s *serving) putDoors() error {
	rules, err := allRules(s.g.cfg)
	if err != nil {
		return err
	}
	put := func(front string, l *net.Listener, r ingress.Rules) (door *ingress.Listener) {
		if *l == nil {
			return nil
		}
		door = ingress.Listen(*l, r, s.g.log.With("front", front))
		*l = door
		return door
	}
	s.doors = doors{put("sftp", &s.sftp, rules.sftp), put("https", &s.https, rules.https)}
	return nil
}

// doorRules are those of both.
type doorRules struct{ sftp, https ingress.Rules }

func allRules(c config.Config) (r doorRules, err error) {
	if r.sftp, err = accessRules(c.SFTP.Access); err != nil {
		return r, err
	}
	r.https, err = accessRules(c.HTTPS.Access)
	return r, err
}

func (d doors) set(r doorRules) {
	if d.sftp != nil {
		d.sftp.SetRules(r.sftp)
	}
	if d.https != nil {
		d.https.SetRules(r.https)
	}
}

func accessRules(a config.Access) (r ingress.Rules, err error) {
	if r.Balancers, err = config.ParseNetworks(a.ProxyProtocol); err != nil {
		return r, err
	}
	if r.Allow, err = config.ParseNetworks(a.Allow); err != nil {
		return r, err
	}
	r.Deny, err = config.ParseNetworks(a.Deny)
	return r, err
}
