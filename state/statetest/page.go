package statetest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"gateway/state"
)

func session(id, user string, used time.Time) state.Session {
	return state.Session{ID: id, User: user, Stamp: "s1", By: "password", Address: "192.0.2.1", Created: used, Used: used, Expires: used.Add(time.Hour)}
}

func testSessions(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	s, other := open(t, dir), open(t, dir)
	defer s.Close()
	defer other.Close()
	a := session("a", "anna", at)
	must(t, s.AddSession(ctx, a))
	got, err := other.Session(ctx, "a")
	must(t, err)
	equal(t, got, a)
	_, err = s.Session(ctx, "b")
	wantErr(t, err, state.ErrNotFound)

	a.Used, a.Expires = at.Add(time.Minute), at.Add(2*time.Hour)
	must(t, other.UseSession(ctx, "a", a.Used, a.Expires))
	got, err = s.Session(ctx, "a")
	must(t, err)
	equal(t, got, a)
	wantErr(t, s.UseSession(ctx, "b", at, at), state.ErrNotFound)

	must(t, s.AddSession(ctx, session("b", "bert", at)))
	must(t, s.EndSessionsOf(ctx, "bert"))
	_, err = s.Session(ctx, "b")
	wantErr(t, err, state.ErrNotFound)
	must(t, other.EndSession(ctx, "a"))
	must(t, other.EndSession(ctx, "a"))
	_, err = s.Session(ctx, "a")
	wantErr(t, err, state.ErrNotFound)
	for _, bad := range []state.Session{{}, {ID: "x", User: "u"}, {ID: "x", Expires: at}, {User: "u", Expires: at}} {
		wantErr(t, s.AddSession(ctx, bad), state.ErrInvalid)
	}
}

func testSessionBounds(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	must(t, s.AddSession(ctx, session("old", "anna", at.Add(-2*time.Hour))))
	must(t, s.AddSession(ctx, session("bert's", "bert", at.Add(-30*time.Minute))))
	for i := range state.MaxSessions + 2 {
		must(t, s.AddSession(ctx, session(fmt.Sprint(i), "anna", at.Add(time.Duration(i)*time.Second))))
	}
	for id, want := range map[string]error{"old": state.ErrNotFound, "bert's": nil, "0": state.ErrNotFound, "1": state.ErrNotFound, "2": nil, fmt.Sprint(state.MaxSessions + 1): nil} {
		_, err := s.Session(ctx, id)
		if want == nil {
			must(t, err)
		} else {
			wantErr(t, err, want)
		}
	}
}

func share(id, user, name string) state.Share {
	return state.Share{ID: id, User: user, Name: name, Key: "/s:default/" + name, Created: at, Expires: at.Add(time.Hour)}
}

func testShares(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	s, other := open(t, dir), open(t, dir)
	defer s.Close()
	defer other.Close()
	ids := func(user string) string {
		t.Helper()
		list, err := other.SharesOf(ctx, user)
		must(t, err)
		var all []string
		for _, v := range list {
			all = append(all, v.ID)
		}
		return strings.Join(all, " ")
	}
	a, long := share("a", "anna", "d/f"), share("l", "anna", "long/"+strings.Repeat("x", 4000))
	must(t, s.AddShare(ctx, a))
	must(t, s.AddShare(ctx, long))
	b := share("b", "bert", "d")
	b.Created = at.Add(time.Second)
	must(t, s.AddShare(ctx, b))
	must(t, s.AddShare(ctx, share("c", "bert", "d-not")))
	for _, want := range []state.Share{a, long, b} {
		got, err := other.Share(ctx, want.ID)
		must(t, err)
		equal(t, got, want)
	}
	equal(t, ids("bert"), "b c")
	equal(t, ids(""), "b a c l")
	equal(t, ids("nobody"), "")
	must(t, other.RemoveSharesBelow(ctx, "/s:default/d"))
	equal(t, ids(""), "c l")
	must(t, other.RemoveSharesBelow(ctx, long.Key))
	equal(t, ids(""), "c")
	must(t, s.RemoveShare(ctx, "c"))
	must(t, s.RemoveShare(ctx, "c"))
	_, err := s.Share(ctx, "c")
	wantErr(t, err, state.ErrNotFound)
	wantErr(t, s.AddShare(ctx, state.Share{ID: "x"}), state.ErrInvalid)
}

func testShareBounds(t *testing.T, open Open) {
	s, ctx := newStore(t, open), t.Context()
	old := share("old", "anna", "f")
	old.Created, old.Expires = at.Add(-2*time.Hour), at.Add(-time.Hour)
	must(t, s.AddShare(ctx, old))
	for i := range state.MaxShares {
		must(t, s.AddShare(ctx, share(fmt.Sprint(i), "anna", "f")))
	}
	wantErr(t, s.AddShare(ctx, share("more", "anna", "f")), state.ErrLimit)
	must(t, s.AddShare(ctx, share("more", "bert", "f")))
	_, err := s.Share(ctx, "old")
	wantErr(t, err, state.ErrNotFound)
	must(t, s.RemoveShare(ctx, "7"))
	must(t, s.AddShare(ctx, share("again", "anna", "f")))
}
