package main

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"unicode"

	"gateway/integrity"
)

// What a gateway signs are its words, and it may not be ours.
func TestAttackVerdictDrivesTerminal(t *testing.T) {
	c := &proofCheck{st: &integrity.Statement{Subject: []integrity.Descriptor{{Name: "a"}}}}
	c.st.Predicate.Details.Decision.Verdict = "authentic\x1b[2J\u009b31m\u202e"
	var b strings.Builder
	c.proves(&b)
	for _, r := range b.String() {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Errorf("%q in %q", r, b.String())
		}
	}
}

// Two processes that need a key at once: that of the second is never believed,
// not even while it is being made.
func TestAttackKeyBelievedBeforeItSigns(t *testing.T) {
	e, _, _ := newEnv(t)
	keys := openGateway(t, e).provenanceKeys()
	if _, err := keys.signer(); err != nil {
		t.Fatal(err)
	}
	believed := func() int {
		list, err := keys.public()
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	err := keys.make(func(string, []byte) error {
		if n := believed(); n != 1 {
			t.Errorf("%d keys are believed meanwhile", n)
		}
		return fs.ErrExist
	})
	if err == nil || believed() != 1 {
		t.Errorf("error %v, %d keys are believed", err, believed())
	}
}

// Two manifests that do not fit into the cache together are read once, not once
// for every file.
func TestAttackManifestsReadForEachFile(t *testing.T) {
	t.Chdir(t.TempDir())
	filler := strings.Repeat("#"+strings.Repeat(" ", 1022)+"\n", maxLocalEvidence/1024/2)
	files := map[string]string{"SHA256SUMS": filler, "SHA512SUMS": filler, "MD5SUMS": filler}
	for i := range 20 {
		files[fmt.Sprintf("f%d", i)] = ""
	}
	writeTree(t, "tree", files)
	p, err := integrity.ParsePolicy("p", []byte(`rules: [{paths: "**", require: all, evidence: [
		{manifest: SHA256SUMS}, {manifest: SHA512SUMS}, {manifest: MD5SUMS}, {manifest: "{dir}/{name}.md5"}]}]`))
	if err != nil {
		t.Fatal(err)
	}
	j, err := newJudge("tree", p, "windows-1252")
	if err != nil {
		t.Fatal(err)
	}
	defer j.close()
	first := j.evidence.wanted(p, "f0")
	for i := range 20 {
		again := j.evidence.wanted(p, fmt.Sprintf("f%d", i))
		for k := range 3 {
			if again[k] != first[k] {
				t.Fatalf("%s was read again", first[k].Ref)
			}
		}
		if n := len(j.evidence.known); n != 4 || len(j.evidence.order) != n {
			t.Fatalf("%d and %d pieces are kept", n, len(j.evidence.order))
		}
	}
}
