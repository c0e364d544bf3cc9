package sftpsrv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"gateway/storage"
)

// scpFolder is a folder that a client is sending.
type scpFolder struct {
	name string    // of storage
	into bool      // what comes is put into it under its own name; else it gets this name
	time time.Time // to set at its end; zero: none
}

// receive is "scp -t": it takes files and folders until the client ends. A file is staged and
// published when all of it has come, as an upload over SFTP.
func (x *scpExchange) receive(target string) error {
	at, err := x.target(target)
	if err != nil {
		return x.report(2, target+": "+x.reason(err))
	}
	if err := x.ok(); err != nil {
		return err
	}
	open := []scpFolder{at}
	var modTime time.Time
	for {
		kind, err := x.in.ReadByte()
		if errors.Is(err, io.EOF) && len(open) == 1 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: the client ended in the middle: %w", errProtocolSCP, err)
		}
		line, err := readRecord(x.in)
		if err != nil {
			return err
		}
		top := open[len(open)-1]
		switch kind {
		case 'T':
			if modTime, err = parseTimes(line); err == nil {
				err = x.ok()
			}
			if err != nil {
				return err
			}
			continue
		case 'C':
			err = x.receiveFile(top, line, modTime)
		case 'D':
			var folder scpFolder
			if folder, err = x.enter(top, line, modTime, len(open)); folder.into {
				open = append(open, folder)
			}
		case 'E':
			if len(open) == 1 || line != "" {
				return fmt.Errorf("%w: an end without a folder", errProtocolSCP)
			}
			open = open[:len(open)-1]
			err = x.leave(top)
		case 1, 2: // the client could not read something, and has said so to its user
			x.failed = true
			if kind == 2 {
				return errPeer
			}
		default:
			return fmt.Errorf("%w: record of type %q", errProtocolSCP, kind)
		}
		if err != nil {
			return err
		}
		modTime = time.Time{}
	}
}

// target is where the command line says that things go.
func (x *scpExchange) target(arg string) (scpFolder, error) {
	name, err := cleanPath(arg)
	if err != nil {
		return scpFolder{}, err
	}
	info, err := x.fs.Stat(x.ctx, name)
	switch {
	case err == nil && info.IsDir():
		return scpFolder{name: name, into: true}, nil
	case x.directory && err == nil:
		return scpFolder{}, storage.ErrNotDir
	case x.directory:
		return scpFolder{}, err
	case errors.Is(err, fs.ErrNotExist) || err == nil:
		return scpFolder{name: name}, nil
	}
	return scpFolder{}, err
}

// place is the name in storage for a record.
func (f scpFolder) place(r scpRecord) (string, error) {
	if !f.into {
		return f.name, nil
	}
	return storage.CleanName(path.Join(f.name, r.name))
}

func (x *scpExchange) receiveFile(at scpFolder, line string, modTime time.Time) error {
	r, err := parseRecord(line)
	if err != nil {
		return err
	}
	name, err := at.place(r)
	if err != nil {
		return x.report(1, r.name+": "+x.reason(err))
	}
	body := &scpBody{x: x, left: r.size}
	options := storage.CreateOptions{Owner: x.user, Size: r.size, ModePerm: r.perm}
	_, err = storage.Put(x.ctx, x.fs, name, body, options, storage.CommitOptions{ModTime: modTime})
	switch {
	case err == nil:
		x.partials.discard(x.ctx, x.log, name, "")
		return x.ok()
	case body.err != nil: // nobody is there to be told, or what comes cannot be followed
		return body.err
	case !body.begun: // it does not begin, so the client sends nothing of it
		return x.reject(name, err)
	}
	if err := body.drain(); err != nil {
		return err
	}
	if body.refused { // the client knows
		return x.ok()
	}
	return x.reject(name, err)
}

// scpBody is what follows a C record: the bytes of the file, and the client's word that they were
// right. The first Read asks for them. It ends with io.EOF only if all came and the client stands by it.
type scpBody struct {
	x       *scpExchange
	left    int64
	begun   bool
	ended   bool
	refused bool  // the client could not read the file: what it sent is not its content
	err     error // of the connection
}

var errRefused = errors.New("the client could not read the file")

// Read implements io.Reader.
func (b *scpBody) Read(p []byte) (int, error) {
	if !b.begun {
		if b.err = b.x.ok(); b.err != nil {
			return 0, b.err
		}
		b.begun = true
	}
	if b.left > 0 {
		n, err := b.x.in.Read(p[:min(int64(len(p)), b.left)])
		b.left -= int64(n)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		b.err = err
		return n, err
	}
	if !b.ended {
		b.ended = true
		err := b.x.response()
		switch {
		case errors.Is(err, errPeer):
			b.refused = true
		case errors.Is(err, io.EOF): // all bytes came, but not the word that they are right
			b.err = io.ErrUnexpectedEOF
		case err != nil:
			b.err = err
		}
	}
	switch {
	case b.err != nil:
		return 0, b.err
	case b.refused:
		return 0, errRefused
	}
	return 0, io.EOF
}

// drain takes what the client still sends of a file that cannot be stored.
func (b *scpBody) drain() error {
	if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, b, make([]byte, readBuffer)); err != nil && !b.refused {
		return err
	}
	return nil
}

// enter begins a folder. The folder that it returns is one only if it began.
func (x *scpExchange) enter(at scpFolder, line string, modTime time.Time, depth int) (scpFolder, error) {
	r, err := parseRecord(line)
	switch {
	case err != nil:
		return scpFolder{}, err
	case !x.recursive:
		return scpFolder{}, fmt.Errorf("%w: a folder, without -r", errProtocolSCP)
	case depth > maxDepth:
		return scpFolder{}, fmt.Errorf("%w: more than %d folders inside one another", errProtocolSCP, maxDepth)
	}
	name, err := at.place(r)
	if err != nil {
		return scpFolder{}, x.report(1, r.name+": "+x.reason(err))
	}
	err = x.fs.Mkdir(x.ctx, name)
	if errors.Is(err, fs.ErrExist) {
		var info storage.Info
		if info, err = x.fs.Stat(x.ctx, name); err == nil && !info.IsDir() {
			err = storage.ErrNotDir
		}
	}
	if err != nil {
		return scpFolder{}, x.reject(name, err)
	}
	return scpFolder{name: name, into: true, time: modTime}, x.ok()
}

// leave ends a folder.
func (x *scpExchange) leave(f scpFolder) error {
	if !f.time.IsZero() {
		err := x.fs.SetModTime(x.ctx, f.name, f.time)
		if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, errors.ErrUnsupported) {
			return x.reject(f.name, err)
		}
	}
	return x.ok()
}
