package ftpbridge

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// probeColumns is how wide the text of a probe is.
const probeColumns = 80

// WriteText writes what was found out for people, in 80 columns.
func (p Probe) WriteText(w io.Writer) error {
	t := &probeText{}
	t.line("Server", p.Source)
	t.line("Software", orElse(p.Software, "it does not say"))
	t.line("Greeting", firstLine(p.Greeting))
	t.line("System", orElse(p.Syst, "it does not say (SYST)"))
	t.line("Paths", fmt.Sprintf("as on %s; a login begins in %s", p.Dialect, orElse(p.Home, "an unnamed folder")))
	t.tls(p.TLS)
	t.heading("Listings")
	t.listing(p.Listing)
	t.charset(p.Charset)
	t.heading("What it can do")
	if p.TriedWith != "" {
		t.line("Tried with", p.TriedWith)
	}
	t.answer("Size", p.Size)
	t.answer("Time", p.Time)
	t.answer("Zone", p.Zone)
	t.answer("Resume", p.Resume)
	t.answer("Hash", p.Hash)
	t.answer("Set times", p.SetTimes)
	c := p.Connections
	if c.Refusal != "" {
		t.line("Sessions", fmt.Sprintf("it took %d, then: %s", c.Taken, c.Refusal))
	} else {
		t.line("Sessions", fmt.Sprintf("it took all %d that were tried at once", c.Taken))
	}
	if len(p.Quirks) > 0 {
		t.heading("Quirks")
		for _, q := range p.Quirks {
			t.wrap("  - ", 4, q)
		}
	}
	t.heading("For gateway.yaml")
	t.WriteString(p.SourceBlock())
	_, err := io.WriteString(w, t.String())
	return err
}

// probeText builds the text.
type probeText struct{ strings.Builder }

func (t *probeText) heading(s string) { t.WriteString("\n" + s + "\n") }

func (t *probeText) line(name, value string) {
	t.wrap(fmt.Sprintf("  %-11s ", name), 14, value)
}

func (t *probeText) answer(name string, a ProbeAnswer) {
	word := "no"
	if a.OK {
		word = "yes"
	}
	t.wrap(fmt.Sprintf("  %-11s %-4s", name, word), 18, orElse(a.Detail, "not tried"))
}

// wrap writes text after first, further lines indented by hang.
func (t *probeText) wrap(first string, hang int, text string) {
	line, width := first, utf8.RuneCountInString(first)
	empty := true
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		if !empty && width+1+n > probeColumns {
			t.WriteString(line + "\n")
			line, width, empty = strings.Repeat(" ", hang), hang, true
		}
		if !empty {
			line += " "
			width++
		}
		line += word
		width += n
		empty = false
	}
	t.WriteString(line + "\n")
}

func (t *probeText) tls(s ProbeTLS) {
	switch {
	case !s.Offered && s.Version == "" && s.Fault == "":
		return // a protocol that needs none
	case !s.Offered:
		t.line("TLS", "none: "+s.Fault)
		return
	}
	value := s.Version
	if !s.Used {
		value += ", not used by this URL: write ftpes:// instead of ftp://"
	}
	t.line("TLS", value)
	trust := "trusted by this machine"
	if !s.Trusted {
		trust = "not trusted by this machine: " + s.Fault
	}
	t.line("Certificate", fmt.Sprintf("%s, until %s, %s", s.Subject, s.Expires.Format(time.DateOnly), trust))
	t.line("Fingerprint", s.Fingerprint)
}

func (t *probeText) listing(l ProbeListing) {
	if l.Format == "" {
		t.line("Format", "unknown: nothing was listed that says more")
	} else {
		sure := percent(l.Confidence) + " sure"
		if l.RunnerUp != "" {
			sure += ", next best " + l.RunnerUp
		}
		t.line("Format", fmt.Sprintf("%s, by %s (%s)", l.Format, orElse(l.Command, "its own protocol"), sure))
	}
	t.line("Seen", fmt.Sprintf("%d entries in %d folders, %d lines not read; times to the %s",
		l.Entries, l.Folders, l.Skipped, orElse(l.Precision, "unknown")))
	for _, u := range l.Unread {
		t.line("Not read", u)
	}
}

func (t *probeText) charset(c ProbeCharset) {
	if c.NonASCII == 0 {
		t.line("Names", "plain ASCII as far as seen, so their charset is not known")
		return
	}
	if len(c.Folders) > 1 {
		var each []string
		for _, name := range slices.Sorted(maps.Keys(c.Folders)) {
			each = append(each, fmt.Sprintf("%s in %d", name, c.Folders[name]))
		}
		t.line("Names", "folders differ: "+strings.Join(each, ", "))
	} else {
		t.line("Names", fmt.Sprintf("in %s (%s sure, by %d names)", c.Charset, percent(c.Confidence), c.NonASCII))
	}
	for _, e := range c.Examples {
		t.line("", e.Raw+" is "+e.Name)
	}
}

func percent(x float64) string { return strconv.Itoa(int(x*100+0.5)) + " %" }

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, `\x0a`)
	return line
}

// SourceBlock is the part of gateway.yaml that describes the server: what differs
// from the defaults, and where files should go to be filled in.
func (p Probe) SourceBlock() string {
	var b strings.Builder
	u := *p.source.URL
	if u.Scheme == "ftp" && p.TLS.Offered {
		u.Scheme = "ftpes"
	}
	u.User = nil
	if name := p.source.user(); name != "anonymous" {
		b.WriteString(name + "@")
	}
	url := u.Scheme + "://" + b.String() + strings.TrimPrefix(u.String(), u.Scheme+"://")
	b.Reset()
	fmt.Fprintf(&b, "sources:\n  %s:\n    url: %s\n", sourceName(u.Hostname()), strconv.Quote(url))
	if p.source.user() != "anonymous" {
		b.WriteString("    password_file: /path/to/a/file/with/the/password\n")
	}
	if p.TLS.Offered && !p.TLS.Trusted {
		fmt.Fprintf(&b, "    # compare it with the server's operator:\n    fingerprint: %q\n", p.TLS.Fingerprint)
	}
	if len(p.Charset.Folders) == 1 && p.Charset.Charset != "UTF-8" && p.Charset.Confidence > 0.8 {
		fmt.Fprintf(&b, "    charset: %s\n", p.Charset.Charset)
	}
	if p.Listing.Format != "" && p.Listing.Confidence < 0.8 {
		fmt.Fprintf(&b, "    format: %s\n", p.Listing.Format)
	}
	if name := zoneName(p.zone); name != "" {
		fmt.Fprintf(&b, "    timezone: %s\n", name)
	}
	if n := p.Connections.Taken; n > 0 {
		fmt.Fprintf(&b, "    connections: %d\n", min(n, 4))
	}
	b.WriteString("    to: default:FOLDER\n    policy: policy.yaml # what must be proved, see docs/integrity.md\n    every: 1h\n")
	return b.String()
}

// zoneName is the name by which the configuration takes a zone; "" for UTC and for
// what has none.
func zoneName(zone *time.Location) string {
	if zone == nil || zone == time.UTC {
		return ""
	}
	name := zone.String()
	if !strings.HasPrefix(name, "UTC") {
		return name
	}
	_, offset := time.Unix(0, 0).In(zone).Zone()
	if offset%3600 != 0 {
		return ""
	}
	return fmt.Sprintf("Etc/GMT%+d", -offset/3600) // POSIX counts to the west
}

// sourceName makes a name that the configuration takes out of a host's.
func sourceName(host string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r | 0x20
		}
		return '-'
	}, host)
	name = strings.Trim(name[:min(len(name), 32)], "-")
	return orElse(name, "legacy")
}
