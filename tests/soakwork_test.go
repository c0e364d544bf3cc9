package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"time"
)

// soakWork is what clients do, and how often.
var soakWork = []struct {
	name   string
	weight int
	do     func(*soakClient) error
}{
	{"put over SFTP", 10, (*soakClient).putSFTP},
	{"PUT", 6, (*soakClient).put},
	{"conditional PUT", 6, (*soakClient).putConditional},
	{"write at offsets", 6, (*soakClient).edit},
	{"append", 6, (*soakClient).append},
	{"cut to a part", 2, (*soakClient).truncate},
	{"interrupt", 3, (*soakClient).interrupt},
	{"resume", 6, (*soakClient).resume},
	{"get", 16, (*soakClient).read},
	{"get a range", 8, (*soakClient).readRange},
	{"COPY", 4, (*soakClient).copy},
	{"rename", 6, (*soakClient).rename},
	{"remove", 5, (*soakClient).remove},
	{"set a time", 4, (*soakClient).setTime},
	{"lock", 4, (*soakClient).lock},
	{"make a folder", 2, (*soakClient).makeDir},
	{"move a folder", 2, (*soakClient).moveDir},
	{"copy a folder", 1, (*soakClient).copyDir},
	{"remove a folder", 2, (*soakClient).removeDir},
	{"list", 6, (*soakClient).list},
	{"break a connection", 1, (*soakClient).cutIdle},
	{"break a PUT", 2, (*soakClient).cutPut},
	{"break a get", 2, (*soakClient).cutGet},
	{"break at the end", 1, (*soakClient).cutEnd},
	{"look at broken", 3, (*soakClient).settle},
	{"read shared", 12, (*soakClient).readShared},
	{"write shared", 12, (*soakClient).writeShared},
	{"lock shared", 3, (*soakClient).lockShared},
	{"remove shared", 2, (*soakClient).removeShared},
}

var (
	created = []int{http.StatusCreated}
	noBody  = []int{http.StatusNoContent}
	failed  = []int{http.StatusPreconditionFailed}
	locked  = []int{http.StatusLocked}
)

// stored are the statuses of a PUT, COPY or MOVE to f.
func (f *soakFile) stored() []int {
	if f.data == nil {
		return created
	}
	return noBody
}

// upload writes a whole file over SFTP.
func (c *soakClient) upload(name string, data []byte, flags int) error {
	remote, err := c.sftp()
	if err != nil {
		return err
	}
	f, err := remote.OpenFile(name, os.O_WRONLY|os.O_CREATE|flags)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Close())
}

func (c *soakClient) putSFTP() error {
	name, f := c.target()
	data := c.version(nil)
	var err error
	switch {
	case f.data == nil && c.dice(2):
		err = c.upload(name, data, os.O_EXCL)
	case f.data != nil && c.dice(4):
		if c.upload(name, data, os.O_EXCL) == nil {
			return fmt.Errorf("%s: an exclusive open replaced it", name)
		}
		return nil
	case c.dice(3): // as careful clients do
		if err = c.upload(name+".part", data, os.O_TRUNC); err == nil {
			err = c.remote.PosixRename(name+".part", name)
		}
	default:
		err = c.upload(name, data, os.O_TRUNC)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.published(name, data)
	return nil
}

func (c *soakClient) put() error {
	name, f := c.target()
	data := c.version(nil)
	var body io.Reader = bytes.NewReader(data)
	if c.dice(3) {
		body = io.MultiReader(body) // of no known length: chunked
	}
	var headers []string
	if c.dice(3) {
		headers = []string{"X-OC-Mtime", "1234567890"}
	}
	if _, err := c.want(f.stored(), http.MethodPut, name, body, headers...); err != nil {
		return err
	}
	c.published(name, data)
	if headers != nil {
		c.files[name].modTime = time.Unix(1234567890, 0)
	}
	return nil
}

func (c *soakClient) putConditional() error {
	name, f := c.target()
	data := c.version(nil)
	send := func(statuses []int, header, value string) error {
		_, err := c.want(statuses, http.MethodPut, name, bytes.NewReader(data), header, value)
		return err
	}
	if f.data == nil {
		if err := send(failed, "If-Match", "*"); err != nil {
			return err
		}
		if err := send(created, "If-None-Match", "*"); err != nil {
			return err
		}
		c.published(name, data)
		return nil
	}
	if err := send(failed, "If-None-Match", "*"); err != nil {
		return err
	}
	if err := send(failed, "If-Match", `"of another version"`); err != nil {
		return err
	}
	head, err := c.want([]int{http.StatusOK}, http.MethodHead, name, nil)
	if err != nil {
		return err
	}
	if err := send(noBody, "If-Match", head.header.Get("ETag")); err != nil {
		return err
	}
	c.published(name, data)
	return send(failed, "If-Match", head.header.Get("ETag"))
}

// edit changes the last part of a file in place, in pieces of any order.
func (c *soakClient) edit() error {
	name, f := c.pickPublished()
	if f == nil || len(f.data) == 0 {
		return errNothing
	}
	_, last, err := readParts(f.data)
	if err != nil {
		return err
	}
	part := bytes.Clone(f.data[last : len(f.data)-32])
	type piece struct{ from, to int }
	pieces := []piece{{0, partHead}, {len(part), len(part) + 32}}
	for range 1 + c.random.IntN(4) {
		if size := len(part) - partHead; size > 0 {
			from := partHead + c.random.IntN(size)
			to := from + 1 + c.random.IntN(len(part)-from)
			for i := from; i < to; i++ {
				part[i] = byte(c.random.Uint32())
			}
			pieces = append(pieces, piece{from, to})
		}
	}
	data := sealPart(f.data[:last], part, c.nextVersion())
	c.random.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	remote, err := c.sftp()
	if err != nil {
		return err
	}
	file, err := remote.OpenFile(name, os.O_RDWR)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, p := range pieces {
		if _, err := file.WriteAt(data[last+p.from:last+p.to], int64(last+p.from)); err != nil {
			file.Close()
			return fmt.Errorf("%s: write at %d: %w", name, last+p.from, err)
		}
	}
	own := make([]byte, len(data))
	if _, err := file.ReadAt(own, 0); err != nil && !errors.Is(err, io.EOF) {
		file.Close()
		return fmt.Errorf("%s: read back: %w", name, err)
	}
	if err := same(name, "its own handle", own, data); err != nil {
		return err
	}
	if got, err := c.get(name, false); err != nil {
		return err
	} else if err := same(name, "HTTPS while it is changed", got, f.data); err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("%s: close: %w", name, err)
	}
	c.published(name, data)
	return nil
}

// append adds a part, with offsets that count as OpenSSH sends them, or from 0.
func (c *soakClient) append() error {
	name, f := c.pickPublished()
	if f == nil || len(f.data) > 4<<20 {
		return errNothing
	}
	data := c.version(f.data)
	remote, err := c.sftp()
	if err != nil {
		return err
	}
	file, err := remote.OpenFile(name, os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	// Writes at once with offsets that do not count would be put in any order.
	if c.concurrent() || c.dice(2) {
		if _, err := file.Seek(int64(len(f.data)), io.SeekStart); err != nil {
			return err
		}
	}
	_, err = file.Write(data[len(f.data):])
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.published(name, data)
	return nil
}

// truncate takes the last part away.
func (c *soakClient) truncate() error {
	name, f := c.pickPublished()
	if f == nil {
		return errNothing
	}
	_, last, err := readParts(f.data)
	if err != nil || last == 0 {
		return errors.Join(err, errNothing)
	}
	remote, err := c.sftp()
	if err != nil {
		return err
	}
	if err := remote.Truncate(name, int64(last)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.published(name, f.data[:last])
	return nil
}

// read compares a file, or that there is none yet.
func (c *soakClient) read() error {
	name, f := c.pick(func(f *soakFile) bool { return f.maybe == nil })
	if f == nil {
		return errNothing
	}
	overSFTP, protocol := c.protocol()
	got, err := c.get(name, overSFTP)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return same(name, protocol, got, f.data)
}

func (c *soakClient) readRange() error {
	name, f := c.pickPublished()
	if f == nil || len(f.data) == 0 {
		return errNothing
	}
	from := c.random.IntN(len(f.data))
	to := from + 1 + c.random.IntN(len(f.data)-from)
	if c.dice(2) {
		remote, err := c.sftp()
		if err != nil {
			return err
		}
		file, err := remote.Open(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		defer file.Close()
		got := make([]byte, to-from)
		if _, err := file.ReadAt(got, int64(from)); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%s: %w", name, err)
		}
		return same(name, fmt.Sprintf("SFTP, %d to %d,", from, to), got, f.data[from:to])
	}
	a, err := c.want([]int{http.StatusPartialContent}, http.MethodGet, name, nil, "Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	if err != nil {
		return err
	}
	return same(name, fmt.Sprintf("HTTPS, %d to %d,", from, to), a.body, f.data[from:to])
}

func (c *soakClient) copy() error {
	name, f := c.pickPublished()
	to, old := c.target()
	if f == nil || name == to {
		return errNothing
	}
	if old.data != nil {
		if _, err := c.want(failed, "COPY", name, nil, "Destination", c.k.s.url(to), "Overwrite", "F"); err != nil {
			return err
		}
	}
	if _, err := c.want(old.stored(), "COPY", name, nil, "Destination", c.k.s.url(to)); err != nil {
		return err
	}
	c.published(to, f.data)
	return nil
}

func (c *soakClient) rename() error {
	name, f := c.pickPublished()
	to, old := c.target()
	if f == nil || name == to {
		return errNothing
	}
	if c.dice(2) {
		if _, err := c.want(old.stored(), "MOVE", name, nil, "Destination", c.k.s.url(to)); err != nil {
			return err
		}
	} else {
		remote, err := c.sftp()
		if err != nil {
			return err
		}
		err = remote.Rename(name, to)
		if (err == nil) != (old.data == nil) {
			return fmt.Errorf("rename %s to %s, where a file is: %t: %w", name, to, old.data != nil, err)
		}
		if err != nil {
			err = remote.PosixRename(name, to)
		}
		if err != nil {
			return fmt.Errorf("rename %s to %s: %w", name, to, err)
		}
	}
	c.published(to, f.data)
	c.files[to].modTime = f.modTime
	delete(c.files, name)
	return nil
}

func (c *soakClient) remove() error {
	name, f := c.pickPublished()
	if f == nil || len(c.files) < soakFiles/2 {
		return errNothing
	}
	if c.dice(2) {
		if _, err := c.want(noBody, http.MethodDelete, name, nil); err != nil {
			return err
		}
	} else {
		remote, err := c.sftp()
		if err != nil {
			return err
		}
		if err := remote.Remove(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	c.published(name, nil)
	overSFTP, protocol := c.protocol()
	got, err := c.get(name, overSFTP)
	return errors.Join(err, same(name, protocol, got, nil))
}

// setTime sets a time, or looks whether one that was set is still there.
func (c *soakClient) setTime() error {
	name, f := c.pickPublished()
	if f == nil {
		return errNothing
	}
	remote, err := c.sftp()
	if err != nil {
		return err
	}
	if f.modTime.IsZero() || c.dice(2) {
		f.modTime = time.Unix(1e9+c.random.Int64N(5e8), 0)
		if err := remote.Chtimes(name, f.modTime, f.modTime); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	info, err := remote.Stat(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if !info.ModTime().Equal(f.modTime) || info.Size() != int64(len(f.data)) {
		return fmt.Errorf("%s: stat says %v and %d bytes, want %v and %d", name, info.ModTime(), info.Size(), f.modTime, len(f.data))
	}
	head, err := c.want([]int{http.StatusOK}, http.MethodHead, name, nil)
	if err != nil {
		return err
	}
	if got := head.header.Get("Last-Modified"); got != f.modTime.UTC().Format(http.TimeFormat) || head.header.Get("Content-Length") != strconv.Itoa(len(f.data)) {
		return fmt.Errorf("%s: HEAD says %s and %s bytes, want %v and %d", name, got, head.header.Get("Content-Length"), f.modTime.UTC(), len(f.data))
	}
	return nil
}
