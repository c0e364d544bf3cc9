package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"

	"github.com/pkg/sftp"
)

const lockInfo = `<?xml version="1.0" encoding="utf-8"?><D:lockinfo xmlns:D="DAV:">` +
	`<D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner>soak</D:owner></D:lockinfo>`

// lockName asks for an exclusive lock; an answer that is not one of statuses is an error.
func (c *soakClient) lockName(name string, statuses []int) (status int, token string, err error) {
	a, err := c.want(statuses, "LOCK", name, strings.NewReader(lockInfo), "Timeout", "Second-600", "Depth", "0")
	return a.status, a.header.Get("Lock-Token"), err
}

// lock has a file locked while it is changed: without the token nothing changes it.
func (c *soakClient) lock() error {
	name, f := c.pickPublished()
	if f == nil {
		return errNothing
	}
	_, token, err := c.lockName(name, []int{http.StatusOK})
	if err != nil {
		return err
	}
	data := c.version(nil)
	if _, err := c.want(locked, http.MethodPut, name, bytes.NewReader(data)); err != nil {
		return err
	}
	if _, err := c.want(locked, http.MethodDelete, name, nil); err != nil {
		return err
	}
	if _, err := c.want(locked, "LOCK", name, strings.NewReader(lockInfo)); err != nil {
		return err
	}
	if c.dice(3) { // it outlives its connection
		c.cutWeb()
	}
	if _, err := c.want(noBody, http.MethodPut, name, bytes.NewReader(data), "If", "("+token+")"); err != nil {
		return err
	}
	c.published(name, data)
	if c.dice(4) {
		if _, err := c.want(noBody, http.MethodDelete, name, nil, "If", "("+token+")"); err != nil {
			return err
		}
		c.published(name, nil)
		return nil // with the file its lock is gone
	}
	_, err = c.want(noBody, "UNLOCK", name, nil, "Lock-Token", token)
	return err
}

func (c *soakClient) shared() *register { return c.k.shared[c.random.IntN(len(c.k.shared))] }

// readShared reads a name that others write.
func (c *soakClient) readShared() error {
	r := c.shared()
	overSFTP, protocol := c.protocol()
	since := r.now()
	got, err := c.get(r.name, overSFTP)
	if err != nil {
		return fmt.Errorf("%s over %s: %w", r.name, protocol, err)
	}
	return c.checkShared(r, since, protocol, got)
}

func (c *soakClient) checkShared(r *register, since int, protocol string, got []byte) error {
	version := versionAbsent
	if got != nil {
		var err error
		if version, _, err = readParts(got); err != nil {
			return fmt.Errorf("%s over %s: %w", r.name, protocol, err)
		}
	}
	if err := r.check(since, version); err != nil {
		return fmt.Errorf("over %s: %w", protocol, err)
	}
	return nil
}

// outcome notes what the answer to a change says: done, or refused because the name is locked or
// not as the client thought.
func (r *register) outcome(w *registerWrite, status int) {
	switch status {
	case http.StatusCreated, http.StatusNoContent:
		r.done(w)
	default:
		r.refused(w)
	}
}

func (c *soakClient) writeShared() error {
	r := c.shared()
	data := c.version(nil)
	version, _, _ := readParts(data)
	switch c.random.IntN(4) {
	case 0:
		w := r.begin(version)
		err := c.upload(r.name, data, os.O_TRUNC)
		if lockedError(err) {
			r.refused(w)
			return nil
		}
		r.done(w)
		return err
	case 1: // broken off, so never seen
		w := r.begin(version)
		r.refused(w)
		return c.breakPut(r.name, data)
	case 2:
		head, err := c.want([]int{http.StatusOK, http.StatusNotFound}, http.MethodHead, r.name, nil)
		if err != nil {
			return err
		}
		condition := []string{"If-None-Match", "*"}
		if tag := head.header.Get("ETag"); head.status == http.StatusOK {
			condition = []string{"If-Match", tag}
		}
		w := r.begin(version)
		a, err := c.want([]int{http.StatusCreated, http.StatusNoContent, http.StatusPreconditionFailed, http.StatusLocked},
			http.MethodPut, r.name, bytes.NewReader(data), condition...)
		r.outcome(w, a.status)
		return err
	}
	w := r.begin(version)
	a, err := c.want([]int{http.StatusCreated, http.StatusNoContent, http.StatusLocked}, http.MethodPut, r.name, bytes.NewReader(data))
	r.outcome(w, a.status)
	return err
}

// lockedError tells a file that somebody has locked from other failures of SFTP.
func lockedError(err error) bool {
	var status *sftp.StatusError
	return errors.As(err, &status) && strings.Contains(status.Error(), "File is locked")
}

// lockShared writes under a lock. Of a name that has nothing LOCK makes an empty file.
func (c *soakClient) lockShared() error {
	r := c.shared()
	empty := r.begin(versionEmpty)
	status, token, err := c.lockName(r.name, []int{http.StatusOK, http.StatusCreated, http.StatusLocked})
	if err != nil {
		return err
	}
	if status != http.StatusCreated { // else it may be that somebody wrote it first
		r.refused(empty)
	}
	if status == http.StatusLocked {
		return nil
	}
	data := c.version(nil)
	version, _, _ := readParts(data)
	w := r.begin(version)
	// A removal that was under way when the lock was made takes the lock with it.
	a, err := c.want([]int{http.StatusCreated, http.StatusNoContent, http.StatusPreconditionFailed}, http.MethodPut, r.name, bytes.NewReader(data), "If", "("+token+")")
	r.outcome(w, a.status)
	if err != nil {
		return err
	}
	_, err = c.want([]int{http.StatusNoContent, http.StatusConflict}, "UNLOCK", r.name, nil, "Lock-Token", token)
	return err
}

func (c *soakClient) removeShared() error {
	r := c.shared()
	if c.dice(2) {
		w := r.begin(versionAbsent)
		a, err := c.want([]int{http.StatusNoContent, http.StatusNotFound, http.StatusLocked}, http.MethodDelete, r.name, nil)
		r.outcome(w, a.status)
		return err
	}
	remote, err := c.sftp()
	if err != nil {
		return err
	}
	w := r.begin(versionAbsent)
	err = remote.Remove(r.name)
	if errors.Is(err, fs.ErrNotExist) || lockedError(err) {
		r.refused(w)
		return nil
	}
	r.done(w)
	return err
}
