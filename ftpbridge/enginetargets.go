package ftpbridge

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/maphash"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"gateway/listing"
	"gateway/storage"
)

// namer gives what is on the source its names in the destination. They do not
// depend on the order in which a server lists things.
type namer struct {
	caseSensitive bool
	fold          cases.Caser
	seed          maphash.Seed
	// wanted leaves out those that do not come to the destination.
	wanted func(Found) bool
	// held reports whether an entry has had this name since an earlier run.
	held func(f Found, target string) (bool, error)
}

// destFolder is a folder in the destination with the names in it for which
// several on the source compete. Usually there is none.
type destFolder struct {
	*namer
	target string
	owners map[string]rival // by key
}

// rival is an entry that would have a name.
type rival struct {
	raw, version      string
	held, link, exact bool
}

// folder settles who has which name in a folder.
func (n *namer) folder(target string, entries iter.Seq[Found]) (*destFolder, error) {
	d := &destFolder{namer: n, target: target}
	var hashes []uint32
	for f := range entries {
		if key, ok := d.competes(f); ok {
			hashes = append(hashes, uint32(maphash.String(n.seed, key)))
		}
	}
	twice := repeatedHashes(hashes)
	if len(twice) == 0 {
		return d, nil
	}
	d.owners = make(map[string]rival)
	for f := range entries {
		key, ok := d.competes(f)
		if !ok || !twice[uint32(maphash.String(n.seed, key))] {
			continue
		}
		name, _ := safeName(f.Entry.Name, f.Entry.RawName, d.room())
		r := rival{
			raw: f.Entry.RawName, version: f.Entry.Version,
			link: f.Entry.Type == listing.Link, exact: f.Entry.RawName == name,
		}
		var err error
		if r.held, err = n.held(f, storage.Join(target, name)); err != nil {
			return nil, err
		}
		if owner, taken := d.owners[key]; !taken || r.before(owner) {
			d.owners[key] = r
		}
	}
	return d, nil
}

// before reports whether r rather than o has the name for which both compete.
func (r rival) before(o rival) bool {
	switch {
	case r.held != o.held:
		return r.held
	case r.link != o.link:
		return o.link
	case r.exact != o.exact:
		return r.exact
	case r.raw != o.raw:
		return r.raw < o.raw
	case len(r.version) != len(o.version): // numbers
		return len(r.version) > len(o.version)
	}
	return r.version > o.version
}

func (d *destFolder) competes(f Found) (key string, ok bool) {
	if f.Entry.Type == listing.Other || !d.wanted(f) {
		return "", false
	}
	name, fault := safeName(f.Entry.Name, f.Entry.RawName, d.room())
	return d.key(name), fault == ""
}

// key is the same for names that the destination takes for the same.
func (n *namer) key(name string) string {
	if n.caseSensitive {
		return name
	}
	return norm.NFC.String(n.fold.String(name))
}

// room is how many bytes a name in the folder may have.
func (d *destFolder) room() int {
	return min(storage.MaxElement, storage.MaxName-len(d.target)-1)
}

// name gives the target of an entry, or why it has none.
func (d *destFolder) name(e listing.Entry) (target, fault string) {
	name, fault := safeName(e.Name, e.RawName, d.room())
	if fault != "" {
		return "", fault
	}
	if o, ok := d.owners[d.key(name)]; ok && (o.raw != e.RawName || o.version != e.Version) {
		if o.raw == e.RawName {
			return "", "its name in the destination would be that of version " + printable(o.version)
		}
		return "", "its name in the destination would be that of " + printable(o.raw)
	}
	target, err := storage.CleanName(storage.Join(d.target, name))
	if err != nil {
		return "", "its name cannot be used: " + plain(err)
	}
	return target, ""
}

const (
	// nameMark is how many bytes of the hash of its raw bytes mark a name that was cut.
	nameMark = 6
	// maxExtension is how long an extension is kept when a name is cut, in bytes.
	maxExtension = 16
)

// safeName is the name in the destination: the decoded one in NFC where that can
// be stored. Otherwise
//
//   - control characters, slashes, and "%" with them are written as %XX, one for
//     each byte of their UTF-8, as in URLs; of "." and "..", and of names that the
//     gateway reserves, the first character;
//   - a name of more than room bytes is cut before its extension and marked with
//     "~" and twelve hexadecimal digits of the SHA-256 of its raw bytes.
//
// The ledger keeps the raw bytes of each name beside its target, the report
// lists both.
func safeName(decoded, raw string, room int) (name, fault string) {
	if decoded == "" {
		decoded = strings.ToValidUTF8(raw, "%")
	}
	name = norm.NFC.String(decoded)
	if strings.ContainsFunc(name, unfit) {
		name = escapeName(name, unfit)
	}
	if len(name) <= room {
		if storage.ValidElement(name) {
			return name, ""
		}
		first := true
		name = escapeName(name, func(r rune) bool {
			was := first
			first = false
			return was || unfit(r)
		})
	}
	if len(name) > room {
		name = cutName(name, raw, room)
	}
	if !storage.ValidElement(name) {
		return "", "no name of at most " + fmt.Sprint(max(room, 0)) + " bytes can be made of it; its folders' names are too long together"
	}
	return name, ""
}

// unfit is what storage.CleanName refuses in an element.
func unfit(r rune) bool {
	return r == '/' || unicode.Is(unicode.Cc, r) || r == '\u2028' || r == '\u2029'
}

func escapeName(name string, unfit func(rune) bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for _, r := range name {
		if !unfit(r) && r != '%' {
			b.WriteRune(r)
			continue
		}
		for _, c := range []byte(string(r)) {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		}
	}
	return b.String()
}

// cutName gives "" where room is too small.
func cutName(name, raw string, room int) string {
	ext := ""
	if i := strings.LastIndexByte(name, '.'); i > 0 && len(name)-i <= maxExtension {
		ext = name[i:]
	}
	sum := sha256.Sum256([]byte(raw))
	mark := "~" + hex.EncodeToString(sum[:nameMark])
	stem := room - len(mark) - len(ext)
	if stem < 1 {
		return ""
	}
	for stem > 0 && !utf8.RuneStart(name[stem]) {
		stem--
	}
	return name[:stem] + mark + ext
}

// renamed says why a target is not the name on the source as people see it; both
// are paths under the root.
func renamed(shown, target string) string {
	if norm.NFC.String(shown) == target {
		return "its bytes on the source are not this name in UTF-8 (NFC)"
	}
	return "its name cannot be used as it is: unusable characters are written as %XX, what is too long is cut and marked with ~ and a hash"
}
