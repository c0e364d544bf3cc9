package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"gateway/integrity"
	"gateway/state"
	"gateway/storage"
)

var (
	// errForeign is for a name that is taken on the server.
	errForeign = errors.New("another file of this name is on the server, which this job did not put there; it is replaced only with --overwrite")
	// errDamaged is for a file that arrived as another.
	errDamaged = errors.New("the file broke on the way")
	errGone    = errors.New("it is no longer in the folder")
)

// one sends the file of a line, again if it changed meanwhile. Its error ends the run.
func (p *pusher) one(ctx context.Context, f state.File) error {
	for changes := 1; ; changes++ {
		was := f
		again, err := p.send(ctx, &f)
		switch {
		case isFatal(err) || ctx.Err() != nil:
			return errors.Join(err, ctx.Err())
		case err != nil:
			return p.fail(ctx, f, err)
		case !again:
			return nil
		case changes == maxChanges: // the next run sends the newest
			f.Phase, f.Updated = state.Found, p.Now()
			return fatal(p.Store.PutFiles(ctx, f))
		}
		p.Logger.Debug("push: it changed while it was sent", "path", printable(was.Path))
	}
}

// send sends one version of a file and reports whether there is another by now.
func (p *pusher) send(ctx context.Context, f *state.File) (again bool, err error) {
	src, err := p.Source.Open(ctx, storage.Join(p.Folder, f.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return false, p.gone(ctx, f)
	}
	if err != nil {
		return false, err
	}
	defer src.Close()
	target, err := p.remoteName(f.Path)
	if err != nil {
		return false, err
	}
	info := src.Info()
	t := &sending{pusher: p, f: f, s: parsePushState(f.Token), src: src, info: info, target: target}
	t.same = t.s.ETag == info.ETag
	f.Size, f.ModTime, f.TimePrecision, f.Reason, f.Retry = info.Size, info.ModTime.UTC(), 1, "", false
	f.Tries++
	err = p.retries.retry(ctx, func(r Remote) (bool, error) {
		before := t.kept
		err := t.deliver(ctx, r)
		return t.kept-before >= overlap, err
	})
	if err != nil {
		f.Token = t.s.token()
		return false, err
	}
	if err := t.record(ctx); err != nil {
		return false, err
	}
	if err := p.after(ctx, *f, t.s); err != nil {
		return false, err
	}
	now, err := p.Source.Stat(ctx, storage.Join(p.Folder, f.Path))
	return err == nil && now.ETag != info.ETag, nil
}

// gone is for a file that is not there any more; what was sent of it is removed.
func (p *pusher) gone(ctx context.Context, f *state.File) error {
	s := parsePushState(f.Token)
	if len(s.Temp) > 0 {
		err := p.retries.retry(ctx, func(r Remote) (bool, error) {
			_, err := p.removeTemp(ctx, r, string(s.Temp))
			return false, err
		})
		if err != nil {
			return err
		}
	}
	if !f.Seen.Equal(p.start) && f.Phase == state.Failed && f.Token == "" {
		return nil // an earlier run saw that
	}
	f.Token = ""
	p.progress.update(func(r *Report) { r.Gone++ })
	f.Phase, f.Reason, f.Retry, f.Updated, f.Seen = state.Failed, errGone.Error(), false, p.Now(), time.Time{}
	return fatal(p.Store.PutFiles(ctx, *f))
}

// removeTemp removes something of ours, if it is there. For what is not there
// servers have many words.
func (p *pusher) removeTemp(ctx context.Context, r Remote, temp string) (removed bool, err error) {
	err = r.Remove(ctx, temp)
	if err != nil && (r.Broken() || Temporary(err) || ctx.Err() != nil) {
		return false, err
	}
	return err == nil, nil
}

// fail writes down why a file was not sent. A part that is of no use is removed.
func (p *pusher) fail(ctx context.Context, f state.File, why error) error {
	f.Phase, f.Reason, f.Updated = state.Failed, plain(why), p.Now()
	f.Retry = Temporary(why) || errors.Is(why, errDamaged) || errors.Is(why, storage.ErrBusy)
	if s := parsePushState(f.Token); !f.Retry && len(s.Temp) > 0 {
		_ = p.pool.Do(ctx, func(r Remote) error {
			removed, err := p.removeTemp(ctx, r, string(s.Temp))
			if removed || err == nil && !s.Free { // else it may have its final name
				s.Temp, s.Free = nil, false
			}
			return err
		})
		f.Token = s.token()
	}
	if err := p.Store.PutFiles(ctx, f); err != nil {
		return fatal(err)
	}
	p.finished(f)
	return nil
}

func (p *pusher) finished(f state.File) {
	p.progress.event(Event{Action: ActionPush, Kind: EventFinished, Path: f.Path, Size: f.Size, Phase: f.Phase, Reason: f.Reason})
}

// sending is one version of a file on its way.
type sending struct {
	*pusher
	f      *state.File
	s      pushState
	src    storage.File
	info   storage.Info
	target string // raw
	same   bool   // what is under the temporary name is of this version
	whole  bool   // all of it is, and was compared
	kept   int64  // the highest offset at which a try could go on: what counts as progress
}

func (t *sending) put(ctx context.Context, phase state.Phase) error {
	t.f.Phase, t.f.Token, t.f.Updated = phase, t.s.token(), t.Now()
	return fatal(t.Store.PutFiles(ctx, *t.f))
}

// deliver brings the file to the server and gives it its name. It can be called
// again after it failed.
func (t *sending) deliver(ctx context.Context, r Remote) error {
	if t.s.Free && len(t.s.Temp) > 0 {
		done, err := t.arrived(ctx, r)
		if done || err != nil {
			return err
		}
	}
	var checked time.Time
	if !t.whole {
		if err := t.check(ctx, r); err != nil { // before anything is sent for nothing
			return err
		}
		checked = time.Now()
		if err := t.upload(ctx, r); err != nil {
			return err
		}
		t.whole = true
		t.setTime(ctx, r)
	}
	if time.Since(checked) > carefulTime {
		if err := t.check(ctx, r); err != nil {
			return err
		}
	}
	t.s.Free, t.s.Size = true, t.info.Size
	if err := t.put(ctx, state.Verified); err != nil {
		return err
	}
	return t.rename(ctx, r)
}

// arrived finds out whether an earlier try got to the end, and was not told: the
// temporary name is gone, and the final one, which was free, has a file of the right
// size. That may have been another version than the present one.
func (t *sending) arrived(ctx context.Context, r Remote) (bool, error) {
	size, _, err := t.look(ctx, r, string(t.s.Temp))
	if err != nil {
		return false, err
	}
	if size >= 0 {
		t.whole = t.same && size == t.info.Size
		return false, nil
	}
	size, _, err = t.look(ctx, r, t.target)
	if err != nil || size != t.s.Size {
		return false, err
	}
	at, err := t.timeOf(ctx, r)
	if before := t.s.Sent; err != nil || before != nil && before.Size == size && before.Time.Equal(at) {
		return false, err // it is the one that was there before
	}
	t.s.Temp, t.s.Free, t.s.Sent = nil, false, &sentFile{Size: size, Time: at}
	return t.same, nil
}

// look asks for the size of a path on the server; -1 means that there is no file, or
// that the server does not tell (told is false then).
func (t *sending) look(ctx context.Context, r Remote, path string) (size int64, told bool, err error) {
	size, err = r.Size(ctx, path)
	switch {
	case err == nil:
		return size, true, nil
	case r.Broken() || Temporary(err) || ctx.Err() != nil:
		return -1, false, err
	}
	return -1, !errors.Is(err, ErrUnsupported), nil
}

// check refuses a final name that a file has which this job did not put there.
func (t *sending) check(ctx context.Context, r Remote) error {
	if t.Overwrite {
		return nil
	}
	size, told, err := t.look(ctx, r, t.target)
	if err != nil {
		return err
	}
	if !told {
		if size, err = t.listed(ctx, r); err != nil {
			return err
		}
	}
	if size < 0 {
		return nil
	}
	sent := t.s.Sent
	if sent == nil || sent.Size != size {
		return errForeign
	}
	at, err := t.timeOf(ctx, r)
	if err == nil && !at.Equal(sent.Time) {
		return errForeign
	}
	return err
}

// listed looks for the final name in its folder, where the server has no SIZE.
func (t *sending) listed(ctx context.Context, r Remote) (int64, error) {
	res, err := r.List(ctx, parent(t.target))
	if err != nil {
		if r.Broken() || Temporary(err) || ctx.Err() != nil {
			return -1, err
		}
		return -1, nil // the folder is not there yet
	}
	name := t.target[len(parent(t.target)):]
	for _, e := range res.Entries {
		if "/"+e.RawName == name || e.RawName == name {
			return max(e.Size, 0), nil
		}
	}
	return -1, nil
}

// timeOf is the time of the final name; zero where the server does not tell.
func (t *sending) timeOf(ctx context.Context, r Remote) (time.Time, error) {
	at, err := r.ModTime(ctx, t.target)
	if err != nil && (r.Broken() || Temporary(err) || ctx.Err() != nil) {
		return time.Time{}, err
	}
	if err != nil {
		return time.Time{}, nil //nolint:nilerr // it does not tell
	}
	return at, nil
}

// upload brings the bytes under the temporary name, going on with those that are
// there of the same version.
func (t *sending) upload(ctx context.Context, r Remote) error {
	if err := t.makeFolder(ctx, r, parent(t.target)); err != nil {
		return err
	}
	offset, err := t.offset(ctx, r)
	if err != nil {
		return err
	}
	t.kept = max(t.kept, offset)
	if len(t.s.Temp) == 0 {
		t.s.Temp = []byte(t.temporary(t.target))
	}
	if !t.same || t.f.Phase != state.Fetching {
		t.s.ETag, t.s.Free, t.same = t.info.ETag, false, true
		// Known before it is there, so that nothing is left behind.
		if err := t.put(ctx, state.Fetching); err != nil {
			return err
		}
	}
	err = t.store(ctx, r, offset)
	if errors.Is(err, ErrUnsupported) && offset > 0 && !r.Broken() {
		err = t.store(ctx, r, offset+resent) // perhaps it can append
	}
	// It cannot go on, or what is there is something else.
	if wrong := errors.Is(err, ErrUnsupported) || errors.Is(err, io.ErrUnexpectedEOF); wrong && offset > 0 && !r.Broken() {
		err = t.store(ctx, r, 0)
	}
	return err
}

// resent is how many bytes are sent again when an upload goes on, and from which size
// on one does.
const resent = sftpDepth * sftpChunk

// offset is where to go on. The bytes before it were on the server for a while: a
// part of them is sent again, since the end of what a crash left need not be right.
func (t *sending) offset(ctx context.Context, r Remote) (int64, error) {
	if !t.same || len(t.s.Temp) == 0 {
		return 0, nil
	}
	size, _, err := t.look(ctx, r, string(t.s.Temp))
	if err != nil || size <= resent || size > t.info.Size {
		return 0, err
	}
	return size - resent, nil
}

// store sends the bytes from offset on and compares what the server has then.
func (t *sending) store(ctx context.Context, r Remote, offset int64) error {
	alg, asks := r.Info().HashAlgorithm()
	var algs []integrity.Algorithm
	if asks {
		algs = append(algs, alg)
	}
	digester, err := integrity.NewDigester(algs...)
	if err != nil {
		return err
	}
	if offset > 0 {
		if err := hashInto(ctx, digester, t.src, offset); err != nil {
			return err
		}
		t.progress.update(func(r *Report) { r.ResumedFiles++; r.SavedBytes += offset })
	}
	t.progress.event(Event{Action: ActionPush, Kind: EventStarted, Path: t.f.Path, Size: t.info.Size, Offset: offset})
	body := &outbound{t: t, ctx: ctx, digester: digester, off: offset}
	temp := string(t.s.Temp)
	_, err = r.Store(ctx, temp, body, offset)
	if err != nil {
		return err
	}
	if body.off != t.info.Size {
		return fmt.Errorf("%w: %d of %d bytes could be read", io.ErrUnexpectedEOF, body.off, t.info.Size)
	}
	sums := digester.Sums()
	t.f.SHA256 = sums[0].Sum
	if !asks {
		return nil
	}
	digest, command, err := r.Hash(ctx, temp, t.info.Size)
	if err != nil {
		if r.Broken() || ctx.Err() != nil {
			return err
		}
		return nil // it has no hash of this file; the size must do
	}
	for _, own := range sums {
		if own.Algorithm == digest.Algorithm && !own.Equal(digest) {
			t.same = false // none of it is of use
			return fmt.Errorf("%w: the server's %s is another (%w)", errDamaged, command, io.ErrUnexpectedEOF)
		}
	}
	return nil
}

// outbound reads the file, hashes it and tells how far it is.
type outbound struct {
	t        *sending
	ctx      context.Context // of the one store that reads it
	digester *integrity.Digester
	off      int64
}

func (o *outbound) Read(p []byte) (int, error) {
	if err := o.ctx.Err(); err != nil {
		return 0, err
	}
	if left := o.t.info.Size - o.off; int64(len(p)) > left {
		if p = p[:left]; left == 0 {
			return 0, io.EOF
		}
	}
	n, err := o.t.src.ReadAt(p, o.off)
	_, _ = o.digester.Write(p[:n]) // never fails
	o.off += int64(n)
	o.t.progress.update(func(r *Report) { r.SentBytes += int64(n) })
	o.t.progress.event(Event{Action: ActionPush, Kind: EventBytes, Path: o.t.f.Path, Size: o.t.info.Size, Offset: o.off})
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// makeFolder makes what is missing of a folder below the URL's own.
func (t *sending) makeFolder(ctx context.Context, r Remote, dir string) error {
	t.mu.Lock()
	there := dir == "" || t.made[dir]
	t.mu.Unlock()
	if there {
		return nil
	}
	if err := t.makeFolder(ctx, r, parent(dir)); err != nil {
		return err
	}
	if err := r.MakeDir(ctx, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		if r.Broken() || Temporary(err) || ctx.Err() != nil {
			return err
		}
		// Not all servers say why; one that lists it has it.
		if _, lerr := r.List(ctx, dir); lerr != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.made) >= maxMade {
		clear(t.made)
	}
	t.made[dir] = true
	return nil
}

// setTime gives the file its time while nobody takes it yet. Not all servers can.
func (t *sending) setTime(ctx context.Context, r Remote) {
	if err := r.SetModTime(ctx, string(t.s.Temp), t.info.ModTime); err != nil {
		t.Logger.Debug("push: the time was not set", "path", printable(t.f.Path), "error", err)
	}
}

// replacer is a Remote that can rename over a file in one step.
type replacer interface {
	replace(ctx context.Context, from, to string) error
}

// rename gives the file its name. Where one of this name is there, it may be
// replaced: check said so. Servers that refuse that are helped by removing it.
func (t *sending) rename(ctx context.Context, r Remote) error {
	temp := string(t.s.Temp)
	replaces := t.Overwrite || t.s.Sent != nil
	if rep, ok := r.(replacer); ok && replaces {
		if err := rep.replace(ctx, temp, t.target); !errors.Is(err, ErrUnsupported) {
			return err
		}
	}
	err := r.Rename(ctx, temp, t.target)
	if err == nil || !replaces || r.Broken() || Temporary(err) || ctx.Err() != nil {
		return err
	}
	if size, _, lerr := t.look(ctx, r, t.target); lerr != nil || size < 0 {
		return errors.Join(err, lerr)
	}
	if err := r.Remove(ctx, t.target); err != nil {
		return err
	}
	return r.Rename(ctx, temp, t.target)
}

// record is the last step: what the server has under the final name now, and that it
// was sent.
func (t *sending) record(ctx context.Context) error {
	var size int64
	var told bool
	sent := sentFile{Size: t.info.Size}
	err := t.retries.retry(ctx, func(r Remote) (_ bool, err error) {
		if size, told, err = t.look(ctx, r, t.target); err == nil && size >= 0 {
			sent.Time, err = t.timeOf(ctx, r)
		}
		return false, err
	})
	switch {
	case isFatal(err) || ctx.Err() != nil:
		return errors.Join(err, ctx.Err())
	case err != nil:
		return err
	case size >= 0 && size != t.info.Size:
		return fmt.Errorf("%w: the server has %d of %d bytes under its name", errDamaged, size, t.info.Size)
	case size < 0 && told:
		t.progress.update(func(r *Report) {
			r.Renamed.add(Item{Path: printable(t.f.Path), Size: t.info.Size,
				Reason: "it was sent and renamed, and has not this name now: the partner took it, or the server changed its name"})
		})
	}
	t.s.Temp, t.s.Free, t.s.Sent = nil, false, &sent
	t.f.Offset, t.f.Retry = 0, false
	// It is there: this has to be written even when the run is ending.
	wctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := t.put(wctx, state.Published); err != nil {
		return err
	}
	t.progress.update(func(r *Report) { r.Published.add(t.info.Size) })
	t.finished(*t.f)
	return nil
}
