package integrity

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// signedFixture is a genuine signature by a real program.
type signedFixture struct {
	name    string
	anchors Anchors
	message string // what is signed
	sig     []byte // detached; for clear the file with the message in it
	clear   bool
	// open reports that the byte at i is signed by nobody, as the format has it.
	open func(i int) bool
	// again is another signature of the same message by a key that is not pinned.
	again []byte
}

func (f signedFixture) verify(message string, sig []byte) (string, Signer, error) {
	if f.clear {
		text, signer, err := f.anchors.(TextAnchors).VerifyClearSigned(bytes.NewReader(sig), time.Now())
		return string(text), signer, err
	}
	signer, err := f.anchors.VerifyDetached(strings.NewReader(message), sig, time.Now())
	return message, signer, err
}

func none(int) bool { return false }

// inComment is true for the text of a file's first line, the untrusted comment.
func inComment(sig []byte) func(int) bool {
	end := bytes.IndexByte(sig, '\n')
	return func(i int) bool { return i >= len(untrustedComment) && i < end }
}

func edFixtures(r *tools) []signedFixture {
	t := r.t
	r.minisignKey("mini2")
	r.signifyKey("sig2")
	mini := mustAnchors(t, AnchorConfig{Kind: KindMinisign, Files: file("mini.pub", r.minisignKey("mini"))})
	sig := mustAnchors(t, AnchorConfig{Kind: KindSignify, Files: file("sig.pub", r.signifyKey("sig"))})
	hashed, legacy := r.minisign("mini", message), r.minisign("mini", message, "-l")
	plain, embedded := r.signify("sig", message), r.signify("sig", message, "-e")
	return []signedFixture{
		{"minisign", mini, message, hashed, false, inComment(hashed), r.minisign("mini2", message)},
		{"minisign legacy", mini, message, legacy, false, inComment(legacy), r.minisign("mini2", message, "-l")},
		{"signify", sig, message, plain, false, inComment(plain), r.signify("sig2", message)},
		{"signify embedded", sig, message, embedded, true, inComment(embedded), r.signify("sig2", message, "-e")},
	}
}

func sshFixtures(r *tools) []signedFixture {
	var list []signedFixture
	r.sshKey("other", "-t", "ed25519")
	for name, args := range map[string][]string{
		"ed25519": {"-t", "ed25519"},
		"rsa":     {"-t", "rsa", "-b", "2048"},
		"ecdsa":   {"-t", "ecdsa", "-b", "384"},
	} {
		line := r.sshKey(name, args...)
		anchors := mustAnchors(r.t, AnchorConfig{Kind: KindSSH, Files: file("allowed", []byte("a@example.org "+line+"\n"))})
		list = append(list, signedFixture{"sshsig " + name, anchors, message,
			r.sshSign(name, message, "file"), false, none, r.sshSign("other", message, "file")})
	}
	return list
}

func cmsFixtures(r *tools) []signedFixture {
	const email = "extendedKeyUsage=emailProtection\nkeyUsage=critical,digitalSignature"
	roots := file("ca.pem", r.ecAuthority("ca"))
	r.ecAuthority("evil")
	r.issue("other", "evil", email)
	r.issue("ec", "ca", email)
	r.issue("rsa", "ca", email, "-newkey", "rsa:2048")
	anchors := mustAnchors(r.t, AnchorConfig{Kind: KindCMS, Files: roots})
	again := r.cms("other", message)
	var list []signedFixture
	add := func(name string, sig []byte) {
		list = append(list, signedFixture{"cms " + name, anchors, message, sig, false, none, again})
	}
	add("ecdsa", r.cms("ec", message))
	add("rsa", r.cms("rsa", message))
	add("rsa-pss", r.cms("rsa", message, "-keyopt", "rsa_padding_mode:pss"))
	add("sha512 and key id", r.cms("ec", message, "-md", "sha512", "-keyid"))
	add("pem", r.cms("ec", message, "-outform", "PEM"))
	add("smime", r.run(message, "openssl", "smime", "-sign", "-binary", "-signer", "ec.pem", "-inkey", "ec.key", "-outform", "PEM"))
	return list
}

func pgpFixtures(t *testing.T) []signedFixture {
	g := newGnuPG(t)
	fp := g.generate("good", "ed25519", "sign", "1y")
	other := g.generate("other", "ed25519", "sign", "1y")
	anchors := mustAnchors(t, AnchorConfig{Kind: KindOpenPGP, Files: file("key.asc", g.export(fp)), Pins: []string{fp}})
	clear := g.run(message, "-u", fp, "--clear-sign")
	// The packets within the armor have a test of their own.
	armor := bytes.Index(clear, []byte(beginSignature)) + len(beginSignature)
	end := bytes.Index(clear, []byte(endSignature))
	return []signedFixture{
		{"openpgp armored", anchors, message, g.sign(message, fp, "--armor"), false, func(int) bool { return true }, g.sign(message, other)},
		{"openpgp clear-signed", anchors, message, clear, true, func(i int) bool { return i >= armor && i < end },
			g.run(message, "-u", other, "--clear-sign")},
	}
}

func realFixtures(t *testing.T) []signedFixture {
	t.Helper()
	var list []signedFixture
	for _, make := range []func(*tools) []signedFixture{edFixtures, sshFixtures, cmsFixtures} {
		list = append(list, make(newTools(t))...)
	}
	return append(list, pgpFixtures(t)...)
}

// textMutations change what is signed, also by the rules of clear-signed text.
func textMutations() map[string]func(string) string {
	return map[string]func(string) string{
		"first byte":         func(s string) string { return "1" + s[1:] },
		"last digit":         func(s string) string { return strings.Replace(s, "other", "0ther", 1) },
		"line in front":      func(s string) string { return "0000  evil\n" + s },
		"line behind":        func(s string) string { return s + "0000  evil\n" },
		"line gone":          func(s string) string { return s[strings.IndexByte(s, '\n')+1:] },
		"lines exchanged":    func(s string) string { return s[len(s)/2:] + s[:len(s)/2] },
		"upper case":         strings.ToUpper,
		"twice":              func(s string) string { return s + s },
		"one blank, not two": func(s string) string { return strings.ReplaceAll(s, "  ", " ") },
		"NUL added":          func(s string) string { return s + "\x00\n" },
		"byte order mark":    func(s string) string { return "\xef\xbb\xbf" + s },
		"blank in front":     func(s string) string { return " " + s },
	}
}

func sigMutations(f signedFixture) map[string][]byte {
	sig := f.sig
	middle := len(sig) / 2
	if i := bytes.Index(sig, []byte(message)); i >= 0 {
		middle = i / 2 * 2
	}
	at := bytes.IndexByte(sig, '\n') + 20 // behind the comment or the first line of armor
	mutations := map[string][]byte{
		"empty":              nil,
		"half":               sig[:middle],
		"byte gone":          append(bytes.Clone(sig[:at]), sig[at+1:]...),
		"byte more":          append(append(bytes.Clone(sig[:at]), 'A'), sig[at:]...),
		"first byte":         append([]byte{sig[0] ^ 1}, sig[1:]...),
		"text before":        append([]byte("hello\n"), sig...),
		"blank line before":  append([]byte("\n"), sig...),
		"text behind":        append(bytes.Clone(sig), "hello\n"...),
		"by another key":     f.again,
		"zeros":              make([]byte, len(sig)),
		"longer than may be": bytes.Repeat([]byte(" "), MaxSignatureBytes+1),
	}
	if f.name == "openpgp armored" {
		delete(mutations, "blank line before") // it may have some around
	}
	return mutations
}

func TestRealSignatures(t *testing.T) {
	for _, f := range realFixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			text, signer, err := f.verify(f.message, f.sig)
			if err != nil {
				t.Fatal(err)
			}
			if text != f.message {
				t.Errorf("text %q, want %q", text, f.message)
			}
			if kind, _, _ := strings.Cut(f.name, " "); signer.Kind != kind {
				t.Errorf("kind %q, want %q", signer.Kind, kind)
			}
			if fps := f.anchors.Fingerprints(); len(fps) != 1 || signer.Fingerprint != fps[0] || signer.Key == "" {
				t.Errorf("signer %+v, want fingerprint %q", signer, fps)
			}
			refused := 0
			for name, mutate := range textMutations() {
				mutated := mutate(f.message)
				sig := f.sig
				if f.clear {
					sig = bytes.Replace(sig, []byte(f.message), []byte(mutated), 1)
				}
				if text, signer, err := f.verify(mutated, sig); err == nil || signer.Kind != "" {
					t.Errorf("message with %s: accepted as %q", name, text)
				}
				refused++
			}
			for name, sig := range sigMutations(f) {
				if text, _, err := f.verify(f.message, sig); err == nil || f.clear && text != "" {
					t.Errorf("signature with %s: accepted as %q", name, text)
				}
				refused++
			}
			if refused < 20 {
				t.Errorf("only %d mutations", refused)
			}
		})
	}
}
