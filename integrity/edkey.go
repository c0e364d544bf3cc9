package integrity

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// What signify and minisign files have in common: signify's format, which
// minisign took over for public keys. A line of comment that nothing signs, and
// a line of base64 that begins with the algorithm and the key's id.
const (
	untrustedComment = "untrusted comment: "
	edAlgorithm      = "Ed" // Ed25519 over the message
	edHeaderBytes    = 2 + 8
)

// maxCommentBytes bounds a comment line, as signify does.
const maxCommentBytes = 1024

// edKey is a public key of signify or minisign.
type edKey struct {
	text string // the base64 of its file
	id   [8]byte
	key  ed25519.PublicKey
}

// parseEdKey reads a key as it stands in the second line of its file.
func parseEdKey(line string) (edKey, error) {
	data, err := decodeBase64([]byte(line))
	if err != nil {
		return edKey{}, err
	}
	if len(data) != edHeaderBytes+ed25519.PublicKeySize {
		return edKey{}, fmt.Errorf("%d bytes, a public key has %d", len(data), edHeaderBytes+ed25519.PublicKeySize)
	}
	if string(data[:2]) != edAlgorithm {
		return edKey{}, fmt.Errorf("algorithm %q, want %q", data[:2], edAlgorithm)
	}
	k := edKey{text: line, key: ed25519.PublicKey(data[edHeaderBytes:])}
	copy(k.id[:], data[2:])
	return k, nil
}

// parseEdKeys reads a key file: one or more keys, each a line of base64 with or
// without a line of comment before it.
func parseEdKeys(f AnchorFile) ([]edKey, error) {
	var keys []edKey
	for i, line := range splitLines(f.Data) {
		if len(line) == 0 || bytes.HasPrefix(line, []byte(untrustedComment)) {
			continue
		}
		key, err := parseEdKey(string(line))
		if err != nil {
			return nil, fmt.Errorf("%w: %q: line %d is no public key: %w", ErrKeyring, f.Name, i+1, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: %q holds no public key", ErrKeyring, f.Name)
	}
	return keys, nil
}

// readEdKeys reads key files and pins; see AnchorConfig. A pin is a whole key,
// so files are not needed.
func readEdKeys(kind string, files []AnchorFile, pins []string) ([]edKey, error) {
	var keys []edKey
	for _, f := range files {
		more, err := parseEdKeys(f)
		if err != nil {
			return nil, err
		}
		keys = append(keys, more...)
	}
	names, err := parsePins(kind, pins)
	if err != nil {
		return nil, err
	}
	if len(names) > 0 {
		if keys, err = pinEdKeys(keys, names, len(files) > 0); err != nil {
			return nil, err
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: no key is named", ErrKeyring)
	}
	slices.SortFunc(keys, func(a, b edKey) int { return strings.Compare(a.text, b.text) })
	return slices.CompactFunc(keys, func(a, b edKey) bool { return a.text == b.text }), nil
}

func pinEdKeys(keys []edKey, names []string, inFiles bool) ([]edKey, error) {
	var pinned []edKey
	for _, name := range names {
		if inFiles && !slices.ContainsFunc(keys, func(k edKey) bool { return k.text == name }) {
			return nil, fmt.Errorf("%w: %s is not in the key files", ErrUnknownKey, name)
		}
		key, err := parseEdKey(name)
		if err != nil {
			return nil, err
		}
		pinned = append(pinned, key)
	}
	return pinned, nil
}

func edFingerprints(keys []edKey) []string {
	list := make([]string, len(keys)) // sorted, as readEdKeys left them
	for i, k := range keys {
		list[i] = k.text
	}
	return list
}

// withID returns the keys that have an id. It is random, so two can share one.
func withID(keys []edKey, id [8]byte) []edKey {
	var list []edKey
	for _, k := range keys {
		if k.id == id {
			list = append(list, k)
		}
	}
	return list
}

// checkComment accepts a first line as the programs write and read it.
func checkComment(line []byte) error {
	if !bytes.HasPrefix(line, []byte(untrustedComment)) {
		return fmt.Errorf("its first line does not begin with %q", untrustedComment)
	}
	if len(line) > maxCommentBytes {
		return errors.New("its comment is too long")
	}
	return nil
}

// edSignature is what a line of base64 holds in a signature file.
type edSignature struct {
	algorithm string
	id        [8]byte
	signature []byte
}

func parseEdSignature(line []byte) (edSignature, error) {
	if n := base64.StdEncoding.DecodedLen(len(line)); n > 2*ed25519.SignatureSize {
		return edSignature{}, errors.New("its second line is too long for a signature")
	}
	data, err := decodeBase64(line)
	if err != nil {
		return edSignature{}, fmt.Errorf("its second line: %w", err)
	}
	if len(data) != edHeaderBytes+ed25519.SignatureSize {
		return edSignature{}, fmt.Errorf("its second line holds %d bytes, a signature has %d", len(data), edHeaderBytes+ed25519.SignatureSize)
	}
	s := edSignature{algorithm: string(data[:2]), signature: data[edHeaderBytes:]}
	copy(s.id[:], data[2:])
	return s, nil
}
