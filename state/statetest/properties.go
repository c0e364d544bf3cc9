package statetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"gateway/state"
)

func set(space, local, value string) state.PropertyChange {
	return state.PropertyChange{Property: state.Property{Space: space, Local: local, Value: value}}
}

func unset(space, local string) state.PropertyChange {
	return state.PropertyChange{Property: state.Property{Space: space, Local: local}, Remove: true}
}

// wantProperties compares what the keys have, each property as "space local value".
func wantProperties(t *testing.T, s state.Properties, want map[string][]string) {
	t.Helper()
	keys := []string{"/none"}
	for key := range want {
		keys = append(keys, key)
	}
	found, err := s.PropertiesOf(t.Context(), keys...)
	must(t, err)
	got := map[string][]string{}
	for key, list := range found {
		for _, p := range list {
			got[key] = append(got[key], p.Space+" "+p.Local+" "+p.Value)
		}
	}
	for key := range want {
		if want[key] == nil {
			delete(want, key)
		}
	}
	equal(t, got, want)
}

func testProperties(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	s, other := open(t, dir), open(t, dir)
	defer other.Close()
	must(t, s.PatchProperties(ctx, "/a", "anna", set("u:y", "b", "2"), set("", "b", "1"), set("u:x", "c", "<c>\u00e9</c>"), set("u:x", "b", "")))
	wantProperties(t, other, map[string][]string{"/a": {" b 1", "u:x b ", "u:x c <c>\u00e9</c>", "u:y b 2"}, "/a/b": nil})
	// In their order, and by the bytes of the names.
	must(t, other.PatchProperties(ctx, "/a", "bert", unset("u:x", "none"), set("u:x", "c", "3"), unset("u:x", "c"), unset("u:y", "b"), set("u:y", "b", "4"),
		set("u:x", "B", "5"), unset("", "b")))
	wantProperties(t, s, map[string][]string{"/a": {"u:x B 5", "u:x b ", "u:y b 4"}})
	// All or none.
	for _, bad := range []state.PropertyChange{
		set("", "", "x"), unset("", ""), set("", "x", strings.Repeat("x", state.MaxPropertyValue+1)),
		set(strings.Repeat("x", state.MaxPropertyName), "x", ""),
	} {
		if err := s.PatchProperties(ctx, "/a", "anna", unset("u:x", "B"), set("", "good", ""), bad); !errors.Is(err, state.ErrInvalid) && !errors.Is(err, state.ErrTooLarge) {
			t.Errorf("%.20q: %v", bad.Local, err)
		}
	}
	wantErr(t, s.PatchProperties(ctx, "", "anna", set("", "x", "")), state.ErrInvalid)
	wantErr(t, s.PatchProperties(ctx, strings.Repeat("x", state.MaxLockKey+1), "anna", set("", "x", "")), state.ErrInvalid)
	_, err := s.PropertiesOf(ctx, make([]string, state.MaxPropertyKeys+1)...)
	wantErr(t, err, state.ErrLimit)
	must(t, s.Close())
	s = open(t, dir)
	defer s.Close()
	wantProperties(t, s, map[string][]string{"/a": {"u:x B 5", "u:x b ", "u:y b 4"}})
	found, err := s.PropertiesOf(ctx)
	must(t, err)
	equal(t, len(found), 0)
}

// Properties of a tree are moved, copied and removed by the elements of keys.
func testPropertyTrees(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	long := "/" + strings.Repeat("0123456789", 400)
	has := func(tree string, want bool) {
		t.Helper()
		got, err := s.HasProperties(ctx, tree)
		must(t, err)
		if got != want {
			t.Errorf("properties below %.20q: %v", tree, got)
		}
	}
	for _, key := range []string{"/t/1", "/t/1/\u00e92", "/t!", "/t0", "/tt", "/T/1", "/n", "/n/old", "/n0", long, long + "/x", long + "1"} {
		must(t, s.PatchProperties(ctx, key, "anna", set("", "p", key)))
	}
	has("/t", true)
	has("/t/1/\u00e92", true)
	has("/t/1/\u00e92/3", false)
	has("/t/2", false)
	has(long+"2", false)

	must(t, s.MoveProperties(ctx, "/t", "/n"))
	has("/t", false)
	wantProperties(t, s, map[string][]string{
		"/t/1": nil, "/n": nil, "/n/old": nil, "/n/1": {" p /t/1"}, "/n/1/\u00e92": {" p /t/1/\u00e92"},
		"/t!": {" p /t!"}, "/t0": {" p /t0"}, "/tt": {" p /tt"}, "/T/1": {" p /T/1"}, "/n0": {" p /n0"},
	})
	must(t, s.MoveProperties(ctx, "/none", "/n/1/\u00e92")) // what is replaced loses its own
	must(t, s.MoveProperties(ctx, long, "/s"))
	wantProperties(t, s, map[string][]string{"/n/1": {" p /t/1"}, "/n/1/\u00e92": nil, "/s": {" p " + long}, "/s/x": {" p " + long + "/x"}, long + "1": {" p " + long + "1"}})
	wantErr(t, s.MoveProperties(ctx, "/a", "/a"), state.ErrInvalid)
	wantErr(t, s.MoveProperties(ctx, "", "/a"), state.ErrInvalid)

	must(t, s.CopyProperties(ctx, "/s", "/n0", "bert")) // not what is below
	must(t, s.CopyProperties(ctx, "/none", "/tt", "bert"))
	must(t, s.CopyProperties(ctx, "/none", "/none2", "bert"))
	wantProperties(t, s, map[string][]string{"/s": {" p " + long}, "/n0": {" p " + long}, "/n0/x": nil, "/tt": nil})
	wantErr(t, s.CopyProperties(ctx, "/a", "", "bert"), state.ErrInvalid)

	must(t, s.RemoveProperties(ctx, "/none"))
	must(t, s.RemoveProperties(ctx, long))
	must(t, s.RemoveProperties(ctx, "/s"))
	wantProperties(t, s, map[string][]string{"/s": nil, "/s/x": nil, long + "1": {" p " + long + "1"}, "/t!": {" p /t!"}})
}

func testPropertyBounds(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	var many []state.PropertyChange
	for n := range state.MaxPropertiesOfKey {
		many = append(many, set("", fmt.Sprintf("p%03d", n), ""))
	}
	must(t, s.PatchProperties(ctx, "/a", "anna", many...))
	wantErr(t, s.PatchProperties(ctx, "/a", "anna", set("", "more", "")), state.ErrLimit)
	must(t, s.PatchProperties(ctx, "/a", "anna", set("", "more", ""), unset("", "p000")))
	value := strings.Repeat("x", state.MaxPropertyBytesOfKey/4-1)
	must(t, s.PatchProperties(ctx, "/b", "anna", set("", "1", value), set("", "2", value), set("", "3", value), set("", "4", value)))
	wantErr(t, s.PatchProperties(ctx, "/b", "anna", set("", "5", "")), state.ErrLimit)
	wantProperties(t, s, map[string][]string{"/b": {" 1 " + value, " 2 " + value, " 3 " + value, " 4 " + value}})
	// All of one user.
	n, err := 0, error(nil)
	for each := state.MaxPropertyBytesOfKey + 4*state.PropertyOverhead; err == nil; n++ {
		if n > state.MaxPropertyBytesOfUser/each+1 {
			t.Fatal("there is no end to what one user can set")
		}
		err = s.CopyProperties(ctx, "/b", fmt.Sprint("/c/", n), "anna")
	}
	wantErr(t, err, state.ErrLimit)
	wantErr(t, s.PatchProperties(ctx, "/d", "anna", set("", "1", value), set("", "2", value), set("", "3", value), set("", "4", value)), state.ErrLimit)
	must(t, s.PatchProperties(ctx, "/a", "anna", unset("", "p001")))
	must(t, s.PatchProperties(ctx, "/d", "bert", set("", "1", value)))
	must(t, s.RemoveProperties(ctx, "/c"))
	must(t, s.CopyProperties(ctx, "/b", "/d", "anna"))
}

// Changes that are made at once all count against the bounds.
func testPropertiesAtOnce(t *testing.T, open Open) {
	const stores, each = 4, state.MaxPropertiesOfKey/4 + 10
	dir := t.TempDir()
	var wg sync.WaitGroup
	for n := range stores {
		s := open(t, dir)
		defer s.Close()
		wg.Go(func() {
			for i := range each {
				err := s.PatchProperties(t.Context(), "/a", "anna", set("", fmt.Sprint(n, "-", i), ""))
				if err != nil && !errors.Is(err, state.ErrLimit) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	s := open(t, dir)
	defer s.Close()
	found, err := s.PropertiesOf(t.Context(), "/a")
	must(t, err)
	equal(t, len(found["/a"]), state.MaxPropertiesOfKey)
}
