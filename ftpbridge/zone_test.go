package ftpbridge

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/tests/servers"
)

// zoned is a server whose LIST is in a zone and whose MDTM is right.
func zoned(t *testing.T, zone *time.Location, files map[string]time.Time) *scripted {
	t.Helper()
	lists := map[string]string{"": ""}
	for name, at := range files {
		dir, base := "", name
		if i := strings.LastIndexByte(name, '/'); i >= 0 {
			dir, base = name[:i], name[i+1:]
			if _, ok := lists["/"+dir]; !ok {
				lists[""] += unixDir(dir)
			}
			dir = "/" + dir
		}
		lists[dir] += fmt.Sprintf("-rw-r--r-- 1 a a 1 %s %s\r\n", at.In(zone).Format("2006-01-02 15:04"), base)
	}
	return (&scripted{lists: lists, files: map[string]string{}, handlers: map[string]func(*talk, string){"MDTM": func(c *talk, arg string) {
		at, ok := files[strings.TrimPrefix(arg, "/")]
		if !ok {
			c.say("550 no such file")
			return
		}
		c.say("213 %s", at.UTC().Format("20060102150405"))
	}}}).start(t)
}

func mustZone(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestFindZone(t *testing.T) {
	summer := time.Date(2024, 7, 1, 10, 20, 30, 0, time.UTC)
	winter := time.Date(2024, 1, 1, 23, 50, 59, 0, time.UTC)
	for _, tc := range []struct {
		zone  string
		files map[string]time.Time
		want  string // offsets in winter and summer, or the reason
	}{
		{"Asia/Tokyo", map[string]time.Time{"a": summer, "b": winter, "c": summer.Add(time.Second)}, "9h0m0s 9h0m0s"},
		{"Asia/Kathmandu", map[string]time.Time{"d/a": summer, "d/b": winter}, "5h45m0s 5h45m0s"},
		{"America/New_York", map[string]time.Time{"a": summer, "b": winter}, "-5h0m0s -4h0m0s"},
		{"Europe/Paris", map[string]time.Time{"a": summer, "b": winter}, "1h0m0s 2h0m0s"},
		{"Australia/Lord_Howe", map[string]time.Time{"a": summer, "b": winter}, "11h0m0s 10h30m0s"},
		{"UTC", map[string]time.Time{"a": summer, "b": winter}, "0s 0s"},
		{"Asia/Tokyo", map[string]time.Time{"a": summer}, "only 1 files"},
		{"Asia/Tokyo", nil, "only 0 files"},
	} {
		srv := zoned(t, mustZone(t, tc.zone), tc.files)
		zone, err := FindZone(testContext(t), srv.dial(t))
		if err != nil {
			want(t, err, []error{ErrZone}, tc.want)
			continue
		}
		offset := func(at time.Time) time.Duration {
			_, s := at.In(zone).Zone()
			return time.Duration(s) * time.Second
		}
		equal(t, fmt.Sprint(offset(winter), " ", offset(summer)), tc.want)
	}
}

func TestFindZoneDoubts(t *testing.T) {
	line := func(at, name string) string { return fmt.Sprintf("-rw-r--r-- 1 a a 1 %s %s\r\n", at, name) }
	for name, tc := range map[string]struct {
		list string
		mdtm string
		want string
	}{
		"disagree":     {line("2024-07-01 10:00", "a") + line("2024-07-01 15:00", "b"), "213 20240701100000", "no summer time"},
		"not a zone":   {line("2024-07-01 10:07", "a") + line("2024-07-01 10:00", "b"), "213 20240701100000", "no zone explains"},
		"too far":      {line("2024-07-03 10:00", "a") + line("2024-07-01 10:00", "b"), "213 20240701100000", "no zone explains"},
		"unknown":      {line("2024-07-01 10:00", "a") + line("2024-07-01 10:00", "b"), "500 what", "MDTM"},
		"refused":      {line("2024-07-01 10:00", "a") + line("2024-07-01 10:00", "b"), "550 no", "only 0 files"},
		"days only":    {unixLine("a", 1) + unixLine("b", 1), "213 20200102030405", "only 0 files"},
		"a great many": {strings.Repeat(line("2024-07-01 10:00", "x"), 500), "213 20240701010000", ""},
	} {
		t.Run(name, func(t *testing.T) {
			srv := (&scripted{lists: map[string]string{"": tc.list}, handlers: map[string]func(*talk, string){
				"MDTM": func(c *talk, _ string) { c.say("%s", tc.mdtm) },
			}}).start(t)
			zone, err := FindZone(testContext(t), srv.dial(t))
			if tc.want != "" {
				want(t, err, []error{ErrZone}, tc.want)
			} else if err != nil || zone.String() != "UTC+09:00" {
				t.Errorf("%v, %v", zone, err)
			}
			if n := srv.count("MDTM"); n > zoneSamples {
				t.Errorf("%d questions", n)
			}
		})
	}
}

// With its zone known, a file is not left out for the hours between.
func TestMigrateSince(t *testing.T) {
	since := time.Date(2024, 7, 1, 12, 0, 0, 0, time.UTC)
	files := map[string]time.Time{"old": since.Add(-5 * time.Hour), "new": since.Add(time.Minute), "newer": since.Add(time.Hour)}
	srv := zoned(t, mustZone(t, "America/Los_Angeles"), files)
	for name := range files {
		srv.files["/"+name] = "x"
	}
	m := newMove(t, srv.source(t, ""))
	m.o.Since = since
	rep := m.run()
	equal(t, m.files(), map[string]string{"new": "x", "newer": "x"})
	equal(t, rep.Filtered.Files, int64(1))
	for _, w := range rep.Warnings {
		if strings.Contains(w, "zone") {
			t.Error(w)
		}
	}

	// Not known: more rather than less, and a warning.
	delete(files, "newer")
	delete(files, "new")
	srv.lists[""] = strings.ReplaceAll(srv.lists[""], "newer", "newest")
	rep = m.run()
	equal(t, m.files(), map[string]string{"new": "x", "newer": "x", "old": "x"})
	reasons(t, rep.Failed, map[string]string{"newest": "No such file"})
	if !strings.Contains(strings.Join(rep.Warnings, "\n"), "--timezone") {
		t.Errorf("%q", rep.Warnings)
	}
}

func TestRealZone(t *testing.T) {
	const berlin = "TZ=CET-1CEST,M3.5.0,M10.5.0/3"
	for _, tc := range []struct {
		kind  servers.Kind
		env   string
		extra []string
		want  string
	}{
		{servers.PureFTPD, "TZ=JST-9", nil, "UTC+09:00"},
		{servers.ProFTPD, "TZ=JST-9", []string{"TimesGMT off"}, "UTC+09:00"},
		{servers.ProFTPD, "TZ=JST-9", nil, "UTC"},
		{servers.ProFTPD, "TZ=NPT-5:45", []string{"TimesGMT off"}, "UTC+05:45"},
		{servers.ProFTPD, berlin, []string{"TimesGMT off"}, "CET or CEST"},
		{servers.Pyftpdlib, "TZ=JST-9", []string{"H.use_gmt_times = False"}, "!"},
		{servers.VSFTPD, "TZ=JST-9", []string{"use_localtime=YES"}, "!"},
	} {
		t.Run(fmt.Sprint(tc.kind, " ", tc.env, " ", tc.extra), func(t *testing.T) {
			root := t.TempDir()
			for i := range 3 {
				path := filepath.Join(root, fmt.Sprint("f", i))
				if err := os.WriteFile(path, []byte("x"), 0o644); err != nil {
					t.Fatal(err)
				}
				at := time.Now().Add(-time.Duration(i) * 50 * 24 * time.Hour)
				if err := os.Chtimes(path, at, at); err != nil {
					t.Fatal(err)
				}
			}
			srv := servers.Start(t, tc.kind, servers.Options{Root: root, Extra: tc.extra, Env: []string{tc.env}})
			src := liveSource(t, srv, "ftp")
			s := mustDial(t, src)
			if s.offersMLSD() {
				if zone, err := FindZone(testContext(t), s); zone != nil || err != nil {
					t.Errorf("MLSD: %v, %v", zone, err)
				}
			}
			src.Format = "unix"
			s = mustDial(t, src)
			zone, err := FindZone(testContext(t), s)
			switch {
			case tc.want == "!":
				want(t, err, []error{ErrZone}, "one and the same")
				return
			case err != nil:
				t.Fatal(err)
			}
			for i, at := 0, time.Now(); i < 3; i, at = i+1, at.Add(-50*24*time.Hour) {
				if _, offset := at.In(zone).Zone(); tc.want == "CET or CEST" && offset != 3600 && offset != 7200 {
					t.Errorf("%v is in %v", at, zone)
				}
			}
			if tc.want != "CET or CEST" && zone.String() != tc.want {
				t.Errorf("zone %v", zone)
			}
		})
	}
}
