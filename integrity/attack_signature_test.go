package integrity

import (
	"bytes"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// The attacks that every kind of signature must withstand.

func TestAttackSignatureCutAtEveryByte(t *testing.T) {
	for _, f := range realFixtures(t) {
		whole := len(bytes.TrimRight(f.sig, "\r\n")) // the end of the last line may be missing
		if f.sig[len(f.sig)-1] != '\n' || f.name == "signify embedded" {
			whole = len(f.sig)
		}
		for n := range whole {
			if text, _, err := f.verify(f.message, f.sig[:n:n]); err == nil {
				t.Errorf("%s: cut at byte %d of %d, and accepted as %q", f.name, n, len(f.sig), text)
			}
		}
	}
}

func TestAttackEveryBitOfSignatureFlipped(t *testing.T) {
	for _, f := range realFixtures(t) {
		if f.name == "cms rsa" || f.name == "cms smime" {
			continue // as those with RSA-PSS and ECDSA, at much cost
		}
		sig, flipped := bytes.Clone(f.sig), 0
		for i := range sig {
			if f.open(i) {
				continue
			}
			for bit := range 8 {
				sig[i] ^= 1 << bit
				if text, _, err := f.verify(f.message, sig); err == nil {
					t.Errorf("%s: bit %d of byte %d of %d flipped, and accepted as %q", f.name, bit, i, len(sig), text)
				}
				sig[i] ^= 1 << bit
				flipped++
			}
		}
		if flipped < 900 && f.name != "openpgp armored" {
			t.Errorf("%s: only %d bits flipped", f.name, flipped)
		}
	}
}

func TestAttackLineEndingsChanged(t *testing.T) {
	for _, f := range realFixtures(t) {
		if f.clear {
			continue // they have tests of their own
		}
		for name, text := range map[string]string{
			"CRLF":              strings.ReplaceAll(f.message, "\n", "\r\n"),
			"CR":                strings.ReplaceAll(f.message, "\n", "\r"),
			"last one gone":     strings.TrimSuffix(f.message, "\n"),
			"one more":          f.message + "\n",
			"blank at line end": strings.ReplaceAll(f.message, "\n", " \n"),
			"NEL":               strings.ReplaceAll(f.message, "\n", "\u0085"),
		} {
			if _, _, err := f.verify(text, f.sig); !errors.Is(err, ErrBadSignature) {
				t.Errorf("%s: %s: %v, want ErrBadSignature", f.name, name, err)
			}
		}
	}
}

// zeros is an endless file that counts what is read of it.
type zeros struct{ left, read int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.left))
	clear(p[:n])
	z.left -= int64(n)
	z.read += int64(n)
	return n, nil
}

// allocated measures the bytes that a function allocates.
func allocated(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

func TestAttackSignatureOfOneGigabyte(t *testing.T) {
	const gigabyte = 1 << 30
	file := &zeros{left: gigabyte}
	var err error
	used := allocated(func() { _, err = ReadSignature(file) })
	if !errors.Is(err, ErrSignatureTooLarge) {
		t.Errorf("error %v, want ErrSignatureTooLarge", err)
	}
	if file.read > MaxSignatureBytes+1 || used > 1<<20 {
		t.Errorf("%d bytes read and %d allocated", file.read, used)
	}
	for _, f := range realFixtures(t) {
		if f.clear {
			file := &zeros{left: gigabyte}
			used := allocated(func() {
				_, _, err = f.anchors.(TextAnchors).VerifyClearSigned(file, time.Now())
			})
			if !errors.Is(err, ErrMessageTooLarge) || file.read > MaxClearSignedBytes+1 || used > 4*MaxClearSignedBytes {
				t.Errorf("%s: %d bytes read and %d allocated, error %v", f.name, file.read, used, err)
			}
			continue
		}
		long := make([]byte, MaxSignatureBytes+1)
		used := allocated(func() { _, _, err = f.verify(f.message, long) })
		if !errors.Is(err, ErrSignatureTooLarge) || used > 1<<20 {
			t.Errorf("%s: %d bytes allocated, error %v", f.name, used, err)
		}
	}
}

// A message that must be held in memory is not held for ever.
func TestAttackEndlessMessage(t *testing.T) {
	for _, f := range edFixtures(newTools(t)) {
		if f.name == "minisign" || f.clear {
			continue
		}
		message := &zeros{left: 1 << 40}
		_, err := f.anchors.VerifyDetached(message, f.sig, time.Now())
		if !errors.Is(err, ErrMessageTooLarge) || message.read > MaxHeldMessageBytes+1 {
			t.Errorf("%s: %d bytes read, error %v", f.name, message.read, err)
		}
	}
}

// A message is not read for a signature that cannot count.
func TestAttackMessageReadForNothing(t *testing.T) {
	for _, f := range realFixtures(t) {
		if f.clear {
			continue
		}
		message := &zeros{left: 1 << 40}
		_, err := f.anchors.VerifyDetached(message, f.again, time.Now())
		if err == nil || message.read > 0 {
			t.Errorf("%s: %d bytes read, error %v", f.name, message.read, err)
		}
	}
}

func TestAttackKeyNotPinned(t *testing.T) {
	for _, f := range realFixtures(t) {
		if _, _, err := f.verify(f.message, f.again); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("%s: error %v, want ErrUnknownKey", f.name, err)
		}
	}
}

func TestAttackKeyRevokedByConfiguration(t *testing.T) {
	for _, f := range realFixtures(t) {
		_, signer, err := f.verify(f.message, f.sig)
		if err != nil {
			t.Fatal(err)
		}
		names := []string{signer.Fingerprint}
		if signer.Kind == KindCMS {
			names = append(names, signer.Key)
		}
		for _, name := range names {
			revoked := f
			list, err := parsePins(signer.Kind, []string{name})
			if err != nil {
				t.Fatal(err)
			}
			revoked.anchors = revoke(f.anchors, list)
			if text, _, err := revoked.verify(f.message, f.sig); !errors.Is(err, ErrRevokedKey) || f.clear && text != "" {
				t.Errorf("%s: %q, error %v, want ErrRevokedKey", f.name, text, err)
			}
		}
	}
}

// A signature of one kind never counts for another.
func TestAttackSignatureOfAnotherKind(t *testing.T) {
	list := realFixtures(t)
	for _, f := range list {
		for _, g := range list {
			if f.anchors == g.anchors || strings.HasPrefix(f.name, "sshsig") && strings.HasPrefix(g.name, "sshsig") {
				continue
			}
			if _, _, err := f.verify(f.message, g.sig); err == nil {
				t.Errorf("%s accepts %s", f.name, g.name)
			}
		}
	}
}

func TestReadBounded(t *testing.T) {
	const limit = 10_000
	for _, n := range []int{0, 1, 4095, 4096, 4097, limit - 1, limit, limit + 1, 3 * limit} {
		data := bytes.Repeat([]byte("x"), n)
		for name, r := range map[string]io.Reader{
			"whole": bytes.NewReader(data), "byte by byte": iotest.OneByteReader(bytes.NewReader(data)),
			"end with data": iotest.DataErrReader(bytes.NewReader(data)),
		} {
			got, err := readBounded(r, limit, ErrMessageTooLarge)
			if n > limit && !errors.Is(err, ErrMessageTooLarge) || n <= limit && (err != nil || !bytes.Equal(got, data)) {
				t.Errorf("%d bytes, %s: %d read, error %v", n, name, len(got), err)
			}
		}
	}
	if _, err := readBounded(idleReader{}, limit, ErrMessageTooLarge); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader that gives nothing: %v", err)
	}
}

type idleReader struct{}

func (idleReader) Read([]byte) (int, error) { return 0, nil }

func TestReadErrorOfMessage(t *testing.T) {
	broken := errors.New("broken")
	for _, f := range realFixtures(t) {
		var err error
		if f.clear {
			_, _, err = f.anchors.(TextAnchors).VerifyClearSigned(brokenReader{broken}, time.Now())
		} else {
			_, err = f.anchors.VerifyDetached(brokenReader{broken}, f.sig, time.Now())
		}
		if !errors.Is(err, broken) || errors.Is(err, ErrBadSignature) {
			t.Errorf("%s: error %v, want the reader's", f.name, err)
		}
	}
}

func TestVerifyAllKindsConcurrently(t *testing.T) {
	for _, f := range realFixtures(t) {
		done := make(chan error, 4)
		for range cap(done) {
			go func() {
				_, _, err := f.verify(f.message, f.sig)
				done <- err
			}()
		}
		for range cap(done) {
			if err := <-done; err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
		}
	}
}

// Line ends of the signature file itself mean nothing: it may have come through
// a text-mode transfer.
func TestSignatureFilesWithCRLF(t *testing.T) {
	for _, f := range realFixtures(t) {
		if bytes.IndexByte(f.sig, 0) >= 0 || f.name == "signify embedded" {
			continue
		}
		crlf := bytes.ReplaceAll(f.sig, []byte("\n"), []byte("\r\n"))
		if text, _, err := f.verify(f.message, crlf); err != nil || text != f.message {
			t.Errorf("%s: %q, error %v", f.name, text, err)
		}
	}
}

func TestReadAnchorsRefuses(t *testing.T) {
	r := newTools(t)
	mini, ssh, cert := r.minisignKey("mini"), r.sshKey("ssh", "-t", "ed25519"), r.ecAuthority("ca")
	pin := strings.Split(string(mini), "\n")[1]
	tests := []struct {
		name string
		c    AnchorConfig
		want error
	}{
		{"no kind", AnchorConfig{}, ErrKeyring},
		{"unknown kind", AnchorConfig{Kind: "pgp", Files: file("k", mini)}, ErrKeyring},
		{"openpgp without pins", AnchorConfig{Kind: KindOpenPGP}, ErrKeyring},
		{"minisign without keys", AnchorConfig{Kind: KindMinisign}, ErrKeyring},
		{"minisign of an empty file", AnchorConfig{Kind: KindMinisign, Files: file("k", nil)}, ErrKeyring},
		{"minisign secret key", AnchorConfig{Kind: KindMinisign, Files: file("k", r.read("mini.key"))}, ErrKeyring},
		{"minisign pin cut", AnchorConfig{Kind: KindMinisign, Pins: []string{pin[:55]}}, ErrFingerprint},
		{"minisign pin by key id", AnchorConfig{Kind: KindMinisign, Pins: []string{"E7620F1842B4E81F"}}, ErrFingerprint},
		{"minisign pin not in files", AnchorConfig{Kind: KindMinisign, Files: file("k", r.minisignKey("other")), Pins: []string{pin}}, ErrUnknownKey},
		{"signify with a namespace", AnchorConfig{Kind: KindSignify, Pins: []string{pin}, Namespace: "file"}, ErrKeyring},
		{"signify with usages", AnchorConfig{Kind: KindSignify, Pins: []string{pin}, Usages: []string{"codeSigning"}}, ErrKeyring},
		{"sshsig without signers", AnchorConfig{Kind: KindSSH, Files: file("k", []byte("# none\n"))}, ErrKeyring},
		{"sshsig pin", AnchorConfig{Kind: KindSSH, Files: file("k", []byte("* "+ssh)), Pins: []string{"MD5:00"}}, ErrFingerprint},
		{"sshsig pin not in files", AnchorConfig{Kind: KindSSH, Files: file("k", []byte("* "+ssh)), Pins: []string{"SHA256:" + strings.Repeat("A", 43)}}, ErrUnknownKey},
		{"cms without certificates", AnchorConfig{Kind: KindCMS}, ErrKeyring},
		{"cms of text", AnchorConfig{Kind: KindCMS, Files: file("k", []byte("hello"))}, ErrKeyring},
		{"cms private key", AnchorConfig{Kind: KindCMS, Files: file("k", append(bytes.Clone(cert), r.read("ca.key")...))}, ErrKeyring},
		{"cms broken block", AnchorConfig{Kind: KindCMS, Files: file("k", append(bytes.Clone(cert), bytes.Replace(cert, []byte("M"), []byte("*"), 1)...))}, ErrKeyring},
		{"cms unknown usage", AnchorConfig{Kind: KindCMS, Files: file("k", cert), Usages: []string{"email"}}, ErrKeyring},
		{"cms SHA-1 pin", AnchorConfig{Kind: KindCMS, Pins: []string{strings.Repeat("0", 40)}}, ErrFingerprint},
		{"revoked malformed", AnchorConfig{Kind: KindCMS, Files: file("k", cert), Revoked: []string{"x"}}, ErrFingerprint},
		{"too large", AnchorConfig{Kind: KindMinisign, Files: file("k", make([]byte, MaxKeyringBytes+1))}, ErrKeyring},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, err := ReadAnchors(test.c)
			if !errors.Is(err, test.want) || a != nil {
				t.Errorf("anchors %v, error %v; want %v", a, err, test.want)
			}
		})
	}
}

func TestReadAnchorsPins(t *testing.T) {
	r := newTools(t)
	a, b := r.minisignKey("a"), r.minisignKey("b")
	pinA := strings.Split(string(a), "\n")[1]
	both := append(bytes.Clone(a), b...)
	for name, c := range map[string]AnchorConfig{
		"pin alone":     {Kind: KindMinisign, Pins: []string{pinA}},
		"pin and files": {Kind: KindMinisign, Files: file("both.pub", both), Pins: []string{pinA}},
		"one revoked":   {Kind: KindMinisign, Files: file("both.pub", both), Revoked: []string{strings.Split(string(b), "\n")[1]}},
	} {
		anchors := mustAnchors(t, c)
		if got := anchors.Fingerprints(); len(got) != 1 || got[0] != pinA {
			t.Errorf("%s: fingerprints %q, want %q", name, got, pinA)
		}
		if _, err := anchors.VerifyDetached(strings.NewReader(message), r.minisign("a", message), time.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := anchors.VerifyDetached(strings.NewReader(message), r.minisign("b", message), time.Now()); err == nil {
			t.Errorf("%s: the other key is accepted", name)
		}
	}
	if n := len(mustAnchors(t, AnchorConfig{Kind: KindMinisign, Files: file("both.pub", both)}).Fingerprints()); n != 2 {
		t.Errorf("%d keys of two", n)
	}
}
