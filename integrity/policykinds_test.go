package integrity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

func TestParsePolicyKindErrors(t *testing.T) {
	const (
		head  = "rules:\n- paths: '**'\n  evidence:\n  - "
		fpKey = "    keys: ['" + fp40 + "']\n"
		files = "    key_files: [k]\n"
		minis = "    type: minisign\n    keys: [RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3]\n"
	)
	signed := head + "manifest: S\n    signature: S.sig\n"
	direct := head + "signature: '{dir}/{name}.sig'\n"
	tests := []struct {
		name, text, want string
	}{
		{"openpgp without files", signed + "    type: openpgp\n" + fpKey, `p.yaml:4: a signature needs "key_files"`},
		{"clearsigned with a signature", signed + "    type: clearsigned\n" + fpKey + files, `a clear-signed manifest holds its signature`},
		{"clearsigned without keys", head + "manifest: S\n    type: clearsigned\n" + files, `a signature needs "keys"`},
		{"inline minisign", head + "manifest: S\n" + minis, `p.yaml:4: type, keys without "signature"`},
		{"minisign without keys", signed + "    type: minisign\n", `a minisign signature needs "keys" or files`},
		{"minisign by an id", signed + "    type: minisign\n    keys: [E7620F1842B4E81F]\n", "p.yaml:7: malformed fingerprint"},
		{"signify by a fingerprint", signed + "    type: signify\n" + fpKey, "p.yaml:7: malformed fingerprint"},
		{"sshsig without files", signed + "    type: sshsig\n", `an SSH signature needs "key_files"`},
		{"sshsig by an MD5 fingerprint", signed + "    type: sshsig\n    keys: ['16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48']\n" + files, "p.yaml:7: malformed fingerprint"},
		{"cms without anything", signed + "    type: cms\n", `a cms signature needs "keys" or files`},
		{"namespace for openpgp", signed + fpKey + files + "    namespace: file\n", "namespace is for type sshsig, not for openpgp"},
		{"principals for minisign", signed + minis + "    principals: [a]\n", "principals is for type sshsig, not for minisign"},
		{"roots for signify", signed + "    type: signify\n    roots: [r]\n", "roots is for type cms, not for signify"},
		{"eku for openpgp", signed + fpKey + files + "    eku: [codeSigning]\n", "eku is for type cms"},
		{"revoked malformed", signed + fpKey + files + "    revoked: [x]\n", "p.yaml:8: malformed fingerprint"},
		{"file signature at one place", head + "signature: S.sig\n" + minis, `p.yaml:4: a signature without "manifest" is of the file itself`},
		{"file signature for a folder", head + "signature: '{dir}/S.sig'\n" + minis, "is of the file itself"},
		{"file signature with algorithm", direct + minis + "    algorithm: sha256\n", "algorithm is for a manifest"},
		{"file signature with format", direct + minis + "    format: gnu\n", "format is for a manifest"},
		{"file signature without keys", direct, `a signature needs "keys"`},
		{"file signature clear-signed", direct + "    type: clearsigned\n" + fpKey + files, "a clear-signed manifest needs"},
		{"file signature twice", direct + minis + "  - signature: '{dir}/{name}.sig'\n" + minis, `signature "{dir}/{name}.sig" is already on line 4`},
		{"binds_name of a manifest", signed + minis + "    binds_name: false\n", "binds_name is for a signature of the file itself"},
		{"binds_name no boolean by its tag", direct + minis + "    binds_name: !!bool yes\n", "binds_name must be true or false"},
		{"keys empty", signed + "    type: minisign\n    keys: []\n" + files, "p.yaml:7: keys is empty"},
		{"principals empty", signed + "    type: sshsig\n    principals: []\n" + files, "p.yaml:7: principals is empty"},
		{"eku empty", signed + "    type: cms\n    eku: []\n    roots: [r]\n", "p.yaml:7: eku is empty"},
		{"threshold of nothing", "rules:\n- paths: a\n  on_missing: publish\n  require: {threshold: 1}\n", "a threshold needs evidence"},
		{"binds_name no boolean", direct + minis + "    binds_name: comment\n", "binds_name must be true or false"},
		{"format unknown", head + "manifest: S\n    format: csv\n", `format "csv"`},
		{"server_hash false", head + "server_hash: false\n", "server_hash can only be true"},
		{"server_hash a text", head + "server_hash: XCRC\n", "server_hash must be true or false"},
		{"server_hash and more", head + "server_hash: true\n    manifest: S\n", `server_hash stands alone, without "manifest"`},
		{"server_hash twice", head + "server_hash: true\n  - server_hash: true\n", "p.yaml:5: server_hash is already on line 4"},
		{"on_stale unknown", signed + minis + "  on_stale: ignore\n", "on_stale must be quarantine or publish"},
		{"max_age without unit", signed + minis + "  max_age: 30\n", "max_age must be a text"},
		{"max_age in years", signed + minis + "  max_age: 1y\n", "p.yaml:8: max_age must be a number of hours"},
		{"max_age nothing", signed + minis + "  max_age: 0d\n", "max_age must be a number of hours"},
		{"max_age negative", signed + minis + "  max_age: -1d\n", "max_age must be a number of hours"},
		{"max_age too long", signed + minis + "  max_age: 3651d\n", "at most 3650d"},
		{"max_age unsigned", head + "manifest: S\n  max_age: 1d\n", "p.yaml:5: max_age is for signed evidence"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := ParsePolicy("p.yaml", []byte(test.text))
			if err == nil {
				t.Fatalf("accepted: %+v", p)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want %q", err, test.want)
			}
		})
	}
}

// signingKit is one kind of signature as a policy names it, and how to make one.
type signingKit struct {
	config   string            // of an evidence item, each line indented by four
	files    map[string]string // key files
	detached func(message string) []byte
	inline   func(message string) []byte // nil where the kind has no such form
}

func (k signingKit) policy(t *testing.T, item, rest string) *Policy {
	t.Helper()
	text := "rules:\n- paths: '**'\n  evidence:\n  - " + item + "\n" + k.config + rest
	p, err := ParsePolicy("policy.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	err = p.LoadKeys(func(name string) ([]byte, error) {
		if data, ok := k.files[name]; ok {
			return []byte(data), nil
		}
		return nil, os.ErrNotExist
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func openpgpKit(t *testing.T) signingKit {
	key := newTestKey(t)
	return signingKit{
		config:   "    type: openpgp\n    keys: [" + key.fingerprint + "]\n    key_files: [k]\n",
		files:    map[string]string{"k": string(key.public())},
		detached: func(message string) []byte { return key.sign(message) },
		inline:   func(message string) []byte { return clearSign(t, key.entity, message) },
	}
}

func clearSign(t *testing.T, entity *openpgp.Entity, message string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := clearsign.Encode(&buf, entity.PrivateKey, nil)
	if err == nil {
		_, err = w.Write([]byte(message))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return append(buf.Bytes(), '\n')
}

// minisignKit writes the trusted comment that comment gives, or a bare one.
func minisignKit(t *testing.T, comment func() string) signingKit {
	t.Helper()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signingKit{
		config: "    type: minisign\n    keys: [" + public.String() + "]\n",
		detached: func(message string) []byte {
			r := minisign.NewReader(strings.NewReader(message))
			if _, err := r.Read(make([]byte, len(message)+1)); err != nil && message != "" {
				t.Fatal(err)
			}
			return r.SignWithComments(private, comment(), "untrusted")
		},
	}
}

func signifyKit(t *testing.T) signingKit {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	id := "12345678"
	line := func(data []byte) string { return base64.StdEncoding.EncodeToString(append([]byte("Ed"+id), data...)) }
	sign := func(message string) []byte {
		return []byte("untrusted comment: signature\n" + line(ed25519.Sign(private, []byte(message))) + "\n")
	}
	return signingKit{
		config:   "    type: signify\n    key_files: [k.pub]\n",
		files:    map[string]string{"k.pub": "untrusted comment: public key\n" + line(public) + "\n"},
		detached: sign,
		inline:   func(message string) []byte { return append(sign(message), message...) },
	}
}

func sshKit(t *testing.T, extra string) signingKit {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	allowed := "builds@example.org " + string(ssh.MarshalAuthorizedKey(signer.PublicKey()))
	return signingKit{
		config: "    type: sshsig\n    key_files: [allowed]\n" + extra,
		files:  map[string]string{"allowed": allowed},
		detached: func(message string) []byte {
			sig, err := sshsig.Sign(strings.NewReader(message), signer, sshsig.HashSHA512, "file")
			if err != nil {
				t.Fatal(err)
			}
			return sshsig.Armor(sig)
		},
	}
}

func cmsKit(t *testing.T) signingKit {
	e := newEdCMS(t)
	root := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.cert.Raw})
	return signingKit{
		config:   "    type: cms\n    roots: [partner.pem]\n    eku: [emailProtection, codeSigning]\n",
		files:    map[string]string{"partner.pem": string(root)},
		detached: func(message string) []byte { return e.sign(t, usual(t, message)...) },
	}
}

func noComment() string { return "" }

// Every kind through the policy: of a manifest, within it, and of the file.
func TestDecideKinds(t *testing.T) {
	kits := map[string]signingKit{
		"openpgp": openpgpKit(t), "minisign": minisignKit(t, noComment), "signify": signifyKit(t),
		"sshsig":           sshKit(t, ""),
		"cms":              cmsKit(t),
		"sshsig principal": sshKit(t, "    principals: [nobody@example.org, builds@example.org]\n"),
	}
	for name, kit := range kits {
		t.Run(name, func(t *testing.T) {
			list := sums(SHA256, map[string]string{"a": "content"})
			p := kit.policy(t, "manifest: SHA256SUMS\n    signature: SHA256SUMS.sig", "")
			files := tree{"a": "content", "SHA256SUMS": list, "SHA256SUMS.sig": string(kit.detached(list))}
			check(t, files.decide(p, "a"), Authentic, true, "signed by")
			check(t, files.decide(p, "SHA256SUMS"), Authentic, true)
			check(t, files.decide(p, "SHA256SUMS.sig"), Authentic, true)
			files["SHA256SUMS"] += "\n"
			check(t, files.decide(p, "a"), Unverified, false, "bad signature")

			direct := kit.policy(t, "signature: '{dir}/{name}.sig'\n    binds_name: false", "")
			files = tree{"d/a": "content", "d/a.sig": string(kit.detached("content"))}
			check(t, files.decide(direct, "d/a"), Authentic, true, "d/a.sig is a valid signature of these bytes by")
			check(t, files.decide(direct, "d/a.sig"), Authentic, true, "d/a.sig is a valid signature of d/a by")
			files["d/a"] = "contents"
			check(t, files.decide(direct, "d/a"), Unverified, false, "bad signature")
			check(t, files.decide(direct, "d/a.sig"), Unverified, false, "bad signature")
			delete(files, "d/a.sig")
			check(t, files.decide(direct, "d/a"), Unverified, false, "d/a.sig is not on the server")

			if kit.inline == nil {
				return
			}
			within := kit.policy(t, "manifest: SHA256SUMS", "")
			files = tree{"a": "content", "SHA256SUMS": string(kit.inline(list))}
			check(t, files.decide(within, "a"), Authentic, true, "signed by")
			check(t, files.decide(within, "SHA256SUMS"), Authentic, true)
			files["SHA256SUMS"] = list
			check(t, files.decide(within, "a"), Unverified, false, "the signature in it is refused")
			files["SHA256SUMS"] = sha256A + "  a\n" + string(kit.inline(list))
			check(t, files.decide(within, "a"), Unverified, false)
		})
	}
	strangers := sshKit(t, "    principals: [nobody@example.org, somebody@example.org]\n")
	list := sums(SHA256, map[string]string{"a": "content"})
	text := "type: sshsig\n    key_files: [allowed]\n    principals: [builds@example.org]\n"
	if _, err := ParsePolicy("p", []byte("rules:\n- paths: a\n  evidence:\n  - manifest: S\n    signature: S.sig\n    "+text)); err != nil {
		t.Error(err)
	}
	p := strangers.policy(t, "manifest: SHA256SUMS\n    signature: SHA256SUMS.sig", "")
	files := tree{"a": "content", "SHA256SUMS": list, "SHA256SUMS.sig": string(strangers.detached(list))}
	check(t, files.decide(p, "a"), Unverified, false, "refused")
}

// A signature of the file itself says nothing of its name: somebody can serve
// one signed file as another.
func TestAttackSignedFileUnderAnotherName(t *testing.T) {
	comment := ""
	kit := minisignKit(t, func() string { return comment })
	const item = "signature: '{dir}/{name}.minisig'"
	strict, lax := kit.policy(t, item, ""), kit.policy(t, item+"\n    binds_name: false", "")
	published := kit.policy(t, item, "  on_weak: publish\n")
	tests := []struct {
		comment       string
		strict, other Verdict // of the strict policy, under the name tool-2.tar and as tool-1.tar
	}{
		{"", Intact, Intact},
		{"timestamp:1700000000", Intact, Intact},
		{"timestamp:1700000000\tfile:tool-2.tar\thashed", Authentic, Unverified},
		{"file:tool-2.tar", Authentic, Unverified},
		{"file:dir/tool-2.tar", Unverified, Unverified},
		{"file:", Unverified, Unverified},
		{"see file:tool-2.tar", Intact, Intact},
	}
	for _, test := range tests {
		t.Run(test.comment, func(t *testing.T) {
			comment = test.comment
			sig := string(kit.detached("content"))
			for name, want := range map[string]Verdict{"tool-2.tar": test.strict, "tool-1.tar": test.other} {
				files := tree{name: "content", name + ".minisig": sig}
				check(t, files.decide(strict, name), want, want == Authentic)
				check(t, files.decide(published, name), want, want != Unverified)
				check(t, files.decide(lax, name), Authentic, true, "the policy takes it for this name too")
			}
		})
	}
}

// The file must be the one that was hashed, and the whole of it.
func TestAttackFileExchangedBetweenVerifyAndHash(t *testing.T) {
	kit := minisignKit(t, noComment)
	p := kit.policy(t, "signature: '{dir}/{name}.sig'\n    binds_name: false", "  on_missing: publish\n  on_weak: publish\n")
	ref := p.Wants("a")[0]
	pending := LoadEvidence(ref, EvidenceFiles{Signature: kit.detached("content")}, time.Now())
	if !pending.NeedsFile() || ref.File != "a" || ref.Manifest != "" || !p.IsFileSignature("a.sig") || p.IsFileSignature("a") {
		t.Fatalf("%+v of %+v", pending, ref)
	}
	check(t, p.Decide(subject("a", "content"), pending), Unverified, true, "was not held against its signature")
	e, err := pending.VerifyFile(strings.NewReader("content"), time.Now())
	if err != nil || e.Signer == nil {
		t.Fatal(err, e.Err)
	}
	check(t, p.Decide(subject("a", "content"), e), Authentic, true)
	check(t, p.Decide(subject("a", "exchanged"), e), Bad, false, "changed while it was judged")
	check(t, p.Decide(Subject{Path: "a"}, e), Unverified, true, "no sha256")

	broken := fmt.Errorf("disk on fire")
	if _, err := pending.VerifyFile(failingReader{broken}, time.Now()); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("a file that cannot be read: %v", err)
	}
	again, err := e.VerifyFile(failingReader{broken}, time.Now())
	if err != nil || again != e {
		t.Errorf("verified twice: %v", err)
	}
}

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

func TestServerHash(t *testing.T) {
	key := newTestKey(t)
	const rule = "rules:\n- paths: '**'\n  evidence: [{server_hash: true}]\n"
	p, lenient := key.policy(rule), key.policy(rule+"  on_weak: publish\n  on_missing: publish\n")
	s := subject("a", "content", MD5, SHA1)
	md5, _ := s.digest(MD5)
	sha1, _ := s.digest(SHA1)
	other, _ := subject("a", "other", MD5).digest(MD5)
	sha512, _ := subject("a", "content", SHA512).digest(SHA512)
	tests := []struct {
		name    string
		digest  Digest
		err     error
		verdict Verdict
		want    string
	}{
		{"same", md5, nil, Intact, "the server's XMD5 says md5:"},
		{"same by SHA-1", sha1, nil, Intact, "nothing broke on the way"},
		{"another", other, nil, Bad, "it changed on the way or on the server"},
		{"not computed", sha512, nil, Unverified, "was not computed"},
		{"no command", Digest{}, nil, Unverified, "has no command for it"},
		{"refused", Digest{}, fmt.Errorf("550 busy"), Unverified, "550 busy"},
		{"short", Digest{MD5, []byte{1}}, nil, Unverified, "has no command"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ref := p.Wants("a")[0]
			if !ref.ServerHash() || ref.File != "a" || ref.Signed() {
				t.Fatalf("%+v", ref)
			}
			d := p.Decide(s, ServerHashEvidence(ref, "XMD5", test.digest, test.err))
			check(t, d, test.verdict, false, test.want)
			check(t, lenient.Decide(s, ServerHashEvidence(lenient.Wants("a")[0], "XMD5", test.digest, test.err)),
				test.verdict, test.verdict != Bad, test.want)
		})
	}
	check(t, p.Decide(s), Unverified, false, "the server's hash of a was not loaded")
	if e := LoadEvidence(p.Wants("a")[0], EvidenceFiles{Manifest: []byte("x")}, time.Now()); e.Err == nil {
		t.Error("a server's hash was loaded from a file")
	}
	signed := key.policy(signedPolicy)
	if e := ServerHashEvidence(signed.Wants("a")[0], "XMD5", md5, nil); e.Err == nil {
		t.Error("a server's hash stands for a manifest")
	}
}

// The one thing that a server's hash may not do is to outvote a signature.
func TestServerHashBesideSignature(t *testing.T) {
	key := newTestKey(t)
	p := key.policy(signedPolicy + "  - server_hash: true\n  require: any\n")
	list := sums(SHA256, map[string]string{"a": "content"})
	files := tree{"a": "content", "SHA256SUMS": list, "SHA256SUMS.asc": string(key.sign(list))}
	s := subject("a", "content")
	evidence := files.evidence(p, "a")
	good, _ := s.digest(SHA256)
	bad, _ := subject("a", "x").digest(SHA256)
	refs := p.Wants("a")
	check(t, p.Decide(s, evidence[0], ServerHashEvidence(refs[1], "HASH", good, nil)), Authentic, true)
	check(t, p.Decide(s, evidence[0], ServerHashEvidence(refs[1], "HASH", Digest{}, nil)), Authentic, true)
	check(t, p.Decide(s, evidence[0], ServerHashEvidence(refs[1], "HASH", bad, nil)), Bad, false)
	check(t, p.Decide(s, ServerHashEvidence(refs[1], "HASH", good, nil)), Intact, false)
}
