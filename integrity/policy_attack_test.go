package integrity

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A signed digest without a name is about whatever file it is put beside.
func TestAttackBareDigestUnderAnotherName(t *testing.T) {
	key := newTestKey(t)
	policy := func(more string) *Policy {
		return key.policy(`
rules:
- paths: "**"
  evidence:
  - {manifest: "{dir}/{name}.sha256", signature: "{dir}/{name}.sha256.sig", keys: [KEY], key_files: [partner.pgp]` + more + "}\n")
	}
	bare := sums(SHA256, map[string]string{"x": "last year"})[:64] + "\n"
	named := sums(SHA256, map[string]string{"2025.iso": "last year"})
	files := tree{
		"2024.iso": "last year", "2024.iso.sha256": bare, "2024.iso.sha256.sig": string(key.sign(bare)),
		"2025.iso": "last year", "2025.iso.sha256": named, "2025.iso.sha256.sig": string(key.sign(named)),
		"2026.iso": "last year", "2026.iso.sha256": named, "2026.iso.sha256.sig": string(key.sign(named)),
	}
	check(t, files.decide(policy(""), "2024.iso"), Intact, false, "the name is not signed", "binds_name: false")
	check(t, files.decide(policy(", binds_name: false"), "2024.iso"), Authentic, true)
	check(t, files.decide(policy(""), "2025.iso"), Authentic, true)
	check(t, files.decide(policy(""), "2026.iso"), Unverified, false, "no manifest names this file")
	files["2024.iso"] = "this year"
	check(t, files.decide(policy(""), "2024.iso"), Bad, false)
}

// kernel.org's sha256sums.asc: lines of sha256sum, clear-signed, under a name
// whose ending tells of the signature only.
func TestClearSignedManifestToldByItsName(t *testing.T) {
	kit := openpgpKit(t)
	for _, name := range []string{"sha256sums.asc", "SHA256SUMS.gpg", "SHA256SUMS"} {
		files := tree{"f": "f", name: string(kit.inline(sums(SHA256, map[string]string{"f": "f"})))}
		check(t, files.decide(kit.policy(t, "manifest: "+name, ""), "f"), Authentic, true)
	}
}

// A policy through a pipe has no size that could be looked at before.
func TestAttackEndlessPolicy(t *testing.T) {
	if _, err := LoadPolicy("/dev/zero"); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("error %v", err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	written := make(chan error, 1)
	go func() { written <- os.WriteFile(pipe, []byte("rules: [{paths: a, on_missing: publish}]"), 0) }()
	if _, err := LoadPolicy(pipe); err != nil {
		t.Error(err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}
