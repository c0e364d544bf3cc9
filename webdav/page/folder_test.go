package page

import (
	"fmt"
	"html"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var rowName = regexp.MustCompile(`(?s)<td role="cell" class="name"><a href="([^"]*)">.*?<span>([^<]*)</span></a>`)

// names are those of the rows, in their order.
func names(a answer) string {
	var list []string
	for _, m := range rowName.FindAllStringSubmatch(a.body, -1) {
		list = append(list, m[2])
	}
	return strings.Join(list, " ")
}

func TestListing(t *testing.T) {
	s := newSite(t)
	for i, name := range []string{"a10", "B1", "a2", "c", "d/x"} {
		s.put("dir/"+name, strings.Repeat("x", 10-i))
		at := time.Date(2026, 1, 1+(i*7)%5, 0, 0, 0, 0, time.UTC)
		must(t, os.Chtimes(filepath.Join(s.dir, "files", "dir", name), at, at))
	}
	b := s.in("anna")
	for query, want := range map[string]string{
		"":                      "d a2 a10 B1 c",
		"?sort=name&order=desc": "d c B1 a10 a2",
		"?sort=size":            "d c a2 B1 a10",
		"?sort=size&order=desc": "d a10 B1 a2 c",
		"?sort=time":            "d a10 c B1 a2",
		"?sort=nonsense":        "d a2 a10 B1 c",
		"?page=99999999999":     "d a2 a10 B1 c",
		"?page=2":               "",
		"?q=A":                  "a2 a10",
		"?q=X":                  "d/x",
		"?q=nothing":            "",
	} {
		if got := names(b.get("/dir/" + query).want(http.StatusOK)); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	b.get("/dir/?sort=size").has(`aria-sort="ascending"`, `href="?order=desc&amp;sort=size"`, "5 entries", `href="/.gateway/download/dir/a2"`)
	b.get("/dir/?q=nothing").has("Nothing here or below has “nothing”")
	if to := b.get("/dir").want(http.StatusSeeOther).header.Get("Location"); to != "/dir/" {
		t.Errorf("to %s", to)
	}
	if to := b.get("/dir/a2").want(http.StatusSeeOther).header.Get("Location"); to != Prefix+"file/dir/a2" {
		t.Errorf("to %s", to)
	}
	b.get("/nothing").want(http.StatusNotFound).has("There is nothing at this address")
	b.get("/dir/%2e%2e/x").want(http.StatusBadRequest)
	b.get("/dir/d/").hasNot("This folder is empty")
	must(t, os.Mkdir(filepath.Join(s.dir, "files", "empty"), 0o755))
	b.get("/empty/").has("This folder is empty")
}

// Names are what strangers choose.
func TestHostileNames(t *testing.T) {
	s := newSite(t)
	hostile := []string{`<script>alert(1)</script>`, `" onmouseover="x`, `'><b>`, `javascript:alert(1)`, `a?b#c%41`, `&amp;`, `ü 日本`, "\u202efdp.exe", "`${x}`"}
	for _, name := range hostile {
		s.put(strings.ReplaceAll(name, "/", "∕"), "x")
	}
	b := s.in("anna")
	a := b.get("/").want(http.StatusOK).hasNot("<script>alert", `" onmouseover="x"`, "<b>", `href="javascript:`)
	rows := rowName.FindAllStringSubmatch(a.body, -1)
	if len(rows) != len(hostile) {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		b.get(html.UnescapeString(row[1])).want(http.StatusOK).hasNot("<script>alert", `" onmouseover="x"`, "<b>")
	}
}

func TestPages(t *testing.T) {
	s := newSite(t)
	const n = 2*pageRows + 3
	must(t, os.Mkdir(filepath.Join(s.dir, "files", "many"), 0o755))
	for i := range n {
		must(t, os.WriteFile(filepath.Join(s.dir, "files", "many", fmt.Sprintf("f%d", i)), nil, 0o644))
	}
	b := s.in("anna")
	path, seen := "/many/", map[string]bool{}
	for pages := 0; path != ""; pages++ {
		if pages == 3 {
			t.Fatal("there is no end")
		}
		a := b.get(path).want(http.StatusOK).has("1,003 entries")
		for name := range strings.FieldsSeq(names(a)) {
			if seen[name] {
				t.Errorf("%s twice", name)
			}
			seen[name] = true
		}
		_, next, ok := strings.Cut(a.body, `id="next"><a class="button" href="`)
		if path = ""; ok {
			next, _, _ = strings.Cut(next, `"`)
			path = "/many/" + strings.ReplaceAll(next, "&amp;", "&")
		}
	}
	if len(seen) != n {
		t.Errorf("%d of %d names", len(seen), n)
	}
	plain := b.get("/many/")
	small := b.get("/many/", "Accept-Encoding", "gzip")
	if small.header.Get("Content-Encoding") != "gzip" || len(small.body) > len(plain.body)/5 {
		t.Errorf("%d bytes of %d are sent", len(small.body), len(plain.body))
	}
}

// What a user may not do is not offered, and not done.
func TestRights(t *testing.T) {
	s := newSite(t)
	s.put("box/secret", "x")
	s.put("read/f", "x")
	b := s.in("bert")
	if got := names(b.get("/").want(http.StatusOK)); got != "box read" {
		t.Errorf("the root has %s", got)
	}
	b.get("/box/").want(http.StatusOK).has("A drop box", `id="upload"`, "New folder").hasNot("secret", "Download all", `type="search"`)
	b.get("/read/").want(http.StatusOK).has("f", "Download all").hasNot(`id="upload"`, "New folder")
	b.get(Prefix+"file/read/f").want(http.StatusOK).has("Download").hasNot("Rename", "Delete…")
	for path, want := range map[string]int{
		"file/box/secret": 404, "download/box/secret": 403, "picture/box/secret": 403, "zip/box": 403, "delete/box/secret": 404, "file/nothing": 404, "nonsense/": 404,
	} {
		b.get(Prefix + path).want(want).hasNot("<pre")
	}
	b.do(Prefix + "delete/read/f").want(http.StatusForbidden)
	b.do(Prefix+"rename/read/f", "name", "g").want(http.StatusForbidden)
	b.do(Prefix+"mkdir/read", "name", "g").want(http.StatusForbidden)
	b.do(Prefix+"share/box/secret", "hours", "1").want(http.StatusForbidden)
	b.do(Prefix + "delete/").want(http.StatusForbidden)
	if s.content("read/f") != "x" || s.content("box/secret") != "x" {
		t.Error("something was done")
	}
}

func TestSearchHasAnEnd(t *testing.T) {
	s := newSite(t)
	for i := range maxFound + 10 {
		s.put(fmt.Sprintf("d%d/f", i%10)+fmt.Sprint(i), "")
	}
	s.put("deep/er/the needle", "")
	b := s.in("anna")
	b.get("/?q=f").want(http.StatusOK).has("500 found", "there may be more")
	if got := names(b.get("/?q=NEEDLE+the")); got != "deep/er/the needle" {
		t.Errorf("found %s", got)
	}
	if got := names(b.get("/deep/?q=needle")); got != "er/the needle" {
		t.Errorf("found %s", got)
	}
	s.put("box/needle", "")
	bert := s.in("bert")
	bert.get("/?q=needle").want(http.StatusOK).hasNot(`<span>box/needle`)
}

func TestCompareNames(t *testing.T) {
	ordered := []string{"", "1", "02", "2", "10", "a", "A1", "a2", "A10", "a10b", "ab", "b", "é"}
	for i, a := range ordered {
		for j, b := range ordered {
			got := compareNames(a, b)
			if (i < j) != (got < 0) || (i == j) != (got == 0) {
				t.Errorf("compareNames(%q, %q) = %d", a, b, got)
			}
		}
	}
}

// The assets together are small, and nothing else is loaded.
func TestAssets(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	a := b.get(Prefix + "login").want(http.StatusOK)
	if a.header.Get("Content-Security-Policy") == "" || strings.Contains(a.header.Get("Content-Security-Policy"), "unsafe") {
		t.Errorf("the policy is %q", a.header.Get("Content-Security-Policy"))
	}
	total := 0
	for _, m := range regexp.MustCompile(`(?:src|href)="(/.gateway/assets/[^"]+)"`).FindAllStringSubmatch(a.body, -1) {
		file := b.get(m[1]).want(http.StatusOK)
		total += len(file.body)
		if kind := file.header.Get("Content-Type"); !strings.HasPrefix(kind, "text/") && kind != "image/svg+xml" || !strings.Contains(file.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %v", m[1], file.header)
		}
	}
	if total == 0 || total > 150_000 {
		t.Errorf("the assets have %d bytes", total)
	}
	if regexp.MustCompile(`(?i)<style|<script(?:>| [^s])|\son[a-z]+=|style="|https?://`).MatchString(a.body) {
		t.Errorf("something is inline or elsewhere:\n%s", a.body)
	}
	for _, path := range []string{"", "x", "../page.go", "x/../page.go", "x/templates/login.html", "x/nothing"} {
		if a := b.get(Prefix + "assets/" + path); a.status == http.StatusOK {
			t.Errorf("%s is served", path)
		}
	}
}
