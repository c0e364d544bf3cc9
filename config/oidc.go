package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// MaxProviders is how many OIDC providers there can be.
const MaxProviders = 8

// OIDC is an OpenID provider at which people log in to the page.
type OIDC struct {
	// Label is on the button; "" is the provider's name.
	Label    string `yaml:"label"`
	Issuer   string `yaml:"issuer"`
	ClientID string `yaml:"client_id"`
	// The client's secret is in a file or an environment variable; neither for a public client.
	ClientSecretFile string `yaml:"client_secret_file"`
	ClientSecretEnv  string `yaml:"client_secret_env"`
	// URL is the gateway's own, as browsers have it, without a path.
	URL string `yaml:"url"`
	// Scopes are those besides openid; none given is profile and email.
	Scopes []string `yaml:"scopes"`
	// UserClaim is the claim that names the user; "" is preferred_username.
	UserClaim string `yaml:"user_claim"`
	// AllowedDomains are those of mail addresses that are let in; StripDomain takes the name before the @.
	AllowedDomains []string `yaml:"allowed_domains"`
	StripDomain    bool     `yaml:"strip_domain"`
	// AllowedGroups are let in, where GroupsClaim ("" is groups) has one of them; none given is everybody.
	AllowedGroups []string `yaml:"allowed_groups"`
	GroupsClaim   string   `yaml:"groups_claim"`
	// CAFile holds the authorities of the provider's certificate; "" means those of the system.
	CAFile string `yaml:"ca_file"`
}

// ClientSecret reads the client's secret from where the configuration says it is, "" if nowhere.
func (o OIDC) ClientSecret() (string, error) {
	secret, err := secretFrom(o.ClientSecretFile, o.ClientSecretEnv)
	if err != nil {
		return "", fmt.Errorf("client secret: %w", err)
	}
	return strings.TrimSpace(secret), nil
}

// ProviderNames are the names of the OIDC providers, sorted.
func (c Config) ProviderNames() []string { return slices.Sorted(maps.Keys(c.OIDC)) }

// files are the paths in it.
func (o *OIDC) files() []*string { return []*string{&o.ClientSecretFile, &o.CAFile} }

func (c *Config) completeOIDC() {
	for name, o := range c.OIDC {
		o.Label = cmp.Or(o.Label, name)
		o.UserClaim = cmp.Or(o.UserClaim, "preferred_username")
		o.GroupsClaim = cmp.Or(o.GroupsClaim, "groups")
		o.URL = strings.TrimSuffix(o.URL, "/")
		if o.Scopes == nil {
			o.Scopes = []string{"profile", "email"}
		}
		c.OIDC[name] = o
	}
}

func (c Config) validateOIDC(bad func(key, format string, args ...any)) {
	if len(c.OIDC) > MaxProviders {
		bad("oidc", "there are more than %d", MaxProviders)
	}
	for name, o := range c.OIDC {
		key := "oidc." + name
		if !storageName.MatchString(name) {
			bad(key, "a name has 1 to 32 of a-z, 0-9, _ and -, and begins with a letter or digit")
		}
		if o.Issuer == "" {
			bad(key, "issuer is missing: the URL of the provider, for example https://login.example.org")
		}
		if o.ClientID == "" {
			bad(key, "client_id is missing: what the provider calls the gateway")
		}
		u, err := url.Parse(o.URL)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
			bad(key+".url", "give the address at which browsers reach the gateway, for example https://files.example.org")
		}
		if o.ClientSecretFile != "" && o.ClientSecretEnv != "" {
			bad(key+".client_secret_env", "client_secret_file is given too; give one of them")
		}
		if slices.Contains(o.Scopes, "") || slices.ContainsFunc(o.Scopes, func(s string) bool { return strings.ContainsAny(s, " \t\n\"\\") }) {
			bad(key+".scopes", "write a list of scopes, for example [profile, email]")
		}
	}
}
