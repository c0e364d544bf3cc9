package manpage

import (
	"os"
	"strings"
	"testing"
)

// TestMarkdown holds a page with all that can be in one with its roff.
func TestMarkdown(t *testing.T) {
	text, err := os.ReadFile("testdata/page.md")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Markdown(Title{Name: "page.yaml", Section: 5, Does: "a page", Source: "test", Date: "2026-11-30"}, string(text))
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile("testdata/page.5", []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/page.5")
	if err != nil || got != string(want) {
		t.Errorf("%v; the page is now\n%s", err, got)
	}
}

func TestMarkdownRefused(t *testing.T) {
	for text, want := range map[string]string{
		"fine\n\n#### deep":           "line 4: a heading of depth 4",
		"```\nno end":                 "line 3: the code that begins at line 1 does not end",
		"| a | b |\n|---|---|\n| c |": "line 3: a row of 1 columns in a table of 2",
		"> quoted":                    "line 1: \"> quoted\" is nothing",
		"1. first":                    "line 1: \"1. first\" is nothing",
		"<b>html</b>":                 "line 1: ",
		"    indented":                "line 1: ",
		"![picture](x.png)":           "line 1: ",
	} {
		if page, err := Markdown(Title{Name: "x", Section: 5, Does: "y"}, text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: %v, %s", text, err, page)
		}
	}
}

func FuzzMarkdown(f *testing.F) {
	f.Add("# a\n\n- b\n  c\n\n| d | e |\n|---|---|\n| `f` | **g** [h](i) |\n")
	f.Fuzz(func(t *testing.T, text string) {
		page, err := Markdown(Title{Name: "x", Section: 5, Does: "y"}, text)
		if err != nil {
			return
		}
		for l := range strings.Lines(page) {
			known := []string{".\\\"", ".TH ", ".nh\n", ".ad l\n", ".SH ", ".SS ", ".PP\n", ".TP\n", ".RS 4\n", ".RE\n", ".nf\n", ".fi\n"}
			if l[0] == '.' && !startsWithOne(l, known) || l[0] == '\'' {
				t.Errorf("a request that the text made: %q", l)
			}
		}
	})
}

func startsWithOne(s string, of []string) bool {
	for _, o := range of {
		if strings.HasPrefix(s, o) {
			return true
		}
	}
	return false
}
