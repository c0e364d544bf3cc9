package integrity

import (
	"bytes"
	"strings"
)

// Format names a format of manifests.
type Format string

// The formats that ParseManifest reads.
const (
	// FormatGNU is what coreutils' sha256sum and its relatives write (GNU
	// coreutils manual, "cksum output modes"):
	//
	//	<hex>  <name>          text marker
	//	<hex> *<name>          binary marker
	//	\<hex>  <name>         with \\, \n and \r escaped in the name
	//
	// Exactly two characters stand between a digest and its name. Empty lines
	// and lines that begin with "#" are skipped, as "sha256sum -c" does. Under
	// BLAKE2b, digests of 256 and 384 bits are what "b2sum -l" writes.
	FormatGNU Format = "gnu"
	// FormatBSD is the form of the BSDs, of OpenBSD's SHA256 files and of
	// coreutils' --tag, whose leading backslash and escapes are read as well:
	//
	//	SHA256 (<name>) = <hex, or base64 as of OpenBSD's "cksum -b">
	//
	// Lines of GNU, BSD and OpenSSL may stand in one manifest, which then is of
	// the format of the first.
	FormatBSD Format = "bsd"
	// FormatFedora is BSD with comments that tell sizes, "# <name>: <n> bytes".
	FormatFedora Format = "fedora"
	// FormatOpenSSL is what "openssl dgst" writes, "SHA2-256(<name>)= <hex>",
	// or "SHA256(<name>)= <hex>" before version 3. It has no escapes.
	FormatOpenSSL Format = "openssl"
	// FormatZero is GNU or BSD lines without escapes that each end in a NUL, as
	// "md5sum -z" writes them. It has no comments and no empty lines.
	FormatZero Format = "zero"
	// FormatBare is a side file of one line with a digest alone, which is about
	// the file whose name the side file bears and about no other. See
	// ManifestOptions.Subject.
	FormatBare Format = "bare"
	// FormatColon is "<name>: <hex>", as some instruments write their side files.
	FormatColon Format = "colon"
	// FormatSFV is "<name> <hex of CRC-32>" with comments that begin with ";".
	// Blanks and tabs before the digest are padding, so that a name that ends in
	// one cannot be written. Backslashes are bytes of a name like any other.
	FormatSFV Format = "sfv"
	// FormatMetalink is Metalink 4 (RFC 5854).
	FormatMetalink Format = "metalink"
	// FormatRelease is Debian's Release file, or the text that the signature of
	// an InRelease file covers (Debian wiki, "DebianRepository/Format").
	FormatRelease Format = "release"
)

func (f Format) known() bool {
	switch f {
	case FormatGNU, FormatBSD, FormatFedora, FormatOpenSSL, FormatZero, FormatBare, FormatColon, FormatSFV, FormatMetalink, FormatRelease:
		return true
	}
	return false
}

// sniff decides between the formats of lines, NUL-terminated lines and XML, and
// takes what the name tells. What it cannot tell is left to detect.
func (p *manifestParser) sniff() {
	// An error of the reader comes again when the bytes are read.
	start, _ := p.r.Peek(min(p.limits.Line, 4<<10))
	if p.m.format == "" {
		p.m.format = formatFromName(p.options.Name)
	}
	if p.m.format == "" {
		text := bytes.TrimLeft(start, " \t\r\n")
		switch {
		case bytes.HasPrefix(text, []byte("<?xml")), bytes.HasPrefix(text, []byte("<metalink")):
			p.m.format = FormatMetalink
		case bytes.HasPrefix(start, []byte("\xff\xfe")), bytes.HasPrefix(start, []byte("\xfe\xff")):
			// UTF-16 is full of NULs; readLine says so.
		case bytes.IndexByte(start, 0) >= 0:
			// In any other format a NUL is refused, so there is nothing to
			// confuse this with. A NUL that comes later is refused too.
			p.m.format = FormatZero
		}
	}
	if p.m.format == FormatZero {
		p.end = 0
	}
}

func formatFromName(name string) Format {
	base := name[strings.LastIndexByte(name, '/')+1:]
	lower := strings.ToLower(base)
	switch {
	case strings.HasSuffix(lower, ".sfv"):
		return FormatSFV
	case strings.HasSuffix(lower, ".meta4"):
		return FormatMetalink
	case base == "Release", base == "InRelease":
		return FormatRelease
	}
	return ""
}

// detect tells the format by the first line that says something.
func (p *manifestParser) detect(line []byte) error {
	crc := p.plain == nil || p.plain.name == CRC32
	switch {
	case line[0] == ';' && crc:
		p.m.format = FormatSFV
	case isReleaseField(line):
		p.m.format = FormatRelease
	default:
		d := p.digestLine(line)
		switch {
		case d.form != "":
			p.m.format = d.form
		case crc && isSFV(line):
			p.m.format = FormatSFV
		default:
			return p.unknownLine(line)
		}
	}
	return nil
}

func (p *manifestParser) unknownLine(line []byte) error {
	if allHex(line) {
		return p.fail(ErrManifestSyntax, "a digest without a name, and nothing tells of which file it is")
	}
	return p.fail(ErrManifestSyntax, `%.80q is neither "HEX  NAME" nor "SHA256 (NAME) = HEX"`, line)
}
