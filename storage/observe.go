package storage

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Origin is where a call comes from, for who watches ([Observer]).
type Origin struct {
	// Protocol is "sftp", "scp", "ssh" (a command), "webdav", "page", "share" (somebody with a link) or "admin".
	Protocol string
	// Address is the client's; the zero Addr if there is none.
	Address netip.Addr
	// Session names the connection or the browser's session within this process; "" if there is none.
	Session string
}

type originKey struct{}

// WithOrigin is a context for calls that come from o.
func WithOrigin(ctx context.Context, o Origin) context.Context {
	return context.WithValue(ctx, originKey{}, o)
}

// OriginOf is that of [WithOrigin], or the zero Origin.
func OriginOf(ctx context.Context) Origin {
	o, _ := ctx.Value(originKey{}).(Origin)
	return o
}

// Verb is what was done to a file or folder.
type Verb string

// The verbs that an [Observer] is told of. Looking at names and attributes is none.
const (
	VerbUpload   Verb = "upload"
	VerbDownload Verb = "download"
	VerbMkdir    Verb = "mkdir"
	VerbDelete   Verb = "delete" // a file, or a folder with all below
	VerbRename   Verb = "rename"
	VerbCopy     Verb = "copy"
	VerbSetTime  Verb = "settime"
)

// ErrUnfinished is Event.Err of an upload that ended without being published: its client gave it up,
// or its connection broke. What came may have been kept for a resume.
var ErrUnfinished = errors.New("the upload was not finished")

// Event is one thing that was done, or refused, through an observed view.
type Event struct {
	Began, Ended time.Time
	User         string
	Origin       Origin
	Verb         Verb
	// Name is what the user calls it, clean unless it was refused for not being so; Key is that of [View.Key].
	Name, Key string
	// To and ToKey are where a rename or copy leads; "" for other verbs.
	To, ToKey string
	// Bytes is how many were read, or the size of what was published.
	Bytes int64
	// ETag is that of what was published or read.
	ETag string
	// Err is why it was refused or failed; nil if it was done.
	Err error
	// Transfer is what [Observer.Began] was told of; nil for verbs other than upload and download.
	Transfer *Transfer
}

// Transfer is an upload or download under way.
type Transfer struct {
	Event // as it was when it began: no Ended, Bytes and Err
	bytes atomic.Int64
}

// Moved is how many bytes were written or read so far. Bytes that are sent twice count twice.
func (t *Transfer) Moved() int64 { return t.bytes.Load() }

// Observer is told what is done through the views it observes. Its methods are called before the
// client has its answer, from many goroutines at once, and must not call the view.
type Observer interface {
	// Began is told of a transfer that begins. Its end follows, unless the process dies.
	Began(ctx context.Context, t *Transfer)
	// Ended is told of everything that was done, refused, or failed. It has been published, or
	// removed, by then, so there is no error to return. The context may have ended.
	Ended(ctx context.Context, e Event)
}

// Gate is an Observer that can refuse what is about to begin: what it must tell of, and cannot.
type Gate interface {
	Observer
	// May fails if nothing is to be done now. What it refuses is told of too.
	May(ctx context.Context, verb Verb) error
}

// Observers are several, told in their order.
type Observers []Observer

// Began implements Observer.
func (all Observers) Began(ctx context.Context, t *Transfer) {
	for _, o := range all {
		o.Began(ctx, t)
	}
}

// Ended implements Observer.
func (all Observers) Ended(ctx context.Context, e Event) {
	for _, o := range all {
		o.Ended(ctx, e)
	}
}

// May implements Gate: each that is one has to agree.
func (all Observers) May(ctx context.Context, verb Verb) error {
	for _, o := range all {
		if g, ok := o.(Gate); ok {
			if err := g.May(ctx, verb); err != nil {
				return err
			}
		}
	}
	return nil
}

// Observed is a View whose observer is told of what is done through it.
type Observed struct {
	*View
	observer Observer
	up, down []*Bandwidth // see Throttle
}

var (
	_ Resumer       = (*Observed)(nil)
	_ Copier        = (*Observed)(nil)
	_ TreeRemover   = (*Observed)(nil)
	_ SpaceReporter = (*Observed)(nil)
)

// Observe is v with an observer.
func Observe(v *View, o Observer) *Observed { return &Observed{View: v, observer: o} }

func (v *Observed) begin(ctx context.Context, verb Verb, name string) Event {
	if clean, err := CleanName(name); err == nil {
		name = clean
	}
	return Event{Began: time.Now(), User: v.user, Origin: OriginOf(ctx), Verb: verb, Name: name, Key: v.Key(name)}
}

func (v *Observed) beginTo(ctx context.Context, verb Verb, from, to string) Event {
	e, dst := v.begin(ctx, verb, from), v.begin(ctx, verb, to)
	e.To, e.ToKey = dst.Name, dst.Key
	return e
}

// may asks the observer whether what e tells of may begin.
func (v *Observed) may(ctx context.Context, e Event) error {
	g, ok := v.observer.(Gate)
	if !ok {
		return nil
	}
	err := g.May(ctx, e.Verb)
	if err != nil {
		v.end(ctx, e, err)
	}
	return err
}

func (v *Observed) end(ctx context.Context, e Event, err error) {
	if errors.Is(err, errors.ErrUnsupported) {
		return // the caller does it in other steps, and those are observed
	}
	e.Ended, e.Err = time.Now(), err
	v.observer.Ended(ctx, e)
}

func (v *Observed) transfer(ctx context.Context, e Event) *Transfer {
	t := &Transfer{Event: e}
	v.observer.Began(ctx, t)
	return t
}

// Open implements FS. The download ends when the file is closed.
func (v *Observed) Open(ctx context.Context, name string) (File, error) {
	e := v.begin(ctx, VerbDownload, name)
	if err := v.may(ctx, e); err != nil {
		return nil, err
	}
	f, err := v.View.Open(ctx, name)
	if err != nil {
		v.end(ctx, e, err)
		return nil, err
	}
	e.ETag = f.Info().ETag
	return v.throttledFile(ctx, &observedFile{File: f, v: v, ctx: context.WithoutCancel(ctx), t: v.transfer(ctx, e)}), nil
}

type observedFile struct {
	File
	v    *Observed
	ctx  context.Context //nolint:containedctx // of the open, for the end
	t    *Transfer
	once sync.Once
	err  atomic.Pointer[error] // the first that a read failed with
}

func (f *observedFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.File.ReadAt(p, off)
	f.t.bytes.Add(int64(n))
	if err != nil && !errors.Is(err, io.EOF) {
		f.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (f *observedFile) Close() error {
	err := f.File.Close()
	f.once.Do(func() {
		e := f.t.Event
		e.Bytes, e.Transfer = f.t.Moved(), f.t
		f.v.end(f.ctx, e, firstOf(&f.err))
	})
	return err
}

func firstOf(err *atomic.Pointer[error]) error {
	if p := err.Load(); p != nil {
		return *p
	}
	return nil
}

// Create implements FS. The upload ends with its Commit, Suspend or Abort.
func (v *Observed) Create(ctx context.Context, name string, o CreateOptions) (Upload, error) {
	e := v.begin(ctx, VerbUpload, name)
	if err := v.may(ctx, e); err != nil {
		return nil, err
	}
	u, err := v.View.Create(ctx, name, o)
	if err != nil {
		v.end(ctx, e, err)
		return nil, err
	}
	return v.throttledUpload(ctx, &observedUpload{Upload: u, v: v, t: v.transfer(ctx, e)}), nil
}

// Resume implements Resumer.
func (v *Observed) Resume(ctx context.Context, token Token) (Upload, error) {
	if err := v.may(ctx, v.begin(ctx, VerbUpload, "")); err != nil {
		return nil, err
	}
	u, err := v.View.Resume(ctx, token)
	if err != nil {
		return nil, err
	}
	name := ""
	if r, ok := u.(*viewUpload); ok {
		name = r.s.name
	}
	return v.throttledUpload(ctx, &observedUpload{Upload: u, v: v, t: v.transfer(ctx, v.begin(ctx, VerbUpload, name))}), nil
}

type observedUpload struct {
	Upload
	v    *Observed
	t    *Transfer
	once sync.Once
	err  atomic.Pointer[error] // the first that a write failed with
}

// Replaced implements Replacer.
func (u *observedUpload) Replaced(ctx context.Context) (Info, error) {
	return Replaced(ctx, u.v.View, u.t.Event.Name, u.Upload)
}

func (u *observedUpload) WriteAt(p []byte, off int64) (int, error) {
	n, err := u.Upload.WriteAt(p, off)
	u.t.bytes.Add(int64(n))
	if err != nil {
		u.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (u *observedUpload) end(ctx context.Context, info Info, err error) {
	u.once.Do(func() {
		e := u.t.Event
		e.Bytes, e.ETag, e.Transfer = info.Size, info.ETag, u.t
		u.v.end(ctx, e, err)
	})
}

func (u *observedUpload) Commit(ctx context.Context, o CommitOptions) (Info, error) {
	info, err := u.Upload.Commit(ctx, o)
	switch {
	case err == nil:
		u.end(ctx, info, nil)
	case CommitRetryable(err):
		u.err.CompareAndSwap(nil, &err) // the reason, if it is given up now
	default:
		u.end(ctx, Info{Size: u.t.Moved()}, err)
	}
	return info, err
}

// unfinished is the end without a publish.
func (u *observedUpload) unfinished(ctx context.Context) {
	err := firstOf(&u.err)
	if err == nil {
		err = ErrUnfinished
	}
	u.end(ctx, Info{Size: u.t.Moved()}, err)
}

func (u *observedUpload) Suspend(ctx context.Context, o SuspendOptions) (Token, error) {
	t, err := u.Upload.Suspend(ctx, o)
	u.unfinished(ctx)
	return t, err
}

func (u *observedUpload) Abort(ctx context.Context) error {
	err := u.Upload.Abort(ctx)
	u.unfinished(ctx)
	return err
}

// Mkdir implements FS.
func (v *Observed) Mkdir(ctx context.Context, name string) error {
	e := v.begin(ctx, VerbMkdir, name)
	if err := v.may(ctx, e); err != nil {
		return err
	}
	err := v.View.Mkdir(ctx, name)
	v.end(ctx, e, err)
	return err
}

// Remove implements FS.
func (v *Observed) Remove(ctx context.Context, name string) error {
	e := v.begin(ctx, VerbDelete, name)
	if err := v.may(ctx, e); err != nil {
		return err
	}
	err := v.View.Remove(ctx, name)
	v.end(ctx, e, err)
	return err
}

// RemoveAll implements TreeRemover.
func (v *Observed) RemoveAll(ctx context.Context, name string) error {
	e := v.begin(ctx, VerbDelete, name)
	if err := v.may(ctx, e); err != nil {
		return err
	}
	err := v.View.RemoveAll(ctx, name)
	v.end(ctx, e, err)
	return err
}

// Rename implements FS.
func (v *Observed) Rename(ctx context.Context, from, to string, o RenameOptions) error {
	e := v.beginTo(ctx, VerbRename, from, to)
	if err := v.may(ctx, e); err != nil {
		return err
	}
	err := v.View.Rename(ctx, from, to, o)
	v.end(ctx, e, err)
	return err
}

// SetModTime implements FS.
func (v *Observed) SetModTime(ctx context.Context, name string, t time.Time) error {
	e := v.begin(ctx, VerbSetTime, name)
	if err := v.may(ctx, e); err != nil {
		return err
	}
	err := v.View.SetModTime(ctx, name, t)
	v.end(ctx, e, err)
	return err
}

// Copy implements Copier.
func (v *Observed) Copy(ctx context.Context, from, to string, o CommitOptions) (Info, error) {
	e := v.beginTo(ctx, VerbCopy, from, to)
	if err := v.may(ctx, e); err != nil {
		return Info{}, err
	}
	info, err := v.View.Copy(ctx, from, to, o)
	e.Bytes, e.ETag = info.Size, info.ETag
	v.end(ctx, e, err)
	return info, err
}
