package ftpbridge

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"gateway/listing"
)

// walked is what a walk gave: paths, problems after a "!".
func walked(t *testing.T, l Lister, root string, o WalkOptions) ([]string, error) {
	t.Helper()
	var out []string
	err := Walk(testContext(t), l, root, o, func(f Found) error {
		p := f.Rel
		if f.Err != nil {
			p = "!" + p
		}
		out = append(out, p)
		return nil
	})
	return out, err
}

func TestWalk(t *testing.T) {
	srv := (&scripted{lists: map[string]string{
		"":           unixDir("a b") + unixLine("f", 1) + "lrwxrwxrwx   1 ftp ftp  1 Jan 02  2020 link -> a b\r\n" + unixDir("locked") + unixLine("f", 2),
		"/a b":       unixDir("d") + unixLine("x", 1),
		"/a b/d":     unixLine("deep", 1) + unixLine("bad/name", 1),
		"/elsewhere": "",
	}}).start(t)
	for _, l := range []Lister{srv.dial(t), newPool(t, srv.source(t, ""))} {
		got, err := walked(t, l, "", WalkOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if w := []string{"a b", "f", "link", "locked", "!", "a b/d", "a b/x", "!a b/d", "a b/d/deep", "!locked"}; !slices.Equal(got, w) {
			t.Errorf("walked %q", got)
		}
		got, err = walked(t, l, "/a b", WalkOptions{MaxDepth: 1})
		if err != nil || !slices.Equal(got, []string{"d", "x", "!d"}) {
			t.Errorf("walked %q, %v", got, err)
		}
		_, err = walked(t, l, "", WalkOptions{MaxEntries: 3})
		want(t, err, []error{ErrTooLarge})
		_, err = walked(t, l, "/missing", WalkOptions{})
		want(t, err, nil, "No such directory")
	}
}

func TestWalkSteering(t *testing.T) {
	srv := (&scripted{lists: map[string]string{
		"": unixDir("a") + unixDir("b") + unixLine("f", 1), "/a": unixLine("x", 1) + unixLine("y", 1), "/b": unixLine("z", 1),
	}}).start(t)
	s := srv.dial(t)
	stop := errors.New("stop")
	for _, tc := range []struct {
		at   string
		give error
		seen []string
		is   error
	}{
		{"a", fs.SkipDir, []string{"a", "b", "f", "b/z"}, nil},
		{"a/x", fs.SkipDir, []string{"a", "b", "f", "a/x", "b/z"}, nil},
		{"f", fs.SkipDir, []string{"a", "b", "f", "a/x", "a/y", "b/z"}, nil},
		{"b", fs.SkipAll, []string{"a", "b"}, nil},
		{"b/z", stop, []string{"a", "b", "f", "a/x", "a/y", "b/z"}, stop},
	} {
		var seen []string
		err := Walk(testContext(t), s, "", WalkOptions{}, func(f Found) error {
			seen = append(seen, f.Rel)
			if f.Rel == tc.at {
				return tc.give
			}
			return nil
		})
		if !errors.Is(err, tc.is) || !slices.Equal(seen, tc.seen) {
			t.Errorf("%s: %q, %v", tc.at, seen, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := Walk(ctx, s, "", WalkOptions{}, func(Found) error { cancel(); return nil })
	want(t, err, []error{context.Canceled})
}

// Every folder of the server has the same listing.
func TestWalkLoopByListing(t *testing.T) {
	srv := (&scripted{handlers: map[string]func(*talk, string){
		"CWD":  func(c *talk, _ string) { c.say("250 ok") },
		"LIST": func(c *talk, _ string) { c.stream(unixDir("loop")+unixLine("f", 1), "226 ok") },
	}}).start(t)
	var problem error
	files := 0
	err := Walk(testContext(t), srv.dial(t), "", WalkOptions{}, func(f Found) error {
		if f.Err != nil {
			problem = f.Err
		} else if f.Entry.Type == listing.File {
			files++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, problem, []error{ErrLoop}, "loop/loop")
	if files != maxSameListing {
		t.Errorf("%d files", files)
	}
}

func TestWalkLoopByUnique(t *testing.T) {
	srv := (&scripted{feat: []string{"MLST type*;unique*;"},
		mlsd: map[string]string{
			"":        "type=dir;unique=2; d\r\n",
			"/d":      "type=dir;unique=1; up\r\ntype=dir;unique=2; self\r\ntype=file;unique=3;size=1; f\r\n",
			"/d/up":   "type=dir;unique=2; d\r\n",
			"/d/self": "",
		},
		handlers: map[string]func(*talk, string){"MLST": func(c *talk, arg string) {
			c.say("250-facts\r\n type=dir;unique=1; %s\r\n250 end", arg)
		}}}).start(t)
	got, err := walked(t, srv.dial(t), "", WalkOptions{})
	if err != nil || strings.Join(got, " ") != "d d/up d/self d/f !d/up !d/self" {
		t.Errorf("walked %q, %v", got, err)
	}
}

func TestWalkEndsWithSession(t *testing.T) {
	srv := (&scripted{lists: map[string]string{"": unixDir("a") + unixDir("b")}, handlers: map[string]func(*talk, string){
		"CWD": func(c *talk, _ string) { c.say("421 bye"); c.Conn.Close() },
	}}).start(t)
	_, err := walked(t, srv.dial(t), "", WalkOptions{})
	want(t, err, []error{ErrBroken})
}
