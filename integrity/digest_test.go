package integrity

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestDigesterAlwaysHasSHA256Once(t *testing.T) {
	d, err := NewDigester(MD5, SHA256, MD5)
	if err != nil {
		t.Fatal(err)
	}
	if sums := d.Sums(); len(sums) != 2 || sums[0].Algorithm != SHA256 || sums[1].Algorithm != MD5 {
		t.Errorf("sums %v, want sha256 and md5", sums)
	}
	if _, err := NewDigester("crc64"); !errors.Is(err, ErrUnknownAlgorithm) {
		t.Errorf("crc64: %v, want ErrUnknownAlgorithm", err)
	}
}

func TestStrong(t *testing.T) {
	for alg, want := range map[Algorithm]bool{
		SHA256: true, SHA384: true, SHA512: true, BLAKE2b: true,
		BLAKE2b256: true, BLAKE2b384: true, SHA1: false, MD5: false, CRC32: false, "": false, "SHA256": false,
	} {
		if alg.Strong() != want {
			t.Errorf("%q strong: %v", alg, !want)
		}
	}
}

func TestParseDigest(t *testing.T) {
	const hex = "d41d8cd98f00b204e9800998ecf8427e"
	for _, good := range []string{"md5:" + hex, "md5:" + strings.ToUpper(hex)} {
		d, err := ParseDigest(good)
		if err != nil || d.String() != "md5:"+hex {
			t.Errorf("%q: %v, %v", good, d, err)
		}
	}
	for text, want := range map[string]error{
		"":                           ErrDigestSyntax,
		hex:                          ErrDigestSyntax,
		"md5:":                       ErrDigestSyntax,
		"md5:" + hex[:30]:            ErrDigestSyntax,
		"md5:" + hex[:31]:            ErrDigestSyntax,
		"md5:" + hex + "00":          ErrDigestSyntax,
		"md5:" + hex[:31] + "g":      ErrDigestSyntax,
		"md5: " + hex[:31]:           ErrDigestSyntax,
		"sha256:" + hex:              ErrDigestSyntax,
		"MD5:" + hex:                 ErrUnknownAlgorithm,
		"crc32:0000000":              ErrDigestSyntax,
		":" + hex:                    ErrUnknownAlgorithm,
		strings.Repeat("x", 1<<16):   ErrDigestSyntax,
		strings.Repeat("x:", 1<<15):  ErrUnknownAlgorithm,
		"md5:" + hex + "\n":          ErrDigestSyntax,
		"md5:" + hex[:30] + "\xff0":  ErrDigestSyntax,
		"md5:0x" + hex[:30]:          ErrDigestSyntax,
		"md5:" + hex[:28] + "-12f":   ErrDigestSyntax,
		"md5:" + hex[:16] + hex[:15]: ErrDigestSyntax,
	} {
		if _, err := ParseDigest(text); !errors.Is(err, want) {
			t.Errorf("%.60q: %v, want %v", text, err, want)
		}
	}
}

func TestDigestEqualNeedsWholeSum(t *testing.T) {
	whole := digestOf([]byte("x"))
	for name, other := range map[string]Digest{
		"cut":               {SHA256, whole.Sum[:31]},
		"empty":             {SHA256, nil},
		"zero":              {},
		"longer":            {SHA256, append(whole.Sum[:32:32], 0)},
		"another algorithm": {BLAKE2b, whole.Sum},
	} {
		if whole.Equal(other) || other.Equal(whole) || other.Equal(other) {
			t.Errorf("%s is equal", name)
		}
	}
	if !whole.Equal(digestOf([]byte("x"))) {
		t.Error("the same digest is not equal")
	}
}

func TestDigestText(t *testing.T) {
	want := digestOf([]byte("x"))
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Digest
	if err := json.Unmarshal(data, &got); err != nil || !got.Equal(want) {
		t.Errorf("%s came back as %v, %v", data, got, err)
	}
	if _, err := json.Marshal(Digest{SHA256, []byte{1}}); !errors.Is(err, ErrDigestSyntax) {
		t.Errorf("short sum: %v, want ErrDigestSyntax", err)
	}
}

func TestAlgorithmFromName(t *testing.T) {
	for name, want := range map[string]Algorithm{
		"SHA256SUMS": SHA256, "SHA512SUMS": SHA512, "SHA384SUMS": SHA384, "SHA1SUMS": SHA1, "MD5SUMS": MD5,
		"B2SUMS": BLAKE2b, "BLAKE2BSUMS": BLAKE2b, "md5sum.txt": MD5, "a/b/SHA256SUMS.txt": SHA256, "SHA256": SHA256,
		"file.iso.sha256": SHA256, "file.sha512sum": SHA512, "file.md5": MD5, "checksums_sha512.txt": SHA512,
		"x-SHA1SUMS": SHA1, "file.b2": BLAKE2b, "disc.SFV": CRC32, "a.crc32": CRC32,
		"": "", "CHECKSUM": "", "sums": "", "SHA256SUMS/x": "", "sha256.iso": "", "SHA256SUMS.asc": "", ".": "", "sha257sums": "",
	} {
		got, ok := AlgorithmFromName(name)
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v; want %q", name, got, ok, want)
		}
	}
}
