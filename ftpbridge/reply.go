package ftpbridge

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reply is one whole answer of a server, RFC 959 section 4.2.
type reply struct {
	code  int
	lines []string // without the code where it stood, without line ends
}

func (r reply) text() string { return strings.Join(r.lines, "\n") }

// err is the reply as a refusal of verb.
func (r reply) err(verb string) error {
	return &ReplyError{Command: verb, Code: r.code, Text: r.text()}
}

func (r reply) ok() bool { return r.code/100 == 2 }

// readReply reads one reply of at most MaxReply bytes in lines of at most
// MaxReplyLine, and keeps maxReplyText of it. Its errors are the reader's, or
// wrap ErrProtocol.
func readReply(br *bufio.Reader) (reply, error) {
	var r reply
	total, kept, multi := 0, 0, false
	for {
		line, err := readLine(br)
		if err != nil {
			if errors.Is(err, io.EOF) && (total > 0 || line != "") {
				err = io.ErrUnexpectedEOF
			}
			return reply{}, err
		}
		if total += len(line) + 1; total > MaxReply {
			return reply{}, fmt.Errorf("%w: a reply of more than %d bytes", ErrProtocol, MaxReply)
		}
		code, text, more, ok := splitReply(line)
		switch {
		case r.code == 0 && line == "":
			continue // some servers put blank lines between replies
		case r.code == 0 && !ok:
			return reply{}, fmt.Errorf("%w: it sent %s", ErrProtocol, quoteLine(line))
		case r.code == 0:
			r.code, multi = code, more
		case ok && code == r.code:
			multi = more
		default:
			text = line
		}
		if kept += len(text); kept <= maxReplyText {
			r.lines = append(r.lines, text)
		}
		if !multi {
			if len(r.lines) == 0 {
				r.lines = []string{""}
			}
			return r, nil
		}
	}
}

// splitReply takes "250-text" apart. A bare "250" is a last line too.
func splitReply(line string) (code int, text string, more, ok bool) {
	if len(line) < 3 || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, "", false, false
	}
	for _, c := range []byte(line[:3]) {
		if c < '0' || c > '9' {
			return 0, "", false, false
		}
		code = code*10 + int(c-'0')
	}
	if code < 100 || code >= 700 {
		return 0, "", false, false
	}
	if len(line) == 3 {
		return code, "", false, true
	}
	return code, line[4:], line[3] == '-', true
}

// readLine reads up to LF and drops the end of line.
func readLine(br *bufio.Reader) (string, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > MaxReplyLine {
			return "", fmt.Errorf("%w: a reply line of more than %d bytes", ErrProtocol, MaxReplyLine)
		}
		if err == nil {
			return strings.TrimRight(string(line), "\r\n"), nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return string(line), err
		}
	}
}

// quoteLine is quoteReply for something that is no reply.
func quoteLine(line string) string {
	if len(line) > maxQuoted {
		line = line[:maxQuoted] + "..."
	}
	return strconv.Quote(line)
}

var unsafeInReply = strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ")

// wire writes the reply in the one form that the library reads without doubt:
// inner lines begin with a blank, so that none can be taken for the last.
func (r reply) wire() []byte {
	var b strings.Builder
	for i, line := range r.lines {
		line = unsafeInReply.Replace(line)
		switch {
		case i == len(r.lines)-1:
			fmt.Fprintf(&b, "%03d %s\r\n", r.code, line)
		case i == 0:
			fmt.Fprintf(&b, "%03d-%s\r\n", r.code, line)
		default:
			fmt.Fprintf(&b, " %s\r\n", strings.TrimLeft(line, " "))
		}
	}
	return []byte(b.String())
}

// mend makes a reply to verb one that the library understands, or fails with
// ErrProtocol where it makes no sense.
func mend(verb string, r reply) (reply, error) {
	expected := map[string]int{
		"": 220, "USER": 230, "PASS": 230, "ACCT": 230, "TYPE": 200, "PBSZ": 200, "PROT": 200, "FEAT": 211,
	}[verb]
	switch {
	case verb == "EPSV" && r.code == 229:
		port, err := parseEPSV(r.text())
		if err != nil {
			return reply{}, err
		}
		return reply{229, []string{fmt.Sprintf("(|||%d|)", port)}}, nil
	case verb == "PASV" && r.code == 227:
		port, err := parsePASV(r.text())
		if err != nil {
			return reply{}, err
		}
		return reply{227, []string{fmt.Sprintf("(0,0,0,0,%d,%d)", port/256, port%256)}}, nil
	case expected != 0 && r.ok():
		r.code = expected
	}
	if verb == "FEAT" && r.ok() {
		return featReply(r), nil
	}
	return r, nil
}

// featReply puts FEAT into the form of RFC 2389 section 3.2: servers leave the
// blank before a feature out, or write it in lower case.
func featReply(r reply) reply {
	out := reply{211, []string{"Features:"}}
	features := parseFeatures(r)
	for _, name := range slices.Sorted(maps.Keys(features)) {
		out.lines = append(out.lines, strings.TrimSpace(name+" "+features[name]))
	}
	out.lines = append(out.lines, "End")
	return out
}

// parseFeatures reads a FEAT reply; names are upper case.
func parseFeatures(r reply) map[string]string {
	features := make(map[string]string)
	if len(r.lines) < 3 {
		return features
	}
	for _, line := range r.lines[1 : len(r.lines)-1] {
		name, arg, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name = strings.ToUpper(strings.TrimRight(name, ".")); name != "" {
			features[name] = strings.TrimSpace(arg)
		}
	}
	return features
}

// lowestPort is the lowest port that a data connection may go to: RFC 2577
// section 3 keeps FTP away from the well-known services.
const lowestPort = 1024

func checkPort(port int, text string) (int, error) {
	if port < lowestPort || port > 65535 {
		return 0, fmt.Errorf("%w: it wants a data connection to port %d (%s); allowed are %d to 65535",
			ErrProtocol, port, quoteLine(text), lowestPort)
	}
	return port, nil
}

// parseEPSV reads the port of RFC 2428 section 3: three delimiters of any
// printable kind, the port, one more.
func parseEPSV(text string) (int, error) {
	if _, in, ok := strings.Cut(text, "("); ok && len(in) > 4 {
		d := in[0]
		digits, _, closed := strings.Cut(in[min(3, len(in)):], string(d))
		if port, err := strconv.ParseUint(digits, 10, 32); closed && err == nil && in[1] == d && in[2] == d {
			return checkPort(int(port), text)
		}
	}
	return 0, fmt.Errorf("%w: torn reply to EPSV %s", ErrProtocol, quoteLine(text))
}

// pasvNumbers is RFC 959's h1,h2,h3,h4,p1,p2. Not every server writes the
// parentheses (RFC 1123 section 4.1.2.6).
var pasvNumbers = regexp.MustCompile(`(\d{1,3}) *, *(\d{1,3}) *, *(\d{1,3}) *, *(\d{1,3}) *, *(\d{1,3}) *, *(\d{1,3})`)

// parsePASV reads the port; the address is not believed.
func parsePASV(text string) (int, error) {
	m := pasvNumbers.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("%w: torn reply to PASV %s", ErrProtocol, quoteLine(text))
	}
	hi, _ := strconv.Atoi(m[5])
	lo, _ := strconv.Atoi(m[6])
	if hi > 255 || lo > 255 {
		return 0, fmt.Errorf("%w: torn reply to PASV %s", ErrProtocol, quoteLine(text))
	}
	return checkPort(hi*256+lo, text)
}

// parsePWD reads the path of a 257 reply (RFC 959 Appendix II): in quotes, a
// quote inside is doubled; some servers leave the quotes out.
func parsePWD(text string) (string, error) {
	text = strings.ReplaceAll(text, "\xff\xff", "\xff") // Telnet's IAC, RFC 959 section 4.1
	_, in, ok := strings.Cut(text, `"`)
	if !ok {
		if word, _, _ := strings.Cut(strings.TrimSpace(text), " "); strings.HasPrefix(word, "/") {
			return word, nil
		}
		return "", fmt.Errorf("%w: torn reply to PWD %s", ErrProtocol, quoteLine(text))
	}
	var path strings.Builder
	for i := 0; i < len(in); i++ {
		if in[i] != '"' {
			path.WriteByte(in[i])
			continue
		}
		if i+1 < len(in) && in[i+1] == '"' {
			path.WriteByte('"')
			i++
			continue
		}
		if p := path.String(); p != "" && !strings.ContainsAny(p, "\r\n\x00") {
			return p, nil
		}
		break
	}
	return "", fmt.Errorf("%w: torn reply to PWD %s", ErrProtocol, quoteLine(text))
}

// parseMDTM reads YYYYMMDDHHMMSS[.sss] in UTC, RFC 3659 section 2.3, and the
// 191YY of servers that print the year as 19 and years since 1900.
func parseMDTM(text string) (time.Time, error) {
	text = strings.TrimSpace(text)
	digits, _, _ := strings.Cut(text, ".")
	if len(digits) == 15 && strings.HasPrefix(digits, "191") {
		digits = "20" + digits[3:]
	}
	t, err := time.Parse("20060102150405", digits)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: the time %s is not YYYYMMDDHHMMSS", ErrProtocol, quoteLine(text))
	}
	return t, nil
}
