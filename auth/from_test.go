package auth

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// TestAllowFrom: a user comes in from the addresses of the list alone, in whatever way.
func TestAllowFrom(t *testing.T) {
	hash, err := HashPassword("right horse")
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	l := newLogins(t, 100, User{
		Name: "anna", PasswordHash: hash, AuthorizedKeys: []string{string(ssh.MarshalAuthorizedKey(key))},
		AllowFrom: []string{"192.0.2.1", "2001:db8::/32"},
	})
	ways := map[string]func(netip.Addr) (Identity, error){
		"password":    func(a netip.Addr) (Identity, error) { return l.Password(t.Context(), a, "anna", "right horse") },
		"key":         func(a netip.Addr) (Identity, error) { return l.PublicKey(t.Context(), a, "anna", key) },
		"certificate": func(a netip.Addr) (Identity, error) { return l.ClientCertificate(t.Context(), a, "anna") },
	}
	for way, login := range ways {
		for address, want := range map[string]bool{"192.0.2.1": true, "::ffff:192.0.2.1": true, "2001:db8::9": true, "192.0.2.2": false, "2001:db9::1": false} {
			id, err := login(netip.MustParseAddr(address))
			if (err == nil) != want || err != nil && !errors.Is(err, ErrCredentials) {
				t.Errorf("%s from %s: %v", way, address, err)
			}
			if err == nil {
				wantEnd(t, l.Holds(t.Context(), netip.MustParseAddr(address), id), "")
			}
		}
	}
	id, err := ways["key"](home)
	if err != nil {
		t.Fatal(err)
	}
	u := id.User
	u.AllowFrom = []string{"192.0.2.2"}
	if err := l.users.Put(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, l.Holds(t.Context(), home, id), "may not come from this address")
	u.AllowFrom = []string{"192.0.2.2/24"}
	if err := l.users.Put(t.Context(), u); err == nil || !strings.Contains(err.Error(), "allow_from: \"192.0.2.2/24\" is not the beginning of its network") {
		t.Errorf("a list with a mistake: %v", err)
	}
}

// TestClientCertificateLogin: a certificate stands for a key.
func TestClientCertificateLogin(t *testing.T) {
	hash, err := HashPassword("right horse")
	if err != nil {
		t.Fatal(err)
	}
	l := newLogins(
		t, 3, User{Name: "any"}, User{Name: "key", Require: []string{ByPublicKey}}, User{Name: "disabled", Disabled: true},
		User{Name: "password", PasswordHash: hash, Require: []string{ByPassword}},
		User{Name: "both", PasswordHash: hash, Require: []string{ByPublicKey, ByPassword}},
	)
	for name, want := range map[string]error{"any": nil, "key": nil, "both": nil, "password": ErrCredentials, "disabled": ErrDisabled, "nobody": ErrCredentials, "../any": ErrCredentials, "": ErrCredentials} {
		id, err := l.ClientCertificate(t.Context(), home, name)
		if !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
		if err == nil && (id.By != ByClientCertificate || id.NeedsPassword != (name == "both")) {
			t.Errorf("%q: %+v", name, id)
		}
	}
	id, err := l.ClientCertificate(t.Context(), home, "both")
	if err != nil {
		t.Fatal(err)
	}
	if id, err = l.PasswordToo(t.Context(), home, id, "right horse"); err != nil || id.By != "client certificate+password" || id.NeedsPassword {
		t.Errorf("with the password: %+v, %v", id, err)
	}
	for range 3 {
		l.Failed(home)
	}
	if _, err := l.ClientCertificate(t.Context(), home, "any"); !errors.Is(err, ErrBanned) {
		t.Errorf("from an address that is banned: %v", err)
	}
}

// TestVouchedForWhoHasExpired: nobody can vouch for a user whose time is over.
func TestVouchedForWhoHasExpired(t *testing.T) {
	l := newLogins(t, 3, User{Name: "anna", Expires: time.Now().Add(-time.Minute)}, User{Name: "bert", Expires: time.Now().Add(time.Hour)})
	if _, err := l.Vouched(t.Context(), home, "anna", "x"); !errors.Is(err, ErrDisabled) {
		t.Errorf("one who has expired: %v", err)
	}
	id, err := l.Vouched(t.Context(), home, "bert", "x")
	if err != nil || !l.Current(id) {
		t.Errorf("one who has not: %v", err)
	}
	id.until = time.Now().Add(-time.Second)
	if l.Current(id) {
		t.Error("a session goes on after the user has expired")
	}
}
