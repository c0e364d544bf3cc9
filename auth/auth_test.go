package auth

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"gateway/config"
	"gateway/storage"
)

var (
	home  = netip.MustParseAddr("192.0.2.1")
	other = netip.MustParseAddr("192.0.2.2")
)

func newKey(t *testing.T) ssh.PublicKey {
	t.Helper()
	pub, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newLogins(t *testing.T, failures int, users ...User) *Logins {
	t.Helper()
	s, err := OpenUsers(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range users {
		if err := s.Put(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	guard := NewGuard(GuardLimits{Failures: failures, Window: time.Minute, Ban: time.Hour})
	l, err := NewLogins(s, guard, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func withPassword(t *testing.T, name, password string) User {
	t.Helper()
	hash, err := HashPassword(password)
	if err != nil {
		t.Fatal(err)
	}
	return User{Name: name, PasswordHash: hash, Mounts: []Mount{{Path: "/", Permissions: Permissions(storage.PermReadWrite)}}}
}

func TestPassword(t *testing.T) {
	anna := withPassword(t, "anna", "correct horse")
	gone := withPassword(t, "gone", "correct horse")
	gone.Disabled = true
	nopw := User{Name: "nopw", AuthorizedKeys: []string{string(ssh.MarshalAuthorizedKey(newKey(t)))}}
	l := newLogins(t, 100, anna, gone, nopw)
	// Held-back answers are cut short by an ended context.
	tests := []struct {
		user, password string
		want           error
	}{
		{"anna", "correct horse", nil},
		{"anna", "wrong", ErrCredentials},
		{"anna", "", ErrCredentials},
		{"nobody", "correct horse", ErrCredentials},
		{"nopw", "", ErrCredentials},
		{"gone", "correct horse", ErrDisabled},
		{"gone", "wrong", ErrCredentials},
		{"../anna", "correct horse", ErrCredentials},
		{"anna.yaml", "correct horse", ErrCredentials},
		{"anna", strings.Repeat("x", MaxPassword+1), ErrCredentials},
	}
	for i, tt := range tests {
		from := netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}) // each its first failure
		id, err := l.Password(t.Context(), from, tt.user, tt.password)
		if !errors.Is(err, tt.want) {
			t.Errorf("Password(%q, %.20q) = %v, want %v", tt.user, tt.password, err, tt.want)
		}
		if (err == nil) != (id.User.Name != "") {
			t.Errorf("Password(%q, %.20q): identity %q with error %v", tt.user, tt.password, id.User.Name, err)
		}
	}
}

func TestPublicKey(t *testing.T) {
	mine, theirs := newKey(t), newKey(t)
	l := newLogins(t, 3,
		User{Name: "anna", AuthorizedKeys: []string{"# comment is refused below"}[:0]},
		User{Name: "bert", AuthorizedKeys: []string{string(ssh.MarshalAuthorizedKey(mine))}})
	if id, err := l.PublicKey(t.Context(), home, "bert", mine); err != nil || id.User.Name != "bert" || id.By != "publickey" {
		t.Errorf("own key: %v, %v", id, err)
	}
	for _, user := range []string{"bert", "anna", "nobody"} {
		if _, err := l.PublicKey(t.Context(), home, user, theirs); !errors.Is(err, ErrCredentials) {
			t.Errorf("foreign key of %s: %v", user, err)
		}
	}
	for range 3 {
		l.Failed(home)
	}
	if _, err := l.PublicKey(t.Context(), home, "bert", mine); !errors.Is(err, ErrBanned) {
		t.Errorf("own key from a banned address: %v", err)
	}
}

func TestBanCountsFailuresOfOneAddress(t *testing.T) {
	l := newLogins(t, 2, withPassword(t, "anna", "correct horse"))
	for range 2 {
		_, _ = l.Password(t.Context(), home, "anna", "wrong")
	}
	if _, err := l.Password(t.Context(), home, "anna", "correct horse"); !errors.Is(err, ErrBanned) {
		t.Errorf("right password from a banned address: %v", err)
	}
	if _, err := l.Password(t.Context(), other, "anna", "correct horse"); err != nil {
		t.Errorf("right password from another address: %v", err)
	}
}

func TestGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGuard(GuardLimits{Failures: 3, Window: time.Minute, Ban: time.Hour})
		g.Failed(home)
		g.Failed(home)
		time.Sleep(2 * time.Minute)
		g.Failed(home) // the first two are forgotten
		if g.Allowed(home) != nil {
			t.Error("banned for failures that are forgotten")
		}
		g.Failed(home)
		if d := g.Failed(home); d <= 0 || d > maxDelay {
			t.Errorf("delay = %v", d)
		}
		if !errors.Is(g.Allowed(home), ErrBanned) {
			t.Error("not banned after three failures")
		}
		g.Succeeded(home)
		if !errors.Is(g.Allowed(home), ErrBanned) {
			t.Error("a login that was under way lifted the ban")
		}
		if g.Allowed(other) != nil {
			t.Error("another address is banned")
		}
		time.Sleep(time.Hour + time.Second)
		if g.Allowed(home) != nil {
			t.Error("the ban does not end")
		}
	})
}

func TestGuardTakesIPv6ByBlock(t *testing.T) {
	g := NewGuard(GuardLimits{Failures: 1, Window: time.Minute, Ban: time.Hour})
	g.Failed(netip.MustParseAddr("2001:db8::1%eth0"))
	if g.Allowed(netip.MustParseAddr("2001:db8::ffff")) == nil {
		t.Error("another address of the /64 is not banned")
	}
	if g.Allowed(netip.MustParseAddr("2001:db8:0:1::1")) != nil {
		t.Error("another /64 is banned")
	}
	g.Failed(netip.MustParseAddr("::ffff:192.0.2.1"))
	if g.Allowed(home) == nil {
		t.Error("an IPv4-mapped address is not its IPv4 address")
	}
}

func TestGuardIsBounded(t *testing.T) {
	g := NewGuard(GuardLimits{Failures: 9, Window: time.Minute, Ban: time.Hour})
	now := time.Now()
	g.now = func() time.Time { return now }
	for i := range maxAddresses {
		g.seen[Network(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))] = &record{last: now}
	}
	g.Failed(home)
	if len(g.seen) > maxAddresses {
		t.Errorf("%d addresses are remembered", len(g.seen))
	}
}

func TestHashingWaitsInLine(t *testing.T) {
	l := newLogins(t, 100, withPassword(t, "anna", "correct horse"))
	for range cap(l.hash.slots) {
		l.hash.slots <- struct{}{}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(ErrBusy)
	if _, err := l.Password(ctx, home, "anna", "correct horse"); !errors.Is(err, ErrBusy) {
		t.Errorf("with every slot taken: %v", err)
	}
}

func TestUserFiles(t *testing.T) {
	key := string(ssh.MarshalAuthorizedKey(newKey(t)))
	tests := []struct {
		name, yaml string
		want       string // part of the error; "" loads
	}{
		{"minimal", "mounts: []\n", ""},
		{"full", "name: u\nauthorized_keys: ['" + strings.TrimSpace(key) + "']\nquota: 1.5GiB\nmounts:\n- path: /in\n  folder: u\n  permissions: drop-box\n- path: /\n  permissions: [list, read]\n", ""},
		{"unknown key", "mounts: []\nkeys: []\n", "u.yaml:2: unknown key \"keys\""},
		{"permission", "mounts:\n- path: /\n  permissions: admin\n", "u.yaml:3: unknown permission \"admin\"; known are read-write"},
		{"no permission", "mounts:\n- path: /\n", "has no permissions"},
		{"quota", "quota: lots\n", "u.yaml:1: \"lots\" is not a size"},
		{"key", "authorized_keys: [ssh-rsa]\n", "cannot be read"},
		{"key options", "authorized_keys: ['no-pty " + strings.TrimSpace(key) + "']\n", "options (no-pty)"},
		{"two keys in one", "authorized_keys: [\"" + strings.ReplaceAll(key+key, "\n", "\\n") + "\"]\n", "more than one line"},
		{"require", "require: [fingerprint]\n", "require: \"fingerprint\" is not expected"},
		{"plain password", "password: secret\n", "not an argon2id hash"},
		{"greedy hash", "password: $argon2id$v=19$m=99999999,t=3,p=4$c2FsdHNhbHRzYWx0c2E$a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5\n", "too much work"},
		{"hash of no rounds", "password: $argon2id$v=19$m=65536,t=0,p=4$c2FsdHNhbHRzYWx0c2E$a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5\n", "t=0 or p=0"},
		{"hash of no lanes", "password: $argon2id$v=19$m=65536,t=3,p=0$c2FsdHNhbHRzYWx0c2E$a2V5a2V5a2V5a2V5a2V5a2V5a2V5a2V5\n", "t=0 or p=0"},
		{"two mounts at one path", "mounts:\n- path: /a\n  permissions: read-only\n- path: a/\n  permissions: read-only\n", "two mounts have the path"},
		{"too large", strings.Repeat("#", config.MaxFile+1), "larger than"},
		{"other name", "name: v\n", "must be \"u\""},
		{"mount path", "mounts:\n- path: /../x\n  permissions: read-only\n", "mount path"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "u.yaml"), []byte(tt.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			s, err := OpenUsers(dir)
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Get(t.Context(), "u")
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// TestUserFileIsRegular: a login must not wait for somebody to write into a pipe.
func TestUserFileIsRegular(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.yaml"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := OpenUsers(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), "pipe"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Error(err)
	}
}

func TestUsersRoundTrip(t *testing.T) {
	s, err := OpenUsers(filepath.Join(t.TempDir(), "users"))
	if err != nil {
		t.Fatal(err)
	}
	want := withPassword(t, "anna", "correct horse")
	want.Quota = 1 << 30
	want.Mounts = append(want.Mounts, Mount{Path: "/in", Folder: "inbox", Permissions: Permissions(storage.PermList | storage.PermCreate)})
	if err := s.Put(t.Context(), want); err != nil {
		t.Fatal(err)
	}
	got, err := s.List(t.Context())
	if err != nil || len(got) != 1 {
		t.Fatalf("List: %v, %v", got, err)
	}
	if g := got[0]; g.Quota != want.Quota || g.PasswordHash != want.PasswordHash || len(g.Mounts) != 2 ||
		g.Mounts[0] != want.Mounts[0] || g.Mounts[1] != want.Mounts[1] {
		t.Errorf("read back %+v, want %+v", g, want)
	}
	if fi, err := os.Stat(filepath.Join(s.dir, "anna.yaml")); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode of the user file: %v, %v; want 0600", fi.Mode(), err)
	}
	if err := s.Remove(t.Context(), "anna"); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), "anna"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestParseBytes(t *testing.T) {
	for in, want := range map[string]Bytes{"0": 0, "500": 500, "20B": 20, "20MB": 20e6, "20M": 20e6, "1.5GiB": 3 << 29, "1Ki": 1024, "2 TB": 2e12, "3PiB": 3 << 50} {
		if got, err := ParseBytes(in); err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-1", "x", "1XB", "1 2", "9999999PB", "1e9", "iB", "1iB"} {
		if got, err := ParseBytes(in); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", in, got)
		}
	}
}

func TestGeneratePassword(t *testing.T) {
	a, b := GeneratePassword(), GeneratePassword()
	if a == b || len(a) < 20 {
		t.Errorf("passwords %q and %q", a, b)
	}
	if _, err := HashPassword("short"); err == nil {
		t.Error("a short password is accepted")
	}
}

// TestCurrent: a login holds until its user's file is changed, in whatever way.
func TestCurrent(t *testing.T) {
	hash, err := HashPassword("right horse")
	if err != nil {
		t.Fatal(err)
	}
	u := User{Name: "anna", PasswordHash: hash, Mounts: []Mount{{Path: "/", Permissions: Permissions(storage.PermReadOnly)}}}
	l := newLogins(t, 10, u, User{Name: "bert"})
	var login Rechecker = l
	change := func(id Identity, how func() error) Identity {
		t.Helper()
		if !login.Current(id) {
			t.Error("it must hold before the change")
		}
		if err := how(); err != nil {
			t.Fatal(err)
		}
		if login.Current(id) {
			t.Error("it must not hold after the change")
		}
		id, err := l.Password(t.Context(), home, "anna", "right horse")
		if err != nil && !errors.Is(err, ErrDisabled) && !errors.Is(err, ErrCredentials) {
			t.Fatal(err)
		}
		return id
	}
	id, err := l.Password(t.Context(), home, "anna", "right horse")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(l.users.dir, "anna.yaml")
	id = change(id, func() error { return l.users.Put(t.Context(), u) }) // the same again
	id = change(id, func() error {                                       // by an editor, in place
		data, err := os.ReadFile(file)
		return errors.Join(err, os.WriteFile(file, append(data, "quota: 1GB\n"...), 0o600))
	})
	change(id, func() error {
		u.Disabled = true
		return l.users.Put(t.Context(), u)
	})
	u.Disabled = false
	if err := l.users.Put(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if id, err = l.Password(t.Context(), home, "anna", "right horse"); err != nil {
		t.Fatal(err)
	}
	change(id, func() error { return l.users.Remove(t.Context(), "anna") })
	if login.Current(Identity{}) || login.Current(Identity{User: User{Name: "../anna"}}) || login.Current(Identity{User: User{Name: "bert"}}) {
		t.Error("nobody logged in so")
	}
}
