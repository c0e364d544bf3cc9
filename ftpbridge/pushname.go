package ftpbridge

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"

	"gateway/listing"
)

// maxTemporary is up to which length in bytes a temporary name has the file's own
// in it: file systems take 255.
const maxTemporary = 200

// CheckTemporary says what is wrong with a pattern for PushOptions.Temporary; "" is the
// default. The error wraps ErrOptions.
func CheckTemporary(pattern string) error {
	if pattern == "" {
		return nil
	}
	if fault := temporaryFault(pattern); fault != "" {
		return fmt.Errorf("%w: temporary name %q: %s", ErrOptions, pattern, fault)
	}
	return nil
}

func temporaryFault(pattern string) string {
	before, after, ok := strings.Cut(pattern, "*")
	switch {
	case !ok || strings.Contains(after, "*"):
		return "it needs one * for the file's own name"
	case before+after == "":
		return "it has nothing besides the file's own name"
	case strings.ContainsAny(pattern, "/\\\r\n\x00"):
		return "it has a slash, a backslash, a line break or NUL"
	case len(pattern) > 50:
		return "it is longer than 50 bytes"
	}
	return ""
}

// temporary is a new temporary path beside the path target; both are raw.
func (p *pusher) temporary(target string) string {
	name := target[strings.LastIndexByte(target, '/')+1:]
	if len(name) > maxTemporary {
		name = "long"
	}
	var digits [4]byte
	_, _ = rand.Read(digits[:]) // never fails
	before, after, _ := strings.Cut(p.Temporary, "*")
	return joinDir(parent(target), before+name+after+hex.EncodeToString(digits[:]))
}

func joinDir(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// remoteName is the raw path of a file on the server, in its charset. What servers
// with other paths than these refuse, the session says.
func (p *pusher) remoteName(path string) (string, error) {
	charset := p.Dest.Charset
	if charset == "" {
		charset, _ = p.pool.know.detector.Charset()
	}
	raw, err := listing.Encode(path, charset)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrName, err)
	}
	for element := range strings.SplitSeq(string(raw), "/") {
		fault := unsafeAnywhere(element)
		if p.dos {
			fault = dosDialect{}.unsafe(element, false)
		}
		if fault != "" {
			return "", fmt.Errorf("%w: %s", ErrName, fault)
		}
	}
	return string(raw), nil
}
