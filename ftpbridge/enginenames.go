package ftpbridge

import (
	"net/url"
	"strings"
	"unicode"
)

// printable shows raw bytes of a source to people: what is not printable UTF-8
// is escaped, so that no name can move the cursor or break a line.
func printable(raw string) string {
	var b strings.Builder
	for i, r := range raw {
		switch {
		case r == unicode.ReplacementChar && !strings.HasPrefix(raw[i:], "\uFFFD"):
			writeEscaped(&b, raw[i])
		case r == '\\':
			b.WriteString(`\\`)
		case !unicode.IsPrint(r):
			for _, c := range []byte(string(r)) {
				writeEscaped(&b, c)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

func writeEscaped(b *strings.Builder, c byte) {
	const digits = "0123456789abcdef"
	b.WriteString(`\x`)
	b.WriteByte(digits[c>>4])
	b.WriteByte(digits[c&15])
}

// plain makes an error's text one line for the ledger and reports.
func plain(err error) string {
	const limit = 1000 // bytes; messages quote servers
	s := strings.Join(strings.Fields(err.Error()), " ")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "") + "..."
	}
	return s
}

// plainURL is a source's URL without user and password.
func plainURL(s Source) string {
	u := *s.URL
	u.User = nil
	return u.String()
}

// fileURL is the URL of a file without user and password; path is raw bytes.
func fileURL(base, path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.TrimSuffix(base, "/") + "/" + strings.Join(parts, "/")
}
