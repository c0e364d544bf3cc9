package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/auth"
	"gateway/config"
	"gateway/state"
	"gateway/state/sqlite"
)

func TestPageKey(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	key, err := pageKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	again, err := pageKey(dir)
	if err != nil || !bytes.Equal(key, again) || bytes.Equal(key, make([]byte, len(key))) {
		t.Errorf("the second time %x, %v, the first %x", again, err, key)
	}
	info, err := os.Stat(filepath.Join(dir, "page.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "page.key"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := pageKey(dir); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("a torn key: %v", err)
	}
}

// What a user shared who was removed is not shared by the next one of that name.
func TestEndOrphans(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	store, err := sqlite.Open(ctx, filepath.Join(dir, "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	users, err := auth.OpenUsers(filepath.Join(dir, "users"))
	if err != nil {
		t.Fatal(err)
	}
	g := &gateway{cfg: config.Default(), users: users, state: store}
	for _, user := range []string{"anna", "gone"} {
		s := state.Share{ID: user, User: user, Name: "f", Key: "/s:default/f", Created: time.Now(), Expires: time.Now().Add(time.Hour)}
		if err := store.AddShare(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	if err := users.Put(ctx, auth.User{Name: "anna"}); err != nil {
		t.Fatal(err)
	}
	if err := g.endOrphans(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Share(ctx, "anna"); err != nil {
		t.Errorf("the share of a user who is there: %v", err)
	}
	if _, err := store.Share(ctx, "gone"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("the share of one who is gone: %v", err)
	}
}
