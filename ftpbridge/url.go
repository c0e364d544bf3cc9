package ftpbridge

import (
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gateway/listing"
)

// Source is where a legacy server is and how to talk to it. Its String never
// shows the password.
type Source struct {
	// URL is ftp:// (plain), ftpes:// (TLS by AUTH, RFC 4217), ftps:// (TLS
	// from the first byte) or sftp://. The path is taken as in RFC 1738 section
	// 3.2.2: relative to the login directory, absolute when it begins with
	// a second slash or %2F; percent escapes give exact bytes. On a server that is
	// no Unix it may be in the server's own form: ftp://host/DISK:[A.B].
	URL *url.URL
	// Password is used when the URL has none. Anonymous logins need none.
	Password string
	// Secrets, when not nil, is asked at every login for what may have changed since,
	// in place of Password and KeyPassphrase. It is called by many at once.
	Secrets func() (password, keyPassphrase string, err error)
	// Account is for servers that ask for one at login (ACCT, RFC 959 section 4.1.1).
	Account string
	// TLS is the base configuration, nil for the defaults.
	TLS *tls.Config
	// CAFile is a PEM file of the authorities to trust instead of the system's.
	CAFile string
	// Fingerprint pins the server's certificate: its SHA-256 in hexadecimal,
	// colons allowed. Nothing else is checked then. Of an SFTP server it is that
	// of a host key, as ssh-keygen -l shows it: SHA256:...
	Fingerprint string
	// KnownHosts is a file of host keys, as OpenSSH keeps them, for SFTP servers
	// that are not pinned by Fingerprint. One of the two is needed.
	KnownHosts string
	// KeyFile is a private key to log in with over SFTP, KeyPassphrase what opens it.
	KeyFile, KeyPassphrase string
	// LegacySSH also allows the algorithms that are no longer considered safe.
	LegacySSH bool
	// Charset of names and Format of listings; "" finds them out.
	Charset, Format string
	// Dialect is how the server names things, one of Dialects; "" finds it out.
	Dialect string
	// Location is the zone of the times in listings that name none; nil is UTC.
	Location *time.Location
	// Timeout is how long any connection may be silent, 100 ms to 1 h; 0 is DefaultTimeout.
	Timeout time.Duration
	// Connections is the most sessions of a Pool, 1 to MaxConnections; 0 is 1.
	Connections int
	// Active has the server open the data connections (PORT and EPRT) in place of
	// us, for servers whose passive ports cannot be reached. It must be able to
	// reach the address that the control connection comes from.
	Active bool
	// Proxy is what all connections go through, nil for none; see ParseProxy.
	// Active mode is refused then: nobody could connect back through it.
	Proxy *url.URL
	// Logger gets warnings and the dialogue at debug level; nil is silent.
	Logger *slog.Logger
}

// ParseSource reads a source URL. Its errors wrap ErrSource and name the URL
// without the password. URLs that mean the same become the same: see canonical.
func ParseSource(raw string) (Source, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// The error of url.Parse quotes the URL with its password.
		return Source{}, fmt.Errorf("%w %q: not a URL; write ftp://user@host/path and percent-escape special characters in user and password",
			ErrSource, redactRaw(raw))
	}
	// A password with a bare "/", "?" or "#" ends the host at what comes before,
	// "ftp://user:12/34@host": it would be sent to a name server and quoted.
	if u.User == nil && strings.Contains(u.Host, ":") && strings.Contains(raw, "@") {
		return Source{}, fmt.Errorf("%w %q: percent-escape /, ? and # in user and password, and @ in a path as %%40",
			ErrSource, redactRaw(raw))
	}
	s := Source{URL: u}
	if err := s.validate(); err != nil {
		return Source{}, err
	}
	canonical(u)
	return s, nil
}

// canonical writes what means the same in one way, since a job is known by its
// URL: the host in small letters (RFC 3986 section 6.2.2.1) but for the zone of
// an address, no default port, "/" for the login directory and no other slash
// at the end.
func canonical(u *url.URL) {
	if !strings.Contains(u.Host, "%") {
		u.Host = strings.ToLower(u.Host)
	}
	u.Host = strings.TrimSuffix(strings.TrimSuffix(u.Host, ":"+defaultPorts[u.Scheme]), ":")
	if strings.Trim(u.Path, "/") == "" { // "//" is the root
		u.Path, u.RawPath = "/"+strings.TrimPrefix(u.Path, "/"), ""
		return
	}
	for strings.HasSuffix(u.EscapedPath(), "/") {
		u.Path, u.RawPath = strings.TrimSuffix(u.Path, "/"), strings.TrimSuffix(u.EscapedPath(), "/")
	}
}

// PolicyNames are the names by which the rules of a policy may mean this source:
// its URL without user and password, as it is written and with a slash at its
// end, and its host.
func (s Source) PolicyNames() []string {
	u := plainURL(s)
	return []string{u, strings.TrimSuffix(u, "/") + "/", s.URL.Hostname()}
}

// redactRaw hides what may be a password in something that is not a URL.
func redactRaw(raw string) string {
	scheme, rest, ok := strings.Cut(raw, "://")
	if !ok {
		scheme, rest = "", raw
	}
	switch at := strings.LastIndexByte(rest, '@'); {
	case at >= 0:
		rest = "***@" + rest[at+1:]
	case strings.Contains(rest, ":"):
		host, _, _ := strings.Cut(rest, ":")
		rest = host + ":***"
	}
	if ok {
		return scheme + "://" + rest
	}
	return rest
}

var defaultPorts = map[string]string{"ftp": "21", "ftpes": "21", "ftps": "990", "sftp": "22"}

// Validate reports what is wrong with s; its errors wrap ErrSource.
func (s Source) Validate() error { return s.validate() }

func (s Source) validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w %q: %s", ErrSource, s.Redacted(), fmt.Sprintf(format, args...))
	}
	if s.URL == nil {
		return fmt.Errorf("%w: no URL", ErrSource)
	}
	switch {
	case defaultPorts[s.URL.Scheme] == "":
		return bad("the scheme must be ftp, ftpes (explicit TLS), ftps (implicit TLS) or sftp; write for example ftpes://user@host/folder")
	case s.URL.Hostname() == "":
		return bad("no host")
	case strings.ContainsAny(s.URL.Host, " \r\n\x00"):
		return bad("the host has a blank, a line break or NUL")
	case strings.Contains(s.URL.Hostname(), ":") && !strings.HasPrefix(s.URL.Host, "["):
		return bad("the host has a colon; write host:port once, and an IPv6 address in brackets")
	case s.URL.RawQuery != "" || s.URL.ForceQuery || s.URL.Fragment != "":
		return bad("write ? as %%3F and # as %%23")
	case strings.ContainsAny(s.URL.Path, "\r\n\x00"):
		return bad("the path has a line break or NUL")
	case strings.ContainsAny(s.user()+s.password()+s.Account, "\r\n\x00"):
		return bad("the user, password or account has a line break or NUL")
	case s.sftp() && s.URL.User.Username() == "":
		return bad("SFTP needs a user: sftp://user@host/path")
	case s.URL.Scheme == "ftp" && (s.CAFile != "" || s.Fingerprint != ""):
		return bad("a certificate is given to check the server by, but ftp:// has none; use ftpes:// or ftps://")
	case !s.sftp() && (s.KnownHosts != "" || s.KeyFile != "" || s.LegacySSH):
		return bad("known hosts, key files and legacy SSH are for sftp:// only")
	case s.Timeout != 0 && (s.Timeout < 100*time.Millisecond || s.Timeout > time.Hour):
		return bad("timeout %v; must be 100ms to 1h", s.Timeout)
	case s.Connections < 0 || s.Connections > MaxConnections:
		return bad("%d connections; must be 1 to %d", s.Connections, MaxConnections)
	}
	if s.Proxy != nil {
		if why := badProxy(s.Proxy); why != "" {
			return bad("proxy %s: %s", s.Proxy.Redacted(), why)
		}
		if s.Active {
			return bad("active mode does not go through a proxy; use passive mode")
		}
	}
	if p := s.URL.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return bad("port %s; must be 1 to 65535", p)
		}
	}
	if _, err := listing.Encode("", s.Charset); err != nil {
		return bad("charset %q is not known; known are %s", s.Charset, strings.Join(listing.Charsets(), ", "))
	}
	if _, ok := dialectNamed(s.Dialect); !ok && s.Dialect != "" {
		return bad("dialect %q is not known; known are %s", s.Dialect, strings.Join(Dialects(), ", "))
	}
	if f := listing.Format(s.Format); f != "" && !slices.Contains(listing.Formats(), f) {
		return bad("format %q is not known; known are %v", s.Format, listing.Formats())
	}
	if s.Fingerprint == "" {
		return nil
	}
	_, err := parseFingerprint(s.Fingerprint)
	if s.sftp() {
		_, err = parseHostKeyPin(s.Fingerprint)
	}
	if err != nil {
		return bad("%v", err)
	}
	return nil
}

func parseFingerprint(s string) ([]byte, error) {
	sum, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(s), ":", ""))
	if err != nil || len(sum) != 32 {
		return nil, fmt.Errorf("fingerprint %q is not a SHA-256 in hexadecimal (64 digits)", s)
	}
	return sum, nil
}

// Redacted is the URL without the password, for messages and the ledger.
func (s Source) Redacted() string {
	if s.URL == nil {
		return ""
	}
	if s.URL.Opaque != "" { // "user:password@host", without the slashes
		return redactRaw(s.URL.String())
	}
	u := *s.URL
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	return u.String()
}

// String is Redacted, so that a printed Source never shows its password.
func (s Source) String() string { return s.Redacted() }

// GoString is String.
func (s Source) GoString() string { return s.Redacted() }

// LogValue is Redacted.
func (s Source) LogValue() slog.Value { return slog.StringValue(s.Redacted()) }

func (s Source) addr() string {
	port := s.URL.Port()
	if port == "" {
		port = defaultPorts[s.URL.Scheme]
	}
	return net.JoinHostPort(s.URL.Hostname(), port)
}

func (s Source) user() string {
	if u := s.URL.User.Username(); u != "" {
		return u
	}
	return "anonymous"
}

func (s Source) password() string {
	if p, ok := s.URL.User.Password(); ok {
		return p
	}
	if s.Password == "" && s.user() == "anonymous" {
		return "anonymous@"
	}
	return s.Password
}

// Secure reports whether the connections are encrypted. Where they are not, whoever
// sits between reads the password and can change every file.
func (s Source) Secure() bool { return s.URL.Scheme != "ftp" }

func (s Source) sftp() bool { return s.URL.Scheme == "sftp" }

func (s Source) implicit() bool { return s.URL.Scheme == "ftps" }

func (s Source) timeout() time.Duration {
	if s.Timeout == 0 {
		return DefaultTimeout
	}
	return s.Timeout
}

func (s Source) connections() int { return max(s.Connections, 1) }

func (s Source) logger() *slog.Logger {
	if s.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Logger
}

// path is the URL's path in RFC 1738's sense: "" is the login directory.
func (s Source) path() string { return strings.TrimPrefix(s.URL.Path, "/") }

func (s Source) format() listing.Format { return listing.Format(s.Format) }
