package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// MaxNetworks is how many networks one list can have.
const MaxNetworks = 1000

// Access says from where a front end can be reached. Each entry of a list is a network, 192.0.2.0/24, or an address.
type Access struct {
	// ProxyProtocol are the balancers that say whose connection they pass on. They have to, and nobody else may.
	ProxyProtocol []string `yaml:"proxy_protocol"`
	// Allow lets in only these, if it is not empty; Deny none of these, whatever Allow says.
	Allow []string `yaml:"allow"`
	Deny  []string `yaml:"deny"`
}

// ParseNetworks reads a list of networks and addresses.
func ParseNetworks(list []string) ([]netip.Prefix, error) {
	if len(list) > MaxNetworks {
		return nil, fmt.Errorf("there are %d, at most %d can be", len(list), MaxNetworks)
	}
	var networks []netip.Prefix
	var errs []error
	for _, entry := range list {
		network, err := parseNetwork(entry)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		networks = append(networks, network)
	}
	return networks, errors.Join(errs...)
}

func parseNetwork(entry string) (netip.Prefix, error) {
	if !strings.Contains(entry, "/") {
		if addr, err := netip.ParseAddr(entry); err == nil && addr.Zone() == "" {
			addr = addr.Unmap()
			return netip.PrefixFrom(addr, addr.BitLen()), nil
		}
	}
	network, err := netip.ParsePrefix(entry)
	switch {
	case err != nil || network.Addr().Is4In6():
		return network, fmt.Errorf("%.60q is neither an address nor a network; write for example 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32", entry)
	case network != network.Masked():
		return network, fmt.Errorf("%q is not the beginning of its network, which is %s", entry, network.Masked())
	}
	return network, nil
}

func (a Access) validate(key string, bad func(key, format string, args ...any)) {
	for _, l := range []struct {
		key  string
		list []string
	}{{"proxy_protocol", a.ProxyProtocol}, {"allow", a.Allow}, {"deny", a.Deny}} {
		networks, err := ParseNetworks(l.list)
		if err != nil {
			bad(key+"."+l.key, "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
		}
		for _, n := range networks {
			if l.key == "proxy_protocol" && n.Bits() == 0 {
				bad(key+"."+l.key, "%s is everybody, who could then claim any address; name your balancers", n)
			}
		}
	}
}
