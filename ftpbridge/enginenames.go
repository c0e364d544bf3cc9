package ftpbridge

import (
	"net/url"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"gateway/storage"
)

// folders remembers, for the folders on the way of a walk, their names in the
// destination and which of their names are taken. Its memory is that of the
// listings on the way, as Walk's own.
type folders struct {
	fold  bool // the destination takes "A" and "a" for the same
	stack []folder
}

type folder struct {
	target string
	taken  map[string]string // key of a name in the destination -> raw name on the source
}

func newFolders(root string, caseSensitive bool) *folders {
	f := &folders{fold: !caseSensitive}
	f.stack = []folder{{target: root, taken: map[string]string{}}}
	return f
}

// leave goes back up until an entry of this depth (1 for the root's) fits in.
func (f *folders) leave(depth int) { f.stack = f.stack[:min(depth, len(f.stack))] }

// enter goes down into a folder that name gave a target for.
func (f *folders) enter(target string) {
	f.stack = append(f.stack, folder{target: target, taken: map[string]string{}})
}

// name gives the target of an entry in the present folder, or why it has none.
func (f *folders) name(decoded, raw string) (target, fault string) {
	here := &f.stack[len(f.stack)-1]
	if strings.Contains(decoded, "/") {
		return "", "its name has a slash in it"
	}
	// Elsewhere a "." would be dropped and a blank name be the folder itself.
	if decoded == "" || decoded == "." || decoded == ".." {
		return "", "its name cannot be used"
	}
	target = decoded
	if here.target != "" {
		target = here.target + "/" + decoded
	}
	clean, err := storage.CleanName(target)
	if err != nil {
		return "", "its name cannot be used: " + plain(err)
	}
	key := clean[strings.LastIndexByte(clean, '/')+1:]
	if f.fold {
		key = norm.NFC.String(cases.Fold().String(key))
	}
	if other, ok := here.taken[key]; ok {
		return "", "its name in the destination would be that of " + printable(other)
	}
	here.taken[key] = raw
	return clean, ""
}

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
