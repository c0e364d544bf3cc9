package integrity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

func mustSSH(t *testing.T, allowed, namespace, principal string) *SSHSigners {
	t.Helper()
	s, err := ReadSSHSigners(file("allowed", []byte(allowed)), nil, namespace, principal)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSSHAllowedSigners(t *testing.T) {
	r := newTools(t)
	key := r.sshKey("key", "-t", "ed25519")
	sig := r.sshSign("key", message, "file")
	now := time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		name, allowed, principal string
		want                     error
	}{
		{"plain", "a@example.org " + key, "", nil},
		{"comments and empty lines", "# a\n\n \t\n  a@example.org " + key + " me\n", "", nil},
		{"CRLF", "a@example.org " + key + "\r\n", "", nil},
		{"tabs", "a@example.org\t" + strings.ReplaceAll(key, " ", "\t"), "", nil},
		{"principal", "a@example.org " + key, "a@example.org", nil},
		{"another principal", "a@example.org " + key, "b@example.org", ErrUnknownKey},
		{"principal in upper case", "a@example.org " + key, "A@example.org", ErrUnknownKey},
		{"wildcards", "*@example.org " + key, "a@example.org", nil},
		{"question mark", "?@example.org " + key, "a@example.org", nil},
		{"question mark for two", "?@example.org " + key, "ab@example.org", ErrUnknownKey},
		{"list", "x@example.org,a@example.org " + key, "a@example.org", nil},
		{"excluded", "*@example.org,!a@example.org " + key, "a@example.org", ErrUnknownKey},
		{"excluded first", "!a@example.org,*@example.org " + key, "a@example.org", ErrUnknownKey},
		{"only excluded others", "!b@example.org " + key, "a@example.org", ErrUnknownKey},
		{"quoted", `"a b@example.org" ` + key, "a b@example.org", nil},
		{"namespace", `* namespaces="file" ` + key, "", nil},
		{"namespaces", `* namespaces="git,file" ` + key, "", nil},
		{"option in upper case", `* NAMESPACES="file" ` + key, "", nil},
		{"namespace wildcard", `* namespaces="f*" ` + key, "", nil},
		{"another namespace", `* namespaces="git" ` + key, "", ErrNamespace},
		{"namespace excluded", `* namespaces="*,!file" ` + key, "", ErrNamespace},
		{"no namespace", `* namespaces="" ` + key, "", ErrNamespace},
		{"blank in a value", `* namespaces="a b,file" ` + key, "", nil},
		{"valid", `* valid-after="20260101Z",valid-before="20270101Z" ` + key, "", nil},
		{"valid to the second", `* valid-after="20260615120000Z",valid-before="20260615120001Z" ` + key, "", nil},
		{"expired", `* valid-before="202606151159Z" ` + key, "", ErrExpiredKey},
		{"expired by a second", `* valid-before="20260615115959Z" ` + key, "", ErrExpiredKey},
		{"until now", `* valid-before="20260615120000Z" ` + key, "", nil},
		{"not yet valid", `* valid-after="20260615120001Z" ` + key, "", ErrUnusableKey},
		{"all options", `* namespaces="file",valid-after="20260101Z",valid-before="20270101Z" ` + key, "", nil},
		{"second line counts", `* valid-before="20200101Z" ` + key + "\n* " + key, "", nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := mustSSH(t, test.allowed, "", test.principal)
			signer, err := s.VerifyDetached(strings.NewReader(message), sig, now)
			if !errors.Is(err, test.want) {
				t.Fatalf("error %v, want %v", err, test.want)
			}
			if err != nil {
				return
			}
			if fp := s.Fingerprints(); len(fp) != 1 || signer.Fingerprint != fp[0] || signer.Namespace != "file" || signer.Identity == "" {
				t.Errorf("signer %+v", signer)
			}
			if test.principal != "" && signer.Identity != test.principal {
				t.Errorf("identity %q", signer.Identity)
			}
		})
	}
}

// What ssh-keygen says of the same files.
func TestRealAllowedSigners(t *testing.T) {
	r := newTools(t)
	key := r.sshKey("key", "-t", "ed25519")
	r.write("m.sig", string(r.sshSign("key", message, "file")))
	r.write("m", message)
	fp := strings.Fields(string(r.run("", "ssh-keygen", "-l", "-f", "key.pub")))[1]
	for _, allowed := range []string{
		"a@example.org " + key,
		`"a@example.org" namespaces="file" ` + key,
		`*@example.org,!b@example.org Valid-After="20200101",valid-before="29990101Z" ` + key,
		`a@example.org namespaces="git,f?le" ` + key + " comment",
	} {
		r.write("allowed", allowed+"\n")
		r.run(message, "ssh-keygen", "-Y", "verify", "-f", "allowed", "-I", "a@example.org", "-n", "file", "-s", "m.sig")
		signer, err := mustSSH(t, allowed, "file", "a@example.org").VerifyDetached(strings.NewReader(message), r.read("m.sig"), time.Now())
		if err != nil || signer.Fingerprint != fp {
			t.Errorf("%s: %+v, error %v; want %s", allowed, signer, err, fp)
		}
	}
}

func TestAllowedSignersRefused(t *testing.T) {
	r := newTools(t)
	key := r.sshKey("key", "-t", "ed25519")
	r.run("", "ssh-keygen", "-q", "-s", "key", "-I", "id", "-n", "a", "key.pub")
	cert := strings.TrimSpace(string(r.read("key-cert.pub")))
	for name, line := range map[string]string{
		"principals only":         "a@example.org",
		"no principals":           key,
		"key missing":             `* namespaces="file"`,
		"key cut":                 "* " + key[:40],
		"key with a blank":        "* " + key[:30] + " " + key[30:],
		"key of another type":     "* ssh-rsa " + strings.Fields(key)[1],
		"cert-authority":          "* cert-authority " + key,
		"cert-authority of two":   `* namespaces="file",CERT-AUTHORITY ` + key,
		"certificate":             "* " + cert,
		"unknown option":          "* restrict " + key,
		"option twice":            `* namespaces="a",namespaces="b" ` + key,
		"time twice":              `* valid-after="20200101",valid-after="20200101" ` + key,
		"value without quotes":    "* namespaces=file " + key,
		"value without end":       `* namespaces="file ` + key,
		"no value":                "* namespaces " + key,
		"comma at the end":        `* namespaces="file", ` + key,
		"comma missing":           `* namespaces="file"valid-after="20200101" ` + key,
		"time of letters":         `* valid-before="tomorrow" ` + key,
		"time too short":          `* valid-before="2020" ` + key,
		"time that is none":       `* valid-before="20201340" ` + key,
		"times exchanged":         `* valid-after="20210101",valid-before="20200101" ` + key,
		"principals not closed":   `"a b ` + key,
		"no blank behind a quote": `"a"` + key,
		"empty principals":        `"" ` + key,
	} {
		_, err := ReadSSHSigners(file("allowed", []byte("# comment\n"+line+"\n")), nil, "", "")
		if !errors.Is(err, ErrKeyring) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: error %v, want ErrKeyring with the line", name, err)
		}
	}
}

func TestAttackSSHNamespace(t *testing.T) {
	r := newTools(t)
	allowed := "* " + r.sshKey("key", "-t", "ed25519")
	for _, namespace := range []string{"git", "email", "File", "file ", "file@example.org"} {
		sig := r.sshSign("key", message, namespace)
		if _, err := mustSSH(t, allowed, "", "").VerifyDetached(strings.NewReader(message), sig, time.Now()); !errors.Is(err, ErrNamespace) {
			t.Errorf("%q: error %v, want ErrNamespace", namespace, err)
		}
		if _, err := mustSSH(t, allowed, namespace, "").VerifyDetached(strings.NewReader(message), sig, time.Now()); err != nil {
			t.Errorf("%q: %v", namespace, err)
		}
		// The namespace is signed: it cannot be exchanged in the file.
		forged := reforge(t, sig, func(b *sshBlob) { b.Namespace = "file" })
		if _, err := mustSSH(t, allowed, "", "").VerifyDetached(strings.NewReader(message), forged, time.Now()); !errors.Is(err, ErrBadSignature) {
			t.Errorf("%q renamed: error %v, want ErrBadSignature", namespace, err)
		}
	}
}

// reforge changes a signature's parts and writes it well-formed again.
func reforge(t *testing.T, sig []byte, change func(*sshBlob)) []byte {
	t.Helper()
	block, _ := pem.Decode(sig)
	var blob sshBlob
	if err := ssh.Unmarshal(block.Bytes, &blob); err != nil {
		t.Fatal(err)
	}
	change(&blob)
	return pem.EncodeToMemory(&pem.Block{Type: sshsig.PEMType, Bytes: ssh.Marshal(blob)})
}

func TestAttackSSHBlob(t *testing.T) {
	r := newTools(t)
	line := r.sshKey("key", "-t", "ed25519")
	s := mustSSH(t, "* "+line, "", "")
	good := r.sshSign("key", message, "file")
	rest := func(b *sshBlob) { b.Signature = append(b.Signature, 0) }
	for name, test := range map[string]struct {
		change func(*sshBlob)
		want   error
	}{
		"nothing":            {func(*sshBlob) {}, nil},
		"SHA-1":              {func(b *sshBlob) { b.Hash = "sha1" }, ErrWeakHash},
		"MD5":                {func(b *sshBlob) { b.Hash = "md5" }, ErrWeakHash},
		"SHA-384":            {func(b *sshBlob) { b.Hash = "sha384" }, ErrUnsupportedSignature},
		"another hash":       {func(b *sshBlob) { b.Hash = "sha256" }, ErrBadSignature},
		"version 2":          {func(b *sshBlob) { b.Version = 2 }, ErrUnsupportedSignature},
		"version 0":          {func(b *sshBlob) { b.Version = 0 }, ErrUnsupportedSignature},
		"magic":              {func(b *sshBlob) { b.Magic[5] = 'g' }, ErrMalformedSignature},
		"reserved":           {func(b *sshBlob) { b.Reserved = []byte("x") }, ErrMalformedSignature},
		"bytes behind":       {rest, ErrMalformedSignature},
		"no key":             {func(b *sshBlob) { b.PublicKey = nil }, ErrMalformedSignature},
		"no signature":       {func(b *sshBlob) { b.Signature = nil }, ErrMalformedSignature},
		"named ssh-rsa":      {func(b *sshBlob) { b.Signature = renameFormat(t, b.Signature, "ssh-rsa") }, ErrWeakHash},
		"named rsa-sha2-512": {func(b *sshBlob) { b.Signature = renameFormat(t, b.Signature, "rsa-sha2-512") }, ErrBadSignature},
		"named ssh-dss":      {func(b *sshBlob) { b.Signature = renameFormat(t, b.Signature, "ssh-dss") }, ErrWeakKey},
	} {
		_, err := s.VerifyDetached(strings.NewReader(message), reforge(t, good, test.change), time.Now())
		if !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
	}
}

func renameFormat(t *testing.T, sig []byte, format string) []byte {
	t.Helper()
	var s ssh.Signature
	if err := ssh.Unmarshal(sig, &s); err != nil {
		t.Fatal(err)
	}
	s.Format = format
	return ssh.Marshal(s)
}

func TestAttackSSHArmor(t *testing.T) {
	r := newTools(t)
	s := mustSSH(t, "* "+r.sshKey("key", "-t", "ed25519"), "", "")
	good := string(r.sshSign("key", message, "file"))
	for name, sig := range map[string]string{
		"text before":       "evil\n" + good,
		"empty line before": "\n" + good,
		"text behind":       good + "evil\n",
		"empty line behind": good + "\n",
		"twice":             good + good,
		"header":            strings.Replace(good, "SIGNATURE-----\n", "SIGNATURE-----\nComment: evil\n\n", 1),
		"blank in base64":   strings.Replace(good, "U1NI", "U1 NI", 1),
		"another type":      strings.ReplaceAll(good, "SSH SIGNATURE", "SSH MESSAGE"),
		"types that differ": strings.Replace(good, "END SSH SIGNATURE", "END SSH MESSAGE", 1),
		"no armor":          string(mustPEM(t, good)),
	} {
		if _, err := s.VerifyDetached(strings.NewReader(message), []byte(sig), time.Now()); !errors.Is(err, ErrMalformedSignature) {
			t.Errorf("%s: error %v, want ErrMalformedSignature", name, err)
		}
	}
}

func mustPEM(t *testing.T, text string) []byte {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatal("no PEM block")
	}
	return block.Bytes
}

func TestAttackSSHWeakKeys(t *testing.T) {
	r := newTools(t)
	for name, args := range map[string][]string{
		"RSA 1024": {"-t", "rsa", "-b", "1024"},
		"RSA 2047": {"-t", "rsa", "-b", "2047"},
		"DSA":      {"-t", "dsa"},
	} {
		id := strings.ReplaceAll(name, " ", "")
		s := mustSSH(t, "* "+r.sshKey(id, args...), "", "")
		if _, err := s.VerifyDetached(strings.NewReader(message), r.sshSign(id, message, "file"), time.Now()); !errors.Is(err, ErrWeakKey) {
			t.Errorf("%s: error %v, want ErrWeakKey", name, err)
		}
	}
}

func TestAttackSSHWithSHA1(t *testing.T) {
	r := newTools(t)
	s := mustSSH(t, "* "+r.sshKey("key", "-t", "rsa", "-b", "2048", "-m", "PEM"), "", "")
	parsed, err := ssh.ParsePrivateKey(r.read("key"))
	if err != nil {
		t.Fatal(err)
	}
	signer := parsed.(ssh.AlgorithmSigner)
	good, err := sshsig.Sign(strings.NewReader(message), signer, sshsig.HashSHA512, "file")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.VerifyDetached(strings.NewReader(message), sshsig.Armor(good), time.Now()); err != nil {
		t.Fatal(err)
	}
	if good.Signature, err = signer.SignWithAlgorithm(rand.Reader, []byte("x"), ssh.KeyAlgoRSA); err != nil {
		t.Fatal(err)
	}
	if _, err := s.VerifyDetached(strings.NewReader(message), sshsig.Armor(good), time.Now()); !errors.Is(err, ErrWeakHash) {
		t.Errorf("error %v, want ErrWeakHash", err)
	}
}

func TestAttackSSHCertificate(t *testing.T) {
	r := newTools(t)
	line := r.sshKey("key", "-t", "ed25519")
	r.sshKey("ca", "-t", "ed25519")
	r.run("", "ssh-keygen", "-q", "-s", "ca", "-I", "id", "-n", "a", "key.pub")
	s := mustSSH(t, "* "+line+"\n* "+strings.TrimSpace(string(r.read("ca.pub"))), "", "")
	cert, _, _, _, err := ssh.ParseAuthorizedKey(r.read("key-cert.pub"))
	if err != nil {
		t.Fatal(err)
	}
	sig := reforge(t, r.sshSign("key", message, "file"), func(b *sshBlob) { b.PublicKey = cert.Marshal() })
	if _, err := s.VerifyDetached(strings.NewReader(message), sig, time.Now()); !errors.Is(err, ErrUnsupportedSignature) {
		t.Errorf("error %v, want ErrUnsupportedSignature", err)
	}
}

func TestMatchWildcards(t *testing.T) {
	for _, test := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "abc", true}, {"**", "", true},
		{"a*", "abc", true}, {"*c", "abc", true}, {"*b*", "abc", true}, {"a*b*c", "aXbYbZc", true},
		{"a*b", "abc", false}, {"?", "", false}, {"?*", "a", true}, {"*?", "a", true}, {"a?c", "abc", true},
		{"*aab", "aaaaab", true}, {"*a*a*a*a*b", strings.Repeat("a", 5000), false},
	} {
		if got := matchWildcards(test.pattern, test.s); got != test.want {
			t.Errorf("%q matches %.20q: %v", test.pattern, test.s, got)
		}
	}
}

// sshSeed makes a key pair without programs, for fuzzing.
func sshSeed(f *testing.F) (ssh.Signer, string) {
	f.Helper()
	signer, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		f.Fatal(err)
	}
	return signer, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
}

func FuzzSSHSignature(f *testing.F) {
	signer, line := sshSeed(f)
	sig, err := sshsig.Sign(strings.NewReader(message), signer, sshsig.HashSHA256, "file")
	if err != nil {
		f.Fatal(err)
	}
	genuine := sshsig.Armor(sig)
	f.Add(genuine)
	f.Add([]byte("-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n"))
	s, err := ReadSSHSigners(file("allowed", []byte("* "+line)), nil, "", "")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := s.VerifyDetached(strings.NewReader(message), data, time.Now()); err != nil {
			return
		}
		if block, _ := pem.Decode(data); !bytes.Equal(block.Bytes, sig.Marshal()) {
			t.Errorf("%q is accepted", data)
		}
	})
}

func FuzzAllowedSigners(f *testing.F) {
	_, line := sshSeed(f)
	f.Add([]byte("# a\n*@example.org,!b " + line + "\n"))
	f.Add([]byte(`"a b" namespaces="x,\"y",valid-after="20200101Z",valid-before="202101011200" ` + line))
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseAllowedSigners(AnchorFile{Name: "f", Data: data})
		if err != nil && !errors.Is(err, ErrKeyring) {
			t.Errorf("error %v", err)
		}
		for _, e := range list {
			if e.principals == "" || e.key == nil || e.line == 0 {
				t.Errorf("entry %+v", e)
			}
			_ = e.allows("file", "a", time.Now())
			if _, err := ParsePin(KindSSH, e.fingerprint); err != nil {
				t.Error(fmt.Errorf("fingerprint %q: %w", e.fingerprint, err))
			}
		}
	})
}
