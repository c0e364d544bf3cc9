package events

import (
	"io"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"time"
)

// TestMessage: what is in a mail cannot add to its headers, whatever files are called.
func TestMessage(t *testing.T) {
	m := &Mail{From: "Gateway <gateway@example.org>", To: []string{"ops@example.org", "Jörg <j@example.org>"}, Node: "n1\r\nBcc: x@example.org"}
	evil := "default:in/\r\n.\r\nSubject: x\u202e\x1b[2J"
	text := m.message(must(mail.ParseAddress(m.From)), []Event{
		{ID: "ABC", Kind: Quarantine, Time: time.Now(), Key: evil, Reason: "no signature\nat all", Source: "ftp://partner/"},
		{ID: "DEF", Kind: Quarantine, Time: time.Now(), Key: "default:b", Verdict: "bad"},
		{ID: "GHI", Kind: JobFailed, Time: time.Now(), Key: "default:in"},
	}, time.Now())
	msg, err := mail.ReadMessage(strings.NewReader(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if h := msg.Header; len(h) != 9 || h.Get("Message-Id") != "<ABC@example.org>" || h.Get("Bcc") != "" || !strings.Contains(string(text), "2_quarantine") && !strings.Contains(h.Get("Subject"), "2 quarantine, 1 job-failed") {
		t.Errorf("%d headers: %v", len(h), h)
	}
	to, err := msg.Header.AddressList("To")
	if err != nil || len(to) != 2 || to[1].Name != "Jörg" {
		t.Errorf("%v, %v", to, err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(msg.Body))
	if err != nil || strings.ContainsAny(string(body), "\x1b\u202e") || strings.Contains(string(body), "\r\n.\r\n") || strings.Count(string(body), "quarantine") != 2 {
		t.Errorf("%q, %v", body, err)
	}
	for line := range strings.Lines(string(text)) {
		if len(line) > 998 || !strings.HasSuffix(line, "\r\n") && !strings.HasSuffix(string(text), line) {
			t.Errorf("the line %q is none of a mail", line)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestCheckMail(t *testing.T) {
	good := Mail{Server: "mail.example.org:587", From: "a@example.org", To: []string{"b@example.org"}, TLS: StartTLS}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(m *Mail){
		"no port":       func(m *Mail) { m.Server = "mail.example.org" },
		"no TLS":        func(m *Mail) { m.TLS = NoTLS },
		"unknown TLS":   func(m *Mail) { m.TLS = "ssl" },
		"nobody":        func(m *Mail) { m.To = nil },
		"bad address":   func(m *Mail) { m.To = []string{"b@example.org\r\nBcc: c@example.org"} },
		"no address":    func(m *Mail) { m.From = "gateway" },
		"two addresses": func(m *Mail) { m.From = "a@example.org, b@example.org" },
	} {
		m := good
		spoil(&m)
		if err := m.Check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
