package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/alecthomas/kong"

	"gateway/internal/manpage"
)

// TestHelp holds what every command says of itself to testdata/help, where it can be read as its users see
// it; UPDATE_HELP=1 writes it anew.
func TestHelp(t *testing.T) {
	const dir = "testdata/help"
	known := map[string]bool{}
	for _, n := range manpage.Nodes(model(t)) {
		name := manpage.PageName(n)
		known[name+".txt"] = true
		args := append(strings.Fields(n.FullPath())[1:], "--help")
		var out, stderr bytes.Buffer
		if code := run(t.Context(), args, streams{out: &out, err: &stderr}); code != exitOK || stderr.Len() > 0 {
			t.Errorf("%q: %d, %s", args, code, &stderr)
		}
		for l := range strings.SplitSeq(out.String(), "\n") {
			if utf8.RuneCountInString(l) > textWidth {
				t.Errorf("%s: wider than %d columns: %s", name, textWidth, l)
			}
		}
		file := filepath.Join(dir, name+".txt")
		if os.Getenv("UPDATE_HELP") != "" {
			if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(want, out.Bytes()) {
			t.Errorf("%s is not what gateway %s prints (%v); if that is meant, UPDATE_HELP=1 writes it:\n%s", file, strings.Join(args, " "), err, &out)
		}
		checkHelp(t, name, n)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !known[f.Name()] {
			t.Errorf("%s is the help of no command", f.Name())
		}
	}
}

// checkHelp: what can be typed is explained, in whole sentences, and a value has a name that says what it is.
func checkHelp(t *testing.T, name string, n *kong.Node) {
	t.Helper()
	sentence := func(what, text string) {
		if !strings.HasSuffix(text, ".") || text == "" {
			t.Errorf("%s: the help of %s is no sentence: %q", name, what, text)
		}
	}
	sentence("the command", n.Help)
	for _, f := range n.Flags {
		sentence("--"+f.Name, f.Help)
	}
	for _, p := range n.Positional {
		sentence(p.Summary(), p.Help)
	}
	if len(n.Children) == 0 && n.Detail == "" && !slices.Contains([]string{
		"gateway-user-list", "gateway-user-remove", "gateway-quarantine-list", "gateway-quarantine-reject", "gateway-uploads-discard", "gateway-events-drop", "gateway-version",
	}, name) {
		t.Errorf("%s: one line says what it does, and nothing how it is used: write Help", name)
	}
}
