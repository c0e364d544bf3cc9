package integrity

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/google/go-cmp/cmp"
)

// testKey signs without gpg, for tests in which the signature is not the point.
type testKey struct {
	t           *testing.T
	entity      *openpgp.Entity
	fingerprint string
}

func newTestKey(t *testing.T) testKey {
	t.Helper()
	entity, err := openpgp.NewEntity("tester", "", "tester@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	return testKey{t, entity, fingerprintText(entity.PrimaryKey.Fingerprint)}
}

func (k testKey) public() []byte {
	k.t.Helper()
	var buf bytes.Buffer
	if err := k.entity.Serialize(&buf); err != nil {
		k.t.Fatal(err)
	}
	return buf.Bytes()
}

func (k testKey) sign(message string) []byte {
	k.t.Helper()
	var buf bytes.Buffer
	if err := openpgp.DetachSign(&buf, []*openpgp.Entity{k.entity}, strings.NewReader(message), nil); err != nil {
		k.t.Fatal(err)
	}
	return buf.Bytes()
}

// policy parses YAML in which KEY stands for the key's fingerprint and
// "partner.pgp" for its file.
func (k testKey) policy(text string) *Policy {
	k.t.Helper()
	p, err := ParsePolicy("policy.yaml", []byte(strings.ReplaceAll(text, "KEY", k.fingerprint)))
	if err != nil {
		k.t.Fatal(err)
	}
	err = p.LoadKeys(func(name string) ([]byte, error) {
		if name != "partner.pgp" {
			return nil, os.ErrNotExist
		}
		return k.public(), nil
	})
	if err != nil {
		k.t.Fatal(err)
	}
	return p
}

const fp40 = "0123456789ABCDEF0123456789ABCDEF01234567"

func TestParsePolicyErrors(t *testing.T) {
	signed := "rules:\n- paths: '**'\n  evidence:\n  - manifest: S\n    signature: S.asc\n"
	keys := "    keys: ['" + fp40 + "']\n    key_files: [k]\n"
	unsigned := "rules:\n- paths: '**'\n  evidence:\n  - manifest: S\n"
	tests := []struct {
		name, text, want string
	}{
		{"empty", "", "p.yaml: empty"},
		{"comment only", "# nothing\n", "p.yaml: empty"},
		{"not YAML", "rules: [\n", "p.yaml:"},
		{"bad indent", "rules:\n- paths: a\n b: c\n", "p.yaml:2: "},
		{"control character", "rules: \x01\n", "p.yaml: "},
		{"scalar", "rules\n", "p.yaml:1: the policy must be a mapping"},
		{"no rules", "{}\n", `p.yaml:1: "rules:" is missing`},
		{"rules empty", "rules: []\n", "p.yaml:1: rules has no rule"},
		{"rules null", "rules:\n", "p.yaml:1: rules must be a list"},
		{"rules a mapping", "rules: {}\n", "p.yaml:1: rules must be a list"},
		{"two documents", unsigned + "---\nrules: []\n", "one YAML document"},
		{"unknown key at top", unsigned + "rule: 1\n", `p.yaml:5: unknown key "rule"`},
		{"unknown key in a rule", "rules:\n- paths: a\n  path: b\n  on_missing: publish\n", `p.yaml:3: unknown key "path" in a rule`},
		{"unknown key in evidence", unsigned + "    manifests: x\n", `p.yaml:5: unknown key "manifests"`},
		{"key twice", "rules:\n- paths: a\n  paths: b\n  on_missing: publish\n", `p.yaml:3: "paths" is already on line 2`},
		{"alias", "rules:\n- &a\n  paths: a\n  on_missing: publish\n- *a\n", "p.yaml:2: anchors"},
		{"alias as a value", "rules:\n- paths: &a x\n  source: *a\n  on_missing: publish\n", "p.yaml:2: anchors"},
		{"merge", "rules:\n- paths: a\n  <<: {on_weak: publish}\n  on_missing: publish\n", `unknown key "<<"`},
		{"rule a scalar", "rules: [x]\n", "p.yaml:1: a rule must be a mapping"},
		{"no paths", "rules:\n- on_missing: publish\n", `p.yaml:2: a rule needs "paths"`},
		{"paths a list", "rules:\n- paths: [a]\n  on_missing: publish\n", "p.yaml:2: paths must be a text"},
		{"paths absolute", "rules:\n- paths: /a\n  on_missing: publish\n", "p.yaml:2: paths"},
		{"paths with ..", "rules:\n- paths: a/../b\n  on_missing: publish\n", `"." and ".."`},
		{"paths with a**", "rules:\n- paths: 'a**'\n  on_missing: publish\n", `"**" must stand alone`},
		{"source empty", "rules:\n- paths: a\n  source: ''\n  on_missing: publish\n", "p.yaml:3: source must be a text"},
		{"no evidence, no on_missing", "rules:\n- paths: a\n", "p.yaml:2: a rule without evidence"},
		{"require unknown", unsigned + "  require: most\n", "p.yaml:5: require must be any, all or {threshold: n}"},
		{"require a list", unsigned + "  require: [any]\n", "p.yaml:5: require must be"},
		{"require empty", unsigned + "  require: {}\n", "p.yaml:5: require must be"},
		{"threshold 0", unsigned + "  require: {threshold: 0}\n", "p.yaml:5: threshold must be a number from 1 to 1"},
		{"threshold too high", unsigned + "  require: {threshold: 2}\n", "threshold must be a number from 1 to 1"},
		{"threshold a text", unsigned + "  require: {threshold: all}\n", "threshold must be a number"},
		{"min_hash weak", unsigned + "  min_hash: sha1\n", "p.yaml:5: min_hash must be sha256"},
		{"min_hash unknown", unsigned + "  min_hash: crc\n", "p.yaml:5: min_hash must be sha256"},
		{"on_missing unknown", unsigned + "  on_missing: drop\n", "p.yaml:5: on_missing must be quarantine or publish"},
		{"on_weak a boolean", unsigned + "  on_weak: yes\n", "p.yaml:5: on_weak must be"},
		{"no on_bad", unsigned + "  on_bad: publish\n", `unknown key "on_bad"`},
		{"evidence a mapping", "rules:\n- paths: a\n  evidence: {manifest: S}\n", "p.yaml:3: evidence must be a list"},
		{"evidence of nothing", "rules:\n- paths: a\n  evidence:\n  - type: openpgp\n", `p.yaml:4: evidence needs "manifest", "signature" or "server_hash: true"`},
		{"evidence twice", unsigned + "  - manifest: S\n", `p.yaml:5: manifest "S" is already on line 4`},
		{"manifest absolute", "rules:\n- paths: a\n  evidence: [{manifest: /S}]\n", "p.yaml:3: manifest"},
		{"manifest with ..", "rules:\n- paths: a\n  evidence: [{manifest: ../S}]\n", "p.yaml:3: manifest"},
		{"dir in the middle", "rules:\n- paths: a\n  evidence: [{manifest: 'x/{dir}/S'}]\n", "placeholders"},
		{"dir and a folder", "rules:\n- paths: a\n  evidence: [{manifest: '{dir}/x/S'}]\n", "takes one name"},
		{"dir and ..", "rules:\n- paths: a\n  evidence: [{manifest: '{dir}/..'}]\n", "not allowed"},
		{"name alone", "rules:\n- paths: a\n  evidence: [{manifest: '{name}.sha256'}]\n", "placeholders"},
		{"the file itself", "rules:\n- paths: a\n  evidence: [{manifest: '{dir}/{name}'}]\n", "name of the file itself"},
		{"name twice", "rules:\n- paths: a\n  evidence: [{manifest: '{dir}/{name}{name}'}]\n", "placeholders"},
		{"unknown placeholder", "rules:\n- paths: a\n  evidence: [{manifest: '{dir}/{base}'}]\n", "placeholders"},
		{"algorithm unknown", unsigned + "    algorithm: crc64\n", "p.yaml:5: algorithm must be one of"},
		{"type unknown", signed + "    type: pgp\n" + keys, `p.yaml:6: type "pgp" is not known`},
		{"signature without keys", signed + "    key_files: [k]\n", `p.yaml:4: a signature needs "keys"`},
		{"signature with no key", signed + "    keys: []\n    key_files: [k]\n", `a signature needs "keys"`},
		{"signature without key files", signed + "    keys: ['" + fp40 + "']\n", `p.yaml:4: a signature needs "key_files"`},
		{"short key id", signed + "    key_files: [k]\n    keys:\n    - 0123456789ABCDEF\n", "p.yaml:8: malformed fingerprint"},
		{"keys without signature", unsigned + "    keys: ['" + fp40 + "']\n", `p.yaml:4: keys without "signature"`},
		{"signature is the manifest", strings.Replace(signed, "S.asc", "S", 1) + keys, "the same file"},
		{"signature of another shape", strings.Replace(signed, "S.asc", "'{dir}/S.asc'", 1) + keys, "same placeholders"},
		{"too large", strings.Repeat("#", MaxPolicyBytes+1), "p.yaml: more than"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := ParsePolicy("p.yaml", []byte(test.text))
			if err == nil {
				t.Fatalf("accepted: %+v", p)
			}
			var where *PolicyError
			if !errors.As(err, &where) || where.File != "p.yaml" {
				t.Errorf("%v is no *PolicyError", err)
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %q, want %q", err, test.want)
			}
		})
	}
}

func TestParsePolicyReportsSeveral(t *testing.T) {
	_, err := ParsePolicy("p.yaml", []byte("rules:\n- paths: /a\n  on_weak: x\n- paths: b\n"))
	for _, line := range []string{"p.yaml:2: ", "p.yaml:3: ", "p.yaml:4: "} {
		if err == nil || !strings.Contains(err.Error(), line) {
			t.Errorf("%v, want also %s", err, line)
		}
	}
	_, err = ParsePolicy("p.yaml", []byte("rules:\n"+strings.Repeat("- {}\n", 1000)))
	if n := strings.Count(err.Error(), "\n") + 1; n != maxPolicyErrors {
		t.Errorf("%d errors, want %d", n, maxPolicyErrors)
	}
}

func TestWants(t *testing.T) {
	key := newTestKey(t)
	signing := ", type: openpgp, keys: [KEY], key_files: [partner.pgp]}\n"
	p := key.policy(`
rules:
- paths: "iso/**"
  evidence:
  - {manifest: "{dir}/SHA256SUMS", signature: "{dir}/SHA256SUMS.asc"` + signing + `
  - {manifest: "{dir}/{name}.md5"}
- paths: "**"
  evidence:
  - {manifest: ALL/SHA512SUMS, signature: ALL/SHA512SUMS.sig` + signing)
	const isoSums, allSums = "iso/a/SHA256SUMS iso/a/SHA256SUMS.asc", "ALL/SHA512SUMS ALL/SHA512SUMS.sig"
	tests := map[string][]string{
		"iso/a/x":              {isoSums, "iso/a/x.md5 "},
		"iso/a/x.md5":          {"iso/a/x.md5 ", isoSums, "iso/a/x.md5.md5 "},
		"iso/a/SHA256SUMS":     {isoSums, "iso/a/SHA256SUMS.md5 "},
		"iso/a/SHA256SUMS.asc": {isoSums, "iso/a/SHA256SUMS.asc.md5 "},
		"x/y":                  {allSums},
		"ALL/SHA512SUMS.sig":   {allSums},
		"y.md5":                {allSums}, // the rule with .md5 files is for iso/ only
		"SHA256SUMS":           {"SHA256SUMS SHA256SUMS.asc", allSums},
	}
	for path, want := range tests {
		var got []string
		for _, ref := range p.Wants(path) {
			got = append(got, ref.Manifest+" "+ref.Signature)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
	if p.Wants("iso/a/x")[0] != p.Wants("iso/a/y")[0] {
		t.Error("one manifest has two references")
	}
}

func TestForSource(t *testing.T) {
	key := newTestKey(t)
	p := key.policy(`
rules:
- {paths: "**", source: "ftp://a.example/**", evidence: [{manifest: A}]}
- {paths: "**", source: b, evidence: [{manifest: B}]}
- {paths: "**", evidence: [{manifest: C}]}
`)
	for names, want := range map[string]string{
		"ftp://a.example/pub": "A", "b": "B", "ftp://b.example/pub": "C", "": "C", "x b": "B",
	} {
		refs := p.ForSource(strings.Fields(names)...).Wants("file")
		if len(refs) != 1 || refs[0].Manifest != want {
			t.Errorf("%q: %+v, want %s", names, refs, want)
		}
	}
}

func TestLoadPolicy(t *testing.T) {
	key := newTestKey(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const form = `rules:
- paths: "**"
  evidence:
  - manifest: SHA256SUMS
    signature: SHA256SUMS.asc
    keys: ["%s"]
    key_files: ["%s"]
`
	write("partner.pgp", string(key.public()))
	policy := write("policy.yaml", fmt.Sprintf(form, key.fingerprint, "partner.pgp"))
	p, err := LoadPolicy(policy)
	if err != nil {
		t.Fatal(err)
	}
	sums := sha256A + "  a\n"
	e := LoadEvidence(p.Wants("a")[0], EvidenceFiles{Manifest: []byte(sums), Signature: key.sign(sums)}, time.Now())
	if e.Err != nil {
		t.Error(e.Err)
	}

	absolute := write("absolute.yaml", fmt.Sprintf(form, key.fingerprint, filepath.Join(dir, "partner.pgp")))
	if _, err := LoadPolicy(absolute); err != nil {
		t.Error(err)
	}
	for name, text := range map[string]string{
		"no such file":   fmt.Sprintf(form, key.fingerprint, "none.pgp"),
		"not a key file": fmt.Sprintf(form, key.fingerprint, "policy.yaml"),
		"another key":    fmt.Sprintf(form, fp40, "partner.pgp"),
	} {
		path := write("bad.yaml", text)
		var where *PolicyError
		if _, err := LoadPolicy(path); !errors.As(err, &where) || where.Line != 6 || where.File != path {
			t.Errorf("%s: %v, want a *PolicyError on line 6", name, err)
		}
	}
	if _, err := LoadPolicy(filepath.Join(dir, "none.yaml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no policy: %v", err)
	}
	if _, err := LoadPolicy(write("large.yaml", strings.Repeat("#", MaxPolicyBytes+1))); err == nil {
		t.Error("a large policy is accepted")
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add([]byte("rules:\n- paths: '**'\n  require: {threshold: 1}\n  evidence:\n  - manifest: '{dir}/{name}.md5'\n  min_hash: sha512\n"))
	f.Add([]byte("rules: [{paths: 'a/*', source: 'ftp://**', evidence: [{manifest: S, signature: S.asc, type: openpgp, keys: ['" +
		fp40 + "'], key_files: [k]}], on_missing: publish, on_weak: quarantine}]"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte("rules: [{paths: '**', max_age: 30d, on_stale: publish, evidence: [{server_hash: true}, {signature: '{dir}/{name}.sig', " +
		"type: sshsig, key_files: [k], namespace: file, principals: [a], binds_name: false}, {manifest: S, type: signify, roots: [r], eku: [codeSigning]}]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := ParsePolicy("p.yaml", data)
		if err != nil {
			var where *PolicyError
			if !errors.As(err, &where) {
				t.Fatalf("%v is no *PolicyError", err)
			}
			return
		}
		subject := Subject{Path: "a/b.md5", Digests: []Digest{digestOf(nil)}}
		var evidence []*Evidence
		for _, ref := range p.Wants(subject.Path) {
			e := LoadEvidence(ref, EvidenceFiles{Manifest: data, Signature: data}, time.Now())
			if e.NeedsFile() {
				t.Fatalf("%s was loaded without keys", ref)
			}
			e, err := e.Freshen(t.Context(), newMemory(), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			evidence = append(evidence, e)
		}
		if d := p.Decide(subject, evidence...); d.Verdict == Authentic || d.Reason == "" {
			t.Fatalf("%+v", d)
		}
	})
}
