package ftpbridge

import (
	"bufio"
	"bytes"
	"errors"
	"net/textproto"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestParsePWD(t *testing.T) {
	for _, tc := range []struct{ text, path string }{
		{`"/" is current`, "/"}, {`"/a ""b"" c" is current`, `/a "b" c`}, {`"/caf` + "\xe9" + `"`, "/caf\xe9"},
		{"\"/\xff\xffx\"", "/\xffx"}, {`/home/x is current`, "/home/x"}, {`"C:\ftp"`, `C:\ftp`},
		{`"`, ""}, {`""`, ""}, {`"/torn`, ""}, {``, ""}, {`gone`, ""}, {"\"/a\nb\"", ""},
	} {
		path, err := parsePWD(tc.text)
		if path != tc.path || (err == nil) != (tc.path != "") || err != nil && !errors.Is(err, ErrProtocol) {
			t.Errorf("%q: %q, %v", tc.text, path, err)
		}
	}
}

func TestParseMDTM(t *testing.T) {
	day := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, wanted := range map[string]time.Time{
		"20200102030405": day, " 20200102030405 ": day, "20200102030405.750": day, "191200102030405": day,
		"2020": {}, "": {}, "20201302030405": {}, "+0200102030405": {},
	} {
		got, err := parseMDTM(text)
		if !got.Equal(wanted) || (err == nil) == wanted.IsZero() {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

var (
	goodEPSV = regexp.MustCompile(`^\(\|\|\|\d{4,5}\|\)$`)
	goodPASV = regexp.MustCompile(`^\(0,0,0,0,\d{1,3},\d{1,3}\)$`)
)

// FuzzReply holds the filter to its promise: whatever a server sends, the
// library reads exactly one whole reply of the same code, and addresses come
// in the one form that it cannot trip over.
func FuzzReply(f *testing.F) {
	for _, s := range []string{
		"220 hi\r\n", "220-a\r\nb\r\n 220 c\r\n220-220 d\r\n220 e\r\n", "120 wait\r\n220 x\r\n", "250\n", "\r\n\r\n250 x\n",
		"211-Features\r\n MLST a*;\r\nutf8\r\n211 End\r\n", "229 (|||1234|)\r\n", "229 (|||\r\n", "229 )(\r\n", "229 ((((1))\r\n",
		"227 (1,2,3,4,5,6)\r\n", "227 )(\r\n", "227 (1,2,3\r\n", "257 \"\r\n", "257 \"/a\"\"b\" x\r\n", "999 x\r\n", "2x0 \r\n", "250-\r\n250",
		"230-\x00\r\r\n230 \xff\xff\r\n",
	} {
		f.Add(s, "EPSV")
		f.Add(s, "FEAT")
		f.Add(s, "PASV")
	}
	f.Fuzz(func(t *testing.T, data, verb string) {
		r, err := readReply(bufio.NewReader(strings.NewReader(data)))
		if err != nil {
			return
		}
		_, _ = parsePWD(r.text())
		_, _ = parseMDTM(r.text())
		_ = r.err(verb).Error()
		m, err := mend(verb, r)
		if err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Fatalf("error %v", err)
			}
			return
		}
		wire := m.wire()
		rest := bufio.NewReader(bytes.NewReader(wire))
		code, msg, err := textproto.NewReader(rest).ReadResponse(0)
		if err != nil || code != m.code || rest.Buffered() != 0 {
			t.Fatalf("%q became %q, read as %d %q, %v, %d bytes left", data, wire, code, msg, err, rest.Buffered())
		}
		if verb == "EPSV" && code == 229 && !goodEPSV.MatchString(msg) || verb == "PASV" && code == 227 && !goodPASV.MatchString(msg) {
			t.Fatalf("address %q", msg)
		}
	})
}
