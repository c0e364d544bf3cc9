package integrity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

// anyFormat has a manifest of each format that lists one name with the digest of
// "a" by MD5, or by CRC-32 where the format has nothing else.
var anyFormat = []struct {
	format Format
	text   func(name string) string
}{
	{FormatGNU, func(name string) string { return md5A + "  " + name + "\n" }},
	{FormatBSD, func(name string) string { return "MD5 (" + name + ") = " + md5A + "\n" }},
	{FormatFedora, func(name string) string { return "# " + name + ": 1 bytes\nMD5 (" + name + ") = " + md5A + "\n" }},
	{FormatOpenSSL, func(name string) string { return "MD5(" + name + ")= " + md5A + "\n" }},
	{FormatZero, func(name string) string { return md5A + "  " + name + "\x00" }},
	{FormatColon, func(name string) string { return name + ": " + md5A + "\n" }},
	{FormatSFV, func(name string) string { return name + " " + crcA + "\n" }},
	{FormatMetalink, func(name string) string {
		return metalink(`<file name="` + name + `"><hash type="md5">` + md5A + `</hash></file>`)
	}},
	{FormatRelease, func(name string) string { return "Suite: x\nMD5Sum:\n " + md5A + " 1 " + name + "\n" }},
}

func parseAs(format Format, text string) (*Manifest, error) {
	o := ManifestOptions{Algorithm: MD5, Format: format, Subject: "a"}
	if format == FormatSFV {
		o.Algorithm = CRC32
	}
	return ParseManifest(strings.NewReader(text), o)
}

// wantBadManifest wants a *ManifestError around one of the sentinels.
func wantBadManifest(t *testing.T, what string, m *Manifest, err error, sentinels ...error) {
	t.Helper()
	var where *ManifestError
	if m != nil || !errors.As(err, &where) {
		t.Errorf("%.80s: manifest %v, %v; want a ManifestError", what, m != nil, err)
		return
	}
	for _, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			return
		}
	}
	t.Errorf("%.80s: %v, want %v", what, err, sentinels)
}

// refuseNames wants a name refused in every format, also behind a good "./" and
// as what DecodeName makes of a harmless one.
func refuseNames(t *testing.T, sentinels []error, names ...string) {
	t.Helper()
	for _, f := range anyFormat {
		for _, name := range names {
			m, err := parseAs(f.format, f.text(name))
			wantBadManifest(t, fmt.Sprintf("%s, %q", f.format, name), m, err, sentinels...)
		}
	}
	for _, name := range names {
		m, err := ParseManifest(strings.NewReader(md5A+"  good\n"), ManifestOptions{
			Algorithm: MD5, DecodeName: func([]byte) string { return name },
		})
		wantBadManifest(t, fmt.Sprintf("DecodeName gives %q", name), m, err, append(sentinels, ErrManifestName)...)
		m, err = ParseManifest(strings.NewReader(md5A), ManifestOptions{Algorithm: MD5, Subject: name})
		wantBadManifest(t, fmt.Sprintf("Subject is %q", name), m, err, append(sentinels, ErrManifestName)...)
	}
}

func TestAttackNamesOutsideTheFolder(t *testing.T) {
	refuseNames(t, []error{ErrManifestName}, "../x", "..", "a/../x", "a/..", "./../x", "a/../../x", "././x", ".", "a//x", "a/./x", "a/")
}

func TestAttackAbsoluteNames(t *testing.T) {
	refuseNames(t, []error{ErrManifestName}, "/etc/passwd", "/", "//x", ".//x")
}

// A NUL ends names for programs in C: what is checked must be what is used.
func TestAttackNUL(t *testing.T) {
	refuseNames(t, []error{ErrManifestName, ErrManifestSyntax}, "a\x00", "a\x00/../x", "\x00")
	for _, text := range []string{
		md5A + "  a\n" + md5B + "  b\x00\n", md5A + "  a\x00\n", "\x00", strings.Repeat("# x\n", 5000) + md5A + "  a\x00",
		md5A + "  a\n" + md5B + "  evil\x00" + md5B + "  b\x00",
	} {
		m, err := parse(text, MD5)
		if err == nil && m.Format() == FormatZero {
			if _, ok := m.Lookup("evil"); ok {
				t.Errorf("%q lists a line within a name", text)
			}
			continue
		}
		wantBadManifest(t, fmt.Sprintf("%.50q", text), m, err, ErrManifestSyntax)
	}
}

func TestAttackConflictingDigests(t *testing.T) {
	for _, f := range anyFormat {
		one := f.text("a")
		other := strings.NewReplacer(md5A, md5B, crcA, crcB).Replace(one)
		switch f.format {
		case FormatMetalink:
			i := strings.Index(other, "<file")
			one = strings.Replace(one, "</metalink>", other[i:], 1)
		case FormatRelease:
			one += other[strings.LastIndex(other, "\n ")+1:]
		default:
			one += other
		}
		m, err := parseAs(f.format, one)
		wantBadManifest(t, string(f.format), m, err, ErrManifestConflict)
	}
	// Also where only the conversion makes two names one.
	m, err := ParseManifest(strings.NewReader(md5A+"  a\n"+md5B+"  A\n"), ManifestOptions{
		Algorithm: MD5, DecodeName: func(raw []byte) string { return strings.ToLower(string(raw)) },
	})
	wantBadManifest(t, "DecodeName", m, err, ErrManifestConflict)
}

// The right digest proves nothing under another name, whatever the names share.
func TestAttackRightDigestUnderAnotherName(t *testing.T) {
	for _, f := range anyFormat {
		m, err := parseAs(f.format, f.text("dir/name.bin"))
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := m.Lookup("dir/name.bin"); !ok {
			t.Errorf("%s does not list its own name", f.format)
		}
		for _, name := range []string{
			"name.bin", "dir", "/dir/name.bin", "x/dir/name.bin", "./dir/name.bin", "dir//name.bin", "Dir/name.bin", "dir/name.bin ",
			" dir/name.bin", "dir/name.bin\n", "dir/name.bin\r", "dir/name.bi", "dir\\name.bin", "dir/../dir/name.bin", md5A, "",
		} {
			if e, ok := m.Lookup(name); ok {
				t.Errorf("%s: %q finds %+v", f.format, name, e)
			}
		}
	}
}

// A side file without a name is about its own file, and about nothing else that
// happens to have the same bytes.
func TestAttackBareDigestOfAnotherFile(t *testing.T) {
	m, err := ParseManifest(strings.NewReader(sha256A+"\n"), ManifestOptions{Name: "in/a.bin.sha256"})
	if err != nil {
		t.Fatal(err)
	}
	if e, ok := m.Lookup("a.bin"); !ok || m.Len() != 1 || e.Digests[0].String() != "sha256:"+sha256A {
		t.Errorf("it lists %q", flat(m))
	}
	for _, name := range []string{"in/a.bin", "b.bin", "a.bin.sha256", "a", ""} {
		if _, ok := m.Lookup(name); ok {
			t.Errorf("%q is found", name)
		}
	}
	p, err := ParsePolicy("p.yaml", []byte("rules:\n  - paths: \"**\"\n    evidence:\n      - manifest: \"{dir}/{name}.sha256\"\n    on_weak: publish\n"))
	if err != nil {
		t.Fatal(err)
	}
	a := digestOf([]byte("a"))
	decide := func(s Subject, side string) Decision {
		ref := p.Wants(s.Path)[0]
		return p.Decide(s, LoadEvidence(ref, EvidenceFiles{Manifest: []byte(side)}, time.Now()))
	}
	// The name as people see it is what the side file bears, whatever its raw bytes.
	if d := decide(Subject{Path: "in/grüße", RawPath: "in/gr\xfc\xdfe", Size: 1, Digests: []Digest{a}}, sha256A); d.Verdict != Intact {
		t.Errorf("its own file: %+v", d)
	}
	if d := decide(Subject{Path: "in/b", Size: 1, Digests: []Digest{a}}, sha256A+"  a\n"); d.Verdict != Unverified || d.Publish {
		t.Errorf("a side file that names another file: %+v", d)
	}
	if d := decide(Subject{Path: "in/b", Size: 1, Digests: []Digest{a}}, sha256B); d.Verdict != Bad || d.Publish {
		t.Errorf("another digest: %+v", d)
	}
}

// A size that a manifest tells is part of what it says.
func TestAttackRightDigestWrongSize(t *testing.T) {
	p, err := ParsePolicy("p.yaml", []byte("rules:\n  - paths: \"**\"\n    evidence:\n      - manifest: CHECKSUM\n    on_weak: publish\n"))
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int64]Verdict{1: Intact, 0: Bad, 2: Bad} {
		s := Subject{Path: "a", Size: size, Digests: []Digest{digestOf([]byte("a"))}}
		e := LoadEvidence(p.Wants(s.Path)[0], EvidenceFiles{Manifest: []byte("# a: 1 bytes\nSHA256 (a) = " + sha256A + "\n")}, time.Now())
		if d := p.Decide(s, e); d.Verdict != want {
			t.Errorf("size %d: %+v, want %s", size, d, want)
		}
	}
}

// CRC-32 can be forged by hand: it never proves more than that nothing broke.
func TestAttackForgedCRC(t *testing.T) {
	if CRC32.Strong() || SHA1.Strong() || MD5.Strong() {
		t.Error("a weak algorithm counts as strong")
	}
	if _, err := ParsePolicy("p.yaml", []byte("rules:\n  - paths: \"**\"\n    min_hash: crc32\n    on_missing: publish\n")); err == nil {
		t.Error("min_hash: crc32 is accepted")
	}
}

// A transfer in ASCII mode changes every line end. The names stay what they are;
// ends that changed in part, or within names, make the manifest bad.
func TestAttackLineEndings(t *testing.T) {
	for _, f := range anyFormat {
		if f.format == FormatZero {
			continue
		}
		text := strings.ReplaceAll(f.text("a"), "\n", "\r\n")
		m, err := parseAs(f.format, text)
		if err != nil {
			t.Errorf("%s with CRLF: %v", f.format, err)
			continue
		}
		if _, ok := m.Lookup("a"); !ok || m.Len() != 1 {
			t.Errorf("%s with CRLF lists %q", f.format, flat(m))
		}
	}
	for _, text := range []string{
		md5A + "  a\r\n" + md5B + "  b\n", md5A + "  a\n" + md5B + "  b\r\n", md5A + "  a\r" + md5B + "  b\r",
		md5A + "  a\n\r\n", "# x\r\n" + md5A + "  a\n", md5A + "  a\r",
	} {
		m, err := parse(text, MD5)
		wantBadManifest(t, fmt.Sprintf("%q", text), m, err, ErrManifestSyntax)
	}
}

func TestAttackByteOrderMark(t *testing.T) {
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} {
		for _, f := range anyFormat {
			text := mark + f.text("a")
			m, err := parseAs(f.format, text)
			wantBadManifest(t, fmt.Sprintf("%q before %s", mark, f.format), m, err, ErrManifestSyntax)
			if m, err = parse(text, MD5); err == nil {
				t.Errorf("%q before %s, to be detected, lists %q", mark, f.format, flat(m))
			}
		}
	}
}

// prefixed gives a start and then something for ever.
func prefixed(start, forever string) io.Reader {
	return io.MultiReader(strings.NewReader(start), &endless{line: forever})
}

func TestAttackEndlessManifest(t *testing.T) {
	const head = `<metalink xmlns="urn:ietf:params:xml:ns:metalink">`
	for name, r := range map[string]io.Reader{
		"one line":                 &endless{line: "x"},
		"digits":                   &endless{line: "0"},
		"NULs":                     &endless{line: "\x00"},
		"blank lines":              prefixed(md5A+"  a\n", "\n"),
		"comments":                 prefixed(md5A+"  a\n", "# x\n"),
		"sizes":                    prefixed("MD5 (b) = "+md5A+"\n", "# a: 1 bytes\n"),
		"the same line":            &endless{line: md5A + "  a\n"},
		"SFV comments":             &endless{line: ";\n"},
		"Release field":            prefixed("Suite: x\nDescription:", " x\n"),
		"Release lines":            prefixed("MD5Sum:\n", " "+md5A+" 1 a\n"),
		"Metalink elements":        prefixed(head, "<a></a>"),
		"Metalink files":           prefixed(head, `<file name="a"><hash type="md5">`+md5A+"</hash></file>"),
		"Metalink hashes":          prefixed(head+`<file name="a">`, `<hash type="x"></hash>`),
		"Metalink text":            prefixed(head+`<file name="a"><hash type="md5">`, "0"),
		"Metalink text in pieces":  prefixed(head+`<file name="a"><hash type="md5">`, strings.Repeat("0", 1000)+"<!---->"),
		"Metalink comment":         prefixed(head+"<!--", "x"),
		"Metalink comments":        prefixed(head, "<!---->"),
		"Metalink blanks":          &endless{line: "<?xml version=\"1.0\"?> "},
		"Metalink tag":             prefixed("<metalink ", "a"),
		"Metalink attribute":       prefixed("<metalink xmlns='", "a"),
		"Metalink CDATA":           prefixed(head+"<![CDATA[", "a"),
		"Metalink instruction":     prefixed(head+"<?a ", "a"),
		"Metalink type definition": prefixed("<?xml version='1.0'?><!DOCTYPE ", "a"),
	} {
		used := heapPeak(func() {
			m, err := ParseManifest(r, ManifestOptions{Algorithm: MD5, Limits: Limits{Bytes: 1 << 20}})
			wantBadManifest(t, name, m, err, ErrManifestTooLarge, ErrManifestSyntax)
		})
		if used > 16<<20 {
			t.Errorf("%s: %d MB of memory", name, used>>20)
		}
	}
}

// Ten million entries are refused at the first that is too many, within memory
// that is known beforehand; a million are read in 300 MB.
func TestAttackTenMillionEntries(t *testing.T) {
	for _, entries := range []int{1_000_000, 10_000_000} {
		used := heapPeak(func() {
			m, err := ParseManifest(mirrorManifest(entries), ManifestOptions{Algorithm: SHA256})
			if entries <= MaxManifestEntries {
				if err != nil || m.Len() != entries {
					t.Errorf("%d entries: %v", entries, err)
				}
				return
			}
			wantBadManifest(t, fmt.Sprint(entries), m, err, ErrManifestTooLarge)
			var where *ManifestError
			if errors.As(err, &where) && where.Line != MaxManifestEntries+1 {
				t.Errorf("refused on line %d", where.Line)
			}
		})
		if used > 300e6 {
			t.Errorf("%d entries: %d MB of memory", entries, used/1e6)
		}
	}
	runtime.GC()
}

func TestAttackTenMillionSizes(t *testing.T) {
	r := &lineReader{end: 10_000_000, line: func(b []byte, i int) []byte { return fmt.Appendf(b, "# %d: 1 bytes\n", i) }}
	used := heapPeak(func() {
		m, err := ParseManifest(r, ManifestOptions{Algorithm: SHA256})
		wantBadManifest(t, "sizes", m, err, ErrManifestTooLarge)
	})
	if used > 300e6 {
		t.Errorf("%d MB of memory", used/1e6)
	}
}

func TestAttackNameOfAMegabyte(t *testing.T) {
	refuseNames(t, []error{ErrManifestTooLarge}, strings.Repeat("x", 1<<20), strings.Repeat("x/", 1<<19)+"x")
	for _, name := range []string{strings.Repeat(`\\`, 1<<19), strings.Repeat(`\n`, 1<<19)} {
		m, err := parse(`\`+md5A+"  "+name+"\n", MD5)
		wantBadManifest(t, "escapes", m, err, ErrManifestTooLarge)
	}
}

func TestAttackReleaseFields(t *testing.T) {
	var text strings.Builder
	text.WriteString("Suite: x\n")
	for i := range 100_000 {
		fmt.Fprintf(&text, "X-%d: y\n", i)
	}
	m, err := parse(text.String(), "")
	wantBadManifest(t, "fields", m, err, ErrManifestTooLarge)
}

// Entities would multiply bytes or read other files: none is known but XML's own
// five, and a document that declares any is refused before it can use it.
func TestAttackXMLEntities(t *testing.T) {
	body := `<metalink xmlns="urn:ietf:params:xml:ns:metalink"><file name="a"><hash type="md5">%s</hash></file></metalink>`
	var laughs strings.Builder
	laughs.WriteString(`<!DOCTYPE metalink [<!ENTITY a0 "0123456789abcdef">`)
	for i := range 30 {
		fmt.Fprintf(&laughs, `<!ENTITY a%d "&a%d;&a%d;&a%d;&a%d;">`, i+1, i, i, i, i)
	}
	laughs.WriteString("]>")
	for name, text := range map[string]string{
		"a billion laughs":    laughs.String() + fmt.Sprintf(body, "&a30;"),
		"external":            `<!DOCTYPE metalink [<!ENTITY a SYSTEM "file:///etc/passwd">]>` + fmt.Sprintf(body, "&a;"),
		"external definition": `<!DOCTYPE metalink SYSTEM "http://127.0.0.1:1/x.dtd">` + fmt.Sprintf(body, md5A),
		"parameter":           `<!DOCTYPE metalink [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]>` + fmt.Sprintf(body, md5A),
		"late":                fmt.Sprintf(body, md5A) + `<!DOCTYPE x>`,
		"within":              fmt.Sprintf(body, `<!DOCTYPE x>`+md5A),
		"not declared":        fmt.Sprintf(body, "&a;"),
		"of HTML":             fmt.Sprintf(body, "&nbsp;"),
		"NUL by number":       fmt.Sprintf(body, "&#0;"),
	} {
		m, err := ParseManifest(strings.NewReader(`<?xml version="1.0"?>`+text), ManifestOptions{})
		wantBadManifest(t, name, m, err, ErrManifestSyntax)
	}
}

func TestAttackXMLDepth(t *testing.T) {
	const head = `<metalink xmlns="urn:ietf:params:xml:ns:metalink">`
	deep := func(n int) string { return head + strings.Repeat("<a>", n) + strings.Repeat("</a>", n) + "</metalink>" }
	m, err := ParseManifest(strings.NewReader(deep(MaxMetalinkDepth-1)), ManifestOptions{})
	wantBadManifest(t, "just deep enough", m, err, ErrManifestEmpty)
	m, err = ParseManifest(strings.NewReader(deep(MaxMetalinkDepth)), ManifestOptions{})
	wantBadManifest(t, "one more", m, err, ErrManifestTooLarge)
	m, err = ParseManifest(prefixed(head, "<a>"), ManifestOptions{})
	wantBadManifest(t, "for ever", m, err, ErrManifestTooLarge)
}

func TestAttackXMLAttributes(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		b.WriteString("<x")
		for i := range n {
			fmt.Fprintf(&b, " a%d=''", i)
		}
		return metalink(b.String() + "/>")
	}
	m, err := ParseManifest(strings.NewReader(many(MaxMetalinkAttrs)), ManifestOptions{})
	wantBadManifest(t, "just as many as may be", m, err, ErrManifestEmpty)
	m, err = ParseManifest(strings.NewReader(many(MaxMetalinkAttrs+1)), ManifestOptions{})
	wantBadManifest(t, "one more", m, err, ErrManifestTooLarge)
	m, err = ParseManifest(strings.NewReader(many(1_000_000)), ManifestOptions{})
	wantBadManifest(t, "a million", m, err, ErrManifestTooLarge)
	// Which of two names would another program take?
	m, err = ParseManifest(strings.NewReader(metalink(`<file name="a" name="b"><hash type="md5">`+md5A+"</hash></file>")), ManifestOptions{})
	wantBadManifest(t, "one twice", m, err, ErrManifestSyntax)
}

func TestAttackXMLTokens(t *testing.T) {
	long := strings.Repeat("x", MaxMetalinkToken+1)
	for name, text := range map[string]string{
		"comment": metalink("<!--" + long + "-->"), "attribute": metalink(`<a b="` + long + `"/>`), "element": metalink("<" + long + "/>"),
		"text": metalink("<a>" + long + "</a>"), "instruction": metalink("<?a " + long + "?>"),
		"hash in pieces": metalink(`<file name="a"><hash type="md5">` + strings.Repeat("x<!---->", MaxMetalinkToken+1) + "</hash></file>"),
		"bytes":          metalink(strings.Repeat("<!--"+long[:MaxMetalinkToken/2]+"-->", 2*MaxMetalinkBytes/MaxMetalinkToken)),
	} {
		m, err := ParseManifest(strings.NewReader(text), ManifestOptions{})
		wantBadManifest(t, name, m, err, ErrManifestTooLarge)
	}
}

// A manifest that breaks off is not a shorter manifest, whatever the format.
func TestAttackBrokenTransfer(t *testing.T) {
	broken := fmt.Errorf("connection lost: %w", io.EOF)
	for _, f := range anyFormat {
		text := f.text("a")
		for _, cut := range []int{0, 1, len(text) / 2, len(text)} {
			r := io.MultiReader(strings.NewReader(text[:cut]), brokenReader{broken})
			alg := MD5
			if f.format == FormatSFV {
				alg = CRC32
			}
			m, err := ParseManifest(r, ManifestOptions{Algorithm: alg, Format: f.format})
			if m != nil || !errors.Is(err, broken) && cut == len(text) {
				t.Errorf("%s cut at %d: manifest %v, %v", f.format, cut, m != nil, err)
			}
		}
	}
}

// Armor is never read around: only what a signature covers may be parsed.
func TestAttackArmor(t *testing.T) {
	for _, f := range anyFormat {
		text := "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n" + f.text("a") + "-----BEGIN PGP SIGNATURE-----\n"
		m, err := parse(text, MD5)
		wantBadManifest(t, string(f.format), m, err, ErrArmored, ErrManifestSyntax)
		m, err = parseAs(f.format, text)
		wantBadManifest(t, string(f.format)+" asked for", m, err, ErrArmored, ErrManifestSyntax)
	}
	m, err := ParseManifest(bytes.NewReader([]byte(releaseFull+"\n-----BEGIN PGP SIGNATURE-----\n")), ManifestOptions{})
	wantBadManifest(t, "Release and a signature", m, err, ErrArmored)
}
