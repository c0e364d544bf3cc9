package main

import (
	"fmt"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8/decor"
)

// rateMeter tells how quickly bytes arrive and how long the rest will take. What an
// earlier run had fetched is no part of the rate. Bars are drawn by a goroutine of
// their own, so it has a lock of its own.
type rateMeter struct {
	mu     sync.Mutex
	begun  time.Time
	files  int64 // that the walk found so far
	moving bool  // the walk is over
	before int64 // bytes that are counted as done but were not moved by this run
}

func (m *rateMeter) walked(files int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files = files
}

func (m *rateMeter) planned(at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun, m.moving = at, true
}

// resumed is told by how far a file is further, or less far, without a transfer.
func (m *rateMeter) resumed(by int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.before += by
}

func (m *rateMeter) text(s decor.Statistics) string { return m.at(time.Now(), s.Current, s.Total) }

func (m *rateMeter) at(now time.Time, current, total int64) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.moving {
		return fmt.Sprintf(" listing, %d files", m.files)
	}
	moved, passed := current-m.before, now.Sub(m.begun).Seconds()
	if moved <= 0 || passed < 1 {
		return ""
	}
	rate := float64(moved) / passed
	left := time.Duration(0)
	if seconds := float64(total-current) / rate; seconds > 0 {
		left = time.Duration(min(seconds, maxLeft.Seconds()) * float64(time.Second))
	}
	return fmt.Sprintf(" % .1f/s %s", decor.SizeB1024(rate), leftText(left))
}

// maxLeft is the longest time that is told, all above is said to be this.
const maxLeft = 999 * 24 * time.Hour

// leftText is a duration in its two largest units, such as 2d03h, 1h05m or 7m30s.
func leftText(d time.Duration) string {
	s := int64(d.Round(time.Second).Seconds())
	switch {
	case s >= 24*3600:
		return fmt.Sprintf("%dd%02dh", s/(24*3600), s/3600%24)
	case s >= 3600:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	}
	return fmt.Sprintf("%dm%02ds", s/60, s%60)
}
