package sftpsrv

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"gateway/auth"
	"gateway/storage"
)

// meeting is a tree in which an upload begins only when n of them are about to.
type meeting struct {
	storage.FS
	n       int64
	waiting atomic.Int64
	all     chan struct{}
}

func (m *meeting) Create(ctx context.Context, name string, o storage.CreateOptions) (storage.Upload, error) {
	if m.waiting.Add(1) == m.n {
		close(m.all)
	}
	select {
	case <-m.all:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return m.FS.Create(ctx, name, o)
}

// TestWireOpensTogether: OPENs that were sent together are carried out together.
func TestWireOpensTogether(t *testing.T) {
	m := &meeting{n: maxOpens, all: make(chan struct{})}
	f := serve(t, func(c *Config) {
		open := c.Open
		c.Open = func(ctx context.Context, id auth.Identity) (storage.FS, error) {
			tree, err := open(ctx, id)
			m.FS = tree
			return m, err
		}
	})
	w := f.ready(t)
	for i := range maxOpens {
		w.send(fxpOpen, fmt.Sprint("f", i), uint32(openWrite|openCreat|openTrunc), uint32(0))
	}
	for range maxOpens {
		if r := w.read(); r.kind != fxpHandle {
			w.status("OPEN", r, statusOK)
		}
	}
}

// TestWireOpensInOrder: OPENs that are sent without waiting see, and are seen by, the requests by path around them.
func TestWireOpensInOrder(t *testing.T) {
	f := serve(t)
	w := f.ready(t)
	const rounds = 40
	const create, exclusive = uint32(openWrite | openCreat | openTrunc), uint32(openWrite | openCreat | openExcl)
	type want struct {
		what   string
		status uint32 // handle: none, but a handle
	}
	const handle = ^uint32(0)
	wanted := map[uint32]want{}
	for i := range rounds {
		dir := fmt.Sprint("d", i)
		sent := func(what string, status uint32, id uint32) { wanted[id] = want{dir + ": " + what, status} }
		sent("OPEN before MKDIR", statusNoSuchFile, w.send(fxpOpen, dir+"/a", create, uint32(0)))
		sent("MKDIR", statusOK, w.send(fxpMkdir, dir, uint32(0)))
		sent("OPEN a", handle, w.send(fxpOpen, dir+"/a", create, uint32(0)))
		sent("OPEN b", handle, w.send(fxpOpen, dir+"/b", create, uint32(0)))
		sent("OPEN a, exclusive", statusFailure, w.send(fxpOpen, dir+"/a", exclusive, uint32(0)))
		sent("OPEN c, exclusive", handle, w.send(fxpOpen, dir+"/c", exclusive, uint32(0)))
		sent("RMDIR with uploads in it", statusFailure, w.send(fxpRmdir, dir))
		sent("REMOVE of an upload", statusOK, w.send(fxpRemove, dir+"/c"))
	}
	for range len(wanted) {
		r := w.read()
		switch expected := wanted[r.id]; {
		case expected.status != handle:
			w.status(expected.what, r, expected.status)
		case r.kind != fxpHandle:
			w.status(expected.what, r, statusOK)
		}
	}
}

// TestWireOpensBounded: OPENs beside each other cannot pass the bound on handles.
func TestWireOpensBounded(t *testing.T) {
	const limit = 5
	f := serve(t, func(c *Config) { c.MaxHandles = limit })
	w := f.ready(t)
	const sent = 4 * limit
	for i := range sent {
		w.send(fxpOpen, fmt.Sprint("f", i), uint32(openWrite|openCreat|openTrunc), uint32(0))
	}
	var handles []string
	for range sent {
		if r := w.read(); r.kind == fxpHandle {
			handles = append(handles, r.body.handle())
		}
	}
	if len(handles) != limit {
		t.Errorf("%d handles, want %d", len(handles), limit)
	}
	for _, h := range handles {
		w.status("CLOSE", w.ask(fxpClose, h), statusOK)
	}
	w.open("one more", openWrite|openCreat|openTrunc)
}
