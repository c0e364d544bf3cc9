package sftpsrv

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"gateway/auth"
)

const testCode = "123456"

// codedAuth is a fakeAuth whose users need a code, and with both a password after the key too.
type codedAuth struct {
	*fakeAuth
	both bool
}

func (a *codedAuth) Password(ctx context.Context, from netip.Addr, user, password string) (auth.Identity, error) {
	id, err := a.fakeAuth.Password(ctx, from, user, password)
	id.NeedsCode = err == nil
	return id, err
}

func (a *codedAuth) PasswordToo(ctx context.Context, from netip.Addr, id auth.Identity, password string) (auth.Identity, error) {
	return a.Password(ctx, from, id.User.Name, password)
}

func (a *codedAuth) PublicKey(ctx context.Context, from netip.Addr, user string, key ssh.PublicKey) (auth.Identity, error) {
	id, err := a.fakeAuth.PublicKey(ctx, from, user, key)
	id.NeedsCode, id.NeedsPassword = err == nil, err == nil && a.both
	return id, err
}

func (a *codedAuth) Code(_ context.Context, from netip.Addr, id auth.Identity, code string) (auth.Identity, error) {
	if !id.NeedsCode || id.NeedsPassword || code != testCode {
		a.Failed(from)
		return auth.Identity{}, auth.ErrCredentials
	}
	id.NeedsCode = false
	return id, nil
}

// answers gives one after the other, whatever is asked, and notes the questions.
func answers(asked *[]string, all ...string) ssh.AuthMethod {
	return ssh.KeyboardInteractive(func(_, _ string, questions []string, _ []bool) ([]string, error) {
		var given []string
		for _, q := range questions {
			*asked = append(*asked, q)
			if len(all) == 0 {
				given = append(given, "")
				continue
			}
			given, all = append(given, all[0]), all[1:]
		}
		return given, nil
	})
}

func TestSecondFactor(t *testing.T) {
	for _, both := range []bool{false, true} {
		f := serve(t, func(c *Config) { c.Auth = &codedAuth{c.Auth.(*fakeAuth), both} })
		key := newSigner(t)
		f.auth.keys[testUser] = key.PublicKey()
		var asked []string
		for _, test := range []struct {
			name    string
			methods []ssh.AuthMethod
			ok      [2]bool // with a key alone as the first step, and with key and password
			asked   string
		}{
			{"password and code at once", []ssh.AuthMethod{answers(&asked, testPassword, testCode)}, [2]bool{true, true}, "Password: |One-time code: "},
			{"password, then code", []ssh.AuthMethod{ssh.Password(testPassword), answers(&asked, testCode)}, [2]bool{true, true}, "One-time code: "},
			{"key, then code", []ssh.AuthMethod{ssh.PublicKeys(key), answers(&asked, testCode)}, [2]bool{true, false}, ""},
			{"key, password and code", []ssh.AuthMethod{ssh.PublicKeys(key), answers(&asked, testPassword, testCode)}, [2]bool{false, true}, ""},
			{"key, password, then code", []ssh.AuthMethod{ssh.PublicKeys(key), ssh.Password(testPassword), answers(&asked, testCode)}, [2]bool{true, true}, "One-time code: "},
			{"password alone", []ssh.AuthMethod{ssh.Password(testPassword)}, [2]bool{}, ""},
			{"key alone", []ssh.AuthMethod{ssh.PublicKeys(key)}, [2]bool{}, ""},
			{"key and password", []ssh.AuthMethod{ssh.PublicKeys(key), ssh.Password(testPassword)}, [2]bool{}, ""},
			{"wrong code", []ssh.AuthMethod{answers(&asked, testPassword, "000000")}, [2]bool{}, "Password: |One-time code: "},
			{"wrong password, right code", []ssh.AuthMethod{answers(&asked, "x", testCode)}, [2]bool{}, "Password: "},
			{"long code", []ssh.AuthMethod{answers(&asked, testPassword, strings.Repeat("1", maxPassword+1))}, [2]bool{}, "Password: |One-time code: "},
		} {
			asked = nil
			config := f.clientConfig(testUser)
			config.Auth = test.methods
			c, err := ssh.Dial("tcp", f.addr, config)
			want := test.ok[0]
			if both {
				want = test.ok[1]
			}
			if (err == nil) != want {
				t.Errorf("both %v: %s: %v", both, test.name, err)
			}
			if got := strings.Join(asked, "|"); test.asked != "" && got != test.asked {
				t.Errorf("both %v: %s: asked for %q, want %q", both, test.name, got, test.asked)
			}
			if err == nil {
				c.Close()
			}
		}
		if !strings.Contains(f.log.String(), errStepMissing.Error()) {
			t.Errorf("the log does not say that a step was missing:\n%s", f.log)
		}
		f.stop()
	}
}

// An Authenticator that cannot check a code lets nobody in who needs one.
func TestSecondFactorUnknown(t *testing.T) {
	f := serve(t, func(c *Config) { c.Auth = struct{ auth.Stepwise }{&codedAuth{c.Auth.(*fakeAuth), false}} })
	var asked []string
	if c, err := f.dial(testUser, answers(&asked, testPassword, testCode)); err == nil {
		c.Close()
		t.Error("logged in")
	}
}
