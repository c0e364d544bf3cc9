package ftpbridge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"aead.dev/minisign"

	"gateway/integrity"
	"gateway/state"
)

// minisigner signs with dates of its choice.
type minisigner struct {
	t       *testing.T
	public  minisign.PublicKey
	private minisign.PrivateKey
}

func newMinisigner(t *testing.T) minisigner {
	t.Helper()
	public, private, err := minisign.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return minisigner{t, public, private}
}

func (k minisigner) sign(message string, at time.Time, comment string) string {
	k.t.Helper()
	r := minisign.NewReader(strings.NewReader(message))
	for {
		if _, err := r.Read(make([]byte, 64<<10)); err != nil {
			break
		}
	}
	return string(r.SignWithComments(k.private, fmt.Sprintf("timestamp:%d%s", at.Unix(), comment), "untrusted"))
}

// day0 is long before now, since signatures may not be dated after it.
var day0 = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

func days(n int) time.Time { return day0.AddDate(0, 0, n) }

// release is a source with a signed manifest of a day: SHA256SUMS lists files.
func (k minisigner) release(day int, files map[string]string) map[string]string {
	k.t.Helper()
	all := maps.Clone(files)
	all["SHA256SUMS"] = sums(files)
	all["SHA256SUMS.minisig"] = k.sign(all["SHA256SUMS"], days(day), "")
	return all
}

// setRelease gives the source files of a day, and its date to those that are new.
func (s *scripted) setRelease(day int, files map[string]string) {
	before := maps.Clone(s.files)
	dates := map[string]string{}
	for dir, list := range s.mlsd {
		for line := range strings.Lines(list) {
			_, name, _ := strings.Cut(strings.TrimRight(line, "\r\n"), "; ")
			dates[dir+"/"+name] = line
		}
	}
	s.setFiles(files)
	for dir, list := range s.mlsd {
		s.mlsd[dir] = ""
		for line := range strings.Lines(list) {
			_, name, _ := strings.Cut(strings.TrimRight(line, "\r\n"), "; ")
			path := dir + "/" + name
			if old, ok := dates[path]; ok && before[path] == s.files[path] {
				line = old
			} else {
				line = strings.Replace(line, "modify=20200102", fmt.Sprintf("modify=202002%02d", day), 1)
			}
			s.mlsd[dir] += line
		}
	}
}

// trusting is a policy with the signer's key.
func (m *move) trusting(k minisigner, item, rest string) {
	m.t.Helper()
	text := "rules:\n- paths: '**'\n  evidence:\n  - " + item + "\n    type: minisign\n    keys: [" + k.public.String() + "]\n" + rest
	p, err := integrity.ParsePolicy("policy.yaml", []byte(text))
	if err == nil {
		err = p.LoadKeys(nil)
	}
	if err != nil {
		m.t.Fatalf("%v in\n%s", err, text)
	}
	m.o.Policy = p
}

const (
	signedManifest = "manifest: SHA256SUMS\n    signature: SHA256SUMS.minisig"
	signedFiles    = "signature: '{dir}/{name}.minisig'"
)

// An older release, served again with its genuine signature: to a run of its own
// with nothing but the ledger between.
func TestAttackRollback(t *testing.T) {
	k := newMinisigner(t)
	one := k.release(1, map[string]string{"tool": "version one"})
	two := k.release(2, map[string]string{"tool": "the second version"})
	srv := serve(t, one)
	m := newMove(t, srv.source(t, ""))
	m.trusting(k, signedManifest, "")
	equal(t, m.run().Verdicts, Count{"authentic": 3})
	srv.setRelease(2, two)
	equal(t, m.run().Verdicts, Count{"authentic": 3})
	equal(t, m.files(), two)

	srv.setRelease(1, one)
	rep := m.run()
	equal(t, m.files(), two)
	reasons(t, rep.Quarantined, map[string]string{
		"tool": "older than what was seen before", "SHA256SUMS": "older than what was seen before", "SHA256SUMS.minisig": "older than what was seen before",
	})
	if rep.Complete() {
		t.Error("a rollback is no failure")
	}
	// For good: the next run says the same, and what is new gets through.
	equal(t, m.run().Quarantined.Total, int64(3))
	srv.setRelease(3, k.release(3, map[string]string{"tool": "version number three", "more": "x"}))
	rep = m.run()
	equal(t, rep.Published.Files, int64(4))
	equal(t, rep.Quarantined.Total, int64(0))

	// The history is of the source, whatever the destination.
	other := newMove(t, srv.source(t, ""))
	other.o.Store, other.store = m.store, m.store
	other.o.DestName, other.o.Policy = "second", m.o.Policy
	srv.setRelease(2, two)
	equal(t, other.run().Quarantined.Total, int64(3))
	other.trusting(k, signedManifest, "  on_stale: publish\n")
	rep = other.run()
	equal(t, rep.Verdicts, Count{"unverified": 3})
}

func TestAttackFreeze(t *testing.T) {
	k := newMinisigner(t)
	srv := serve(t, k.release(0, map[string]string{"a": "1"}))
	m := newMove(t, srv.source(t, ""))
	m.trusting(k, signedManifest, "  max_age: 7d\n")
	now := days(7)
	m.o.Now = func() time.Time { return now }
	equal(t, m.run().Verdicts, Count{"authentic": 3})
	// New files that the old list happens to name, in a folder of its own.
	now = days(8)
	m.o.Folder = "again"
	rep := m.run()
	reasons(t, rep.Quarantined, map[string]string{"a": "max_age is 168h", "SHA256SUMS": "too old", "SHA256SUMS.minisig": "too old"})
	srv.setRelease(8, k.release(8, map[string]string{"a": "1"}))
	equal(t, m.run().Quarantined.Total, int64(0))
}

func TestAttackSignatureFromTheFuture(t *testing.T) {
	k := newMinisigner(t)
	srv := serve(t, k.release(2, map[string]string{"a": "1"}))
	m := newMove(t, srv.source(t, ""))
	m.trusting(k, signedManifest, "  on_stale: publish\n")
	now := days(0)
	m.o.Now = func() time.Time { return now }
	reasons(t, m.run().Quarantined, map[string]string{
		"a": "signature from the future", "SHA256SUMS": "signature from the future", "SHA256SUMS.minisig": "signature from the future",
	})
	known, err := m.store.Generations(t.Context(), "ftp://"+srv.ln.Addr().String(), "manifest SHA256SUMS")
	if err != nil || len(known) > 0 {
		t.Errorf("remembered: %+v, %v", known, err)
	}
	now = days(3)
	equal(t, m.run().Verdicts, Count{"authentic": 3})
}

// The new manifest with an old file that it lists otherwise, and that the ledger
// has as published and unchanged.
func TestAttackMixAndMatchAcrossRuns(t *testing.T) {
	k := newMinisigner(t)
	one := k.release(1, map[string]string{"lib": "library 1", "tool": "tool 1", "gone": "x"})
	two := k.release(2, map[string]string{"lib": "library, 2", "tool": "tool, second version"})
	srv := serve(t, one)
	m := newMove(t, srv.source(t, ""))
	m.trusting(k, signedManifest, "")
	m.run()
	mixed := maps.Clone(two)
	mixed["lib"] = one["lib"]
	srv.setRelease(2, mixed)
	rep := m.run()
	reasons(t, rep.Suspect, map[string]string{"lib": "it would be bad today"})
	if rep.Complete() || !strings.Contains(text(rep), "speaks against it (1)") {
		t.Errorf("%s", text(rep))
	}
	equal(t, m.files()["tool"], two["tool"])
	// With the file that belongs to it, all is well.
	srv.setRelease(2, two)
	rep = m.run()
	equal(t, rep.Suspect.Total, int64(0))
	equal(t, rep.Complete(), true)
	equal(t, m.files()["lib"], two["lib"])
}

// The manifest changes while the run goes on, and was dropped from the cache: no
// file is published by the second version.
func TestAttackMixAndMatchWithinARun(t *testing.T) {
	k := newMinisigner(t)
	padding := "#" + strings.Repeat("x", 8000) + "\n"
	large := func(list string) string { return list + strings.Repeat(padding, 20<<20/len(padding)) }
	filler := map[string]string{"m/f": "filler", "n/f": "filler"}
	build := func(day int, first, last string) map[string]string {
		files := map[string]string{"a": first, "z": last}
		list := large(sums(files))
		all := map[string]string{"a": first, "z": last, "SHA256SUMS": list, "SHA256SUMS.minisig": k.sign(list, days(day), "")}
		for name, content := range filler {
			dir := parent(name)
			all[name] = content
			all[dir+"/SUMS"] = large(sums(map[string]string{"f": content}))
			all[dir+"/SUMS.minisig"] = k.sign(all[dir+"/SUMS"], days(1), "")
		}
		return all
	}
	one, two := build(1, "first of one", "last of one"), build(2, "first of two", "last of two")
	srv := serve(t, one)
	srv.handlers = map[string]func(*talk, string){"RETR": func(c *talk, arg string) {
		if strings.HasSuffix(arg, "n/f") { // a is published by then
			for path, content := range two {
				c.srv.files["/"+path] = content
			}
		}
		c.ordinary("RETR", arg)
	}}
	m := newMove(t, srv.source(t, ""))
	key := "    type: minisign\n    keys: [" + k.public.String() + "]\n"
	m.policy("rules:\n- paths: '*/*'\n  evidence:\n  - manifest: '{dir}/SUMS'\n    algorithm: sha256\n    signature: '{dir}/SUMS.minisig'\n" + key +
		"- paths: '*'\n  evidence:\n  - manifest: SHA256SUMS\n    signature: SHA256SUMS.minisig\n" + key)
	if err := m.o.Policy.LoadKeys(nil); err != nil {
		t.Fatal(err)
	}
	m.o.Connections = 1
	rep := m.run()
	got := m.files()
	if got["a"] != one["a"] || got["z"] != "" {
		t.Errorf("published: a %q, z %q", got["a"], got["z"])
	}
	reasons(t, rep.Failed, map[string]string{"z": "the next run judges by that one"})
	srv.handlers = nil
	srv.setFiles(one)
	srv.setRelease(2, two)
	rep = m.run()
	if got := m.files(); !rep.Complete() || got["a"] != two["a"] || got["z"] != two["z"] {
		t.Errorf("%s", text(rep))
	}
}

// A run that is resumed between two versions of the same size, time and seam:
// the bytes before it are of one version, those after it of the other.
func TestAttackResumeSplicesTwoVersions(t *testing.T) {
	k := newMinisigner(t)
	two := random(bigBytes)
	one := "another beginning" + two[len("another beginning"):]
	all := k.release(2, map[string]string{"big": two})
	all["big"] = one
	srv := serve(t, all)
	srv.handlers = map[string]func(*talk, string){"RETR": counted(func(c *talk, path string, rest int64, call int) {
		body := c.srv.files[path]
		if path != "/big" {
			c.stream(body, "226 done")
			return
		}
		if c.srv.files["/big"] == one {
			c.part(body[min(rest, 700<<10):700<<10], "226 that was all")
			return
		}
		c.stream(body[rest:], "226 done")
	})}
	m := newMove(t, srv.source(t, ""))
	m.trusting(k, signedManifest, "")
	m.run()
	if f := m.line("big"); f.Offset == 0 || f.Token == "" {
		t.Fatalf("nothing is staged: %+v", f)
	}
	srv.files["/big"] = two
	rep := m.run()
	if rep.SavedBytes == 0 {
		t.Fatal("it was not resumed")
	}
	if _, published := m.files()["big"]; published {
		t.Error("the splice is published")
	}
	reasons(t, rep.Quarantined, map[string]string{"big": "but the file has sha256:"})
	equal(t, m.line("big").Verdict, "bad")
}

// Signatures of the files themselves: streamed from what is staged, and the
// signature files judged after the files.
func TestMigrateSignedFiles(t *testing.T) {
	k := newMinisigner(t)
	sign := func(name, content string, day int) string {
		return k.sign(content, days(day), "\tfile:"+name+"\thashed")
	}
	big := random(3 << 20)
	files := map[string]string{
		"d/big": big, "d/big.minisig": sign("big", big, 1), "d/other": "o", "d/other.minisig": sign("elsewhere", "o", 1),
		"d/bad": "changed", "d/bad.minisig": sign("bad", "as it was", 1), "d/none": "n", "d/alone.minisig": sign("alone", "", 1),
		"d/a.minisig.minisig": "x",
	}
	srv := serve(t, files)
	m := newMove(t, srv.source(t, ""))
	m.o.Connections = 4
	m.trusting(k, signedFiles, "")
	rep := m.run()
	equal(t, rep.Verdicts, Count{"authentic": 2})
	got := m.files()
	equal(t, got["d/big"] == big, true)
	equal(t, got["d/big.minisig"], files["d/big.minisig"])
	reasons(t, rep.Quarantined, map[string]string{
		"d/other": `of a file named "elsewhere"`, "d/other.minisig": "was not held against",
		"d/bad": "bad signature", "d/bad.minisig": "was not held against", "d/none": "none.minisig is not on the server",
		"d/alone.minisig": "was not held against", "d/a.minisig.minisig": "was not held against",
	})
	rep = m.run() // judged again from quarantine
	equal(t, rep.Quarantined.Total, int64(7))

	// An older signature with the bytes of that time.
	files["d/big"] = "version 2"
	files["d/big.minisig"] = sign("big", "version 2", 2)
	srv.setRelease(3, files)
	equal(t, m.run().Published.Files, int64(2))
	files["d/big"], files["d/big.minisig"] = big, sign("big", big, 1)
	srv.setRelease(4, files)
	m.run()
	equal(t, m.files()["d/big"], "version 2")
	if f := m.line("d/big"); f.Phase != state.Quarantined || !strings.Contains(f.Reason, "a newer one had replaced") {
		t.Errorf("%+v", f)
	}
	equal(t, m.files()["d/big.minisig"], sign("big", "version 2", 2))

	// Corrected, what was held back gets out.
	files["d/other.minisig"] = sign("other", "o", 3)
	srv.setRelease(5, files)
	m.run()
	equal(t, m.files()["d/other"], "o")
}

// From quarantine too, and after a death between publish and record.
func TestMigrateSignedFilesLater(t *testing.T) {
	k := newMinisigner(t)
	files := map[string]string{"a": "content", "a.minisig": k.sign("content", days(1), "\tfile:a")}
	srv := serve(t, files)
	m := newMove(t, srv.source(t, ""))
	m.trusting(newMinisigner(t), signedFiles, "")
	equal(t, m.run().Quarantined.Total, int64(2))
	m.trusting(k, signedFiles, "")
	m.o.Store = &forgetful{m.store, 1}
	if _, err := Migrate(testContext(t), m.o); !errors.Is(err, errForgot) {
		t.Fatal(err)
	}
	m.o.Store = m.store
	rep := m.run()
	equal(t, m.files(), files)
	equal(t, rep.Verdicts, Count{"authentic": 2})
}

// The store's bound and its failures.
func TestEvidenceKept(t *testing.T) {
	k := newMinisigner(t)
	files := k.release(1, map[string]string{"a": "1"})
	srv := serve(t, files)
	m := newMove(t, srv.source(t, ""))
	m.trusting(k, signedManifest, "")
	m.o.Store = &amnesiac{m.store}
	if _, err := Migrate(testContext(t), m.o); !errors.Is(err, errForgot) {
		t.Errorf("a run without a history: %v", err)
	}
	equal(t, len(m.files()), 0)
	m.o.Store = m.store
	m.run()
	e, err := m.store.LatestEvidence(t.Context(), "ftp://"+srv.ln.Addr().String(), "manifest SHA256SUMS")
	if err != nil || string(e.Manifest) != files["SHA256SUMS"] || string(e.Signature) != files["SHA256SUMS.minisig"] {
		t.Errorf("%+v, %v", e, err)
	}
}

// amnesiac is a store without a history.
type amnesiac struct{ state.Store }

func (amnesiac) Generations(context.Context, string, string) ([]state.Generation, error) {
	return nil, errForgot
}
