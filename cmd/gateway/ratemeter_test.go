package main

import (
	"testing"
	"time"
)

func TestRateMeter(t *testing.T) {
	begun := time.Date(2026, 5, 1, 3, 0, 0, 0, time.UTC)
	after := func(d time.Duration) time.Time { return begun.Add(d) }
	m := rateMeter{begun: begun}
	m.walked(1200)
	const mib = 1 << 20
	for _, c := range []struct {
		after          time.Duration
		current, total int64
		want           string
	}{
		{time.Hour, 0, 0, " listing, 1200 files"},
	} {
		if got := m.at(after(c.after), c.current, c.total); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
	m.planned(begun)
	m.resumed(500 * mib) // which an earlier run had fetched
	for _, c := range []struct {
		after          time.Duration
		current, total int64
		want           string
	}{
		{500 * time.Millisecond, 501 * mib, 1000 * mib, ""},
		{10 * time.Second, 500 * mib, 1000 * mib, ""},
		{10 * time.Second, 510 * mib, 1000 * mib, " 1.0 MiB/s 8m10s"},
		{10 * time.Second, 510 * mib, 500 * mib, " 1.0 MiB/s 0m00s"},
		{10 * time.Second, 510 * mib, 8000 * mib, " 1.0 MiB/s 2h04m"},
		{10 * time.Second, 510 * mib, 1 << 40, " 1.0 MiB/s 12d03h"},
		{time.Hour, 500*mib + 1, 1 << 62, " 0.0 b/s 999d00h"},
	} {
		if got := m.at(after(c.after), c.current, c.total); got != c.want {
			t.Errorf("%+v: got %q", c, got)
		}
	}
}
