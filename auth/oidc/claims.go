package oidc

import (
	"fmt"
	"slices"
	"strings"
)

// claimEmail is the claim that a user can often choose by themselves, so that it counts only if it was verified.
const claimEmail = "email"

// claims are what a provider says of a user.
type claims map[string]any

// text is a claim that is a text; else "".
func (c claims) text(name string) string {
	s, _ := c[name].(string)
	return s
}

// list is a claim that is a list of texts, or one text.
func (c claims) list(name string) []string {
	if s := c.text(name); s != "" {
		return []string{s}
	}
	all, _ := c[name].([]any)
	var texts []string
	for _, v := range all {
		if s, ok := v.(string); ok {
			texts = append(texts, s)
		}
	}
	return texts
}

// yes reports whether a claim is true. Some providers write it as a text.
func (c claims) yes(name string) bool { return c[name] == true || c[name] == "true" }

// userOf is the user of the gateway whom the claims name.
func (c Config) userOf(from claims) (string, error) {
	name := from.text(c.UserClaim)
	if name == "" {
		return "", fmt.Errorf("%w: the provider does not say who it is: there is no claim %s; does oidc.%s.scopes ask for it?", ErrRefused, c.UserClaim, c.Name)
	}
	if len(c.AllowedGroups) > 0 && !slices.ContainsFunc(from.list(c.GroupsClaim), func(g string) bool { return slices.Contains(c.AllowedGroups, g) }) {
		return "", fmt.Errorf("%w: %.100q is in none of the allowed groups", ErrRefused, name)
	}
	if c.UserClaim != claimEmail {
		return name, nil
	}
	if !from.yes("email_verified") {
		return "", fmt.Errorf("%w: the provider did not verify the address %.100q", ErrRefused, name)
	}
	name = strings.ToLower(name)
	at := strings.IndexByte(name, '@')
	if at < 1 || strings.Count(name, "@") > 1 { // names with a quoted @ before it: nobody has one, but for no good
		return "", fmt.Errorf("%w: %.100q is not a mail address", ErrRefused, name)
	}
	same := func(domain string) bool { return strings.EqualFold(domain, name[at+1:]) }
	if len(c.AllowedDomains) > 0 && !slices.ContainsFunc(c.AllowedDomains, same) {
		return "", fmt.Errorf("%w: %.100q is of none of the allowed domains", ErrRefused, name)
	}
	if c.StripDomain {
		name = name[:at]
	}
	return name, nil
}
