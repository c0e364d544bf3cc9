package integrity

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

func verifyClear(k *Keyring, file []byte) (string, Signer, error) {
	text, signer, err := k.VerifyClearSigned(bytes.NewReader(file), time.Now())
	return string(text), signer, err
}

func TestVerifyClearSigned(t *testing.T) {
	g := newGnuPG(t)
	fp := g.generate("good <a@example.org>", "ed25519", "sign", "1y")
	ring := g.keyring(fp)
	long := strings.Repeat("- a line that is escaped\n", 10_000)
	tests := []struct{ name, text, want string }{
		{"manifest", message, message},
		{"no end of line", "a", "a\n"},
		{"empty", "", ""},
		{"only an end of line", "\n", ""},
		{"empty lines", "\n\na\n\n", "\n\na\n\n"},
		{"dashes", "-\n--\n- x\n-----BEGIN PGP SIGNATURE-----\nFrom me\n", "-\n--\n- x\n-----BEGIN PGP SIGNATURE-----\nFrom me\n"},
		{"blanks at line ends", "a \t\n b  \n\t\n", "a\n b\n\n"},
		{"CRLF", "a\r\nb\r\n", "a\nb\n"},
		{"not UTF-8", "\xff\xfe\n", "\xff\xfe\n"},
		{"long", long, long},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := g.run(test.text, "-u", fp, "--clear-sign")
			for form, data := range map[string][]byte{
				"as it is":    file,
				"CRLF":        bytes.ReplaceAll(bytes.ReplaceAll(file, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n")),
				"without end": bytes.TrimSuffix(file, []byte("\n")),
			} {
				text, signer, err := verifyClear(ring, data)
				if err != nil || text != test.want {
					t.Fatalf("%s: text %.80q, error %v; want %.80q", form, text, err, test.want)
				}
				if signer.Fingerprint != fp || signer.Identity != "good <a@example.org>" || signer.Created.IsZero() {
					t.Errorf("%s: signer %+v", form, signer)
				}
			}
			text, _, err := ring.VerifyClearSigned(iotest.OneByteReader(bytes.NewReader(file)), time.Now())
			if err != nil || string(text) != test.want {
				t.Errorf("byte by byte: text %.80q, error %v", text, err)
			}
		})
	}
}

func TestVerifyClearSignedByTwo(t *testing.T) {
	g := newGnuPG(t)
	a := g.generate("a", "ed25519", "sign", "1y")
	b := g.generate("b", "rsa2048", "sign", "1y")
	file := g.run(message, "-u", a, "-u", b, "--clear-sign")
	for _, fp := range []string{a, b} {
		if text, signer, err := verifyClear(g.keyring(fp), file); err != nil || signer.Fingerprint != fp || text != message {
			t.Errorf("%q by %+v, error %v", text, signer, err)
		}
	}
}

// Version 6 signatures are salted, and their files have no Hash header.
func TestVerifyClearSignedByLibrary(t *testing.T) {
	for _, config := range []*packet.Config{
		{Algorithm: packet.PubKeyAlgoEd25519, V6Keys: true},
		{Algorithm: packet.PubKeyAlgoEdDSA},
	} {
		entity, err := openpgp.NewEntity("name", "", "a@example.org", config)
		if err != nil {
			t.Fatal(err)
		}
		var key, file bytes.Buffer
		if err := entity.Serialize(&key); err != nil {
			t.Fatal(err)
		}
		w, err := clearsign.Encode(&file, entity.PrivateKey, config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, message+"- dash \n"); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		ring := mustKeyring(t, key.Bytes(), fingerprintText(entity.PrimaryKey.Fingerprint))
		// The library takes the last line end for the beginning of an empty line.
		if text, _, err := verifyClear(ring, file.Bytes()); err != nil || text != message+"- dash\n\n" {
			t.Errorf("text %q, error %v of\n%s", text, err, file.Bytes())
		}
	}
}

// clearParts are the parts of a genuine file, to be put together wrongly.
type clearParts struct {
	ring                   *Keyring
	file                   string
	headers, text, armored string
}

func newClearParts(t *testing.T) clearParts {
	t.Helper()
	g := newGnuPG(t)
	fp := g.generate("good", "ed25519", "sign", "1y")
	p := clearParts{ring: g.keyring(fp), file: string(g.run(message, "-u", fp, "--clear-sign", "--digest-algo", "SHA512"))}
	p.headers = "Hash: SHA512\n"
	p.text = message
	_, p.armored, _ = strings.Cut(p.file, p.text)
	if p.file != beginClearSigned+"\n"+p.headers+"\n"+p.text+p.armored {
		t.Fatalf("unexpected form:\n%s", p.file)
	}
	return p
}

// refuse checks that none of the files is accepted, and that no text is returned.
func (p clearParts) refuse(t *testing.T, want error, files map[string]string) {
	t.Helper()
	if text, _, err := verifyClear(p.ring, []byte(p.file)); err != nil || text != message {
		t.Fatalf("the genuine file: %q, error %v", text, err)
	}
	for name, file := range files {
		if file == p.file {
			t.Errorf("%s: it is the genuine file", name)
		}
		if text, _, err := verifyClear(p.ring, []byte(file)); !errors.Is(err, want) || text != "" {
			t.Errorf("%s: %q, error %v; want %v", name, text, err, want)
		}
	}
}

func TestAttackTextAroundClearSigned(t *testing.T) {
	p := newClearParts(t)
	const evil = "0000  evil\n"
	p.refuse(t, ErrMalformedSignature, map[string]string{
		"text before":               evil + p.file,
		"text behind":               p.file + evil,
		"text behind without end":   p.file + "x",
		"empty line before":         "\n" + p.file,
		"empty line behind":         p.file + "\n",
		"CRLF line behind":          p.file + "\r\n",
		"blank before":              " " + p.file,
		"blank behind":              p.file + " ",
		"tab behind":                p.file + "\t\n",
		"form feed behind":          p.file + "\f",
		"NUL behind":                p.file + "\x00",
		"non-breaking blank behind": p.file + "\u00a0",
		"byte order mark before":    "\ufeff" + p.file,
		"behind on the last line":   strings.TrimSuffix(p.file, "\n") + "x\n",
		"blank on the first line":   strings.Replace(p.file, "MESSAGE-----", "MESSAGE----- ", 1),
		"blank on the last line":    strings.TrimSuffix(p.file, "\n") + " \n",
		"half a line end":           strings.TrimSuffix(p.file, "\n") + "\r",
		"text hidden by CR":         "evil\r" + p.file,
		"between text and armor":    strings.Replace(p.file, beginSignature, beginSignature+"\n\n"+evil, 1),
		"first line twice":          beginClearSigned + "\n" + p.file,
		"only the armor":            p.armored,
		"only the text":             p.text,
	})
}

func TestAttackSecondClearSignedBlock(t *testing.T) {
	p := newClearParts(t)
	evil := strings.Replace(p.file, "name", "evil", 1)
	p.refuse(t, ErrMalformedSignature, map[string]string{
		"the same twice":               p.file + p.file,
		"another behind":               p.file + evil,
		"another before":               evil + p.file,
		"another behind a line":        p.file + "\n" + evil,
		"two armored signatures":       p.file + p.armored,
		"two with text between":        p.file + "0000  evil\n" + p.armored,
		"nested":                       beginClearSigned + "\n" + p.headers + "\n" + p.file + p.armored,
		"nested headers":               beginClearSigned + "\n" + p.headers + beginClearSigned + "\n" + p.headers + "\n" + p.text + p.armored,
		"message block behind":         p.file + "-----BEGIN PGP MESSAGE-----\n\n=aaaa\n-----END PGP MESSAGE-----\n",
		"key block in the armor":       strings.Replace(p.file, beginSignature, "-----BEGIN PGP PUBLIC KEY BLOCK-----", 1),
		"armor without end":            strings.Replace(p.file, endSignature, "", 1),
		"end of armor twice":           p.file + endSignature + "\n",
		"end of armor in the armor":    strings.Replace(p.file, beginSignature+"\n", beginSignature+"\n"+endSignature+"\n", 1),
		"second begin in the armor":    strings.Replace(p.file, beginSignature+"\n", beginSignature+"\n"+beginSignature+"\n", 1),
		"begin of armor with a blank":  strings.Replace(p.file, beginSignature, beginSignature+" ", 1),
		"armor's begin with dash only": strings.Replace(p.file, beginSignature, "- "+beginSignature, 1),
	})
}

func TestAttackClearSignedHeaders(t *testing.T) {
	p := newClearParts(t)
	with := func(headers string) string { return strings.Replace(p.file, p.headers+"\n", headers, 1) }
	p.refuse(t, ErrMalformedSignature, map[string]string{
		"wrong hash":                   with("Hash: SHA256\n\n"),
		"weak hash":                    with("Hash: SHA1\n\n"),
		"unknown hash":                 with("Hash: SHA513\n\n"),
		"hash in lower case":           with("Hash: sha512\n\n"),
		"no hash":                      with("Hash: \n\n"),
		"an empty name":                with("Hash: SHA512,\n\n"),
		"header in lower case":         with("hash: SHA512\n\n"),
		"header without blank":         with("Hash:SHA512\n\n"),
		"another header":               with("Hash: SHA512\nComment: evil\n\n"),
		"another header first":         with("Version: 1\nHash: SHA512\n\n"),
		"not dash escaped":             with("NotDashEscaped: You need GnuPG\nHash: SHA512\n\n"),
		"text as header":               with("Hash: SHA512\n0000  evil\n\n"),
		"header continued":             with("Hash: SHA512\n SHA256\n\n"),
		"no empty line":                with("Hash: SHA512\n"),
		"blank for the empty line":     with("Hash: SHA512\n \n"),
		"tab for the empty line":       with("Hash: SHA512\n\t\n"),
		"form feed for the empty line": with("Hash: SHA512\n\f\n"),
		"CR for the empty line":        with("Hash: SHA512\n\r\r\n"),
		"text behind a blank line":     with("Hash: SHA512\n \n0000  evil\n\n"),
		"too many":                     with(strings.Repeat("Hash: SHA512\n", maxHashHeaders+1) + "\n"),
	})
	p.refuse(t, ErrBadSignature, map[string]string{
		"a second empty line": with("Hash: SHA512\n\n\n"),
		"text after one":      with("Hash: SHA512\n\n0000  evil\n\n"),
	})
	for name, headers := range map[string]string{
		"none":        "\n",
		"two names":   "Hash: SHA256, SHA512\n\n",
		"two headers": "Hash: SHA256\nHash: SHA512\n\n",
	} {
		if text, _, err := verifyClear(p.ring, []byte(with(headers))); err != nil || text != message {
			t.Errorf("%s: %q, error %v", name, text, err)
		}
	}
}

func TestAttackClearSignedText(t *testing.T) {
	p := newClearParts(t)
	with := func(text string) string { return strings.Replace(p.file, p.text, text, 1) }
	p.refuse(t, ErrMalformedSignature, map[string]string{
		"dash escape missing":     with("-" + p.text),
		"armor line in the text":  with("-----BEGIN PGP MESSAGE-----\n" + p.text),
		"dash and tab":            with("-\tx\n" + p.text),
		"a lone dash":             with("-\n" + p.text),
		"CR within a line":        with(strings.Replace(p.text, "name", "na\rme", 1)),
		"CR for line ends":        with(strings.ReplaceAll(p.text, "\n", "\r")),
		"two CRs at a line's end": with(strings.Replace(p.text, "\n", "\r\r\n", 1)),
	})
	p.refuse(t, ErrBadSignature, map[string]string{
		"line added":           with(p.text + "0000  evil\n"),
		"escaped line added":   with(p.text + "- 0000  evil\n"),
		"empty line added":     with(p.text + "\n"),
		"form feed at the end": with(strings.Replace(p.text, "\n", "\f\n", 1)),
		"NUL at the end":       with(strings.Replace(p.text, "\n", "\x00\n", 1)),
		"no text":              with(""),
	})
	// What is not signed is not returned either.
	for name, text := range map[string]string{
		"blanks at line ends":   strings.ReplaceAll(p.text, "\n", " \t \n"),
		"CRLF":                  strings.ReplaceAll(p.text, "\n", "\r\n"),
		"escapes without need":  "- " + strings.Replace(p.text, "\n", "\n- ", 1),
		"blanks before CRLF":    strings.ReplaceAll(p.text, "\n", " \r\n"),
		"line ends of two kind": strings.Replace(p.text, "\n", "\r\n", 1),
	} {
		if got, _, err := verifyClear(p.ring, []byte(with(text))); err != nil || got != message {
			t.Errorf("%s: %q, error %v", name, got, err)
		}
	}
}

func TestAttackClearSignedByRefusedKeys(t *testing.T) {
	g := newGnuPG(t)
	good := g.generate("good", "ed25519", "sign", "1y")
	stranger := g.generate("stranger", "ed25519", "sign", "1y")
	expired := g.generate("expired", "ed25519", "sign", "1y", "--faked-system-time", "20200101T000000")
	eternal := g.generate("eternal", "ed25519", "sign", "never", "--faked-system-time", "20200101T000000")
	short := g.generate("short", "rsa1024", "sign", "1y")
	revoked := g.generate("revoked", "ed25519", "sign", "1y")
	clear := func(key string, extra ...string) []byte {
		return g.run(message, append(append([]string{"-u", key}, extra...), "--clear-sign")...)
	}
	byRevoked := clear(revoked)
	g.run(string(g.revocation(revoked)), "--import")
	tests := []struct {
		name string
		ring *Keyring
		file []byte
		want error
	}{
		{"not pinned", g.keyring(good), clear(stranger), ErrUnknownKey},
		{"expired", g.keyring(expired), clear(expired, "--faked-system-time", "20200601T000000"), ErrExpiredKey},
		{"revoked", g.keyring(revoked), byRevoked, ErrRevokedKey},
		{"too weak", g.keyring(short), clear(short), ErrWeakKey},
		{"SHA-1", g.keyring(good), clear(good, "--digest-algo", "SHA1"), ErrWeakHash},
		{"future", g.keyring(eternal), clear(eternal, "--faked-system-time", "20500101T000000"), ErrFutureSignature},
		{"detached signature over the file", g.keyring(good), withArmor(clear(good), g.sign(message, good, "--armor")), ErrMalformedSignature},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if text, signer, err := verifyClear(test.ring, test.file); !errors.Is(err, test.want) || text != "" {
				t.Errorf("%q by %+v, error %v; want %v", text, signer, err, test.want)
			}
		})
	}
}

// withArmor puts another signature into a clear-signed file.
func withArmor(file, armored []byte) []byte {
	text, _, _ := bytes.Cut(file, []byte(beginSignature))
	return append(bytes.Clone(text), armored...)
}

func TestCanonicalText(t *testing.T) {
	for _, n := range []int{0, 1, 100, 32<<10 - 1, 32 << 10, 32<<10 + 1, 100_000} {
		text := strings.Repeat("a\n", n)
		c := clearSigned{text: []byte(text)}
		got, err := io.ReadAll(iotest.HalfReader(c.canonical()))
		want := strings.TrimSuffix(strings.ReplaceAll(text, "\n", "\r\n"), "\r\n")
		if err != nil || string(got) != want {
			t.Errorf("%d lines: %d bytes, error %v; want %d", n, len(got), err, len(want))
		}
	}
}

func FuzzParseClearSigned(f *testing.F) {
	f.Add([]byte(beginClearSigned + "\nHash: SHA256\n\na\n- -b \n" + beginSignature + "\n\naaaa\n" + endSignature + "\n"))
	f.Add([]byte(beginClearSigned + "\r\n\r\n\r\n" + beginSignature + "\r\n" + endSignature))
	f.Add([]byte(beginClearSigned + "\nHash: SHA256\n \nevil\n\na\n" + beginSignature + "\n" + endSignature + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseClearSigned(bytes.Clone(data))
		if err != nil {
			return
		}
		for line := range strings.Lines(string(c.text)) {
			if bare, ok := strings.CutSuffix(line, "\n"); !ok || bare != strings.TrimRight(bare, " \t\r") || strings.Contains(bare, "\r") {
				t.Errorf("line %q", line)
			}
		}
		// The parts, put together again, are the same text and no other.
		again := beginClearSigned + "\n\n" + escapeDashes(string(c.text)) + string(c.signature)
		b, err := parseClearSigned([]byte(again))
		if err != nil || !bytes.Equal(b.text, c.text) || !bytes.Equal(b.signature, c.signature) {
			t.Errorf("%q became %q, error %v", c.text, again, err)
		}
		if !slicesKnown(c.hashes) {
			t.Errorf("hashes %v", c.hashes)
		}
	})
}

// noRandom makes keys and signatures that are the same each time.
type noRandom struct{}

func (noRandom) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func FuzzOpenPGP(f *testing.F) {
	config := &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, Rand: noRandom{}, NonDeterministicSignaturesViaNotation: new(bool),
		Time: func() time.Time { return time.Unix(1_700_000_000, 0) },
	}
	entity, err := openpgp.NewEntity("name", "", "a@example.org", config)
	if err != nil {
		f.Fatal(err)
	}
	var key, binary, armored, clear bytes.Buffer
	w, err := clearsign.Encode(&clear, entity.PrivateKey, config)
	if err == nil {
		_, err = io.WriteString(w, message)
		err = errors.Join(err, w.Close(), entity.Serialize(&key),
			openpgp.DetachSign(&binary, []*openpgp.Entity{entity}, strings.NewReader(message), config),
			openpgp.ArmoredDetachSign(&armored, []*openpgp.Entity{entity}, strings.NewReader(message), &openpgp.SignParams{Config: config}))
	}
	if err != nil {
		f.Fatal(err)
	}
	ring, err := ReadKeyring(&key)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{binary.Bytes(), armored.Bytes(), clear.Bytes()} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = ring.VerifyDetached(strings.NewReader(message), data, time.Now())
		if text, _, err := ring.VerifyClearSigned(bytes.NewReader(data), time.Now()); err == nil && strings.TrimRight(string(text), "\n") != strings.TrimRight(message, "\n") {
			t.Errorf("%q gives %q", data, text)
		}
	})
}

func escapeDashes(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		fmt.Fprintf(&b, "- %s", line)
	}
	return b.String()
}

func slicesKnown(hashes []crypto.Hash) bool {
	for _, h := range hashes {
		if h == 0 {
			return false
		}
	}
	return true
}
