package admin

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Bounds of what is kept of the log.
const (
	maxRecent     = 200
	maxRecentText = 2 << 10 // bytes of one record
)

// Recent is a slog.Handler that passes records on and keeps the latest warnings and errors.
type Recent struct {
	next slog.Handler
	*recentRing
	attrs string // of With, as text
	group string
}

type recentRing struct {
	mu     sync.Mutex
	ring   []LogRecord // the oldest first, from at on
	at     int
	counts map[slog.Level]uint64
}

// LogRecord is a warning or an error of the log.
type LogRecord struct {
	Time  time.Time `json:"time"`
	Level string    `json:"level"` // "WARN" or "ERROR"
	Text  string    `json:"text"`  // the message and what belongs to it
}

// NewRecent passes all on to next.
func NewRecent(next slog.Handler) *Recent {
	return &Recent{next: next, recentRing: &recentRing{counts: map[slog.Level]uint64{}}}
}

// Enabled implements slog.Handler. Warnings are kept even where the log leaves them out.
func (r *Recent) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn || r.next.Enabled(ctx, l)
}

// Handle implements slog.Handler.
func (r *Recent) Handle(ctx context.Context, record slog.Record) error {
	if record.Level >= slog.LevelWarn {
		r.keep(record)
	}
	if !r.next.Enabled(ctx, record.Level) {
		return nil
	}
	return r.next.Handle(ctx, record)
}

func (r *Recent) keep(record slog.Record) {
	var b strings.Builder
	b.WriteString(record.Message)
	b.WriteString(r.attrs)
	record.Attrs(func(a slog.Attr) bool {
		writeAttr(&b, r.group, a)
		return b.Len() < maxRecentText
	})
	level := slog.LevelWarn
	if record.Level >= slog.LevelError {
		level = slog.LevelError
	}
	text := strings.ToValidUTF8(b.String()[:min(b.Len(), maxRecentText)], "")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[level]++
	kept := LogRecord{Time: record.Time, Level: level.String(), Text: text}
	if len(r.ring) < maxRecent {
		r.ring = append(r.ring, kept)
		return
	}
	r.ring[r.at] = kept
	r.at = (r.at + 1) % maxRecent
}

func writeAttr(b *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		for _, inner := range v.Group() {
			writeAttr(b, group+a.Key+".", inner)
		}
		return
	}
	if a.Key != "stack" { // of a defect; the log has it
		fmt.Fprintf(b, " %s%s=%q", group, a.Key, v.String())
	}
}

// WithAttrs implements slog.Handler.
func (r *Recent) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(r.attrs)
	for _, a := range attrs {
		writeAttr(&b, r.group, a)
	}
	return &Recent{next: r.next.WithAttrs(attrs), recentRing: r.recentRing, attrs: b.String(), group: r.group}
}

// WithGroup implements slog.Handler.
func (r *Recent) WithGroup(name string) slog.Handler {
	if name == "" {
		return r
	}
	return &Recent{next: r.next.WithGroup(name), recentRing: r.recentRing, attrs: r.attrs, group: r.group + name + "."}
}

// Records are the kept ones, the newest first.
func (r *recentRing) Records() []LogRecord {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]LogRecord, 0, len(r.ring))
	for i := range r.ring {
		list = append(list, r.ring[(r.at+len(r.ring)-1-i)%len(r.ring)])
	}
	return list
}

// count is how many records of a level there were.
func (r *recentRing) count(l slog.Level) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[l]
}
