package sftpsrv

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"gateway/storage"
)

// Interrupted uploads and who sees them.
//
// A client that wants to continue asks for the size of the remote file and sends what
// comes after it. So the owner of a suspended upload sees its size
//
//   - by STAT, and by LSTAT too where nothing is published under the name;
//   - by FSTAT after an OPEN for writing without TRUNC and READ.
//
// Nobody gets its bytes: OPEN for reading, READDIR, and STAT by others know only
// what is published. Since a file that was to be replaced then has two sizes, a
// session that opened the published one for reading is told that one's from then on.
//
// OPEN for writing without TRUNC continues the upload when the first WRITE begins
// there; any other WRITE is meant for the published file, and the
// suspended upload stays as it was.
//
// The size that is told is short of one byte. Nobody knows whether an upload that broke off was whole and only
// not closed; so whoever continues it has a byte to send, and a client that skips a file of the right size
// does not take it for done.
//
// What another connection of this server has open is not suspended, although it was
// checkpointed. What another process has open may be: it may have been killed. Its size is
// told, and OPEN waits until the other gives it up, or fails.

// maxHidden bounds the names for which a connection is told the published size.
const maxHidden = 1024

// partials knows the suspended uploads of one user for one connection.
type partials struct {
	resumer storage.Resumer // nil: nothing is kept
	owner   string
	keep    time.Duration // for how long they are, after they were last written
	now     func() time.Time
	open    *claims // of the whole server

	mu     sync.Mutex
	list   map[string]storage.Suspended // the newest by name
	loaded time.Time                    // zero: not
	known  uint64                       // claims.changes then
	hidden map[string]struct{}
}

func newPartials(tree storage.FS, owner string, keep time.Duration, open *claims, now func() time.Time) *partials {
	p := &partials{owner: owner, keep: keep, now: now, open: open, hidden: make(map[string]struct{})}
	if r, ok := tree.(storage.Resumer); ok && keep > 0 {
		p.resumer = r
	}
	return p
}

func (p *partials) enabled() bool { return p.resumer != nil }

// find returns the suspended upload to a name.
func (p *partials) find(ctx context.Context, name string) (storage.Suspended, bool) {
	if !p.enabled() {
		return storage.Suspended{}, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stale() {
		p.load(ctx)
	}
	found, ok := p.list[name]
	return found, ok && !p.open.has(found.Token)
}

// stale reports whether the list has to be read again: this server has suspended an upload since, or another may have.
func (p *partials) stale() bool {
	return p.loaded.IsZero() || p.known != p.open.changes.Load() || p.now().Sub(p.loaded) > partialsFresh
}

// load reads the list, and removes what is too old: that of a gateway that was killed, which had set
// no time. What cannot be listed cannot be continued; the client then
// sends the file anew, which is no loss.
func (p *partials) load(ctx context.Context) {
	p.list = make(map[string]storage.Suspended)
	p.loaded, p.known = p.now(), p.open.changes.Load()
	var old []storage.Token
	defer func() {
		for _, t := range old {
			_ = p.resumer.Discard(ctx, t) // or the next load does, or the sweep
		}
	}()
	for suspended, err := range p.resumer.Suspended(ctx, p.owner) {
		if err != nil {
			return
		}
		if p.loaded.Sub(suspended.Updated) > p.keep {
			old = append(old, suspended.Token)
			continue
		}
		suspended.Size = toldSize(suspended.Size)
		expired := !suspended.Until.IsZero() && suspended.Until.Before(p.loaded)
		if known, ok := p.list[suspended.Name]; !expired && (!ok || known.Updated.Before(suspended.Updated)) {
			p.list[suspended.Name] = suspended
		}
	}
}

// forget makes the next find of every connection read the list again.
func (p *partials) forget() { p.open.changes.Add(1) }

// hide tells the published size of a name from now on. Where it is not known whether there is another, that
// is not looked up for it: many who read never ask.
func (p *partials) hide(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.list[name]; !ok && (!p.enabled() || !p.stale()) {
		return
	}
	if len(p.hidden) >= maxHidden {
		clear(p.hidden)
	}
	p.hidden[name] = struct{}{}
}

func (p *partials) isHidden(name string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, hidden := p.hidden[name]
	return hidden
}

// discard removes the suspended upload to a name, unless it is the one to keep: the
// file was published, removed, or interrupted again. It reports whether it did.
func (p *partials) discard(ctx context.Context, log *slog.Logger, name string, keep storage.Token) bool {
	suspended, ok := p.find(ctx, name)
	if !ok || suspended.Token == keep {
		return false
	}
	err := p.resumer.Discard(ctx, suspended.Token)
	if errors.Is(err, storage.ErrBusy) { // another gateway has it, or had until a moment ago
		return false
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("suspended upload could not be removed", "name", name, "error", err)
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.list, name)
	delete(p.hidden, name)
	return true
}

// overlay is what STAT (or LSTAT) says of a name of which storage said info and err.
func (s *session) overlay(name string, info storage.Info, err error, lstat bool) (storage.Info, error) {
	published := err == nil
	if published && (lstat || info.IsDir()) || !published && !errors.Is(err, fs.ErrNotExist) {
		return info, err
	}
	suspended, ok := s.partials.find(s.ctx, name)
	if !ok || published && (info.ModTime.After(suspended.Updated) || s.partials.isHidden(name)) {
		return info, err
	}
	if !published {
		info = storage.Info{}
	}
	info.Size, info.ModTime = suspended.Size, suspended.Updated
	return info, nil
}

// resume opens the suspended upload to the name of u, if there is one that is not
// older than what is published. It fails if that cannot be had, because somebody else keeps it open or has just
// discarded it: to begin with nothing would lose what the client does not send again.
func (s *session) resume(u *upload) (bool, error) {
	suspended, ok := s.partials.find(s.ctx, u.target)
	if !ok || u.base != nil && u.base.ModTime.After(suspended.Updated) {
		return false, nil
	}
	// The client was told its size and is about to send the rest: that is worth waiting for.
	staged, err := storage.ResumeClaimed(s.ctx, s.partials.resumer, suspended.Token)
	if errors.Is(err, storage.ErrBusy) {
		return false, storage.PathError("resume", u.target, err)
	}
	if err != nil { // a new one would have a hole where the client sends nothing
		s.partials.forget()
		if errors.Is(err, fs.ErrNotExist) {
			err = errGone
		}
		return false, err
	}
	s.partials.open.add(suspended.Token)
	u.staged, u.resumed, u.token = staged, true, suspended.Token
	u.extents = extents{end: staged.Size()}
	return true, nil
}

// toldSize is the size that the owner of a suspended upload is told.
func toldSize(size int64) int64 { return max(size-1, 0) }

// settle decides, at the first change of an upload that was resumed, whether the
// client continues it or means the published file.
func (s *session) settle(u *upload, offset int64) error {
	if !u.resumed {
		return nil
	}
	told := toldSize(u.staged.Size())
	continues := offset == told || offset == u.staged.Size() // which a client may know that sent it
	if !continues && (u.base != nil || u.flags&openCreat != 0) {
		s.abandon(u)
		s.partials.open.remove(u.token)
		u.resumed, u.token = false, ""
		return s.stage(u, false)
	}
	u.resumed, u.dirty = false, true
	if offset == told {
		u.extents.truncate(told)
		return u.staged.Truncate(told)
	}
	return nil
}
