package events

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"os"
	"strings"
	"time"
	"unicode"
)

// Bounds of mails.
const (
	maxMailEvents = 500 // in one mail
	mailTimeout   = time.Minute

	maxMailReplies = 256 << 10 // bytes that a server says, with TLS
)

// TLS of a mail server.
const (
	StartTLS    = "starttls" // required, not only used where it is offered
	ImplicitTLS = "tls"
	NoTLS       = "none" // only on this machine
)

// Mail sends a digest of what happened through an SMTP server (RFC 5321), at most one each Every.
type Mail struct {
	Server   string // host:port
	From     string
	To       []string
	Username string // "": no login
	Password func() (string, error)
	TLS      string         // StartTLS, ImplicitTLS or NoTLS
	Roots    *x509.CertPool // nil: the system's
	Every    time.Duration
	Node     string // in the subject
}

// Check is the error of what cannot be sent through.
func (m *Mail) Check() error {
	host, _, err := net.SplitHostPort(m.Server)
	if err != nil {
		return fmt.Errorf("server: %w; write host:port, for example mail.example.org:587", err)
	}
	if m.TLS != StartTLS && m.TLS != ImplicitTLS && m.TLS != NoTLS {
		return fmt.Errorf("tls: %q is not one of %s, %s, %s", m.TLS, StartTLS, ImplicitTLS, NoTLS)
	}
	if m.TLS == NoTLS && !loopback(host) {
		return errors.New("tls: none is only for a server on this machine")
	}
	if len(m.To) == 0 {
		return errors.New("to: nobody is named")
	}
	for _, a := range append([]string{m.From}, m.To...) {
		if _, err := mail.ParseAddress(a); err != nil {
			return fmt.Errorf("%q is no address of mail: %w", a, err)
		}
	}
	return nil
}

// Batch implements Deliverer.
func (*Mail) Batch() int { return maxMailEvents }

// Pause implements Deliverer.
func (m *Mail) Pause() time.Duration { return m.Every }

// Deliver implements Deliverer.
func (m *Mail) Deliver(ctx context.Context, list []Event) error {
	from, err := mail.ParseAddress(m.From)
	if err != nil {
		return err
	}
	c, err := m.connect(ctx)
	if err != nil {
		return fmt.Errorf("mail server %s: %w", m.Server, err)
	}
	defer func() { _ = c.Close() }() // after QUIT it is closed
	err = m.send(c, from, list)
	var answer *textproto.Error
	if errors.As(err, &answer) && answer.Code >= 500 { // a permanent negative reply, RFC 5321 section 4.2.1
		return &Refused{fmt.Errorf("mail server %s: %w", m.Server, err)}
	}
	if err != nil {
		return fmt.Errorf("mail server %s: %w", m.Server, err)
	}
	return nil
}

// connect is everything up to the login.
func (m *Mail) connect(ctx context.Context) (*smtp.Client, error) {
	host, _, err := net.SplitHostPort(m.Server)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, mailTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", m.Server)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(mailTimeout))
	conn = &boundedConn{Conn: conn, left: maxMailReplies}
	secure := &tls.Config{ServerName: host, RootCAs: m.Roots, MinVersion: tls.VersionTLS12}
	if m.TLS == ImplicitTLS {
		conn = tls.Client(conn, secure)
	}
	c, err := smtp.NewClient(conn, host)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if err := m.greet(c, host, secure); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// boundedConn is a connection to a server that may say only so much.
type boundedConn struct {
	net.Conn
	left int
}

// Read implements net.Conn.
func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("it says more than %d bytes", maxMailReplies)
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

func (m *Mail) greet(c *smtp.Client, host string, secure *tls.Config) error {
	if name, err := os.Hostname(); err == nil && isDomain(name) {
		if err := c.Hello(name); err != nil {
			return err
		}
	}
	if m.TLS == StartTLS {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("it offers no STARTTLS; without it nothing is sent")
		}
		if err := c.StartTLS(secure); err != nil {
			return err
		}
	}
	if m.Username == "" {
		return nil
	}
	password, err := m.Password()
	if err != nil {
		return err
	}
	return c.Auth(smtp.PlainAuth("", m.Username, password, host))
}

// isDomain reports whether a name can be in EHLO.
func isDomain(s string) bool {
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.') {
			return false
		}
	}
	return s != ""
}

func (m *Mail) send(c *smtp.Client, from *mail.Address, list []Event) error {
	if err := c.Mail(from.Address); err != nil {
		return err
	}
	for _, to := range m.To {
		a, err := mail.ParseAddress(to)
		if err != nil {
			return err
		}
		if err := c.Rcpt(a.Address); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(m.message(from, list, time.Now())); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // it has the mail
	return nil
}

// message is the mail, RFC 5322. Its ID is that of the first event: who gets it twice can tell.
func (m *Mail) message(from *mail.Address, list []Event, now time.Time) []byte {
	var b bytes.Buffer
	var to []string
	for _, t := range m.To {
		if a, err := mail.ParseAddress(t); err == nil {
			to = append(to, a.String())
		}
	}
	_, domain, _ := strings.Cut(from.Address, "@")
	fmt.Fprintf(&b, "From: %s\r\nTo: %s\r\n", from, strings.Join(to, ",\r\n\t"))
	fmt.Fprintf(&b, "Subject: %s\r\n", mime.QEncoding.Encode("utf-8", m.subject(list)))
	fmt.Fprintf(&b, "Date: %s\r\nMessage-ID: <%s@%s>\r\n", now.Format(time.RFC1123Z), list[0].ID, domain)
	b.WriteString("Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	w := quotedprintable.NewWriter(&b)
	fmt.Fprint(w, strings.ReplaceAll(digest(list), "\n", "\r\n")) // into memory: no error
	_ = w.Close()
	return b.Bytes()
}

func (m *Mail) subject(list []Event) string {
	counts := map[Kind]int{}
	for _, e := range list {
		counts[e.Kind]++
	}
	var parts []string
	for _, k := range Kinds() {
		if n := counts[k]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, k))
		}
	}
	name := "gateway"
	if m.Node != "" {
		name += " " + plain(m.Node)
	}
	return name + ": " + strings.Join(parts, ", ")
}

// digest tells of events, a paragraph each.
func digest(list []Event) string {
	var b strings.Builder
	for _, e := range list {
		what := e.Key
		if what == "" {
			what = e.Path
		}
		fmt.Fprintf(&b, "%s  %s  %s\n", e.Time.UTC().Format("2006-01-02 15:04:05 UTC"), e.Kind, plain(what))
		line := func(name, s string) {
			if s != "" {
				fmt.Fprintf(&b, "  %s %s\n", name, plain(s))
			}
		}
		line("from:   ", e.Source)
		line("verdict:", e.Verdict)
		line("reason: ", e.Reason)
		line("by:     ", e.User)
		b.WriteString("\n")
	}
	return b.String()
}

// plain is s without what could end a line or change how it is read.
func plain(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}
