package storage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/storage"
)

// notes is a Guard that writes down what it hears. It forbids changes of keys in locked, and below
// them; members of folders in closed may only be changed in place.
type notes struct {
	asked, told    []string
	underway       int
	locked, closed string
	bound          map[string]bool
}

func (n *notes) Allow(ctx context.Context, user string, changes ...storage.Change) (func(), error) {
	var keys []string
	err := error(nil)
	for _, c := range changes {
		flags := ""
		if c.Tree {
			flags += "+"
		}
		if c.Member {
			flags += "*"
		}
		keys = append(keys, c.Key+flags)
		if n.locked != "" && storage.Within(c.Key, n.locked) || c.Member && n.closed != "" && strings.HasPrefix(c.Key, n.closed+"/") {
			err = storage.ErrLocked
		}
	}
	n.asked = append(n.asked, fmt.Sprint(user, storage.LockTokens(ctx), " ", strings.Join(keys, " ")))
	if err != nil {
		return nil, err
	}
	n.underway++
	return func() { n.underway-- }, nil
}

func (n *notes) Bound(_ context.Context, key string) (bool, error) { return n.bound[key], nil }

func (n *notes) Moved(_ context.Context, from, to string) { n.hear(from + " -> " + to) }

func (n *notes) Removed(_ context.Context, tree string) { n.hear(tree) }

func (n *notes) hear(what string) {
	if n.underway != 1 {
		what += " after its change had ended"
	}
	n.told = append(n.told, what)
}

// heard compares and forgets what the guard was asked and told.
func (n *notes) heard(t *testing.T, asked []string, told ...string) {
	t.Helper()
	if !slices.Equal(n.asked, asked) || !slices.Equal(n.told, told) {
		t.Errorf("asked %q, told %q; want %q, %q", n.asked, n.told, asked, told)
	}
	if n.underway != 0 {
		t.Errorf("%d changes have not ended", n.underway)
	}
	n.asked, n.told = nil, nil
}

func guarded(t *testing.T) (*storage.View, *notes) {
	t.Helper()
	d, n := newDisk(t), &notes{}
	must(t, d.Mkdir(t.Context(), "home"))
	return newView(t, storage.ViewOptions{User: "ann", Guard: n},
		storage.Mount{Path: "in/a", FS: d, Root: "home", Key: "x/y", Permissions: storage.PermReadWrite}), n
}

// TestGuard: each verb asks before, with what it will change, and tells after.
func TestGuard(t *testing.T) {
	v, n := guarded(t)
	ctx := storage.WithLockTokens(t.Context(), []string{"t"})
	const home = "/s:x%2Fy/home"
	ask := func(changes ...string) []string { return []string{"ann[t] " + strings.Join(changes, " ")} }
	must(t, put(ctx, v, "in/a/f", "x"))
	n.heard(t, append(ask(home+"/f*"), ask(home+"/f*")...))
	must(t, v.Mkdir(ctx, "in/a/d"))
	n.heard(t, ask(home+"/d*"), home+"/d")
	must(t, v.SetModTime(ctx, "in/a/f", time.Now()))
	n.heard(t, ask(home+"/f"))
	must(t, v.Rename(ctx, "in/a/f", "in/a/d/g", storage.RenameOptions{}))
	n.heard(t, ask(home+"/f+*", home+"/d/g+*"), home+"/f -> "+home+"/d/g")
	must(t, v.Rename(ctx, "in/a/d/g", "in/a/d/g", storage.RenameOptions{Replace: true}))
	n.heard(t, ask(home+"/d/g+*", home+"/d/g+*"))
	must(t, v.Remove(ctx, "in/a/d/g"))
	n.heard(t, ask(home+"/d/g*"), home+"/d/g")
	must(t, v.RemoveAll(ctx, "in/a/d"))
	n.heard(t, ask(home+"/d+*"), home+"/d")
	// What fails is not told.
	if v.Remove(ctx, "in/a/d") == nil || v.Rename(ctx, "in/a/d", "in/a/e", storage.RenameOptions{}) == nil || v.RemoveAll(ctx, "in/a/d") == nil {
		t.Error("what is not there was changed")
	}
	n.asked = nil
	n.heard(t, nil)
	for name, want := range map[string]string{"": "/u:ann", "in": "/u:ann/in", "in/a": home, "in/a/b/c": home + "/b/c", "in/b": "/u:ann/in/b"} {
		if got := v.Key(name); got != want {
			t.Errorf("%q: %s", name, got)
		}
	}
	if got := v.KeysBelow("in"); !slices.Equal(got, []string{home}) || len(v.KeysBelow("in/a")) > 0 {
		t.Error(got)
	}
	folding := newView(t, storage.ViewOptions{}, storage.Mount{FS: folds{newDisk(t)}, Key: "K"})
	if got := folding.Key("Ä/b"); got != "/s:k/ä/b" {
		t.Error(got)
	}
}

// folds is a backend that does not tell case.
type folds struct{ storage.FS }

func (f folds) Properties() storage.Properties {
	p := f.FS.Properties()
	p.CaseSensitive = false
	return p
}

func TestGuardForbids(t *testing.T) {
	v, n := guarded(t)
	ctx := t.Context()
	must(t, v.Mkdir(ctx, "in/a/d"))
	must(t, put(ctx, v, "in/a/d/f", "x"))
	must(t, put(ctx, v, "in/a/g", "x"))
	up, err := v.Create(ctx, "in/a/d/f", storage.CreateOptions{Size: -1})
	must(t, err)
	n.locked = v.Key("in/a/d")
	n.told = nil
	for what, err := range map[string]error{
		"create":      put(ctx, v, "in/a/d/f", "x"),
		"create new":  put(ctx, v, "in/a/d/new", "x"),
		"copy":        second(v.Copy(ctx, "in/a/g", "in/a/d/f", storage.CommitOptions{})),
		"mkdir":       v.Mkdir(ctx, "in/a/d/new"),
		"remove":      v.Remove(ctx, "in/a/d/f"),
		"remove all":  v.RemoveAll(ctx, "in/a/d"),
		"rename":      v.Rename(ctx, "in/a/d/f", "in/a/h", storage.RenameOptions{}),
		"rename over": v.Rename(ctx, "in/a/g", "in/a/d/f", storage.RenameOptions{Replace: true}),
		"time":        v.SetModTime(ctx, "in/a/d/f", time.Now()),
		"publish":     second(up.Commit(ctx, storage.CommitOptions{})),
	} {
		if !errors.Is(err, storage.ErrLocked) && (what != "copy" || !errors.Is(err, errors.ErrUnsupported)) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(n.told) > 0 {
		t.Errorf("told %q", n.told)
	}
	n.locked = ""
	if _, err := up.Commit(ctx, storage.CommitOptions{}); err != nil {
		t.Errorf("a publish that was refused cannot be tried again: %v", err)
	}
	// A closed folder keeps its members, and they can be written.
	n.closed = v.Key("in/a/d")
	must(t, put(ctx, v, "in/a/d/f", "x"))
	must(t, v.Rename(ctx, "in/a/g", "in/a/d/f", storage.RenameOptions{Replace: true}))
	for what, err := range map[string]error{
		"create": put(ctx, v, "in/a/d/new", "x"), "remove": v.Remove(ctx, "in/a/d/f"),
		"rename from": v.Rename(ctx, "in/a/d/f", "in/a/h", storage.RenameOptions{}),
		"rename to": func() error {
			_ = put(ctx, v, "in/a/g", "x")
			return v.Rename(ctx, "in/a/g", "in/a/d/new", storage.RenameOptions{})
		}(),
	} {
		if !errors.Is(err, storage.ErrLocked) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// TestGuardOfNew: what was bound to a name that has lost its file is not the next one's.
func TestGuardOfNew(t *testing.T) {
	v, n := guarded(t)
	ctx := t.Context()
	n.bound = map[string]bool{v.Key("in/a/f"): true}
	must(t, put(ctx, v, "in/a/f", "x"))
	if want := []string{v.Key("in/a/f")}; !slices.Equal(n.told, want) {
		t.Errorf("told %q", n.told)
	}
	n.told = nil
	must(t, put(ctx, v, "in/a/f", "x"))
	if len(n.told) > 0 {
		t.Errorf("of a file that is replaced: told %q", n.told)
	}
}
