package ftpbridge

import (
	"strings"
)

// dialect is how a kind of server names and enters things. Paths are raw bytes.
type dialect interface {
	// name is for people: "unix", "dos".
	name() string
	// absolute reports whether path does not depend on the current directory.
	absolute(path string) bool
	// join names an entry of dir.
	join(dir, name string) string
	// unsafe says why an entry's name must not be used in a path, "" when it may.
	unsafe(name string) string
	// showsHidden reports whether LIST -a is worth trying.
	showsHidden() bool
}

// unixDialect is every server with slashes; the default.
type unixDialect struct{}

func (unixDialect) name() string              { return "unix" }
func (unixDialect) absolute(path string) bool { return strings.HasPrefix(path, "/") }
func (unixDialect) showsHidden() bool         { return true }

func (unixDialect) join(dir, name string) string {
	if dir == "" || name == "" {
		return dir + name
	}
	return strings.TrimSuffix(dir, "/") + "/" + name
}

func (unixDialect) unsafe(name string) string {
	switch {
	case len(name) == 0:
		return "the name is empty"
	case strings.IndexByte(name, '/') >= 0:
		return "the name has a slash in it"
	case strings.ContainsAny(name, "\r\n\x00"):
		return "the name has a line break or NUL, which no FTP command can carry"
	}
	return ""
}

// dosDialect is IIS and other servers on Windows: they take forward slashes, a
// drive letter makes a path absolute, and backslash cannot be part of a name.
type dosDialect struct{ unixDialect }

func (dosDialect) name() string      { return "dos" }
func (dosDialect) showsHidden() bool { return false }

func (dosDialect) absolute(path string) bool {
	return strings.HasPrefix(path, "/") || strings.HasPrefix(path, `\`) ||
		len(path) >= 2 && path[1] == ':' && (path[0]|0x20 >= 'a' && path[0]|0x20 <= 'z')
}

func (d dosDialect) unsafe(name string) string {
	// A backslash after a byte over 0x80 may be the second half of a Shift_JIS
	// or GBK character, so only a backslash that follows ASCII is refused.
	if strings.IndexByte(name, ':') >= 0 {
		return "the name has a colon in it"
	}
	for i := range len(name) {
		if name[i] == '\\' && (i == 0 || name[i-1] < 0x80) {
			return "the name has a backslash in it"
		}
	}
	return d.unixDialect.unsafe(name)
}

// detectDialect goes by SYST (RFC 959 section 4.1.3), then by the greeting.
func detectDialect(greeting, syst string) dialect {
	switch {
	case strings.Contains(syst, "Windows_NT"), strings.HasPrefix(syst, "Windows"):
		return dosDialect{}
	case syst == "" && strings.Contains(greeting, "Microsoft FTP Service"):
		return dosDialect{}
	}
	return unixDialect{}
}

// software guesses the server's name from what it says of itself.
func software(greeting, syst string) string {
	all := greeting + "\n" + syst
	for _, s := range []struct{ mark, name string }{
		{"vsFTPd", "vsftpd"}, {"Pure-FTPd", "Pure-FTPd"}, {"ProFTPD", "ProFTPD"},
		{"pyftpdlib", "pyftpdlib"}, {"GNU inetutils", "GNU inetutils"}, {"Linux-ftpd", "linux-ftpd"},
		{"FileZilla Server", "FileZilla Server"}, {"Microsoft FTP Service", "Microsoft IIS"},
		{"Windows_NT", "Microsoft IIS"}, {"Serv-U", "Serv-U"}, {"wu-", "WU-FTPD"},
	} {
		if strings.Contains(all, s.mark) {
			return s.name
		}
	}
	return ""
}

// doubling is whether a server takes 0xFF in a command as Telnet's IAC, which
// RFC 959 section 4.1 would have doubled.
type doubling int8

const (
	doublingUnknown doubling = iota
	doublingYes
	doublingNo
)

func knownDoubling(software string) doubling {
	switch software {
	case "ProFTPD", "GNU inetutils", "linux-ftpd", "WU-FTPD":
		return doublingYes
	case "vsftpd", "Pure-FTPd", "pyftpdlib":
		return doublingNo
	}
	return doublingUnknown
}

// spellings gives the forms in which path may have to be sent, likeliest first.
func spellings(path string, d doubling) []string {
	if !strings.Contains(path, "\xff") {
		return []string{path}
	}
	doubled := strings.ReplaceAll(path, "\xff", "\xff\xff")
	switch d {
	case doublingYes:
		return []string{doubled}
	case doublingNo:
		return []string{path}
	}
	return []string{doubled, path}
}
