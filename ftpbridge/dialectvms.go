package ftpbridge

import (
	"strings"
)

// vmsDialect is OpenVMS: DEV:[A.B]F.TXT;1. A folder is listed as SUB.DIR;1 and
// entered as [A.SUB]; the root of a volume is [000000]. Files are fetched without
// a version, which means the highest.
//
// On ODS-5 volumes ^ takes the meaning from the byte behind it (A^.B.TXT). Names
// are sent with these escapes, as they are listed.
//
// Source: OpenVMS User's Manual, "Directory specifications" and "Extended File
// Specifications"; TCP/IP Services for OpenVMS User's Guide, FTP.
type vmsDialect struct{}

func (vmsDialect) name() string                             { return "vms" }
func (vmsDialect) showsHidden() bool                        { return false }
func (vmsDialect) home(path string) string                  { return path }
func (d vmsDialect) root(home, path string) (string, error) { return nativeRoot(d, home, path) }

// absolute is for DEV:[A], DEV:, and [A]; not for [.A], [-] and [], which count
// from the current directory.
func (vmsDialect) absolute(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	if first == "" {
		return path != "" // a server that takes Unix paths
	}
	if first[0] == '[' || first[0] == '<' {
		return len(first) > 2 && strings.IndexByte(".-]>", first[1]) < 0
	}
	return vmsUnescaped(first, ":") >= 0
}

// vmsUnescaped is where the first byte of set is in s that no ^ stands before.
func vmsUnescaped(s, set string) int {
	for i := 0; i < len(s); i++ {
		if s[i] == '^' {
			i++
		} else if strings.IndexByte(set, s[i]) >= 0 {
			return i
		}
	}
	return -1
}

func (vmsDialect) unsafe(name string, folder bool) string {
	if why := unsafeAnywhere(name); why != "" {
		return why
	}
	if i := vmsUnescaped(name, "[]<>:;,*%?\"\\| \t"); i >= 0 {
		return "the name has " + quoteLine(name[i:i+1]) + " in it, which has another meaning in a VMS path"
	}
	switch {
	case strings.HasSuffix(strings.ReplaceAll(name, "^^", ""), "^"):
		return "the name ends with an escape"
	case strings.Trim(name, ".") == "":
		return "the name is one of dots, which mean other folders"
	case folder && vmsUnescaped(name, ".") >= 0:
		return "the folder's name has a dot in it, which separates folders"
	case folder && (strings.Trim(name, "-") == "" || name == "000000"):
		return "the folder's name means another folder in a VMS path"
	}
	return ""
}

func (d vmsDialect) folder(base, rel string) (string, error) {
	names, err := elements(d, rel, true)
	if err != nil {
		return "", err
	}
	return vmsBelow(base, names)
}

func (d vmsDialect) file(base, rel string) (string, error) {
	names, err := elements(d, rel, false)
	if err != nil || names == nil {
		return base, err
	}
	last := names[len(names)-1]
	dir, err := vmsBelow(base, names[:len(names)-1])
	if err != nil {
		return "", err
	}
	if end := dir[len(dir)-1]; end != ']' && end != '>' && end != ':' {
		return "", nameError(base, "it is no VMS directory")
	}
	if dot := vmsUnescaped(last, "."); dot >= 0 && vmsUnescaped(last[dot+1:], ".") >= 0 {
		last += ";" // else F.TXT.3 would be the third version of F.TXT
	}
	return dir + last, nil
}

// vmsBelow puts names into the brackets of base. The brackets may be those of a
// volume's root, [000000], or follow those of a rooted logical name, [ROOT.].
func vmsBelow(base string, names []string) (string, error) {
	if len(names) == 0 {
		return base, nil
	}
	opened := -1
	for i := 0; i < len(base); i++ {
		switch base[i] {
		case '^':
			i++
		case '[', '<':
			opened = i
		}
	}
	if opened < 0 || opened+2 >= len(base) || base[len(base)-1] != base[opened]+2 {
		return "", nameError(base, "it is no VMS directory; write it in full: DEVICE:[FOLDER.SUBFOLDER]")
	}
	within := base[opened+1 : len(base)-1]
	before, after := base[:opened+1], base[len(base)-1:]
	switch {
	case within == "000000":
		within = ""
	case strings.HasSuffix(within, "."):
		before, within = base+base[opened:opened+1], ""
	default:
		within = strings.TrimSuffix(within, ".000000") + "."
	}
	return before + within + strings.Join(names, ".") + after, nil
}
