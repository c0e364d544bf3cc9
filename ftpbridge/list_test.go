package ftpbridge

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gateway/listing"
	"gateway/tests/servers"
)

func unixLine(name string, size int) string {
	return fmt.Sprintf("-rw-r--r--   1 ftp      ftp      %8d Jan 02  2020 %s\r\n", size, name)
}

func unixDir(name string) string {
	return fmt.Sprintf("drwxr-xr-x   2 ftp      ftp          4096 Jan 02  2020 %s\r\n", name)
}

func names(res listing.Result) []string {
	var out []string
	for _, e := range res.Entries {
		out = append(out, e.RawName)
	}
	return out
}

func TestList(t *testing.T) {
	srv := (&scripted{lists: map[string]string{
		"":   unixDir("sub") + unixLine("caf\xe9 \xffx", 12) + unixLine(" lead", 1),
		"/x": unixDir(".") + unixDir("..") + unixLine("a/b", 1) + unixLine("../../etc/passwd", 1) + unixLine("cr\rx", 1) + unixLine("ok", 1),
		"/e": "",
	}}).start(t)
	s := srv.dial(t)
	res, err := s.List(testContext(t), "")
	if err != nil {
		t.Fatal(err)
	}
	if got := names(res); !slices.Equal(got, []string{"sub", "caf\xe9 \xffx", " lead"}) {
		t.Errorf("names %q", got)
	}
	if e := res.Entries[1]; e.Size != 12 || e.Type != listing.File {
		t.Errorf("entry %+v", e)
	}
	res, err = s.List(testContext(t), "/x")
	if err != nil {
		t.Fatal(err)
	}
	if got := names(res); !slices.Equal(got, []string{"ok"}) {
		t.Errorf("unsafe names came through: %q", got)
	}
	if len(res.Skipped) != 3 || res.SkippedTotal != 3 {
		t.Errorf("skipped %+v", res.Skipped)
	}
	if res, err = s.List(testContext(t), "/e"); err != nil || len(res.Entries)+len(res.Skipped) != 0 {
		t.Errorf("empty: %+v, %v", res, err)
	}
	_, err = s.List(testContext(t), "/missing")
	want(t, err, nil, "No such directory", `"/missing"`)
	if s.Broken() {
		t.Error("broken")
	}
}

func TestListUnreadable(t *testing.T) {
	srv := (&scripted{lists: map[string]string{
		"/ls":   "/bin/ls: cannot open directory '.': \x1b[1mPermission denied\r\n",
		"/junk": strings.Repeat("%&$ nonsense !!\r\n", 5),
	}}).start(t)
	s := srv.dial(t)
	_, err := s.List(testContext(t), "/ls")
	want(t, err, []error{ErrListing}, `\x1b[1mPermission denied`)
	_, err = s.List(testContext(t), "/junk")
	want(t, err, []error{ErrListing}, "nonsense")
}

func TestListEmptyReplies(t *testing.T) {
	for _, reply := range []string{"550 No files found.", "450 No files found", "550 No data sets found.", "226 Transfer complete", "250 List completed"} {
		srv := (&scripted{lists: map[string]string{"/d": ""}, handlers: map[string]func(*talk, string){
			"LIST": func(c *talk, _ string) { c.say("%s", reply) },
		}}).start(t)
		s := srv.dial(t)
		if res, err := s.List(testContext(t), "/d"); err != nil || len(res.Entries) != 0 {
			t.Errorf("%s: %v, %v", reply, res, err)
		}
	}
	srv := (&scripted{handlers: map[string]func(*talk, string){
		"LIST": func(c *talk, _ string) { c.say("550 Permission denied") },
	}}).start(t)
	s := srv.dial(t)
	_, err := s.List(testContext(t), "")
	want(t, err, nil, "550 Permission denied", "LIST")
}

func TestListCutShort(t *testing.T) {
	srv := (&scripted{handlers: map[string]func(*talk, string){
		"LIST": func(c *talk, _ string) { c.stream(unixLine("a", 1), "426 cut") },
	}}).start(t)
	s := srv.dial(t)
	res, err := s.List(testContext(t), "")
	want(t, err, nil, "426 cut")
	if len(res.Entries) != 0 {
		t.Error("half a listing was taken for a whole one")
	}
}

func TestMLSD(t *testing.T) {
	facts := "type=cdir;unique=1; /\r\ntype=pdir;unique=1; ..\r\ntype=file;size=5;modify=20200102030405.123; a b\r\ntype=dir; d\r\ntype=file;size=1; x/y\r\n"
	t.Run("offered", func(t *testing.T) {
		srv := (&scripted{feat: []string{"MLST type*;size*;modify*;"}, mlsd: map[string]string{"": facts}}).start(t)
		s := srv.dial(t)
		res, err := s.List(testContext(t), "")
		if err != nil {
			t.Fatal(err)
		}
		if got := names(res); !slices.Equal(got, []string{"a b", "d"}) || res.Format != listing.MLSD || len(res.Skipped) != 1 {
			t.Errorf("names %q, %+v", got, res)
		}
		if res.Entries[0].ModTime.Precision != listing.Second {
			t.Errorf("time %+v", res.Entries[0].ModTime)
		}
	})
	t.Run("refused", func(t *testing.T) {
		srv := (&scripted{feat: []string{"MLST type*;"}, lists: map[string]string{"": unixLine("a", 1)},
			handlers: map[string]func(*talk, string){"MLSD": func(c *talk, _ string) { c.say("500 no MLSD") }}}).start(t)
		s := srv.dial(t)
		for range 2 {
			if res, err := s.List(testContext(t), ""); err != nil || len(res.Entries) != 1 {
				t.Fatalf("%v, %v", res, err)
			}
		}
		if n := srv.count("MLSD"); n != 1 {
			t.Errorf("%d MLSD", n)
		}
	})
}

func TestHiddenFiles(t *testing.T) {
	plain := unixLine("a", 1)
	dots := unixDir(".") + unixDir("..") + unixLine(".h", 1) + plain
	for _, tc := range []struct {
		name      string
		all, bare string // "" for a refusal
		hidden    bool
		lists     int // commands for two listings
	}{
		{"shows dots", dots, plain, true, 2},
		{"shows more", plain + unixLine(".h", 1), plain, true, 3},
		{"same", plain, plain, false, 3},
		{"refused", "", plain, false, 3},
		{"taken for a name", "\r\n", plain, false, 3},
		{"error as data", "ls: -a: No such file\r\n", plain, false, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := (&scripted{handlers: map[string]func(*talk, string){"LIST": func(c *talk, arg string) {
				switch {
				case arg == "":
					c.stream(tc.bare, "226 done")
				case tc.all == "":
					c.say("501 no options")
				default:
					c.stream(tc.all, "226 done")
				}
			}}}).start(t)
			s := srv.dial(t)
			for range 2 {
				res, err := s.List(testContext(t), "")
				if err != nil {
					t.Fatal(err)
				}
				if got := slices.Contains(names(res), ".h"); got != tc.hidden || !slices.Contains(names(res), "a") || len(res.Entries) > 2 {
					t.Errorf("names %q", names(res))
				}
			}
			if n := srv.count("LIST"); n != tc.lists {
				t.Errorf("%d LIST", n)
			}
		})
	}
}

// An MLSD that hides what LIST -a shows is given up for good.
func TestHiddenByMLSD(t *testing.T) {
	srv := (&scripted{feat: []string{"MLST type*;"}, mlsd: map[string]string{"": "type=file; a\r\n", "/e": ""},
		handlers: map[string]func(*talk, string){"LIST": func(c *talk, _ string) {
			c.stream(unixDir(".")+unixDir("..")+unixLine("a", 1)+unixLine(".h", 1), "226 done")
		}}}).start(t)
	for _, l := range []Lister{srv.dial(t), newPool(t, srv.source(t, ""))} {
		got, err := walked(t, l, "", WalkOptions{})
		if err != nil || !slices.Equal(got, []string{"a", ".h"}) {
			t.Errorf("walked %q, %v", got, err)
		}
		if res, err := l.List(testContext(t), ""); err != nil || !slices.Equal(names(res), []string{"a", ".h"}) {
			t.Errorf("listed %q, %v", names(res), err)
		}
	}
	if n := srv.count("MLSD"); n != 2 {
		t.Errorf("%d MLSD", n)
	}

	// One that does not is asked about a few times, and stays.
	for _, list := range []string{unixLine("a", 1), "rubbish\r\n"} {
		srv = (&scripted{feat: []string{"MLST type*;"}, mlsd: map[string]string{"": "type=file; a\r\n"}, lists: map[string]string{"": list}}).start(t)
		s := srv.dial(t)
		for range 5 {
			if res, err := s.List(testContext(t), ""); err != nil || res.Format != listing.MLSD {
				t.Errorf("%+v, %v", res, err)
			}
		}
		if n := srv.count("LIST"); n > hiddenChecks {
			t.Errorf("%d LIST", n)
		}
	}
}

// Whatever a server hides by default is found on all of them, by MLSD and by LIST.
func TestRealHiddenFiles(t *testing.T) {
	for _, kind := range servers.All() {
		for _, format := range []string{"", "unix"} {
			t.Run(string(kind)+" "+format, func(t *testing.T) {
				root := t.TempDir()
				for _, name := range []string{".hidden", ".dir/.deep", "shown", "plain/.only"} {
					path := filepath.Join(root, name)
					if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(path, nil, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				srv := servers.Start(t, kind, servers.Options{Root: root, HideDots: true})
				src := liveSource(t, srv, "ftp")
				src.Format = format
				got, err := walked(t, newPool(t, src), "", WalkOptions{Connections: 2})
				slices.Sort(got)
				if err != nil || !slices.Equal(got, []string{".dir", ".dir/.deep", ".hidden", "plain", "plain/.only", "shown"}) {
					t.Errorf("walked %q, %v", got, err)
				}
			})
		}
	}
}

func TestPRET(t *testing.T) {
	srv := (&scripted{feat: []string{"PRET"}, lists: map[string]string{"": unixLine("a", 1)}, files: map[string]string{"/listing": "body"},
		handlers: map[string]func(*talk, string){"PRET": func(c *talk, _ string) { c.say("200 ok") }}}).start(t)
	s := srv.dial(t)
	if _, err := s.List(testContext(t), ""); err != nil {
		t.Fatal(err)
	}
	if got, err := fetchAll(testContext(t), s, "/listing", 0); err != nil || got != "body" {
		t.Fatalf("%q, %v", got, err)
	}
	for _, w := range []string{"PRET LIST -a", "PRET RETR /listing"} {
		if !slices.Contains(srv.heard(), w) {
			t.Errorf("%q was not sent: %q", w, srv.heard())
		}
	}
	for _, h := range srv.heard() {
		if strings.Contains(h, "RETR "+listToken) {
			t.Errorf("%q was sent", h)
		}
	}
}

func TestDOS(t *testing.T) {
	srv := (&scripted{syst: "Windows_NT", lists: map[string]string{
		"":     "02-24-20  10:30AM       <DIR>          sub\r\n02-24-20  10:30AM                   12 a b.txt\r\n02-24-20  10:30AM  1 ..\\up\r\n",
		"/sub": "02-24-20  10:30AM                    3 in.txt\r\n",
	}}).start(t)
	s := srv.dial(t)
	res, err := s.List(testContext(t), "")
	if err != nil || s.Info().Dialect != "dos" {
		t.Fatalf("%+v, %v, %s", res, err, s.Info().Dialect)
	}
	if got := names(res); !slices.Equal(got, []string{"sub", "a b.txt"}) || res.Format != listing.MSDOS {
		t.Errorf("names %q of %s", got, res.Format)
	}
	if res, err = s.List(testContext(t), s.Join("", "sub")); err != nil || len(res.Entries) != 1 {
		t.Errorf("%v, %v", res, err)
	}
	if slices.Contains(srv.heard(), "LIST -a") {
		t.Error("LIST -a on DOS")
	}
}

func TestFormatOverride(t *testing.T) {
	srv := (&scripted{feat: []string{"MLSD"}, lists: map[string]string{"": "one\r\ntwo words\r\n"}}).start(t)
	src := srv.source(t, "")
	src.Format = "names"
	s := mustDial(t, src)
	res, err := s.List(testContext(t), "")
	if err != nil || !slices.Equal(names(res), []string{"one", "two words"}) {
		t.Errorf("%q, %v", names(res), err)
	}
	src.Format = "klingon"
	_, err = Dial(testContext(t), src)
	want(t, err, []error{ErrSource})
}
