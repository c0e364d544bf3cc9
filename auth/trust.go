package auth

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"gateway/config"
)

// Trust holds the authorities whose certificates log users in, and the keys and certificates that are
// revoked. The files are read again when they have changed; while one of them cannot
// be used, no key and no certificate is accepted. Safe for concurrent use.
type Trust struct {
	authorities *reread[[]ssh.PublicKey] // nil: no certificates
	revoked     *reread[revocations]     // nil: none
	now         func() time.Time
}

// Reasons why a key or certificate is refused; they wrap ErrCredentials.
var (
	errRevoked     = fmt.Errorf("%w: it is revoked", ErrCredentials)
	errAuthority   = fmt.Errorf("%w: no authority is configured that signed the certificate", ErrCredentials)
	errCertificate = fmt.Errorf("%w: certificate", ErrCredentials)
)

// NewTrust reads the files, and fails with a [config.Error] where one has a mistake.
//
// userCA has the public keys of the authorities for user certificates, one a line as in authorized_keys,
// without options; with "" there are none. revoked has what is revoked: lines of a public key, of "SHA256:..."
// (the fingerprint of a key, also of one in a certificate or of an authority), of "serial: N" or "serial: N-M",
// and of "id: KEY-ID" (both of certificates of any authority); with "" nothing is. Empty lines and those that
// begin with # do not count.
func NewTrust(userCA, revoked string) (*Trust, error) {
	t := &Trust{now: time.Now}
	if userCA != "" {
		t.authorities = &reread[[]ssh.PublicKey]{file: userCA, parse: parseAuthorities}
		if _, err := t.authorities.get(); err != nil {
			return nil, err
		}
	}
	if revoked != "" {
		t.revoked = &reread[revocations]{file: revoked, parse: parseRevocations}
		if _, err := t.revoked.get(); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// usable fails with errRevoked for a revoked key or certificate, or because the list cannot be used.
func (t *Trust) usable(key ssh.PublicKey) error {
	if t == nil || t.revoked == nil {
		return nil
	}
	list, err := t.revoked.get()
	if err != nil {
		return err
	}
	if list.has(key) {
		return errRevoked
	}
	return nil
}

// authority fails with errAuthority where the authority of a certificate is not one any more.
func (t *Trust) authority(cert *ssh.Certificate) error {
	if t == nil || t.authorities == nil {
		return errAuthority
	}
	authorities, err := t.authorities.get()
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(authorities, func(a ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), cert.SignatureKey.Marshal()) }) {
		return errAuthority
	}
	return nil
}

// certificate checks a user certificate for a user who comes from an address
// (PROTOCOL.certkeys of OpenSSH). It has to name the user as a principal: one without
// principals is good for everybody, and for nobody here. Of critical options only source-address is known.
func (t *Trust) certificate(user string, from netip.Addr, cert *ssh.Certificate) error {
	if t == nil || t.authorities == nil {
		return errAuthority
	}
	authorities, err := t.authorities.get()
	if err != nil {
		return err
	}
	if len(cert.ValidPrincipals) == 0 || slices.Contains(cert.ValidPrincipals, "") {
		return fmt.Errorf("%w: it names no principals, or an empty one", errCertificate)
	}
	if cert.Signature == nil || !slices.Contains(ssh.SupportedAlgorithms().PublicKeyAuths, cert.Signature.Format) {
		return fmt.Errorf("%w: it is signed in a way that is not safe", errCertificate)
	}
	checker := &ssh.CertChecker{
		IsUserAuthority: func(key ssh.PublicKey) bool {
			return slices.ContainsFunc(authorities, func(a ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), key.Marshal()) })
		},
		IsHostAuthority:          func(ssh.PublicKey, string) bool { return false }, // none is asked for one here
		SupportedCriticalOptions: []string{sourceAddress},
		Clock:                    t.now,
	}
	switch {
	case cert.CertType != ssh.UserCert:
		return fmt.Errorf("%w: it is not one of a user", errCertificate)
	case !checker.IsUserAuthority(cert.SignatureKey):
		return errAuthority
	}
	if err := checker.CheckCert(user, cert); err != nil {
		return fmt.Errorf("%w: %w", errCertificate, err)
	}
	return allowedSource(cert, from)
}

const sourceAddress = "source-address"

// allowedSource holds the address against the certificate's source-address: a list of addresses and
// networks. One that cannot be read allows nobody.
func allowedSource(cert *ssh.Certificate, from netip.Addr) error {
	list, restricted := cert.CriticalOptions[sourceAddress]
	if !restricted {
		return nil
	}
	for entry := range strings.SplitSeq(list, ",") {
		if addr, err := netip.ParseAddr(entry); err == nil && addr.Unmap() == from.Unmap() {
			return nil
		}
		if network, err := netip.ParsePrefix(entry); err == nil && network.Contains(from.Unmap()) {
			return nil
		}
	}
	return fmt.Errorf("%w: it is not for the address %s", errCertificate, from)
}

// parseAuthorities reads the public keys of authorities.
func parseAuthorities(file string, data []byte) ([]ssh.PublicKey, error) {
	var keys []ssh.PublicKey
	for n, line := range significantLines(data) {
		key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
		if err != nil || len(options) > 0 || isCertificate(key) {
			return nil, &config.Error{File: file, Line: n, Msg: "it is not a public key; write a line such as \"ssh-ed25519 AAAA... comment\", without options"}
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, &config.Error{File: file, Msg: "there is no key in it; write one a line, or leave sftp.user_ca out"}
	}
	return keys, nil
}

// revocations is a revocation list.
type revocations struct {
	fingerprints map[string]bool // SHA256:...
	serials      [][2]uint64     // from, to
	ids          map[string]bool
}

// has reports whether a key is revoked, or a certificate in any way.
func (r revocations) has(key ssh.PublicKey) bool {
	if r.fingerprints[ssh.FingerprintSHA256(key)] {
		return true
	}
	cert, ok := key.(*ssh.Certificate)
	if !ok {
		return false
	}
	return r.fingerprints[ssh.FingerprintSHA256(cert.Key)] || r.fingerprints[ssh.FingerprintSHA256(cert.SignatureKey)] || r.ids[cert.KeyId] ||
		slices.ContainsFunc(r.serials, func(s [2]uint64) bool { return s[0] <= cert.Serial && cert.Serial <= s[1] })
}

// parseRevocations reads a revocation list.
func parseRevocations(file string, data []byte) (revocations, error) {
	r := revocations{fingerprints: map[string]bool{}, ids: map[string]bool{}}
	for n, line := range significantLines(data) {
		if !r.add(line) {
			return r, &config.Error{File: file, Line: n, Msg: "it is neither a public key nor one of SHA256:FINGERPRINT, serial: N, serial: N-M, id: KEY-ID; correct or remove the line"}
		}
	}
	return r, nil
}

func (r *revocations) add(line string) bool {
	if strings.HasPrefix(line, "SHA256:") {
		r.fingerprints[line] = true
		return len(line) == len("SHA256:")+43 // 32 bytes in base64 without padding
	}
	if id, ok := strings.CutPrefix(line, "id:"); ok {
		r.ids[strings.TrimSpace(id)] = true
		return true
	}
	if serial, ok := strings.CutPrefix(line, "serial:"); ok {
		first, last, ranged := strings.Cut(strings.TrimSpace(serial), "-")
		if !ranged {
			last = first
		}
		from, err1 := strconv.ParseUint(first, 10, 64)
		to, err2 := strconv.ParseUint(last, 10, 64)
		r.serials = append(r.serials, [2]uint64{from, to})
		return err1 == nil && err2 == nil && from <= to
	}
	key, _, options, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil || len(options) > 0 {
		return false
	}
	r.fingerprints[ssh.FingerprintSHA256(key)] = true
	return true
}

func isCertificate(key ssh.PublicKey) bool {
	_, ok := key.(*ssh.Certificate)
	return ok
}

// significantLines yields the lines that are neither empty nor comments, with their numbers.
func significantLines(data []byte) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		n := 0
		for line := range strings.Lines(string(data)) {
			n++
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' && !yield(n, line) {
				return
			}
		}
	}
}

// reread is what a file says, read again when the file has changed.
type reread[T any] struct {
	file  string
	parse func(file string, data []byte) (T, error)

	mu    sync.Mutex
	known fs.FileInfo
	value T
	err   error
}

// get returns what the file says now.
func (r *reread[T]) get() (T, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := os.Stat(r.file)
	if err != nil {
		r.known = nil
		return *new(T), err
	}
	if r.known != nil && os.SameFile(r.known, info) && r.known.ModTime().Equal(info.ModTime()) && r.known.Size() == info.Size() {
		return r.value, r.err
	}
	data, err := readRegular(r.file)
	if err == nil && len(data) > config.MaxFile {
		err = &config.Error{File: r.file, Msg: fmt.Sprintf("the file is larger than %d bytes", config.MaxFile)}
	}
	if err != nil {
		return *new(T), err
	}
	r.known = info
	r.value, r.err = r.parse(r.file, data)
	return r.value, r.err
}

// unusable reports whether err is about the files of a Trust, and so the operator's business.
func unusable(err error) bool { return err != nil && !errors.Is(err, ErrCredentials) }
