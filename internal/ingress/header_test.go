package ingress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// v2 is a header of version 2.
func v2(command, family byte, body ...byte) string {
	h := append([]byte(signature), command, family)
	return string(append(binary.BigEndian.AppendUint16(h, uint16(len(body))), body...))
}

// tcp4 are the addresses 192.0.2.7:4660 and 198.51.100.1:443.
var tcp4 = []byte{192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x34, 0x01, 0xbb} //nolint:gochecknoglobals // as a constant

// tcp6 is 2001:db8::7:4660 and ::1.
func tcp6(source string) []byte {
	b := append([]byte(source), make([]byte, 36-len(source))...)
	binary.BigEndian.PutUint16(b[32:], 0x1234)
	return b
}

// summed is a header with its checksum.
func summed(body []byte) string {
	body = append(body, tlvCRC32C, 0, 4, 0, 0, 0, 0)
	h := []byte(v2(versionAndProxy, familyTCP4, body...))
	binary.BigEndian.PutUint32(h[len(h)-4:], crc32.Checksum(h, crc32.MakeTable(crc32.Castagnoli)))
	return string(h)
}

func with(addresses []byte, more ...byte) []byte { return append(bytes.Clone(addresses), more...) }

func TestHeader(t *testing.T) {
	broken := []byte(summed(bytes.Clone(tcp4)))
	broken[len(broken)-1] ^= 1
	for name, c := range map[string]struct{ in, want string }{
		"TCP4":                  {"PROXY TCP4 192.0.2.7 198.51.100.1 4660 443\r\n", "192.0.2.7:4660"},
		"TCP6":                  {"PROXY TCP6 2001:db8::7 ::1 4660 443\r\n", "[2001:db8::7]:4660"},
		"mapped":                {"PROXY TCP6 ::ffff:192.0.2.7 ::1 4660 443\r\n", "192.0.2.7:4660"},
		"ports":                 {"PROXY TCP4 192.0.2.7 198.51.100.1 0 65535\r\n", "192.0.2.7:0"},
		"unknown":               {"PROXY UNKNOWN\r\n", "?"},
		"unknown with more":     {"PROXY UNKNOWN ffff::1 whatever\r\n", "?"},
		"longest":               {"PROXY UNKNOWN " + strings.Repeat("x", maxV1-16) + "\r\n", "?"},
		"v2 TCP4":               {v2(versionAndProxy, familyTCP4, tcp4...), "192.0.2.7:4660"},
		"v2 TCP6":               {v2(versionAndProxy, familyTCP6, tcp6("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07")...), "[2001:db8::7]:4660"},
		"v2 with TLVs":          {v2(versionAndProxy, familyTCP4, with(tcp4, 4, 0, 1, 0, 0xe0, 0, 0)...), "192.0.2.7:4660"},
		"v2 with a checksum":    {summed(bytes.Clone(tcp4)), "192.0.2.7:4660"},
		"v2 unknown":            {v2(versionAndProxy, familyUnknown), "?"},
		"v2 unknown with more":  {v2(versionAndProxy, familyUnknown, 1, 2, 3), "?"},
		"v2 local":              {local, "local"},
		"v2 local with more":    {v2(versionAndLocal, familyTCP4, tcp4...), "local"},
		"no header":             {"SSH-2.0-OpenSSH_9.2\r\n", ""},
		"small letters":         {"proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n", ""},
		"too long":              {"PROXY UNKNOWN " + strings.Repeat("x", maxV1-15) + "\r\n", ""},
		"two blanks":            {"PROXY TCP4  192.0.2.7 198.51.100.1 1 2\r\n", ""},
		"a blank at the end":    {"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n", ""},
		"a tab":                 {"PROXY TCP4\t192.0.2.7 198.51.100.1 1 2\r\n", ""},
		"UDP":                   {"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n", ""},
		"one address":           {"PROXY TCP4 192.0.2.7 1 2\r\n", ""},
		"another family":        {"PROXY TCP4 2001:db8::7 ::1 1 2\r\n", ""},
		"and the other":         {"PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n", ""},
		"a zone":                {"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", ""},
		"zeros in an address":   {"PROXY TCP4 192.0.02.7 198.51.100.1 1 2\r\n", ""},
		"a name":                {"PROXY TCP4 localhost 198.51.100.1 1 2\r\n", ""},
		"zeros before a port":   {"PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n", ""},
		"a signed port":         {"PROXY TCP4 192.0.2.7 198.51.100.1 +1 2\r\n", ""},
		"a large port":          {"PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n", ""},
		"from nowhere":          {"PROXY TCP4 0.0.0.0 198.51.100.1 1 2\r\n", ""},
		"from everybody":        {"PROXY TCP4 224.0.0.1 198.51.100.1 1 2\r\n", ""},
		"line feed alone":       {"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n", ""},
		"cut":                   {"PROXY TCP4 192.0.2.7", ""},
		"v2 cut":                {v2(versionAndProxy, familyTCP4, tcp4...)[:20], ""},
		"v2 short addresses":    {v2(versionAndProxy, familyTCP4, tcp4[:11]...), ""},
		"v2 version 3":          {v2(0x31, familyTCP4, tcp4...), ""},
		"v2 unknown command":    {v2(0x22, familyTCP4, tcp4...), ""},
		"v2 datagrams":          {v2(versionAndProxy, 0x12, tcp4...), ""},
		"v2 Unix":               {v2(versionAndProxy, 0x31, make([]byte, 216)...), ""},
		"v2 from nowhere":       {v2(versionAndProxy, familyTCP4, make([]byte, 12)...), ""},
		"v2 half a TLV":         {v2(versionAndProxy, familyTCP4, with(tcp4, 4, 0)...), ""},
		"v2 TLV past the end":   {v2(versionAndProxy, familyTCP4, with(tcp4, 4, 0, 9, 1)...), ""},
		"v2 wrong checksum":     {string(broken), ""},
		"v2 no checksum in one": {v2(versionAndProxy, familyTCP4, with(tcp4, tlvCRC32C, 0, 1, 0)...), ""},
		"v2 too long":           {v2(versionAndProxy, familyTCP4, make([]byte, maxV2)...), ""},
	} {
		for way, r := range map[string]io.Reader{"at once": strings.NewReader(c.in + "rest"), "byte by byte": iotest.OneByteReader(strings.NewReader(c.in + "rest"))} {
			if strings.Contains(name, "cut") {
				r = strings.NewReader(c.in)
			}
			h, err := readHeader(r)
			got := map[bool]string{true: "local", false: h.from.String()}[h.local]
			if !h.local && !h.from.IsValid() {
				got = "?"
			}
			if c.want == "" {
				if err == nil {
					t.Errorf("%s, %s: it is taken for %s", name, way, got)
				}
				continue
			}
			if err != nil || got != c.want {
				t.Errorf("%s, %s: %s (%v), want %s", name, way, got, err, c.want)
			}
			if rest, _ := io.ReadAll(r); string(rest) != "rest" {
				t.Errorf("%s, %s: after it comes %q", name, way, rest)
			}
		}
	}
}

// FuzzHeader: whatever comes, no more is read than a header may have, an address is one of a client, and the same bytes in
// pieces say the same.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{"PROXY TCP4 192.0.2.7 198.51.100.1 4660 443\r\n", "PROXY UNKNOWN\r\n", local, summed(bytes.Clone(tcp4)), v2(versionAndProxy, familyTCP4, with(tcp4, 4, 0, 1, 0)...)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		h, err := readHeader(r)
		if read := len(data) - r.Len(); read > maxV2 {
			t.Fatalf("%d bytes were read", read)
		}
		again, err2 := readHeader(iotest.OneByteReader(bytes.NewReader(data)))
		if h != again || (err == nil) != (err2 == nil) {
			t.Fatalf("%v (%v), and in pieces %v (%v)", h, err, again, err2)
		}
		if err != nil {
			if !errors.Is(err, errHeader) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatal(err)
			}
			return
		}
		if a := h.from.Addr(); a.IsValid() && (h.local || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast()) {
			t.Fatalf("from %v", h)
		}
	})
}
