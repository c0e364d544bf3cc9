package ftpbridge

import (
	"strings"
)

// nonstopDialect is the Guardian file system of HP NonStop, once Tandem:
// $VOLUME.SUBVOL.FILE, with \SYSTEM before it where the server shows it. Its Unix
// side (OSS) has slashes, see at.
//
// Source: HPE, TCP/IP Applications and Utilities User Guide, "Communicating With
// the FTP Server"; Guardian Programmer's Guide, "File names".
type nonstopDialect struct{}

func (nonstopDialect) name() string            { return "nonstop" }
func (nonstopDialect) showsHidden() bool       { return false }
func (nonstopDialect) home(path string) string { return path }

func (d nonstopDialect) root(home, path string) (string, error) { return nativeRoot(d, home, path) }

func (nonstopDialect) absolute(path string) bool {
	return path != "" && strings.IndexByte(`\$/`, path[0]) >= 0
}

func (nonstopDialect) unsafe(name string, _ bool) string {
	if why := unsafeAnywhere(name); why != "" {
		return why
	}
	if c, bad := otherThan(name, "", false); bad {
		return "the name has " + quoteLine(string(rune(c))) + " in it, which no Guardian file has"
	}
	if len(name) > 8 {
		return "the name is longer than the 8 characters of a Guardian file"
	}
	return ""
}

func (d nonstopDialect) folder(base, rel string) (string, error) {
	names, err := elements(d, rel, true)
	if c, bad := otherThan(base, `\$.`, false); bad && err == nil {
		err = nameError(base, "it has "+quoteLine(string(rune(c)))+" in it, which no Guardian file has")
	}
	if err != nil || names == nil {
		return base, err
	}
	if guardianLevel(base)+len(names) != 2 {
		return "", nameError(rel, "a Guardian volume has subvolumes, and they have files, but no folders")
	}
	return base + "." + names[0], nil
}

func (d nonstopDialect) file(base, rel string) (string, error) {
	names, err := elements(d, rel, false)
	if c, bad := otherThan(base, `\$.`, false); bad && err == nil {
		err = nameError(base, "it has "+quoteLine(string(rune(c)))+" in it, which no Guardian file has")
	}
	if err != nil || names == nil {
		return base, err
	}
	if guardianLevel(base)+len(names) != 3 {
		return "", nameError(rel, "a Guardian file lies in a subvolume: $VOLUME.SUBVOL")
	}
	return base + "." + strings.Join(names, "."), nil
}

// guardianLevel is 1 for $VOLUME and 2 for $VOLUME.SUBVOL, and what no sum fits
// with for anything else.
func guardianLevel(base string) int {
	if !nonstopHome.MatchString(base) {
		return -10
	}
	_, volume, _ := strings.Cut(base, "$")
	return 1 + strings.Count(volume, ".")
}
