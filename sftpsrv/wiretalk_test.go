package sftpsrv

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// shapes are the fields of requests: l a letter for a handle to come, h a handle, p a string, f flags, q and d
// numbers of 64 and 32 bits, a attributes.
var shapes = map[string]struct {
	kind   byte
	fields string
}{
	"OPEN": {fxpOpen, "lpfa"}, "CLOSE": {fxpClose, "h"}, "READ": {fxpRead, "hqd"}, "WRITE": {fxpWrite, "hqp"},
	"LSTAT": {fxpLstat, "p"}, "FSTAT": {fxpFstat, "h"}, "SETSTAT": {fxpSetstat, "pa"}, "FSETSTAT": {fxpFsetstat, "ha"},
	"OPENDIR": {fxpOpendir, "lp"}, "READDIR": {fxpReaddir, "h"}, "REMOVE": {fxpRemove, "p"}, "MKDIR": {fxpMkdir, "pa"},
	"RMDIR": {fxpRmdir, "p"}, "REALPATH": {fxpRealpath, "p"}, "STAT": {fxpStat, "p"}, "RENAME": {fxpRename, "pp"},
	"READLINK": {fxpReadlink, "p"}, "SYMLINK": {fxpSymlink, "pp"},
}

// request is the type and the body of what a line asks.
func (k *talk) request(l wireLine) (kind byte, body []byte) {
	k.t.Helper()
	args := l.words[1:]
	if l.words[0] == "RAW" || l.words[0] == "EXT" {
		if kind = fxpExtended; l.words[0] == "EXT" {
			body = packet(0, args[0])[5:]
		} else {
			kind = byte(k.number(l, args[0]))
		}
		for _, word := range args[1:] {
			body = append(body, k.field(l, word)...)
		}
		return kind, body
	}
	shape, ok := shapes[l.words[0]]
	if !ok {
		k.t.Fatalf("%s: there is no request %s", l.place, l.words[0])
	}
	for _, f := range shape.fields {
		switch f {
		case 'l':
		case 'a':
			body = append(body, k.attributes(l, args)...)
			continue
		case 'f':
			body = append(body, packet(0, k.flags(l, args[0]))[5:]...)
		case 'h':
			body = append(body, k.field(l, "h:"+args[0])...)
		case 'p':
			body = append(body, packet(0, args[0])[5:]...)
		default:
			body = append(body, k.field(l, string(f)+":"+args[0])...)
		}
		args = args[1:]
	}
	return shape.kind, body
}

// send sends a request with the next id.
func (k *talk) send(kind byte, body []byte) uint32 {
	k.t.Helper()
	return k.wire.send(kind, body)
}

func (k *talk) number(l wireLine, word string) uint64 {
	n, err := strconv.ParseUint(word, 0, 64)
	if err != nil {
		k.t.Fatalf("%s: %v", l.place, err)
	}
	return n
}

func (k *talk) field(l wireLine, word string) []byte {
	k.t.Helper()
	typ, value, _ := strings.Cut(word, ":")
	switch typ {
	case "s":
		return packet(0, value)[5:]
	case "d":
		return packet(0, uint32(k.number(l, value)))[5:]
	case "q":
		return packet(0, k.number(l, value))[5:]
	case "h": // what is no letter of a handle is sent as it is
		if id, ok := k.handles[value]; ok {
			value = id
		}
		return packet(0, value)[5:]
	case "x":
		b, err := hex.DecodeString(value)
		mustDo(k.t, err)
		return b
	}
	k.t.Fatalf("%s: %q is no field", l.place, word)
	return nil
}

func (k *talk) flags(l wireLine, word string) (flags uint32) {
	for _, letter := range word {
		bit, ok := map[rune]uint32{'r': openRead, 'w': openWrite, 'a': openAppend, 'c': openCreat, 't': openTrunc, 'x': openExcl, '-': 0}[letter]
		if !ok {
			k.t.Fatalf("%s: %c is no flag", l.place, letter)
		}
		flags |= bit
	}
	return flags
}

func (k *talk) attributes(l wireLine, args []string) []byte {
	a := map[string]string{}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		a[name] = value
	}
	var flags uint32
	var body []byte
	for _, attr := range []struct {
		name  string
		flag  uint32
		write func(v string) []byte
	}{
		{"size", attrSize, func(v string) []byte { return packet(0, k.number(l, v)) }},
		{"owner", attrUIDGID, func(v string) []byte { return packet(0, uint32(k.number(l, v)), uint32(k.number(l, v))) }},
		{"mode", attrPermissions, func(v string) []byte { return packet(0, uint32(k.number(l, "0"+v))) }},
		{"mtime", attrACModTime, func(v string) []byte { return packet(0, uint32(k.number(l, v)), uint32(k.number(l, v))) }},
		{"more", attrExtended, func(v string) []byte { return packet(0, uint32(1), v, "value") }},
	} {
		if value, ok := a[attr.name]; ok {
			flags |= attr.flag
			body = append(body, attr.write(value)[5:]...)
		}
	}
	return append(packet(0, flags)[5:], body...)
}

// list reads a folder to the end: the names but "." and "..", sorted, and the status in the end.
func (k *talk) list(l wireLine) string {
	k.t.Helper()
	var names []string
	for {
		r := k.ask(fxpReaddir, k.field(l, "h:"+l.words[1]))
		if r.kind != fxpName {
			slices.Sort(names)
			return strings.Join(append(names, k.outcome(l, r)), " ")
		}
		for n := r.body.uint32(); n > 0 && !r.body.bad; n-- {
			if name := r.body.path(); name != "." && name != ".." {
				names = append(names, name)
			}
			r.body.path()
			r.body.attributes()
		}
		if r.body.bad {
			k.t.Fatalf("%s: malformed answer", l.place)
		}
	}
}

var statusNames = [...]string{"OK", "EOF", "NO_SUCH_FILE", "PERMISSION_DENIED", "FAILURE", "BAD_MESSAGE", "NO_CONNECTION", "CONNECTION_LOST", "OP_UNSUPPORTED"}

// outcome tells of an answer in words.
func (k *talk) outcome(l wireLine, r reply) string {
	k.t.Helper()
	switch r.kind {
	case fxpVersion:
		return fmt.Sprint("VERSION ", r.id)
	case fxpStatus:
		return statusNames[r.body.uint32()]
	case fxpHandle:
		if l.words[0] == "OPEN" || l.words[0] == "OPENDIR" {
			k.handles[l.words[1]] = r.body.handle()
		}
		return "HANDLE"
	case fxpData:
		return quoteData(r.body.bytes(maxPacket))
	case fxpName:
		n, name := r.body.uint32(), r.body.path()
		if n != 1 {
			return fmt.Sprint("NAMES ", n)
		}
		if k.reference {
			name = "/" + strings.Trim(strings.TrimPrefix(name, k.dir), "/")
		}
		return name
	case fxpAttrs:
		a := r.body.attributes()
		if a.permissions&modeDirectory != 0 {
			return fmt.Sprintf("folder mode=%o mtime=%d", a.permissions&0o777, a.mtime)
		}
		return fmt.Sprintf("file size=%d mode=%o mtime=%d", a.size, a.permissions&0o777, a.mtime)
	}
	return fmt.Sprintf("type %d", r.kind)
}

// quoteData is bytes as they are told of: a long run of the same is abbreviated.
func quoteData(b []byte) string {
	if n := len(b); n > 20 && bytes.Count(b, b[:1]) == n {
		return fmt.Sprintf("%q*%d", b[:1], n)
	}
	return strconv.Quote(string(b))
}
