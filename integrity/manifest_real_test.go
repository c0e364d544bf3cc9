package integrity

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// oddFile is a file with a name that is hard to write into a line.
type oddFile struct {
	name    string // as the program is given it
	content []byte
}

// oddFiles fills a folder with files of odd names, some in a folder below.
func oddFiles(t *testing.T, dir string, random *rand.Rand, count int) []oddFile {
	t.Helper()
	pieces := []string{
		"a", "Z", "0", " ", "  ", "*", " *", "\\", "\\n", "\\\\", "\n", "\r", "\r\n", "\t", "'", `"`, "`", "$x", "(", ")", ") = ", ")= ", "=",
		"#", "-", "--", ".", "..", ";", ":", ": ", "é", "日本", "\xff", "\xe4\xf6", "\x83\x5c", "\x1b", "\x7f", "\u2028", "SHA256 (x) = ", "MD5(x)= ",
		sha256A[:20], md5A, crcA, "# x: 1 bytes", "\xef\xbb\xbf",
	}
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	taken := map[string]bool{"sub": true, ".": true, "..": true, "-": true}
	var files []oddFile
	for len(files) < count {
		name := ""
		for range 1 + random.IntN(6) {
			name += pieces[random.IntN(len(pieces))]
		}
		if taken[name] || len(name) > 250 {
			continue
		}
		taken[name] = true
		switch random.IntN(4) {
		case 0:
			name = "sub/" + name
		case 1:
			name = "./" + name
		}
		content := fmt.Appendf(nil, "%d %s", len(files), name)
		if err := os.WriteFile(dir+"/"+name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, oddFile{name, content})
	}
	return files
}

// wantListed compares what a manifest lists with the files that it was made of.
func wantListed(t *testing.T, out []byte, m *Manifest, files []oddFile, alg Algorithm) bool {
	t.Helper()
	want, got := map[string]string{}, map[string]string{}
	for _, f := range files {
		want[strings.TrimPrefix(f.name, "./")] = sumsOf(t, f.content, alg)[0].String()
	}
	for e := range m.All() {
		for _, d := range e.Digests {
			got[e.Name] += d.String()
		}
		if found, ok := m.Lookup(e.Name); !ok || !slices.EqualFunc(found.Digests, e.Digests, Digest.Equal) {
			t.Errorf("%q is not found", e.Name)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%q", diff, out)
	}
	return !t.Failed()
}

// realSums are the programs of coreutils with what they print.
var realSums = []struct {
	args   []string
	alg    Algorithm
	told   string // name of the manifest, for the algorithm of lines that do not tell it
	format Format
}{
	{[]string{"sha256sum"}, SHA256, "SHA256SUMS", FormatGNU},
	{[]string{"sha512sum"}, SHA512, "SHA512SUMS", FormatGNU},
	{[]string{"sha384sum"}, SHA384, "sha384sum.txt", FormatGNU},
	{[]string{"sha1sum"}, SHA1, "SHA1SUMS", FormatGNU},
	{[]string{"md5sum"}, MD5, "MD5SUMS", FormatGNU},
	{[]string{"b2sum"}, BLAKE2b, "B2SUMS", FormatGNU},
	{[]string{"b2sum", "-l", "256"}, BLAKE2b256, "B2SUMS", FormatGNU},
	{[]string{"b2sum", "-l", "384"}, BLAKE2b384, "B2SUMS", FormatGNU},
	{[]string{"sha256sum", "--binary"}, SHA256, "SHA256SUMS", FormatGNU},
	{[]string{"md5sum", "--binary"}, MD5, "MD5SUMS", FormatGNU},
	{[]string{"sha256sum", "--tag"}, SHA256, "", FormatBSD},
	{[]string{"sha512sum", "--tag"}, SHA512, "", FormatBSD},
	{[]string{"md5sum", "--tag"}, MD5, "", FormatBSD},
	{[]string{"b2sum", "--tag"}, BLAKE2b, "", FormatBSD},
	{[]string{"b2sum", "--tag", "-l", "256"}, BLAKE2b256, "", FormatBSD},
	{[]string{"cksum", "-a", "sha256"}, SHA256, "", FormatBSD},
	{[]string{"cksum", "-a", "md5"}, MD5, "", FormatBSD},
	{[]string{"cksum", "-a", "blake2b", "-l", "384"}, BLAKE2b384, "", FormatBSD},
	{[]string{"cksum", "-a", "sha1", "--untagged"}, SHA1, "SHA1SUMS", FormatGNU},
	{[]string{"cksum", "-a", "sha512", "-z"}, SHA512, "", FormatZero},
	{[]string{"md5sum", "-z"}, MD5, "MD5SUMS", FormatZero},
	{[]string{"sha256sum", "-z", "--tag"}, SHA256, "", FormatZero},
}

// A thousand manifests of random files with odd names, written by coreutils, are
// read without a difference.
func TestRealManifestsOfCoreutils(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(4, 1000))
	files := oddFiles(t, dir, random, 500)
	for i := range 1000 {
		sum := realSums[i%len(realSums)]
		random.Shuffle(len(files), func(a, b int) { files[a], files[b] = files[b], files[a] })
		some := files[:1+random.IntN(15)]
		args := append(slices.Clone(sum.args[1:]), "--")
		for _, f := range some {
			args = append(args, f.name)
		}
		out := runManifestTool(t, dir, nil, sum.args[0], args...)
		m, err := ParseManifest(bytes.NewReader(out), ManifestOptions{Name: sum.told})
		if err != nil {
			t.Fatalf("%q: %v\n%q", sum.args, err, out)
		}
		if m.Format() != sum.format {
			t.Errorf("%q: format %s, want %s\n%q", sum.args, m.Format(), sum.format, out)
		}
		if !wantListed(t, out, m, some, sum.alg) {
			t.Fatalf("%q", sum.args)
		}
	}
}

// What the POSIX checksum prints is not CRC-32 and must not be taken for it.
func TestRealPOSIXChecksumIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/a", []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, alg := range []string{"crc", "bsd", "sysv"} {
		out := runManifestTool(t, dir, nil, "cksum", "-a", alg, "a")
		for _, o := range []ManifestOptions{{}, {Algorithm: CRC32}, {Algorithm: CRC32, Subject: "a"}, {Name: "a.sfv"}} {
			if m, err := ParseManifest(bytes.NewReader(out), o); err == nil {
				t.Errorf("%s: %q lists %q", alg, out, flat(m))
			}
		}
	}
}

// openssl has no escapes: names with line feeds cannot be written, and others
// are read as they are.
func TestRealManifestsOfOpenSSL(t *testing.T) {
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(4, 2))
	files := oddFiles(t, dir, random, 100)
	var plain []oddFile
	for _, f := range files {
		// The first "(" ends the algorithm and the last ")= " the name, so that
		// only a line feed is lost.
		if !strings.Contains(f.name, "\n") && !strings.HasPrefix(f.name, "-") {
			plain = append(plain, f)
		}
	}
	for name, alg := range map[string]Algorithm{
		"-sha256": SHA256, "-sha384": SHA384, "-sha512": SHA512, "-sha1": SHA1, "-md5": MD5, "-blake2b512": BLAKE2b,
	} {
		args := []string{"dgst", name}
		for _, f := range plain {
			args = append(args, f.name)
		}
		out := runManifestTool(t, dir, nil, "openssl", args...)
		m, err := ParseManifest(bytes.NewReader(out), ManifestOptions{})
		if err != nil {
			t.Fatalf("%s: %v\n%q", name, err, out)
		}
		if m.Format() != FormatOpenSSL {
			t.Errorf("format %s", m.Format())
		}
		wantListed(t, out, m, plain, alg)
		out = runManifestTool(t, dir, nil, "openssl", "dgst", name, "-r", plain[0].name)
		if m, err = ParseManifest(bytes.NewReader(out), ManifestOptions{Algorithm: alg}); err != nil || m.Format() != FormatGNU {
			t.Fatalf("%s -r: %v\n%q", name, err, out)
		}
		wantListed(t, out, m, plain[:1], alg)
	}
}
