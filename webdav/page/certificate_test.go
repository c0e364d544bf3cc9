package page

import (
	"net/http"
	"testing"

	"gateway/auth"
)

// A client certificate logs in whom it names, and keeps others out where it is required.
func TestClientCertificate(t *testing.T) {
	named, required := "", false
	s := newSite(t, func(c *Config) { c.Certificate = func(*http.Request) (string, bool) { return named, required } })
	s.put("f", "shared")
	annas := s.in("anna")
	link := annas.shared("f", "1")

	named = "anna"
	b := s.browser()
	to := b.get("/f").want(http.StatusSeeOther).header.Get("Location")
	if to := b.get(to).want(http.StatusSeeOther).header.Get("Location"); to != "/f" {
		t.Errorf("to %s", to)
	}
	b.get("/").want(http.StatusOK).has("anna")
	to = b.do(Prefix + "logout").want(http.StatusSeeOther).header.Get("Location")
	b.get(to).want(http.StatusOK).has(`value="anna"`, "You are logged out.") // and not in again
	b.post(Prefix+"login", "user", "bert", "password", passwordOf("bert")).want(http.StatusSeeOther)
	b.get("/").want(http.StatusOK).has("bert")

	required = true
	b.get("/").want(http.StatusForbidden).has("client certificate is another user").hasNot("box")
	b.post(Prefix+"login", "user", "bert", "password", passwordOf("bert")).want(http.StatusForbidden)
	annas.get("/").want(http.StatusOK)
	named = ""
	for _, path := range []string{"/", Prefix + "login", link} {
		annas.get(path).want(http.StatusForbidden).has("client certificate is required").hasNot("shared")
	}
	annas.post(Prefix+"login", "user", "anna", "password", passwordOf("anna")).want(http.StatusForbidden)

	u, err := s.users.Get(t.Context(), "anna")
	must(t, err)
	u.Require = []string{auth.ByPublicKey, auth.ByPassword}
	must(t, s.users.Put(t.Context(), u))
	named = "anna"
	b = s.browser()
	b.get(Prefix + "login").want(http.StatusOK).has(`value="anna"`)
	b.post(Prefix+"login", "user", "anna", "password", passwordOf("bert")).want(http.StatusForbidden)
	b.post(Prefix+"login", "user", "anna", "password", passwordOf("anna")).want(http.StatusSeeOther)
	b.get("/").want(http.StatusOK).has("anna")
	kept := b.shared("f", "1")
	required, named = false, ""
	s.browser().get(kept).want(http.StatusOK).has("anna shares this file") // though nobody proves a key to it
	s.browser().post(Prefix+"login", "user", "anna", "password", passwordOf("anna")).want(http.StatusForbidden)
}
