package sftpsrv

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"gateway/storage"
)

// The old protocol of scp ("scp -O"), as rcp of 4.2BSD brought it and OpenSSH's scp.c speaks it: the
// client starts "scp -t DIR" (we are the sink) or "scp -f FILE..." (we are the source) at the server.
// The source sends records, one line each, and the bytes of files; the sink answers every record,
// and every file, with 0, or with 1 and a line that says what is wrong with it:
//
//	Cmmmm SIZE NAME    a file; its bytes and a 0, or a 1 and a line, follow
//	Dmmmm 0 NAME       a folder begins
//	E                  it ends
//	Tmtime 0 atime 0   times of the next C or D
var (
	errProtocolSCP = errors.New("protocol error")
	errPeer        = errors.New("the other side failed") // the client said 1 and a line, or ended
)

// scpOptions are the options of scp at a server.
type scpOptions struct {
	sink, source bool // -t, -f
	recursive    bool // -r
	times        bool // -p
	directory    bool // -d: the target has to be a folder
}

// parseSCP reads the options and returns the operands.
func parseSCP(args []word) (scpOptions, []word, error) {
	var o scpOptions
	for len(args) > 0 && strings.HasPrefix(args[0].text, "-") && args[0].text != "-" {
		letters := args[0].text[1:]
		args = args[1:]
		if letters == "-" {
			break
		}
		for _, letter := range letters {
			switch letter {
			case 't':
				o.sink = true
			case 'f':
				o.source = true
			case 'r':
				o.recursive = true
			case 'p':
				o.times = true
			case 'd':
				o.directory = true
			case 'v', 'q': // how much the client's user wants to read
			default:
				return o, nil, fmt.Errorf("option -%c is not supported", letter)
			}
		}
	}
	switch {
	case o.sink == o.source:
		return o, nil, errors.New("only for the scp of a client to start: with -t or -f")
	case o.sink && len(args) != 1:
		return o, nil, errors.New("ambiguous target: one name is needed; put it into quotes twice if it has blanks")
	case len(args) == 0:
		return o, nil, errors.New("no file is named")
	}
	return o, args, nil
}

func (c *command) scp(args []word) uint32 {
	o, args, err := parseSCP(args)
	if err != nil {
		return c.complain(exitUsage, "scp: %v", err)
	}
	x := &scpExchange{command: c, scpOptions: o}
	if o.sink {
		err = x.receive(args[0].text)
	} else {
		err = x.sendAll(args)
	}
	switch {
	case errors.Is(err, errProtocolSCP):
		_ = x.report(2, err.Error()) // the connection is useless either way
		c.log.Warn("scp ended early", "error", err)
		return exitFailure
	case err != nil || x.failed:
		return exitFailure
	}
	return exitOK
}

// scpExchange is one conversation of either direction.
type scpExchange struct {
	*command
	scpOptions
	failed bool // something was reported, or the client reported something
}

// ok sends the answer that all is well.
func (x *scpExchange) ok() error {
	_, err := x.out.Write([]byte{0})
	return err
}

// report sends an error: 1, or 2 if nothing more can follow.
func (x *scpExchange) report(level byte, text string) error {
	x.failed = true
	line := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
	_, err := fmt.Fprintf(x.out, "%cscp: %s\n", level, line[:min(len(line), maxRecord/2)])
	return err
}

// reject reports what is wrong with one file.
func (x *scpExchange) reject(name string, err error) error {
	return x.report(1, clientPath(name)+": "+x.reason(err))
}

// response reads the answer to what was sent; errPeer if it is not 0. After a 2 the client
// takes nothing more, which the next reading or writing shows.
func (x *scpExchange) response() error {
	b, err := x.in.ReadByte()
	switch {
	case err != nil:
		return err
	case b == 0:
		return nil
	case b == 1, b == 2:
		line, err := readRecord(x.in)
		if err != nil {
			return err
		}
		x.failed = true
		return fmt.Errorf("%w: %.200q", errPeer, line)
	}
	return fmt.Errorf("%w: answer %q", errProtocolSCP, b)
}

// readRecord reads the rest of a line, without its end.
func readRecord(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull) || len(line) > maxRecord:
		return "", fmt.Errorf("%w: a record is longer than %d bytes", errProtocolSCP, maxRecord)
	case errors.Is(err, io.EOF) && len(line) > 0:
		return "", io.ErrUnexpectedEOF
	case err != nil:
		return "", err
	}
	return string(bytes.TrimSuffix(line, []byte("\n"))), nil
}

// scpRecord is what a C or a D record says.
type scpRecord struct {
	perm fs.FileMode
	size int64
	name string
}

// parseRecord reads a C or D record after its letter. The name is one element of a path.
func parseRecord(line string) (scpRecord, error) {
	mode, rest, _ := strings.Cut(line, " ")
	size, name, found := strings.Cut(rest, " ")
	perm, modeErr := strconv.ParseUint(mode, 8, 16)
	n, sizeErr := parseDigits(size)
	switch {
	case !found || modeErr != nil || sizeErr != nil || len(mode) != 4:
		return scpRecord{}, fmt.Errorf("%w: record %.100q", errProtocolSCP, line)
	case name == "" || name == "." || name == ".." || strings.Contains(name, "/"):
		return scpRecord{}, fmt.Errorf("%w: unexpected file name %.100q", errProtocolSCP, name)
	}
	return scpRecord{perm: fs.FileMode(perm) & fs.ModePerm, size: n, name: name}, nil
}

// parseTimes reads a T record after its letter and returns the modification time.
func parseTimes(line string) (time.Time, error) {
	fields := strings.Split(line, " ")
	if len(fields) != 4 {
		return time.Time{}, fmt.Errorf("%w: times %.100q", errProtocolSCP, line)
	}
	var n [4]int64
	for i, f := range fields {
		var err error
		if n[i], err = parseDigits(f); err != nil {
			return time.Time{}, fmt.Errorf("%w: times %.100q", errProtocolSCP, line)
		}
	}
	t := time.Unix(n[0], n[1]*1000)
	if n[1] >= 1e6 || n[3] >= 1e6 || !storage.ValidModTime(t) {
		return time.Time{}, fmt.Errorf("%w: times %.100q are out of range", errProtocolSCP, line)
	}
	return t, nil
}

// parseDigits reads a number of digits alone.
func parseDigits(s string) (int64, error) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, strconv.ErrSyntax
		}
	}
	return strconv.ParseInt(s, 10, 64)
}
