package integrity

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// allowedSigner is a line of an allowed signers file (ssh-keygen(1), ALLOWED
// SIGNERS).
type allowedSigner struct {
	file        string
	line        int
	principals  string // a pattern list
	namespaces  string // a pattern list, if limited
	limited     bool   // to the namespaces
	after       time.Time
	before      time.Time
	key         ssh.PublicKey
	fingerprint string
}

// parseAllowedSigners reads a file. ssh-keygen skips lines that it cannot read;
// here they are errors, since their author believes that they say something.
func parseAllowedSigners(f AnchorFile) ([]allowedSigner, error) {
	var list []allowedSigner
	for i, line := range splitLines(f.Data) {
		text := strings.Trim(string(line), " \t")
		if text == "" || text[0] == '#' {
			continue
		}
		e, err := parseAllowedSigner(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %q: line %d: %w", ErrKeyring, f.Name, i+1, err)
		}
		e.file, e.line = f.Name, i+1
		list = append(list, e)
	}
	return list, nil
}

func parseAllowedSigner(text string) (allowedSigner, error) {
	var e allowedSigner
	var err error
	if e.principals, text, err = cutPrincipals(text); err != nil {
		return e, err
	}
	if first, _, _ := strings.Cut(text, " "); !isSSHKeyType(first) {
		var options string
		if options, text, err = cutOptions(text); err != nil {
			return e, err
		}
		if err := e.parseOptions(options); err != nil {
			return e, err
		}
	}
	if e.key, err = parseSSHKey(text); err != nil {
		return e, err
	}
	e.fingerprint = ssh.FingerprintSHA256(e.key)
	return e, nil
}

// cutPrincipals cuts off the first field, which may be in quotes.
func cutPrincipals(text string) (principals, rest string, err error) {
	if quoted, ok := strings.CutPrefix(text, `"`); ok {
		principals, rest, ok = strings.Cut(quoted, `"`)
		if !ok {
			return "", "", errors.New("the principals' quote is not closed")
		}
		if rest != "" && !isBlank(rest[0]) {
			return "", "", fmt.Errorf("%.40q behind the principals' quote", rest)
		}
	} else if i := strings.IndexAny(text, " \t"); i >= 0 {
		principals, rest = text[:i], text[i:]
	} else {
		principals = text
	}
	if principals == "" {
		return "", "", errors.New("no principals")
	}
	return principals, strings.TrimLeft(rest, " \t"), nil
}

// cutOptions cuts off the field of options: up to a blank outside of quotes.
func cutOptions(text string) (options, rest string, err error) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '"':
			i++
		case text[i] == '"':
			quoted = !quoted
		case !quoted && isBlank(text[i]):
			return text[:i], strings.TrimLeft(text[i:], " \t"), nil
		}
	}
	if quoted {
		return "", "", errors.New("a quote is not closed")
	}
	return "", "", fmt.Errorf("no key behind %.60q", text)
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// isSSHKeyType tells key types from options, none of which begins like one.
func isSSHKeyType(s string) bool {
	return strings.HasPrefix(s, "ssh-") || strings.HasPrefix(s, "ecdsa-") || strings.HasPrefix(s, "sk-")
}

// parseSSHKey reads a type, a key in base64 and a comment.
func parseSSHKey(text string) (ssh.PublicKey, error) {
	fields := strings.Fields(text)
	if len(fields) < 2 {
		return nil, fmt.Errorf("no key in %.60q", text)
	}
	blob, err := decodeBase64([]byte(fields[1]))
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	key, err := ssh.ParsePublicKey(blob)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if _, ok := key.(*ssh.Certificate); ok {
		return nil, errors.New("key: it is a certificate, and signatures by certificates are not supported")
	}
	if key.Type() != fields[0] {
		return nil, fmt.Errorf("key: it is of type %s, not %.40q", key.Type(), fields[0])
	}
	return key, nil
}

// parseOptions reads options with commas between them. Their names may be in
// either case.
func (e *allowedSigner) parseOptions(text string) error {
	for more := true; more; {
		end := strings.IndexAny(text, "=,")
		if end < 0 {
			end = len(text)
		}
		name := strings.ToLower(text[:end])
		if text = text[end:]; !strings.HasPrefix(text, "=") {
			return flagOption(name)
		}
		var value string
		var err error
		if value, text, err = cutQuoted(text[1:]); err != nil {
			return fmt.Errorf("option %.40q: %w", name, err)
		}
		if err := e.setOption(name, value); err != nil {
			return err
		}
		text, more = strings.CutPrefix(text, ",")
		if !more && text != "" {
			return fmt.Errorf("%.40q behind option %s", text, name)
		}
	}
	return nil
}

// cutQuoted cuts off a value in quotes; a quote within is written \".
func cutQuoted(text string) (value, rest string, err error) {
	if !strings.HasPrefix(text, `"`) {
		return "", "", errors.New("its value is not in quotes")
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text) && text[i+1] == '"':
			i++
			b.WriteByte('"')
		case text[i] == '"':
			return b.String(), text[i+1:], nil
		default:
			b.WriteByte(text[i])
		}
	}
	return "", "", errors.New("its quote is not closed")
}

// flagOption tells why an option without a value, or with one that it cannot
// have, is refused. Of those that ssh-keygen knows none is supported.
func flagOption(name string) error {
	switch name {
	case "cert-authority":
		return errors.New("option cert-authority: signatures by certificates are not supported")
	case "namespaces", "valid-after", "valid-before":
		return fmt.Errorf("option %s has no value", name)
	}
	return fmt.Errorf("unknown option %.40q", name)
}

func (e *allowedSigner) setOption(name, value string) (err error) {
	again := false
	switch name {
	case "namespaces":
		again, e.limited = e.limited, true
		e.namespaces = value
	case "valid-after":
		again = !e.after.IsZero()
		e.after, err = parseSSHTime(value)
	case "valid-before":
		again = !e.before.IsZero()
		e.before, err = parseSSHTime(value)
	default:
		return flagOption(name)
	}
	switch {
	case err != nil:
		return fmt.Errorf("option %s: %w", name, err)
	case again:
		return fmt.Errorf("option %s is there twice", name)
	case !e.after.IsZero() && !e.before.IsZero() && !e.after.Before(e.before):
		return errors.New("valid-after is not before valid-before")
	}
	return nil
}

// parseSSHTime reads YYYYMMDD or YYYYMMDDHHMM[SS], with a Z in UTC and without
// one in the system's time zone.
func parseSSHTime(s string) (time.Time, error) {
	digits, zone := s, time.Local
	if z, ok := strings.CutSuffix(s, "Z"); ok {
		digits, zone = z, time.UTC
	}
	layout := ""
	switch len(digits) {
	case 8:
		layout = "20060102"
	case 12:
		layout = "200601021504"
	case 14:
		layout = "20060102150405"
	default:
		return time.Time{}, fmt.Errorf("%.40q is not a time: write YYYYMMDD[HHMM[SS]][Z]", s)
	}
	t, err := time.ParseInLocation(layout, digits, zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("%.40q is not a time: write YYYYMMDD[HHMM[SS]][Z]", s)
	}
	return t, nil
}

// allows reports whether the line lets its key sign. Both times are inclusive,
// as for ssh-keygen.
func (e *allowedSigner) allows(namespace, principal string, now time.Time) error {
	switch {
	case principal != "" && !matchPatterns(e.principals, principal):
		return fmt.Errorf("%w for principal %.60q", ErrUnknownKey, principal)
	case e.limited && !matchPatterns(e.namespaces, namespace):
		return fmt.Errorf("%w %q: the line allows %.60q", ErrNamespace, namespace, e.namespaces)
	case !e.after.IsZero() && now.Before(e.after):
		return fmt.Errorf("%w: valid from %s", ErrUnusableKey, e.after.UTC().Format(time.RFC3339))
	case !e.before.IsZero() && now.After(e.before):
		return fmt.Errorf("%w: valid until %s", ErrExpiredKey, e.before.UTC().Format(time.RFC3339))
	}
	return nil
}

// matchPatterns implements pattern lists (ssh_config(5), PATTERNS): commas
// between, "*" and "?", and a pattern after "!" excludes what it matches.
func matchPatterns(list, s string) bool {
	found := false
	for pattern := range strings.SplitSeq(list, ",") {
		pattern, not := strings.CutPrefix(pattern, "!")
		if !matchWildcards(pattern, s) {
			continue
		}
		if not {
			return false
		}
		found = true
	}
	return found
}

// matchWildcards goes back to the last star only, which is enough, so that the
// time is at most the product of the lengths.
func matchWildcards(pattern, s string) bool {
	p, i, star, from := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
