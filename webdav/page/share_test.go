package page

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"gateway/auth"
	"gateway/state"
	"gateway/storage"
)

var linkOf = regexp.MustCompile(`data-copy="(/.gateway/s/[^"]+)"`)

// shared makes a link to a file.
func (b *browser) shared(name, hours string) string {
	b.t.Helper()
	to := b.do(Prefix+"share/"+name, "hours", hours).want(http.StatusSeeOther).header.Get("Location")
	a := b.get(to).want(http.StatusOK).has("The link is ready.")
	m := linkOf.FindStringSubmatch(a.body)
	if m == nil {
		b.t.Fatalf("no link on the page:\n%s", a.body)
	}
	return html.UnescapeString(m[1])
}

func TestShare(t *testing.T) {
	s := newSite(t)
	s.put("d/größe.html", "<script>1</script>")
	link := s.in("anna").shared("d/gr%C3%B6%C3%9Fe.html", "24")
	anybody := s.browser()
	a := anybody.get(link).want(http.StatusOK).has("größe.html", "anna shares this file", "SHA-256", "Download").hasNot("<script>1", "Log out", "gateway-token")
	if a.header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("the link leaks: %v", a.header)
	}
	_, at, _ := strings.Cut(a.body, `wide" href="`)
	at, _, _ = strings.Cut(at, `"`)
	a = anybody.get(html.UnescapeString(at)).want(http.StatusOK)
	if a.body != "<script>1</script>" || !strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%q %v", a.body, a.header)
	}
	wantInert(t, a)
	if a := anybody.get(link, "Accept", "*/*").want(http.StatusOK); a.body != "<script>1</script>" {
		t.Errorf("a program gets %q", a.body)
	}
	if a := anybody.get(link, "Accept", "*/*", "Range", "bytes=0-0").want(http.StatusPartialContent); a.body != "<" {
		t.Errorf("a part is %q", a.body)
	}
	anybody.get("/").want(http.StatusSeeOther)
	anybody.get("/d/").want(http.StatusSeeOther)
	anybody.send("POST", link, nil).want(http.StatusMethodNotAllowed)
	text := strings.TrimPrefix(link, Prefix+"s/")
	text, _, _ = strings.Cut(text, "/")
	for _, forged := range []string{"", "x", text[:len(text)-1], text + "A", "A" + text[1:], text[:30] + "B" + text[31:]} {
		if forged == text {
			continue
		}
		anybody.get(Prefix + "s/" + forged).want(http.StatusNotFound).has("does not work any more").hasNot("anna")
	}
	if strings.Contains(s.log.String(), text) {
		t.Error("the link is in the log")
	}
}

// A share ends with its time, its file, its user, and what they may do.
func TestShareEnds(t *testing.T) {
	all := auth.Permissions(storage.PermReadWrite)
	for name, test := range map[string]struct {
		end   func(s *site, b *browser)
		again func(s *site) // undoes it; the link works again where it may
		works bool
	}{
		"expired": {func(s *site, _ *browser) { s.later(25 * time.Hour) }, nil, false},
		"revoked": {func(s *site, b *browser) {
			list, err := s.state.SharesOf(s.t.Context(), "anna")
			must(s.t, err)
			s.in("bert").do(Prefix+"revoke", "id", list[0].ID).want(http.StatusSeeOther)
			if again, _ := s.state.SharesOf(s.t.Context(), "anna"); len(again) != 1 {
				s.t.Fatal("another user revoked it")
			}
			b.do(Prefix+"revoke", "id", list[0].ID).want(http.StatusSeeOther)
			b.get(Prefix + "shares").has("You share no files")
		}, nil, false},
		"deleted":        {func(_ *site, b *browser) { b.do(Prefix + "delete/d/f").want(303) }, func(s *site) { s.put("d/f", "another") }, false},
		"folder deleted": {func(_ *site, b *browser) { b.do(Prefix + "delete/d").want(303) }, func(s *site) { s.put("d/f", "another") }, false},
		"renamed": {func(_ *site, b *browser) { b.do(Prefix+"rename/d/f", "name", "g").want(303) },
			func(s *site) { s.put("d/f", "another") }, false},
		"deleted over WebDAV": {func(s *site, _ *browser) { s.dav("DELETE", "/d/f", "anna", nil).want(http.StatusNoContent) }, func(s *site) { s.put("d/f", "another") }, false},
		"user removed":        {func(s *site, _ *browser) { must(s.t, s.users.Remove(s.t.Context(), "anna")) }, nil, false},
		"not to be read": {func(s *site, _ *browser) {
			s.user("anna", auth.Mount{Path: "/", Permissions: auth.Permissions(storage.PermDropBox)})
		},
			func(s *site) { s.user("anna", auth.Mount{Path: "/", Permissions: all}) }, true},
		"other folders": {func(s *site, _ *browser) {
			s.put("other/d/f", "of others")
			s.user("anna", auth.Mount{Path: "/", Folder: "other", Permissions: all})
		}, func(s *site) { s.user("anna", auth.Mount{Path: "/", Permissions: all}) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			s.put("d/f", "shared")
			b := s.in("anna")
			link := b.shared("d/f", "24")
			anybody := s.browser()
			anybody.get(link, "Accept", "*/*").want(http.StatusOK).has("shared")
			test.end(s, b)
			anybody.get(link, "Accept", "*/*").want(http.StatusNotFound).hasNot("shared", "of others")
			anybody.get(link).want(http.StatusNotFound).hasNot("anna")
			if test.again == nil {
				return
			}
			test.again(s)
			if a := anybody.get(link, "Accept", "*/*"); (a.status == http.StatusOK) != test.works {
				t.Errorf("afterwards: %d %s", a.status, a.body)
			}
		})
	}
}

func TestShareList(t *testing.T) {
	s := newSite(t)
	s.put("a", "x")
	s.put("b", "x")
	b := s.in("anna")
	b.shared("a", "1")
	b.shared("b", "720")
	b.get(Prefix+"shares").want(http.StatusOK).has(`href="/.gateway/file/a"`, `href="/.gateway/file/b"`).hasNot("works no more")
	s.in("bert").get(Prefix + "shares").want(http.StatusOK).has("You share no files")
	for _, hours := range []string{"0", "-1", "721", "x", "", "99999999999999"} {
		b.do(Prefix+"share/a", "hours", hours).want(http.StatusBadRequest)
	}
	b.do(Prefix+"share/nothing", "hours", "1").want(http.StatusNotFound)
	must(t, s.disk.Remove(t.Context(), "b")) // behind the gateway's back
	b.get(Prefix + "shares").want(http.StatusOK).has("works no more")
	s.later(2 * time.Hour)
	b.get(Prefix + "shares").want(http.StatusOK).hasNot(`file/a"`)
}

func TestShareBounds(t *testing.T) {
	s := newSite(t)
	s.put("a", "x")
	for i := range state.MaxShares {
		must(t, s.state.AddShare(t.Context(), state.Share{ID: strings.Repeat("x", i+1), User: "anna", Name: "a", Key: "k", Created: time.Now(), Expires: time.Now().Add(time.Hour)}))
	}
	s.in("anna").do(Prefix+"share/a", "hours", "1").want(http.StatusConflict).has("Revoke some")
}

func TestSharesOff(t *testing.T) {
	s := newSite(t)
	s.put("a", "x")
	link := s.in("anna").shared("a", "1")
	s.stop()
	s.start(func(c *Config) { c.ShareLongest = -1 })
	s.browser().get(link).want(http.StatusNotFound)
	b := s.in("anna")
	b.get(Prefix + "file/a").want(http.StatusOK).hasNot("Make a link")
	b.do(Prefix+"share/a", "hours", "1").want(http.StatusBadRequest)
}
