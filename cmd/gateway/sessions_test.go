package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"gateway/auth"
	"gateway/config"
	"gateway/state/sqlite"
	"gateway/storage"
)

func comesFrom(ctx context.Context, protocol, address string) context.Context {
	return storage.WithOrigin(ctx, storage.Origin{Protocol: protocol, Address: netip.MustParseAddr(address)})
}

func TestSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s sessions
		anna, bert := auth.User{Name: "anna", MaxSessions: 2}, auth.User{Name: "bert", MaxSessions: 1}
		enter := func(ctx context.Context, u auth.User, ok bool) {
			t.Helper()
			err := s.enter(ctx, u)
			if (err == nil) != ok || err != nil && !errors.Is(err, auth.ErrSessions) {
				t.Errorf("%s: %v", u.Name, err)
			}
		}
		first, end := context.WithCancel(comesFrom(t.Context(), "sftp", "192.0.2.1"))
		enter(first, anna, true)
		web := comesFrom(t.Context(), "webdav", "192.0.2.1")
		enter(web, anna, true)
		enter(web, anna, true) // the same
		enter(comesFrom(t.Context(), "webdav", "192.0.2.2"), anna, false)
		enter(comesFrom(t.Context(), "page", "192.0.2.1"), anna, false)
		enter(comesFrom(t.Context(), "sftp", "192.0.2.1"), anna, false)
		enter(comesFrom(t.Context(), "sftp", "192.0.2.1"), auth.User{Name: "carl"}, true)
		enter(comesFrom(t.Context(), "webdav", "192.0.2.1"), bert, true)

		end()
		synctest.Wait()
		second, end := context.WithCancel(comesFrom(t.Context(), "sftp", "192.0.2.3"))
		enter(second, anna, true)
		enter(comesFrom(t.Context(), "sftp", "192.0.2.4"), anna, false)

		// Over HTTPS it counts for a while after something was done, and no longer.
		time.Sleep(httpsSession - time.Second)
		s.Ended(web, storage.Event{User: "anna"})
		time.Sleep(2 * time.Second)
		enter(comesFrom(t.Context(), "sftp", "192.0.2.4"), anna, false)
		enter(comesFrom(t.Context(), "webdav", "192.0.2.9"), bert, true) // of whom nothing was seen
		time.Sleep(httpsSession)
		third, endThird := context.WithCancel(comesFrom(t.Context(), "sftp", "192.0.2.4"))
		enter(third, anna, true)

		end()
		endThird()
		synctest.Wait()
		if s.users["anna"] != nil {
			t.Errorf("who has none is remembered: %+v", s.users["anna"])
		}
	})
}

// What the operator's page counts of a user's quota is no session of the user.
func TestOperatorIsNoSession(t *testing.T) {
	dir := t.TempDir()
	store, err := sqlite.Open(t.Context(), filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	files, err := openFolder(filepath.Join(dir, "files"), 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	users, err := auth.OpenUsers(filepath.Join(dir, "users"))
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{
		cfg: config.Default(), log: slog.New(slog.DiscardHandler), users: users, state: store,
		quotas: new(quotas), changes: new(underway), sessions: new(sessions), bandwidths: new(bandwidths),
		storages: map[string]backend{config.DefaultStorage: files},
	}
	anna := auth.User{Name: "anna", MaxSessions: 1, Quota: 1 << 20, Mounts: []auth.Mount{{Path: "/", Permissions: auth.Permissions(storage.PermReadWrite)}}}
	if err := users.Put(t.Context(), anna); err != nil {
		t.Fatal(err)
	}
	list, err := operatorUsers{g: g}.Users(comesFrom(t.Context(), "admin", "192.0.2.1"))
	if err != nil || len(list) != 1 || list[0].Used != 0 {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := g.view(comesFrom(t.Context(), "page", "192.0.2.1"), auth.Identity{User: anna}); err != nil {
		t.Errorf("the first session of the user: %v", err)
	}
}

func TestBandwidths(t *testing.T) {
	var b bandwidths
	slow := auth.User{Name: "anna", Bandwidth: auth.Bandwidth{Up: 1 << 20}}
	one, two := b.of(slow), b.of(slow)
	if one.up == nil || one.up != two.up || one.down != nil {
		t.Errorf("two sessions: %+v, %+v", one, two)
	}
	slow.Bandwidth.Down = 1 << 20
	if three := b.of(slow); three.up != one.up || three.down == nil {
		t.Errorf("another limit: %+v", three)
	}
	if none := b.of(auth.User{Name: "anna"}); none != (userBandwidth{}) || len(b.users) != 0 {
		t.Errorf("no limit any more: %+v", none)
	}
	if got := limits(nil, one.up, nil); len(got) != 1 || got[0] != one.up {
		t.Errorf("%v", got)
	}
	if v := b.throttle(storage.Observe(nil, nil), auth.User{Name: "anna"}); v == nil {
		t.Error("no view")
	}
}
