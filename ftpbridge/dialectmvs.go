package ftpbridge

import (
	"strings"
)

// mvsDialect is z/OS: data sets below a prefix, 'HLQ.', and members of a
// partitioned data set (PDS), 'HLQ.LIB(MEMBER)'. A prefix ends with a dot, the
// name of a PDS does not. Data sets have no tree: the whole rest of a name,
// A.B.C, is one entry of the prefix, and the only folders are PDSs. What begins
// with a slash is the Unix file system (HFS), see at.
//
// Names are sent in quotes, so that no prefix is put before them.
//
// Source: z/OS Communications Server, IP User's Guide and Commands, "Naming
// MVS data sets", "DIRECTORYMODE" and "QUOTESOVERRIDE".
type mvsDialect struct{}

func (mvsDialect) name() string      { return "mvs" }
func (mvsDialect) showsHidden() bool { return false }

func (mvsDialect) absolute(path string) bool {
	return strings.HasPrefix(path, "'") || strings.HasPrefix(path, "/")
}

func (mvsDialect) home(path string) string {
	if path == "" || strings.HasPrefix(path, "'") || strings.HasPrefix(path, "/") {
		return path
	}
	return "'" + path + "'"
}

// root takes a prefix below home too, which no listing shows: SUB. is 'HLQ.SUB.'.
func (d mvsDialect) root(home, path string) (string, error) {
	path = strings.TrimSuffix(path, "/")
	name, prefix := strings.CutSuffix(path, ".")
	if d.absolute(path) || !prefix {
		return nativeRoot(d, home, path)
	}
	full, err := d.folder(home, name)
	return strings.TrimSuffix(full, "'") + ".'", err
}

func (mvsDialect) unsafe(name string, _ bool) string {
	if why := unsafeAnywhere(name); why != "" {
		return why
	}
	if len(name) > 2 && name[0] == '\'' && name[len(name)-1] == '\'' {
		return "the data set is listed by its full name, as what is not below the prefix of the folder"
	}
	if c, bad := otherThan(name, "@#$-_.{+", true); bad {
		return "the name has " + quoteLine(string(rune(c))) + " in it, which no data set or member has"
	}
	if name[0] == '.' || name[len(name)-1] == '.' || strings.Contains(name, "..") {
		return "the name has an empty part"
	}
	return ""
}

// mvsBase reads 'A.B.' and 'A.B'.
func mvsBase(base string) (name string, prefix bool, err error) {
	if len(base) < 2 || base[0] != '\'' || base[len(base)-1] != '\'' || strings.Contains(base[1:len(base)-1], "'") {
		return "", false, nameError(base, "it is no data set or prefix; write it in quotes: 'HLQ.' or 'HLQ.LIBRARY'")
	}
	name = base[1 : len(base)-1]
	return name, name == "" || strings.HasSuffix(name, "."), nil
}

func (d mvsDialect) folder(base, rel string) (string, error) {
	names, err := elements(d, rel, true)
	if err != nil {
		return "", err
	}
	name, prefix, err := mvsBase(base)
	if err != nil || names == nil {
		return base, err
	}
	if !prefix || len(names) > 1 {
		return "", nameError(rel, "a data set has members, but no folders")
	}
	return "'" + name + names[0] + "'", nil
}

func (d mvsDialect) file(base, rel string) (string, error) {
	names, err := elements(d, rel, false)
	if err != nil {
		return "", err
	}
	name, prefix, err := mvsBase(base)
	switch {
	case err != nil:
		return "", err
	case names == nil:
		return base, nil
	case prefix && len(names) == 1:
		return "'" + name + names[0] + "'", nil
	case prefix && len(names) == 2:
		return "'" + name + names[0] + "(" + names[1] + ")'", nil
	case !prefix && len(names) == 1:
		return "'" + name + "(" + names[0] + ")'", nil
	}
	return "", nameError(rel, "a member has nothing below it")
}
