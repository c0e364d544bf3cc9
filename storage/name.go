package storage

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds of a name, after normalisation.
const (
	MaxElement = 255  // bytes in one element, the NAME_MAX of Linux
	MaxName    = 4096 // bytes in a whole name
	MaxDepth   = 255  // elements in a name; what bounds every recursion over a tree
)

// StagingName is reserved for staged uploads at the root of a backend. No element
// of a name may be equal to it, in any case or spelling that a file system takes
// for the same.
const StagingName = ".gateway-staging"

// PageName is reserved in the same way, for what the page for browsers has beside the files: its
// login, its assets, its uploads. It is where no file can be.
const PageName = ".gateway"

// CleanName turns a path as protocols send it into the one spelling that the rest
// of the gateway uses, or fails with [ErrName].
//
//   - Leading and trailing slashes are dropped, "//" counts as "/", and "." elements
//     are dropped. "", "/" and "." are the root, "".
//   - ".." is refused: resolve it where the protocol allows it, against what the
//     client was told, never here.
//   - The name must be valid UTF-8 and is normalised to NFC, because macOS
//     clients send NFD and mean the same file.
//   - Refused are NUL, the control characters (C0, DEL, C1), the line and paragraph
//     separators, [StagingName], [PageName], and whatever passes the bounds above.
//
// CleanName(CleanName(x)) is CleanName(x).
func CleanName(name string) (string, error) {
	if plain(name) { // most are, and each goes through here several times
		return name, nil
	}
	return cleaned(name)
}

// cleaned is CleanName for every name.
func cleaned(name string) (string, error) {
	// NFC is at most three times shorter than what it came from.
	if len(name) > 3*MaxName {
		return "", badName(name, "longer than %d bytes", MaxName)
	}
	if !utf8.ValidString(name) {
		return "", badName(name, "not valid UTF-8")
	}
	name = norm.NFC.String(name)
	elements := strings.FieldsFunc(name, func(r rune) bool { return r == '/' })
	kept := elements[:0]
	for _, element := range elements {
		if element == "." {
			continue
		}
		if fault := elementFault(element); fault != "" {
			return "", badName(name, "%s", fault)
		}
		kept = append(kept, element)
	}
	if len(kept) > MaxDepth {
		return "", badName(name, "more than %d folders deep", MaxDepth)
	}
	clean := strings.Join(kept, "/")
	if len(clean) > MaxName {
		return "", badName(name, "longer than %d bytes", MaxName)
	}
	return clean, nil
}

// plain reports whether name is certain to be clean, at a glance: printable ASCII, no element that
// begins with a dot, and nothing to drop. The root is not.
func plain(name string) bool {
	if len(name) > MaxName {
		return false
	}
	depth, start := 1, 0 // of the element
	for i := range len(name) {
		switch c := name[i]; {
		case c == '/':
			if i == start || i-start > MaxElement {
				return false
			}
			depth, start = depth+1, i+1
		case c < ' ' || c >= 0x7f, c == '.' && i == start:
			return false
		}
	}
	last := len(name) - start
	return last > 0 && last <= MaxElement && depth <= MaxDepth
}

// ValidElement reports whether element can stand in a clean name as it is:
// what a listing may show, since a client could not name anything else.
func ValidElement(element string) bool {
	if plain(element) && !strings.Contains(element, "/") {
		return true
	}
	return element != "" && element != "." && !strings.Contains(element, "/") &&
		utf8.ValidString(element) && norm.NFC.IsNormalString(element) && elementFault(element) == ""
}

func elementFault(element string) string {
	switch {
	case element == "..":
		return `".." is not allowed`
	case len(element) > MaxElement:
		return fmt.Sprintf("an element is longer than %d bytes", MaxElement)
	case strings.ContainsFunc(element, isControl):
		return "it has a control character"
	case isReserved(element):
		return fmt.Sprintf("%q and %q are reserved", StagingName, PageName)
	}
	return ""
}

func isControl(r rune) bool {
	return unicode.Is(unicode.Cc, r) || r == '\u2028' || r == '\u2029'
}

// isReserved compares as the most lenient file systems do: case folded, in
// compatibility form, and without the characters that they ignore (HFS+ and ext4
// with casefold skip zero-width joiners and their like, FAT a dot or blank at the end).
func isReserved(element string) bool {
	if len(element) < len(PageName) {
		return false
	}
	element = strings.TrimRight(element, ". ")
	if strings.IndexFunc(element, func(r rune) bool { return r >= utf8.RuneSelf }) < 0 {
		return strings.EqualFold(element, StagingName) || strings.EqualFold(element, PageName)
	}
	visible := strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
			return -1
		}
		return r
	}, element)
	plain := norm.NFKC.String(visible)
	return strings.EqualFold(plain, StagingName) || strings.EqualFold(plain, PageName)
}

func badName(name, format string, args ...any) error {
	const shown = 80 // enough to recognise it; names come from strangers
	if len(name) > shown {
		name = strings.ToValidUTF8(name[:shown], "") + "..."
	}
	return fmt.Errorf("name %+q: %s: %w", name, fmt.Sprintf(format, args...), ErrName)
}

// Split divides a clean name into its parent and its last element.
func Split(name string) (parent, base string) {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "", name
}

// Join is the clean name of element in dir; either may be "".
func Join(dir, element string) string {
	switch {
	case dir == "":
		return element
	case element == "":
		return dir
	}
	return dir + "/" + element
}

// Within reports whether name is dir or lies beneath it.
func Within(name, dir string) bool {
	return dir == "" || name == dir || strings.HasPrefix(name, dir+"/")
}
