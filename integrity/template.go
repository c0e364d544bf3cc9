package integrity

import (
	"errors"
	"strings"
)

const (
	dirHolder  = "{dir}"
	nameHolder = "{name}"
)

// template is where a piece of evidence lies: a fixed path, or a name in the
// folder of the file it speaks of.
type template struct {
	fixed  string // a whole path, if inDir is false
	inDir  bool
	named  bool // prefix and suffix stand around the file's name
	prefix string
	suffix string
}

func parseTemplate(text string) (template, error) {
	rest, inDir := strings.CutPrefix(text, dirHolder+"/")
	var t template
	if !inDir {
		if strings.ContainsAny(text, "{}") {
			return t, errors.New(`placeholders stand as "{dir}/..." with an optional {name} in the last element`)
		}
		return template{fixed: text}, checkPath(text)
	}
	if strings.Contains(rest, "/") {
		return t, errors.New(`"{dir}/" takes one name: a manifest names files in its own folder or below`)
	}
	t = template{inDir: true, prefix: rest}
	t.prefix, t.suffix, t.named = strings.Cut(rest, nameHolder)
	if strings.ContainsAny(t.prefix+t.suffix, "{}") {
		return t, errors.New("only {dir} at the start and one {name} are placeholders")
	}
	if t.named && t.prefix+t.suffix == "" {
		return t, errors.New("the evidence cannot have the name of the file itself")
	}
	return t, checkPath(t.expand("", "x"))
}

// checkPath holds paths of a policy to clean relative ones.
func checkPath(path string) error {
	if strings.ContainsRune(path, 0) {
		return errors.New("contains a NUL")
	}
	for part := range strings.SplitSeq(path, "/") {
		switch part {
		case "":
			return errors.New("write a relative path without empty elements")
		case ".", "..":
			return errors.New(`"." and ".." are not allowed`)
		}
	}
	return nil
}

func (t template) zero() bool { return t == template{} }

// sameShape reports that both need the same placeholders, so that a signature
// tells its manifest.
func (t template) sameShape(other template) bool {
	return t.inDir == other.inDir && t.named == other.named
}

func (t template) expand(dir, name string) string {
	if !t.inDir {
		return t.fixed
	}
	if t.named {
		return joinPath(dir, t.prefix+name+t.suffix)
	}
	return joinPath(dir, t.prefix)
}

// lies reports whether the template without a name is this very path.
func (t template) lies(path string) bool {
	_, _, ok := t.bind(path)
	return ok && !t.named
}

// bind is the inverse of expand: the folder and, if the template has it, the
// name of which path is the evidence.
func (t template) bind(path string) (dir, name string, ok bool) {
	if t.zero() {
		return "", "", false
	}
	if !t.inDir {
		return "", "", path == t.fixed
	}
	dir, base := splitPath(path)
	if !t.named {
		return dir, "", base == t.prefix
	}
	rest, okPrefix := strings.CutPrefix(base, t.prefix)
	name, okSuffix := strings.CutSuffix(rest, t.suffix)
	return dir, name, okPrefix && okSuffix && name != ""
}
