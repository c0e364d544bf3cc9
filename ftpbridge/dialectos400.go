package ftpbridge

import "strings"

// os400Dialect is IBM i, once OS/400. After SITE NAMEFMT 1 all its file systems
// are one tree with slashes: /home/anna/x.txt, and for libraries
// /QSYS.LIB/X.LIB/F.FILE/M.MBR. A server that refuses it keeps to LIBRARY/FILE.MEMBER,
// which is joined in the same way.
//
// Source: IBM i, Networking: File Transfer Protocol, "File systems and naming
// conventions" and "SITE (Send Information Used by a Server System)".
type os400Dialect struct{ unixDialect }

func (os400Dialect) name() string      { return "os400" }
func (os400Dialect) showsHidden() bool { return false }

// inLibrary reports whether a path is one of the library file system, which
// independent disk pools have one of each: /POOL/QSYS.LIB.
func inLibrary(path string) bool {
	return strings.Contains(strings.ToUpper(path)+"/", "/QSYS.LIB/")
}

// databaseFile is the last name of the path of a database file in a library.
func databaseFile(path string) (name string, ok bool) {
	name = path[strings.LastIndexByte(path, '/')+1:]
	return name, inLibrary(path) && hasSuffixFold(name, ".FILE")
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}
