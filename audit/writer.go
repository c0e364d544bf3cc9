package audit

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"gateway/internal/durable"
)

// tornText is how much of a torn line is told in the line that says so.
const tornText = 1024

// writer appends lines. One goroutine uses it at a time, apart from syncWritten.
type writer struct {
	l    *Log
	lock *os.File
	t    tail     // as this process last saw it
	own  []Entry  // what the log has to say of itself with the next lines
	told uint64   // of Log.lost, what a line tells of
	file *os.File // t.file; nil: to be made

	sinceHead int       // lines since this process signed a head
	headAt    time.Time // when it did

	written atomic.Uint64 // grows with each write
	syncing sync.Mutex
	synced  uint64
	current atomic.Pointer[os.File] // file, for syncWritten
}

// open finds the end of the log.
func (w *writer) open() error {
	ctx, cancel := lockContext()
	defer cancel()
	if err := lock(ctx, w.lock); err != nil {
		return err
	}
	defer unlock(w.lock)
	w.headAt = w.l.now()
	head, err := readHead(w.l.o.Dir)
	if err != nil {
		return err
	}
	known := tail{seq: head.Seq, sum: head.sum}
	return w.reload(known)
}

// reload finds the end anew, and mends it. known is where the log was at least: if it ends before, or there
// is something else in that place, it is gone on from known, so that the break is seen.
func (w *writer) reload(known tail) error {
	w.use(nil)
	t, err := readTail(w.l.o.Dir)
	if err != nil {
		return err
	}
	if len(t.torn) > 0 {
		if err := os.Truncate(t.file, t.size); err != nil {
			return err
		}
		shown := t.torn[:min(len(t.torn), tornText)]
		w.say(Entry{Verb: Mend, Path: filepath.Base(t.file), Bytes: int64(len(t.torn)),
			Reason: "the last line was not whole, and was cut off; it began: " + string(shown)})
		t.torn = nil
	}
	switch {
	case t.seq < known.seq:
		w.say(Entry{Verb: Mend, Reason: fmt.Sprintf("the log ended at line %d, and had line %d: what was between is missing", t.seq, known.seq)})
		t.seq, t.sum, t.over = known.seq, known.sum, true // in a new file, whose name tells the number
	case t.seq == known.seq && t.sum != known.sum:
		w.say(Entry{Verb: Mend, Reason: fmt.Sprintf("line %d is not the one that was written", t.seq)})
		t.sum = known.sum
	}
	w.sinceHead += int(min(t.seq-known.seq, headLines))
	w.t = t
	if t.file == "" || t.over {
		return nil
	}
	f, err := os.OpenFile(t.file, os.O_WRONLY|os.O_APPEND|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	w.use(f)
	return nil
}

// say has a line written about the log itself, once.
func (w *writer) say(e Entry) {
	for _, said := range w.own {
		if said.Reason == e.Reason {
			return
		}
	}
	w.own = append(w.own, e)
}

// use makes f the file that is written to. What was written to the one before has to be on the disk.
func (w *writer) use(f *os.File) {
	if w.file != nil {
		_ = w.file.Close()
	}
	w.file = f
	w.current.Store(f)
}

// check looks whether the file is as this process left it, and else finds the end anew.
func (w *writer) check() error {
	if w.file == nil && w.t.file == "" && w.t.seq == 0 {
		return w.reload(w.t) // another process may have made the first file
	}
	if w.file != nil {
		var st unix.Stat_t
		err := unix.Fstat(int(w.file.Fd()), &st)
		if err == nil && st.Size == w.t.size && st.Nlink > 0 {
			return nil
		}
	}
	return w.reload(w.t)
}

// write appends a batch, and a head if one is due. If it is there, an error says that it is not on the disk.
func (w *writer) write(batch []item) (there bool, err error) {
	if err := w.locked(func() error { return w.writeLocked(batch) }); err != nil {
		return false, err
	}
	if w.l.o.Always {
		err = w.syncWritten()
	}
	return true, err
}

func (w *writer) writeLocked(batch []item) error {
	if err := w.rotateIfDue(); err != nil {
		return err
	}
	own := len(w.own)
	for i := range w.own {
		batch = append([]item{{body: w.body(w.own[len(w.own)-1-i])}}, batch...)
	}
	_, lost := w.l.Counts()
	if lost > w.told {
		batch = append(batch, item{body: w.body(Entry{Verb: Lost, Reason: fmt.Sprintf("%d lines could not be written, and are lost", lost-w.told)})})
	}
	if err := w.append(batch, w.sinceHead+len(batch) >= headLines); err != nil {
		return err
	}
	w.own, w.told = w.own[own:], lost
	return nil
}

func (w *writer) body(e Entry) []byte {
	e.Time, e.Node = w.l.now(), w.l.o.Node
	return appendEntry(nil, &e)
}

// append writes lines to the end of the file, which is made if there is none.
func (w *writer) append(batch []item, head bool) error {
	if w.file == nil {
		if err := w.create(); err != nil {
			return err
		}
	}
	t, n := w.t, len(batch)
	var b []byte
	for _, i := range batch {
		t.seq++
		b, t.sum = appendLine(b, t.seq, t.sum, i.body)
	}
	head = head && len(w.l.o.Key) > 0
	if head {
		e := w.head(t)
		t.seq++
		b, t.sum = appendLine(b, t.seq, t.sum, w.body(e))
	}
	if _, err := w.file.Write(b); err != nil {
		// A part may be there. If it cannot be taken away either, the next write finds it, and mends it.
		if terr := w.file.Truncate(w.t.size); terr != nil {
			err = errors.Join(err, terr)
		}
		return err
	}
	t.size += int64(len(b))
	if t.born.IsZero() {
		t.born = w.l.now()
	}
	w.t = t
	w.written.Add(1)
	w.sinceHead += n
	if head {
		w.sinceHead, w.headAt = 0, w.l.now()
		w.keepHead()
	}
	return nil
}

// create begins the next file.
func (w *writer) create() error {
	file := filepath.Join(w.l.o.Dir, fileName(w.t.seq+1))
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w; it holds no line that could be gone on from: move it away", err)
	}
	if err != nil {
		return err
	}
	if err := durable.SyncDir(w.l.o.Dir); err != nil {
		return errors.Join(err, f.Close())
	}
	w.use(f)
	w.t.file, w.t.size, w.t.born, w.t.over = file, 0, time.Time{}, false
	return nil
}

// head is a signature of the chain up to t.
func (w *writer) head(t tail) Entry {
	key := w.l.o.Key
	return Entry{
		Verb: HeadOf, Signer: KeyID(key.Public().(ed25519.PublicKey)),
		Signature: ed25519.Sign(key, signed(w.l.o.Node, t.seq+1, t.sum)),
	}
}

// keepHead puts the head that was written beside the log, once it is on the disk, and tells of it. The lines are
// there, whether that succeeds or not.
func (w *writer) keepHead() {
	h := Head{w.t.seq, w.t.sum}
	err := w.syncWritten()
	if err == nil {
		err = writeHead(w.l.o.Dir, h)
	}
	if err != nil {
		w.l.o.Logger.Warn("the head of the audit log cannot be kept beside it", "error", err)
	}
	if w.l.o.Heads != nil {
		w.l.o.Heads(h)
	}
}

// headIfDue signs a head if there are lines without one for as long as Options.HeadEvery.
func (w *writer) headIfDue(now time.Time) error {
	if w.sinceHead == 0 || w.t.seq == 0 || len(w.l.o.Key) == 0 || now.Sub(w.headAt) < w.l.o.HeadEvery {
		return nil
	}
	return w.locked(func() error { return w.append(nil, true) })
}

func (w *writer) locked(do func() error) error {
	ctx, cancel := lockContext()
	defer cancel()
	if err := lock(ctx, w.lock); err != nil {
		return err
	}
	defer unlock(w.lock)
	if err := w.check(); err != nil {
		return err
	}
	return do()
}

// rotateIfDue ends the file if it is large or old enough: with a head, and the name of the next.
func (w *writer) rotateIfDue() error {
	o := w.l.o
	large := o.RotateSize > 0 && w.t.size >= o.RotateSize
	old := o.RotateEvery > 0 && !w.t.born.IsZero() && w.l.now().Sub(w.t.born) >= o.RotateEvery
	if w.file == nil || !large && !old {
		return nil
	}
	if err := w.append(nil, true); err != nil {
		return err
	}
	next := fileName(w.t.seq + 2)
	if err := w.append([]item{{body: w.body(Entry{Verb: Rotate, Path: next})}}, false); err != nil {
		return err
	}
	if err := w.syncWritten(); err != nil {
		return err
	}
	w.use(nil)
	w.t.over = true
	if err := w.create(); err != nil {
		return err
	}
	if err := w.prune(); err != nil {
		w.l.o.Logger.Warn("old files of the audit log cannot be removed", "error", err)
	}
	return nil
}

// prune removes the oldest files that are more than are to be kept.
func (w *writer) prune() error {
	if w.l.o.Keep <= 0 {
		return nil
	}
	files, err := Files(w.l.o.Dir)
	if err != nil {
		return err
	}
	gone := files[:max(0, len(files)-1-w.l.o.Keep)] // the last is the one that is written to
	if len(gone) == 0 {
		return nil
	}
	var through uint64
	if _, err := fmt.Sscanf(filepath.Base(files[len(gone)]), "audit-%d.jsonl", &through); err != nil {
		return err
	}
	var names []string
	for _, file := range gone {
		names = append(names, filepath.Base(file))
	}
	// The line first: removed without it they would be missed.
	e := Entry{Verb: Prune, Through: through - 1, Path: strings.Join(names, " "), Reason: fmt.Sprintf("%d closed files are kept", w.l.o.Keep)}
	if err := w.append([]item{{body: w.body(e)}}, false); err != nil {
		return err
	}
	if err := w.syncWritten(); err != nil {
		return err
	}
	for _, file := range gone {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	return nil
}

// syncWritten brings what was written onto the disk. It may be called beside the other methods.
func (w *writer) syncWritten() error {
	w.syncing.Lock()
	defer w.syncing.Unlock()
	want := w.written.Load()
	f := w.current.Load()
	if f == nil || want == w.synced {
		return nil
	}
	// A file that was closed meanwhile was brought onto the disk before.
	if err := f.Sync(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("bring the audit log onto the disk: %w", err)
	}
	w.synced = want
	return nil
}

// finish signs a head over what has none, brings all onto the disk and closes the files.
func (w *writer) finish() error {
	var err error
	if w.sinceHead > 0 && w.written.Load() > 0 && len(w.l.o.Key) > 0 {
		err = w.locked(func() error { return w.append(nil, true) })
	}
	return errors.Join(err, w.syncWritten(), w.close())
}

func (w *writer) close() error {
	var err error
	if w.file != nil {
		err = w.file.Close()
	}
	return errors.Join(err, w.lock.Close())
}
