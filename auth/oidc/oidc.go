// Package oidc lets people log in with a browser at an OpenID provider (OpenID Connect Core 1.0): by
// the authorization code flow with PKCE (RFC 7636), bound to the browser that began it.
//
// It says which user of the gateway the provider vouches for, and nothing of whether there is such a user
// or what they may do: that is for who calls it to ask. It holds no session and no tokens: what the
// provider gives is looked at once and forgotten.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	coreos "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Sentinels. To the browser they may be shown; their details are for the log.
var (
	// ErrRefused is for a login that is not as it has to be: not begun in this browser, made up, or of somebody whom
	// the configuration does not let in.
	ErrRefused = errors.New("the login was refused")
	// ErrUnavailable is for a provider that cannot be reached or does not answer as one.
	ErrUnavailable = errors.New("the login provider cannot be used")
	// ErrCancelled is for a login that was ended at the provider.
	ErrCancelled = errors.New("the login was ended at the provider")
)

// Bounds.
const (
	loginTime     = 10 * time.Minute // from Begin to Finish
	requestTime   = 10 * time.Second // of one request to the provider
	maxAnswer     = 1 << 20          // bytes of one answer of it
	maxExchanges  = 16               // logins that are finished at once
	refreshEvery  = 24 * time.Hour   // how old what is known of a provider may be
	retryEvery    = 10 * time.Second // how often one that could not be reached is asked
	maxParameter  = 4096             // bytes of each parameter that a browser brings
	maxRemembered = 4096             // logins that were finished and cannot be once more
)

// Config says who a provider is and whom it may log in. Name, Issuer, ClientID, RedirectURL and UserClaim are required.
type Config struct {
	Name         string // of the provider, in the configuration
	Issuer       string // https URL; http only for one on this machine
	ClientID     string
	ClientSecret string   // "" for a public client
	RedirectURL  string   // of Finish, as the provider knows it
	Scopes       []string // besides "openid"

	// UserClaim is the claim that has the user's name. With "email" the provider has to say that it verified the address.
	UserClaim string
	// AllowedDomains are those of mail addresses that are let in, where UserClaim is "email"; empty: all.
	AllowedDomains []string
	// StripDomain makes the part of a mail address before the @ the user's name. It takes exactly one AllowedDomains.
	StripDomain bool
	// AllowedGroups, if there are any, are the groups of which GroupsClaim has to have one.
	AllowedGroups []string
	GroupsClaim   string

	Client *http.Client // for requests to the provider; nil: one with the system's authorities
	Logger *slog.Logger // nil: none
}

// Provider is one provider. Safe for concurrent use.
type Provider struct {
	config    Config
	client    *http.Client
	log       *slog.Logger
	now       func() time.Time
	exchanges chan struct{}
	finished  *finished

	mu      sync.Mutex
	found   *discovered
	foundAt time.Time
	askedAt time.Time
	lastErr error
}

// discovered is what a provider says of itself.
type discovered struct {
	provider *coreos.Provider
	verifier *coreos.IDTokenVerifier
	endpoint oauth2.Endpoint
}

// algorithms are those that an ID token may be signed with: none that needs no key, or the client's secret.
func algorithms() []string {
	return []string{coreos.RS256, coreos.RS384, coreos.RS512, coreos.ES256, coreos.ES384, coreos.ES512, coreos.PS256, coreos.PS384, coreos.PS512, coreos.EdDSA}
}

// New checks the configuration. The provider is not asked anything yet: it may be down.
func New(c Config) (*Provider, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	p := &Provider{
		config: c, client: boundedClient(c), log: c.Logger, now: time.Now,
		exchanges: make(chan struct{}, maxExchanges), finished: newFinished(),
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	return p, nil
}

func (c Config) check() error {
	if c.Name == "" || c.ClientID == "" || c.UserClaim == "" {
		return errors.New("name, client id and user claim are required")
	}
	if err := safeURL(c.Issuer); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if err := safeURL(c.RedirectURL); err != nil {
		return fmt.Errorf("redirect URL: %w", err)
	}
	switch {
	case len(c.AllowedDomains) > 0 && c.UserClaim != claimEmail:
		return fmt.Errorf("allowed domains are of mail addresses, but the user claim is %s; set it to %s", c.UserClaim, claimEmail)
	case c.StripDomain && len(c.AllowedDomains) != 1:
		return errors.New("the domain can be stripped only if exactly one is allowed: else two people could be one user")
	case len(c.AllowedGroups) > 0 && c.GroupsClaim == "":
		return errors.New("allowed groups need a groups claim")
	}
	return nil
}

// safeURL wants https, or http to this machine.
func safeURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%q is not a URL such as https://login.example.org", text)
	}
	if u.Scheme == "https" || u.Scheme == "http" && slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname()) {
		return nil
	}
	return fmt.Errorf("%q has to begin with https://", text)
}

// Discover asks the provider what it is, if that is not known. It fails with ErrUnavailable.
func (p *Provider) Discover(ctx context.Context) error {
	_, err := p.discover(ctx)
	return err
}

// discover returns what the provider says of itself (OpenID Connect Discovery 1.0). While it cannot be reached, what it
// said before is good; where nothing is known it is asked every ten seconds at most.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	if p.found != nil && now.Sub(p.foundAt) < refreshEvery {
		return p.found, nil
	}
	if p.askedAt.IsZero() || now.Sub(p.askedAt) >= retryEvery {
		p.askedAt = now
		found, err := p.ask(ctx)
		if p.lastErr = err; err == nil {
			p.found, p.foundAt = found, now
		}
	}
	if p.found != nil {
		return p.found, nil
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, p.lastErr)
}

func (p *Provider) ask(ctx context.Context) (*discovered, error) {
	// Not ended with the request of the browser that happens to wait for it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.context(ctx)), requestTime)
	defer cancel()
	provider, err := coreos.NewProvider(ctx, p.config.Issuer)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", p.config.Issuer, shortened(err))
	}
	d := &discovered{
		provider: provider, endpoint: provider.Endpoint(),
		verifier: provider.Verifier(&coreos.Config{ClientID: p.config.ClientID, SupportedSigningAlgs: algorithms(), Now: p.now}),
	}
	for _, at := range []string{d.endpoint.AuthURL, d.endpoint.TokenURL} {
		if err := safeURL(at); err != nil {
			return nil, fmt.Errorf("what %s says of itself: %w", p.config.Issuer, err)
		}
	}
	return d, nil
}

// context makes the libraries use the client of the provider.
func (p *Provider) context(ctx context.Context) context.Context {
	return coreos.ClientContext(ctx, p.client)
}

// oauth is the client as OAuth 2.0 has it.
func (p *Provider) oauth(d *discovered) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret, Endpoint: d.endpoint,
		RedirectURL: p.config.RedirectURL, Scopes: append([]string{coreos.ScopeOpenID}, p.config.Scopes...),
	}
}

// shortened cuts what a provider wrote, which can be a whole page, to what a log needs.
func shortened(err error) error {
	const enough = 300
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) <= enough && text == err.Error() {
		return err
	}
	return errors.New(strings.ToValidUTF8(text[:min(len(text), enough)], ""))
}
