package ftpbridge

import (
	"testing"
	"time"

	"gateway/state"
)

// What two listings say of one file, as they are compared on an incremental run.
func TestUnchangedTimes(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	const day = 24 * time.Hour
	local := func(month time.Month, d, hour, minute, second int) time.Time {
		return time.Date(2025, month, d, hour, minute, second, 0, berlin)
	}
	file := func(at time.Time, p time.Duration, size int64) state.File {
		return state.File{Size: size, ModTime: at, TimePrecision: p}
	}
	noon := local(6, 1, 12, 0, 30)
	for name, c := range map[string]struct {
		old, now state.File
		want     bool
	}{
		"the same":                 {file(noon, time.Second, 5), file(noon, time.Second, 5), true},
		"another size":             {file(noon, time.Second, 5), file(noon, time.Second, 6), false},
		"a newer time":             {file(noon, time.Second, 5), file(noon.Add(time.Second), time.Second, 5), false},
		"an older time":            {file(noon, time.Second, 5), file(noon.Add(-time.Second), time.Second, 5), false},
		"within a second":          {file(noon, time.Second, 5), file(noon.Add(900*time.Millisecond), time.Second, 5), true},
		"within the minute":        {file(noon, time.Minute, 5), file(noon.Add(20*time.Second), time.Minute, 5), true},
		"over the minute":          {file(noon, time.Minute, 5), file(noon.Add(30*time.Second), time.Minute, 5), false},
		"vaguer than before":       {file(noon, time.Second, 5), file(noon.Truncate(time.Minute), time.Minute, 5), true},
		"more exact than before":   {file(noon.Truncate(time.Minute), time.Minute, 5), file(noon, time.Second, 5), true},
		"vaguer and another":       {file(noon, time.Second, 5), file(noon.Add(time.Minute).Truncate(time.Minute), time.Minute, 5), false},
		"no size before":           {file(noon, time.Second, -1), file(noon, time.Second, 5), true},
		"no size, another time":    {file(noon, time.Second, -1), file(noon.Add(time.Second), time.Second, -1), false},
		"no time, the same size":   {file(time.Time{}, 0, 5), file(noon, time.Second, 5), true},
		"no time, another size":    {file(time.Time{}, 0, 5), file(noon, time.Second, 6), false},
		"neither time nor size":    {file(time.Time{}, 0, -1), file(time.Time{}, 0, -1), false},
		"a time, and no time left": {file(noon, time.Second, -1), file(time.Time{}, 0, 5), false},

		// A listing turns to the year when a file is half a year old, and drops the
		// time of day; the day is that of the listing's zone.
		"the day of before":            {file(local(6, 1, 0, 30, 0), time.Minute, 5), file(local(6, 1, 0, 0, 0), day, 5), true},
		"the day of before, evening":   {file(local(6, 1, 23, 30, 0), time.Minute, 5), file(local(6, 1, 0, 0, 0), day, 5), true},
		"the next day, 1 minute later": {file(local(6, 1, 23, 59, 0), time.Minute, 5), file(local(6, 2, 0, 0, 0), day, 5), false},
		"days in winter and summer":    {file(local(3, 30, 0, 30, 0), time.Minute, 5), file(local(3, 30, 0, 0, 0), day, 5), true},
		"the day of 25 hours":          {file(local(10, 26, 23, 30, 0), time.Minute, 5), file(local(10, 26, 0, 0, 0), day, 5), true},
		"day to day":                   {file(local(10, 26, 0, 0, 0), day, 5), file(local(10, 26, 0, 0, 0), day, 5), true},
		"day to another":               {file(local(10, 26, 0, 0, 0), day, 5), file(local(10, 27, 0, 0, 0), day, 5), false},
		// The hour that comes twice: the same digits in a listing are the same moment.
		"the hour that comes twice": {file(local(10, 26, 2, 30, 0), time.Minute, 5), file(local(10, 26, 2, 30, 0), time.Minute, 5), true},
	} {
		c.old.ModTime, c.now.ModTime = c.old.ModTime.UTC(), c.now.ModTime.UTC() // as the ledger has them
		if c.old.TimePrecision == 0 {
			c.old.ModTime = time.Time{}
		}
		if c.now.TimePrecision == 0 {
			c.now.ModTime = time.Time{}
		}
		if got := unchanged(c.old, c.now, berlin); got != c.want {
			t.Errorf("%s: unchanged %v, want %v", name, got, c.want)
		}
	}
}

// The clocks change between two runs, and a listing turns from minutes to days:
// nothing is fetched again. When the zone turns out to be another, all is looked at
// again, and what is the same stays as it is.
func TestMigrateAcrossTheClocks(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	srv := &scripted{
		lists: map[string]string{"": "-rw-r--r-- 1 a a 3 2025-03-30 00:15 night\r\n-rw-r--r-- 1 a a 3 2025-03-29 23:45 evening\r\n"},
		files: map[string]string{"/night": "one", "/evening": "two"},
	}
	srv.start(t)
	m := newMove(t, srv.source(t, ""))
	m.o.Source.Location = berlin
	now := time.Date(2025, 3, 30, 0, 30, 0, 0, berlin)
	m.o.Now = func() time.Time { return now }
	equal(t, m.run().Published.Files, int64(2))
	before := srv.count("RETR")

	now = time.Date(2025, 3, 30, 12, 0, 0, 0, berlin) // in summer
	equal(t, m.run().Unchanged.Files, int64(2))
	now = time.Date(2025, 11, 1, 12, 0, 0, 0, berlin) // in winter again
	srv.lists[""] = "-rw-r--r-- 1 a a 3 Mar 30  2025 night\r\n-rw-r--r-- 1 a a 3 Mar 29  2025 evening\r\n"
	equal(t, m.run().Unchanged.Files, int64(2))
	equal(t, srv.count("RETR"), before)

	// A newer time with the same size is a change, and so is an older one.
	srv.lists[""] = "-rw-r--r-- 1 a a 3 2025-10-31 10:00 night\r\n-rw-r--r-- 1 a a 3 Mar 28  2025 evening\r\n"
	rep := m.run()
	equal(t, rep.Published.Files, int64(2))
	equal(t, srv.count("RETR"), before+2)

	// The same digits are other moments in another zone: what is fetched is the same.
	m.o.Source.Location = time.UTC
	rep = m.run()
	if !rep.Complete() || rep.Published.Files > 2 {
		t.Errorf("%s", text(rep))
	}
	equal(t, m.files(), map[string]string{"night": "one", "evening": "two"})
	equal(t, m.run().Unchanged.Files, int64(2))
}
