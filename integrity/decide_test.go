package integrity

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// tree is a source's files by path, as a bridge would hold them.
type tree map[string]string

func subject(path, content string, algs ...Algorithm) Subject {
	d, err := NewDigester(algs...)
	if err != nil {
		panic(err)
	}
	fmt.Fprint(d, content)
	return Subject{Path: path, Size: d.Size(), Digests: d.Sums()}
}

// evidence loads what the policy wants for a path from the tree.
func (files tree) evidence(p *Policy, path string) []*Evidence {
	var list []*Evidence
	for _, ref := range p.Wants(path) {
		var got EvidenceFiles
		if text, ok := files[ref.Manifest]; ok {
			got.Manifest = []byte(text)
		}
		if text, ok := files[ref.Signature]; ok {
			got.Signature = []byte(text)
		}
		if !ref.ServerHash() {
			list = append(list, files.verify(LoadEvidence(ref, got, time.Now())))
		}
	}
	return list
}

// verify holds a signature of a file against the file.
func (files tree) verify(e *Evidence) *Evidence {
	done, err := e.VerifyFile(strings.NewReader(files[e.Ref.File]), time.Now())
	if err != nil {
		panic(err)
	}
	return done
}

func (files tree) decide(p *Policy, path string) Decision {
	evidence := files.evidence(p, path)
	s := subject(path, files[path], p.Algorithms(Subject{Path: path}, evidence...)...)
	return p.Decide(s, evidence...)
}

func sums(alg Algorithm, files map[string]string) string {
	var text strings.Builder
	for name, content := range files {
		d, _ := subject(name, content, alg).digest(alg)
		_, hex, _ := strings.Cut(d.String(), ":")
		text.WriteString(hex + "  " + name + "\n")
	}
	return text.String()
}

const signedPolicy = `
rules:
- paths: "**"
  evidence:
  - manifest: SHA256SUMS
    signature: SHA256SUMS.asc
    type: openpgp
    keys: [KEY]
    key_files: [partner.pgp]
`

// check compares a decision; every part of want must be in the reason.
func check(t *testing.T, d Decision, verdict Verdict, publish bool, want ...string) {
	t.Helper()
	if d.Verdict != verdict || d.Publish != publish {
		t.Errorf("%s, publish %v; want %s, %v: %s", d.Verdict, d.Publish, verdict, publish, d.Reason)
	}
	for _, part := range want {
		if !strings.Contains(d.Reason, part) {
			t.Errorf("reason %q does not say %q", d.Reason, part)
		}
	}
	if strings.Contains(d.Reason, "\n") || d.Reason == "" {
		t.Errorf("reason %q is not one line", d.Reason)
	}
}

func TestDecideSigned(t *testing.T) {
	key := newTestKey(t)
	p := key.policy(signedPolicy)
	list := sums(SHA256, map[string]string{"a": "content of a", "dir/b": "content of b", "tampered": "before"})
	files := tree{
		"a": "content of a", "dir/b": "content of b", "tampered": "after", "extra/unlisted.txt": "x",
		"b": "content of b", "dir/a": "content of a",
		"SHA256SUMS": list, "SHA256SUMS.asc": string(key.sign(list)),
	}
	check(t, files.decide(p, "a"), Authentic, true, "SHA256SUMS (signed by "+key.fingerprint+") lists sha256:")
	check(t, files.decide(p, "dir/b"), Authentic, true)
	check(t, files.decide(p, "tampered"), Bad, false,
		"SHA256SUMS (signed by "+key.fingerprint+") lists sha256:", " but the file has sha256:")
	check(t, files.decide(p, "extra/unlisted.txt"), Unverified, false,
		`no manifest names this file: SHA256SUMS has 3 entries, none is "extra/unlisted.txt"`)
	// The right digest under another name, and another's base name, prove nothing.
	check(t, files.decide(p, "b"), Unverified, false, "no manifest names this file")
	check(t, files.decide(p, "dir/a"), Unverified, false, "no manifest names this file")
	check(t, files.decide(p, "SHA256SUMS"), Authentic, true, "SHA256SUMS is signed by "+key.fingerprint)
	check(t, files.decide(p, "SHA256SUMS.asc"), Authentic, true, "SHA256SUMS.asc is a valid signature of SHA256SUMS by")

	d := files.decide(p, "a")
	if d.Rule != "policy.yaml:3" || len(d.Evidence) != 1 {
		t.Fatalf("%+v", d)
	}
	f := d.Evidence[0]
	if f.Manifest != "SHA256SUMS" || f.Signature != "SHA256SUMS.asc" || f.Signer.Fingerprint != key.fingerprint ||
		f.Signer.Created.IsZero() || !f.ManifestDigest.Equal(digestOf([]byte(list))) || f.Verdict != Authentic {
		t.Errorf("finding %+v", f)
	}
}

// Everything that can be wrong with evidence leaves the file unverified: it is
// published only if on_missing says so, and the reason tells what is wrong.
func TestDecideWithoutUsableEvidence(t *testing.T) {
	key, stranger := newTestKey(t), newTestKey(t)
	list := sums(SHA256, map[string]string{"a": "content"})
	broken := list + "garbage\n"
	parent := list + sha256A + "  ../x\n"
	conflict := list + sha256A + "  x\n" + sha256B + "  x\n"
	clearSigned := "-----BEGIN PGP SIGNED MESSAGE-----\n\n" + list
	tests := []struct {
		name  string
		files tree
		want  string
	}{
		{"nothing there", tree{}, "SHA256SUMS is not on the server"},
		{"no signature", tree{"SHA256SUMS": list}, "its signature SHA256SUMS.asc is not on the server"},
		{"only a signature", tree{"SHA256SUMS.asc": string(key.sign(list))}, "SHA256SUMS is not on the server"},
		{"signature empty", tree{"SHA256SUMS": list, "SHA256SUMS.asc": ""}, "malformed signature"},
		{"signature of other bytes", tree{"SHA256SUMS": list, "SHA256SUMS.asc": string(key.sign(list + "\n"))}, "bad signature"},
		{"line ends changed", tree{"SHA256SUMS": strings.ReplaceAll(list, "\n", "\r\n"), "SHA256SUMS.asc": string(key.sign(list))}, "bad signature"},
		{"signature by a stranger", tree{"SHA256SUMS": list, "SHA256SUMS.asc": string(stranger.sign(list))}, "unknown key " + stranger.fingerprint},
		{"line that does not parse", tree{"SHA256SUMS": broken, "SHA256SUMS.asc": string(key.sign(broken))}, "line 2: line does not parse"},
		{"name outside", tree{"SHA256SUMS": parent, "SHA256SUMS.asc": string(key.sign(parent))}, "line 2: name refused"},
		{"name twice", tree{"SHA256SUMS": conflict, "SHA256SUMS.asc": string(key.sign(conflict))}, "line 3: two different digests"},
		{"clear-signed in place of plain", tree{"SHA256SUMS": clearSigned, "SHA256SUMS.asc": string(key.sign(clearSigned))}, "OpenPGP armor"},
		{"manifest empty", tree{"SHA256SUMS": "", "SHA256SUMS.asc": string(key.sign(""))}, "names no file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, content := range []string{"content", "tampered"} {
				test.files["a"] = content
				check(t, test.files.decide(key.policy(signedPolicy), "a"), Unverified, false, test.want)
				lenient := key.policy(signedPolicy + "  on_missing: publish\n")
				check(t, test.files.decide(lenient, "a"), Unverified, true, test.want)
			}
		})
	}
}

func TestDecideWeakEvidence(t *testing.T) {
	key := newTestKey(t)
	content := map[string]string{"a": "content", "bad": "before"}
	signing := ", keys: [KEY], key_files: [partner.pgp]"
	list := func(alg Algorithm) tree {
		text := sums(alg, content)
		return tree{"a": "content", "bad": "after", "S": text, "S.asc": string(key.sign(text))}
	}
	tests := []struct {
		name, evidence, minHash string
		files                   tree
		verdict                 Verdict
		want                    string
	}{
		{"unsigned", "manifest: S, algorithm: sha256", "sha256", list(SHA256), Intact, "is not signed"},
		{"signed MD5", "manifest: S, algorithm: md5, signature: S.asc" + signing, "sha256", list(MD5), Intact, "the policy asks for sha256"},
		{"signed SHA-1", "manifest: S, algorithm: sha1, signature: S.asc" + signing, "sha256", list(SHA1), Intact, "the policy asks for sha256"},
		{"below min_hash", "manifest: S, algorithm: sha256, signature: S.asc" + signing, "sha512", list(SHA256), Intact, "the policy asks for sha512"},
		{"above min_hash", "manifest: S, algorithm: blake2b, signature: S.asc" + signing, "sha384", list(BLAKE2b), Authentic, "lists blake2b:"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := "rules:\n- paths: '**'\n  evidence: [{" + test.evidence + "}]\n  min_hash: " + test.minHash + "\n"
			check(t, test.files.decide(key.policy(text), "a"), test.verdict, test.verdict == Authentic, test.want)
			lenient := key.policy(text + "  on_weak: publish\n")
			check(t, test.files.decide(lenient, "a"), test.verdict, true, test.want)
			// Whatever the policy says, bad is not published.
			generous := key.policy(text + "  on_weak: publish\n  on_missing: publish\n")
			check(t, test.files.decide(generous, "bad"), Bad, false, "but the file has")
		})
	}
}

func TestDecideRequire(t *testing.T) {
	key := newTestKey(t)
	names := []string{"A", "B", "C"}
	tests := []struct {
		require string
		state   string // of A, B, C: + authentic, w unsigned, - does not name it, x contradicts
		verdict Verdict
	}{
		{"any", "+--", Authentic}, {"any", "--+", Authentic}, {"any", "---", Unverified}, {"any", "w--", Intact},
		{"any", "w-+", Authentic}, {"any", "+-x", Bad}, {"any", "++x", Bad}, {"any", "--x", Bad},
		{"all", "+++", Authentic}, {"all", "++-", Unverified}, {"all", "++w", Intact}, {"all", "www", Intact}, {"all", "++x", Bad},
		{"{threshold: 2}", "++-", Authentic}, {"{threshold: 2}", "+--", Unverified}, {"{threshold: 2}", "+w-", Intact},
		{"{threshold: 2}", "-++", Authentic}, {"{threshold: 2}", "w--", Unverified}, {"{threshold: 3}", "+++", Authentic},
		{"{threshold: 2}", "++x", Bad}, {"{threshold: 1}", "-+-", Authentic},
	}
	for _, test := range tests {
		t.Run(test.require+" "+test.state, func(t *testing.T) {
			files := tree{"file": "content"}
			text := "rules:\n- paths: file\n  require: " + test.require + "\n  evidence:\n"
			for i, name := range names {
				listed := map[byte]map[string]string{
					'+': {"file": "content"}, 'w': {"file": "content"}, '-': {"other": "content"}, 'x': {"file": "tampered"},
				}[test.state[i]]
				files[name] = sums(SHA256, listed)
				files[name+".asc"] = string(key.sign(files[name]))
				text += "  - {manifest: " + name + ", algorithm: sha256"
				if test.state[i] != 'w' {
					text += ", signature: " + name + ".asc, keys: [KEY], key_files: [partner.pgp]"
				}
				text += "}\n"
			}
			d := files.decide(key.policy(text), "file")
			check(t, d, test.verdict, test.verdict == Authentic)
			if len(d.Evidence) != len(names) {
				t.Errorf("%d findings, want %d", len(d.Evidence), len(names))
			}
		})
	}
}

// Names match by the server's bytes; the policy's patterns by what people see.
func TestDecideRawNames(t *testing.T) {
	key := newTestKey(t)
	list := sums(SHA256, map[string]string{"caf\xe9/\x83\x5c.txt": "x", "plain": "x", "\x83\x5c.txt": "y"})
	root := tree{"SHA256SUMS": list, "SHA256SUMS.asc": string(key.sign(list))}
	p := key.policy(signedPolicy)
	decide := func(p *Policy, files tree, path, raw, content string) Decision {
		s := subject(path, content)
		s.RawPath = raw
		return p.Decide(s, files.evidence(p, path)...)
	}
	check(t, decide(p, root, "café/ソ.txt", "caf\xe9/\x83\x5c.txt", "x"), Authentic, true)
	check(t, decide(p, root, "café/ソ.txt", "caf\xe9/\x83\x5c.txt", "z"), Bad, false)
	check(t, decide(p, root, "café/ソ.txt", "café/ソ.txt", "x"), Unverified, false, "none is")
	check(t, decide(p, root, "plain", "other", "x"), Unverified, false, `none is "other"`)
	check(t, decide(p, root, "plain", "dir/plain", "x"), Unverified, false, "cannot name this file")

	inDir := key.policy(strings.NewReplacer("SHA256SUMS.asc", `"{dir}/SHA256SUMS.asc"`, "manifest: SHA256SUMS", `manifest: "{dir}/SHA256SUMS"`).Replace(signedPolicy))
	below := tree{"été/SHA256SUMS": list, "été/SHA256SUMS.asc": string(key.sign(list))}
	check(t, decide(inDir, below, "été/ソ.txt", "\xe9t\xe9/\x83\x5c.txt", "y"), Authentic, true)
	check(t, decide(inDir, below, "été/café/ソ.txt", "\xe9t\xe9/caf\xe9/\x83\x5c.txt", "x"), Unverified, false, "is not on the server")

	fixed := key.policy(strings.NewReplacer("SHA256SUMS", "été/SHA256SUMS").Replace(signedPolicy))
	check(t, decide(fixed, below, "été/café/ソ.txt", "\xe9t\xe9/caf\xe9/\x83\x5c.txt", "x"), Authentic, true)
	check(t, decide(fixed, below, "café/ソ.txt", "caf\xe9/\x83\x5c.txt", "x"), Unverified, false, "not in its folder or below")
}

func TestDecideEvidenceFiles(t *testing.T) {
	key := newTestKey(t)
	p := key.policy(signedPolicy)
	list := sums(SHA256, map[string]string{"a": "content", "SHA256SUMS": ""}) // as "sha256sum * > SHA256SUMS" writes
	files := tree{"SHA256SUMS": list, "SHA256SUMS.asc": string(key.sign(list))}
	check(t, files.decide(p, "SHA256SUMS"), Authentic, true)

	evidence := files.evidence(p, "SHA256SUMS")
	for path, text := range map[string]string{"SHA256SUMS": list + "x", "SHA256SUMS.asc": files["SHA256SUMS.asc"] + "x"} {
		check(t, p.Decide(subject(path, text), evidence...), Bad, false, "changed while it was fetched")
	}
	check(t, p.Decide(Subject{Path: "SHA256SUMS"}, evidence...), Unverified, false, "no sha256")
	check(t, p.Decide(subject("SHA256SUMS", list)), Unverified, false, "was not loaded")

	files["SHA256SUMS.asc"] = "junk"
	check(t, files.decide(p, "SHA256SUMS"), Unverified, false, "malformed signature")
	check(t, files.decide(p, "SHA256SUMS.asc"), Unverified, false, "malformed signature")
	delete(files, "SHA256SUMS")
	check(t, files.decide(p, "SHA256SUMS.asc"), Unverified, false, "SHA256SUMS is not on the server")

	unsigned := "rules:\n- paths: '**'\n  evidence: [{manifest: SHA256SUMS}]\n"
	files["SHA256SUMS"] = list
	check(t, files.decide(key.policy(unsigned), "SHA256SUMS"), Unverified, false, "is a manifest that nothing signs")
	check(t, files.decide(key.policy(unsigned+"  on_weak: publish\n"), "SHA256SUMS"), Unverified, true)
	check(t, files.decide(key.policy(unsigned+"  on_missing: publish\n"), "SHA256SUMS"), Unverified, true)
}

// A manifest that another one lists is judged by that too.
func TestDecideManifestInManifest(t *testing.T) {
	key := newTestKey(t)
	p := key.policy(signedPolicy + "  - {manifest: sub/MD5SUMS}\n")
	inner := sums(MD5, map[string]string{"f": "content"})
	for text, want := range map[string]Verdict{inner: Authentic, inner + "\n": Bad} {
		list := sums(SHA256, map[string]string{"sub/MD5SUMS": inner})
		files := tree{"SHA256SUMS": list, "SHA256SUMS.asc": string(key.sign(list)), "sub/MD5SUMS": text}
		check(t, files.decide(p, "sub/MD5SUMS"), want, want == Authentic)
	}
}

func TestDecideRules(t *testing.T) {
	key := newTestKey(t)
	p := key.policy(`
rules:
- {paths: "open/**", on_missing: publish}
- {paths: "closed/**", on_missing: quarantine}
- {paths: "data/*.dat", on_weak: publish, evidence: [{manifest: "{dir}/{name}.md5"}]}
`)
	md5OfX := sums(MD5, map[string]string{"x.dat": "x"})
	files := tree{"open/a": "", "closed/a": "", "data/x.dat": "x", "data/x.dat.md5": md5OfX, "data/y.dat": "y",
		"data/y.dat.md5": md5OfX, "other": ""}
	check(t, files.decide(p, "open/a"), Unverified, true, "asks for no evidence, and on_missing is publish")
	check(t, files.decide(p, "closed/a"), Unverified, false, "on_missing is quarantine")
	check(t, files.decide(p, "other"), Unverified, false, "no rule of policy.yaml covers this file")
	check(t, files.decide(p, "data/x.dat"), Intact, true, "data/x.dat.md5 lists md5:9dd4e461268c8034..", "not signed")
	check(t, files.decide(p, "data/x.dat.md5"), Unverified, true)
	check(t, files.decide(p, "data/y.dat"), Unverified, false, `data/y.dat.md5 has 1 entries, none is "y.dat"`)
}

func TestDecideSeveralDigests(t *testing.T) {
	key := newTestKey(t)
	p := key.policy(strings.ReplaceAll(signedPolicy, "SHA256SUMS", "CHECKSUM"))
	good := subject("a", "content", Algorithms()...)
	line := func(d Digest) string {
		_, hex, _ := strings.Cut(d.String(), ":")
		return fmt.Sprintf("%s (a) = %s\n", d.Algorithm.lookup().tag, hex)
	}
	md5, _ := good.digest(MD5)
	sha512, _ := good.digest(SHA512)
	other, _ := subject("a", "other", MD5).digest(MD5)
	decide := func(s Subject, list string) Decision {
		files := tree{"CHECKSUM": list, "CHECKSUM.asc": string(key.sign(list))}
		return p.Decide(s, files.evidence(p, "a")...)
	}
	check(t, decide(good, line(md5)+line(sha512)), Authentic, true, "lists sha512:")
	check(t, decide(good, line(md5)), Intact, false, "asks for sha256")
	check(t, decide(good, line(other)+line(sha512)), Bad, false, "lists md5:")
	// Only what was computed can be compared.
	check(t, decide(subject("a", "content"), line(sha512)), Unverified, false, "lists only sha512, which was not computed")
	check(t, decide(subject("a", "content", MD5), line(md5)+line(sha512)), Intact, false)

	files := tree{"CHECKSUM": line(md5) + line(sha512)}
	files["CHECKSUM.asc"] = string(key.sign(files["CHECKSUM"]))
	if got := p.Algorithms(Subject{Path: "a"}, files.evidence(p, "a")...); fmt.Sprint(got) != "[sha256 md5 sha512]" {
		t.Errorf("algorithms %v", got)
	}
	if got := p.Algorithms(Subject{Path: "b"}, append(files.evidence(p, "b"), nil)...); fmt.Sprint(got) != "[sha256]" {
		t.Errorf("algorithms %v", got)
	}
}

// What the bridge hands over wrongly must not open a door.
func TestDecideForeignEvidence(t *testing.T) {
	key, stranger := newTestKey(t), newTestKey(t)
	p, theirs := key.policy(signedPolicy), stranger.policy(signedPolicy)
	list := sums(SHA256, map[string]string{"a": "content"})
	files := tree{"a": "content", "SHA256SUMS": list, "SHA256SUMS.asc": string(stranger.sign(list))}
	evidence := files.evidence(theirs, "a")
	if evidence[0].Err != nil {
		t.Fatal(evidence[0].Err)
	}
	check(t, p.Decide(subject("a", "content"), evidence...), Unverified, false, "was not loaded")
	check(t, p.Decide(subject("a", "content"), nil, &Evidence{}), Unverified, false, "was not loaded")

	byHand := LoadEvidence(EvidenceRef{Manifest: "SHA256SUMS"}, EvidenceFiles{Manifest: []byte(list)}, time.Now())
	if byHand.Err == nil || byHand.Manifest != nil {
		t.Errorf("a reference made by hand is loaded: %+v", byHand)
	}
	unloaded, err := ParsePolicy("p.yaml", []byte(strings.ReplaceAll(signedPolicy, "KEY", key.fingerprint)))
	if err != nil {
		t.Fatal(err)
	}
	files["SHA256SUMS.asc"] = string(key.sign(list))
	if e := files.evidence(unloaded, "a")[0]; !errors.Is(e.Err, ErrKeysNotLoaded) {
		t.Errorf("without keys: %v, want ErrKeysNotLoaded", e.Err)
	}
	failed := errors.New("connection lost")
	if e := LoadEvidence(p.Wants("a")[0], EvidenceFiles{Err: failed}, time.Now()); !errors.Is(e.Err, failed) {
		t.Errorf("not fetched: %v", e.Err)
	}
}

// Names come from the server and go into sentences and logs.
func TestReasonsQuoteNames(t *testing.T) {
	key := newTestKey(t)
	p := key.policy("rules: [{paths: '**', evidence: [{manifest: '{dir}/{name}.md5'}]}]")
	files := tree{"a\nb; is authentic": "x"}
	d := files.decide(p, "a\nb; is authentic")
	check(t, d, Unverified, false, `"a\nb; is authentic.md5" is not on the server`)
}
