package sftpsrv

import (
	"context"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"gateway/auth"
	"gateway/storage"
)

// sshUsers is a server with users of package auth, and what OpenSSH needs to make keys and certificates.
type sshUsers struct {
	*fixture
	*openSSH
	users   *auth.Users
	secrets string
	opened  chan string // who logged in
}

func serveUsers(t *testing.T, configure func(dir string) (userCA, revoked string)) *sshUsers {
	t.Helper()
	u := &sshUsers{secrets: t.TempDir(), opened: make(chan string, 100)}
	users, err := auth.OpenUsers(t.TempDir())
	mustDo(t, err)
	logins, err := auth.NewLogins(users, auth.NewGuard(auth.GuardLimits{Failures: 1000, Window: time.Hour, Ban: time.Hour}), slog.New(slog.DiscardHandler))
	mustDo(t, err)
	u.keygen(t, "-f", "ca")
	userCA, revoked := configure(u.secrets)
	trust, err := auth.NewTrust(userCA, revoked)
	mustDo(t, err)
	logins.SetTrust(trust)
	u.users = users
	u.fixture = serve(t, func(c *Config) {
		open := c.Open
		c.Auth = logins
		c.Open = func(ctx context.Context, id auth.Identity) (storage.FS, error) {
			u.opened <- id.User.Name + " by " + id.By
			return open(ctx, id)
		}
	})
	u.write("f", []byte("content"))
	u.openSSH = newOpenSSH(t, u.fixture)
	return u
}

// keygen runs ssh-keygen in the folder of the secrets.
func (u *sshUsers) keygen(t *testing.T, args ...string) {
	t.Helper()
	if r := program(t, u.secrets, "", "ssh-keygen", append([]string{"-q", "-N", ""}, args...)...); r.code != 0 {
		t.Fatalf("ssh-keygen %q: %s", args, r.stderr)
	}
}

// certify makes a key and a certificate for it.
func (u *sshUsers) certify(t *testing.T, name string, args ...string) {
	t.Helper()
	u.keygen(t, "-t", "ed25519", "-f", name)
	if r := program(t, u.secrets, "", "ssh-keygen", append(append([]string{"-q", "-s", "ca", "-I", name}, args...), name+".pub")...); r.code != 0 {
		t.Fatalf("ssh-keygen %q: %s", args, r.stderr)
	}
}

// login has OpenSSH ask for the digest of a file, and says who the server took it for; "" if there was no login.
func (u *sshUsers) login(t *testing.T, key string, options ...string) string {
	t.Helper()
	args := append(slices.Clone(options), "--", "md5sum", "f")
	if key != "" {
		i := slices.Index(u.options, "-i")
		u.options[i+1] = filepath.Join(u.secrets, key)
	}
	r := u.ssh(t, args...)
	select {
	case who := <-u.opened:
		if !strings.HasPrefix(r.out, "9a0364b9e99bb480dd25e1f0284c8555") {
			t.Errorf("%s: %d %q", key, r.code, r.stderr)
		}
		return who
	default:
		if r.code == 0 {
			t.Errorf("%s: a login that nobody knows of", key)
		}
		return ""
	}
}

func TestRealCertificates(t *testing.T) {
	u := serveUsers(t, func(dir string) (string, string) {
		mustDo(t, os.WriteFile(filepath.Join(dir, "revoked"), []byte("serial: 9\nid: lost\n"), 0o600))
		return filepath.Join(dir, "ca.pub"), filepath.Join(dir, "revoked")
	})
	mustDo(t, u.users.Put(t.Context(), auth.User{Name: testUser}))
	for _, test := range []struct {
		name string
		args []string
		ok   bool
	}{
		{"good", []string{"-n", testUser + ",bob", "-V", "-1h:+1h"}, true},
		{"rsa", []string{"-n", testUser, "-t", "rsa-sha2-512"}, true},
		{"here", []string{"-n", testUser, "-O", "source-address=127.0.0.0/8"}, true},
		{"anybody", nil, false},
		{"bob", []string{"-n", "bob"}, false},
		{"expired", []string{"-n", testUser, "-V", "-2h:-1h"}, false},
		{"there", []string{"-n", testUser, "-O", "source-address=192.0.2.0/24"}, false},
		{"forced", []string{"-n", testUser, "-O", "force-command=x"}, false},
		{"host", []string{"-n", testUser, "-h"}, false},
		{"serial", []string{"-n", testUser, "-z", "9"}, false},
		{"lost", []string{"-n", testUser}, false},
	} {
		if test.name == "rsa" {
			u.keygen(t, "-t", "rsa", "-b", "2048", "-f", "rsaca")
			text, err := os.ReadFile(filepath.Join(u.secrets, "rsaca.pub"))
			mustDo(t, err)
			old, err := os.ReadFile(filepath.Join(u.secrets, "ca.pub"))
			mustDo(t, err, os.WriteFile(filepath.Join(u.secrets, "ca.pub"), append(old, text...), 0o600))
			test.args = append(test.args, "-s", "rsaca")
		}
		u.certify(t, test.name, test.args...)
		want := map[bool]string{true: testUser + " by certificate"}[test.ok]
		if got := u.login(t, test.name); got != want {
			t.Errorf("%s: logged in as %q, want %q", test.name, got, want)
		}
	}
}

// A user who has to prove a key and give a password, with OpenSSH's client, which is given the password by a program.
func TestRealKeyAndPassword(t *testing.T) {
	u := serveUsers(t, func(string) (string, string) { return "", "" })
	u.keygen(t, "-t", "ed25519", "-f", "mine")
	u.keygen(t, "-t", "ed25519", "-f", "other")
	public, err := os.ReadFile(filepath.Join(u.secrets, "mine.pub"))
	mustDo(t, err)
	hash, err := auth.HashPassword(testPassword)
	mustDo(t, err)
	mustDo(t, u.users.Put(t.Context(), auth.User{
		Name: testUser, PasswordHash: hash, AuthorizedKeys: []string{string(public)}, Require: []string{auth.ByPublicKey, auth.ByPassword},
	}))
	u.options[slices.Index(u.options, "BatchMode=yes")] = "NumberOfPasswordPrompts=1"
	t.Setenv("SSH_ASKPASS_REQUIRE", "force")
	askpass := func(password string) {
		file := filepath.Join(u.secrets, "askpass")
		mustDo(t, os.WriteFile(file, []byte("#!/bin/sh\necho '"+password+"'\n"), 0o700))
		t.Setenv("SSH_ASKPASS", file)
	}
	for _, test := range []struct {
		name, key, password string
		options             []string
		ok                  bool
	}{
		{"both", "mine", testPassword, []string{"-o", "PreferredAuthentications=publickey,password"}, true},
		{"wrong password", "mine", "wrong horse", nil, false},
		{"keyboard-interactive", "mine", testPassword, []string{"-o", "PreferredAuthentications=publickey,keyboard-interactive"}, true},
		{"wrong key", "other", testPassword, nil, false},
		{"only the key", "mine", testPassword, []string{"-o", "PreferredAuthentications=publickey"}, false},
		{"only the password", "mine", testPassword, []string{"-o", "PreferredAuthentications=password"}, false},
	} {
		askpass(test.password)
		want := map[bool]string{true: testUser + " by publickey+password"}[test.ok]
		if got := u.login(t, test.key, test.options...); got != want {
			t.Errorf("%s: logged in as %q, want %q", test.name, got, want)
		}
	}
}

// whichKey says in Identity.By which key it was.
type whichKey struct {
	*fakeAuth
	names map[string]string // by key
}

func (w whichKey) PublicKey(_ context.Context, _ netip.Addr, user string, key ssh.PublicKey) (auth.Identity, error) {
	name, ok := w.names[string(key.Marshal())]
	if !ok {
		return auth.Identity{}, auth.ErrCredentials
	}
	return auth.Identity{User: auth.User{Name: user}, By: name}, nil
}

// A client offers a key that is good for more, which it cannot prove, and proves another: CVE-2024-45337.
func TestRealOfferedKeyIsNotProved(t *testing.T) {
	keys := whichKey{names: map[string]string{}}
	dir := t.TempDir()
	for name, passphrase := range map[string]string{"more": "not known to the client", "less": ""} {
		if r := program(t, dir, "", "ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", name); r.code != 0 {
			t.Fatal(r.stderr)
		}
		text, err := os.ReadFile(filepath.Join(dir, name+".pub"))
		mustDo(t, err)
		key, _, _, _, err := ssh.ParseAuthorizedKey(text)
		mustDo(t, err)
		keys.names[string(key.Marshal())] = name
	}
	opened := make(chan string, 1)
	f := serve(t, func(c *Config) {
		keys.fakeAuth = c.Auth.(*fakeAuth)
		c.Auth = keys
		open := c.Open
		c.Open = func(ctx context.Context, id auth.Identity) (storage.FS, error) {
			opened <- id.By
			return open(ctx, id)
		}
	})
	f.write("f", nil)
	o := newOpenSSH(t, f)
	o.options[slices.Index(o.options, "-i")+1] = filepath.Join(dir, "more")
	r := o.ssh(t, "-v", "-i", filepath.Join(dir, "less"), "--", "md5sum", "f")
	if strings.Count(r.stderr, "Server accepts key") != 2 {
		t.Errorf("not both keys were offered:\n%s", r.stderr)
	}
	if got := <-opened; got != "less" || r.code != 0 {
		t.Errorf("logged in with the key for %s: %d", got, r.code)
	}
}
