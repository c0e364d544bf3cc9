package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"gateway/integrity"
)

// partner signs manifests.
type partner struct {
	t      *testing.T
	entity *openpgp.Entity
}

func newPartner(t *testing.T) *partner {
	t.Helper()
	entity, err := openpgp.NewEntity("partner", "", "partner@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	return &partner{t, entity}
}

func (p *partner) fingerprint() string { return fmt.Sprintf("%X", p.entity.PrimaryKey.Fingerprint) }

// policy writes NAME.yaml and the key beside it.
func (p *partner) policy(name string) string {
	p.t.Helper()
	var key bytes.Buffer
	if err := p.entity.Serialize(&key); err != nil {
		p.t.Fatal(err)
	}
	text := fmt.Sprintf(`rules:
  - paths: "**"
    require: all
    evidence:
      - manifest: SHA256SUMS
        signature: SHA256SUMS.sig
        type: openpgp
        keys: [%q]
        key_files: [%s.pgp]
`, p.fingerprint(), name)
	writeTree(p.t, ".", map[string]string{name + ".pgp": key.String(), name + ".yaml": text})
	return name + ".yaml"
}

// sign adds a signed manifest of the files to a folder.
func (p *partner) sign(dir string, files map[string]string) {
	p.t.Helper()
	var manifest strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&manifest, "%x  %s\n", sha256.Sum256([]byte(files[name])), name)
	}
	var sig bytes.Buffer
	if err := openpgp.DetachSign(&sig, []*openpgp.Entity{p.entity}, strings.NewReader(manifest.String()), nil); err != nil {
		p.t.Fatal(err)
	}
	writeTree(p.t, dir, map[string]string{"SHA256SUMS": manifest.String(), "SHA256SUMS.sig": sig.String()})
}

func writeTree(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// verifyLines runs "verify --json" and returns what it said of each file, and the exit status.
func verifyLines(t *testing.T, e *env, args ...string) (map[string]judgedLine, int) {
	t.Helper()
	var out bytes.Buffer
	e.out = &out
	code := run(e.ctx, append([]string{"verify", "--json"}, args...), e.streams)
	lines := map[string]judgedLine{}
	for text := range strings.Lines(out.String()) {
		var line judgedLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if line.Event == "file" {
			lines[line.Path] = line
		}
	}
	return lines, code
}

func TestVerifyLocal(t *testing.T) {
	e, _, stderr := newEnv(t)
	p := newPartner(t)
	policy := p.policy("policy")
	files := map[string]string{"a.txt": "a", "sub/b.txt": "b"}
	writeTree(t, "tree", files)
	p.sign("tree", files)
	lines, code := verifyLines(t, e, "--policy", policy, "tree")
	if code != 0 || len(lines) != 4 {
		t.Fatalf("exit status %d, %+v, %s", code, lines, stderr)
	}
	for path, line := range lines {
		if line.Action != wouldPublish || line.Verdict != integrity.Authentic || line.SHA256 == "" || line.Rule == "" {
			t.Errorf("%s: %+v", path, line)
		}
	}
	// One file, with what lies beside it; a folder below is another root.
	if lines, code = verifyLines(t, e, "--policy", policy, "tree/a.txt"); code != 0 || len(lines) != 1 {
		t.Errorf("exit status %d, %+v", code, lines)
	}
	if lines, code = verifyLines(t, e, "--policy", policy, "tree/sub"); code != 1 || lines["tree/sub/b.txt"].Action != wouldQuarantine {
		t.Errorf("exit status %d, %+v", code, lines)
	}
	writeTree(t, "tree", map[string]string{"a.txt": "A", "new": ""})
	lines, code = verifyLines(t, e, "--policy", policy, "tree", "missing")
	for path, want := range map[string]string{
		"tree/a.txt": "quarantine bad", "tree/new": "quarantine unverified", "tree/sub/b.txt": "publish authentic", "missing": "fail ",
	} {
		if got := lines[path].Action + " " + string(lines[path].Verdict); got != want || code != 1 {
			t.Errorf("%s: %q, want %q; exit status %d", path, got, want, code)
		}
	}
	if _, err := os.Stat("gateway-data"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("looking at local files made a data folder")
	}
	if err := os.Mkdir("empty", 0o755); err != nil {
		t.Fatal(err)
	}
	if _, code := verifyLines(t, e, "--policy", policy, "empty"); code != 1 {
		t.Errorf("exit status %d for a folder without files", code)
	}
}

// What is in a folder that somebody else filled leads nowhere outside of it.
func TestAttackVerifyLinks(t *testing.T) {
	e, _, _ := newEnv(t)
	p := newPartner(t)
	policy := p.policy("policy")
	p.sign("outside", map[string]string{"x": "secret"})
	writeTree(t, "outside", map[string]string{"x": "secret"})
	writeTree(t, "tree", map[string]string{"inside/real": "r", "sub/x": "x"})
	links := map[string]string{
		"tree/passwd": "/etc/passwd", "tree/up": "../outside/x", "tree/etc": "/etc", "tree/dangling": "nothing",
		"tree/loop": "loop", "tree/x": "../outside/x", "tree/link": "inside/real", "tree/folder": "inside", "tree/parent": "..",
		// The evidence lies outside too.
		"tree/SHA256SUMS": "../outside/SHA256SUMS", "tree/SHA256SUMS.sig": "../outside/SHA256SUMS.sig",
	}
	for from, to := range links {
		if err := os.Symlink(to, from); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo("tree/pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	lines, code := verifyLines(t, e, "--policy", policy, "tree", "tree/passwd", "tree/pipe")
	if code != 1 {
		t.Errorf("exit status %d", code)
	}
	for path, want := range map[string]string{
		"tree/passwd": wouldFail, "tree/up": wouldFail, "tree/etc": wouldFail, "tree/dangling": wouldFail, "tree/loop": wouldFail,
		"tree/x": wouldFail, "tree/pipe": wouldFail, "tree/SHA256SUMS": wouldFail, "tree/parent": wouldFail,
		"tree/link": wouldQuarantine, "tree/folder": wouldSkip, "tree/inside/real": wouldQuarantine, "tree/sub/x": wouldQuarantine,
	} {
		line := lines[path]
		if line.Action != want || want == wouldFail && line.SHA256 != "" {
			t.Errorf("%s: %+v, want %s", path, line, want)
		}
		if line.Action == wouldQuarantine && line.Verdict != integrity.Unverified {
			t.Errorf("%s: evidence from outside was believed: %+v", path, line)
		}
		delete(lines, path)
	}
	delete(lines, "tree/SHA256SUMS.sig")
	for path := range lines {
		t.Errorf("%s was looked at", path)
	}
}

func TestAttackVerifyFileChanges(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"same size": func(path string) error { return os.WriteFile(path, []byte("bbbb"), 0o600) },
		"same time": func(path string) error {
			at := time.Unix(1e9, 0)
			return errors.Join(os.WriteFile(path, []byte("bbbb"), 0o600), os.Chtimes(path, at, at))
		},
		"longer":  func(path string) error { return os.WriteFile(path, []byte("aaaaaaaa"), 0o600) },
		"shorter": func(path string) error { return os.WriteFile(path, []byte("aa"), 0o600) },
		"empty":   func(path string) error { return os.Truncate(path, 0) },
		"another file": func(path string) error {
			return errors.Join(os.WriteFile(path+".new", []byte("bbbb"), 0o600), os.Rename(path+".new", path))
		},
		"a link": func(path string) error { return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path)) },
		"gone":   os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "a")
			if err := os.WriteFile(path, []byte("aaaa"), 0o600); err != nil {
				t.Fatal(err)
			}
			at := time.Unix(1e9, 0)
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer root.Close()
			hash := func(between func(string) error) error {
				f, info, err := openLocal(root, "a")
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				d, err := integrity.NewDigester()
				if err != nil {
					t.Fatal(err)
				}
				if err := between(path); err != nil {
					t.Fatal(err)
				}
				return hashLocal(t.Context(), root, "a", f, info, d)
			}
			if err := hash(func(string) error { return nil }); err != nil {
				t.Fatal(err)
			}
			// The kernel's clock for the times of files ticks at up to 100 Hz.
			time.Sleep(20 * time.Millisecond)
			if err := hash(change); !errors.Is(err, errChangedMeanwhile) {
				t.Errorf("%v, want errChangedMeanwhile", err)
			}
		})
	}
}

// A file that is written to all the time is never believed, and the command ends.
func TestAttackVerifyEndlessFile(t *testing.T) {
	e, _, _ := newEnv(t)
	policy := newPartner(t).policy("policy")
	writeTree(t, "tree", map[string]string{"log": strings.Repeat("x", 8<<20)})
	done, ended := make(chan struct{}), make(chan struct{})
	f, err := os.OpenFile("tree/log", os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
				if _, err := f.WriteString("y"); err != nil {
					return
				}
			}
		}
	}()
	lines, code := verifyLines(t, e, "--policy", policy, "tree")
	close(done)
	<-ended
	if line := lines["tree/log"]; code != 1 || line.Action != wouldFail || !strings.Contains(line.Reason, "changed while it was read") {
		t.Errorf("exit status %d, %+v", code, line)
	}
}

func TestAttackVerifyNames(t *testing.T) {
	e, _, _ := newEnv(t)
	p := newPartner(t)
	policy := p.policy("policy")
	signed := map[string]string{"caf\xe9.txt": "1", "e\u0301.txt": "2", "\xe9/x": "3"}
	other := map[string]string{
		"\x1b]0;owned\a\x1b[2J": "", "a\nquarantine  bad  b": "", "\u202egnp.exe": "", "\u009b31m": "", "back\\slash": "",
		"clash\xe9": "", "clashé": "", "twice\xe9": "", "twicee\u0301": "", " ": "",
	}
	writeTree(t, "tree", signed)
	writeTree(t, "tree", other)
	p.sign("tree", signed)
	var out bytes.Buffer
	e.out = &out
	if code := run(e.ctx, []string{"verify", "--policy", policy, "tree"}, e.streams); code != 1 {
		t.Errorf("exit status %d", code)
	}
	for line := range strings.Lines(out.String()) {
		if strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q would drive a terminal", line)
		}
		if strings.HasPrefix(line, "quarantine  bad") {
			t.Errorf("a name makes a line: %q", line)
		}
	}
	lines, _ := verifyLines(t, e, "--policy", policy, "tree")
	for path, want := range map[string]string{
		`tree/caf\xe9.txt`: "publish authentic", `tree/\xe9/x`: "publish authentic",
		`tree/clash\xe9`: "fail ", "tree/clashé": "quarantine unverified",
	} {
		if got := lines[path].Action + " " + string(lines[path].Verdict); got != want {
			t.Errorf("%s: %q, want %q (%s)", path, got, want, lines[path].Reason)
		}
	}
	if line := lines[`tree/caf\xe9.txt`]; line.RawPath != fmt.Sprintf("%x", "tree/caf\xe9.txt") {
		t.Errorf("%+v", line)
	}
	twice := 0
	for path, line := range lines {
		if strings.HasPrefix(path, "tree/twice") && line.Action == wouldFail {
			twice++
		}
	}
	if twice != 1 {
		t.Errorf("%d of two files of one name fail", twice)
	}
}

// Side files are found for names that are not UTF-8 or not NFC, each its own.
func TestVerifySideFilesOfOddNames(t *testing.T) {
	e, _, _ := newEnv(t)
	writeTree(t, ".", map[string]string{"policy.yaml": `rules:
  - paths: "**"
    require: any
    evidence:
      - manifest: "{dir}/{name}.sha256"
    on_weak: publish
    on_missing: quarantine
`})
	for _, name := range []string{"caf\xe9", "e\u0301", "plain", "d\xe9/x"} {
		base := name[strings.LastIndexByte(name, '/')+1:]
		writeTree(t, "tree", map[string]string{name: name, name + ".sha256": fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(name)), base)})
	}
	lines, _ := verifyLines(t, e, "--policy", "policy.yaml", "tree")
	for _, path := range []string{`tree/caf\xe9`, "tree/e\u0301", "tree/plain", `tree/d\xe9/x`} {
		if line := lines[printable(path)]; line.Verdict != integrity.Intact || line.Action != wouldPublish {
			line = lines[path]
			if line.Verdict != integrity.Intact {
				t.Errorf("%s: %+v", path, line)
			}
		}
	}
}

func TestVerifyManyFiles(t *testing.T) {
	e, _, _ := newEnv(t)
	p := newPartner(t)
	policy := p.policy("policy")
	files := map[string]string{}
	for i := range 10_000 {
		files[fmt.Sprintf("d%d/%05d", i%7, i)] = "x"
	}
	writeTree(t, "tree", files)
	p.sign("tree", files)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	counted := &lineCounter{}
	e.out = counted
	if code := run(e.ctx, []string{"verify", "--json", "--policy", policy, "tree"}, e.streams); code != 0 {
		t.Errorf("exit status %d", code)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if counted.lines != 10_000+3 {
		t.Errorf("%d lines", counted.lines)
	}
	// The heap never was larger than what the runtime took for it.
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 96<<20 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

type lineCounter struct{ lines int }

func (c *lineCounter) Write(p []byte) (int, error) {
	c.lines += bytes.Count(p, []byte("\n"))
	return len(p), nil
}

// Signatures of the files themselves are held against the files; what a server
// alone could tell is not known; an old date counts as at a server.
func TestVerifySignedFiles(t *testing.T) {
	e, _, _ := newEnv(t)
	p := newPartner(t)
	p.policy("policy")
	item := fmt.Sprintf("type: openpgp\n        keys: [%q]\n        key_files: [policy.pgp]\n", p.fingerprint())
	sign := func(content string, at time.Time) string {
		var sig bytes.Buffer
		config := &packet.Config{Time: func() time.Time { return at }}
		if err := openpgp.DetachSign(&sig, []*openpgp.Entity{p.entity}, strings.NewReader(content), config); err != nil {
			t.Fatal(err)
		}
		return sig.String()
	}
	made := p.entity.PrimaryKey.CreationTime
	writeTree(t, ".", map[string]string{
		"policy.yaml": "rules:\n  - paths: \"hash/**\"\n    evidence: [{server_hash: true}]\n" +
			"  - paths: \"**\"\n    evidence:\n      - signature: \"{dir}/{name}.sig\"\n        binds_name: false\n        " + item,
		"tree/sub/a": "content", "tree/sub/a.sig": sign("content", made),
		"tree/b": "changed", "tree/b.sig": sign("content", made), "tree/alone.sig": sign("x", made), "tree/hash/c": "c",
	})
	lines, code := verifyLines(t, e, "--policy", "policy.yaml", "tree")
	for path, want := range map[string]string{
		"tree/sub/a": "publish authentic", "tree/sub/a.sig": "publish authentic", "tree/b": "quarantine unverified",
		"tree/b.sig": "quarantine unverified", "tree/alone.sig": "quarantine unverified", "tree/hash/c": "quarantine unverified",
	} {
		if got := lines[path].Action + " " + string(lines[path].Verdict); got != want || code != 1 {
			t.Errorf("%s: %q, want %q (%s)", path, got, want, lines[path].Reason)
		}
	}
	if reason := lines["tree/hash/c"].Reason; !strings.Contains(reason, "no server is asked") {
		t.Error(reason)
	}
}

func TestVerifySourceRules(t *testing.T) {
	e, _, _ := newEnv(t)
	writeTree(t, ".", map[string]string{"tree/a": "a", "policy.yaml": `rules:
  - paths: "**"
    source: "ftp://mirror.example/**"
    require: any
    on_missing: publish
`})
	if lines, code := verifyLines(t, e, "--policy", "policy.yaml", "tree"); code != 1 {
		t.Errorf("exit status %d, %+v", code, lines)
	}
	if lines, code := verifyLines(t, e, "--policy", "policy.yaml", "--source", "ftp://user@mirror.example/pub", "tree"); code != 0 {
		t.Errorf("exit status %d, %+v", code, lines)
	}
	if _, code := verifyLines(t, e, "--policy", "policy.yaml", "--source", "http://mirror.example", "tree"); code != 1 {
		t.Errorf("exit status %d", code)
	}
}

// A key that is revoked, or not in the policy any more, is named with the files
// that were published on its word.
func TestVerifyPublishedKeys(t *testing.T) {
	s := newShelf(t)
	good, gone := newPartner(t), newPartner(t)
	by := func(p *partner) func(*integrity.Decision) {
		return func(d *integrity.Decision) {
			d.Verdict = integrity.Authentic
			d.Evidence = []integrity.Finding{{
				Manifest: "SHA256SUMS", Signature: "SHA256SUMS.sig", Verdict: integrity.Authentic,
				Signer: &integrity.Signer{Kind: "openpgp", Fingerprint: p.fingerprint(), Key: p.fingerprint()},
			}}
		}
	}
	s.publish("a", "1", by(good))
	s.publish("b", "2", by(gone))
	s.publish("c", "3", by(gone))
	policy := good.policy("policy")
	s.want(0, "not so 0", "verify", "--published")
	out := s.want(1, "vouched for 2 of the files: default:/partner/b default:/partner/c", "verify", "--published", "--policy", policy)
	if !strings.Contains(out, gone.fingerprint()) || strings.Contains(out, good.fingerprint()) {
		t.Error(out)
	}
	wide(t, out)
	s.want(0, "not so 0", "verify", "--published", "--policy", policy, "partner/a")
	if err := good.entity.Revoke(packet.KeyCompromised, "stolen", nil); err != nil {
		t.Fatal(err)
	}
	out = s.want(1, "revoked key vouched for 1 of the files: default:/partner/a", "verify", "--published", "--policy", good.policy("policy"), "default:/partner")
	wide(t, out)
	if code, out := s.run("verify", "--published", "--json", "--policy", policy); code != 1 || !strings.Contains(out, `"refusedKeys":["`+good.fingerprint()) {
		t.Errorf("exit status %d\n%s", code, out)
	}
	if code, out := s.run("verify", "--published", "nowhere"); code != 1 {
		t.Errorf("exit status %d for nothing\n%s", code, out)
	}
}

// TestVerifyPublishedAgain: a policy that became stricter is noticed, and one that no longer needs a key is content.
func TestVerifyPublishedAgain(t *testing.T) {
	s := newShelf(t)
	p := newPartner(t)
	p.sign("signed", map[string]string{"a": "1"})
	authentic := func(d *integrity.Decision) {
		d.Verdict = integrity.Authentic
		d.Evidence = []integrity.Finding{{
			Manifest: "SHA256SUMS", Signature: "SHA256SUMS.sig", Verdict: integrity.Authentic,
			Signer: &integrity.Signer{Kind: "openpgp", Fingerprint: p.fingerprint(), Key: p.fingerprint()},
		}}
	}
	s.publish("a", "1", authentic)
	for _, name := range []string{"SHA256SUMS", "SHA256SUMS.sig"} {
		data, err := os.ReadFile(filepath.Join("signed", name))
		if err != nil {
			t.Fatal(err)
		}
		s.publish(name, string(data), authentic)
	}
	policy := p.policy("policy")
	s.want(0, "not so 0", "verify", "--published", "--policy", policy)
	text, err := os.ReadFile(policy)
	if err != nil {
		t.Fatal(err)
	}
	strict := strings.Replace(string(text), "    require: all\n", "    require: all\n    min_hash: sha512\n", 1)
	if err := os.WriteFile("strict.yaml", []byte(strict), 0o600); err != nil {
		t.Fatal(err)
	}
	out := s.want(1, "default:/partner/a policy: it would not be published now: it was published as authentic and would be intact today", "verify", "--published", "--policy", "strict.yaml")
	wide(t, out)
	if strings.Contains(out, "SHA256SUMS.sig\n") {
		t.Error(out)
	}
}
