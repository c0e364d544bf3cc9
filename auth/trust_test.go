package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"gateway/config"
)

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func authorizedLine(key ssh.PublicKey) string { return string(ssh.MarshalAuthorizedKey(key)) }

// trusting are logins of anna, whose certificates an authority signs.
func trusting(t *testing.T, ca ssh.PublicKey, revoked string, users ...User) (l *Logins, caFile, revokedFile string) {
	t.Helper()
	dir := t.TempDir()
	caFile, revokedFile = filepath.Join(dir, "ca.pub"), filepath.Join(dir, "revoked")
	for file, text := range map[string]string{caFile: "# ours\n\n" + authorizedLine(ca), revokedFile: revoked} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	trust, err := NewTrust(caFile, revokedFile)
	if err != nil {
		t.Fatal(err)
	}
	l = newLogins(t, 100, users...)
	l.SetTrust(trust)
	return l, caFile, revokedFile
}

func TestCertificates(t *testing.T) {
	ca, stranger, key := newSigner(t), newSigner(t), newKey(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	rsaCA, err := ssh.NewSignerFromKey(rsaKey)
	if err != nil {
		t.Fatal(err)
	}
	sha1CA, err := ssh.NewSignerWithAlgorithms(rsaCA.(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSA})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	tests := []struct {
		name   string
		change func(*ssh.Certificate)
		signer ssh.Signer
		want   string // part of the error; "": it logs in
	}{
		{"good", func(*ssh.Certificate) {}, ca, ""},
		{"several principals", func(c *ssh.Certificate) { c.ValidPrincipals = []string{"bert", "anna"} }, ca, ""},
		{"no principals", func(c *ssh.Certificate) { c.ValidPrincipals = nil }, ca, "no principals"},
		{"an empty principal", func(c *ssh.Certificate) { c.ValidPrincipals = []string{"anna", ""} }, ca, "no principals"},
		{"another principal", func(c *ssh.Certificate) { c.ValidPrincipals = []string{"bert"} }, ca, "principal"},
		{"another authority", func(*ssh.Certificate) {}, stranger, "no authority"},
		{"of a host", func(c *ssh.Certificate) { c.CertType = ssh.HostCert }, ca, "not one of a user"},
		{"expired", func(c *ssh.Certificate) { c.ValidBefore = uint64(now.Add(-time.Minute).Unix()) }, ca, "expired"},
		{"not yet", func(c *ssh.Certificate) { c.ValidAfter = uint64(now.Add(time.Hour).Unix()) }, ca, "not yet valid"},
		{"from here", func(c *ssh.Certificate) {
			c.CriticalOptions = map[string]string{"source-address": "10.0.0.0/8,192.0.2.0/24"}
		}, ca, ""},
		{"from one address", func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"source-address": "192.0.2.1"} }, ca, ""},
		{"from elsewhere", func(c *ssh.Certificate) {
			c.CriticalOptions = map[string]string{"source-address": "192.0.2.2,198.51.100.0/24"}
		}, ca, "not for the address"},
		{"from nowhere", func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"source-address": ""} }, ca, "not for the address"},
		{"a forced command", func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"force-command": "x"} }, ca, "force-command"},
		{"extensions", func(c *ssh.Certificate) { c.Extensions = map[string]string{"permit-pty": ""} }, ca, ""},
		{"revoked serial", func(c *ssh.Certificate) { c.Serial = 7 }, ca, "revoked"},
		{"revoked range", func(c *ssh.Certificate) { c.Serial = 15 }, ca, "revoked"},
		{"beside the range", func(c *ssh.Certificate) { c.Serial = 21 }, ca, ""},
		{"revoked id", func(c *ssh.Certificate) { c.KeyId = "lost laptop" }, ca, "revoked"},
		{"changed after it was signed", nil, ca, "does not verify"},
	}
	l, _, _ := trusting(t, ca.PublicKey(), "serial: 7\nserial: 10-20\n# the one from the train\nid: lost laptop\n", User{Name: "anna"})
	sign := func(change func(*ssh.Certificate), signer ssh.Signer) *ssh.Certificate {
		c := &ssh.Certificate{
			Key: key, Serial: 1, CertType: ssh.UserCert, KeyId: "anna", ValidPrincipals: []string{"anna"},
			ValidAfter: uint64(now.Add(-time.Hour).Unix()), ValidBefore: uint64(now.Add(time.Hour).Unix()),
		}
		if change != nil {
			change(c)
		}
		if err := c.SignCert(rand.Reader, signer); err != nil {
			t.Fatal(err)
		}
		if change == nil {
			c.Serial = 2
		}
		return c
	}
	for _, tt := range tests {
		id, err := l.PublicKey(t.Context(), home, "anna", sign(tt.change, tt.signer))
		switch {
		case tt.want == "" && (err != nil || id.By != "certificate" || id.User.Name != "anna"):
			t.Errorf("%s: %+v, %v", tt.name, id, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, ErrCredentials)):
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
	good := sign(func(*ssh.Certificate) {}, ca)
	if _, err := l.PublicKey(t.Context(), home, "bert", good); err == nil {
		t.Error("a certificate of anna logs bert in")
	}
	if _, err := l.PublicKey(t.Context(), home, "anna", key); err == nil {
		t.Error("the key alone logs in")
	}
	if _, err := newLogins(t, 100, User{Name: "anna"}).PublicKey(t.Context(), home, "anna", good); !errors.Is(err, ErrCredentials) {
		t.Errorf("without an authority: %v", err)
	}
	// SHA-1 by an authority that is trusted.
	l, _, _ = trusting(t, rsaCA.PublicKey(), "", User{Name: "anna"})
	if _, err := l.PublicKey(t.Context(), home, "anna", sign(func(*ssh.Certificate) {}, rsaCA)); err != nil {
		t.Errorf("RSA with SHA-2: %v", err)
	}
	if _, err := l.PublicKey(t.Context(), home, "anna", sign(func(*ssh.Certificate) {}, sha1CA)); err == nil || !strings.Contains(err.Error(), "not safe") {
		t.Errorf("RSA with SHA-1: %v", err)
	}
	// Keys can be revoked in three ways, and the list is read again.
	for what, line := range map[string]string{
		"key":         authorizedLine(key),
		"fingerprint": ssh.FingerprintSHA256(key) + "\n",
		"authority":   ssh.FingerprintSHA256(ca.PublicKey()),
	} {
		l, _, revoked := trusting(t, ca.PublicKey(), "", User{Name: "anna", AuthorizedKeys: []string{authorizedLine(key)}})
		for _, k := range []ssh.PublicKey{good, key} {
			if _, err := l.PublicKey(t.Context(), home, "anna", k); err != nil {
				t.Errorf("before it was revoked: %v", err)
			}
		}
		if err := os.WriteFile(revoked, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := l.PublicKey(t.Context(), home, "anna", good); !errors.Is(err, errRevoked) {
			t.Errorf("certificate, revoked by %s: %v", what, err)
		}
		if _, err := l.PublicKey(t.Context(), home, "anna", key); what != "authority" && !errors.Is(err, errRevoked) {
			t.Errorf("key, revoked by %s: %v", what, err)
		}
	}
}

func TestTrustFiles(t *testing.T) {
	key, other := newKey(t), newSigner(t)
	for name, tt := range map[string]struct{ ca, revoked, want string }{
		"no key":          {"# none\n", "", "there is no key"},
		"not a key":       {"\nssh-ed25519 AAAA\n", "", "ca.pub:2: it is not a public key"},
		"options":         {"cert-authority " + authorizedLine(key), "", "ca.pub:1: it is not a public key"},
		"bad serial":      {authorizedLine(key), "serial: 1\nserial: 5-2\n", "revoked:2: it is neither"},
		"bad fingerprint": {authorizedLine(key), "SHA256:abc\n", "revoked:1: it is neither"},
		"nonsense":        {authorizedLine(key), "anna\n", "revoked:1: it is neither"},
		"too large":       {authorizedLine(key), strings.Repeat("#", config.MaxFile+1), "larger than"},
	} {
		dir := t.TempDir()
		ca, revoked := filepath.Join(dir, "ca.pub"), filepath.Join(dir, "revoked")
		if err := errors.Join(os.WriteFile(ca, []byte(tt.ca), 0o600), os.WriteFile(revoked, []byte(tt.revoked), 0o600)); err != nil {
			t.Fatal(err)
		}
		if _, err := NewTrust(ca, revoked); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if _, err := NewTrust("/nonexistent", ""); err == nil {
		t.Error("a file that is missing is no error")
	}
	// A list that is gone, or has a mistake, lets nobody in.
	l, _, revoked := trusting(t, other.PublicKey(), "", User{Name: "anna", AuthorizedKeys: []string{authorizedLine(key)}})
	for _, spoil := range []func() error{
		func() error { return os.WriteFile(revoked, []byte("anna\n"), 0o600) },
		func() error { return os.Remove(revoked) },
	} {
		if _, err := l.PublicKey(t.Context(), home, "anna", key); err != nil {
			t.Error(err)
		}
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.PublicKey(t.Context(), home, "anna", key); !errors.Is(err, ErrCredentials) {
			t.Errorf("with a list that cannot be used: %v", err)
		}
		if err := os.WriteFile(revoked, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzTrust reads files of authorities and revocations.
func FuzzTrust(f *testing.F) {
	f.Add([]byte("# x\nSHA256:abc\nserial: 1-2\nid: y\nssh-ed25519 AAAA\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := parseAuthorities("ca", data)
		if err == nil && len(keys) == 0 {
			t.Error("no key and no error")
		}
		if r, err := parseRevocations("revoked", data); err == nil {
			for _, s := range r.serials {
				if s[0] > s[1] {
					t.Errorf("range %v", s)
				}
			}
		}
	})
}

func TestRequire(t *testing.T) {
	key := newKey(t)
	user := func(name string, require ...string) User {
		u := withPassword(t, name, "correct horse")
		u.AuthorizedKeys, u.Require = []string{authorizedLine(key)}, require
		return u
	}
	l := newLogins(t, 100, user("either"), user("both", ByPublicKey, ByPassword), user("key", ByPublicKey), user("word", ByPassword))
	last := byte(0)
	next := func() netip.Addr { // each its first failure: later ones are answered later
		last++
		return netip.AddrFrom4([4]byte{192, 0, 2, last})
	}
	for name, want := range map[string]struct{ password, key, needs bool }{
		"either": {true, true, false},
		"both":   {false, true, true},
		"key":    {false, true, false},
		"word":   {true, false, false},
	} {
		_, err := l.Password(t.Context(), next(), name, "correct horse")
		if (err == nil) != want.password || err != nil && !errors.Is(err, ErrCredentials) {
			t.Errorf("%s: password: %v", name, err)
		}
		id, err := l.PublicKey(t.Context(), next(), name, key)
		if (err == nil) != want.key || id.NeedsPassword != want.needs {
			t.Errorf("%s: key: %+v, %v", name, id.NeedsPassword, err)
		}
		got, err := l.PasswordToo(t.Context(), next(), id, "correct horse")
		if (err == nil) != want.needs || want.needs && (got.By != "publickey+password" || got.NeedsPassword || got.User.Name != name) {
			t.Errorf("%s: password too: %q, %v", name, got.By, err)
		}
		if _, err := l.PasswordToo(t.Context(), next(), id, "wrong"); !errors.Is(err, ErrCredentials) {
			t.Errorf("%s: wrong password too: %v", name, err)
		}
	}
	// To the one who guesses, the right password of somebody who needs a key looks like a wrong one.
	_, right := l.Password(t.Context(), next(), "both", "correct horse")
	if !errors.Is(right, ErrCredentials) {
		t.Errorf("%v", right)
	}
	for _, bad := range [][]string{{"key"}, {ByPublicKey, ByPublicKey}, {"certificate"}} {
		u := user("x", bad...)
		if err := u.check(); err == nil || !strings.Contains(err.Error(), "require") {
			t.Errorf("require %v: %v", bad, err)
		}
	}
	none := User{Name: "x", Require: []string{ByPassword}}
	if err := none.check(); err == nil || !strings.Contains(err.Error(), "passwd") {
		t.Errorf("a password that there is not: %v", err)
	}
}
