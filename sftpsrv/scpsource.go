package sftpsrv

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"gateway/storage"
)

var errNotRegular = errors.New("not a regular file")

// sendAll is "scp -f": it sends what the words name.
func (x *scpExchange) sendAll(args []word) error {
	if err := x.response(); err != nil { // the client begins
		return err
	}
	for _, arg := range args {
		names, err := x.expand(arg)
		if err != nil {
			if err := x.report(1, arg.text+": "+x.reason(err)); err != nil {
				return err
			}
			continue
		}
		for _, name := range names {
			if err := x.send(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// send sends one file or folder. Its error is that of the conversation: what is wrong with the file is
// reported.
func (x *scpExchange) send(arg string) error {
	name, err := cleanPath(arg)
	var info storage.Info
	if err == nil {
		info, err = x.fs.Stat(x.ctx, name)
	}
	switch {
	case err != nil:
		return x.report(1, arg+": "+x.reason(err))
	case !info.IsDir():
		return x.sendFile(name, path.Base(name))
	case !x.recursive:
		return x.report(1, arg+": "+errNotRegular.Error())
	case name == "": // it has no name that a client would take
		return x.report(1, "the root has no name to copy it under; name what is in it, for example *")
	}
	return x.sendFolder(name, info, 1)
}

// exchange sends a record and waits for the answer; went is false where the client does not want it.
func (x *scpExchange) exchange(format string, args ...any) (went bool, err error) {
	if _, err := fmt.Fprintf(x.out, format, args...); err != nil {
		return false, err
	}
	err = x.response()
	if errors.Is(err, errPeer) {
		return false, nil
	}
	return err == nil, err
}

// sendTimes sends the times of what comes next.
func (x *scpExchange) sendTimes(info storage.Info) (went bool, err error) {
	if !x.times {
		return true, nil
	}
	seconds := max(info.ModTime.Unix(), 0)
	return x.exchange("T%d 0 %d 0\n", seconds, seconds)
}

func (x *scpExchange) sendFile(name, base string) error {
	f, err := x.fs.Open(x.ctx, name)
	if err != nil {
		return x.reject(name, err)
	}
	defer f.Close()
	info := f.Info()
	if went, err := x.sendTimes(info); !went {
		return err
	}
	if went, err := x.exchange("C%04o %d %s\n", wireMode(info)&0o777, info.Size, base); !went {
		return err
	}
	readErr, err := x.sendBytes(f, info.Size)
	if err != nil {
		return err
	}
	if readErr != nil {
		err = x.reject(name, readErr)
	} else {
		err = x.ok()
	}
	if err != nil {
		return err
	}
	if err := x.response(); !errors.Is(err, errPeer) {
		return err
	}
	return nil
}

// sendBytes sends size bytes of f. Where they cannot be read zeros take their place, so that the
// client can follow, and the reason is returned as the first error; the second is the connection's.
func (x *scpExchange) sendBytes(f storage.File, size int64) (readErr, err error) {
	r := storage.Reader(x.ctx, f)
	buf := make([]byte, copyBuffer)
	for size > 0 {
		piece := buf[:min(int64(len(buf)), size)]
		if readErr == nil {
			var n int
			if n, readErr = io.ReadFull(r, piece); readErr != nil {
				clear(piece[n:])
			}
		}
		if err := x.ctx.Err(); err != nil {
			return readErr, err
		}
		if _, err := x.out.Write(piece); err != nil {
			return readErr, err
		}
		size -= int64(len(piece))
	}
	return readErr, nil
}

func (x *scpExchange) sendFolder(name string, info storage.Info, depth int) error {
	if depth > maxDepth {
		return x.report(1, fmt.Sprintf("%s: more than %d folders inside one another", clientPath(name), maxDepth))
	}
	if went, err := x.sendTimes(info); !went {
		return err
	}
	if went, err := x.exchange("D%04o 0 %s\n", wireMode(info)&0o777, path.Base(name)); !went {
		return err
	}
	for entry, err := range x.fs.List(x.ctx, name) {
		if err != nil {
			if err := x.reject(name, err); err != nil {
				return err
			}
			break
		}
		if err := x.sendEntry(strings.TrimPrefix(name+"/"+entry.Name, "/"), entry, depth); err != nil {
			return err
		}
	}
	_, err := x.exchange("E\n")
	return err
}

// sendEntry sends one entry of a folder. Links to folders are left out: they could lead in a circle.
func (x *scpExchange) sendEntry(name string, entry storage.Info, depth int) error {
	switch {
	case !entry.IsDir():
		return x.sendFile(name, entry.Name)
	case entry.Link:
		return x.report(1, clientPath(name)+": a link to a folder is not copied")
	}
	return x.sendFolder(name, entry, depth+1)
}
