package ftpbridge

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gateway/integrity"
)

// A server reads a file again to hash it, and says nothing meanwhile.
const (
	hashRate    = 10 << 20         // bytes a second that it must manage
	maxHashWait = 10 * time.Minute // beside Source.Timeout, however long the file
)

// hashCommand is one way to ask a server for its own hash of a file.
type hashCommand struct {
	verb string
	name string // of the algorithm, in HASH's words; "" for other verbs
	alg  integrity.Algorithm
}

func (c hashCommand) String() string {
	if c.name == "" {
		return c.verb
	}
	return c.verb + " " + c.name
}

// hashCommands lists all of them, the most useful first: SHA-256 is computed
// anyway, and what is weak finds accidents all the same. HASH is
// draft-bryan-ftpext-hash-02, MD5 is draft-twine-ftpmd5-00, the others are as in
// the manuals of Serv-U, GlobalSCAPE and ProFTPD's mod_digest.
func hashCommands() []hashCommand {
	return []hashCommand{
		{"HASH", "SHA-256", integrity.SHA256},
		{"XSHA256", "", integrity.SHA256},
		{"HASH", "SHA-512", integrity.SHA512},
		{"XSHA512", "", integrity.SHA512},
		{"HASH", "SHA-1", integrity.SHA1},
		{"XSHA1", "", integrity.SHA1},
		{"XSHA", "", integrity.SHA1},
		{"HASH", "MD5", integrity.MD5},
		{"XMD5", "", integrity.MD5},
		{"MD5", "", integrity.MD5},
		{"HASH", "CRC32", integrity.CRC32},
		{"XCRC", "", integrity.CRC32},
	}
}

// HashAlgorithm is that of the hash which Session.Hash asks for, by what FEAT
// names; false if it names none.
func (i ServerInfo) HashAlgorithm() (integrity.Algorithm, bool) {
	c, ok := i.hashCommand()
	return c.alg, ok
}

func (i ServerInfo) hashCommand() (hashCommand, bool) {
	for _, c := range hashCommands() {
		offered, ok := i.Features[c.verb]
		if ok && c.name != "" {
			_, ok = cutHash(offered, c.name)
		}
		if ok {
			return c, true
		}
	}
	return hashCommand{}, false
}

// cutHash looks for an algorithm in "SHA-256*;SHA-512;MD5", where the star marks
// the one that is in force.
func cutHash(offered, name string) (inForce, ok bool) {
	for word := range strings.SplitSeq(offered, ";") {
		word, star := strings.CutSuffix(strings.TrimSpace(word), "*")
		if strings.EqualFold(word, name) {
			return star, true
		}
	}
	return false, false
}

// Hash asks for the server's own hash of a file, and tells with which command.
// size is the file's in bytes, if it is known, or -1: the server is given time
// by it, and may not answer for a part. It wraps ErrUnsupported where the server
// has no such command, or none that can carry the path.
func (s *Session) Hash(ctx context.Context, path string, size int64) (integrity.Digest, string, error) {
	c, ok := s.info.hashCommand()
	if !ok {
		return integrity.Digest{}, "", fmt.Errorf("a hash: %w", ErrUnsupported)
	}
	var sum []byte
	err := s.call(ctx, "ask the hash of", path, func(full string) (err error) {
		patience := s.ctl.timeout
		defer func() { s.ctl.timeout = patience }()
		s.ctl.timeout += min(maxHashWait, time.Duration(max(size, 0)/hashRate)*time.Second)
		if c.name != "" {
			sum, err = s.draftHash(c, full, size)
		} else {
			sum, err = s.oldHash(c, full)
		}
		return err
	})
	return integrity.Digest{Algorithm: c.alg, Sum: sum}, c.String(), err
}

// draftHash is the HASH command, with OPTS before it where another algorithm
// is in force.
func (s *Session) draftHash(c hashCommand, full string, size int64) ([]byte, error) {
	inForce, _ := cutHash(s.info.Features["HASH"], c.name)
	if !inForce && s.hashName != c.name {
		r, err := s.ctl.exchange("OPTS HASH " + c.name)
		if err != nil {
			return nil, err
		}
		if !r.ok() {
			return nil, r.err("OPTS HASH")
		}
		s.hashName = c.name
	}
	r, err := s.command("HASH", full, func(code int) bool { return code == 213 })
	if err != nil {
		return nil, err
	}
	// ProFTPD says before it that it is computing.
	sum, err := parseHash(r.lines[len(r.lines)-1], c, size)
	if err != nil {
		return nil, fmt.Errorf("%w: the answer to HASH %s %w", ErrProtocol, quoteLine(r.text()), err)
	}
	return sum, nil
}

// parseHash reads "SHA-256 0-49 <hex> name": algorithm, first and last byte,
// digest. Some servers count one behind the last byte.
func parseHash(text string, c hashCommand, size int64) ([]byte, error) {
	fields := strings.Fields(text)
	if len(fields) < 3 || !strings.EqualFold(fields[0], c.name) {
		return nil, fmt.Errorf("is not of %s", c.name)
	}
	first, last, ok := strings.Cut(fields[1], "-")
	end, err := strconv.ParseInt(last, 10, 64)
	whole := size < 0 || end == size || end == size-1 || size == 0 && end <= 0
	if !ok || first != "0" || err != nil || !whole {
		return nil, fmt.Errorf("is not of the whole file")
	}
	sum, err := hex.DecodeString(fields[2])
	if err != nil || len(sum) != c.alg.Size() {
		return nil, fmt.Errorf("has no digest of %d bytes", c.alg.Size())
	}
	return sum, nil
}

// oldHash is one of the other commands. Those that begin with X take a path and
// optionally a range, so a path with blanks in it stands in quotes, as in the
// servers' manuals: its end must not be taken for a range. ProFTPD answers them
// for no file that is empty.
func (s *Session) oldHash(c hashCommand, full string) ([]byte, error) {
	if c.verb[0] == 'X' && strings.ContainsAny(full, " \t") {
		if strings.Contains(full, `"`) {
			return nil, fmt.Errorf("%s of a name with blanks and quotes: %w", c.verb, ErrUnsupported)
		}
		full = `"` + full + `"`
	}
	r, err := s.command(c.verb, full, func(code int) bool { return code >= 200 && code < 300 && code != 202 })
	if err != nil {
		return nil, err
	}
	sum, ok := findHash(r.text(), c.alg)
	if !ok {
		return nil, fmt.Errorf("%w: the answer to %s %s has not one digest in it", ErrProtocol, c.verb, quoteLine(r.text()))
	}
	return sum, nil
}

// minCRCDigits is how short a CRC without its zeros may be. What is shorter could
// be any word.
const minCRCDigits = 5

// findHash finds the one word of an answer that can be a digest. Several
// different ones are none: a name may look like one. A CRC may lack zeros at
// its beginning.
func findHash(text string, alg integrity.Algorithm) ([]byte, bool) {
	var found []byte
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return strings.ContainsRune(" \t\r\n\"'=:;,()", c) }) {
		if alg == integrity.CRC32 {
			word = strings.TrimPrefix(strings.TrimPrefix(word, "0x"), "0X")
			if n := len(word); n >= minCRCDigits && n < 2*alg.Size() {
				word = strings.Repeat("0", 2*alg.Size()-n) + word
			}
		}
		sum, err := hex.DecodeString(word)
		if err != nil || len(sum) != alg.Size() {
			continue
		}
		if found != nil && string(found) != string(sum) {
			return nil, false
		}
		found = sum
	}
	return found, found != nil
}
