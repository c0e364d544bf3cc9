package ftpbridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gateway/internal/pause"
	"gateway/state"
)

// Bounds of the segments of a file, in bytes.
const (
	// SegmentFrom is the size from which on a file is fetched by several sessions.
	SegmentFrom = 64 << 20
	// segmentPiece is what a session fetches of it at once, at most. Hashing is
	// behind by what the others have beyond the first segment.
	segmentPiece = 1 << 30
	// latePiece is the same near the end of the file.
	latePiece = 128 << 20
	// segmentLeast is the least that is worth a transfer of its own.
	segmentLeast = 16 << 20
)

// hashStep is how much is hashed between two looks at what else is to be done.
const hashStep = 8 << 20

// errNoOffsets is for a server that takes REST and does not care, or a file
// whose parts are all alike, where that cannot be seen.
var errNoOffsets = errors.New("the server sent the beginning of the file from another offset")

// segmentable reports whether the file may be fetched by several sessions: it is
// large, the server itself told its size, and it can begin at an offset. What was
// begun so goes on so.
func (t *transferState) segmentable(s Remote) bool {
	return t.plan != nil || t.sized && t.large(s)
}

// large is segmentable for a size that may be only that of a listing.
func (t *transferState) large(s Remote) bool {
	features := s.Info().Features
	return t.sessions() > 1 && !t.alone && t.f.Size >= t.segmentFrom && (len(features) == 0 || s.Info().Has("REST"))
}

// sessions is how many may take part in a segmented transfer.
func (t *transferState) sessions() int { return min(t.Segments, t.Source.connections()) }

// fetch transfers what is missing, in one go or in segments.
func (t *transferState) fetch(ctx context.Context, s Remote) error {
	if !t.segmentable(s) {
		return t.read(ctx, s)
	}
	if t.plan == nil {
		var have state.Ranges
		if t.off > 0 {
			have = state.Ranges{{From: 0, To: t.off}}
		}
		t.plan = t.newPlan(have)
	}
	err := t.readSegments(ctx, s)
	if !errors.Is(err, ErrUnsupported) && !errors.Is(err, errNoOffsets) {
		return err
	}
	keep := *t.f
	if err := t.restart(); err != nil {
		return err
	}
	t.f.Size, t.f.MDTM = keep.Size, keep.MDTM // it is the same version still
	if s.Broken() {
		return ErrBroken
	}
	return t.read(ctx, s)
}

func (t *transferState) newPlan(have state.Ranges) *segmentPlan {
	sessions := int64(t.sessions())
	piece := min((t.f.Size+sessions-1)/sessions, t.segmentPiece)
	p := newSegmentPlan(t.f.Size, have, piece, t.segmentLeast)
	p.dwindle(sessions)
	return p
}

// resumeSegments goes on with a staged upload of an earlier run that has ranges
// beyond its beginning. They are hashed as the beginning grows.
func (t *transferState) resumeSegments() error {
	ranges := append(state.Ranges{{From: 0, To: t.f.Offset}}, t.f.Ranges...)
	end := ranges[len(ranges)-1].To
	if end > t.up.Size() || end > t.f.Size {
		return nil // less is there than was written down: only the beginning counts
	}
	t.plan = t.newPlan(ranges)
	return t.up.Truncate(end)
}

// staged is how many bytes of the file are there.
func (t *transferState) staged() int64 {
	if t.plan != nil {
		return t.plan.staged()
	}
	return t.off
}

// segmented is the part of a transfer in which several sessions take part.
type segmented struct {
	*transferState
	plan *segmentPlan
	path string             // as people see it; f itself is the keeper's meanwhile
	stop context.CancelFunc // ends all of it

	io sync.RWMutex // of the upload: writers share it, a checkpoint has it alone

	mu    sync.Mutex
	fault error // what ends all of it
	lost  error // the first that ended one session's part
	alone bool  // one session only, from now on
	led   bool  // the session that the transfer was given is done
}

// readSegments transfers what is missing with s and up to Segments-1 further
// sessions, as far as the server lets them in. That some of them fail is an error
// only if something is missing in the end.
func (t *transferState) readSegments(ctx context.Context, s Remote) error {
	outer := ctx
	ctx, stop := context.WithCancel(outer)
	defer stop()
	x := &segmented{transferState: t, plan: t.plan, path: t.pathOf(*t.f), stop: stop}
	t.progress.event(Event{Kind: EventStarted, Path: x.path, Size: t.f.Size, Offset: t.plan.staged()})

	over := make(chan struct{}) // all sessions are
	kept := make(chan error, 1)
	go func() { kept <- x.keep(ctx, over) }()

	first := t.plan.take()                     // before the others do: what they get is compared with it
	waiting, enough := context.WithCancel(ctx) // for a session
	defer enough()
	var helpers errgroup.Group
	for range t.sessions() - 1 {
		helpers.Go(func() error { x.help(ctx, waiting); return nil })
	}
	x.lose(x.lead(ctx, s, first))
	x.mu.Lock()
	x.led = true
	x.mu.Unlock()
	enough()
	_ = helpers.Wait() // they have no errors
	close(over)
	var changed error
	if t.plan.whole() && ctx.Err() == nil && !s.Broken() && !t.f.MDTM.IsZero() {
		changed = t.sameVersion(ctx, s) // beside the hashing of what came last
		t.checked = changed == nil
	}
	err := <-kept
	if err == nil {
		err = changed
	}
	if t.off != t.plan.prefix() && err == nil && t.plan.whole() {
		err = fmt.Errorf("hashed %d of %d bytes: %w", t.off, t.f.Size, io.ErrUnexpectedEOF)
	}
	switch {
	case x.fault != nil:
		return x.fault
	case err != nil:
		return err
	case outer.Err() != nil:
		return outer.Err()
	case t.plan.whole():
		t.plan, t.f.Ranges = nil, nil
		return nil
	case x.lost != nil:
		return x.lost
	}
	return ErrBroken // a session that could not go on; retry gives another
}

// fail ends all of it.
func (x *segmented) fail(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.fault == nil {
		x.fault = err
	}
	x.stop()
}

// lose notes an error that ended the part of one session.
func (x *segmented) lose(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.lost == nil {
		x.lost = err
	}
}

func (x *segmented) isLed() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.led
}

func (x *segmented) single() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.alone
}

// lead is the part of the session that the transfer was given, seg its first segment.
func (x *segmented) lead(ctx context.Context, s Remote, seg *segment) error {
	for ; ctx.Err() == nil; seg = x.plan.take() {
		if seg == nil {
			return nil
		}
		if err := x.segment(ctx, s, seg); err != nil {
			return err
		}
		if s.Broken() {
			return nil // it could not be stopped; the others go on
		}
	}
	return ctx.Err()
}

// help takes part with sessions of the pool, when there are any left, and as long
// as there is something to do. waiting is the context in which it waits for one.
func (x *segmented) help(ctx, waiting context.Context) {
	for tries := 1; tries <= x.Tries && !x.single(); tries++ {
		s, err := x.pool.Get(waiting)
		if err == nil {
			before := x.plan.staged()
			err = x.helpWith(ctx, s)
			x.pool.Put(s)
			if x.plan.staged()-before >= overlap {
				tries = 0
			}
		}
		switch {
		case err == nil || waiting.Err() != nil && errors.Is(err, waiting.Err()):
			return
		case !passing(waiting, err):
			x.lose(err)
			return
		}
		x.Logger.Debug("migrate: a session of a segmented transfer was lost", "path", x.path, "error", err)
		if pause.For(waiting, x.RetryWait) != nil {
			return
		}
	}
}

// begun waits until the first bytes of the file are there, with which those of the
// others are compared.
func (x *segmented) begun(ctx context.Context) error {
	for x.plan.prefix() < overlap {
		if x.isLed() {
			return ErrBroken
		}
		if err := pause.For(ctx, time.Millisecond); err != nil {
			return err
		}
	}
	return ctx.Err()
}

func (x *segmented) helpWith(ctx context.Context, s Remote) error {
	for !s.Broken() && !x.single() {
		seg := x.plan.take()
		if seg == nil {
			return nil
		}
		if err := x.segment(ctx, s, seg); err != nil {
			if errors.Is(err, errNoOffsets) || errors.Is(err, ErrUnsupported) {
				x.mu.Lock()
				x.alone = true
				x.mu.Unlock()
				return nil
			}
			return err
		}
	}
	return nil
}

// segment fetches a segment with a session as far as it gets.
func (x *segmented) segment(ctx context.Context, s Remote, seg *segment) error {
	err := x.fetchSegment(ctx, s, seg)
	x.plan.leave(seg)
	x.join()
	return err
}

// join joins what is known to fit, and ends all of it if something does not.
func (x *segmented) join() {
	fit, at, err := x.plan.join(x.same)
	switch {
	case err != nil:
		x.fail(err)
	case !fit:
		x.fail(fmt.Errorf("%w: the parts of it that meet at offset %d are of two versions, or the server ignores offsets", errChanged, at))
	}
}

func (x *segmented) same(b []byte, at int64) (bool, error) {
	ours := make([]byte, len(b))
	if _, err := x.up.ReadAt(ours, at); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return bytes.Equal(ours, b), nil
}

func (x *segmented) fetchSegment(ctx context.Context, s Remote, seg *segment) error {
	from, fresh := x.plan.from(seg)
	rc, err := s.Fetch(ctx, x.f.Path, from)
	if err != nil {
		return err
	}
	enough, err := x.stream(ctx, x.limit(ctx, rc), seg, from, fresh)
	if stop, ok := rc.(stopper); ok && enough {
		x.join()        // to stop takes some round trips; hashing need not wait for it
		_ = stop.stop() // if it fails the session is broken, no more
		return err
	}
	cerr := rc.Close()
	if err == nil && !enough {
		err = cerr
	}
	return err
}

// stream stages a segment from what a session sends from an offset on. enough
// reports that the server would send more, which nobody wants.
func (x *segmented) stream(ctx context.Context, rc io.Reader, seg *segment, from int64, fresh bool) (enough bool, err error) {
	buf := make([]byte, fetchBuffer)
	if err := x.again(rc, seg, from, buf); err != nil {
		return false, err
	}
	for {
		n, err := readFull(rc, buf)
		if fresh && n >= overlap {
			if berr := x.begun(ctx); berr != nil {
				return true, berr
			}
			if same, rerr := x.same(buf[:overlap], 0); same || rerr != nil {
				return true, errors.Join(errNoOffsets, rerr)
			}
			fresh = false
		}
		if fresh && n > 0 { // too little to tell
			return false, errors.Join(err, io.ErrUnexpectedEOF)
		}
		rest, werr := x.stage(seg, buf[:n])
		switch {
		case werr != nil:
			x.fail(werr)
			return false, werr
		case len(rest) > 0:
			tail := make([]byte, overlap)
			m, err := io.ReadFull(rc, tail[copy(tail, rest):])
			if copied := min(len(rest), overlap); copied+m < overlap {
				return false, cutShort(err)
			}
			x.plan.ended(seg, tail)
			return true, nil
		case errors.Is(err, io.EOF):
			return false, x.end(seg)
		case err != nil:
			return false, err
		}
	}
}

// again reads once more what is staged just before the place where it goes on.
func (x *segmented) again(rc io.Reader, seg *segment, from int64, buf []byte) error {
	theirs := buf[:seg.pos-from]
	n, err := io.ReadFull(rc, theirs)
	x.progress.update(func(r *Report) { r.FetchedBytes += int64(n) })
	same, rerr := x.same(theirs[:n], from)
	switch {
	case rerr != nil:
		x.fail(rerr)
		return rerr
	case !same || errors.Is(err, io.EOF):
		err = fmt.Errorf("%w: the bytes before offset %d are others now, or the server ignores offsets", errChanged, seg.pos)
		x.fail(err)
	}
	return err
}

// cutShort is the end of a transfer that a server took for the end of the file.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: the server said that this was all before the end of the file", io.ErrUnexpectedEOF)
	}
	return err
}

// end is that of a transfer, confirmed by the server.
func (x *segmented) end(seg *segment) error {
	if x.plan.room(seg, 1) > 0 || !x.plan.last(seg) {
		return cutShort(io.EOF)
	}
	x.plan.ended(seg, nil)
	return nil
}

// stage writes what belongs to the segment and gives back what does not.
func (x *segmented) stage(seg *segment, b []byte) (rest []byte, err error) {
	for len(b) > 0 {
		n := x.plan.room(seg, len(b))
		if n == 0 {
			if x.plan.last(seg) {
				return nil, fmt.Errorf("%w: more came than its %d bytes", errChanged, x.f.Size)
			}
			if x.plan.extend(seg) {
				continue
			}
			return b, nil
		}
		x.io.RLock()
		_, err := x.up.WriteAt(b[:n], seg.pos)
		x.io.RUnlock()
		if err != nil {
			return nil, err
		}
		x.plan.grow(seg, n)
		b = b[n:]
		x.progress.update(func(r *Report) { r.FetchedBytes += int64(n) })
		x.progress.event(Event{Kind: EventBytes, Path: x.path, Size: x.f.Size, Offset: x.plan.staged()})
	}
	return nil, nil
}
