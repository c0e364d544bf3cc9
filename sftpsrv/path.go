package sftpsrv

import (
	"fmt"
	"path"
	"strings"
	"time"

	"gateway/storage"
)

// cleanPath turns a path of a client into a name of storage. Relative paths start
// at the user's root, ".." is resolved in the text (there are no links to make it
// mean something else) and does not leave the root.
func cleanPath(p string) (string, error) {
	return storage.CleanName(path.Clean("/" + p))
}

// clientPath is how a client is told of a name.
func clientPath(name string) string { return "/" + name }

// below reports whether name is inside of the directory dir.
func below(name, dir string) bool {
	return dir == "" && name != "" || strings.HasPrefix(name, dir+"/")
}

// longName is a line of READDIR for people, in the form of "ls -l" that the
// draft recommends in section 7 and that some clients parse.
func longName(info storage.Info, owner string, now time.Time) string {
	mode := []byte("-rwxrwxrwx")
	if info.IsDir() {
		mode[0] = 'd'
	}
	perm := wireMode(info)
	for i := range 9 {
		if perm&(1<<(8-i)) == 0 {
			mode[1+i] = '-'
		}
	}
	modified := info.ModTime.UTC()
	layout := "Jan _2 15:04"
	if age := now.Sub(modified); age > 182*24*time.Hour || age < -time.Hour {
		layout = "Jan _2  2006"
	}
	return fmt.Sprintf("%s    1 %-8s %-8s %8d %s %s", mode, owner, owner, max(info.Size, 0), modified.Format(layout), info.Name)
}

// listOwner is a user name that fits into a column of longName.
func listOwner(user string) string {
	owner := strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, user)
	if owner == "" {
		return "-"
	}
	return owner
}
