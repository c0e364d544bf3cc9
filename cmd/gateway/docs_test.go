package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gateway/auth"
	"gateway/config"
	"gateway/internal/completion"
)

// TestKeysAreDocumented holds the tables of docs/configuration.md to the keys of gateway.yaml and of
// user files, both ways: each key has a row, and no row has a key that is not there.
func TestKeysAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	known := append(keys(reflect.TypeFor[config.Config](), ""), keys(reflect.TypeFor[auth.User](), "")...)
	documented := documentedKeys(string(doc))
	for _, key := range known {
		if !slices.Contains(documented, key) {
			t.Errorf("no table of docs/configuration.md has a row for `%s`", key)
		}
	}
	for _, key := range documented {
		if !slices.Contains(known, key) {
			t.Errorf("docs/configuration.md has a row for `%s`, and there is no such key", key)
		}
	}
}

// TestNoSecretInTheConfiguration: a secret is named by a file or a variable, never written into
// gateway.yaml, where everybody would find it who reads the configuration. The password of a user
// file is a hash.
func TestNoSecretInTheConfiguration(t *testing.T) {
	secret := regexp.MustCompile(`password|passphrase|secret|token|_key$|\.key$`)
	elsewhere := regexp.MustCompile(`_(file|env)$|^https\.(certificates\[\]\.)?key$`) // these are the names of files
	for _, key := range keys(reflect.TypeFor[config.Config](), "") {
		if secret.MatchString(key) && !elsewhere.MatchString(key) {
			t.Errorf("%s would hold a secret; make it %s_file and %s_env", key, key, key)
		}
	}
}

// documentedKeys are the keys in the first column of the tables that are headed "key".
func documentedKeys(doc string) []string {
	var found []string
	quoted := regexp.MustCompile("`([^`]+)`")
	inside := false
	for line := range strings.Lines(doc) {
		cells := strings.Split(line, "|")
		switch {
		case len(cells) < 3:
			inside = false
		case strings.TrimSpace(cells[1]) == "key":
			inside = true
		case inside:
			for _, m := range quoted.FindAllStringSubmatch(cells[1], -1) {
				found = append(found, m[1])
			}
		}
	}
	return found
}

// TestDocumentedKeys: what is no row of such a table is not taken for one.
func TestDocumentedKeys(t *testing.T) {
	doc := "`a` here\n\n| key | meaning |\n|---|---|\n| `b.c`, `d` | as `e` |\n\n| name | what |\n|---|---|\n| `f` | no |\n"
	if got := documentedKeys(doc); !slices.Equal(got, []string{"b.c", "d"}) {
		t.Errorf("found %q", got)
	}
}

// keys lists the dotted YAML keys of a struct.
func keys(typ reflect.Type, prefix string) []string {
	switch typ.Kind() {
	case reflect.Pointer:
		return keys(typ.Elem(), prefix)
	case reflect.Map:
		return keys(typ.Elem(), prefix+".NAME")
	case reflect.Slice:
		if typ.Elem().Kind() == reflect.Struct && typ.Elem().NumField() > 0 && typ.Elem().Field(0).Tag.Get("yaml") != "" {
			return keys(typ.Elem(), prefix+"[]")
		}
	case reflect.Struct:
		if typ == reflect.TypeFor[time.Time]() {
			break
		}
		var all []string
		for i := range typ.NumField() {
			f := typ.Field(i)
			tag, option, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			switch {
			case option == "inline":
				all = append(all, keys(f.Type, prefix)...)
			case tag == "" || tag == "-":
			case prefix == "":
				all = append(all, keys(f.Type, tag)...)
			default:
				all = append(all, keys(f.Type, prefix+"."+tag)...)
			}
		}
		return all
	}
	return []string{prefix}
}

// quoted is what is in code in the first column of a table.
var quoted = regexp.MustCompile("`([^`]+)`")

// TestTroubleshootingQuotesTheProgram: what docs/troubleshooting.md says that the gateway says, it says. … stands for
// what differs each time; short words are keys and commands.
func TestTroubleshootingQuotesTheProgram(t *testing.T) {
	page, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	said := strings.Join(literals(t, "../.."), "\n")
	n := 0
	for l := range strings.Lines(string(page)) {
		row := strings.Split(l, "|")
		if len(row) < 3 || strings.HasPrefix(l, "|---") {
			continue
		}
		for _, m := range quoted.FindAllStringSubmatch(row[1], -1) {
			text := m[1]
			if !strings.Contains(text, " ") || text[0] == '-' || text == "Client sent an HTTP request to an HTTPS server" { // net/http says that
				continue
			}
			n++
			for part := range strings.SplitSeq(text, "…") {
				if part = strings.Trim(part, " :;,(.?"); len(part) > 2 && !strings.Contains(said, part) {
					t.Errorf("no part of the program says %q, of %q", part, text)
				}
			}
		}
	}
	if n < 40 {
		t.Errorf("only %d texts were found on the page", n)
	}
}

// literals are the strings in the program's source, without tests.
func literals(t *testing.T, root string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "tests" || d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				if s, err := strconv.Unquote(l.Value); err == nil {
					all = append(all, s)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var docLink = regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)

// TestDocLinks: every link between the pages leads to a page, and to a heading of it.
func TestDocLinks(t *testing.T) {
	for _, file := range docPages(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range docLink.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target := file
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(file), m[1])
			}
			page, err := os.ReadFile(target)
			if info, serr := os.Stat(target); serr == nil && info.IsDir() && m[2] == "" {
				continue
			}
			if err != nil {
				t.Errorf("%s links to %s: %v", file, m[0], err)
			} else if m[2] != "" && !slices.Contains(anchors(string(page)), m[2]) {
				t.Errorf("%s links to %s, which has no such heading; it has %q", file, m[0], anchors(string(page)))
			}
		}
	}
}

func docPages(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatal(err, pages)
	}
	return append(pages, "../../README.md", "../../docker/README.md", "../../CHANGELOG.md")
}

// anchors are those that GitHub gives to headings.
func anchors(page string) []string {
	var all []string
	code := false
	for l := range strings.Lines(page) {
		if strings.HasPrefix(strings.TrimSpace(l), "```") {
			code = !code
		}
		if title := strings.TrimLeft(l, "#"); title != l && !code {
			title = strings.ToLower(strings.TrimSpace(title))
			title = regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(title, "")
			all = append(all, "#"+strings.ReplaceAll(title, " ", "-"))
		}
	}
	return all
}

// codeBlocks are what is typed and printed on a page, not what is YAML or the like. Lines that go on are joined.
func codeBlocks(page string) []string {
	var all []string
	var block strings.Builder
	inside, shell := false, false
	for l := range strings.Lines(page) {
		fence, is := strings.CutPrefix(strings.TrimSpace(l), "```")
		switch {
		case is && inside && shell:
			all = append(all, strings.ReplaceAll(block.String(), "\\\n", " "))
			fallthrough
		case is:
			inside, shell = !inside, fence == "" || fence == "sh"
			block.Reset()
		case inside:
			block.WriteString(l)
		}
	}
	return all
}

var docCommand = regexp.MustCompile(`(?m)^\s*(?:\$ |PS> )?(?:sudo )?(?:[A-Z_]+=\S+ )*(?:\./)?gateway +([a-z-]\S*[^\n]*)$`)

// TestDocCommands: every command line of the pages is one that the program understands.
func TestDocCommands(t *testing.T) {
	n := 0
	for _, file := range docPages(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range codeBlocks(string(text)) {
			for _, m := range docCommand.FindAllStringSubmatch(block, -1) {
				line, _, _ := strings.Cut(m[1], " #")
				line = regexp.MustCompile(` (\||>|<|2>|&&) .*`).ReplaceAllString(line, "")
				n++
				parser, err := newParser(new(cli), streams{out: io.Discard, err: io.Discard}, func(int) {})
				if err != nil {
					t.Fatal(err)
				}
				words := slices.DeleteFunc(completion.SplitLine(line), func(w string) bool { return w == "" })
				if _, err := parser.Parse(words); err != nil {
					t.Errorf("%s: gateway %s: %v", file, line, err)
				}
			}
		}
	}
	if n < 40 {
		t.Errorf("only %d commands were found in the pages", n)
	}
}
