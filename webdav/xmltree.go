package webdav

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds on an XML body. Names are bounded because answers repeat them, once
// per resource.
const (
	maxXMLBytes    = 256 << 10
	maxXMLDepth    = 32
	maxXMLElements = 4096
	maxXMLName     = 256 // bytes of a local name or a namespace
)

const contentTypeXML = "application/xml; charset=utf-8"

// errXML is an XML body that cannot be used; the answer is 400.
var errXML = errors.New("the XML is not acceptable")

// xmlName is a qualified XML name.
type xmlName struct{ space, local string }

func dav(local string) xmlName { return xmlName{"DAV:", local} }

// element is an XML element with its namespaces resolved. Comments and
// processing instructions are dropped.
type element struct {
	xmlName
	attrs []attr
	nodes []node
}

type attr struct {
	xmlName
	value string
}

// node is an element, or text where el is nil.
type node struct {
	el   *element
	text string
}

func (e *element) children() []*element {
	var els []*element
	for _, n := range e.nodes {
		if n.el != nil {
			els = append(els, n.el)
		}
	}
	return els
}

func (e *element) child(n xmlName) *element {
	for _, c := range e.children() {
		if c.xmlName == n {
			return c
		}
	}
	return nil
}

func (e *element) text() string {
	var b strings.Builder
	for _, n := range e.nodes {
		b.WriteString(n.text)
	}
	return strings.TrimSpace(b.String())
}

// inheritLang gives the element the xml:lang of the nearest of those above it, unless it has one.
func (e *element) inheritLang(above ...*element) {
	for _, from := range append([]*element{e}, above...) {
		for _, a := range from.attrs {
			if a.xmlName != (xmlName{xmlNamespace, "lang"}) {
				continue
			}
			if from != e {
				e.attrs = append(e.attrs, a)
			}
			return
		}
	}
}

// body parses the XML body of the request; nil where there is none.
func (q *request) body() (*element, error) {
	if q.ContentLength > maxXMLBytes {
		q.w.Header().Set("Connection", "close") // net/http would read some of it first
		return nil, &http.MaxBytesError{Limit: maxXMLBytes}
	}
	data, err := io.ReadAll(http.MaxBytesReader(q.w, q.Body, maxXMLBytes))
	if err != nil {
		return nil, bodyError(err)
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, nil
	}
	root, err := parseXML(data)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, err.Error())
	}
	return root, nil
}

// parseXML parses a document. The decoder's own name handling is not used: it
// accepts undeclared prefixes and prefixes bound to nothing, which RFC 4918
// section 8.2 (XML namespaces) forbids. Document type declarations are refused,
// so there are no entities to expand.
func parseXML(data []byte) (*element, error) {
	p := xmlParser{dec: xml.NewDecoder(bytes.NewReader(data))}
	for {
		tok, err := p.dec.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%w: it is not well-formed", errXML)
		}
		if err := p.token(tok); err != nil {
			return nil, fmt.Errorf("%w: %w", errXML, err)
		}
	}
	if p.root == nil || len(p.open) > 0 {
		return nil, fmt.Errorf("%w: it ends early", errXML)
	}
	return p.root, nil
}

type xmlParser struct {
	dec   *xml.Decoder
	root  *element
	open  []openElement
	count int
}

// openElement is an element whose end tag was not seen, with the prefixes it declares.
type openElement struct {
	*element
	raw    xml.Name
	spaces map[string]string
}

func (p *xmlParser) token(tok xml.Token) error {
	switch t := tok.(type) {
	case xml.StartElement:
		return p.start(t)
	case xml.EndElement:
		if len(p.open) == 0 || p.open[len(p.open)-1].raw != t.Name {
			return errors.New("an end tag does not match")
		}
		p.open = p.open[:len(p.open)-1]
	case xml.CharData:
		if len(p.open) > 0 {
			top := p.open[len(p.open)-1]
			top.nodes = append(top.nodes, node{text: string(t)})
		} else if len(bytes.TrimSpace(t)) > 0 {
			return errors.New("there is text outside the root element")
		}
	case xml.Directive:
		return errors.New("document type declarations are not allowed")
	}
	return nil
}

func (p *xmlParser) start(t xml.StartElement) error {
	if p.count++; p.count > maxXMLElements || len(p.open) >= maxXMLDepth {
		return errors.New("it has too many elements or levels")
	}
	if p.root != nil && len(p.open) == 0 {
		return errors.New("it has two root elements")
	}
	el := openElement{element: &element{}, raw: t.Name, spaces: map[string]string{}}
	for _, a := range t.Attr {
		prefix, ok := declaration(a)
		if !ok {
			continue
		}
		if prefix != "" && a.Value == "" || len(a.Value) > maxXMLName || a.Value == xmlnsNamespace {
			return errors.New("a namespace is empty, too long or reserved")
		}
		el.spaces[prefix] = a.Value
	}
	p.open = append(p.open, el)
	var err error
	if el.xmlName, err = p.resolve(t.Name, true); err != nil {
		return err
	}
	twice := make(map[xmlName]bool, len(t.Attr))
	for _, a := range t.Attr {
		if _, ok := declaration(a); ok {
			continue
		}
		n, err := p.resolve(a.Name, false)
		if err != nil {
			return err
		}
		if twice[n] { // answers would not be XML
			return errors.New("an attribute is there twice")
		}
		twice[n] = true
		el.attrs = append(el.attrs, attr{n, a.Value})
	}
	if len(p.open) == 1 {
		p.root = el.element
	} else {
		up := p.open[len(p.open)-2]
		up.nodes = append(up.nodes, node{el: el.element})
	}
	return nil
}

// declaration returns the prefix that an xmlns attribute declares.
func declaration(a xml.Attr) (prefix string, ok bool) {
	if a.Name.Space == "xmlns" {
		return a.Name.Local, true
	}
	return "", a.Name.Space == "" && a.Name.Local == "xmlns"
}

// The namespaces of the prefixes xml and xmlns, which can have no other prefix.
const (
	xmlNamespace   = "http://www.w3.org/XML/1998/namespace"
	xmlnsNamespace = "http://www.w3.org/2000/xmlns/"
)

func (p *xmlParser) resolve(n xml.Name, isElement bool) (xmlName, error) {
	if len(n.Local) > maxXMLName || n.Local == "" || strings.Contains(n.Local, ":") {
		return xmlName{}, errors.New("a name is empty, too long or has two colons")
	}
	// The decoder has looked at the whole name, and not at what follows the prefix.
	if first, _ := utf8.DecodeRuneInString(n.Local); first != '_' && !unicode.In(first, unicode.Ll, unicode.Lu, unicode.Lo, unicode.Lt, unicode.Nl) {
		return xmlName{}, errors.New("a name begins with what is no letter")
	}
	if n.Space == "" && !isElement {
		return xmlName{"", n.Local}, nil // attributes take no default namespace
	}
	if n.Space == "xml" {
		return xmlName{xmlNamespace, n.Local}, nil
	}
	for i := len(p.open) - 1; i >= 0; i-- {
		if space, ok := p.open[i].spaces[n.Space]; ok {
			return xmlName{space, n.Local}, nil
		}
	}
	if n.Space == "" {
		return xmlName{"", n.Local}, nil
	}
	return xmlName{}, errors.New("a prefix is not declared")
}

func escapeXML(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}

// tags returns a start tag that stands by itself wherever it is put, and its end
// tag, without the angle brackets. DAV: has the prefix D throughout the package.
func (n xmlName) tags() (open, shut string) {
	switch n.space {
	case "DAV:":
		return "D:" + n.local, "D:" + n.local
	case "":
		return n.local, n.local
	case xmlNamespace:
		return "xml:" + n.local, "xml:" + n.local
	}
	return `n:` + n.local + ` xmlns:n="` + escapeXML(n.space) + `"`, "n:" + n.local
}

// writeElement writes an element so that it can be put into another document
// in which D is the prefix of DAV: and no default namespace is set.
func writeElement(b *strings.Builder, e *element) {
	open, shut := e.tags()
	b.WriteString("<" + open)
	for i, a := range e.attrs {
		switch a.space {
		case "":
			b.WriteString(" " + a.local)
		case xmlNamespace:
			b.WriteString(" xml:" + a.local)
		default:
			fmt.Fprintf(b, ` xmlns:a%d="%s" a%d:%s`, i, escapeXML(a.space), i, a.local)
		}
		b.WriteString(`="` + escapeXML(a.value) + `"`)
	}
	b.WriteString(">")
	writeContent(b, e)
	b.WriteString("</" + shut + ">")
}

func writeContent(b *strings.Builder, e *element) {
	for _, n := range e.nodes {
		if n.el != nil {
			writeElement(b, n.el)
		} else {
			b.WriteString(escapeXML(n.text))
		}
	}
}
