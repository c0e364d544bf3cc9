package auth

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"gateway/state/sqlite"
	"gateway/storage"
)

// coded is a set of logins with one user who needs a code: anna.
type coded struct {
	*Logins
	t        *testing.T
	user     User
	recovery []string
	log      bytes.Buffer
	last     byte
}

func newCoded(t *testing.T, failures int) *coded {
	u := withPassword(t, "anna", "correct horse")
	c := &coded{t: t}
	u.TOTP, c.recovery = NewTOTP("anna")
	c.Logins, c.user = newLogins(t, failures, u), u
	c.Logins.log = slog.New(slog.NewTextHandler(&c.log, nil))
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	c.SetCodes(db)
	return c
}

// next is an address that has not failed yet.
func (c *coded) next() netip.Addr {
	c.last++
	return netip.AddrFrom4([4]byte{198, 51, 100, c.last})
}

// code is the one of now, or of some steps from now.
func (c *coded) code(steps int64) string {
	secret, err := c.user.TOTP.secret()
	if err != nil {
		c.t.Fatal(err)
	}
	return hotp(secret, time.Now().Unix()/30+steps)
}

// wrong is a code that is not right, nor will be within minutes.
func (c *coded) wrong() string {
	for _, code := range []string{"000000", "111111", "222222", "333333", "444444", "555555", "666666", "777777", "888888", "999999"} {
		if !c.user.TOTP.Matches(code, time.Now()) && !c.user.TOTP.Matches(code, time.Now().Add(time.Minute)) {
			return code
		}
	}
	return ""
}

// first is anna after the password, which takes long to check.
func (c *coded) first() Identity {
	id := c.user.identity("password", c.users.version("anna"))
	id.NeedsCode = true
	return id
}

func (c *coded) want(from netip.Addr, code string, want error) Identity {
	c.t.Helper()
	id, err := c.Code(c.t.Context(), from, c.first(), code)
	if !errors.Is(err, want) || (err == nil) != (id.User.Name == "anna" && id.By == "password+code" && !id.NeedsCode) {
		c.t.Errorf("code %q: %+v, %v, want %v", code, id, err, want)
	}
	return id
}

func TestCode(t *testing.T) {
	c := newCoded(t, 100)
	first, err := c.Password(t.Context(), home, "anna", "correct horse")
	if err != nil || !first.NeedsCode || first.By != "password" {
		t.Fatalf("password: %+v, %v", first, err)
	}
	now, later := c.code(0), c.code(1) // good for as long as the test runs, also when a step ends meanwhile
	c.want(c.next(), now, nil)
	c.want(c.next(), now, ErrCredentials) // used
	id := c.want(c.next(), later, nil)
	c.want(c.next(), now, ErrCredentials) // before one that was used
	c.want(c.next(), c.wrong(), ErrCredentials)
	c.want(c.next(), "", ErrCredentials)
	c.want(c.next(), "correct horse", ErrCredentials)
	if !c.Current(id) {
		t.Error("who logged in does not stay logged in")
	}

	for i, code := range []string{c.recovery[0], strings.ToUpper(strings.ReplaceAll(c.recovery[1], "-", ""))} {
		c.want(c.next(), code, nil)
		c.want(c.next(), code, ErrCredentials)
		c.want(c.next(), c.recovery[i], ErrCredentials)
	}
	c.want(c.next(), "0123-4567-89ab-cdef", ErrCredentials)
	for _, secret := range append([]string{c.user.TOTP.Secret}, c.recovery...) {
		if strings.Contains(c.log.String(), secret) {
			t.Errorf("the log has %s", secret)
		}
	}
}

// However many addresses guess, the user's own number of wrong codes bounds it, also for the right
// one that is found too late.
func TestCodeGuessing(t *testing.T) {
	c := newCoded(t, 100)
	for range 3 {
		c.want(c.next(), c.wrong(), ErrCredentials)
	}
	if !strings.Contains(c.log.String(), "whoever gives them has the user's password") {
		t.Errorf("no warning:\n%s", &c.log)
	}
	c.want(c.next(), c.code(0), ErrBusy)
	c.want(c.next(), "0123-4567-89ab-cdef", ErrCredentials)
	c.want(c.next(), c.recovery[0], nil) // for whom the wrong ones are not
	c.want(c.next(), c.code(0), nil)

	// At once no more are let than one after the other.
	var wait sync.WaitGroup
	var busy, wrong int
	var mu sync.Mutex
	for range 12 {
		from, id := c.next(), c.first()
		wait.Go(func() {
			_, err := c.Code(t.Context(), from, id, c.wrong())
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, ErrBusy) {
				busy++
			} else if errors.Is(err, errWrongCode) {
				wrong++
			}
		})
	}
	wait.Wait()
	if wrong != 3 || busy != 9 {
		t.Errorf("%d wrong codes were looked at and %d refused, want 3 and 9", wrong, busy)
	}
}

// The right password does not make wrong codes from an address forgotten.
func TestCodesBan(t *testing.T) {
	c := newCoded(t, 2)
	for range 2 {
		id, err := c.Password(t.Context(), home, "anna", "correct horse")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Code(t.Context(), home, id, c.wrong()); err == nil {
			t.Fatal("a wrong code is taken")
		}
	}
	if _, err := c.Password(t.Context(), home, "anna", "correct horse"); !errors.Is(err, ErrBanned) {
		t.Errorf("after two wrong codes: %v", err)
	}
	if _, err := c.Code(t.Context(), home, c.first(), c.code(0)); !errors.Is(err, ErrBanned) {
		t.Errorf("a right code from a banned address: %v", err)
	}
}

// Code takes nobody who has not given all else, and nobody who is not what they were.
func TestCodeOutOfTurn(t *testing.T) {
	c := newCoded(t, 100)
	for name, spoil := range map[string]func(*Identity){
		"nobody":         func(id *Identity) { *id = Identity{} },
		"made up":        func(id *Identity) { *id = Identity{User: c.user, NeedsCode: true} },
		"needs none":     func(id *Identity) { id.NeedsCode = false },
		"needs password": func(id *Identity) { id.NeedsPassword = true },
	} {
		id := c.first()
		spoil(&id)
		if _, err := c.Code(t.Context(), c.next(), id, c.code(0)); !errors.Is(err, ErrCredentials) {
			t.Errorf("%s: %v", name, err)
		}
	}
	id := c.first()
	c.user.Disabled = true
	if err := c.users.Put(t.Context(), c.user); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Code(t.Context(), c.next(), id, c.code(0)); !errors.Is(err, ErrCredentials) {
		t.Errorf("who was disabled meanwhile: %v", err)
	}
	c.SetCodes(nil)
	if _, err := c.Code(t.Context(), c.next(), id, c.code(0)); err == nil {
		t.Error("a code is taken where it cannot be remembered")
	}
}

func TestCodeAfterKey(t *testing.T) {
	c := newCoded(t, 100)
	key := newKey(t)
	c.user.AuthorizedKeys = []string{string(ssh.MarshalAuthorizedKey(key))}
	for require, by := range map[string]string{"": "publickey+code", ByPassword: "publickey+password+code"} {
		c.user.Require = nil
		if require != "" {
			c.user.Require = []string{ByPublicKey, ByPassword}
		}
		if err := c.users.Put(t.Context(), c.user); err != nil {
			t.Fatal(err)
		}
		id, err := c.PublicKey(t.Context(), home, "anna", key)
		if err != nil || !id.NeedsCode || id.NeedsPassword != (require != "") {
			t.Fatalf("%s: %+v, %v", by, id, err)
		}
		if id.NeedsPassword {
			if id, err = c.PasswordToo(t.Context(), home, id, "correct horse"); err != nil || !id.NeedsCode {
				t.Fatalf("%s: %+v, %v", by, id, err)
			}
		}
		code := c.recovery[len(by)%7]
		if id, err = c.Code(t.Context(), home, id, code); err != nil || id.By != by {
			t.Errorf("by %q, want %q: %v", id.By, by, err)
		}
	}
}

// A client certificate stands for a key, and takes the place of no code.
func TestCodeAfterClientCertificate(t *testing.T) {
	c := newCoded(t, 100)
	id, err := c.ClientCertificate(t.Context(), home, "anna")
	if err != nil || !id.NeedsCode {
		t.Fatalf("%+v, %v", id.NeedsCode, err)
	}
	if id, err = c.Code(t.Context(), home, id, c.recovery[0]); err != nil || id.NeedsCode || id.By != ByClientCertificate+"+code" {
		t.Errorf("%+v, %v", id, err)
	}
}

func from(protocol string) context.Context {
	return storage.WithOrigin(context.Background(), storage.Origin{Protocol: protocol})
}

func TestAppPassword(t *testing.T) {
	c := newCoded(t, 100)
	day := 24 * time.Hour
	made := map[string]string{}
	add := func(label string, change func(*AppPassword), protocols ...string) {
		a, password := NewAppPassword("anna", label, protocols)
		change(&a)
		c.user.AppPasswords = append(c.user.AppPasswords, a)
		made[label] = password
	}
	add("both", func(*AppPassword) {}, "webdav", "sftp")
	add("web", func(a *AppPassword) { a.ReadOnly = true; a.Expires = time.Now().Add(day) }, "webdav")
	add("old", func(a *AppPassword) { a.Expires = time.Now().Add(-day) }, "webdav", "sftp")
	c.user.Require = []string{ByPassword}
	if err := c.users.Put(t.Context(), c.user); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		protocol, password string
		want               error
		by                 string
	}{
		{"webdav", made["both"], nil, "app-password:both"},
		{"sftp", strings.ToUpper(made["both"]), nil, "app-password:both"},
		{"page", made["both"], ErrCredentials, ""},
		{"", made["both"], ErrCredentials, ""},
		{"webdav", made["web"], nil, "app-password:web"},
		{"sftp", made["web"], ErrCredentials, ""},
		{"webdav", made["old"], ErrCredentials, ""},
		{"webdav", made["both"][1:], ErrCredentials, ""},
		{"webdav", "correct horse", ErrCredentials, ""}, // which needs a code, and there is none in Basic
	} {
		id, err := c.Password(from(test.protocol), c.next(), "anna", test.password)
		if !errors.Is(err, test.want) || err == nil && (id.By != test.by || id.NeedsCode || id.User.Name != "anna") {
			t.Errorf("%s over %s: by %q, %v", test.password, test.protocol, id.By, err)
		}
		if test.by == "app-password:web" && (len(id.User.Mounts) != 1 || storage.Permission(id.User.Mounts[0].Permissions) != storage.PermReadOnly || !c.Current(id)) {
			t.Errorf("for reading only: %+v", id.User.Mounts)
		}
	}
	if !strings.Contains(c.log.String(), "gateway user app-password NAME") {
		t.Errorf("the log does not say what to do:\n%s", &c.log)
	}
	if _, err := c.Password(from("webdav"), c.next(), "bert", made["both"]); !errors.Is(err, ErrCredentials) {
		t.Errorf("of another user: %v", err)
	}
	for _, a := range c.user.AppPasswords {
		if strings.Contains(c.log.String(), made[a.Label]) || strings.Contains(c.log.String(), a.Hash) {
			t.Errorf("the log has the app password %s", a.Label)
		}
	}
	holds := func(label, words string) {
		t.Helper()
		id := c.user.identity("app-password:"+label, fileVersion{})
		id.app = hashSecret("app password", "anna", made[label])
		wantEnd(t, c.Holds(t.Context(), home, id), words)
	}
	holds("both", "")
	holds("old", "app password was revoked or has expired")
	made["revoked"] = "x"
	holds("revoked", "app password was revoked or has expired")
	c.user.Expires = time.Now()
	if err := c.users.Put(t.Context(), c.user); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Password(from("webdav"), c.next(), "anna", made["both"]); !errors.Is(err, ErrDisabled) {
		t.Errorf("of a user who has expired: %v", err)
	}
}

func TestAppPasswordCheck(t *testing.T) {
	good, _ := NewAppPassword("anna", "laptop", []string{"webdav"})
	for name, spoil := range map[string]func(*AppPassword){
		"label":     func(a *AppPassword) { a.Label = "a b" },
		"hash":      func(a *AppPassword) { a.Hash = "secret" },
		"protocols": func(a *AppPassword) { a.Protocols = nil },
		"page":      func(a *AppPassword) { a.Protocols = []string{"page"} },
	} {
		a := good
		spoil(&a)
		if err := checkAppPasswords([]AppPassword{a}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := checkAppPasswords([]AppPassword{good}); err != nil {
		t.Error(err)
	}
	if err := checkAppPasswords([]AppPassword{good, good}); err == nil || !strings.Contains(err.Error(), "two app passwords") {
		t.Error(err)
	}
	if err := checkAppPasswords(make([]AppPassword, MaxAppPasswords+1)); err == nil {
		t.Error("too many are let pass")
	}
}

// Who expires is out from then on, also where a login is remembered.
func TestExpires(t *testing.T) {
	u := withPassword(t, "anna", "correct horse")
	key := newKey(t)
	u.AuthorizedKeys = []string{string(ssh.MarshalAuthorizedKey(key))}
	u.Expires = time.Now().Add(time.Hour)
	l := newLogins(t, 100, u)
	id, err := l.Password(t.Context(), home, "anna", "correct horse")
	if err != nil || !l.Current(id) {
		t.Fatalf("before: %v", err)
	}
	id.until = time.Now() // as if the hour were over
	if l.Current(id) {
		t.Error("a login is remembered beyond its end")
	}
	u.Expires = time.Now()
	if err := l.users.Put(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Password(t.Context(), home, "anna", "correct horse"); !errors.Is(err, ErrDisabled) {
		t.Errorf("password: %v", err)
	}
	if _, err := l.PublicKey(t.Context(), home, "anna", key); !errors.Is(err, ErrDisabled) {
		t.Errorf("key: %v", err)
	}
}

// Who has been remembered, or is vouched for, is let in as at a login with a password.
func TestVouched(t *testing.T) {
	open := User{Name: "open"}
	keyed, elsewhere, over := open, open, open
	keyed.Name, keyed.Require = "keyed", []string{ByPublicKey}
	elsewhere.Name, elsewhere.AllowFrom = "elsewhere", []string{"203.0.113.0/24"}
	over.Name, over.Expires = "over", time.Now()
	l := newLogins(t, 100, open, keyed, elsewhere, over)
	for name, want := range map[string]error{
		"open": nil, "keyed": ErrCredentials, "elsewhere": ErrCredentials, "over": ErrDisabled, "nobody": ErrCredentials, "../open": ErrCredentials,
	} {
		id, err := l.Vouched(t.Context(), home, name, "oidc:x")
		if !errors.Is(err, want) || err == nil && (id.By != "oidc:x" || !l.Current(id)) {
			t.Errorf("%s: %+v, %v, want %v", name, id.By, err, want)
		}
	}
	for by, want := range map[string]error{ByClientCertificate: nil, ByClientCertificate + "+password+code": nil, "password": ErrCredentials, "oidc:" + ByClientCertificate: ErrCredentials} {
		if _, err := l.Vouched(t.Context(), home, "keyed", by); !errors.Is(err, want) {
			t.Errorf("who has to prove a key, by %s: %v, want %v", by, err, want)
		}
	}
	if _, err := l.Vouched(t.Context(), netip.Addr{}, "keyed", "share"); err != nil {
		t.Errorf("what somebody who has to prove a key has shared: %v", err)
	}
}
