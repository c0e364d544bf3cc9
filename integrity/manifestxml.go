package integrity

import (
	"bufio"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Limits of a Metalink beside those of every manifest. The largest in use have
// a few hundred files and some ten thousand addresses of mirrors.
const (
	MaxMetalinkBytes = 16 << 20
	MaxMetalinkToken = 64 << 10 // bytes of one tag, text or comment, a signature's too
	MaxMetalinkDepth = 16       // elements within one another
	MaxMetalinkAttrs = 32       // attributes of one element
)

const metalinkSpace = "urn:ietf:params:xml:ns:metalink"

// metalinkHash is the algorithm of a hash's type, which is a name of IANA's
// registry "Hash Function Textual Names".
func metalinkHash(name string) Algorithm {
	switch name {
	case "sha-256":
		return SHA256
	case "sha-384":
		return SHA384
	case "sha-512":
		return SHA512
	case "sha-1":
		return SHA1
	case "md5":
		return MD5
	}
	return ""
}

// xmlInput counts what the XML decoder takes. It is a ByteReader so that the
// decoder does not read ahead, and one token can be held to its limit.
type xmlInput struct {
	r     *bufio.Reader
	total int64
	token int
	limit int64
	err   error // why it ended before its end
}

func (x *xmlInput) ReadByte() (byte, error) {
	c, err := x.r.ReadByte()
	if err != nil {
		if err != io.EOF { // a wrapped EOF is a transfer that broke off, not the end
			x.err = fmt.Errorf("integrity: read manifest: %w", err)
		}
		return 0, err
	}
	x.total++
	x.token++
	switch {
	case x.total > x.limit:
		x.err = fmt.Errorf("%w: more than %d bytes", ErrManifestTooLarge, x.limit)
	case x.token > MaxMetalinkToken:
		x.err = fmt.Errorf("%w: a tag or text of more than %d bytes", ErrManifestTooLarge, MaxMetalinkToken)
	default:
		return c, nil
	}
	return 0, x.err
}

// Read is what a Reader must have; the decoder prefers ReadByte.
func (x *xmlInput) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	c, err := x.ReadByte()
	if err != nil {
		return 0, err
	}
	b[0] = c
	return 1, nil
}

// metalinkParser follows the elements of a Metalink.
type metalinkParser struct {
	*manifestParser
	dec    *xml.Decoder
	in     *xmlInput
	path   []string // local names of the open elements, "" for foreign ones
	text   []byte   // of the element that is being read
	wanted bool     // whose text is kept
	root   bool     // the root element was there
	file   metalinkFile
	hash   Algorithm // of the hash element that is open
}

type metalinkFile struct {
	name   string
	hashes []metalinkSum
	size   int64 // -1 if not told
}

type metalinkSum struct {
	alg    *algorithmInfo
	digits string
	line   int
}

// readMetalink reads a Metalink 4 (RFC 5854): per file its name, which must be
// relative and clean as all names (section 4.1.2.1), its size, and its hashes of
// the types that this package computes; for the whole published and updated.
// Mirrors, pieces, signatures and foreign elements are skipped. Document type
// declarations, and with them all entities but the five of XML, are refused, and
// so are other encodings than UTF-8 and control characters in names.
func (p *manifestParser) readMetalink() error {
	x := &metalinkParser{manifestParser: p, in: &xmlInput{r: p.r, limit: min(p.limits.Bytes, MaxMetalinkBytes)}}
	x.dec = xml.NewDecoder(x.in)
	p.line = 1
	if start, _ := p.r.Peek(len(armorStart)); len(start) > 0 {
		if err := p.checkStart(start); err != nil {
			return err
		}
	}
	for {
		x.in.token = 0
		token, err := x.dec.Token()
		x.line, _ = x.dec.InputPos()
		switch {
		case x.in.err != nil && errors.Is(x.in.err, ErrManifestTooLarge):
			return &ManifestError{x.line, x.in.err}
		case x.in.err != nil:
			return x.in.err
		case err == io.EOF: //nolint:errorlint // a wrapped EOF is a transfer that broke off, not the end
			return x.finish()
		case err != nil:
			return x.fail(ErrManifestSyntax, "%.200v", err)
		}
		if err := x.token(token); err != nil {
			return err
		}
	}
}

func (x *metalinkParser) finish() error {
	if !x.root {
		return x.fail(ErrManifestSyntax, "no metalink element")
	}
	return nil
}

func (x *metalinkParser) token(token xml.Token) error {
	switch t := token.(type) {
	case xml.Directive:
		return x.fail(ErrManifestSyntax, "document type declarations are not allowed")
	case xml.StartElement:
		return x.start(t)
	case xml.EndElement:
		return x.close()
	case xml.CharData:
		return x.chars(t)
	}
	return nil
}

func (x *metalinkParser) chars(text []byte) error {
	switch {
	case len(x.path) == 0 && strings.Trim(string(text), " \t\r\n") != "":
		return x.fail(ErrManifestSyntax, "text outside the metalink element")
	case !x.wanted:
		return nil
	case len(x.text)+len(text) > MaxMetalinkToken:
		return x.fail(ErrManifestTooLarge, "a text of more than %d bytes", MaxMetalinkToken)
	}
	x.text = append(x.text, text...)
	return nil
}

func (x *metalinkParser) start(t xml.StartElement) error {
	switch {
	case len(x.path) >= MaxMetalinkDepth:
		return x.fail(ErrManifestTooLarge, "elements more than %d deep", MaxMetalinkDepth)
	case len(t.Attr) > MaxMetalinkAttrs:
		return x.fail(ErrManifestTooLarge, "more than %d attributes", MaxMetalinkAttrs)
	case x.wanted:
		return x.fail(ErrManifestSyntax, "an element within %s, which is a text", x.path[len(x.path)-1])
	}
	for i, a := range t.Attr {
		if slices.ContainsFunc(t.Attr[:i], func(b xml.Attr) bool { return a.Name == b.Name }) {
			return x.fail(ErrManifestSyntax, "the attribute %.40q comes twice", a.Name.Local)
		}
	}
	name := t.Name.Local
	if t.Name.Space != metalinkSpace {
		name = ""
	}
	if len(x.path) == 0 {
		return x.openRoot(name, t)
	}
	x.path = append(x.path, name)
	return x.open(t)
}

func (x *metalinkParser) openRoot(name string, t xml.StartElement) error {
	if x.root {
		return x.fail(ErrManifestSyntax, "a second root element")
	}
	if name != "metalink" {
		return x.fail(ErrManifestSyntax, "the root element is %.60q of %.60q, not metalink of %q", t.Name.Local, t.Name.Space, metalinkSpace)
	}
	x.root = true
	x.path = append(x.path, name)
	return nil
}

// at is where the open element stands, "" within foreign ones.
func (x *metalinkParser) at() string {
	if slices.Contains(x.path, "") {
		return ""
	}
	return strings.Join(x.path, "/")
}

func (x *metalinkParser) open(t xml.StartElement) error {
	switch x.at() {
	case "metalink/published", "metalink/updated", "metalink/file/size":
		x.wanted = true
	case "metalink/file":
		return x.openFile(t)
	case "metalink/file/hash":
		kind, _ := attribute(t, "type")
		x.hash = metalinkHash(kind)
		x.wanted = true
	}
	return nil
}

func (x *metalinkParser) openFile(t xml.StartElement) error {
	name, _ := attribute(t, "name")
	// XML turns a line feed or tab in an attribute into a blank, encoding/xml
	// does not: a name with one would be two names.
	if strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return x.fail(ErrManifestName, "%.80q has a control character", name)
	}
	x.file = metalinkFile{name: name, size: -1}
	return x.checkName([]byte(strings.TrimPrefix(name, "./")))
}

func attribute(t xml.StartElement, name string) (string, bool) {
	for _, a := range t.Attr {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value, true
		}
	}
	return "", false
}

func (x *metalinkParser) close() error {
	at := x.at()
	x.path = x.path[:len(x.path)-1]
	text := strings.Trim(string(x.text), " \t\r\n")
	x.text, x.wanted = x.text[:0], false
	switch at {
	case "metalink/published", "metalink/updated":
		return x.closeDate(text)
	case "metalink/file/size":
		size, ok := parseSize([]byte(text))
		switch {
		case !ok:
			return x.fail(ErrManifestSyntax, "%.40q is not a size", text)
		case x.file.size >= 0 && x.file.size != size:
			return x.fail(ErrManifestConflict, "%.80q has %d bytes here and %d before", x.file.name, size, x.file.size)
		}
		x.file.size = size
	case "metalink/file/hash":
		return x.closeHash(text)
	case "metalink/file":
		return x.closeFile()
	}
	return nil
}

// closeDate keeps the later date (RFC 5854, section 4.2: RFC 3339).
func (x *metalinkParser) closeDate(text string) error {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return x.fail(ErrManifestSyntax, "%.60q is not a date of RFC 3339", text)
	}
	if t = t.UTC(); t.After(x.m.date) {
		x.m.date = t
	}
	return nil
}

// closeHash notes a hash. One of a type that is not known says nothing here.
func (x *metalinkParser) closeHash(text string) error {
	if err := x.countEntry(); err != nil {
		return err
	}
	info := x.hash.lookup()
	if info == nil {
		return nil
	}
	for _, old := range x.file.hashes {
		if old.alg.name == info.name {
			if strings.EqualFold(old.digits, text) {
				return nil
			}
			return x.fail(ErrManifestConflict, "%.80q has another %s on line %d", x.file.name, info.name, old.line)
		}
	}
	x.file.hashes = append(x.file.hashes, metalinkSum{info, text, x.line})
	return nil
}

func (x *metalinkParser) closeFile() error {
	if len(x.file.hashes) == 0 {
		return nil
	}
	if err := x.setName([]byte(x.file.name)); err != nil {
		return err
	}
	end := x.line
	defer func() { x.line = end }()
	for _, sum := range x.file.hashes {
		x.line = sum.line
		head, err := x.add(sum.alg, []byte(sum.digits))
		if err == nil && x.file.size >= 0 {
			err = x.setSize(head, x.file.size)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
