package integrity

import (
	"bytes"
	"crypto"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Lines of a clear-signed file (RFC 9580, section 7).
const (
	beginClearSigned = "-----BEGIN PGP SIGNED MESSAGE-----"
	beginSignature   = "-----BEGIN PGP SIGNATURE-----"
	endSignature     = "-----END PGP SIGNATURE-----"
)

// maxHashHeaders bounds the Hash lines of a clear-signed file. Programs write
// one line at most.
const maxHashHeaders = 8

// VerifyClearSigned checks a file in OpenPGP's cleartext signature framework
// (RFC 9580, section 7) and returns the signed text, by the rules of
// VerifyDetached but for the type of the signature, which is that over text.
//
// The file must be one block: nothing before, behind or between its parts, no
// header but Hash, which if present must name the hash of the signature, and an
// empty line in front of the text. Every line of the text that begins with a
// dash must be escaped. What breaks these rules is ErrMalformedSignature.
//
// Only what the signature covers is returned: without the blanks and tabs at
// the ends of lines and with every line ended by LF, since a clear-signed
// text's line ends are not signed. The last line is ended too. The text is at
// most as long as the file, MaxClearSignedBytes.
func (k *Keyring) VerifyClearSigned(file io.Reader, now time.Time) ([]byte, Signer, error) {
	data, err := readBounded(file, MaxClearSignedBytes, ErrMessageTooLarge)
	if err != nil {
		return nil, Signer{}, err
	}
	signed, err := parseClearSigned(data)
	if err != nil {
		return nil, Signer{}, fmt.Errorf("%w: %w", ErrMalformedSignature, err)
	}
	packets, err := readSignatures(signed.signature)
	if err != nil {
		return nil, Signer{}, err
	}
	signer, err := k.verify(signed.canonical(), packets, signedFile{packet.SigTypeText, signed.hashes}, now)
	if err != nil {
		return nil, Signer{}, err
	}
	return signed.text, signer, nil
}

// clearSigned is a clear-signed file, taken apart.
type clearSigned struct {
	hashes    []crypto.Hash // of the Hash headers, nil if there are none
	text      []byte        // every line ended by LF; shares the file's memory
	signature []byte        // the armored block
}

// parseClearSigned overwrites data with the text, which is never longer.
func parseClearSigned(data []byte) (*clearSigned, error) {
	line, rest, err := cutTextLine(data)
	if err != nil {
		return nil, err
	}
	if string(line) != beginClearSigned {
		return nil, fmt.Errorf("it begins with %.60q, not with the line %s", line, beginClearSigned)
	}
	c := &clearSigned{}
	if rest, err = c.parseHeaders(rest); err != nil {
		return nil, err
	}
	if rest, err = c.parseText(data[:0], rest); err != nil {
		return nil, err
	}
	c.signature = rest
	_, behind, found := bytes.Cut(rest, []byte(endSignature))
	switch string(behind) {
	case "", "\n", "\r\n":
	default:
		return nil, fmt.Errorf("%.60q behind the line %s", behind, endSignature)
	}
	if !found {
		return nil, fmt.Errorf("no line %s", endSignature)
	}
	return c, nil
}

// cutTextLine cuts off a line that ends in LF or CRLF. A lone CR ends a line in
// the eyes of some programs and not of others.
func cutTextLine(data []byte) (line, rest []byte, err error) {
	line, rest, found := bytes.Cut(data, []byte("\n"))
	if !found {
		return nil, nil, fmt.Errorf("it ends within the line %.60q", line)
	}
	line = bytes.TrimSuffix(line, []byte("\r"))
	if bytes.IndexByte(line, '\r') >= 0 {
		return nil, nil, fmt.Errorf("a carriage return within the line %.60q", line)
	}
	return line, rest, nil
}

// parseHeaders reads up to and with the empty line. A line of blanks is not
// empty: a header that somebody takes for text, or text for a header, is how
// unsigned words get into a clear-signed file.
func (c *clearSigned) parseHeaders(data []byte) (rest []byte, err error) {
	for range maxHashHeaders + 1 {
		var line []byte
		if line, data, err = cutTextLine(data); err != nil {
			return nil, err
		}
		if len(line) == 0 {
			return data, nil
		}
		names, ok := strings.CutPrefix(string(line), "Hash: ")
		if !ok {
			return nil, fmt.Errorf("%.60q where only Hash headers and an empty line may be", line)
		}
		for name := range strings.SplitSeq(names, ",") {
			h, ok := hashByName(strings.Trim(name, " "))
			if !ok {
				return nil, fmt.Errorf("the Hash header names %.40q", name)
			}
			c.hashes = append(c.hashes, h)
		}
	}
	return nil, fmt.Errorf("more than %d Hash headers", maxHashHeaders)
}

// hashByName knows the text names of RFC 9580, section 9.5.
func hashByName(name string) (crypto.Hash, bool) {
	switch name {
	case "MD5":
		return crypto.MD5, true
	case "SHA1":
		return crypto.SHA1, true
	case "RIPEMD160":
		return crypto.RIPEMD160, true
	case "SHA224":
		return crypto.SHA224, true
	case "SHA256":
		return crypto.SHA256, true
	case "SHA384":
		return crypto.SHA384, true
	case "SHA512":
		return crypto.SHA512, true
	case "SHA3-256":
		return crypto.SHA3_256, true
	case "SHA3-512":
		return crypto.SHA3_512, true
	}
	return 0, false
}

// parseText appends the lines of the text to "to" and returns what follows,
// from the first line of the signature on.
func (c *clearSigned) parseText(to, data []byte) (rest []byte, err error) {
	for {
		var line []byte
		if line, rest, err = cutTextLine(data); err != nil {
			return nil, err
		}
		if len(line) > 0 && line[0] == '-' {
			if string(line) == beginSignature {
				break
			}
			unescaped, ok := bytes.CutPrefix(line, []byte("- "))
			if !ok {
				return nil, fmt.Errorf("the line %.60q of the text has no dash escape", line)
			}
			line = unescaped
		}
		to = append(append(to, bytes.TrimRight(line, " \t")...), '\n')
		data = rest
	}
	if len(to) > 1 {
		// One empty line and no line at all are signed alike.
		c.text = to
	}
	return data, nil
}

// canonical reads the text as it is signed: lines ended by CRLF but for the last.
func (c *clearSigned) canonical() io.Reader {
	return &canonicalReader{rest: bytes.TrimSuffix(c.text, []byte("\n"))}
}

type canonicalReader struct {
	rest []byte
	buf  []byte
	at   int
}

func (r *canonicalReader) Read(p []byte) (int, error) {
	if r.at == len(r.buf) {
		if len(r.rest) == 0 {
			return 0, io.EOF
		}
		r.fill()
	}
	n := copy(p, r.buf[r.at:])
	r.at += n
	return n, nil
}

func (r *canonicalReader) fill() {
	const window = 32 << 10
	part := r.rest[:min(window, len(r.rest))]
	r.rest = r.rest[len(part):]
	r.buf, r.at = slices.Grow(r.buf[:0], window), 0
	for len(part) > 0 {
		line, rest, found := bytes.Cut(part, []byte("\n"))
		r.buf = append(r.buf, line...)
		if found {
			r.buf = append(r.buf, '\r', '\n')
		}
		part = rest
	}
}
