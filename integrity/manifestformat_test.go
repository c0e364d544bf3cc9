package integrity

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	blake256A = "8928aae63c84d87ea098564d1e03ad813f107add474e56aedd286349c0c03ea4"
	base64A   = "ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs=" // SHA-256 of "a"
)

// metalink is a document with the elements that the parser reads, and some that
// it does not.
func metalink(inner string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + `<metalink xmlns="urn:ietf:params:xml:ns:metalink">` + "\n" + inner + "\n</metalink>\n"
}

const metalinkFull = `<published>2024-05-06T07:08:09+02:00</published>
<generator>test</generator>
<file name="a">
 <size>1</size>
 <hash type="sha-256"> ` + sha256A + `
 </hash>
 <hash type="md5">` + md5A + `</hash>
 <hash type="shake-9">whatever</hash>
 <pieces length="262144" type="sha-1"><hash>` + sha1A + `</hash></pieces>
 <x:hash xmlns:x="urn:other" type="md5">` + md5B + `</x:hash>
 <x:file xmlns:x="urn:other" name="../../z"><hash type="md5">` + md5B + `</hash></x:file>
 <url priority="1">https://example.org/other/name</url>
 <signature mediatype="application/pgp-signature">-----BEGIN PGP SIGNATURE-----</signature>
</file>
<file name="./dir/b&amp;&#x41;"><hash type="md5"><!-- x -->` + md5B + `</hash></file>
<file name="without hash"><size>5</size></file>
`

const releaseFull = `Origin: Example
Label: Example
Suite: stable
Date: Sat, 09 Dec 2023 10:23:17 UTC
Valid-Until: Sat, 16 Dec 2023 10:23:17 +0000
Architectures: amd64
Description: Some text
 of two lines ` + "\n" + `MD5Sum:
 ` + md5A + `        1 main/a
 ` + md5B + ` 2 b
SHA256:
 ` + sha256A + ` 1 main/a
	` + sha256B + ` 2 b
`

func TestManifestFormats(t *testing.T) {
	bothMD5 := []string{`"a" md5:` + md5A + " @1", `"b" md5:` + md5B + " @2"}
	tests := []struct {
		name, file, text string
		want             Format
		entries          []string
	}{
		{"GNU", "MD5SUMS", md5A + "  a\n" + md5B + " *b\n", FormatGNU, bothMD5},
		{"GNU of a side file with a name", "x/a.md5", md5A + "  a\n", FormatGNU, bothMD5[:1]},
		{"b2sum -l 256", "B2SUMS", blake256A + "  a\n", FormatGNU, []string{`"a" blake2b-256:` + blake256A + " @1"}},
		{"GNU with CRC-32", "x.crc32", strings.ToUpper(crcA) + "  a\n", FormatGNU, []string{`"a" crc32:` + crcA + " @1"}},
		{"BSD", "", "MD5 (a) = " + md5A + "\nMD5 (b) = " + md5B + "\n", FormatBSD, bothMD5},
		{"OpenBSD", "SHA256", "SHA256 (a) = " + sha256A + "\n", FormatBSD, []string{`"a" sha256:` + sha256A + " @1"}},
		{"OpenBSD in base64", "SHA256", "SHA256 (a) = " + base64A + "\n", FormatBSD, []string{`"a" sha256:` + sha256A + " @1"}},
		{"BLAKE2b-256 by its tag", "", "BLAKE2b-256 (a) = " + blake256A + "\n", FormatBSD, []string{`"a" blake2b-256:` + blake256A + " @1"}},
		{"CRC-32 by its tag", "", "CRC32 (a) = " + crcA + "\n", FormatBSD, []string{`"a" crc32:` + crcA + " @1"}},
		{"BSD and GNU", "MD5SUMS", "MD5 (a) = " + md5A + "\n" + md5B + "  b\n", FormatBSD, bothMD5},
		{"Fedora", "x-CHECKSUM", "# a: 1 bytes\nSHA256 (a) = " + sha256A + "\n# other comment: 7 bytes\n", FormatFedora,
			[]string{`"a" sha256:` + sha256A + " 1 bytes @2"}},
		{"Fedora with the size behind", "", "SHA256 (a) = " + sha256A + "\n# a: 0 bytes\n# a: 0 bytes\n", FormatFedora,
			[]string{`"a" sha256:` + sha256A + " 0 bytes @1"}},
		{"sizes of names that are not listed", "", "# a: 1 bytes\n# a: 2 bytes\n# c: 99999999999999999999 bytes\n# ../x: 1 bytes\nMD5 (b) = " + md5B + "\n",
			FormatBSD, []string{`"b" md5:` + md5B + " @5"}},
		{"comments are no sizes in a GNU list", "MD5SUMS", "# a: 5 bytes\n# a: 6 bytes\n" + md5A + "  a\n# a: 7 bytes\n", FormatGNU,
			[]string{`"a" md5:` + md5A + " @3"}},
		{"OpenSSL 3", "", "SHA2-256(a)= " + sha256A + "\nMD5(d (e)= f)= " + md5B + "\n", FormatOpenSSL,
			[]string{`"a" sha256:` + sha256A + " @1", `"d (e)= f" md5:` + md5B + " @2"}},
		{"OpenSSL 1", "", "SHA256(a)= " + sha256A + "\n", FormatOpenSSL, []string{`"a" sha256:` + sha256A + " @1"}},
		{"zero", "MD5SUMS", md5A + "  a\n\\\x00" + md5B + " *./b\x00", FormatZero,
			[]string{`"a\n\\" md5:` + md5A + " @1", `"b" md5:` + md5B + " @2"}},
		{"zero with tags", "", "MD5 (#a\n) = " + md5A + "\x00", FormatZero, []string{`"#a\n" md5:` + md5A + " @1"}},
		{"bare", "x/data one.raw.md5", md5A + "\n", FormatBare, []string{`"data one.raw" md5:` + md5A + " @1"}},
		{"bare without an end", "A.RAW.MD5", strings.ToUpper(md5A), FormatBare, []string{`"A.RAW" md5:` + md5A + " @1"}},
		{"bare with CRLF and a comment", "a.sha256.txt", "# made today\r\n" + sha256A + "\r\n", FormatBare, []string{`"a" sha256:` + sha256A + " @2"}},
		{"colon", "a.md5", "a: " + md5A + "\r\n", FormatColon, bothMD5[:1]},
		{"colon with another colon", "a.md5", "C: d: " + md5A, FormatColon, []string{`"C: d" md5:` + md5A + " @1"}},
		{"colon with brackets", "MD5SUMS", "run (2).raw: " + md5A + "\n", FormatColon, []string{`"run (2).raw" md5:` + md5A + " @1"}},
		{"colon with the name of a field", "x.md5", "Version: " + md5A, FormatColon, []string{`"Version" md5:` + md5A + " @1"}},
		{"SFV", "disc.sfv", "; made by\r\n\r\n#1 a.bin " + crcA + "\r\nb\t " + strings.ToUpper(crcB) + "\r\n", FormatSFV,
			[]string{`"#1 a.bin" crc32:` + crcA + " @3", `"b" crc32:` + crcB + " @4"}},
		{"SFV by its comment", "", ";x\nfile (1).bin    " + crcA, FormatSFV, []string{`"file (1).bin" crc32:` + crcA + " @2"}},
		{"SFV by its line", "", `sub\file (1).bin ` + crcA + "\n", FormatSFV, []string{`"sub\\file (1).bin" crc32:` + crcA + " @1"}},
		{"SFV whose name looks like a digest", "x.SFV", md5A + "  name " + crcA + "\n", FormatSFV, []string{`"` + md5A + `  name" crc32:` + crcA + " @1"}},
		{"Metalink", "", metalink(metalinkFull), FormatMetalink,
			[]string{`"a" sha256:` + sha256A + " md5:" + md5A + " 1 bytes @8", `"dir/b&A" md5:` + md5B + " @17"}},
		{"Metalink without a declaration", "x.meta4", `<m:metalink xmlns:m="urn:ietf:params:xml:ns:metalink"><m:file name="a"><m:hash type="md5"><![CDATA[` + md5A + `]]></m:hash></m:file></m:metalink>`,
			FormatMetalink, bothMD5[:1]},
		{"Release", "", releaseFull, FormatRelease,
			[]string{`"main/a" md5:` + md5A + " sha256:" + sha256A + " 1 bytes @10", `"b" md5:` + md5B + " sha256:" + sha256B + " 2 bytes @11"}},
		{"InRelease", "dists/x/InRelease", "X-Own: 1\nsha512:\nSHA256:\n " + sha256A + " 1 a\n\n", FormatRelease, []string{`"a" sha256:` + sha256A + " 1 bytes @4"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := ParseManifest(strings.NewReader(test.text), ManifestOptions{Name: test.file})
			if err != nil {
				t.Fatal(err)
			}
			if m.Format() != test.want {
				t.Errorf("format %s, want %s", m.Format(), test.want)
			}
			if diff := cmp.Diff(test.entries, flat(m)); diff != "" {
				t.Error(diff)
			}
			// The same when the format is asked for.
			mixed := test.name == "BSD and GNU"
			again, err := ParseManifest(strings.NewReader(test.text), ManifestOptions{Name: test.file, Format: test.want})
			if mixed {
				if !errors.Is(err, ErrManifestSyntax) {
					t.Errorf("mixed lines where only %s is asked for: %v", test.want, err)
				}
				return
			}
			if err != nil {
				t.Fatalf("format asked for: %v", err)
			}
			if diff := cmp.Diff(test.entries, flat(again)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// A format that is asked for is the only one that is read.
func TestManifestFormatAskedFor(t *testing.T) {
	texts := map[Format]string{
		FormatGNU: md5A + "  a\n", FormatBSD: "MD5 (a) = " + md5A + "\n", FormatOpenSSL: "MD5(a)= " + md5A + "\n",
		FormatZero: md5A + "  a\x00", FormatBare: md5A, FormatColon: "a: " + md5A, FormatSFV: "a " + crcA,
		FormatMetalink: metalink(metalinkFull), FormatRelease: releaseFull,
	}
	for text, content := range texts {
		for asked := range texts {
			_, err := ParseManifest(strings.NewReader(content), ManifestOptions{Algorithm: MD5, Subject: "a", Format: asked})
			if text == FormatSFV {
				if err == nil {
					t.Error("an SFV file is read where MD5 is told")
				}
				continue
			}
			var where *ManifestError
			if (err == nil) != (text == asked) || err != nil && !errors.As(err, &where) {
				t.Errorf("%s read as %s: %v", text, asked, err)
			}
		}
	}
	_, err := ParseManifest(strings.NewReader(md5A), ManifestOptions{Format: "x"})
	if !errors.Is(err, ErrManifestFormat) {
		t.Errorf("unknown format: %v", err)
	}
}

func TestManifestDates(t *testing.T) {
	published := time.Date(2024, 5, 6, 5, 8, 9, 0, time.UTC)
	tests := []struct {
		name, text  string
		date, until time.Time
	}{
		{"Metalink", metalink(metalinkFull), published, time.Time{}},
		{"Metalink that was updated", metalink("<updated>2024-06-01T00:00:00Z</updated>" + metalinkFull), time.Date(2024, 6, 1, 0, 0, 0, 0, time.UTC), time.Time{}},
		{"Release", releaseFull, time.Date(2023, 12, 9, 10, 23, 17, 0, time.UTC), time.Date(2023, 12, 16, 10, 23, 17, 0, time.UTC)},
		{"one digit", "Date: Sat,  9 Dec 2023 1:02:03 GMT\nSHA256:\n " + sha256A + " 1 a\n", time.Date(2023, 12, 9, 1, 2, 3, 0, time.UTC), time.Time{}},
		{"no date", "Suite: x\nSHA256:\n " + sha256A + " 1 a\n", time.Time{}, time.Time{}},
		{"a comment", "# Date: Sat, 09 Dec 2023 10:23:17 UTC\nMD5 (a) = " + md5A + "\n", time.Time{}, time.Time{}},
	}
	for _, test := range tests {
		m, err := parse(test.text, "")
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if !m.Date().Equal(test.date) || !m.ValidUntil().Equal(test.until) {
			t.Errorf("%s: date %v until %v", test.name, m.Date(), m.ValidUntil())
		}
	}
}

func TestManifestFormatsRefuse(t *testing.T) {
	sum := " " + sha256A + " 1 a\n"
	tests := []struct {
		name, file, text string
		want             error
		line             int
	}{
		{"bare, file not told", "MD5SUMS", md5A + "\n", ErrManifestSyntax, 1},
		{"bare, two", "a.md5", md5A + "\n" + md5B + "\n", ErrManifestSyntax, 2},
		{"bare and GNU", "a.md5", md5A + "\n" + md5B + "  b\n", ErrManifestSyntax, 2},
		{"GNU and bare", "a.md5", md5A + "  a\n" + md5B + "\n", ErrManifestSyntax, 2},
		{"bare of another algorithm", "a.sha256", md5A + "\n", ErrManifestSyntax, 1},
		{"bare of ..", "...md5", md5A + "\n", ErrManifestName, 1},
		{"colon and GNU", "a.md5", "a: " + md5A + "\n" + md5B + "  b\n", ErrManifestSyntax, 2},
		{"colon, no algorithm", "", "a: " + md5A + "\n", ErrManifestAlgorithm, 1},
		{"colon, parent", "a.md5", "../a: " + md5A + "\n", ErrManifestName, 1},
		{"POSIX cksum", "x", "1479881546 3 a\n", ErrManifestSyntax, 1},
		{"OpenSSL, unknown", "", "SHA3-256(a)= " + sha256A + "\n", ErrManifestAlgorithm, 1},
		{"OpenSSL's spelling in BSD", "", "SHA2-256 (a) = " + sha256A + "\n", ErrManifestAlgorithm, 1},
		{"BLAKE2b of an odd length", "", "BLAKE2b-128 (a) = " + md5A + "\n", ErrManifestAlgorithm, 1},
		{"BLAKE2b of an odd length, GNU", "B2SUMS", md5A + "  a\n", ErrManifestSyntax, 1},
		{"base64 that is not exact", "", "SHA256 (a) = " + strings.Replace(base64A, "s=", "t=", 1) + "\n", ErrManifestSyntax, 1},
		{"Fedora, two sizes before", "", "# a: 1 bytes\n# a: 2 bytes\nMD5 (a) = " + md5A + "\n", ErrManifestConflict, 3},
		{"Fedora, two sizes around", "", "# a: 1 bytes\nMD5 (a) = " + md5A + "\n# a: 2 bytes\n", ErrManifestConflict, 3},
		{"zero, no last NUL", "MD5SUMS", md5A + "  a\x00" + md5B + "  b", ErrManifestSyntax, 2},
		{"zero, empty line", "MD5SUMS", md5A + "  a\x00\x00", ErrManifestSyntax, 2},
		{"zero, escape", "MD5SUMS", `\` + md5A + "  a\\n\x00", ErrManifestSyntax, 1},
		{"SFV, short", "x.sfv", "a 1234567\n", ErrManifestSyntax, 1},
		{"SFV, long", "x.sfv", "a 123456789\n", ErrManifestSyntax, 1},
		{"SFV, no name", "x.sfv", " 12345678\n", ErrManifestSyntax, 1},
		{"SFV, no blank", "x.sfv", "a12345678\n", ErrManifestSyntax, 1},
		{"SFV, parent", "x.sfv", "../a 12345678\n", ErrManifestName, 1},
		{"SFV, a remark", "x.sfv", "a 12345678\n# made by me\n", ErrManifestSyntax, 2},
		{"Metalink 3", "", "<metalink version=\"3.0\" xmlns=\"http://www.metalinker.org/\"></metalink>", ErrManifestSyntax, 1},
		{"Metalink without a name space", "", "<metalink></metalink>", ErrManifestSyntax, 1},
		{"Metalink, open", "", "<metalink xmlns=\"urn:ietf:params:xml:ns:metalink\">\n", ErrManifestSyntax, 2},
		{"Metalink, nothing", "x.meta4", "\n", ErrManifestSyntax, 2},
		{"Metalink, two roots", "", metalink(metalinkFull) + metalink(metalinkFull), ErrManifestSyntax, 22},
		{"Metalink, text behind", "", metalink(metalinkFull) + "x", ErrManifestSyntax, 21},
		{"Metalink, another charset", "", `<?xml version="1.0" encoding="ISO-8859-1"?><metalink/>`, ErrManifestSyntax, 1},
		{"Metalink, no name", "", metalink(`<file><hash type="md5">` + md5A + `</hash></file>`), ErrManifestName, 3},
		{"Metalink, parent", "", metalink(`<file name="a/../../b"/>`), ErrManifestName, 3},
		{"Metalink, line feed in a name", "", metalink("<file name=\"a&#10;b\"/>"), ErrManifestName, 3},
		{"Metalink, short digest", "", metalink(`<file name="a"><hash type="md5">12</hash></file>`), ErrManifestSyntax, 3},
		{"Metalink, element in a digest", "", metalink(`<file name="a"><hash type="md5">12<b/>34</hash></file>`), ErrManifestSyntax, 3},
		{"Metalink, size", "", metalink(`<file name="a"><size>-1</size></file>`), ErrManifestSyntax, 3},
		{"Metalink, two sizes", "", metalink(`<file name="a"><size>1</size><size>2</size></file>`), ErrManifestConflict, 3},
		{"Metalink, two sizes in two", "", metalink(`<file name="a"><size>1</size><hash type="md5">` + md5A + "</hash></file>\n" +
			`<file name="a"><size>2</size><hash type="md5">` + md5A + "</hash></file>"), ErrManifestConflict, 4},
		{"Metalink, two digests", "", metalink(`<file name="a"><hash type="md5">` + md5A + "</hash>\n<hash type=\"md5\">" + md5B + "</hash></file>"), ErrManifestConflict, 4},
		{"Metalink, date", "", metalink("<published>yesterday</published>"), ErrManifestSyntax, 3},
		{"Metalink, only unknown digests", "", metalink(`<file name="a"><hash type="crc">1</hash></file>`), ErrManifestEmpty, 0},
		{"Metalink, armor", "x.meta4", "-----BEGIN PGP SIGNED MESSAGE-----\n", ErrArmored, 1},
		{"Release, field twice", "", "Suite: a\nSHA256:\n" + sum + "SHA256:\n", ErrManifestSyntax, 4},
		{"Release, field twice in another case", "", "Suite: a\nSHA256:\n" + sum + "sha256:\n", ErrManifestSyntax, 4},
		{"Release, two paragraphs", "", "Suite: a\nSHA256:\n" + sum + "\nSHA1:\n", ErrManifestSyntax, 5},
		{"Release, value behind the field", "", "SHA256: x\n", ErrManifestSyntax, 1},
		{"Release, no field", "Release", sum, ErrManifestSyntax, 1},
		{"Release, prose", "Release", "hello\n", ErrManifestSyntax, 1},
		{"Release, comment", "Release", "# hello: x\n", ErrManifestSyntax, 1},
		{"Release, no size", "", "SHA256:\n " + sha256A + " a\n", ErrManifestSyntax, 2},
		{"Release, name with a blank", "", "SHA256:\n " + sha256A + " 1 a b\n", ErrManifestSyntax, 2},
		{"Release, size of too many digits", "", "SHA256:\n " + sha256A + " 9223372036854775808 a\n", ErrManifestSyntax, 2},
		{"Release, short digest", "", "SHA256:\n " + md5A + " 1 a\n", ErrManifestSyntax, 2},
		{"Release, parent", "", "SHA256:\n " + sha256A + " 1 ../a\n", ErrManifestName, 2},
		{"Release, sizes differ", "", "SHA256:\n" + sum + "MD5Sum:\n " + md5A + " 2 a\n", ErrManifestConflict, 4},
		{"Release, date", "", "Suite: a\nDate: today\n", ErrManifestSyntax, 2},
		{"Release, date of another zone", "", "Date: Sat, 09 Dec 2023 10:23:17 CET\n", ErrManifestSyntax, 1},
		{"Release, date of two lines", "", "Date: Sat, 09 Dec 2023 10:23:17 UTC\n x\n", ErrManifestSyntax, 2},
		{"Release, no digests", "", "Suite: a\n", ErrManifestEmpty, 0},
		{"Release, armor", "InRelease", "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nSuite: a\n", ErrArmored, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := ParseManifest(strings.NewReader(test.text), ManifestOptions{Name: test.file})
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

func TestSubjectFromName(t *testing.T) {
	for name, want := range map[string]string{
		"a.md5": "a", "x/y/a b.iso.sha256": "a b.iso", "A.SHA512SUM": "A", "a.sha1.TXT": "a", "a.b2": "a", "a.b2sum": "a", "a.crc32": "a",
		"": "", "SHA256SUMS": "", ".md5": "", "x/.md5": "", "a.sfv": "", "a.txt": "", "a.sha256sums": "", "a.md5.asc": "", "a.md5/b": "", "x-sha256": "",
	} {
		if got, ok := SubjectFromName(name); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v; want %q", name, got, ok, want)
		}
	}
}

// Names in other charsets are bytes, unless the caller converts them.
func TestManifestDecodeName(t *testing.T) {
	toUTF8 := func(raw []byte) string {
		var b strings.Builder
		for _, c := range raw {
			b.WriteRune(rune(c))
		}
		return b.String()
	}
	toLatin1 := func(raw []byte) string {
		var out []byte
		for _, c := range string(raw) {
			if c > 0xff {
				return ""
			}
			out = append(out, byte(c))
		}
		return string(out)
	}
	clobber := func(raw []byte) string { clear(raw); return "" }
	const latin1, utf8, wide = "gr\xfc\xdfe", "größe", "日本"
	tests := []struct {
		name   string
		listed string
		decode func([]byte) string
		raw    string // of the server
	}{
		{"Latin-1 as it is", latin1, nil, latin1},
		{"UTF-8 as it is", utf8, nil, utf8},
		{"a Latin-1 list, a UTF-8 server", latin1, toUTF8, "grüße"},
		{"a UTF-8 list, a Latin-1 server", "grüße", toLatin1, latin1},
		{"a name that Latin-1 has not", wide, toLatin1, wide},
		{"a function that spoils its argument", utf8, clobber, utf8},
	}
	for _, test := range tests {
		for _, text := range []string{
			md5A + "  ./" + test.listed + "\n", "MD5 (" + test.listed + ") = " + md5A + "\n", test.listed + ": " + md5A + "\n",
			"MD5Sum:\n " + md5A + " 1 " + test.listed + "\n", "# " + test.listed + ": 1 bytes\nMD5 (" + test.listed + ") = " + md5A + "\n",
		} {
			m, err := ParseManifest(strings.NewReader(text), ManifestOptions{Algorithm: MD5, DecodeName: test.decode})
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
				continue
			}
			if e, ok := m.Lookup(test.raw); !ok || e.Name != test.raw || e.SizeKnown != strings.Contains(text, " 1 ") {
				t.Errorf("%s: %q lists %q", test.name, text, flat(m))
			}
			for _, other := range []string{latin1, utf8, "grüße", wide} {
				if _, ok := m.Lookup(other); ok != (other == test.raw) {
					t.Errorf("%s: %q found: %v", test.name, other, ok)
				}
			}
		}
	}
}

func TestManifestIndexGrows(t *testing.T) {
	var text strings.Builder
	const entries = 3*1<<recordBits + 7
	for i := range entries {
		fmt.Fprintf(&text, "MD5 (%s%d) = %032x\nSHA1 (%s%d) = %040x\n", strings.Repeat("x", i%300), i, i, strings.Repeat("x", i%300), i, i)
	}
	m, err := parse(text.String(), "")
	if err != nil {
		t.Fatal(err)
	}
	if m.Len() != entries {
		t.Fatalf("length %d", m.Len())
	}
	n := 0
	for e := range m.All() {
		want := fmt.Sprintf("%s%d", strings.Repeat("x", n%300), n)
		if e.Name != want || e.Line != 2*n+1 || len(e.Digests) != 2 || e.Digests[0].String() != fmt.Sprintf("md5:%032x", n) ||
			e.Digests[1].String() != fmt.Sprintf("sha1:%040x", n) {
			t.Fatalf("entry %d: %+v", n, e)
		}
		if found, ok := m.Lookup(want); !ok || found.Line != e.Line {
			t.Fatalf("%q is not found", want)
		}
		n++
	}
	if _, ok := m.Lookup(fmt.Sprint(entries)); ok {
		t.Error("found a name that is not there")
	}
}
