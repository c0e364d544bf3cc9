package auth

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"gateway/storage"
)

// TestHolds: a session goes on through changes that give more, and ends by those that take something away.
func TestHolds(t *testing.T) {
	hash, err := HashPassword("right horse")
	if err != nil {
		t.Fatal(err)
	}
	other, err := HashPassword("other horse")
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	mount := Mount{Path: "/", Permissions: Permissions(storage.PermReadWrite)}
	before := User{Name: "anna", PasswordHash: hash, AuthorizedKeys: []string{string(ssh.MarshalAuthorizedKey(key))}, Mounts: []Mount{mount}}
	changes := []struct {
		name          string
		change        func(*User)
		password, key string // what the end says of a session of each; "": it goes on
	}{
		{"the same again", func(*User) {}, "", ""},
		{"more", func(u *User) {
			u.Quota = 1
			u.Mounts = append(u.Mounts, Mount{Path: "/more", Permissions: Permissions(storage.PermReadOnly)})
		}, "", ""},
		{"disabled", func(u *User) { u.Disabled = true }, "disabled", "disabled"},
		{"expired", func(u *User) { u.Expires = time.Now() }, "expired", "expired"},
		{"second factor", func(u *User) { u.TOTP, _ = NewTOTP("anna") }, "second factor", "second factor"},
		{"password", func(u *User) { u.PasswordHash = other }, "password was changed", ""},
		{"key", func(u *User) { u.AuthorizedKeys = nil }, "", "key was removed"},
		{"require", func(u *User) { u.Require = []string{ByPublicKey, ByPassword} }, "needed to log in", "needed to log in"},
		{"permission", func(u *User) { u.Mounts = []Mount{{Path: "/", Permissions: Permissions(storage.PermReadOnly)}} }, "taken away", "taken away"},
		{"folder", func(u *User) { u.Mounts = []Mount{{Path: "/", Folder: "x", Permissions: mount.Permissions}} }, "taken away", "taken away"},
	}
	for _, tt := range changes {
		t.Run(tt.name, func(t *testing.T) {
			l := newLogins(t, 10, before)
			byPassword, err := l.Password(t.Context(), home, "anna", "right horse")
			if err != nil {
				t.Fatal(err)
			}
			byKey, err := l.PublicKey(t.Context(), home, "anna", key)
			if err != nil {
				t.Fatal(err)
			}
			after := before
			after.Mounts = append([]Mount(nil), before.Mounts...)
			tt.change(&after)
			if err := l.users.Put(t.Context(), after); err != nil {
				t.Fatal(err)
			}
			wantEnd(t, l.Holds(t.Context(), home, byPassword), tt.password)
			wantEnd(t, l.Holds(t.Context(), home, byKey), tt.key)
		})
	}
}

// wantEnd checks that a session ends for a reason with these words, or goes on.
func wantEnd(t *testing.T, err error, words string) {
	t.Helper()
	if words == "" {
		if err != nil {
			t.Errorf("it ends: %v", err)
		}
		return
	}
	if !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), words) {
		t.Errorf("%v; want the end of the session because of %q", err, words)
	}
}

// TestHoldsWithoutTheFile: who was removed is out; a mistake in the file is no reason to end what began before.
func TestHoldsWithoutTheFile(t *testing.T) {
	key := newKey(t)
	u := User{Name: "anna", AuthorizedKeys: []string{string(ssh.MarshalAuthorizedKey(key))}}
	l := newLogins(t, 10, u)
	id, err := l.PublicKey(t.Context(), home, "anna", key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.users.dir, "anna.yaml"), []byte("mount: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Holds(t.Context(), home, id); err == nil || errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "anna.yaml:1") {
		t.Errorf("with a mistake in the file: %v", err)
	}
	if err := l.users.Remove(t.Context(), "anna"); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, l.Holds(t.Context(), home, id), "the user was removed")
}

// TestHoldsByTrust: a key that is revoked ends its session though the user's file is as it was, and so does an
// authority that is not trusted any more.
func TestHoldsByTrust(t *testing.T) {
	key := newKey(t)
	l := newLogins(t, 10, User{Name: "anna", AuthorizedKeys: []string{string(ssh.MarshalAuthorizedKey(key))}})
	revoked := filepath.Join(t.TempDir(), "revoked")
	if err := os.WriteFile(revoked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	trust, err := NewTrust("", revoked)
	if err != nil {
		t.Fatal(err)
	}
	l.SetTrust(trust)
	id, err := l.PublicKey(t.Context(), home, "anna", key)
	if err != nil {
		t.Fatal(err)
	}
	wantEnd(t, l.Holds(t.Context(), home, id), "")
	certified := id
	certified.key = &ssh.Certificate{Key: key, SignatureKey: key}
	wantEnd(t, l.Holds(t.Context(), home, certified), "no authority")
	if err := os.WriteFile(revoked, []byte(ssh.FingerprintSHA256(key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, l.Holds(t.Context(), home, id), "revoked")
	if err := os.Remove(revoked); err != nil {
		t.Fatal(err)
	}
	if err := l.Holds(t.Context(), home, id); err == nil || errors.Is(err, ErrEnded) {
		t.Errorf("without the list: %v", err)
	}
}
