package integrity

import "testing"

// Whoever may sign for one folder may not put a manifest into another's.
func TestAttackManifestOfAnotherFoldersKey(t *testing.T) {
	key, other := newTestKey(t), newTestKey(t)
	manifest := sums(SHA256, map[string]string{"f": "f"})
	sig := string(key.sign(manifest))
	files := tree{}
	for _, dir := range []string{"a", "a/x", "b", "c"} {
		files[dir+"/f"], files[dir+"/SHA256SUMS"], files[dir+"/SHA256SUMS.sig"] = "f", manifest, sig
	}
	const evidence = `, evidence: [{manifest: "{dir}/SHA256SUMS", signature: "{dir}/SHA256SUMS.sig", keys: [KEY], key_files: [partner.pgp]}]}` + "\n"
	both := func(first, second string) *Policy {
		p := other.policy("rules:\n- {paths: '" + first + "'" + evidence)
		p.rules = append(p.rules, key.policy("rules:\n- {paths: '"+second+"'"+evidence).rules...)
		return p
	}
	for _, p := range []*Policy{both("b/**", "a/**"), both("b/**", "**")} {
		for _, name := range []string{"b/SHA256SUMS", "b/SHA256SUMS.sig", "b/f"} {
			check(t, files.decide(p, name), Unverified, false, "unknown key")
		}
		for _, name := range []string{"a/SHA256SUMS", "a/SHA256SUMS.sig", "a/f", "a/x/SHA256SUMS"} {
			check(t, files.decide(p, name), Authentic, true)
		}
	}
	check(t, files.decide(both("b/**", "a/**"), "c/SHA256SUMS"), Unverified, false, "no rule")
	// The rule for the files is not always the one for their manifest.
	check(t, files.decide(both("b/**", "**/f"), "c/SHA256SUMS"), Authentic, true)
	check(t, files.decide(both("**/*.iso", "**"), "c/SHA256SUMS"), Authentic, true)
}

func TestGlobMatchesBelow(t *testing.T) {
	for _, test := range []struct {
		pattern, dir string
		want         bool
	}{
		{"a", "", true},
		{"a", "a", false},
		{"a/*", "a", true},
		{"a/*", "a/b", false},
		{"a/**", "a/b/c", true},
		{"a/**", "b", false},
		{"**", "b", true},
		{"**/x", "a/b", true},
		{"**/x/y", "a/x", true},
		{"a/**/b", "a/b", true},
		{"*/b/*", "a/b", true},
		{"*/b/*", "a/c", false},
		{"a/**/**/b", "a", true},
	} {
		g, err := parseGlob(test.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.matchesBelow(test.dir); got != test.want {
			t.Errorf("%q below %q: %v", test.pattern, test.dir, got)
		}
	}
}
