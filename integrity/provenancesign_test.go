package integrity

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// provenanceKey is a key that is the same in every run.
func provenanceKey(t testing.TB, seed byte) *ProvenanceSigner {
	t.Helper()
	s, err := NewProvenanceSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func known(t testing.TB, signers ...*ProvenanceSigner) *ProvenanceKeys {
	t.Helper()
	k := &ProvenanceKeys{}
	for _, s := range signers {
		if err := k.Add(s.PublicKey()); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// sealed is a signed statement and what it says.
func sealed(t testing.TB, s *ProvenanceSigner) ([]byte, *Statement) {
	t.Helper()
	st, err := NewStatement(subject("docs/a.txt", "content"), Decision{Verdict: Intact, Publish: true, Reason: "it fits"},
		Origin{URL: "ftp://ftp.example/docs/a.txt", Verifier: "urn:test", Target: "default:partner/docs/a.txt"})
	if err != nil {
		t.Fatal(err)
	}
	data, err := s.Sign(st)
	if err != nil {
		t.Fatal(err)
	}
	return data, st
}

// change edits an envelope as JSON.
func change(t testing.TB, data []byte, edit func(map[string]any)) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	edit(m)
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func firstSignature(m map[string]any) map[string]any {
	return m["signatures"].([]any)[0].(map[string]any)
}

func refused(t *testing.T, k *ProvenanceKeys, data []byte, want error) {
	t.Helper()
	if st, err := k.Open(data); !errors.Is(err, want) || st != nil {
		t.Errorf("%v, %v; want %v", st, err, want)
	}
}

func TestSignedStatement(t *testing.T) {
	s := provenanceKey(t, 1)
	data, st := sealed(t, s)
	if again, _ := sealed(t, s); !bytes.Equal(data, again) {
		t.Error("the same statement gave other bytes")
	}
	byID := &ProvenanceKeys{}
	if err := byID.AddID(ProvenanceKeyID(s.PublicKey())); err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]*ProvenanceKeys{
		"by key": known(t, provenanceKey(t, 2), s), "by fingerprint": byID,
	} {
		got, err := k.Open(data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(st, got.Statement); diff != "" {
			t.Error(diff)
		}
		if got.KeyID != ProvenanceKeyID(s.PublicKey()) || got.Statement.Predicate.Details.Target != "default:partner/docs/a.txt" {
			t.Errorf("%s: %+v", name, got)
		}
		if digest, err := got.Digest(); err != nil || !digest.Equal(digestOf([]byte("content"))) {
			t.Errorf("%v, %v", digest, err)
		}
	}
}

// What DSSE lets a writer do that is none of ours is read too.
func TestSignedStatementLeniency(t *testing.T) {
	s := provenanceKey(t, 1)
	data, _ := sealed(t, s)
	for name, edit := range map[string]func(map[string]any){
		"no key id":      func(m map[string]any) { delete(firstSignature(m), "keyid") },
		"empty key id":   func(m map[string]any) { firstSignature(m)["keyid"] = "" },
		"no public key":  func(m map[string]any) { delete(firstSignature(m), "publicKey") },
		"unknown fields": func(m map[string]any) { m["extra"] = []any{1}; firstSignature(m)["cert"] = "x" },
		"URL-safe base64": func(m map[string]any) {
			raw, _ := base64.StdEncoding.DecodeString(firstSignature(m)["sig"].(string))
			firstSignature(m)["sig"] = base64.URLEncoding.EncodeToString(raw)
		},
	} {
		if _, err := known(t, s).Open(change(t, data, edit)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Protocol.md of DSSE v1 has this example.
func TestPreAuthEncode(t *testing.T) {
	got := string(preAuthEncode("http://example.com/HelloWorld", []byte("hello world")))
	if want := "DSSEv1 29 http://example.com/HelloWorld 11 hello world"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAttackProvenanceOtherPayloadType(t *testing.T) {
	s := provenanceKey(t, 1)
	data, st := sealed(t, s)
	payload, err := st.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"application/json", "", PayloadType + " ", strings.ToUpper(PayloadType)} {
		refused(t, known(t, s), change(t, data, func(m map[string]any) { m["payloadType"] = kind }), ErrPayloadType)
		// And signed as such, by the right key.
		refused(t, known(t, s), change(t, data, func(m map[string]any) {
			m["payloadType"] = kind
			firstSignature(m)["sig"] = base64.StdEncoding.EncodeToString(ed25519.Sign(s.key, preAuthEncode(kind, payload)))
		}), ErrPayloadType)
	}
	// A signature over the bare payload, without what PAE adds.
	refused(t, known(t, s), change(t, data, func(m map[string]any) {
		firstSignature(m)["sig"] = base64.StdEncoding.EncodeToString(ed25519.Sign(s.key, payload))
	}), ErrBadSignature)
}

func TestAttackProvenanceChangedStatement(t *testing.T) {
	s := provenanceKey(t, 1)
	data, st := sealed(t, s)
	for _, edit := range []func(*Statement){
		func(st *Statement) { st.Subject[0].Name = "docs/b.txt" },
		func(st *Statement) { st.Subject[0].Digest["sha256"] = strings.Repeat("0", 64) },
		func(st *Statement) { st.Predicate.Details.Size++ },
		func(st *Statement) { st.Predicate.Details.Decision.Verdict = Authentic },
		func(st *Statement) { st.Predicate.Details.Target = "default:other" },
	} {
		var other Statement
		raw, err := st.Marshal()
		if err == nil {
			err = json.Unmarshal(raw, &other)
		}
		if err != nil {
			t.Fatal(err)
		}
		edit(&other)
		changed, err := other.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		refused(t, known(t, s), change(t, data, func(m map[string]any) {
			m["payload"] = base64.StdEncoding.EncodeToString(changed)
		}), ErrBadSignature)
	}
	// Every bit of payload and signature counts.
	var env envelope
	if err := json.Unmarshal(data, &env); err != nil {
		t.Fatal(err)
	}
	sig, err := base64.StdEncoding.DecodeString(env.Signatures[0].Sig)
	if err != nil {
		t.Fatal(err)
	}
	for i := range len(sig) * 8 {
		flipped := bytes.Clone(sig)
		flipped[i/8] ^= 1 << (i % 8)
		refused(t, known(t, s), change(t, data, func(m map[string]any) {
			firstSignature(m)["sig"] = base64.StdEncoding.EncodeToString(flipped)
		}), ErrBadSignature)
	}
}

func TestAttackProvenanceOtherKey(t *testing.T) {
	ours, other := provenanceKey(t, 1), provenanceKey(t, 2)
	data, _ := sealed(t, other)
	ourID := ProvenanceKeyID(ours.PublicKey())
	byID := &ProvenanceKeys{}
	if err := byID.AddID(ourID); err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]*ProvenanceKeys{"by key": known(t, ours), "by fingerprint": byID, "none": {}} {
		// Whatever the envelope brings along is not believed for being there.
		refused(t, k, data, ErrUnknownKey)
		if name == "none" {
			continue
		}
		claimed := change(t, data, func(m map[string]any) { firstSignature(m)["keyid"] = ourID })
		want := ErrBadSignature
		if name == "by fingerprint" {
			want = ErrUnknownKey // no key came that has it
		}
		refused(t, k, claimed, want)
		refused(t, k, change(t, claimed, func(m map[string]any) {
			firstSignature(m)["publicKey"] = base64.StdEncoding.EncodeToString(publicKeyDER(ours.public))
		}), ErrBadSignature)
	}
}

func TestAttackProvenanceTwoSignatures(t *testing.T) {
	ours, other := provenanceKey(t, 1), provenanceKey(t, 2)
	data, _ := sealed(t, ours)
	foreign, _ := sealed(t, other)
	for name, edit := range map[string]func(map[string]any){
		"twice ours": func(m map[string]any) { m["signatures"] = []any{firstSignature(m), firstSignature(m)} },
		"another behind": func(m map[string]any) {
			change(t, foreign, func(f map[string]any) { m["signatures"] = []any{firstSignature(m), firstSignature(f)} })
		},
		"another before": func(m map[string]any) {
			change(t, foreign, func(f map[string]any) { m["signatures"] = []any{firstSignature(f), firstSignature(m)} })
		},
		"none": func(m map[string]any) { m["signatures"] = []any{} },
	} {
		t.Run(name, func(t *testing.T) { refused(t, known(t, ours), change(t, data, edit), ErrEnvelope) })
	}
}

func TestAttackProvenanceHugeEnvelope(t *testing.T) {
	s := provenanceKey(t, 1)
	data, _ := sealed(t, s)
	k := known(t, s)
	refused(t, k, append(data, bytes.Repeat([]byte(" "), MaxEnvelopeBytes)...), ErrEnvelope)
	refused(t, k, bytes.Repeat([]byte("["), MaxEnvelopeBytes), ErrEnvelope)
	refused(t, k, bytes.Repeat([]byte(`{"a":`), MaxEnvelopeBytes/5), ErrEnvelope)
	many := `{"payload":"","payloadType":"","signatures":[` + strings.Repeat(`{"sig":""},`, MaxEnvelopeBytes/12) + `{"sig":""}]}`
	refused(t, k, []byte(many), ErrPayloadType)
	// What cannot be read back is not signed either.
	st, err := NewStatement(subject("a", "x"), Decision{Reason: strings.Repeat("x", MaxStatementBytes)}, Origin{Verifier: "urn:test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Sign(st); !errors.Is(err, ErrStatement) {
		t.Errorf("%v, want ErrStatement", err)
	}
	// The largest that is signed is read.
	st.Predicate.Details.Decision.Reason = strings.Repeat("x", MaxStatementBytes-2000)
	if data, err = s.Sign(st); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Open(data); err != nil {
		t.Error(err)
	}
}

// Two readers must not see two things in one envelope.
func TestAttackProvenanceAmbiguous(t *testing.T) {
	s := provenanceKey(t, 1)
	data, st := sealed(t, s)
	text := string(data)
	var env envelope
	if err := json.Unmarshal(data, &env); err != nil {
		t.Fatal(err)
	}
	sig := env.Signatures[0].Sig
	strayBits := sig[:len(sig)-3] + string(rune(sig[len(sig)-3]+1)) + "=="
	replace := func(old, new string) string { return strings.Replace(text, old, new, 1) }
	for name, bad := range map[string]string{
		"payload twice":       replace(`{"payload":`, `{"payload":"AAAA","payload":`),
		"other case before":   replace(`{"payload":`, `{"Payload":"AAAA","payload":`),
		"signatures twice":    replace(`"signatures":`, `"signatures":[],"signatures":`),
		"sig twice":           replace(`"sig":`, `"sig":"AAAA","sig":`),
		"long s in its place": replace(`"signatures":`, `"\u017fignatures":[],"signatures":`),
		"only other case":     replace(`"payload":`, `"Payload":`),
		"line break":          replace(`"sig":"`, `"sig":"\n`),
		"blank":               replace(`"sig":"`, `"sig":" `),
		"no padding":          replace(sig, strings.TrimRight(sig, "=")),
		"stray bits":          replace(sig, strayBits),
		"two values":          text + text,
		"trailing comma":      replace(`"payload":`, `,"payload":`),
		"not UTF-8":           replace(`"payload":`, "\"\xff\":0,\"payload\":"),
		"a list":              "[" + text + "]",
		"null":                "null",
		"empty":               "",
		"a number":            replace(`"payloadType":"`+PayloadType+`"`, `"payloadType":1`),
	} {
		t.Run(name, func(t *testing.T) { refused(t, known(t, s), []byte(bad), ErrEnvelope) })
	}
	// The same inside, and signed: by a writer that is not this one.
	payload, err := st.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, old := range []string{`"_type":`, `"subject":`, `"name":`, `"sha256":`, `"verdict":`} {
		twice := bytes.Replace(payload, []byte(old), []byte(strings.ToUpper(old)+`"",`+old), 1)
		refused(t, known(t, s), change(t, data, func(m map[string]any) {
			m["payload"] = base64.StdEncoding.EncodeToString(twice)
			firstSignature(m)["sig"] = base64.StdEncoding.EncodeToString(ed25519.Sign(s.key, preAuthEncode(PayloadType, twice)))
		}), ErrStatement)
	}
	refused(t, known(t, s), payload, ErrUnsigned)
}

func TestProvenanceKeyFiles(t *testing.T) {
	a, b := provenanceKey(t, 1).PublicKey(), provenanceKey(t, 2).PublicKey()
	both := "sha256:... signs now\n" + string(ProvenanceKeyPEM(a)) + "\nuntil 2026\n" + string(ProvenanceKeyPEM(b))
	keys, err := ParseProvenanceKeys([]byte(both))
	if err != nil || len(keys) != 2 || !keys[0].Equal(a) || !keys[1].Equal(b) {
		t.Errorf("%v, %v", keys, err)
	}
	block, _ := pem.Decode(ProvenanceKeyPEM(a))
	for name, text := range map[string]string{
		"empty":         "",
		"no PEM":        "hello",
		"private":       string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: block.Bytes})),
		"certificate":   string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes})),
		"cut":           string(pem.EncodeToMemory(&pem.Block{Type: pemPublicKey, Bytes: block.Bytes[:40]})),
		"rest":          string(pem.EncodeToMemory(&pem.Block{Type: pemPublicKey, Bytes: append(block.Bytes, 0)})),
		"too large":     both + strings.Repeat(" ", MaxProvenanceKeyBytes),
		"too many":      strings.Repeat(string(ProvenanceKeyPEM(a)), MaxProvenanceKeys+1),
		"good then bad": both + "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
	} {
		if keys, err := ParseProvenanceKeys([]byte(text)); !errors.Is(err, ErrProvenanceKey) {
			t.Errorf("%s: %v, %v", name, keys, err)
		}
	}
	id := ProvenanceKeyID(a)
	for _, text := range []string{id, strings.ToUpper(id), id[len(keyIDPrefix):], strings.Join(strings.SplitAfter(id[len(keyIDPrefix):], "0"), ":")} {
		if got, err := ParseProvenanceKeyID(text); err != nil || got != id {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "sha256:", id + "00", id[:20], "sha256:" + strings.Repeat("x", 64)} {
		if _, err := ParseProvenanceKeyID(text); !errors.Is(err, ErrFingerprint) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := NewProvenanceSigner(append(bytes.Clone(provenanceKey(t, 1).key[:32]), b...)); !errors.Is(err, ErrProvenanceKey) {
		t.Errorf("a private key with another's public key: %v", err)
	}
	var k ProvenanceKeys
	for i := range MaxProvenanceKeys {
		if err := k.AddID(fmt.Sprintf("%064x", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Add(a); !errors.Is(err, ErrProvenanceKey) || len(k.IDs()) != MaxProvenanceKeys {
		t.Errorf("%v", err)
	}
}

// What a server names a file cannot drive the terminal that a statement is shown on.
func TestStatementIsPrintable(t *testing.T) {
	name := "a\u009b31m\u202e\x7f\u2028𝄞\U000e0041é"
	st, err := NewStatement(subject(name, "x"), Decision{Reason: name}, Origin{Verifier: "urn:test"})
	if err != nil {
		t.Fatal(err)
	}
	data, err := st.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range string(data) {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0x202e || r == 0x2028 || r == 0xe0041 {
			t.Errorf("%U is printed as it is", r)
		}
	}
	got, err := ParseStatement(data)
	if err != nil || got.Subject[0].Name != name {
		t.Errorf("%q, %v", got.Subject[0].Name, err)
	}
}

// openssl finds the program where the tests' packages are, or on the PATH.
func openssl(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	program, err := filepath.Abs("../.cache/debs/bin/openssl")
	if err == nil {
		_, err = os.Stat(program)
	}
	if err != nil {
		if program, err = exec.LookPath("openssl"); err != nil {
			t.Fatalf("the test needs OpenSSL; run tests/fetch-debs.sh: %v", err)
		}
	}
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("openssl %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return out
}

// An auditor without this program has OpenSSL.
func TestRealOpenSSLVerifiesProvenance(t *testing.T) {
	s := provenanceKey(t, 1)
	data, _ := sealed(t, s)
	st, err := known(t, s).Open(data)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var env envelope
	if err := json.Unmarshal(data, &env); err != nil {
		t.Fatal(err)
	}
	sig, err := base64.StdEncoding.DecodeString(env.Signatures[0].Sig)
	if err != nil {
		t.Fatal(err)
	}
	key := file("key.pem", ProvenanceKeyPEM(s.PublicKey()))
	openssl(t, nil, "pkeyutl", "-verify", "-pubin", "-inkey", key, "-rawin",
		"-in", file("pae", preAuthEncode(PayloadType, st.Payload)), "-sigfile", file("sig", sig))
	der := openssl(t, nil, "pkey", "-pubin", "-in", key, "-outform", "DER")
	sum := openssl(t, der, "dgst", "-sha256", "-r")
	if id := keyIDPrefix + string(sum[:64]); id != st.KeyID {
		t.Errorf("OpenSSL says %s, the envelope %s", id, st.KeyID)
	}
}

func FuzzOpenProvenance(f *testing.F) {
	s := provenanceKey(f, 1)
	data, st := sealed(f, s)
	payload, err := st.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add(payload)
	f.Add([]byte(`{"payload":"","payloadType":"","signatures":[{"sig":""}]}`))
	k := known(f, s)
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := k.Open(data); err == nil && !bytes.Equal(got.Payload, payload) {
			t.Errorf("a statement was believed that was never signed: %s", got.Payload)
		}
		if st, err := ParseStatement(data); err == nil {
			if _, err := st.Digest(); err != nil {
				t.Error(err)
			}
			if _, err := st.Marshal(); err != nil {
				t.Error(err)
			}
		}
	})
}
