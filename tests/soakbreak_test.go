package tests

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// cutIdle breaks a connection on which nothing is going on.
func (c *soakClient) cutIdle() error {
	if c.dice(2) {
		c.cutSFTP()
	} else {
		c.cutWeb()
	}
	return nil
}

// brokenBody is a body whose connection breaks before its end.
type brokenBody struct {
	io.Reader
	cut func()
}

func (b brokenBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.cut()
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// cutPut breaks the connection in a PUT: what was sent of it must never be seen.
func (c *soakClient) cutPut() error {
	name, f := c.target()
	if err := c.breakPut(name, c.version(nil)); err != nil {
		return err
	}
	overSFTP, protocol := c.protocol()
	got, err := c.get(name, overSFTP)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return same(name, protocol+" after a PUT broke off", got, f.data)
}

// breakPut begins a PUT and breaks the connection before its end.
func (c *soakClient) breakPut(name string, data []byte) error {
	part, set := bytes.NewReader(data[:c.random.IntN(len(data))]), c.webRaw
	req, err := http.NewRequest(http.MethodPut, c.k.s.url(name), brokenBody{part, func() { set.end(reset) }})
	if err != nil {
		return err
	}
	if c.dice(2) {
		req.ContentLength = int64(len(data))
	}
	req.SetBasicAuth(c.user, c.k.s.password)
	resp, err := c.web.Do(req)
	c.cutWeb()
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode < 300 {
			return fmt.Errorf("%s: a PUT that broke off is answered with %s", name, resp.Status)
		}
	}
	return nil
}

// cutGet breaks the connection while a file is read.
func (c *soakClient) cutGet() error {
	name, f := c.pickPublished()
	if f == nil {
		return errNothing
	}
	part := make([]byte, c.random.IntN(len(f.data)+1))
	if c.dice(2) {
		remote, err := c.sftp()
		if err != nil {
			return err
		}
		file, err := remote.Open(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		_, err = io.ReadFull(file, part)
		c.cutSFTP()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	} else {
		req, err := http.NewRequest(http.MethodGet, c.k.s.url(name), nil)
		if err != nil {
			return err
		}
		req.SetBasicAuth(c.user, c.k.s.password)
		resp, err := c.web.Do(req)
		if err != nil {
			return err
		}
		_, err = io.ReadFull(resp.Body, part)
		c.cutWeb()
		resp.Body.Close()
		if err != nil {
			return fmt.Errorf("%s: %s: %w", name, resp.Status, err)
		}
	}
	return same(name, "a connection that breaks", part, f.data[:len(part)])
}

// cutEnd breaks the connection when all of a file was sent and the answer is not here.
func (c *soakClient) cutEnd() error {
	name, f := c.target()
	data := c.version(nil)
	heard := make(chan bool, 1)
	wait := time.Duration(c.random.IntN(8)) * time.Millisecond
	if c.dice(2) {
		remote, err := c.sftp()
		if err != nil {
			return err
		}
		file, err := remote.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if _, err := file.WriteAt(data, 0); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		go func() { heard <- file.Close() == nil }()
		time.Sleep(wait)
		c.cutSFTP()
	} else {
		req, err := http.NewRequest(http.MethodPut, c.k.s.url(name), bytes.NewReader(data))
		if err != nil {
			return err
		}
		req.GetBody = nil // it is not to be sent twice
		req.SetBasicAuth(c.user, c.k.s.password)
		web := c.web
		go func() {
			resp, err := web.Do(req)
			if err == nil {
				resp.Body.Close()
			}
			heard <- err == nil && resp.StatusCode < 300
		}()
		time.Sleep(wait)
		c.cutWeb()
	}
	if <-heard {
		c.published(name, data)
		return nil
	}
	c.files[name] = &soakFile{data: f.data, maybe: data, until: time.Now().Add(doubtTime)}
	return nil
}

// settle finds out what became of an upload that broke off at the end.
func (c *soakClient) settle() error {
	name, f := c.pick(func(f *soakFile) bool { return f.maybe != nil && time.Now().After(f.until) })
	if f == nil {
		return errNothing
	}
	return c.finish(name, f)
}
