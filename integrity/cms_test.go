package integrity

import (
	"bytes"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"
)

const emailUsage = "extendedKeyUsage=emailProtection\nkeyUsage=critical,digitalSignature"

func mustCMS(t *testing.T, data []byte, pins, usages []string) *CMSAnchors {
	t.Helper()
	var files []AnchorFile
	if data != nil {
		files = file("ca.pem", data)
	}
	a, err := ReadCMSAnchors(files, pins, usages)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// cmsTools is an authority "ca" that issued "signer" for e-mail.
func cmsTools(t *testing.T) (r *tools, ca []byte) {
	t.Helper()
	r = newTools(t)
	ca = r.ecAuthority("ca")
	r.issue("signer", "ca", emailUsage)
	return r, ca
}

func (r *tools) fingerprint(name string) string {
	r.t.Helper()
	out := string(r.run("", "openssl", "x509", "-in", name+".pem", "-noout", "-fingerprint", "-sha256"))
	_, fp, _ := strings.Cut(strings.TrimSpace(out), "=")
	return fp
}

func verifyCMS(a *CMSAnchors, sig []byte, now time.Time) (Signer, error) {
	return a.VerifyDetached(strings.NewReader(message), sig, now)
}

func TestCMSTrust(t *testing.T) {
	r, ca := cmsTools(t)
	r.issue("plain", "ca", "keyUsage=critical,digitalSignature")
	r.issue("web", "ca", "extendedKeyUsage=serverAuth")
	r.issue("any", "ca", "extendedKeyUsage=anyExtendedKeyUsage")
	r.issue("docs", "ca", "extendedKeyUsage=1.3.6.1.5.5.7.3.36")
	r.issue("cipher", "ca", "extendedKeyUsage=emailProtection\nkeyUsage=critical,keyEncipherment")
	self := r.selfSigned("self", "-newkey", "rsa:2048")
	r.ecAuthority("stranger")
	sig, fp := r.cms("signer", message), r.fingerprint("signer")
	caFP, selfFP := r.fingerprint("ca"), r.fingerprint("self")
	now := time.Now().Add(time.Hour) // some are signed below
	tests := []struct {
		name    string
		anchors *CMSAnchors
		sig     []byte
		now     time.Time
		want    error
	}{
		{"root", mustCMS(t, ca, nil, nil), sig, now, nil},
		{"root in DER", mustCMS(t, mustPEM(t, string(ca)), nil, nil), sig, now, nil},
		{"several roots", mustCMS(t, append(bytes.Clone(self), ca...), nil, nil), sig, now, nil},
		{"another root", mustCMS(t, self, nil, nil), sig, now, ErrUnknownKey},
		{"signer pinned", mustCMS(t, nil, []string{fp}, nil), sig, now, nil},
		{"signer pinned in lower case", mustCMS(t, nil, []string{strings.ToLower(strings.ReplaceAll(fp, ":", ""))}, nil), sig, now, nil},
		{"another pinned", mustCMS(t, nil, []string{selfFP}, nil), sig, now, ErrUnknownKey},
		{"only the root pinned", mustCMS(t, nil, []string{caFP}, nil), sig, now, ErrUnknownKey},
		{"root, and signer pinned", mustCMS(t, ca, []string{fp}, nil), sig, now, nil},
		{"root, and root pinned", mustCMS(t, ca, []string{caFP}, nil), sig, now, nil},
		{"root, and another pinned", mustCMS(t, ca, []string{selfFP}, nil), sig, now, ErrUnknownKey},
		{"signer's certificate configured", mustCMS(t, r.read("signer.pem"), nil, nil), sig, now, nil},
		{"no certificates sent", mustCMS(t, r.read("signer.pem"), nil, nil), r.cms("signer", message, "-nocerts"), now, nil},
		{"no certificates anywhere", mustCMS(t, ca, nil, nil), r.cms("signer", message, "-nocerts"), now, ErrUnknownKey},
		{"self-signed", mustCMS(t, self, nil, nil), r.cms("self", message), now, nil},
		{"expired", mustCMS(t, ca, nil, nil), sig, now.AddDate(11, 0, 0), ErrExpiredKey},
		{"expired, pinned", mustCMS(t, nil, []string{fp}, nil), sig, now.AddDate(11, 0, 0), ErrExpiredKey},
		{"signing time in the future", mustCMS(t, ca, nil, nil), sig, now.Add(-2 * time.Hour), ErrFutureSignature},
		{"no usage", mustCMS(t, ca, nil, nil), r.cms("plain", message), now, ErrUnusableKey},
		{"no usage, itself configured", mustCMS(t, r.read("plain.pem"), nil, nil), r.cms("plain", message), now, nil},
		{"for web servers", mustCMS(t, ca, nil, nil), r.cms("web", message), now, ErrUnusableKey},
		{"for web servers, itself configured", mustCMS(t, r.read("web.pem"), nil, nil), r.cms("web", message), now, ErrUnusableKey},
		{"for web servers, as wanted", mustCMS(t, ca, nil, []string{"1.3.6.1.5.5.7.3.1"}), r.cms("web", message), now, nil},
		{"for anything", mustCMS(t, ca, nil, nil), r.cms("any", message), now, ErrUnusableKey},
		{"for documents", mustCMS(t, ca, nil, nil), r.cms("docs", message), now, ErrUnusableKey},
		{"for documents, as wanted", mustCMS(t, ca, nil, []string{"documentSigning"}), r.cms("docs", message), now, nil},
		{"not to sign", mustCMS(t, ca, nil, nil), r.cms("cipher", message), now, ErrUnusableKey},
		{"the authority's own key", mustCMS(t, ca, nil, nil), r.cms("ca", message), now, ErrUnusableKey},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			signer, err := verifyCMS(test.anchors, test.sig, test.now)
			if !errors.Is(err, test.want) {
				t.Fatalf("signer %+v, error %v; want %v", signer, err, test.want)
			}
			if err == nil && (len(signer.Fingerprint) != 64 || len(signer.Key) != 64 || !strings.Contains(signer.Identity, "O=Example") || signer.Created.IsZero()) {
				t.Errorf("signer %+v", signer)
			}
		})
	}
	if s, _ := verifyCMS(mustCMS(t, ca, nil, nil), sig, now); s.Fingerprint != strings.ReplaceAll(caFP, ":", "") || s.Key != strings.ReplaceAll(fp, ":", "") {
		t.Errorf("signer %+v, want the root %s and the key %s", s, caFP, fp)
	}
}

func TestCMSIntermediates(t *testing.T) {
	r, ca := cmsTools(t)
	authority := func(extensions string) {
		r.issue("sub", "ca", emailUsage)
		r.write("sub.ext", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"+extensions)
		r.run("", "openssl", "x509", "-req", "-in", "sub.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
			"-days", "3650", "-extfile", "sub.ext", "-out", "sub.pem")
		r.issue("low", "sub", emailUsage)
	}
	for extensions, want := range map[string]error{
		"":                                       nil,
		"extendedKeyUsage=emailProtection\n":     nil,
		"extendedKeyUsage=anyExtendedKeyUsage\n": nil,
		"extendedKeyUsage=serverAuth\n":          ErrUnusableKey,
		"extendedKeyUsage=codeSigning\n":         ErrUnusableKey,
	} {
		authority(extensions)
		sig := r.cms("low", message, "-certfile", "sub.pem")
		if _, err := verifyCMS(mustCMS(t, ca, nil, nil), sig, time.Now()); !errors.Is(err, want) {
			t.Errorf("%q: error %v, want %v", extensions, err, want)
		}
		if _, err := verifyCMS(mustCMS(t, ca, []string{r.fingerprint("sub")}, nil), sig, time.Now()); !errors.Is(err, want) {
			t.Errorf("%q, pinned: error %v, want %v", extensions, err, want)
		}
		if _, err := verifyCMS(mustCMS(t, ca, nil, nil), r.cms("low", message), time.Now()); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("%q, not sent: error %v, want ErrUnknownKey", extensions, err)
		}
	}
}

func TestAttackCMSForgedIssuer(t *testing.T) {
	r, ca := cmsTools(t)
	// A certificate that is no authority issues another.
	r.issue("low", "signer", emailUsage)
	if _, err := verifyCMS(mustCMS(t, ca, nil, nil), r.cms("low", message, "-certfile", "signer.pem"), time.Now()); err == nil {
		t.Error("issued by what is no authority, and accepted")
	}
	// An authority of the same name, and a certificate of the same name and number.
	evil := newTools(t)
	evilCA := evil.ecAuthority("ca")
	evil.issue("signer", "ca", emailUsage+"\n")
	serial := strings.TrimPrefix(strings.TrimSpace(string(r.run("", "openssl", "x509", "-in", "signer.pem", "-noout", "-serial"))), "serial=")
	evil.run("", "openssl", "x509", "-req", "-in", "signer.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-set_serial", "0x"+serial,
		"-days", "3650", "-extfile", "signer.ext", "-out", "signer.pem")
	evil.write("both.pem", string(r.read("signer.pem"))+string(evilCA))
	for name, sig := range map[string][]byte{
		"own certificate": evil.cms("signer", message),
		"genuine beside":  evil.cms("signer", message, "-certfile", "both.pem"),
	} {
		for anchors, a := range map[string]*CMSAnchors{
			"root": mustCMS(t, ca, nil, nil), "pin": mustCMS(t, nil, []string{r.fingerprint("signer")}, nil),
			"certificate": mustCMS(t, r.read("signer.pem"), nil, nil),
		} {
			if signer, err := verifyCMS(a, sig, time.Now()); err == nil {
				t.Errorf("%s, by %s: accepted as %+v", name, anchors, signer)
			}
		}
	}
}

func TestAttackCMSWithoutSignedAttributes(t *testing.T) {
	r, ca := cmsTools(t)
	a := mustCMS(t, ca, nil, nil)
	if _, err := verifyCMS(a, r.cms("signer", message, "-noattr"), time.Now()); !errors.Is(err, ErrNoSignedAttributes) {
		t.Errorf("error %v, want ErrNoSignedAttributes", err)
	}
	// The attributes of a genuine signature, passed as a file that it signs.
	m, err := parseCMS(r.cms("signer", message))
	if err != nil {
		t.Fatal(err)
	}
	forged := stripAttributes(t, r.cms("signer", message))
	if _, err := a.VerifyDetached(bytes.NewReader(m.signers[0].attributes), forged, time.Now()); !errors.Is(err, ErrNoSignedAttributes) {
		t.Errorf("attributes as the file: error %v, want ErrNoSignedAttributes", err)
	}
}

func TestAttackCMSForm(t *testing.T) {
	r, ca := cmsTools(t)
	a := mustCMS(t, ca, nil, nil)
	good := r.cms("signer", message)
	nested := append(bytes.Repeat([]byte{0x30, 0x80}, 30_000), make([]byte, 4)...)
	for name, test := range map[string]struct {
		sig  []byte
		want error
	}{
		"holds its content":       {r.cms("signer", message, "-nodetach"), ErrMalformedSignature},
		"another content type":    {r.cms("signer", message, "-econtent_type", "pkcs7-encryptedData"), ErrMalformedSignature},
		"byte behind":             {append(bytes.Clone(good), 0), ErrMalformedSignature},
		"twice":                   {append(bytes.Clone(good), good...), ErrMalformedSignature},
		"text":                    {[]byte(message), ErrMalformedSignature},
		"a certificate":           {mustPEM(t, string(ca)), ErrMalformedSignature},
		"nested":                  {nested, ErrMalformedSignature},
		"no certificate fits":     {r.cms("signer", message, "-nocerts"), ErrUnknownKey},
		"PEM of another type":     {pem.EncodeToMemory(&pem.Block{Type: "MESSAGE", Bytes: good}), ErrMalformedSignature},
		"PEM with text before":    {append([]byte("x\n"), pemCMS(good)...), ErrMalformedSignature},
		"PEM with text behind":    {append(pemCMS(good), "x\n"...), ErrMalformedSignature},
		"PEM twice":               {append(pemCMS(good), pemCMS(good)...), ErrMalformedSignature},
		"PEM with headers":        {pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: good, Headers: map[string]string{"a": "b"}}), ErrMalformedSignature},
		"digest list with SHA-1":  {addDigest(t, good), ErrWeakHash},
		"encrypted, not signed":   {r.run(message, "openssl", "cms", "-encrypt", "-binary", "-aes256", "-outform", "DER", "signer.pem"), ErrMalformedSignature},
		"no signers":              {r.run("", "openssl", "crl2pkcs7", "-nocrl", "-certfile", "signer.pem", "-outform", "DER"), ErrMalformedSignature},
		"S/MIME with its headers": {r.run(message, "openssl", "cms", "-sign", "-signer", "signer.pem", "-inkey", "signer.key"), ErrMalformedSignature},
	} {
		if _, err := verifyCMS(a, test.sig, time.Now()); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
	}
	if _, err := verifyCMS(a, indefinite(good), time.Now()); err != nil {
		t.Errorf("genuine, in BER: %v", err)
	}
}

func pemCMS(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: der})
}

func TestAttackCMSSigners(t *testing.T) {
	r, ca := cmsTools(t)
	r.issue("second", "ca", emailUsage)
	evilCA := r.ecAuthority("evil")
	r.issue("stranger", "evil", emailUsage)
	a := mustCMS(t, ca, nil, nil)
	two := func(first, other string) []byte {
		return r.cms(first, message, "-signer", other+".pem", "-inkey", other+".key")
	}
	if _, err := verifyCMS(a, two("signer", "second"), time.Now()); err != nil {
		t.Errorf("both trusted: %v", err)
	}
	for name, sig := range map[string][]byte{
		"stranger second": two("signer", "stranger"),
		"stranger first":  two("stranger", "signer"),
	} {
		if _, err := verifyCMS(a, sig, time.Now()); !errors.Is(err, ErrUnknownKey) {
			t.Errorf("%s: error %v, want ErrUnknownKey", name, err)
		}
	}
	if _, err := verifyCMS(mustCMS(t, append(bytes.Clone(ca), evilCA...), nil, nil), two("signer", "stranger"), time.Now()); err != nil {
		t.Errorf("both roots: %v", err)
	}
}

func TestAttackCMSWeak(t *testing.T) {
	r, ca := cmsTools(t)
	r.issue("short", "ca", emailUsage, "-newkey", "rsa:1024")
	r.issue("koblitz", "ca", emailUsage, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-224")
	r.issue("rsa", "ca", emailUsage, "-newkey", "rsa:2048")
	r.issue("old", "ca", emailUsage)
	r.run("", "openssl", "x509", "-req", "-sha1", "-in", "old.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
		"-days", "3650", "-extfile", "old.ext", "-out", "old.pem")
	shortCA := r.selfSigned("shortca", "-newkey", "rsa:1024", "-addext", "keyUsage=critical,keyCertSign")
	r.issue("low", "shortca", emailUsage)
	a := mustCMS(t, append(bytes.Clone(ca), shortCA...), nil, nil)
	pss := func(args ...string) []byte {
		return r.cms("rsa", message, append([]string{"-keyopt", "rsa_padding_mode:pss"}, args...)...)
	}
	for name, test := range map[string]struct {
		sig  []byte
		want error
	}{
		"RSA 1024":                   {r.cms("short", message), ErrWeakKey},
		"P-224":                      {r.cms("koblitz", message), ErrWeakKey},
		"root of RSA 1024":           {r.cms("low", message), ErrWeakKey},
		"SHA-1":                      {r.cms("signer", message, "-md", "sha1"), ErrWeakHash},
		"MD5":                        {r.cms("rsa", message, "-md", "md5"), ErrWeakHash},
		"SHA-224":                    {r.cms("signer", message, "-md", "sha224"), ErrUnsupportedSignature},
		"certificate with SHA-1":     {r.cms("old", message), ErrWeakHash},
		"RSA-PSS with MGF1 of SHA-1": {pss("-keyopt", "rsa_mgf1_md:sha1"), ErrWeakHash},
		"RSA-PSS without salt":       {pss("-keyopt", "rsa_pss_saltlen:0"), ErrUnsupportedSignature},
		"RSA-PSS of SHA-1":           {pss("-md", "sha1"), ErrWeakHash},
		"RSA-PSS, hashes differ":     {pss("-keyopt", "rsa_mgf1_md:sha512"), ErrMalformedSignature},
	} {
		if _, err := verifyCMS(a, test.sig, time.Now()); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
	}
	for _, args := range [][]string{nil, {"-keyopt", "rsa_pss_saltlen:20"}, {"-md", "sha512", "-keyopt", "rsa_pss_saltlen:-1"}} {
		if _, err := verifyCMS(a, pss(args...), time.Now()); err != nil {
			t.Errorf("RSA-PSS %v: %v", args, err)
		}
	}
}

func TestAttackCMSRevoked(t *testing.T) {
	r, ca := cmsTools(t)
	r.issue("revoked", "ca", emailUsage)
	r.write("index.txt", "")
	r.write("crlnumber", "01\n")
	r.write("ca.cnf", "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\n")
	args := []string{"ca", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key"}
	r.run("", "openssl", append(args, "-revoke", "revoked.pem")...)
	r.run("", "openssl", append(args, "-gencrl", "-crldays", "10", "-out", "crl.pem")...)
	crl := r.read("crl.pem")
	good, bad := r.cms("signer", message), r.cms("revoked", message)
	withCRL := mustCMS(t, append(bytes.Clone(ca), crl...), nil, nil)
	now := time.Now()
	other := newTools(t)
	other.ecAuthority("ca")
	other.write("index.txt", "")
	other.write("crlnumber", "01\n")
	other.write("ca.cnf", string(r.read("ca.cnf")))
	other.run("", "openssl", append(args, "-gencrl", "-crldays", "10", "-out", "crl.pem")...)
	forged := other.read("crl.pem")
	for _, test := range []struct {
		name    string
		anchors *CMSAnchors
		sig     []byte
		now     time.Time
		want    error
	}{
		{"revoked, no list", mustCMS(t, ca, nil, nil), bad, now, nil},
		{"revoked", withCRL, bad, now, ErrRevokedKey},
		{"not revoked", withCRL, good, now, nil},
		{"list in DER, pinned", withFile(t, mustPEM(t, string(crl)), r.fingerprint("revoked")), bad, now, ErrRevokedKey},
		{"list out of date", withCRL, good, now.AddDate(0, 0, 20), ErrStaleCRL},
		{"list out of date, revoked", withCRL, bad, now.AddDate(0, 0, 20), ErrRevokedKey},
		{"list by another key of that name", mustCMS(t, append(bytes.Clone(ca), forged...), nil, nil), bad, now, ErrStaleCRL},
		{"both lists", mustCMS(t, bytes.Join([][]byte{ca, forged, crl}, nil), nil, nil), bad, now, ErrRevokedKey},
		{"both lists, not revoked", mustCMS(t, bytes.Join([][]byte{ca, forged, crl}, nil), nil, nil), good, now, nil},
	} {
		if _, err := verifyCMS(test.anchors, test.sig, test.now); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", test.name, err, test.want)
		}
	}
}

// What the operator revokes counts wherever it stands in the chain.
func TestAttackRevokedIntermediate(t *testing.T) {
	r, ca := cmsTools(t)
	r.issue("sub", "ca", emailUsage)
	r.write("sub.ext", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n")
	r.run("", "openssl", "x509", "-req", "-in", "sub.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
		"-days", "10", "-extfile", "sub.ext", "-out", "sub.pem")
	r.issue("low", "sub", emailUsage)
	sig := r.cms("low", message, "-certfile", "sub.pem")
	for name, want := range map[string]error{"signer": nil, "sub": ErrRevokedKey, "low": ErrRevokedKey, "ca": ErrRevokedKey} {
		a, err := ReadAnchors(AnchorConfig{Kind: KindCMS, Files: []AnchorFile{{"ca.pem", ca}}, Revoked: []string{r.fingerprint(name)}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.VerifyDetached(strings.NewReader(message), sig, time.Now()); !errors.Is(err, want) {
			t.Errorf("%s revoked: error %v, want %v", name, err, want)
		}
	}
}

func withFile(t *testing.T, crl []byte, pin string) *CMSAnchors {
	t.Helper()
	return mustCMS(t, crl, []string{pin}, nil)
}
