package ftpbridge

import (
	"fmt"
	"strings"
)

// dialect is how a kind of server names and enters things.
//
// Above the session a path is the names as listed, with slashes between,
// relative to the source's folder. A dialect makes of it, and of the native path
// of that folder (base), what the server understands. It refuses, with
// [ErrName], names that its syntax would take for something else.
type dialect interface {
	// name is that of Source.Dialect and ServerInfo.Dialect.
	name() string
	// absolute reports whether path begins with a native path that does not
	// depend on the current directory. No name that unsafe lets pass does.
	absolute(path string) bool
	// folder and file give the native path of what lies at rel below base; rel
	// may be "".
	folder(base, rel string) (string, error)
	file(base, rel string) (string, error)
	// unsafe says why an entry's name must not be used in a path, "" when it may.
	unsafe(name string, folder bool) string
	// showsHidden reports whether LIST -a is worth trying.
	showsHidden() bool
}

// nativeDialect is a dialect whose paths do not have the form of Unix paths.
type nativeDialect interface {
	dialect
	// home reads the path in a reply to PWD.
	home(path string) string
	// root is the native path of the folder that the path of a URL means.
	root(home, path string) (string, error)
}

// dialectNamed is what Source.Dialect may say.
func dialectNamed(name string) (dialect, bool) {
	switch name {
	case "unix":
		return unixDialect{}, true
	case "dos":
		return dosDialect{}, true
	case "vms":
		return vmsDialect{}, true
	case "mvs", "zos":
		return mvsDialect{}, true
	case "os400":
		return os400Dialect{}, true
	case "nonstop":
		return nonstopDialect{}, true
	case "vm":
		return cmsDialect{}, true
	}
	return nil, false
}

// Dialects are the names that Source.Dialect may have: unix, dos (IIS), vms
// (OpenVMS), mvs or zos (z/OS), os400 (IBM i), nonstop (HP NonStop Guardian) and
// vm (z/VM CMS).
func Dialects() []string {
	return []string{"unix", "dos", "vms", "mvs", "zos", "os400", "nonstop", "vm"}
}

// joinPath names an entry of dir where slashes separate names.
func joinPath(dir, name string) string {
	if dir == "" || name == "" {
		return dir + name
	}
	return strings.TrimSuffix(dir, "/") + "/" + name
}

// unixDialect is every server with slashes; the default.
type unixDialect struct{}

func (unixDialect) name() string                            { return "unix" }
func (unixDialect) absolute(path string) bool               { return strings.HasPrefix(path, "/") }
func (unixDialect) showsHidden() bool                       { return true }
func (unixDialect) folder(base, rel string) (string, error) { return joinPath(base, rel), nil }
func (unixDialect) file(base, rel string) (string, error)   { return joinPath(base, rel), nil }
func (unixDialect) unsafe(name string, _ bool) (why string) { return unsafeAnywhere(name) }

// unsafeAnywhere is for names that can be part of no path.
func unsafeAnywhere(name string) string {
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

// slashDialect is the part of another system that has Unix paths, such as the
// hierarchical file system of z/OS.
type slashDialect struct {
	unixDialect
	system string
}

func (d slashDialect) name() string { return d.system }

// dosDialect is IIS and other servers on Windows: they take forward slashes, a
// drive letter makes a path absolute, and backslash cannot be part of a name.
// Source: Microsoft, Naming Files, Paths, and Namespaces.
type dosDialect struct{ unixDialect }

func (dosDialect) name() string      { return "dos" }
func (dosDialect) showsHidden() bool { return false }

func (dosDialect) absolute(path string) bool {
	return strings.HasPrefix(path, "/") || strings.HasPrefix(path, `\`) ||
		len(path) >= 2 && path[1] == ':' && (path[0]|0x20 >= 'a' && path[0]|0x20 <= 'z')
}

func (dosDialect) unsafe(name string, _ bool) string {
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
	if name != "" && strings.Trim(name, ". ") == "" {
		return "Windows drops dots and blanks at the end of a name, so nothing is left of this one"
	}
	return unsafeAnywhere(name)
}

// at is the dialect of what lies at a native path: several systems serve a Unix
// tree beside their own, or in its place.
func at(d dialect, root string) dialect {
	if _, native := d.(nativeDialect); native && strings.HasPrefix(root, "/") {
		return slashDialect{system: d.name()}
	}
	return d
}

// splitAbsolute takes an absolute path apart: a native folder and, where slashes
// follow it, the names below.
func splitAbsolute(d dialect, path string) (base, rel string) {
	if _, native := d.(nativeDialect); !native || strings.HasPrefix(path, "/") {
		return path, ""
	}
	base, rel, _ = strings.Cut(path, "/")
	return base, rel
}

// nativeRoot is the root of most native dialects.
func nativeRoot(d dialect, home, path string) (string, error) {
	if d.absolute(path) {
		return d.folder(splitAbsolute(d, path))
	}
	return d.folder(home, strings.TrimSuffix(path, "/"))
}

// elements takes rel apart and checks every name in it; all but the last of a
// file are folders.
func elements(d dialect, rel string, folder bool) ([]string, error) {
	if rel == "" {
		return nil, nil
	}
	names := strings.Split(rel, "/")
	for i, name := range names {
		if why := d.unsafe(name, folder || i < len(names)-1); why != "" {
			return nil, nameError(name, why)
		}
	}
	return names, nil
}

func nameError(name, why string) error {
	return fmt.Errorf("%w: %s: %s", ErrName, quoteLine(name), why)
}

// otherThan is the first byte of name that is neither a letter, a digit, one of
// more, nor over 0x7F where high is set; the letters of most national EBCDIC
// and ASCII codes are there.
func otherThan(name, more string, high bool) (byte, bool) {
	for _, c := range []byte(name) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		digit := c >= '0' && c <= '9'
		if !letter && !digit && strings.IndexByte(more, c) < 0 && (!high || c < 0x80) {
			return c, true
		}
	}
	return 0, false
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
