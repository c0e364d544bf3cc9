package integrity

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// checkManifest holds every manifest that parses to what the package promises.
func checkManifest(t *testing.T, data []byte, o ManifestOptions) {
	t.Helper()
	if o.Limits == (Limits{}) {
		o.Limits = Limits{1 << 16, 1 << 10, 1 << 10}
	}
	m, err := ParseManifest(bytes.NewReader(data), o)
	if err != nil {
		var where *ManifestError
		if m != nil || !errors.As(err, &where) {
			t.Fatalf("manifest %v, error %v", m != nil, err)
		}
		return
	}
	if !m.Format().known() || o.Format != "" && m.Format() != o.Format && o.Format != FormatBSD {
		t.Fatalf("format %q, asked for %q", m.Format(), o.Format)
	}
	n := 0
	for e := range m.All() {
		n++
		if found, ok := m.Lookup(e.Name); !ok || found.Line != e.Line || len(e.Digests) == 0 || e.Line < 1 {
			t.Fatalf("%+v is not found again", e)
		}
		if bad := "/" + e.Name + "/"; strings.Contains(bad, "//") || strings.Contains(bad, "/../") ||
			strings.Contains(bad, "/./") || strings.Contains(bad, "\x00") {
			t.Fatalf("name %q", e.Name)
		}
		if e.Size < 0 || !e.SizeKnown && e.Size != 0 {
			t.Fatalf("size of %+v", e)
		}
		for i, d := range e.Digests {
			if !d.Equal(d) || m.Format() == FormatSFV && d.Algorithm != CRC32 {
				t.Fatalf("digest %v of %q", d, e.Name)
			}
			for _, other := range e.Digests[:i] {
				if other.Algorithm == d.Algorithm {
					t.Fatalf("two digests %v of %q", d, e.Name)
				}
			}
		}
	}
	if n != m.Len() || n == 0 {
		t.Fatalf("%d entries, length %d", n, m.Len())
	}
}

// addSeeds adds a manifest of each format and things near to them.
func addSeeds(f *testing.F, more ...string) {
	for _, format := range anyFormat {
		f.Add([]byte(format.text("a")))
		f.Add([]byte(format.text("./dir/b c")))
		f.Add([]byte(format.text("../x")))
		f.Add([]byte(strings.ReplaceAll(format.text("a"), "\n", "\r\n")))
	}
	for _, seed := range more {
		f.Add([]byte(seed))
	}
}

func FuzzParseManifest(f *testing.F) {
	addSeeds(f, md5A, `\`+md5A+` *a\\b\n`+"\n", "-----BEGIN PGP SIGNED MESSAGE-----\n", md5A+"  a\n"+md5B+"  a\n", "\xff\xfe0\x00", metalink(metalinkFull), releaseFull)
	f.Fuzz(func(t *testing.T, data []byte) {
		checkManifest(t, data, ManifestOptions{})
		checkManifest(t, data, ManifestOptions{Algorithm: MD5, Subject: "a"})
		checkManifest(t, data, ManifestOptions{Algorithm: CRC32, Limits: Limits{1 << 12, 40, 3}})
		checkManifest(t, data, ManifestOptions{Algorithm: MD5, DecodeName: func(raw []byte) string { return string(bytes.ToUpper(raw)) }})
	})
}

func FuzzManifestLines(f *testing.F) {
	addSeeds(f, "# a: 1 bytes\n# a: 2 bytes\nMD5 (a) = "+md5A+"\n", "SHA256 (a) = "+base64A+"\n", `\MD5 (a\n) = `+md5A+"\n", "MD5 (a) = b) = "+md5A)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, format := range []Format{FormatGNU, FormatBSD, FormatFedora, FormatOpenSSL, FormatZero, FormatColon} {
			checkManifest(t, data, ManifestOptions{Algorithm: MD5, Format: format})
		}
	})
}

func FuzzManifestSideFile(f *testing.F) {
	for _, name := range []string{"a.md5", "x/b c.sha256.txt", "...md5", "SHA256SUMS", "a/.md5", "\x00.md5"} {
		f.Add(name, []byte(md5A+"\n"))
		f.Add(name, []byte("a: "+md5A))
		f.Add(name, []byte(sha256A+"\r\n"))
	}
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		checkManifest(t, data, ManifestOptions{Name: name})
		checkManifest(t, data, ManifestOptions{Algorithm: MD5, Subject: name})
	})
}

func FuzzManifestSFV(f *testing.F) {
	addSeeds(f, "; x\r\n\r\nname with blanks \t"+crcA+"\r\n", "a 1234567", "12345678 12345678")
	f.Fuzz(func(t *testing.T, data []byte) {
		checkManifest(t, data, ManifestOptions{Name: "x.sfv"})
	})
}

func FuzzManifestMetalink(f *testing.F) {
	addSeeds(f, metalink(metalinkFull), metalink("<!DOCTYPE x><file name='&a;'/>"), metalink("<a><b><c/></b></a>"), "<metalink/>",
		metalink(`<file name="a"><size>1</size><size>1</size><hash type="md5"><![CDATA[`+md5A+`]]></hash></file><published>2024-05-06T07:08:09Z</published>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		checkManifest(t, data, ManifestOptions{Format: FormatMetalink})
	})
}

func FuzzManifestRelease(f *testing.F) {
	addSeeds(f, releaseFull, "Date: Sat, 09 Dec 2023 10:23:17 UTC\nSHA256:\n\t"+sha256A+" 9223372036854775807 a\n\n", "A:\n b\n", "SHA1:\n\n")
	f.Fuzz(func(t *testing.T, data []byte) {
		checkManifest(t, data, ManifestOptions{Name: "dists/x/Release"})
	})
}
