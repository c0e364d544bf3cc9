package listing

import (
	"bytes"
	"strings"
)

// vmsDir is a directory of VMS, such as DISK$USER:[ANNA.MAIL].
type vmsDir struct{ device, path string } // "DISK$USER:", "ANNA.MAIL"; the path of a root is ""

// maxVMSDir is the longest specification of a directory in bytes that is read; VMS prints no longer ones.
const maxVMSDir = 512

// parseVMSDir reads a specification. In that of a rooted logical name, DISK:[ROOT.][SUB], the middle is left out.
func parseVMSDir(b []byte) (vmsDir, bool) {
	lo := bytes.IndexAny(b, "[<")
	hi := len(b) - 1
	if lo < 0 || hi <= lo || len(b) > maxVMSDir || b[hi] != b[lo]+2 || bytes.IndexByte(b, ' ') >= 0 {
		return vmsDir{}, false
	}
	middle := string([]byte{b[hi], b[lo]})
	path := string(b[lo+1 : hi])
	path = strings.ReplaceAll(path, "."+middle, ".")
	path = strings.ReplaceAll(path, middle, ".")
	path = strings.TrimSuffix(strings.TrimPrefix(path+".", "000000."), ".")
	return vmsDir{string(b[:lo]), strings.TrimSuffix(path, ".000000")}, true
}

// from is the path of d from base, as a prefix of names.
func (d vmsDir) from(base vmsDir) (string, bool) {
	path := d.path
	if base.path != "" && path != "" {
		path = strings.TrimPrefix(path+".", base.path+".")
		if len(path) > len(d.path) {
			return "", false
		}
		path = strings.TrimSuffix(path, ".")
	}
	if d.device != base.device || base.path != "" && d.path == "" {
		return "", false
	}
	if path == "" {
		return "", true
	}
	out := []byte(path)
	for i := range out {
		if out[i] == '.' && (i == 0 || out[i-1] != '^') {
			out[i] = '/'
		}
	}
	return string(out) + "/", true
}

// enter notes that the entries of another directory follow.
func (p *vmsParser) enter(b []byte) bool {
	d, ok := parseVMSDir(b)
	if !ok {
		return false
	}
	if !p.begun || !p.seen {
		p.begun, p.base, p.prefix = true, d, ""
		return true
	}
	if p.prefix, ok = d.from(p.base); !ok {
		p.prefix = string(b)
	}
	return true
}

// banner reads the lines around the entries. It is a miss with a reason for one that nothing else should look at.
func (p *vmsParser) banner(b []byte) (verdict, string) {
	b = bytes.Trim(b, " \t\r")
	if len(b) == 0 {
		return ignore, ""
	}
	switch b[0] {
	case 'D':
		if rest, ok := bytes.CutPrefix(b, []byte("Directory ")); ok && p.enter(bytes.TrimLeft(rest, " ")) {
			return header, ""
		}
	case 'T', 'G':
		if v := vmsTotal(b); v != miss {
			return v, ""
		}
	case '%':
		if severity, ident := vmsMessage(b); nothingFound(ident) {
			return header, ""
		} else if severity != 0 {
			return miss, "a message of the server"
		}
	}
	if last := b[len(b)-1]; last == ']' && bytes.Contains(b, []byte(":[")) && p.enter(b) {
		return header, ""
	} else if last == ':' && p.begun && bytes.IndexByte(b, ' ') < 0 {
		return ignore, ""
	}
	return miss, ""
}

// vmsTotal reads "Total of 3 files, 12/16 blocks.", "Grand total of 2 directories, 3 files, 12 blocks.", "Total of 12
// blocks in 3 files." and "Total 3 files".
func vmsTotal(b []byte) verdict {
	of := false
	for _, s := range []string{"Total of ", "Grand total of ", "Total "} {
		if rest, ok := bytes.CutPrefix(b, []byte(s)); ok {
			b, of = rest, s != "Total "
			break
		}
	}
	_, n := number(b)
	low := bytes.ToLower(b[n:min(len(b), n+200)])
	counts := bytes.Contains(low, []byte(" file")) || bytes.Contains(low, []byte(" block")) || bytes.Contains(low, []byte(" director"))
	switch {
	case n == 0 || !counts || bytes.Contains(low, []byte(" page")):
		return miss
	case of:
		return header
	}
	return ignore
}
