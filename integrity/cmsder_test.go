package integrity

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// elements cuts DER content into its elements.
func elements(t *testing.T, data []byte) [][]byte {
	t.Helper()
	s := cryptobyte.String(data)
	var list [][]byte
	for !s.Empty() {
		var e cryptobyte.String
		var tag casn1.Tag
		if !s.ReadAnyASN1Element(&e, &tag) {
			t.Fatalf("no element in % x", s)
		}
		list = append(list, e)
	}
	return list
}

// inside returns the content of one element.
func inside(t *testing.T, element []byte) []byte {
	t.Helper()
	s := cryptobyte.String(element)
	var content cryptobyte.String
	var tag casn1.Tag
	if !s.ReadAnyASN1(&content, &tag) {
		t.Fatalf("no element in % x", element)
	}
	return content
}

func derElement(tag byte, content ...[]byte) []byte {
	body := bytes.Join(content, nil)
	return append(appendHeader(nil, tag, len(body)), body...)
}

// editSignedData changes the elements of a message's SignedData.
func editSignedData(t *testing.T, sig []byte, edit func([][]byte) [][]byte) []byte {
	t.Helper()
	info := elements(t, inside(t, sig))
	signed := elements(t, inside(t, inside(t, info[1])))
	return derElement(0x30, info[0], derElement(0xa0, derElement(0x30, edit(signed)...)))
}

// editSigner changes the elements of the first signer.
func editSigner(t *testing.T, sig []byte, edit func([][]byte) [][]byte) []byte {
	t.Helper()
	return editSignedData(t, sig, func(signed [][]byte) [][]byte {
		last := len(signed) - 1
		signer := elements(t, inside(t, inside(t, signed[last])))
		signed[last] = derElement(0x31, derElement(0x30, edit(signer)...))
		return signed
	})
}

func stripAttributes(t *testing.T, sig []byte) []byte {
	t.Helper()
	return editSigner(t, sig, func(s [][]byte) [][]byte { return append(s[:3:3], s[4:]...) })
}

func addDigest(t *testing.T, sig []byte) []byte {
	t.Helper()
	sha1 := derElement(0x30, []byte{0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a})
	return editSignedData(t, sig, func(s [][]byte) [][]byte {
		s[1] = derElement(0x31, sha1, inside(t, s[1]))
		return s
	})
}

// indefinite writes the outer levels with lengths that are not definite.
func indefinite(sig []byte) []byte {
	s := cryptobyte.String(sig)
	var body cryptobyte.String
	s.ReadASN1(&body, casn1.SEQUENCE)
	return append(append([]byte{0x30, 0x80}, body...), 0, 0)
}

// edCMS signs with Ed25519 as RFC 8419 has it; the OpenSSL at hand does not.
type edCMS struct {
	key  ed25519.PrivateKey
	cert *x509.Certificate
}

func newEdCMS(t testing.TB) edCMS {
	t.Helper()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "ed"}, SubjectKeyId: []byte{1, 2, 3},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return edCMS{key, cert}
}

func (e edCMS) anchors(t testing.TB) *CMSAnchors {
	t.Helper()
	a, err := ReadCMSAnchors(file("cert", e.cert.Raw), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func derOID(t testing.TB, text string) []byte {
	t.Helper()
	oid, err := x509.ParseOID(text)
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(asn1.ObjectIdentifier(mustInts(oid)))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func mustInts(oid x509.OID) []int {
	var list []int
	for part := range strings.SplitSeq(oid.String(), ".") {
		n := 0
		for _, c := range part {
			n = n*10 + int(c-'0')
		}
		list = append(list, n)
	}
	return list
}

func derAttribute(t testing.TB, oid string, values ...[]byte) []byte {
	t.Helper()
	return derElement(0x30, derOID(t, oid), derElement(0x31, values...))
}

// usual are the attributes that a message must have.
func usual(t testing.TB, text string) [][]byte {
	t.Helper()
	sum := sha512.Sum512([]byte(text))
	return [][]byte{derAttribute(t, oidContentType, derOID(t, oidData)), derAttribute(t, oidMessageDigest, derElement(0x04, sum[:]))}
}

func (e edCMS) sign(t testing.TB, attributes ...[]byte) []byte {
	t.Helper()
	set := derElement(0x31, attributes...)
	digest := derElement(0x30, derOID(t, "2.16.840.1.101.3.4.2.3"))
	signer := derElement(0x30, []byte{2, 1, 3}, derElement(0x80, e.cert.SubjectKeyId), digest,
		append([]byte{0xa0}, set[1:]...), derElement(0x30, derOID(t, oidEd25519)), derElement(0x04, ed25519.Sign(e.key, set)))
	signed := derElement(0x30, []byte{2, 1, 3}, derElement(0x31, digest), derElement(0x30, derOID(t, oidData)),
		derElement(0xa0, e.cert.Raw), derElement(0x31, signer))
	return derElement(0x30, derOID(t, oidSignedData), derElement(0xa0, signed))
}

func TestAttackCMSAttributes(t *testing.T) {
	e := newEdCMS(t)
	a := e.anchors(t)
	u := usual(t, message)
	sum := sha512.Sum512([]byte(message))
	other := derAttribute(t, "1.2.3", derElement(0x04, []byte("x")))
	at := func(s string) []byte { return derAttribute(t, oidSigningTime, derElement(0x17, []byte(s))) }
	for name, test := range map[string]struct {
		attributes [][]byte
		want       error
	}{
		"usual":                        {u, nil},
		"in another order":             {[][]byte{u[1], u[0]}, nil},
		"another beside":               {append([][]byte{other}, u...), nil},
		"signing time":                 {append([][]byte{at("260101000000Z")}, u...), nil},
		"signing time of year 2050":    {append([][]byte{derAttribute(t, oidSigningTime, derElement(0x18, []byte("20500101000000Z")))}, u...), ErrFutureSignature},
		"signing time before its key":  {append([][]byte{at("690101000000Z")}, u...), ErrBadSignature},
		"signing time that is none":    {append([][]byte{at("261301000000Z")}, u...), ErrMalformedSignature},
		"none":                         {nil, ErrNoSignedAttributes},
		"no content type":              {u[1:], ErrNoSignedAttributes},
		"no message digest":            {u[:1], ErrNoSignedAttributes},
		"another content type":         {[][]byte{derAttribute(t, oidContentType, derOID(t, oidSignedData)), u[1]}, ErrMalformedSignature},
		"content type twice":           {[][]byte{u[0], u[0], u[1]}, ErrMalformedSignature},
		"two content types":            {[][]byte{derAttribute(t, oidContentType, derOID(t, oidData), derOID(t, oidSignedData)), u[1]}, ErrMalformedSignature},
		"no value":                     {[][]byte{u[0], derAttribute(t, oidMessageDigest)}, ErrMalformedSignature},
		"digest twice":                 {[][]byte{u[0], u[1], usual(t, "x")[1]}, ErrMalformedSignature},
		"two digests":                  {[][]byte{u[0], derAttribute(t, oidMessageDigest, derElement(0x04, sum[:]), derElement(0x04, sum[:]))}, ErrMalformedSignature},
		"digest of another message":    {usual(t, "x"), ErrBadSignature},
		"digest cut":                   {[][]byte{u[0], derAttribute(t, oidMessageDigest, derElement(0x04, sum[:32]))}, ErrBadSignature},
		"empty digest":                 {[][]byte{u[0], derAttribute(t, oidMessageDigest, derElement(0x04))}, ErrBadSignature},
		"too many":                     {many(t, u), ErrMalformedSignature},
		"an attribute of another form": {append([][]byte{derElement(0x30, derOID(t, "1.2.3"))}, u...), ErrMalformedSignature},
	} {
		signer, err := verifyCMS(a, e.sign(t, test.attributes...), time.Now())
		if !errors.Is(err, test.want) {
			t.Errorf("%s: signer %+v, error %v; want %v", name, signer, err, test.want)
		}
	}
}

func many(t *testing.T, list [][]byte) [][]byte {
	t.Helper()
	for i := range maxCMSAttributes {
		oid := "1.2.3." + big.NewInt(int64(i)).String()
		list = append(list[:len(list):len(list)], derAttribute(t, oid, []byte{5, 0}))
	}
	return list
}

func TestAttackCMSSignerInfo(t *testing.T) {
	e := newEdCMS(t)
	a := e.anchors(t)
	good := e.sign(t, usual(t, message)...)
	set := func(i int, value []byte) func([][]byte) [][]byte {
		return func(s [][]byte) [][]byte {
			s[i] = value
			return s
		}
	}
	signers := func(n int) []byte {
		return editSignedData(t, good, func(s [][]byte) [][]byte {
			s[4] = derElement(0x31, bytes.Repeat(inside(t, s[4]), n))
			return s
		})
	}
	certs := editSignedData(t, good, func(s [][]byte) [][]byte {
		s[3] = derElement(0xa0, bytes.Repeat(inside(t, s[3]), maxCMSCertificates+1))
		return s
	})
	for name, test := range map[string]struct {
		sig  []byte
		want error
	}{
		"genuine":             {good, nil},
		"signer twice":        {signers(2), nil},
		"too many signers":    {signers(MaxSignatures + 1), ErrSignatureTooLarge},
		"too many certs":      {certs, ErrSignatureTooLarge},
		"no signers":          {signers(0), ErrMalformedSignature},
		"version 2":           {editSigner(t, good, set(0, []byte{2, 1, 2})), ErrMalformedSignature},
		"another key id":      {editSigner(t, good, set(1, derElement(0x80, []byte{9}))), ErrUnknownKey},
		"no key id":           {editSigner(t, good, set(1, derElement(0x80))), ErrMalformedSignature},
		"digest SHA-256":      {editSigner(t, good, set(2, derElement(0x30, derOID(t, "2.16.840.1.101.3.4.2.1")))), ErrMalformedSignature},
		"digest SHA-1":        {editSigner(t, good, set(2, derElement(0x30, derOID(t, "1.3.14.3.2.26")))), ErrWeakHash},
		"named RSA":           {editSigner(t, good, set(4, derElement(0x30, derOID(t, oidRSA)))), ErrUnsupportedSignature},
		"named RSA and SHA-1": {editSigner(t, good, set(4, derElement(0x30, derOID(t, "1.2.840.113549.1.1.5")))), ErrWeakHash},
		"with parameters":     {editSigner(t, good, set(4, derElement(0x30, derOID(t, oidEd25519), []byte{4, 0}))), ErrMalformedSignature},
		"no signature":        {editSigner(t, good, set(5, derElement(0x04))), ErrBadSignature},
		"bytes behind":        {editSigner(t, good, func(s [][]byte) [][]byte { return append(s, []byte{5, 0}) }), ErrMalformedSignature},
		"without attributes":  {stripAttributes(t, good), ErrNoSignedAttributes},
	} {
		if _, err := verifyCMS(a, test.sig, time.Now()); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
	}
}

func TestCMSValidity(t *testing.T) {
	e := newEdCMS(t)
	a, sig := e.anchors(t), e.sign(t, usual(t, message)...)
	for _, test := range []struct {
		now  time.Time
		want error
	}{
		{time.Unix(-1, 0), ErrUnusableKey},
		{time.Unix(0, 0), nil},
		{time.Unix(1<<33, 0), nil},
		{time.Unix(1<<33+1, 0), ErrExpiredKey},
	} {
		if _, err := verifyCMS(a, sig, test.now); !errors.Is(err, test.want) {
			t.Errorf("at %s: error %v, want %v", test.now.UTC(), err, test.want)
		}
	}
}

func TestBERToDER(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"DER":                    {"\x30\x03\x02\x01\x05", "\x30\x03\x02\x01\x05"},
		"indefinite":             {"\x30\x80\x02\x01\x05\x00\x00", "\x30\x03\x02\x01\x05"},
		"indefinite within":      {"\x30\x07\x31\x80\x02\x01\x05\x00\x00", "\x30\x05\x31\x03\x02\x01\x05"},
		"long length":            {"\x30\x82\x00\x03\x02\x01\x05", "\x30\x03\x02\x01\x05"},
		"zeros as contents":      {"\x04\x02\x00\x00", "\x04\x02\x00\x00"},
		"empty":                  {"\x30\x80\x00\x00", "\x30\x00"},
		"no end":                 {"\x30\x80\x02\x01\x05", ""},
		"half an end":            {"\x30\x80\x02\x01\x05\x00", ""},
		"primitive, indefinite":  {"\x04\x80\x00\x00", ""},
		"too long":               {"\x04\x05\x00", ""},
		"length of five bytes":   {"\x04\x85\x00\x00\x00\x00\x01\x00", ""},
		"length that is huge":    {"\x04\x84\xff\xff\xff\xff\x00", ""},
		"long tag":               {"\x1f\x81\x01\x00", ""},
		"bytes behind":           {"\x05\x00\x00", ""},
		"element across its end": {"\x30\x02\x04\x05abcde", ""},
		"nothing":                {"", ""},
		"only a tag":             {"\x30", ""},
		"deep":                   {strings.Repeat("\x30\x80", maxBERDepth+2) + strings.Repeat("\x00\x00", maxBERDepth+2), ""},
	} {
		out, err := berToDER([]byte(test.in))
		if string(out) != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: % x, error %v; want % x", name, out, err, test.want)
		}
	}
	for _, n := range []int{127, 128, 255, 256, 65535, 65536} {
		der := derElement(0x04, make([]byte, n))
		if out, err := berToDER(der); err != nil || !bytes.Equal(out, der) {
			t.Errorf("%d bytes: error %v", n, err)
		}
	}
}

func FuzzCMS(f *testing.F) {
	e := newEdCMS(f)
	a := e.anchors(f)
	good := e.sign(f, usual(f, message)...)
	f.Add(good)
	f.Add(indefinite(good))
	f.Add(pemCMS(good))
	f.Add(e.sign(f))
	want, err := parseCMS(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, sig []byte) {
		if _, err := verifyCMS(a, sig, time.Now()); err != nil {
			return
		}
		if sig[0] == '-' {
			sig = mustPEM(t, string(sig))
		}
		m, err := parseCMS(sig)
		if err != nil || !bytes.Equal(m.signers[0].attributes, want.signers[0].attributes) {
			t.Errorf("accepted with other attributes: error %v", err)
		}
	})
}

func FuzzBERToDER(f *testing.F) {
	f.Add([]byte("\x30\x80\x31\x03\x02\x01\x05\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		der, err := berToDER(data)
		if err != nil {
			return
		}
		again, err := berToDER(der)
		if err != nil || !bytes.Equal(again, der) {
			t.Errorf("% x became % x, error %v", der, again, err)
		}
		var raw asn1.RawValue
		if rest, err := asn1.Unmarshal(der, &raw); err == nil && len(rest) > 0 {
			t.Errorf("% x has a rest", der)
		}
	})
}

func FuzzReadCMSAnchors(f *testing.F) {
	e := newEdCMS(f)
	f.Add(e.cert.Raw)
	f.Add([]byte("-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ReadCMSAnchors(file("f", data), nil, nil)
		if err != nil {
			if !errors.Is(err, ErrKeyring) {
				t.Errorf("error %v", err)
			}
			return
		}
		for _, fp := range a.Fingerprints() {
			if _, err := ParsePin(KindCMS, fp); err != nil || len(fp) != 2*crypto.SHA256.Size() {
				t.Errorf("fingerprint %q: %v", fp, err)
			}
		}
	})
}
