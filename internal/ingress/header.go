package ingress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// The PROXY protocol, versions 1 and 2, as HAProxy's proxy-protocol.txt of 2020/03/05 has it: what a balancer sends before
// the first byte of a connection, to say whose it is. It is read strictly, and not a byte further: what follows is the client's.

// Bounds of a header, in bytes.
const (
	// maxV1 is the longest line of version 1 with its end (section 2.1).
	maxV1 = 107
	// maxV2 is the longest that is taken of version 2, which may have 65,551. Balancers send addresses and a few TLVs.
	maxV2 = 4096
)

// signature begins a header of version 2 (section 2.2).
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// local is a header of version 2 of a connection that is the sender's own.
const local = signature + "\x20\x00\x00\x00"

var errHeader = errors.New("it is no header of the PROXY protocol")

// header is what a balancer said.
type header struct {
	from  netip.AddrPort // of the client; not valid: the balancer did not say
	local bool           // the balancer made the connection for itself, to see whether we are there
}

// readHeader reads one header. Errors that are not the reader's wrap errHeader.
func readHeader(r io.Reader) (header, error) {
	var begin [len(signature)]byte // what both versions have at least
	if _, err := io.ReadFull(r, begin[:]); err != nil {
		return header{}, err
	}
	switch {
	case string(begin[:]) == signature:
		return readV2(r)
	case strings.HasPrefix(string(begin[:]), "PROXY "):
		return readV1(r, begin[:])
	}
	return header{}, errHeader
}

// readV1 reads the rest of a line that begins so.
func readV1(r io.Reader, begin []byte) (header, error) {
	line := append(make([]byte, 0, maxV1), begin...)
	var one [1]byte
	for !bytes.HasSuffix(line, []byte("\r\n")) {
		if len(line) == maxV1 {
			return header{}, fmt.Errorf("%w: the line is longer than %d bytes", errHeader, maxV1)
		}
		if _, err := io.ReadFull(r, one[:]); err != nil { // byte by byte: what comes after it is not ours
			return header{}, err
		}
		line = append(line, one[0])
	}
	return parseV1(string(line[:len(line)-2]))
}

// parseV1 reads "PROXY TCP4 source destination port port", or "PROXY UNKNOWN" and whatever.
func parseV1(line string) (header, error) {
	words := strings.Split(line, " ")
	if words[1] == "UNKNOWN" {
		return header{}, nil
	}
	if len(words) != 6 {
		return header{}, fmt.Errorf("%w: it has %d words", errHeader, len(words))
	}
	source, err1 := addressV1(words[1], words[2], words[4])
	_, err2 := addressV1(words[1], words[3], words[5])
	if err := errors.Join(err1, err2); err != nil {
		return header{}, fmt.Errorf("%w: %w", errHeader, err)
	}
	return client(source)
}

func addressV1(family, text, port string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" || family != map[bool]string{true: "TCP4", false: "TCP6"}[addr.Is4()] {
		return netip.AddrPort{}, fmt.Errorf("%.10q %.60q is no address", family, text)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || strconv.FormatUint(n, 10) != port { // no sign, no zeros before it
		return netip.AddrPort{}, fmt.Errorf("%.10q is no port", port)
	}
	return netip.AddrPortFrom(addr, uint16(n)), nil
}

// client is the header of a relayed connection.
func client(from netip.AddrPort) (header, error) {
	addr := from.Addr().Unmap()
	if addr.IsUnspecified() || addr.IsMulticast() {
		return header{}, fmt.Errorf("%w: nobody comes from %s", errHeader, addr)
	}
	return header{from: netip.AddrPortFrom(addr, from.Port())}, nil
}

// Of version 2: the upper half of the 13th byte is the version, the lower one the command; the 14th the family.
const (
	versionAndLocal = 0x20
	versionAndProxy = 0x21
	familyUnknown   = 0x00
	familyTCP4      = 0x11
	familyTCP6      = 0x21
	tlvCRC32C       = 0x03
)

// readV2 reads what follows the signature.
func readV2(r io.Reader) (header, error) {
	whole := append(make([]byte, 0, 64), signature...)
	whole = append(whole, 0, 0, 0, 0)
	if _, err := io.ReadFull(r, whole[len(signature):]); err != nil {
		return header{}, err
	}
	command, family := whole[12], whole[13]
	length := int(binary.BigEndian.Uint16(whole[14:]))
	if len(whole)+length > maxV2 {
		return header{}, fmt.Errorf("%w: it has more than %d bytes", errHeader, maxV2)
	}
	head := len(whole)
	whole = append(whole, make([]byte, length)...)
	if _, err := io.ReadFull(r, whole[head:]); err != nil {
		return header{}, err
	}
	if command == versionAndLocal { // whatever else it has (section 2.2)
		return header{local: true}, nil
	}
	if command != versionAndProxy {
		return header{}, fmt.Errorf("%w: version and command %#x", errHeader, command)
	}
	from, rest, err := addressV2(family, whole[head:])
	if err != nil {
		return header{}, err
	}
	if err := checkTLVs(whole, len(whole)-len(rest)); err != nil {
		return header{}, err
	}
	if family == familyUnknown {
		return header{}, nil
	}
	return client(from)
}

// addressV2 reads the addresses and ports; rest is what follows them.
func addressV2(family byte, body []byte) (from netip.AddrPort, rest []byte, err error) {
	size := 0
	switch family {
	case familyUnknown:
		return from, nil, nil // its length is not known, so what is in it is skipped
	case familyTCP4:
		size = 4
	case familyTCP6:
		size = 16
	default:
		return from, nil, fmt.Errorf("%w: family and protocol %#x, which is not TCP", errHeader, family)
	}
	if len(body) < 2*size+4 {
		return from, nil, fmt.Errorf("%w: the addresses are cut short", errHeader)
	}
	addr, _ := netip.AddrFromSlice(body[:size])
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(body[2*size:])), body[2*size+4:], nil
}

// checkTLVs checks that those from an offset on are whole, and the checksum if there is one (section 2.2.3).
func checkTLVs(whole []byte, offset int) error {
	for offset < len(whole) {
		if len(whole)-offset < 3 {
			return fmt.Errorf("%w: a TLV is cut short", errHeader)
		}
		kind, n := whole[offset], int(binary.BigEndian.Uint16(whole[offset+1:]))
		offset += 3
		if len(whole)-offset < n {
			return fmt.Errorf("%w: a TLV is cut short", errHeader)
		}
		if kind == tlvCRC32C && !checksumHolds(whole, offset, n) {
			return fmt.Errorf("%w: its checksum does not hold", errHeader)
		}
		offset += n
	}
	return nil
}

// checksumHolds compares the CRC32C at an offset with that of the header, in which it counts as zeros.
func checksumHolds(whole []byte, offset, n int) bool {
	if n != crc32.Size {
		return false
	}
	blank := bytes.Clone(whole)
	clear(blank[offset : offset+n])
	return crc32.Checksum(blank, crc32.MakeTable(crc32.Castagnoli)) == binary.BigEndian.Uint32(whole[offset:])
}
