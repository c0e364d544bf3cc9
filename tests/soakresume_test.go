package tests

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/pkg/sftp"
)

// interrupt cuts the connection in the middle of an upload over SFTP.
func (c *soakClient) interrupt() error {
	name, f := c.target()
	data := addPart(nil, c.nextVersion(), len(f.data)+64<<10+c.random.IntN(512<<10), c.random)
	acked := len(f.data) + 1 + c.random.IntN(len(data)-len(f.data)-32<<10)
	remote, err := c.sftp()
	if err != nil {
		return err
	}
	file, err := remote.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := file.WriteAt(data[:acked], 0); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	wait := time.Duration(c.random.IntN(5)) * time.Millisecond
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = file.WriteAt(data[acked:], int64(acked)) // it is broken off
	}()
	time.Sleep(wait)
	c.cutSFTP()
	<-sent
	c.files[name] = &soakFile{data: f.data, next: data, kept: acked}
	return nil
}

// resume goes on with an upload that was interrupted, or does it anew, or gives it up.
func (c *soakClient) resume() error {
	name, f := c.pick(func(f *soakFile) bool { return f.next != nil })
	if f == nil {
		return errNothing
	}
	switch c.random.IntN(5) {
	case 0:
		return c.renew(name)
	case 1:
		if f.data != nil {
			return c.compareWhileKept(name, f)
		}
		return c.giveUp(name, f)
	}
	return c.finish(name, f)
}

// renew writes over whatever is there and kept.
func (c *soakClient) renew(name string) error {
	data := c.version(nil)
	if err := c.upload(name, data, os.O_TRUNC); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.published(name, data)
	return nil
}

// giveUp removes what is kept for a name that has nothing else.
func (c *soakClient) giveUp(name string, f *soakFile) error {
	remote, _, err := c.awaitKept(name, f)
	if err != nil {
		return err
	}
	if err := remote.Remove(name); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	c.published(name, nil)
	return nil
}

// compareWhileKept reads what is published under a name for which an upload is kept: its
// size is what the reader of it is told.
func (c *soakClient) compareWhileKept(name string, f *soakFile) error {
	remote, err := c.sftp()
	if err != nil {
		return err
	}
	file, err := remote.Open(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer file.Close()
	info, err := remote.Stat(name)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if info.Size() != int64(len(f.data)) {
		return fmt.Errorf("%s: it is open for reading and has %d bytes, stat says %d", name, len(f.data), info.Size())
	}
	return nil
}

// awaitKept waits on a new connection until it is told how much of an upload is kept: at
// least what was acknowledged, but for the byte that is held back.
func (c *soakClient) awaitKept(name string, f *soakFile) (*sftp.Client, int64, error) {
	c.close()
	var size int64 = -1
	for deadline := time.Now().Add(2 * doubtTime); ; time.Sleep(200 * time.Millisecond) {
		remote, err := c.sftp()
		if err != nil {
			return nil, 0, err
		}
		info, err := remote.Stat(name)
		switch {
		case err == nil && info.Size() >= int64(f.kept)-1 && info.Size() < int64(len(f.next)):
			return remote, info.Size(), nil
		case err == nil:
			size = info.Size()
		case !errors.Is(err, os.ErrNotExist):
			return nil, 0, fmt.Errorf("%s: %w", name, err)
		}
		if time.Now().After(deadline) {
			return nil, 0, fmt.Errorf("%s: of an interrupted upload %d bytes were acknowledged, stat says %d (-1: nothing), published are %d",
				name, f.kept, size, len(f.data))
		}
	}
}

// finish ends what is open about a name.
func (c *soakClient) finish(name string, f *soakFile) error {
	if f.maybe != nil {
		got, err := c.get(name, false)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		was, is := same(name, "HTTPS", got, f.data), same(name, "HTTPS", got, f.maybe)
		if was != nil && is != nil {
			return fmt.Errorf("after an upload that broke at its end: %w; and: %w", was, is)
		}
		return c.renew(name) // of an upload over SFTP that was not published something is kept
	}
	remote, at, err := c.awaitKept(name, f)
	if err != nil {
		return err
	}
	if got, err := c.get(name, c.dice(2)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	} else if err := same(name, "HTTPS or SFTP before it is resumed", got, f.data); err != nil {
		return err
	}
	flags := os.O_WRONLY
	if c.dice(2) {
		flags |= os.O_CREATE
	}
	file, err := remote.OpenFile(name, flags)
	if err != nil {
		return fmt.Errorf("resume %s: %w", name, err)
	}
	_, err = file.WriteAt(f.next[at:], at)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("resume %s at %d of %d: %w", name, at, len(f.next), err)
	}
	c.published(name, f.next)
	got, err := c.get(name, c.dice(2))
	return errors.Join(err, same(name, fmt.Sprintf("HTTPS or SFTP after it was resumed at %d", at), got, c.files[name].data))
}
