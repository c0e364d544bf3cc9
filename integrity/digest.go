package integrity

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"strings"

	"golang.org/x/crypto/blake2b"
)

var (
	// ErrUnknownAlgorithm reports a digest algorithm that this package does
	// not compute.
	ErrUnknownAlgorithm = errors.New("unknown digest algorithm")
	// ErrDigestSyntax reports a digest that is not "algorithm:hex" with
	// exactly the algorithm's number of hexadecimal digits.
	ErrDigestSyntax = errors.New("malformed digest")
)

// Algorithm names a digest algorithm, as in-toto digest sets do.
type Algorithm string

// The algorithms that the package computes.
const (
	SHA256     Algorithm = "sha256"
	SHA384     Algorithm = "sha384"
	SHA512     Algorithm = "sha512"
	BLAKE2b    Algorithm = "blake2b"     // BLAKE2b-512, what b2sum prints
	BLAKE2b384 Algorithm = "blake2b-384" // what b2sum -l 384 prints
	BLAKE2b256 Algorithm = "blake2b-256" // what b2sum -l 256 prints
	SHA1       Algorithm = "sha1"
	MD5        Algorithm = "md5"
	// CRC32 is that of ISO 3309, ZIP and SFV files, four bytes big-endian. It
	// finds accidents and nothing else: whoever changes a file can give it any
	// CRC. It is not what the POSIX tool cksum prints.
	CRC32 Algorithm = "crc32"
)

// algorithmInfo describes an algorithm. strength orders them: a minimum is met
// by an equal or greater strength, and anything from strongFrom can authenticate.
type algorithmInfo struct {
	name     Algorithm
	size     int    // bytes
	tag      string // as in BSD-style manifest lines
	openssl  string // as "openssl dgst" writes it since 3.0
	strength int
	cost     int   // time to hash, relative to the others; see Digester
	code     uint8 // index into the table
	new      func() hash.Hash
}

const (
	strongFrom     = 4
	algorithmCount = 9
)

// lookup returns what is known about a, nil if nothing is.
func (a Algorithm) lookup() *algorithmInfo {
	for _, info := range algorithmTable() {
		if info.name == a {
			return &info
		}
	}
	return nil
}

// algorithmTable is ordered from the most to the least preferred. The costs are
// those of crypto/* on amd64 and arm64 with their SHA instructions.
func algorithmTable() [algorithmCount]algorithmInfo {
	return [...]algorithmInfo{
		{SHA256, sha256.Size, "SHA256", "SHA2-256", 4, 6, 0, sha256.New},
		{SHA512, sha512.Size, "SHA512", "SHA2-512", 6, 12, 1, sha512.New},
		{BLAKE2b, blake2b.Size, "BLAKE2b", "BLAKE2B-512", 6, 11, 2, newBLAKE2b(blake2b.Size)},
		{SHA384, sha512.Size384, "SHA384", "SHA2-384", 5, 12, 3, sha512.New384},
		{BLAKE2b384, blake2b.Size384, "BLAKE2b-384", "", 5, 11, 4, newBLAKE2b(blake2b.Size384)},
		{BLAKE2b256, blake2b.Size256, "BLAKE2b-256", "", 4, 11, 5, newBLAKE2b(blake2b.Size256)},
		{SHA1, sha1.Size, "SHA1", "SHA1", 3, 7, 6, sha1.New},
		{MD5, md5.Size, "MD5", "MD5", 2, 14, 7, md5.New},
		{CRC32, crc32.Size, "CRC32", "", 1, 1, 8, newCRC32},
	}
}

func newBLAKE2b(size int) func() hash.Hash {
	return func() hash.Hash {
		h, err := blake2b.New(size, nil)
		if err != nil {
			panic("blake2b without a key cannot fail: " + err.Error())
		}
		return h
	}
}

func newCRC32() hash.Hash { return crc32.NewIEEE() }

// Algorithms lists every algorithm the package computes, SHA256 first.
func Algorithms() []Algorithm {
	table := algorithmTable()
	all := make([]Algorithm, len(table))
	for i, info := range table {
		all[i] = info.name
	}
	return all
}

// New returns a fresh hash, or ErrUnknownAlgorithm.
func (a Algorithm) New() (hash.Hash, error) {
	info := a.lookup()
	if info == nil {
		return nil, fmt.Errorf("%w %q", ErrUnknownAlgorithm, string(a))
	}
	return info.new(), nil
}

// Size is the digest's length in bytes, 0 if the algorithm is unknown.
func (a Algorithm) Size() int {
	if info := a.lookup(); info != nil {
		return info.size
	}
	return 0
}

// Strong reports whether collisions and second preimages are out of reach, so
// that a signed digest can authenticate. MD5, SHA-1 and CRC-32 are not strong.
func (a Algorithm) Strong() bool { return a.strength() >= strongFrom }

func (a Algorithm) strength() int {
	if info := a.lookup(); info != nil {
		return info.strength
	}
	return 0
}

// Digest is the value of one algorithm over some bytes.
type Digest struct {
	Algorithm Algorithm
	Sum       []byte
}

// String is "algorithm:hex" in lower case, the form ParseDigest reads.
func (d Digest) String() string { return string(d.Algorithm) + ":" + hex.EncodeToString(d.Sum) }

// Equal reports the same algorithm and the same whole sum. Unknown algorithms
// and sums of another length than the algorithm's are equal to nothing.
func (d Digest) Equal(other Digest) bool {
	return d.Algorithm == other.Algorithm && d.valid() && bytes.Equal(d.Sum, other.Sum)
}

func (d Digest) valid() bool { return len(d.Sum) > 0 && len(d.Sum) == d.Algorithm.Size() }

// short abbreviates the sum for sentences that people read.
func (d Digest) short() string {
	if len(d.Sum) <= 8 {
		return d.String()
	}
	return string(d.Algorithm) + ":" + hex.EncodeToString(d.Sum[:8]) + ".."
}

// ParseDigest reads "algorithm:hex", hex digits of either case. Errors are
// ErrUnknownAlgorithm and ErrDigestSyntax.
func ParseDigest(s string) (Digest, error) {
	name, digits, found := strings.Cut(s, ":")
	if !found {
		return Digest{}, fmt.Errorf("%w %.150q: write algorithm:hex", ErrDigestSyntax, s)
	}
	alg := Algorithm(name)
	if alg.lookup() == nil {
		return Digest{}, fmt.Errorf("%w %.40q", ErrUnknownAlgorithm, name)
	}
	if len(digits) != 2*alg.Size() {
		return Digest{}, fmt.Errorf("%w: %s takes %d hex digits, not %d", ErrDigestSyntax, alg, 2*alg.Size(), len(digits))
	}
	sum, err := hex.DecodeString(digits)
	if err != nil {
		return Digest{}, fmt.Errorf("%w: %w", ErrDigestSyntax, err)
	}
	return Digest{alg, sum}, nil
}

// MarshalText is String; a digest that could not be parsed back is an error.
func (d Digest) MarshalText() ([]byte, error) {
	if !d.valid() {
		return nil, fmt.Errorf("%w: %d bytes of %q", ErrDigestSyntax, len(d.Sum), string(d.Algorithm))
	}
	return []byte(d.String()), nil
}

// UnmarshalText is ParseDigest.
func (d *Digest) UnmarshalText(text []byte) error {
	parsed, err := ParseDigest(string(text))
	if err == nil {
		*d = parsed
	}
	return err
}

// AlgorithmFromName tells the algorithm that a manifest's name stands for:
// SHA256SUMS, MD5SUMS.txt, B2SUMS, file.iso.sha256, checksums_sha512.txt,
// files.sfv. Case does not matter, and only the last element of the name counts.
func AlgorithmFromName(fileName string) (Algorithm, bool) {
	base := strings.ToLower(fileName[strings.LastIndexByte(fileName, '/')+1:])
	base = strings.TrimSuffix(base, ".txt")
	word := base[strings.LastIndexAny(base, ".-_")+1:]
	word = strings.TrimSuffix(strings.TrimSuffix(word, "s"), "sum")
	switch word {
	case "b2":
		return BLAKE2b, true
	case "sfv":
		return CRC32, true
	}
	if alg := Algorithm(word); alg.lookup() != nil {
		return alg, true
	}
	return "", false
}

// digestOf is the SHA-256 of data held in memory.
func digestOf(data []byte) Digest {
	sum := sha256.Sum256(data)
	return Digest{SHA256, sum[:]}
}
