package ftpbridge

import (
	"strings"
)

// cmsDialect is z/VM CMS. A folder is a mini disk, ANNA.191, or a directory of the
// shared file system, POOL:ANNA.SUB; POOL:ANNA. is its top. A file is NAME.TYPE.
// The manuals disagree on how a file is named from elsewhere, so its folder is
// entered and it is named alone. The byte file system has slashes, see at.
//
// Source: z/VM TCP/IP User's Guide, "CD", "Fully-Qualified Pathnames" and "File
// name formats"; CMS User's Guide, "Naming files".
type cmsDialect struct{}

func (cmsDialect) name() string            { return "vm" }
func (cmsDialect) showsHidden() bool       { return false }
func (cmsDialect) home(path string) string { return path }

// absolute is not for mini disks: a file may have the name ANNA.191 too. Only in
// the URL are they told from files, see root.
func (cmsDialect) absolute(path string) bool {
	return strings.HasPrefix(path, "/") || strings.IndexByte(path, ':') > 0
}

func (d cmsDialect) root(home, path string) (string, error) {
	if disk := strings.TrimSuffix(path, "/"); cmsHome.MatchString(strings.ToUpper(disk)) {
		return disk, nil
	}
	return nativeRoot(d, home, path)
}

func (cmsDialect) unsafe(name string, folder bool) string {
	if why := unsafeAnywhere(name); why != "" {
		return why
	}
	if c, bad := otherThan(name, "@#$+-_.", true); bad {
		return "the name has " + quoteLine(string(rune(c))) + " in it, which has another meaning in a CMS path"
	}
	dots := strings.Count(name, ".")
	switch {
	case dots > 1 || name[0] == '.' || name[len(name)-1] == '.':
		return "the name is not one of the form NAME.TYPE"
	case folder && dots > 0:
		return "the folder's name has a dot in it, which separates folders"
	}
	return ""
}

func (d cmsDialect) folder(base, rel string) (string, error) {
	names, err := elements(d, rel, true)
	if err != nil || names == nil {
		return base, err
	}
	if strings.IndexByte(base, ':') < 0 {
		return "", nameError(rel, "a mini disk has no folders")
	}
	return strings.TrimSuffix(base, ".") + "." + strings.Join(names, "."), nil
}

// file is the name alone; see Session.full.
func (d cmsDialect) file(base, rel string) (string, error) {
	names, err := elements(d, rel, false)
	if err != nil || names == nil {
		return base, err
	}
	return names[len(names)-1], nil
}
