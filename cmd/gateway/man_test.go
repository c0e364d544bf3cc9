package main

import (
	"bytes"
	"maps"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"gateway/auth"
	"gateway/config"
	"gateway/internal/manpage"
	"gateway/tests/servers"
)

// model is the command line.
func model(t *testing.T) *kong.Application {
	t.Helper()
	parser, err := newParser(new(cli), streams{}, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	return parser.Model
}

// TestManPages: every command has a page that names its flags and says what the help says, every key of the
// configuration is in gateway.yaml(5), and mandoc has nothing to fault and shows them.
func TestManPages(t *testing.T) {
	app := model(t)
	pages, err := manPages(app)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]string{}
	mandoc, dir := servers.Tool(t, "mandoc"), t.TempDir()
	if err := writePages(dir, pages); err != nil {
		t.Fatal(err)
	}
	files := slices.Sorted(maps.Keys(pages))
	// In one run each: the programs are unpacked, and start slowly.
	lint := exec.Command(mandoc, append([]string{"-Tlint", "-Wwarning"}, files...)...)
	lint.Dir = dir
	// A build without "make build" knows no day.
	if out, _ := lint.CombinedOutput(); strings.Trim(withoutLines(string(out), "missing date, using"), "\n") != "" {
		t.Errorf("mandoc -Tlint: %s", out)
	}
	for _, file := range files {
		show := exec.Command(mandoc, "-Tutf8", "-Owidth=1000", filepath.Join(dir, file))
		out, err := show.Output()
		if err != nil {
			t.Fatalf("mandoc %s: %v", file, err)
		}
		shown[file] = noOverstrike(out)
	}
	for _, n := range manpage.Nodes(app) {
		page := shown["man1/"+manpage.PageName(n)+".1"]
		want := []string{n.Help}
		for _, group := range n.AllFlags(true) {
			for _, f := range group {
				want = append(want, "--"+f.Name, f.Help)
			}
		}
		for _, p := range n.Positional {
			want = append(want, p.Summary(), p.Help)
		}
		for _, child := range n.Children {
			if !child.Hidden {
				want = append(want, manpage.PageName(child)+"(1)")
			}
		}
		for _, w := range want {
			if !strings.Contains(page, strings.Join(strings.Fields(w), " ")) {
				t.Errorf("%s(1) does not say %q", manpage.PageName(n), w)
			}
		}
	}
	for _, key := range append(keys(reflect.TypeFor[config.Config](), ""), keys(reflect.TypeFor[auth.User](), "")...) {
		if key != "name" && !strings.Contains(shown["man5/gateway.yaml.5"], key) {
			t.Errorf("gateway.yaml(5) does not name %s", key)
		}
	}
}

// noOverstrike takes out what makes letters bold on a printer.
func noOverstrike(out []byte) string {
	var b strings.Builder
	for _, r := range string(out) {
		if r == '\b' {
			s := []rune(b.String())
			b.Reset()
			b.WriteString(string(s[:len(s)-1]))
			continue
		}
		b.WriteRune(r)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

func withoutLines(text, with string) string {
	var b strings.Builder
	for l := range strings.Lines(text) {
		if !strings.Contains(l, with) {
			b.WriteString(l)
		}
	}
	return b.String()
}

func TestManCommand(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
		code int
	}{
		{[]string{"man"}, ".TH GATEWAY 1", exitOK},
		{[]string{"man", "user", "add"}, "unexpected argument add", exitUsage},
		{[]string{"man", "user add"}, "", exitFailed},
		{[]string{"man", "gateway user add"}, `.TH GATEWAY\-USER\-ADD 1`, exitOK},
		{[]string{"man", "gateway.yaml.5"}, ".TH GATEWAY.YAML 5", exitOK},
		{[]string{"man", "nothing"}, `there is no page "nothing"; there are: gateway, gateway-`, exitFailed},
		{[]string{"man", "gateway", "--dir", t.TempDir()}, "leave the name out", exitFailed},
	} {
		var out bytes.Buffer
		if code := run(t.Context(), tt.args, streams{out: &out, err: &out}); code != tt.code || !strings.Contains(out.String(), tt.want) {
			t.Errorf("%q: %d, %.300s", tt.args, code, &out)
		}
	}
}
