package ftpbridge

import (
	"crypto/ed25519"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gateway/integrity"
)

// What other runs and Reexamine need is kept.
func TestReexamine(t *testing.T) {
	k := newMinisigner(t)
	files := k.release(1, map[string]string{"a": "content of a", "b": "content of b", "sub/c": "content of c", "gone": "g", "changed": "before"})
	files["loose"] = "no manifest names it"
	srv := serve(t, files)
	m := newMove(t, srv.source(t, ""))
	m.trusting(k, signedManifest, "")
	m.run()
	if _, err := m.quarantine().Release(t.Context(), "old/loose", "me"); err != nil {
		t.Fatal(err)
	}
	examine := func(want map[string]string, change func(*ReexamineOptions)) {
		t.Helper()
		o := ReexamineOptions{Store: m.store, Dest: m.o.Dest, DestName: "disk", Policy: m.o.Policy}
		if change != nil {
			change(&o)
		}
		got := map[string]string{}
		for e, err := range Reexamine(t.Context(), o) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Reason == "" {
				t.Errorf("%s: no reason", e.Name)
			}
			if e.Suspect {
				got[e.Name] = e.Reason
			}
		}
		equal(t, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
		for name, words := range want {
			if !strings.Contains(got[name], words) {
				t.Errorf("%s: the reason %q does not say %q", name, got[name], words)
			}
		}
	}
	all := func(words string) map[string]string {
		want := map[string]string{}
		for name := range files {
			if name != "loose" {
				want["old/"+name] = words
			}
		}
		return want
	}
	examine(nil, nil)
	examine(nil, func(o *ReexamineOptions) { o.ReadBytes = true })

	// Another key is pinned; this one is revoked.
	trusted := m.o.Policy
	m.trusting(newMinisigner(t), signedManifest, "")
	examine(all("it was published as authentic and would be unverified today"), nil)
	m.trusting(k, signedManifest+"\n    revoked: ["+k.public.String()+"]", "")
	examine(all("revoked key"), nil)
	examine(map[string]string{"old/sub/c": "revoked key"}, func(o *ReexamineOptions) { o.Prefix = "old/sub" })
	m.o.Policy = trusted

	// A policy that asks for more.
	m.trusting(k, signedManifest, "  min_hash: sha512\n")
	want := all("the policy asks for sha512")
	delete(want, "old/SHA256SUMS")
	delete(want, "old/SHA256SUMS.minisig")
	examine(want, nil)
	m.o.Policy = trusted

	// Somebody was at the files.
	if err := os.Remove(filepath.Join(m.dest, "old/gone")); err != nil {
		t.Fatal(err)
	}
	m.write("changed", "behind")
	examine(map[string]string{"old/gone": "not there any more"}, nil)
	examine(map[string]string{"old/gone": "not there any more", "old/changed": "not there any more"}, func(o *ReexamineOptions) { o.ReadBytes = true })

	// A newer manifest, accepted by a job of another destination.
	srv.setRelease(2, k.release(2, map[string]string{"a": "content of a", "sub/c": "c, another", "changed": "before", "gone": "g"}))
	other := newMove(t, srv.source(t, ""))
	other.o.Store, other.o.DestName, other.o.Policy = m.store, "second", trusted
	if _, err := Migrate(testContext(t), other.o); err != nil {
		t.Fatal(err)
	}
	examine(map[string]string{
		"old/gone": "not there any more", "old/b": "no manifest names this file", "old/sub/c": "it would be bad today",
	}, nil)
}

// Signatures of files, hashes by the server and evidence that was published, by
// a policy that came after all was published without one.
func TestReexamineByAnotherPolicy(t *testing.T) {
	k := newMinisigner(t)
	files := map[string]string{"a": "content", "a.minisig": k.sign("content", days(1), "\tfile:a"), "MD5SUMS": "9a0364b9e99bb480dd25e1f0284c8555  a\n"}
	srv := serve(t, files)
	m := newMove(t, srv.source(t, ""))
	signer, public := provenanceSigner(t)
	m.o.Signer = signer
	m.run()
	verdicts := func(keys *integrity.ProvenanceKeys) map[string]string {
		t.Helper()
		got := map[string]string{}
		for e, err := range Reexamine(t.Context(), ReexamineOptions{Store: m.store, Dest: m.o.Dest, DestName: "disk", Policy: m.o.Policy, Keys: keys}) {
			if err != nil {
				t.Fatal(err)
			}
			got[e.Name] = string(e.Decision.Verdict)
		}
		return got
	}
	m.trusting(k, signedFiles, "")
	for _, keys := range []*integrity.ProvenanceKeys{nil, public} {
		equal(t, verdicts(keys), map[string]string{"old/a": "authentic", "old/a.minisig": "authentic", "old/MD5SUMS": "unverified"})
	}
	m.policy("rules:\n- paths: a\n  evidence: [{manifest: MD5SUMS}]\n")
	equal(t, verdicts(nil), map[string]string{"old/a": "intact", "old/a.minisig": "unverified", "old/MD5SUMS": "unverified"})
	m.policy("rules:\n- paths: a\n  evidence: [{server_hash: true}]\n")
	equal(t, verdicts(nil), map[string]string{"old/a": "unverified", "old/a.minisig": "unverified", "old/MD5SUMS": "unverified"})

	// Statements that nobody signed do not tell digests where keys are asked for.
	pub, err := m.store.Publication(t.Context(), "disk:old/a")
	if err != nil {
		t.Fatal(err)
	}
	st, err := public.Open(pub.Provenance)
	if err != nil {
		t.Fatal(err)
	}
	st.Subject[0].Digest["md5"] = strings.Repeat("0", 32)
	if pub.Provenance, err = json.Marshal(st.Statement); err != nil {
		t.Fatal(err)
	}
	if err := m.store.Publish(t.Context(), m.line("a"), pub); err != nil {
		t.Fatal(err)
	}
	m.policy("rules:\n- paths: a\n  evidence: [{manifest: MD5SUMS}]\n")
	equal(t, verdicts(public)["old/a"], "intact")
	equal(t, verdicts(nil)["old/a"], "bad")
}

func provenanceSigner(t *testing.T) (*integrity.ProvenanceSigner, *integrity.ProvenanceKeys) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := integrity.NewProvenanceSigner(private)
	if err != nil {
		t.Fatal(err)
	}
	keys := &integrity.ProvenanceKeys{}
	if err := keys.Add(public); err != nil {
		t.Fatal(err)
	}
	return signer, keys
}
