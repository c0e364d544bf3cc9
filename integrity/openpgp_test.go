package integrity

import (
	"bytes"
	"crypto"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

const message = "0123456789abcdef  name\nfedcba9876543210  other\n"

func verify(k *Keyring, message string, sig []byte) (Signer, error) {
	return k.VerifyDetached(strings.NewReader(message), sig, time.Now())
}

func TestVerifyGenuineSignatures(t *testing.T) {
	g := newGnuPG(t)
	for _, algo := range []string{"ed25519", "rsa2048", "rsa3072", "nistp256", "brainpoolP256r1"} {
		t.Run(algo, func(t *testing.T) {
			uid := algo + " <a@example.org>"
			fp := g.generate(uid, algo, "sign", "1y")
			before := time.Now().Add(-time.Minute)
			for form, sig := range map[string][]byte{
				"binary":  g.sign(message, fp),
				"armored": g.sign(message, fp, "--armor"),
				"sha512":  g.sign(message, fp, "--digest-algo", "SHA512"),
			} {
				signer, err := verify(g.keyring(fp), message, sig)
				if err != nil {
					t.Fatalf("%s: %v", form, err)
				}
				if signer.Kind != "openpgp" || signer.Fingerprint != fp || signer.Key != fp || signer.Identity != uid {
					t.Errorf("%s: signer %+v, want key %s of %s", form, signer, fp, uid)
				}
				if signer.Created.Before(before) || signer.Created.After(time.Now()) {
					t.Errorf("%s: created %v", form, signer.Created)
				}
			}
		})
	}
}

func TestVerifySubkeySignature(t *testing.T) {
	g := newGnuPG(t)
	primary := g.generate("main", "ed25519", "cert", "1y")
	g.run("", "--quick-add-key", primary, "ed25519", "sign", "1y")
	sub := g.fingerprints("main")[1]
	sig := g.sign(message, sub+"!")
	signer, err := verify(g.keyring(primary), message, sig)
	if err != nil {
		t.Fatal(err)
	}
	if signer.Fingerprint != primary || signer.Key != sub {
		t.Errorf("signer %+v, want %s by subkey %s", signer, primary, sub)
	}

	ring, err := ReadKeyring(bytes.NewReader(g.export(primary)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ring.Pin(sub); !errors.Is(err, ErrUnknownKey) || !strings.Contains(err.Error(), primary) {
		t.Errorf("pinning a subkey: %v, want ErrUnknownKey that names the primary key", err)
	}
}

// A signature must not stop to verify because the signer extended the key's
// life afterwards, which replaces the self-signature by one that is newer.
func TestVerifySignatureOlderThanRenewal(t *testing.T) {
	g := newGnuPG(t)
	fp := g.generate("renewed", "ed25519", "sign", "1y", "--faked-system-time", "20200101T000000")
	sig := g.sign(message, fp, "--faked-system-time", "20200601T000000")
	if _, err := verify(g.keyring(fp), message, sig); !errors.Is(err, ErrExpiredKey) {
		t.Fatalf("before the renewal: %v, want ErrExpiredKey", err)
	}
	g.run("", "--quick-set-expire", fp, "1y")
	if _, err := verify(g.keyring(fp), message, sig); err != nil {
		t.Fatalf("after the renewal: %v", err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	g := newGnuPG(t)
	const y2020, y2021, y2050 = "20200101T000000", "20210101T000000", "20500101T000000"
	good := g.generate("good", "ed25519", "sign", "10y")
	stranger := g.generate("stranger", "ed25519", "sign", "1y")
	expired := g.generate("expired", "ed25519", "sign", "1y", "--faked-system-time", y2020)
	short := g.generate("short", "rsa1024", "sign", "1y")
	dsa := g.generate("dsa", "dsa2048", "sign", "1y")
	koblitz := g.generate("koblitz", "secp256k1", "sign", "1y")
	certOnly := g.generate("certifier", "ed25519", "cert", "1y")
	eternal := g.generate("eternal", "ed25519", "sign", "never", "--faked-system-time", y2020)

	binary := g.sign(message, good)
	md5 := bytes.Clone(binary)
	md5[bodyOffset(md5)+3] = 1

	tests := []struct {
		name string
		ring *Keyring
		sig  []byte
		want error
	}{
		{"unknown key", g.keyring(good), g.sign(message, stranger), ErrUnknownKey},
		{"no key at all", &Keyring{}, binary, ErrUnknownKey},
		{"expired key, signature from its lifetime", g.keyring(expired), g.sign(message, expired, "--faked-system-time", "20200601T000000"), ErrExpiredKey},
		{"RSA 1024", g.keyring(short), g.sign(message, short), ErrWeakKey},
		{"DSA", g.keyring(dsa), g.sign(message, dsa, "--digest-algo", "SHA256"), ErrWeakKey},
		{"secp256k1", g.keyring(koblitz), g.sign(message, koblitz), ErrWeakKey},
		{"SHA-1", g.keyring(good), g.sign(message, good, "--digest-algo", "SHA1"), ErrWeakHash},
		{"RIPEMD-160", g.keyring(good), g.sign(message, good, "--digest-algo", "RIPEMD160"), ErrWeakHash},
		{"MD5", g.keyring(good), md5, ErrWeakHash},
		{"text mode", g.keyring(good), g.sign(message, good, "--textmode"), ErrTextSignature},
		{"future", g.keyring(eternal), g.sign(message, eternal, "--faked-system-time", y2050), ErrFutureSignature},
		{"older than its key", g.keyring(good), g.sign(message, good, "--faked-system-time", y2021, "--ignore-time-conflict"), ErrBadSignature},
		{"expired signature", g.keyring(eternal), g.sign(message, eternal, "--faked-system-time", y2021, "--default-sig-expire", "1d"), ErrExpiredSignature},
		{"critical notation", g.keyring(good), g.sign(message, good, "--sig-notation", "!rule@example.org=1"), ErrUnsupportedSignature},
		{"other bytes", g.keyring(good), g.sign(message+"x", good), ErrBadSignature},
		{"clear-signed", g.keyring(good), g.run(message, "-u", good, "--clear-sign"), ErrMalformedSignature},
		{"inline signed", g.keyring(good), g.run(message, "-u", good, "--sign"), ErrMalformedSignature},
		{"a key in place of a signature", g.keyring(good), g.export(good), ErrMalformedSignature},
		{"a revocation in place of a signature", g.keyring(good), reArmor(g.revocation(good)), ErrMalformedSignature},
		{"empty", g.keyring(good), nil, ErrMalformedSignature},
		{"text", g.keyring(good), []byte("no signature\n"), ErrMalformedSignature},
		{"a lone 0xff", g.keyring(good), []byte{0xff}, ErrMalformedSignature},
		{"cut", g.keyring(good), binary[:len(binary)-5], ErrMalformedSignature},
		{"text before the armor", g.keyring(good), append([]byte("hello\n"), g.sign(message, good, "--armor")...), ErrMalformedSignature},
		{"text behind the armor", g.keyring(good), append(g.sign(message, good, "--armor"), "hello\n"...), ErrMalformedSignature},
		{"too large", g.keyring(good), bytes.Repeat([]byte{0x88}, MaxSignatureBytes+1), ErrSignatureTooLarge},
		{"too many", g.keyring(good), bytes.Repeat(binary, MaxSignatures+1), ErrSignatureTooLarge},
		{"key that may only certify", g.keyring(certOnly), reissue(t, binary, certOnly), ErrUnusableKey},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			signer, err := verify(test.ring, message, test.sig)
			if !errors.Is(err, test.want) {
				t.Errorf("signer %+v, error %v; want %v", signer, err, test.want)
			}
		})
	}
}

func TestVerifyRefusesRevokedKeys(t *testing.T) {
	g := newGnuPG(t)
	fp := g.generate("revoked", "ed25519", "sign", "1y")
	g.run("", "--quick-add-key", fp, "ed25519", "sign", "1y")
	sig := g.sign(message, fp+"!")
	key, rev := g.export(fp), g.revocation(fp)
	if _, err := verify(g.keyring(fp), message, sig); err != nil {
		t.Fatalf("before the revocation: %v", err)
	}
	g.run(string(rev), "--import")

	apart, err := ReadKeyring(bytes.NewReader(rev))
	if err != nil {
		t.Fatal(err)
	}
	joined, err := JoinKeyrings(mustKeyring(t, key, fp), apart)
	if err != nil {
		t.Fatal(err)
	}
	for name, ring := range map[string]*Keyring{
		"exported":                 g.keyring(fp),
		"appended to the key file": mustKeyring(t, append(bytes.Clone(key), rev...), fp),
		"before the key":           mustKeyring(t, append(bytes.Clone(rev), key...), fp),
		"in a file of its own":     joined,
	} {
		if _, err := verify(ring, message, sig); !errors.Is(err, ErrRevokedKey) {
			t.Errorf("%s: %v, want ErrRevokedKey", name, err)
		}
	}
	other := g.generate("other", "ed25519", "sign", "1y")
	mixed := mustKeyring(t, append(g.export(other), rev...), other)
	if _, err := verify(mixed, message, g.sign(message, other)); err != nil {
		t.Errorf("another key's revocation: %v", err)
	}
}

func TestVerifyRefusesSubkeys(t *testing.T) {
	g := newGnuPG(t)
	fp := g.generate("main", "ed25519", "cert", "never", "--faked-system-time", "20200101T000000")
	g.run("", "--faked-system-time", "20200102T000000", "--quick-add-key", fp, "ed25519", "sign", "1y")
	g.run("", "--quick-add-key", fp, "rsa1024", "sign", "1y")
	g.run("", "--quick-add-key", fp, "ed25519", "sign", "1y")
	subs := g.fingerprints("main")[1:]
	sigs := map[string][]byte{
		"expired": g.sign(message, subs[0]+"!", "--faked-system-time", "20200601T000000"),
		"weak":    g.sign(message, subs[1]+"!"),
		"revoked": g.sign(message, subs[2]+"!"),
	}
	if _, err := verify(g.keyring(fp), message, sigs["revoked"]); err != nil {
		t.Fatalf("before the revocation: %v", err)
	}
	// "superseded" is the mild reason: it too counts at now.
	g.command("key 3\nrevkey\ny\n2\n\ny\nsave\n", "gpg", "--no-tty", "--command-fd", "0",
		"--pinentry-mode", "loopback", "--passphrase", "", "--edit-key", fp)
	for name, want := range map[string]error{
		"expired": ErrExpiredKey, "weak": ErrWeakKey, "revoked": ErrRevokedKey,
	} {
		if _, err := verify(g.keyring(fp), message, sigs[name]); !errors.Is(err, want) {
			t.Errorf("%s subkey: %v, want %v", name, err, want)
		}
	}
}

// gpg makes neither of these: a subkey bound with SHA-1 and a version 6 key.
func TestVerifyLibraryKeys(t *testing.T) {
	bound := func(hash crypto.Hash) *packet.Config {
		return &packet.Config{
			Algorithm: packet.PubKeyAlgoEdDSA, DefaultHash: hash,
			NonDeterministicSignaturesViaNotation: new(bool),
		}
	}
	tests := []struct {
		name   string
		config *packet.Config
		subkey *packet.Config
		want   error
	}{
		{"subkey bound with SHA-256", bound(crypto.SHA256), bound(crypto.SHA256), nil},
		{"subkey bound with SHA-1", bound(crypto.SHA256), bound(crypto.SHA1), ErrWeakKey},
		{"version 6", &packet.Config{Algorithm: packet.PubKeyAlgoEd25519, V6Keys: true}, nil, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			entity, err := openpgp.NewEntity("name", "", "a@example.org", test.config)
			if err != nil {
				t.Fatal(err)
			}
			if test.subkey != nil {
				if err := entity.AddSigningSubkey(test.subkey); err != nil {
					t.Fatal(err)
				}
			}
			var key, sig bytes.Buffer
			if err := entity.Serialize(&key); err != nil {
				t.Fatal(err)
			}
			if err := openpgp.DetachSign(&sig, []*openpgp.Entity{entity}, strings.NewReader(message), nil); err != nil {
				t.Fatal(err)
			}
			fp := fingerprintText(entity.PrimaryKey.Fingerprint)
			signer, err := verify(mustKeyring(t, key.Bytes(), fp), message, sig.Bytes())
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if err == nil && (signer.Fingerprint != fp || (signer.Key == fp) != (test.subkey == nil)) {
				t.Errorf("signer %+v", signer)
			}
			if _, err := verify(mustKeyring(t, key.Bytes(), fp), message+"x", sig.Bytes()); err == nil {
				t.Error("other bytes are accepted")
			}
		})
	}
}

func TestVerifySeveralSignatures(t *testing.T) {
	g := newGnuPG(t)
	a := g.generate("a", "ed25519", "sign", "1y")
	b := g.generate("b", "rsa2048", "sign", "1y")
	both := g.sign(message, a, "-u", b)
	stacked := append(g.sign(message, a, "--armor"), g.sign(message, b, "--armor")...)
	bad := append(g.sign("other", a), g.sign(message, b)...)
	bothBad := append(g.sign("other", a), g.sign("another", b)...)
	textFirst := append(g.sign(message, a, "--textmode"), g.sign(message, a)...)
	tests := []struct {
		name string
		ring *Keyring
		sig  []byte
		by   string
		want []error
	}{
		{"first pinned", g.keyring(a), both, a, nil},
		{"second pinned", g.keyring(b), both, b, nil},
		{"two armored blocks", g.keyring(b), stacked, b, nil},
		{"bad one beside a good one", g.keyring(a, b), bad, b, nil},
		{"bad one beside a stranger's", g.keyring(a), bad, "", []error{ErrBadSignature, ErrUnknownKey}},
		{"all bad", g.keyring(a, b), bothBad, "", []error{ErrBadSignature}},
		{"text mode beside a good one", g.keyring(a), textFirst, a, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			signer, err := verify(test.ring, message, test.sig)
			if signer.Fingerprint != test.by || (err == nil) != (test.want == nil) {
				t.Fatalf("signer %+v, error %v", signer, err)
			}
			for _, want := range test.want {
				if !errors.Is(err, want) {
					t.Errorf("error %v, want also %v", err, want)
				}
			}
		})
	}
}

// Every part of a signature that means something is changed, bit by bit.
func TestVerifyRefusesMutatedSignature(t *testing.T) {
	g := newGnuPG(t)
	fp := g.generate("good", "ed25519", "sign", "1y")
	ring, sig := g.keyring(fp), g.sign(message, fp)
	body := bodyOffset(sig)
	hashed := int(sig[body+4])<<8 | int(sig[body+5])
	unhashedAt := body + 6 + hashed
	unhashed := int(sig[unhashedAt])<<8 | int(sig[unhashedAt+1])
	values := unhashedAt + 2 + unhashed + 2 + 2 // behind the hash tag and the first MPI's length
	refused := 0
	for i := body; i < len(sig); i++ {
		if i >= unhashedAt && i < values || i == values+32 || i == values+33 {
			continue // lengths and what is not signed: the meaning does not depend on them
		}
		for bit := range 8 {
			mutated := bytes.Clone(sig)
			mutated[i] ^= 1 << bit
			if _, err := verify(ring, message, mutated); err == nil {
				t.Errorf("bit %d of byte %d flipped, and it is accepted", bit, i-body)
			}
			refused++
		}
	}
	if refused < 500 {
		t.Errorf("only %d mutations tried", refused)
	}
}

func TestVerifyRefusesMutatedMessage(t *testing.T) {
	g := newGnuPG(t)
	fp := g.generate("good", "ed25519", "sign", "1y")
	ring, sig := g.keyring(fp), g.sign(message, fp)
	mutations := map[string]string{
		"empty":              "",
		"first byte":         "1" + message[1:],
		"last byte gone":     message[:len(message)-1],
		"newline added":      message + "\n",
		"NUL added":          message + "\x00",
		"CRLF":               strings.ReplaceAll(message, "\n", "\r\n"),
		"CR":                 strings.ReplaceAll(message, "\n", "\r"),
		"upper case":         strings.ToUpper(message),
		"twice":              message + message,
		"blank at line end":  strings.ReplaceAll(message, "\n", " \n"),
		"byte order mark":    "\xef\xbb\xbf" + message,
		"lines exchanged":    message[len(message)/2:] + message[:len(message)/2],
		"line in front":      "0000  evil\n" + message,
		"one blank, not two": strings.ReplaceAll(message, "  ", " "),
	}
	for name, text := range mutations {
		if _, err := verify(ring, text, sig); !errors.Is(err, ErrBadSignature) {
			t.Errorf("%s: %v, want ErrBadSignature", name, err)
		}
	}
}

type brokenReader struct{ err error }

func (r brokenReader) Read([]byte) (int, error) { return 0, r.err }

func TestVerifyReadError(t *testing.T) {
	g := newGnuPG(t)
	fp := g.generate("good", "ed25519", "sign", "1y")
	broken := errors.New("broken")
	_, err := g.keyring(fp).VerifyDetached(brokenReader{broken}, g.sign(message, fp), time.Now())
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want the reader's", err)
	}
}

func TestVerifyConcurrently(t *testing.T) {
	g := newGnuPG(t)
	fp := g.generate("good", "ed25519", "sign", "1y")
	ring, sig := g.keyring(fp), g.sign(message, fp)
	done := make(chan error, 8)
	for range cap(done) {
		go func() {
			_, err := verify(ring, message, sig)
			done <- err
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestReadKeyringRefuses(t *testing.T) {
	g := newGnuPG(t)
	fp := g.generate("good", "ed25519", "sign", "1y")
	before := g.export(fp)
	g.run("", "--quick-add-uid", fp, "second")
	tests := map[string][]byte{
		"empty":               nil,
		"text":                []byte("hello\n"),
		"secret key":          g.run("", "--armor", "--export-secret-keys", fp),
		"secret key, binary":  g.run("", "--export-secret-keys", fp),
		"signature":           g.sign(message, fp, "--armor"),
		"cut":                 before[:len(before)/2],
		"two unlike copies":   append(before, g.export(fp)...),
		"binary noise":        bytes.Repeat([]byte{0xc0, 0x01}, 100),
		"larger than allowed": bytes.Repeat([]byte("x"), MaxKeyringBytes+1),
	}
	for name, data := range tests {
		if _, err := ReadKeyring(bytes.NewReader(data)); !errors.Is(err, ErrKeyring) {
			t.Errorf("%s: %v, want ErrKeyring", name, err)
		}
	}
	broken := errors.New("broken")
	if _, err := ReadKeyring(brokenReader{broken}); !errors.Is(err, broken) {
		t.Errorf("error %v, want the reader's", err)
	}
}

func TestPin(t *testing.T) {
	g := newGnuPG(t)
	a := g.generate("a", "ed25519", "sign", "1y")
	b := g.generate("b", "ed25519", "sign", "1y")
	ring, err := ReadKeyring(bytes.NewReader(g.run("", "--export", a, b)))
	if err != nil {
		t.Fatal(err)
	}
	if got := ring.Fingerprints(); len(got) != 2 {
		t.Errorf("%v, want two keys", got)
	}
	spaced := strings.ToLower(a[:4] + " " + a[4:])
	pinned, err := ring.Pin(spaced, a)
	if err != nil {
		t.Fatal(err)
	}
	if got := pinned.Fingerprints(); len(got) != 1 || got[0] != a {
		t.Errorf("%v, want only %s", got, a)
	}
	if _, err := verify(pinned, message, g.sign(message, b)); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a key that is there but not pinned: %v", err)
	}
	for _, bad := range []string{"", a[24:], a[:39], a + "00", strings.Repeat("g", 40), "0x" + a} {
		if _, err := ring.Pin(bad); !errors.Is(err, ErrFingerprint) {
			t.Errorf("pin %q: %v, want ErrFingerprint", bad, err)
		}
	}
	if _, err := ring.Pin(strings.Repeat("A", 40)); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a pin that is not there: %v, want ErrUnknownKey", err)
	}
}

func FuzzVerifyDetached(f *testing.F) {
	f.Add([]byte{0x88, 0x75, 4, 0, 22, 8, 0, 0, 0, 0})
	f.Add([]byte("-----BEGIN PGP SIGNATURE-----\n\niHUE\n-----END PGP SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, sig []byte) {
		if _, err := verify(&Keyring{}, message, sig); err == nil {
			t.Error("accepted without any key")
		}
	})
}

func FuzzReadKeyring(f *testing.F) {
	f.Add([]byte{0x98, 0x33, 4, 0, 0, 0, 0, 22})
	f.Add([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDME\n-----END PGP PUBLIC KEY BLOCK-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		ring, err := ReadKeyring(bytes.NewReader(data))
		if err == nil {
			_, _ = ring.Pin(ring.Fingerprints()...)
		}
	})
}

// bodyOffset is the length of a packet's header (RFC 9580, section 4.2).
func bodyOffset(packet []byte) int {
	if packet[0]&0x40 == 0 {
		return 1 + 1<<(packet[0]&3)
	}
	return 2
}

// reArmor makes a revocation certificate look like a signature.
func reArmor(data []byte) []byte {
	data = bytes.ReplaceAll(data, []byte("PUBLIC KEY BLOCK"), []byte("SIGNATURE"))
	return data[bytes.Index(data, []byte("-----BEGIN")):]
}

// reissue writes another key's fingerprint into a signature's issuer field.
func reissue(t *testing.T, sig []byte, fingerprint string) []byte {
	t.Helper()
	fp, err := ParseDigest("sha1:" + fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	sig = bytes.Clone(sig)
	at := bytes.Index(sig, []byte{33, 4}) // issuer fingerprint subpacket, key version 4
	if at < 0 {
		t.Fatal("no issuer fingerprint in the signature")
	}
	copy(sig[at+2:], fp.Sum)
	return sig
}
