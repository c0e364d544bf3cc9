package integrity

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	md5A    = "0cc175b9c0f1b6a831c399e269772661"
	md5B    = "92eb5ffee6ae2fec3ad71c777531578f"
	sha1A   = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"
	crcA    = "e8b7be43"
	crcB    = "71beeff9"
	sha256A = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
	sha256B = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
)

func parse(text string, alg Algorithm) (*Manifest, error) {
	return ParseManifest(strings.NewReader(text), ManifestOptions{Algorithm: alg})
}

// flat renders a manifest as "name digest digest size @line".
func flat(m *Manifest) []string {
	var list []string
	for e := range m.All() {
		line := fmt.Sprintf("%q", e.Name)
		for _, d := range e.Digests {
			line += " " + d.String()
		}
		if e.SizeKnown {
			line += fmt.Sprintf(" %d bytes", e.Size)
		}
		list = append(list, fmt.Sprintf("%s @%d", line, e.Line))
	}
	return list
}

func TestParseManifest(t *testing.T) {
	tests := []struct {
		name, text string
		alg        Algorithm
		want       []string
	}{
		{"text marker", md5A + "  name\n", MD5, []string{`"name" md5:` + md5A + " @1"}},
		{"binary marker", md5A + " *name\n", MD5, []string{`"name" md5:` + md5A + " @1"}},
		{"name that begins with a blank", md5A + "   name\n", MD5, []string{`" name" md5:` + md5A + " @1"}},
		{"name that begins with a star", md5A + "  *name\n", MD5, []string{`"*name" md5:` + md5A + " @1"}},
		{"name that ends in a blank", md5A + "  name \n", MD5, []string{`"name " md5:` + md5A + " @1"}},
		{"upper-case digits", strings.ToUpper(md5A) + "  n\n", MD5, []string{`"n" md5:` + md5A + " @1"}},
		{"no end of the last line", md5A + "  a\n" + md5B + "  b", MD5,
			[]string{`"a" md5:` + md5A + " @1", `"b" md5:` + md5B + " @2"}},
		{"escapes", `\` + md5A + `  a\\b\nc\rd` + "\n", MD5, []string{`"a\\b\nc\rd" md5:` + md5A + " @1"}},
		{"backslash without the mark", md5A + `  a\nb` + "\n", MD5, []string{`"a\\nb" md5:` + md5A + " @1"}},
		{"tag", "SHA256 (a) = " + sha256A + "\n", "", []string{`"a" sha256:` + sha256A + " @1"}},
		{"tag under another algorithm", "MD5 (a) = " + md5A + "\n", SHA256, []string{`"a" md5:` + md5A + " @1"}},
		{"tag with escapes", `\MD5 (a\nb) = ` + md5A + "\n", "", []string{`"a\nb" md5:` + md5A + " @1"}},
		{"tag inside a tag", "MD5 (a) = b) = " + md5A + "\n", "", []string{`"a) = b" md5:` + md5A + " @1"}},
		{"plain name that looks like a tag", md5A + "  MD5 (a) = " + md5B + "\n", MD5,
			[]string{`"MD5 (a) = ` + md5B + `" md5:` + md5A + " @1"}},
		{"algorithms merged", "MD5 (a) = " + md5A + "\nSHA1 (b) = " + sha1A + "\nSHA256 (a) = " + sha256A + "\nSHA1 (a) = " + sha1A + "\n", "",
			[]string{`"a" md5:` + md5A + " sha256:" + sha256A + " sha1:" + sha1A + " @1", `"b" sha1:` + sha1A + " @2"}},
		{"the same twice", md5A + "  a\n" + md5A + "  ./a\n" + md5B + "  b\n", MD5,
			[]string{`"a" md5:` + md5A + " @1", `"b" md5:` + md5B + " @3"}},
		{"leading ./", md5A + "  ./a/b\n", MD5, []string{`"a/b" md5:` + md5A + " @1"}},
		{"odd but harmless elements", md5A + "  .../..a/b..\n", MD5, []string{`".../..a/b.." md5:` + md5A + " @1"}},
		{"comments and empty lines", "# made today\n\n" + md5A + "  a\n#" + md5B + "  b\n\n", MD5, []string{`"a" md5:` + md5A + " @3"}},
		{"CRLF", md5A + "  a\r\n\r\n" + md5B + "  b\r\n", MD5, []string{`"a" md5:` + md5A + " @1", `"b" md5:` + md5B + " @3"}},
		{"CRLF, last line without end", md5A + "  a\r\n" + md5B + "  b", MD5, []string{`"a" md5:` + md5A + " @1", `"b" md5:` + md5B + " @2"}},
		{"bytes that are not UTF-8", md5A + "  a\xff\x80/\x83\\\n", MD5, []string{`"a\xff\x80/\x83\\" md5:` + md5A + " @1"}},
		{"CR within a name", md5A + "  a\rb\n", MD5, []string{`"a\rb" md5:` + md5A + " @1"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := parse(test.text, test.alg)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, flat(m)); diff != "" {
				t.Error(diff)
			}
			if m.Len() != len(test.want) {
				t.Errorf("length %d, want %d", m.Len(), len(test.want))
			}
		})
	}
}

func TestParseManifestRefuses(t *testing.T) {
	good := md5A + "  good\n"
	tests := []struct {
		name, text string
		want       error
		line       int
	}{
		{"empty", "", ErrManifestEmpty, 0},
		{"only comments", "# nothing\n\n", ErrManifestEmpty, 0},
		{"prose", good + "hello world\n", ErrManifestSyntax, 2},
		{"HTML", "<html>\n", ErrManifestSyntax, 1},
		{"one blank", good + good + md5A + " name\n", ErrManifestSyntax, 3},
		{"tab", md5A + "\tname\n", ErrManifestSyntax, 1},
		{"blank and tab", md5A + " \tname\n", ErrManifestSyntax, 1},
		{"blank in front", " " + good, ErrManifestSyntax, 1},
		{"name first", "name  " + md5A + "\n", ErrManifestSyntax, 1},
		{"digits only", md5A + "\n", ErrManifestSyntax, 1},
		{"digits and a blank", md5A + " ", ErrManifestSyntax, 1},
		{"too few digits", md5A[1:] + "  name\n", ErrManifestSyntax, 1},
		{"too many digits", md5A + "0  name\n", ErrManifestSyntax, 1},
		{"digest of another algorithm", sha256A + "  name\n", ErrManifestSyntax, 1},
		{"not hexadecimal", "g" + md5A[1:] + "  name\n", ErrManifestSyntax, 1},
		{"escape unknown", `\` + md5A + `  a\tb` + "\n", ErrManifestSyntax, 1},
		{"escape cut", `\` + md5A + `  a\`, ErrManifestSyntax, 1},
		{"two marks", `\\` + md5A + "  a\n", ErrManifestSyntax, 1},
		{"tag cut", "MD5 (a) =", ErrManifestSyntax, 1},
		{"tag with half the blanks", "MD5 (a)= " + md5A + "\n", ErrManifestSyntax, 1},
		{"tag with the other half", "MD5(a) = " + md5A + "\n", ErrManifestSyntax, 1},
		{"tag with short digest", "MD5 (a) = " + md5A[1:] + "\n", ErrManifestSyntax, 1},
		{"tag with a rest", "MD5 (a) = " + md5A + " \n", ErrManifestSyntax, 1},
		{"tag unknown", good + "CRC64 (a) = 0000000000000000\n", ErrManifestAlgorithm, 2},
		{"tag in another case", "md5 (a) = " + md5A + "\n", ErrManifestAlgorithm, 1},
		{"mixed line ends", good + md5A + "  b\r\n", ErrManifestSyntax, 2},
		{"mixed line ends the other way", md5A + "  a\r\n" + good, ErrManifestSyntax, 2},
		{"CR at the end of the file", good + md5A + "  b\r", ErrManifestSyntax, 2},
		{"lone CR at the end", md5A + "  b\r", ErrManifestSyntax, 1},
		{"byte order mark", "\xef\xbb\xbf" + good, ErrManifestSyntax, 1},
		{"UTF-16", "\xff\xfe0\x00c\x00\n\x00", ErrManifestSyntax, 1},
		{"clear-signed", "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" + good, ErrArmored, 1},
		{"clear-signed behind a comment", "# x\n-----BEGIN PGP SIGNED MESSAGE-----\n", ErrArmored, 2},
		{"signature block behind", good + "-----BEGIN PGP SIGNATURE-----\n", ErrArmored, 2},
		{"name empty", md5A + "  \n", ErrManifestName, 1},
		{"name empty in a tag", "MD5 () = " + md5A + "\n", ErrManifestName, 1},
		{"name ./", md5A + "  ./\n", ErrManifestName, 1},
		{"name ././a", md5A + "  ././a\n", ErrManifestName, 1},
		{"absolute", good + md5A + "  /etc/passwd\n", ErrManifestName, 2},
		{"absolute behind ./", md5A + "  .//etc/passwd\n", ErrManifestName, 1},
		{"absolute in a tag", "MD5 (/a) = " + md5A + "\n", ErrManifestName, 1},
		{"parent", md5A + "  ../x\n", ErrManifestName, 1},
		{"parent within", md5A + "  a/../x\n", ErrManifestName, 1},
		{"parent at the end", md5A + "  a/..\n", ErrManifestName, 1},
		{"parent behind ./", md5A + "  ./../x\n", ErrManifestName, 1},
		{"dot", md5A + "  .\n", ErrManifestName, 1},
		{"dot within", md5A + "  a/./b\n", ErrManifestName, 1},
		{"two slashes", md5A + "  a//b\n", ErrManifestName, 1},
		{"folder", md5A + "  a/\n", ErrManifestName, 1},
		{"NUL", md5A + "  a\x00b\n", ErrManifestSyntax, 2},
		{"NUL in place of one LF", md5A + "  a\x00" + md5B + "  b\n", ErrManifestSyntax, 2},
		{"conflict", md5A + "  a\n" + good + md5B + "  a\n", ErrManifestConflict, 3},
		{"conflict through ./", md5A + "  a\n" + md5B + "  ./a\n", ErrManifestConflict, 2},
		{"conflict between forms", md5A + "  a\nSHA1 (a) = " + sha1A + "\nMD5 (a) = " + md5B + "\n", ErrManifestConflict, 3},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := parse(test.text, MD5)
			var where *ManifestError
			if !errors.As(err, &where) || !errors.Is(err, test.want) || where.Line != test.line {
				t.Errorf("error %v, want %v on line %d", err, test.want, test.line)
			}
			if m != nil {
				t.Error("a manifest is returned with the error")
			}
		})
	}
}

func TestParseManifestNeedsAlgorithm(t *testing.T) {
	if _, err := parse(sha256A+"  a\n", ""); !errors.Is(err, ErrManifestAlgorithm) {
		t.Errorf("no algorithm: %v, want ErrManifestAlgorithm", err)
	}
	if _, err := parse(sha256A+"  a\n", "crc64"); !errors.Is(err, ErrUnknownAlgorithm) {
		t.Errorf("crc64: %v, want ErrUnknownAlgorithm", err)
	}
	// A transfer that broke off is not a shorter manifest, whatever the error wraps.
	broken := fmt.Errorf("connection lost: %w", io.EOF)
	cut := io.MultiReader(strings.NewReader(md5A+"  a\n"), brokenReader{broken})
	if _, err := ParseManifest(cut, ManifestOptions{Algorithm: MD5}); !errors.Is(err, broken) {
		t.Errorf("error %v, want the reader's", err)
	}
}

// endless gives the same line for ever.
type endless struct {
	line string
	pos  int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.line[e.pos:])
	e.pos = (e.pos + n) % len(e.line)
	return n, nil
}

func TestParseManifestLimits(t *testing.T) {
	two := md5A + "  a\n" + md5B + "  b\n"
	tests := []struct {
		name   string
		text   string
		limits Limits
		line   int
	}{
		{"bytes", two, Limits{Bytes: int64(len(two)) - 1}, 2},
		{"line", two, Limits{Line: 34}, 1},
		{"line in the middle", md5A + "  a\n" + md5B + "  bb\n", Limits{Line: 35}, 2},
		{"last line without end", md5A + "  a\n" + md5B + "  bb", Limits{Line: 35}, 2},
		{"line far over", strings.Repeat("x", 1000), Limits{Line: 35}, 1},
		{"entries", two, Limits{Entries: 1}, 2},
		{"entries that repeat", md5A + "  a\n" + md5A + "  a\n", Limits{Entries: 1}, 2},
	}
	for _, test := range tests {
		_, err := ParseManifest(strings.NewReader(test.text), ManifestOptions{Algorithm: MD5, Limits: test.limits})
		var where *ManifestError
		if !errors.Is(err, ErrManifestTooLarge) || !errors.As(err, &where) || where.Line != test.line {
			t.Errorf("%s: %v, want ErrManifestTooLarge on line %d", test.name, err, test.line)
		}
	}
	if _, err := ParseManifest(strings.NewReader(two), ManifestOptions{Algorithm: MD5, Limits: Limits{int64(len(two)), 35, 2}}); err != nil {
		t.Errorf("just within the limits: %v", err)
	}
	for name, line := range map[string]string{
		"line":     "x",
		"comments": "#\n",
		"entries":  md5A + "  a\n",
	} {
		_, err := ParseManifest(&endless{line: line}, ManifestOptions{Algorithm: MD5, Limits: Limits{Bytes: 1 << 20}})
		if !errors.Is(err, ErrManifestTooLarge) {
			t.Errorf("endless %s: %v, want ErrManifestTooLarge", name, err)
		}
	}
}

// Matching is by the whole name: nothing is found by a part of it.
func TestLookupIsExact(t *testing.T) {
	m, err := parse(md5A+"  dir/name\n"+md5B+"  ./other\n", MD5)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"dir/name", "other"} {
		if e, ok := m.Lookup(name); !ok || e.Name != name {
			t.Errorf("%q is not found: %+v", name, e)
		}
	}
	for _, name := range []string{"name", "dir", "/dir/name", "./dir/name", "x/dir/name", "DIR/name", "dir/name ", "dir//name", "./other", ""} {
		if e, ok := m.Lookup(name); ok {
			t.Errorf("%q found %+v", name, e)
		}
	}
	e, _ := m.Lookup("other")
	e.Digests[0].Sum[0] ^= 0xff
	if again, _ := m.Lookup("other"); again.Digests[0].String() != "md5:"+md5B {
		t.Error("changing a returned digest changed the manifest")
	}
}
