package admin

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gateway/storage"
)

const (
	// SampleSeconds is the time between two of the rates that are plotted.
	SampleSeconds = 2
	sampleEvery   = SampleSeconds * time.Second
	maxSamples    = 300 // ten minutes
)

// Watch is told what users do: it knows the transfers under way and counts all that was done. It is a
// storage.Observer. Its memory is bounded by what the front ends allow at once.
type Watch struct {
	mu       sync.Mutex
	live     map[*storage.Transfer]*liveTransfer
	next     uint64
	moved    map[flow]int64 // by transfers that have ended
	in, out  Meter
	operated *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	logins   *prometheus.CounterVec
}

var _ storage.Observer = (*Watch)(nil)

// flow is the labels of what is counted by bytes.
type flow struct{ protocol, direction string }

type liveTransfer struct {
	id   string
	last int64 // Moved at the latest sample
	rate int64 // bytes a second, between the two latest
	at   time.Time
}

// Transfer is an upload or download under way.
type Transfer struct {
	ID       string    `json:"id"`
	Session  string    `json:"session"` // "" if it is of none
	User     string    `json:"user"`
	Address  string    `json:"address"`
	Protocol string    `json:"protocol"`
	Verb     string    `json:"verb"` // "upload" or "download"
	Name     string    `json:"name"`
	Since    time.Time `json:"since"`
	Bytes    int64     `json:"bytes"` // so far
	Rate     int64     `json:"rate"`  // bytes a second
}

// NewWatch knows of nothing yet.
func NewWatch() *Watch {
	labels := []string{"protocol", "verb", "result"}
	return &Watch{
		live: map[*storage.Transfer]*liveTransfer{}, moved: map[flow]int64{},
		operated: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_operations_total", Help: "Uploads, downloads and changes by users; result is ok, refused, unfinished or failed.",
		}, labels),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gateway_operation_seconds", Help: "How long they took, from the first byte to the answer.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2.5, 10, 60, 600, 3600},
		}, labels[:2]),
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gateway_logins_total", Help: "Logins of users and administrators; result is ok or refused.",
		}, []string{"protocol", "result"}),
	}
}

// LoggedIn counts a login that succeeded, or one that was refused.
func (w *Watch) LoggedIn(protocol string, ok bool) {
	result := "ok"
	if !ok {
		result = "refused"
	}
	w.logins.WithLabelValues(knownProtocol(protocol), result).Inc()
}

// knownProtocol bounds the values of the label.
func knownProtocol(p string) string {
	switch p {
	case "sftp", "scp", "ssh", "webdav", "page", "share", "admin":
		return p
	}
	return "other"
}

func knownVerb(v storage.Verb) string {
	switch v {
	case storage.VerbUpload, storage.VerbDownload, storage.VerbMkdir, storage.VerbDelete, storage.VerbRename, storage.VerbCopy, storage.VerbSetTime:
		return string(v)
	}
	return "other"
}

func flowOf(e *storage.Event) flow {
	f := flow{knownProtocol(e.Origin.Protocol), "out"}
	if e.Verb == storage.VerbUpload {
		f.direction = "in"
	}
	return f
}

// resultOf sorts an error for the metrics.
func resultOf(err error) string {
	if err == nil {
		return "ok"
	}
	if errors.Is(err, storage.ErrUnfinished) {
		return "unfinished"
	}
	for _, refusal := range []error{
		fs.ErrPermission, fs.ErrNotExist, fs.ErrExist, storage.ErrName, storage.ErrNotEmpty, storage.ErrIsDir, storage.ErrNotDir,
		storage.ErrInvalidMove, storage.ErrCrossMount, storage.ErrPrecondition, storage.ErrDigest, storage.ErrQuota, storage.ErrLocked,
		storage.ErrTooLarge,
	} {
		if errors.Is(err, refusal) {
			return "refused"
		}
	}
	return "failed"
}

// Began implements storage.Observer.
func (w *Watch) Began(_ context.Context, t *storage.Transfer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	w.live[t] = &liveTransfer{id: strconv.FormatUint(w.next, 36), at: t.Event.Began}
}

// Ended implements storage.Observer.
func (w *Watch) Ended(_ context.Context, e storage.Event) {
	protocol, verb := knownProtocol(e.Origin.Protocol), knownVerb(e.Verb)
	w.operated.WithLabelValues(protocol, verb, resultOf(e.Err)).Inc()
	w.seconds.WithLabelValues(protocol, verb).Observe(e.Ended.Sub(e.Began).Seconds())
	if e.Transfer == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, ok := w.live[e.Transfer]; ok {
		delete(w.live, e.Transfer)
		w.moved[flowOf(&e)] += e.Transfer.Moved()
	}
}

// Transfers are those under way, the oldest first.
func (w *Watch) Transfers() []Transfer {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]Transfer, 0, len(w.live))
	for t, l := range w.live {
		list = append(list, Transfer{
			ID: l.id, Session: t.Origin.Session, User: t.User, Address: addressText(t.Origin.Address), Protocol: t.Origin.Protocol,
			Verb: string(t.Verb), Name: t.Name, Since: t.Event.Began, Bytes: t.Moved(), Rate: l.rate,
		})
	}
	sortTransfers(list)
	return list
}

// total is how many bytes were moved, by protocol and direction.
func (w *Watch) total() map[flow]int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.totalLocked()
}

func (w *Watch) totalLocked() map[flow]int64 {
	sum := make(map[flow]int64, len(w.moved))
	for f, n := range w.moved {
		sum[f] = n
	}
	for t := range w.live {
		sum[flowOf(&t.Event)] += t.Moved()
	}
	return sum
}

// sample takes the rates; it is called every sampleEvery.
func (w *Watch) sample(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t, l := range w.live {
		moved, passed := t.Moved(), now.Sub(l.at).Seconds()
		if passed > 0 {
			l.rate = int64(float64(moved-l.last) / passed)
		}
		l.last, l.at = moved, now
	}
	var in, out int64
	for f, n := range w.totalLocked() {
		if f.direction == "in" {
			in += n
		} else {
			out += n
		}
	}
	w.in.Add(now, in)
	w.out.Add(now, out)
}

// Rates are those of the last minutes, in bytes a second.
type Rates struct {
	Seconds int     `json:"seconds"` // between two of them
	In      []int64 `json:"in"`      // uploads, the oldest first
	Out     []int64 `json:"out"`     // downloads
}

// Rates are those of all transfers together.
func (w *Watch) Rates() Rates {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Rates{Seconds: SampleSeconds, In: w.in.Rates(), Out: w.out.Rates()}
}
