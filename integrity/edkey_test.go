package integrity

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
	"golang.org/x/crypto/blake2b"
)

// edPair is a key pair made here, for signatures that no program would make.
type edPair struct {
	id   uint64
	key  ed25519.PrivateKey
	text string
}

func newEdPair(id uint64, seed byte) edPair {
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	p := edPair{id: id, key: key}
	p.text = p.line("Ed", key.Public().(ed25519.PublicKey))
	return p
}

func (p edPair) line(algorithm string, value []byte) string {
	head := binary.LittleEndian.AppendUint64([]byte(algorithm), p.id)
	return base64.StdEncoding.EncodeToString(append(head, value...))
}

// minisig signs what is given for the message: the digest, if prehashed.
func (p edPair) minisig(algorithm, signed, comment string) []byte {
	sig := ed25519.Sign(p.key, []byte(signed))
	global := ed25519.Sign(p.key, append(bytes.Clone(sig), comment...))
	return fmt.Appendf(nil, "untrusted comment: x\n%s\ntrusted comment: %s\n%s\n",
		p.line(algorithm, sig), comment, base64.StdEncoding.EncodeToString(global))
}

func (p edPair) signify(message string) []byte {
	return fmt.Appendf(nil, "untrusted comment: x\n%s\n", p.line("Ed", ed25519.Sign(p.key, []byte(message))))
}

func digest64(s string) string {
	sum := blake2b.Sum512([]byte(s))
	return string(sum[:])
}

func (p edPair) minisignKeys(t *testing.T, others ...edPair) Anchors {
	t.Helper()
	pins := []string{p.text}
	for _, o := range others {
		pins = append(pins, o.text)
	}
	return mustAnchors(t, AnchorConfig{Kind: KindMinisign, Pins: pins})
}

func TestMinisignComments(t *testing.T) {
	p := newEdPair(0xE7620F1842B4E81F, 1)
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	stamp := func(seconds int64) string { return fmt.Sprintf("timestamp:%d", seconds) }
	tests := []struct {
		comment string
		created time.Time
		want    error
	}{
		{stamp(now.Unix()) + "\tfile:x\thashed", now, nil},
		{"file:x\t" + stamp(1), time.Unix(1, 0).UTC(), nil},
		{stamp(now.Unix() + 1), time.Time{}, ErrFutureSignature},
		{"", time.Time{}, nil},
		{"release 7", time.Time{}, nil},
		{"timestamp:x", time.Time{}, nil},
		{"timestamp:-1", time.Time{}, nil},
		{"timestamp:99999999999999999999", time.Time{}, nil},
		{"timestamp:253402300800", time.Time{}, nil},
		{"about timestamp:5", time.Time{}, nil},
	}
	for _, test := range tests {
		sig := p.minisig("ED", digest64(message), test.comment)
		signer, err := p.minisignKeys(t).VerifyDetached(strings.NewReader(message), sig, now)
		if !errors.Is(err, test.want) {
			t.Errorf("%q: error %v, want %v", test.comment, err, test.want)
			continue
		}
		if err == nil && (signer.Comment != test.comment || !signer.Created.Equal(test.created) || signer.Key != "E7620F1842B4E81F") {
			t.Errorf("%q: signer %+v", test.comment, signer)
		}
	}
}

func TestAttackMinisignTrustedComment(t *testing.T) {
	p, other := newEdPair(7, 1), newEdPair(7, 2)
	good := string(p.minisig("ED", digest64(message), "timestamp:1\tfile:name"))
	lines := strings.Split(good, "\n")
	alien := strings.Split(string(other.minisig("ED", digest64(message), "timestamp:1\tfile:name")), "\n")
	older := strings.Split(string(p.minisig("ED", digest64("older"), "timestamp:9")), "\n")
	keys := p.minisignKeys(t, other)
	for name, sig := range map[string]string{
		"changed":               strings.Replace(good, "file:name", "file:evil", 1),
		"blank at its end":      strings.Replace(good, "file:name", "file:name ", 1),
		"of another message":    strings.Join([]string{lines[0], lines[1], older[2], older[3], ""}, "\n"),
		"by another pinned key": strings.Join([]string{lines[0], lines[1], alien[2], alien[3], ""}, "\n"),
	} {
		if _, err := keys.VerifyDetached(strings.NewReader(message), []byte(sig), time.Now()); !errors.Is(err, ErrBadSignature) {
			t.Errorf("%s: error %v, want ErrBadSignature", name, err)
		}
	}
	// Two keys may have the same id: both are tried.
	for _, k := range []edPair{p, other} {
		signer, err := keys.VerifyDetached(strings.NewReader(message), k.minisig("ED", digest64(message), ""), time.Now())
		if err != nil || signer.Fingerprint != k.text {
			t.Errorf("signer %+v, error %v", signer, err)
		}
	}
}

func TestAttackMinisignUntrustedComment(t *testing.T) {
	p := newEdPair(7, 1)
	sig := bytes.Replace(p.minisig("ED", digest64(message), ""), []byte(": x"), []byte(": timestamp:9\tby a@example.org"), 1)
	signer, err := p.minisignKeys(t).VerifyDetached(strings.NewReader(message), sig, time.Now())
	if err != nil || signer.Comment != "" || signer.Identity != "" || !signer.Created.IsZero() {
		t.Errorf("signer %+v, error %v; want nothing of the untrusted comment", signer, err)
	}
}

// Whoever delivers a prehashed signature can call it legacy, and then it is
// over the digest's 64 bytes.
func TestAttackMinisignDigestAsFile(t *testing.T) {
	p := newEdPair(7, 1)
	sig := p.minisig("Ed", digest64(message), "timestamp:1\tfile:name\thashed")
	if !minisign.Verify(mustMinisignKey(t, p.text), []byte(digest64(message)), sig) {
		t.Fatal("the attack is not what it should be")
	}
	if _, err := p.minisignKeys(t).VerifyDetached(strings.NewReader(digest64(message)), sig, time.Now()); !errors.Is(err, ErrUnsupportedSignature) {
		t.Errorf("error %v, want ErrUnsupportedSignature", err)
	}
	// The other way round: a legacy signature is not taken for one of a digest.
	if _, err := p.minisignKeys(t).VerifyDetached(strings.NewReader(message), sig, time.Now()); !errors.Is(err, ErrBadSignature) {
		t.Errorf("error %v, want ErrBadSignature", err)
	}
}

func mustMinisignKey(t *testing.T, text string) minisign.PublicKey {
	t.Helper()
	var k minisign.PublicKey
	if err := k.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAttackMinisignForm(t *testing.T) {
	p := newEdPair(7, 1)
	good := string(p.minisig("ED", digest64(message), "c"))
	lines := strings.Split(good, "\n")
	changed := func(i int, line string) string {
		l := append([]string{}, lines...)
		l[i] = line
		return strings.Join(l, "\n")
	}
	// The last character holds bits that decode to nothing.
	loose := lines[3][:len(lines[3])-3] + string(lines[3][len(lines[3])-3]+1) + "=="
	tests := map[string]struct {
		sig  string
		want error
	}{
		"no untrusted comment":    {strings.Join(lines[1:], "\n"), ErrMalformedSignature},
		"other first line":        {changed(0, "comment: x"), ErrMalformedSignature},
		"long comment":            {changed(0, "untrusted comment: "+strings.Repeat("x", maxCommentBytes)), ErrMalformedSignature},
		"no trusted comment":      {changed(2, "comment: c"), ErrMalformedSignature},
		"a line more":             {good + "x\n", ErrMalformedSignature},
		"an empty line more":      {good + "\n", ErrMalformedSignature},
		"a line less":             {strings.Join(lines[:3], "\n"), ErrMalformedSignature},
		"blank behind base64":     {changed(1, lines[1]+" "), ErrMalformedSignature},
		"CR within base64":        {changed(1, lines[1][:9]+"\r"+lines[1][9:]), ErrMalformedSignature},
		"loose bits":              {changed(3, loose), ErrMalformedSignature},
		"line of two megabytes":   {changed(1, strings.Repeat("A", 60000)), ErrMalformedSignature},
		"another algorithm":       {changed(1, p.line("XX", make([]byte, 64))), ErrUnsupportedSignature},
		"a public key":            {changed(1, p.text), ErrMalformedSignature},
		"comment signature short": {changed(3, lines[3][:84]), ErrMalformedSignature},
	}
	for name, test := range tests {
		if _, err := p.minisignKeys(t).VerifyDetached(strings.NewReader(message), []byte(test.sig), time.Now()); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
	}
}

func TestAttackSignifyEmbedded(t *testing.T) {
	p := newEdPair(7, 1)
	keys := mustAnchors(t, AnchorConfig{Kind: KindSignify, Files: file("k", []byte("untrusted comment: k\n"+p.text+"\n"))}).(TextAnchors)
	head := string(p.signify(message))
	lines := strings.Split(head, "\n")
	tests := map[string]struct {
		file string
		want error
	}{
		"text before":             {"evil\n" + head + message, ErrMalformedSignature},
		"empty line before":       {"\n" + head + message, ErrMalformedSignature},
		"text in the middle":      {lines[0] + "\nevil\n" + lines[1] + "\n" + message, ErrMalformedSignature},
		"text behind":             {head + message + "evil\n", ErrBadSignature},
		"empty line behind":       {head + message + "\n", ErrBadSignature},
		"empty line before it":    {head + "\n" + message, ErrBadSignature},
		"signature twice":         {head + head + message, ErrBadSignature},
		"whole twice":             {head + message + head + message, ErrBadSignature},
		"CRLF in the message":     {head + strings.ReplaceAll(message, "\n", "\r\n"), ErrBadSignature},
		"CRLF in the head":        {strings.ReplaceAll(head, "\n", "\r\n") + message, ErrMalformedSignature},
		"no message":              {head, ErrMalformedSignature},
		"no end of line":          {strings.TrimSuffix(head, "\n"), ErrMalformedSignature},
		"only a comment":          {lines[0], ErrMalformedSignature},
		"empty":                   {"", ErrMalformedSignature},
		"another algorithm":       {lines[0] + "\n" + p.line("ED", make([]byte, 64)) + "\n" + message, ErrUnsupportedSignature},
		"signature of no message": {string(p.signify("")) + message, ErrBadSignature},
	}
	for name, test := range tests {
		text, signer, err := keys.VerifyClearSigned(strings.NewReader(test.file), time.Now())
		if !errors.Is(err, test.want) || text != nil || signer.Kind != "" {
			t.Errorf("%s: %q by %+v, error %v; want %v", name, text, signer, err, test.want)
		}
	}
	text, signer, err := keys.VerifyClearSigned(strings.NewReader(head+message), time.Now())
	if err != nil || string(text) != message || signer.Fingerprint != p.text || !signer.Created.IsZero() {
		t.Errorf("%q by %+v, error %v", text, signer, err)
	}
	if _, err := keys.VerifyDetached(strings.NewReader(""), []byte(head+message), time.Now()); !errors.Is(err, ErrMalformedSignature) {
		t.Errorf("a file with its message for a detached signature: %v", err)
	}
}

func TestReadEdKeys(t *testing.T) {
	p := newEdPair(7, 1)
	for name, data := range map[string]string{
		"with a comment":    "untrusted comment: minisign public key 7\n" + p.text + "\n",
		"without a comment": p.text,
		"CRLF":              "untrusted comment: x\r\n" + p.text + "\r\n",
		"twice":             p.text + "\n\n" + p.text + "\n",
	} {
		keys, err := readEdKeys(KindSignify, file("k", []byte(data)), nil)
		if err != nil || len(keys) != 1 || keys[0].text != p.text {
			t.Errorf("%s: %v, error %v", name, keys, err)
		}
	}
	for name, data := range map[string]string{
		"text":              "hello\n",
		"short":             p.text[:52] + "\n",
		"another algorithm": p.line("ED", make([]byte, 32)),
		"blank behind":      p.text + " \n",
		"a signature":       string(p.signify(message)),
	} {
		if _, err := readEdKeys(KindSignify, file("k", []byte(data)), nil); !errors.Is(err, ErrKeyring) {
			t.Errorf("%s: error %v, want ErrKeyring", name, err)
		}
	}
}

func FuzzMinisign(f *testing.F) {
	p := newEdPair(7, 1)
	genuine := [][]byte{p.minisig("ED", digest64(message), "timestamp:1\tfile:x"), p.minisig("Ed", message, "")}
	for _, sig := range genuine {
		f.Add(sig)
	}
	f.Add([]byte("untrusted comment: \n\ntrusted comment: \n\n"))
	keys, err := ReadMinisignKeys(nil, []string{p.text})
	if err != nil {
		f.Fatal(err)
	}
	signed := func(sig []byte) string { return string(bytes.Join(splitLines(sig)[1:], []byte("\n"))) }
	f.Fuzz(func(t *testing.T, sig []byte) {
		signer, err := keys.VerifyDetached(strings.NewReader(message), sig, time.Now())
		if err == nil && signed(sig) != signed(genuine[0]) && signed(sig) != signed(genuine[1]) {
			t.Errorf("%q is accepted: %+v", sig, signer)
		}
	})
}

func FuzzSignifyEmbedded(f *testing.F) {
	p := newEdPair(7, 1)
	f.Add(append(p.signify(message), message...))
	f.Add([]byte("untrusted comment: x\n\n"))
	keys, err := ReadSignifyKeys(nil, []string{p.text})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		text, _, err := keys.VerifyClearSigned(bytes.NewReader(data), time.Now())
		if err == nil && string(text) != message || err != nil && text != nil {
			t.Errorf("%q gives %q, error %v", data, text, err)
		}
	})
}

func FuzzReadEdKeys(f *testing.F) {
	p := newEdPair(7, 1)
	f.Add([]byte("untrusted comment: x\n" + p.text + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := ReadMinisignKeys(file("k", data), nil)
		if err != nil {
			return
		}
		for _, fp := range keys.Fingerprints() {
			if again, err := ParsePin(KindMinisign, fp); err != nil || again != fp {
				t.Errorf("fingerprint %q: %q, error %v", fp, again, err)
			}
		}
	})
}
