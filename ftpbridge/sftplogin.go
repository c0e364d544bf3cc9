package ftpbridge

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// maxKeyFile bounds a private key and a file of known hosts, in bytes.
const maxKeyFile = 4 << 20

// parseHostKeyPin reads a fingerprint as ssh-keygen -l shows it.
func parseHostKeyPin(s string) (string, error) {
	s = strings.TrimRight(strings.TrimSpace(s), "=")
	sum, err := base64.RawStdEncoding.DecodeString(strings.TrimPrefix(s, "SHA256:"))
	if !strings.HasPrefix(s, "SHA256:") || err != nil || len(sum) != 32 {
		return "", fmt.Errorf("fingerprint %q is not one of a host key; write SHA256: and 43 characters, as ssh-keygen -l does", s)
	}
	return s, nil
}

// sshLogin is one attempt to log in over SSH.
type sshLogin struct {
	src     Source
	algs    []string // of host keys; nil for all
	refused error    // why the host key was
	sent    bool     // the host key was good: a password may have been sent
}

// connectSSH makes the connection and logs in. Where the pinned key is not the one
// that the server prefers to show, the other kinds are asked for: it may have several.
func connectSSH(ctx context.Context, src Source) (net.Conn, *ssh.Client, error) {
	kinds := [][]string{nil}
	if src.Fingerprint != "" {
		kinds = append(kinds, []string{ssh.KeyAlgoED25519}, []string{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
			[]string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256})
	}
	var first error
	for _, kind := range kinds {
		l := &sshLogin{src: src, algs: kind}
		raw, client, err := l.connect(ctx)
		if err == nil {
			return raw, client, nil
		}
		if first == nil {
			first = err
		}
		var none *ssh.AlgorithmNegotiationError
		otherKey := l.refused != nil || kind != nil && errors.As(err, &none)
		if !otherKey || ctx.Err() != nil {
			return nil, nil, err
		}
	}
	return nil, nil, first
}

func (l *sshLogin) connect(ctx context.Context) (net.Conn, *ssh.Client, error) {
	config, err := l.config()
	if err != nil {
		return nil, nil, err
	}
	timeout := l.src.timeout()
	raw, err := l.src.dial(ctx, l.src.addr(), maxDialTime, keepAlive)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w; check host, port and firewall", ErrUnreachable, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer stop()
	_ = raw.SetDeadline(time.Now().Add(timeout)) // for the whole handshake; a closed connection says so by itself
	conn, channels, requests, err := ssh.NewClientConn(raw, l.src.addr(), config)
	if err != nil {
		_ = raw.Close()
		return nil, nil, l.explain(err)
	}
	_ = raw.SetDeadline(time.Time{})
	return raw, ssh.NewClient(conn, channels, requests), nil
}

// explain sorts the failures of a handshake.
func (l *sshLogin) explain(err error) error {
	var none *ssh.AlgorithmNegotiationError
	var ne net.Error
	switch {
	case l.refused != nil:
		return l.refused
	case errors.As(err, &none):
		return fmt.Errorf("%w: %w; an old server may need --legacy-ssh", ErrTLS, err)
	case errors.As(err, &ne) && ne.Timeout():
		return fmt.Errorf("%w: the SSH handshake was not done after %v; is this an SSH server?", ErrTimeout, l.src.timeout())
	case l.sent && strings.Contains(err.Error(), "unable to authenticate"):
		return fmt.Errorf("%w: the server took neither key nor password of user %q", ErrLogin, l.src.user())
	case !l.sent && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		// sshd's MaxStartups and PerSourceMaxStartups end like this.
		return fmt.Errorf("%w: it closed the connection before it said anything; it has too many, or this address is not welcome", ErrBusy)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}

// config is the modern half of what the library knows; its list of supported
// algorithms has no SHA-1.
func (l *sshLogin) config() (*ssh.ClientConfig, error) {
	auth, err := l.methods()
	if err != nil {
		return nil, err
	}
	check, known, err := l.hostKeys()
	if err != nil {
		return nil, err
	}
	algs := ssh.SupportedAlgorithms()
	if l.src.LegacySSH {
		old := ssh.InsecureAlgorithms()
		algs.KeyExchanges = append(algs.KeyExchanges, old.KeyExchanges...)
		algs.Ciphers = append(algs.Ciphers, old.Ciphers...)
		algs.MACs = append(algs.MACs, old.MACs...)
		algs.HostKeys = append(algs.HostKeys, old.HostKeys...)
	}
	c := &ssh.ClientConfig{
		Config:            ssh.Config{KeyExchanges: algs.KeyExchanges, Ciphers: algs.Ciphers, MACs: algs.MACs},
		User:              l.src.user(),
		Auth:              auth,
		HostKeyCallback:   check,
		HostKeyAlgorithms: algs.HostKeys,
		ClientVersion:     "SSH-2.0-gateway",
		BannerCallback:    func(string) error { return nil },
	}
	if len(known) > 0 {
		c.HostKeyAlgorithms = known
	}
	if l.algs != nil {
		c.HostKeyAlgorithms = l.algs
	}
	return c, nil
}

// methods are the ways to say who we are, the key first. A password is given for a
// hidden question only: a shown one asks for something else.
func (l *sshLogin) methods() ([]ssh.AuthMethod, error) {
	var methods []ssh.AuthMethod
	if l.src.KeyFile != "" {
		signer, err := l.src.signer()
		if err != nil {
			return nil, err
		}
		methods = append(methods, ssh.PublicKeys(signer))
	}
	if password := l.src.password(); password != "" {
		asked := 0
		methods = append(methods, ssh.Password(password), ssh.KeyboardInteractive(
			func(_, _ string, questions []string, echos []bool) ([]string, error) {
				if len(questions) == 0 {
					return nil, nil
				}
				if asked++; asked > 1 || len(questions) != 1 || len(echos) != 1 || echos[0] {
					return nil, fmt.Errorf("the server asks for more than a password")
				}
				return []string{password}, nil
			}))
	}
	if len(methods) == 0 {
		return nil, fmt.Errorf("%w: neither a key nor a password was given for user %q", ErrLogin, l.src.user())
	}
	return methods, nil
}

func (s Source) signer() (ssh.Signer, error) {
	pem, err := readSmallFile(s.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("%w: private key: %w", ErrSource, err)
	}
	var signer ssh.Signer
	if s.KeyPassphrase != "" {
		signer, err = ssh.ParsePrivateKeyWithPassphrase(pem, []byte(s.KeyPassphrase))
	} else {
		signer, err = ssh.ParsePrivateKey(pem)
	}
	var missing *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &missing):
		return nil, fmt.Errorf("%w: private key %s has a passphrase, and none was given", ErrSource, s.KeyFile)
	case err != nil:
		return nil, fmt.Errorf("%w: private key %s: %w", ErrSource, s.KeyFile, err)
	}
	return signer, nil
}

func readSmallFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(data) > maxKeyFile {
		err = fmt.Errorf("%s: %w: more than %d bytes", name, ErrTooLarge, maxKeyFile)
	}
	return data, err
}

// hostKeys checks the server's key by the pin or by known hosts, and names the kinds
// of keys to ask the server for, none for all.
func (l *sshLogin) hostKeys() (check ssh.HostKeyCallback, kinds []string, err error) {
	verify := func(string, net.Addr, ssh.PublicKey) error { return errUnknownHost }
	switch {
	case l.src.Fingerprint != "":
		pin, err := parseHostKeyPin(l.src.Fingerprint)
		if err != nil {
			return nil, nil, err
		}
		verify = func(_ string, _ net.Addr, key ssh.PublicKey) error {
			if ssh.FingerprintSHA256(key) != pin {
				return fmt.Errorf("it is not the pinned one, %s", pin)
			}
			return nil
		}
	case l.src.KnownHosts != "":
		known, err := knownhosts.New(l.src.KnownHosts)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: known hosts: %w", ErrSource, err)
		}
		kinds = knownKinds(known, l.src.addr())
		verify = known
	}
	return func(host string, addr net.Addr, key ssh.PublicKey) error {
		if err := verify(host, addr, key); err != nil {
			l.refused = refuseHostKey(key, err)
			return l.refused
		}
		l.sent = true
		return nil
	}, kinds, nil
}

var errUnknownHost = errors.New("nothing says that it is the right one")

func refuseHostKey(key ssh.PublicKey, why error) error {
	shown := fmt.Sprintf("the server shows the host key %s (%s)", ssh.FingerprintSHA256(key), key.Type())
	var ke *knownhosts.KeyError
	if errors.Is(why, errUnknownHost) || errors.As(why, &ke) && len(ke.Want) == 0 {
		return fmt.Errorf("%w: %s; ask its administrator whether that is right, and then pin it with --fingerprint, or with --known-hosts FILE",
			ErrTLS, shown)
	}
	if ke != nil {
		why = errors.New("known hosts have another one")
	}
	return fmt.Errorf("%w: %s: %w; somebody may be in the line, or the server has a new key: ask its administrator", ErrTLS, shown, why)
}

// knownKinds are the algorithms of the keys that are known of a host. A server
// would else show its favourite one, which may be another.
func knownKinds(known ssh.HostKeyCallback, addr string) []string {
	var ke *knownhosts.KeyError
	if !errors.As(known(addr, &net.TCPAddr{IP: net.IPv4zero}, noKey{}), &ke) {
		return nil
	}
	var kinds []string
	for _, k := range ke.Want {
		algs := []string{k.Key.Type()}
		if k.Key.Type() == ssh.KeyAlgoRSA {
			algs = []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
		}
		for _, a := range algs {
			if !slices.Contains(kinds, a) {
				kinds = append(kinds, a)
			}
		}
	}
	return kinds
}

// noKey is a key that no host has.
type noKey struct{}

func (noKey) Type() string                        { return "none" }
func (noKey) Marshal() []byte                     { return []byte("none") }
func (noKey) Verify([]byte, *ssh.Signature) error { return errUnknownHost }
