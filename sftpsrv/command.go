package sftpsrv

import (
	"bufio"
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"gateway/storage"
)

// Exit statuses of commands, as shells and coreutils have them.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	exitUnknown = 127
)

// onlyThese is what somebody is told who asks for more.
const onlyThese = "Only SFTP, scp and checksums (md5sum, sha1sum, sha256sum, sha512sum) are available here; there is no shell.\r\n"

// command is one exec request. Nothing is ever executed: a few commands that clients send beside
// SFTP are understood and carried out by the gateway itself.
type command struct {
	*resources
	ctx         context.Context
	in          *bufio.Reader
	out, stderr *pacedWriter
}

// pacedWriter writes in pieces and knows for how long the client has left one untaken.
type pacedWriter struct {
	w     io.Writer
	since atomic.Int64 // when the write under way began, Unix nanoseconds; 0: none is
	moved func()       // called for every piece
}

// Write implements io.Writer.
func (p *pacedWriter) Write(b []byte) (n int, err error) {
	for len(b) > 0 && err == nil {
		var some int
		p.since.Store(time.Now().UnixNano())
		some, err = p.w.Write(b[:min(len(b), stallPiece)])
		p.since.Store(0)
		p.moved()
		n += some
		b = b[some:]
	}
	return n, err
}

func (p *pacedWriter) stalled(now time.Time, limit time.Duration) bool {
	since := p.since.Load()
	return since != 0 && now.Sub(time.Unix(0, since)) > limit
}

// activeReader notes that a client sends something.
type activeReader struct {
	r     io.Reader
	moved func()
}

// Read implements io.Reader.
func (a activeReader) Read(p []byte) (int, error) {
	n, err := a.r.Read(p)
	if n > 0 {
		a.moved()
	}
	return n, err
}

func newCommand(ctx context.Context, r *resources, in io.Reader, out, stderr io.Writer) *command {
	return &command{
		resources: r, ctx: from(ctx, "ssh"),
		in:     bufio.NewReaderSize(activeReader{in, r.active}, 32<<10),
		out:    &pacedWriter{w: out, moved: r.active},
		stderr: &pacedWriter{w: stderr, moved: r.active},
	}
}

// from is a context for what is done over another protocol of the same connection.
func from(ctx context.Context, protocol string) context.Context {
	o := storage.OriginOf(ctx)
	o.Protocol = protocol
	return storage.WithOrigin(ctx, o)
}

func (c *command) stalled(now time.Time, limit time.Duration) bool {
	return c.out.stalled(now, limit) || c.stderr.stalled(now, limit)
}

// run carries out a command line and returns its exit status.
func (c *command) run(line string) uint32 {
	if len(line) > maxCommand {
		return c.complain(exitUsage, "the command is longer than %d bytes", maxCommand)
	}
	words, err := splitWords(line)
	if err != nil {
		return c.complain(exitUnknown, "%v\r\n%s", err, onlyThese)
	}
	if len(words) == 0 {
		return c.complain(exitUnknown, "%s", onlyThese)
	}
	// What a command holds in memory counts as requests do.
	if err := c.acquire(c.ctx, commandWeight); err != nil {
		return exitFailure
	}
	defer c.release(commandWeight)
	name, args := words[0].text, words[1:]
	newHash, isHash := hashCommands[name]
	switch {
	case isHash:
		return c.hashFiles(name, newHash, args)
	case name == "scp":
		c.ctx = from(c.ctx, "scp")
		return c.scp(args)
	case name == "pwd" && len(args) == 0:
		return c.say("/\n")
	case name == "cd":
		return c.changeDirectory(args)
	}
	return c.complain(exitUnknown, "%.64q is not available. %s", name, onlyThese)
}

func (c *command) say(text string) uint32 {
	if _, err := io.WriteString(c.out, text); err != nil {
		return exitFailure
	}
	return exitOK
}

func (c *command) complain(status uint32, format string, args ...any) uint32 {
	text := strings.TrimRight(fmt.Sprintf(format, args...), "\r\n")
	_, _ = io.WriteString(c.stderr, text+"\r\n") // a client that is gone reads it no more
	return status
}

// reason is an error in words for the client; what the table of statuses does not know is logged.
func (c *command) reason(err error) string {
	_, text, known := statusOf(err)
	if !known {
		c.log.Warn("command failed", "error", err)
	}
	return text
}

// changeDirectory answers whether one could go there. It lasts no longer than the command, as in a
// shell that gets no other.
func (c *command) changeDirectory(args []word) uint32 {
	if len(args) == 0 {
		return exitOK
	}
	if len(args) > 1 {
		return c.complain(exitUsage, "cd: too many arguments")
	}
	name, err := cleanPath(args[0].text)
	if err == nil {
		var info storage.Info
		if info, err = c.fs.Stat(c.ctx, name); err == nil && !info.IsDir() {
			err = storage.ErrNotDir
		}
	}
	if err != nil {
		return c.complain(exitFailure, "cd: %s: %s", args[0].text, c.reason(err))
	}
	return exitOK
}

// hashCommands are the programs of coreutils that print digests. Clients compare by MD5 and SHA-1 to find
// what was corrupted on the way, no more.
var hashCommands = map[string]func() hash.Hash{
	"md5sum": md5.New, "sha1sum": sha1.New, "sha256sum": sha256.New, "sha512sum": sha512.New,
}

// hashFiles prints the digests of files, or of what comes in where none is named: rclone asks for
// that of nothing, to find out whether the command is there.
func (c *command) hashFiles(command string, newHash func() hash.Hash, args []word) uint32 {
	if len(args) > 0 && args[0].text == "--" {
		args = args[1:]
	} else {
		for _, a := range args {
			if strings.HasPrefix(a.text, "-") && a.text != "-" {
				return c.complain(exitUsage, "%s: the option %.64q is not supported; before a name like this write --", command, a.text)
			}
		}
	}
	if len(args) == 0 {
		args = []word{{text: "-"}}
	}
	select { // reading and hashing take turns with the requests of the connection
	case c.workers <- struct{}{}:
		defer func() { <-c.workers }()
	case <-c.ctx.Done():
		return exitFailure
	}
	status := uint32(exitOK)
	for _, a := range args {
		h := newHash()
		if err := c.hashFile(h, a.text); err != nil {
			status = c.complain(exitFailure, "%s: %s: %s", command, a.text, c.reason(err))
			continue
		}
		if said := c.say(digestLine(h.Sum(nil), a.text)); said != exitOK {
			return said
		}
	}
	return status
}

func (c *command) hashFile(h hash.Hash, name string) error {
	if name == "-" {
		_, err := io.Copy(h, c.in)
		return err
	}
	name, err := cleanPath(name)
	if err != nil {
		return err
	}
	f, err := c.fs.Open(c.ctx, name)
	if err != nil {
		return err
	}
	defer f.Close()
	// Nothing is heard of the client meanwhile, but it is not idle.
	_, err = io.CopyBuffer(h, activeReader{storage.Reader(c.ctx, f), c.active}, make([]byte, copyBuffer))
	return err
}

// digestLine is a line of md5sum and its like: a backslash comes first where the name had to be
// escaped.
func digestLine(sum []byte, name string) string {
	escaped := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(name)
	mark := ""
	if escaped != name {
		mark = `\`
	}
	return fmt.Sprintf("%s%x  %s\n", mark, sum, escaped)
}

// expand returns the names that a word stands for: itself, or, as in a shell, those that match
// it if there are any. Patterns count in the last element of a path alone.
func (c *command) expand(w word) ([]string, error) {
	dir, last := path.Split(w.text)
	patternDir, pattern := path.Split(w.pattern)
	if !w.glob || last == "" || patternDir != (word{text: dir}).quoted() {
		return []string{w.text}, nil
	}
	name, err := cleanPath(dir)
	if err != nil {
		return nil, err
	}
	var found []string
	for info, err := range c.fs.List(c.ctx, name) {
		if err != nil {
			return nil, err
		}
		ok, err := path.Match(pattern, info.Name)
		switch {
		case err != nil: // no pattern, so it is a name
			return []string{w.text}, nil
		case !ok || strings.HasPrefix(info.Name, ".") && last[0] != '.':
			continue
		case len(found) >= maxMatches:
			return nil, fmt.Errorf("%w: more than %d names match", errTooMany, maxMatches)
		}
		found = append(found, dir+info.Name)
	}
	if len(found) == 0 {
		return []string{w.text}, nil
	}
	return found, nil
}

// quoted is the pattern that matches the text of w and nothing else.
func (w word) quoted() string {
	var b wordBuilder
	b.literals(w.text)
	return b.pattern.String()
}

var errTooMany = errors.New("too many names")
