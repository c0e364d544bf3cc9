package integrity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
)

// memory is a History as a store would keep it.
type memory struct {
	known map[string][]Generation
	// race, if set, is what another run accepts just before each Accept.
	race func(name string)
	err  error
}

func newMemory() *memory { return &memory{known: make(map[string][]Generation)} }

func (m *memory) Generations(_ context.Context, name string) ([]Generation, error) {
	return m.known[name], m.err
}

func (m *memory) Accept(_ context.Context, name string, after Digest, next Generation) error {
	if m.race != nil {
		m.race(name)
	}
	known := m.known[name]
	if len(known) == 0 && after.valid() || len(known) > 0 && !known[0].Digest.Equal(after) {
		return ErrHistoryChanged
	}
	if len(known) > 0 && known[0].Digest.Equal(next.Digest) {
		known = known[1:]
	}
	m.known[name] = append([]Generation{next}, known...)[:min(len(known)+1, MaxGenerations)]
	return nil
}

// signAt signs as if at a time.
func (k testKey) signAt(message string, at time.Time) []byte {
	k.t.Helper()
	var buf bytes.Buffer
	config := &packet.Config{Time: func() time.Time { return at }}
	if err := openpgp.DetachSign(&buf, []*openpgp.Entity{k.entity}, strings.NewReader(message), config); err != nil {
		k.t.Fatal(err)
	}
	return buf.Bytes()
}

// newOldKey is a key that was made years ago.
func newOldKey(t *testing.T, made time.Time) testKey {
	t.Helper()
	entity, err := openpgp.NewEntity("tester", "", "tester@example.org", &packet.Config{Time: func() time.Time { return made }})
	if err != nil {
		t.Fatal(err)
	}
	return testKey{t, entity, fingerprintText(entity.PrimaryKey.Fingerprint)}
}

// freshly loads the evidence for a path and freshens it.
func (files tree) freshly(t *testing.T, p *Policy, path string, h History, now time.Time) []*Evidence {
	t.Helper()
	var list []*Evidence
	for _, ref := range p.Wants(path) {
		var got EvidenceFiles
		if text, ok := files[ref.Manifest]; ok {
			got.Manifest = []byte(text)
		}
		if text, ok := files[ref.Signature]; ok {
			got.Signature = []byte(text)
		}
		e, err := files.verify(LoadEvidence(ref, got, now)).Freshen(t.Context(), h, now)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

func (files tree) decideFresh(t *testing.T, p *Policy, path string, h History, now time.Time) Decision {
	t.Helper()
	evidence := files.freshly(t, p, path, h, now)
	return p.Decide(subject(path, files[path], p.Algorithms(Subject{Path: path}, evidence...)...), evidence...)
}

var day0 = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func days(n float64) time.Time { return day0.Add(time.Duration(n * float64(24*time.Hour))) }

// signedTree is a source with one file, its manifest, and a signature of a day.
func signedTree(key testKey, content string, day float64) tree {
	list := sums(SHA256, map[string]string{"a": content})
	return tree{"a": content, "SHA256SUMS": list, "SHA256SUMS.asc": string(key.signAt(list, days(day)))}
}

// An older manifest, served again with its genuine signature.
func TestAttackRollback(t *testing.T) {
	key := newOldKey(t, days(-1000))
	p, h := key.policy(signedPolicy), newMemory()
	one, two, three := signedTree(key, "version 1", 1), signedTree(key, "version 2", 2), signedTree(key, "version 3", 3)
	check(t, two.decideFresh(t, p, "a", h, days(10)), Authentic, true)
	check(t, two.decideFresh(t, p, "a", h, days(11)), Authentic, true)
	check(t, one.decideFresh(t, p, "a", h, days(11)), Unverified, false,
		"as the file has it, but it is older than what was seen before: SHA256SUMS is dated 2026-03-02 12:00:00 UTC, and one dated 2026-03-03",
		"on_stale is quarantine")
	check(t, three.decideFresh(t, p, "a", h, days(12)), Authentic, true)
	check(t, two.decideFresh(t, p, "a", h, days(12)), Unverified, false, "a version that a newer one had replaced")
	check(t, one.decideFresh(t, p, "a", h, days(12)), Unverified, false, "older than what was seen before")
	check(t, three.decideFresh(t, p, "a", h, days(13)), Authentic, true)
	// Neither the old manifest itself nor its signature replaces the newer one.
	for _, name := range []string{"SHA256SUMS", "SHA256SUMS.asc"} {
		check(t, two.decideFresh(t, p, name, h, days(13)), Unverified, false, "a version that a newer one had replaced")
	}
	lenient := key.policy(signedPolicy + "  on_missing: publish\n  on_weak: publish\n")
	check(t, two.decideFresh(t, lenient, "SHA256SUMS", h, days(13)), Unverified, false)
	check(t, two.decideFresh(t, lenient, "a", h, days(13)), Unverified, false, "on_stale is quarantine")
	explicit := key.policy(signedPolicy + "  on_stale: publish\n")
	check(t, two.decideFresh(t, explicit, "a", h, days(13)), Unverified, true, "on_stale is publish")
	check(t, two.decideFresh(t, explicit, "SHA256SUMS", h, days(13)), Unverified, true)

	// What a stale manifest contradicts is bad, whatever the policy says of stale ones.
	mixed := tree{"a": "version 3", "SHA256SUMS": two["SHA256SUMS"], "SHA256SUMS.asc": two["SHA256SUMS.asc"]}
	check(t, mixed.decideFresh(t, explicit, "a", h, days(13)), Bad, false)
	// Nothing of this was remembered.
	if n := len(h.known["manifest SHA256SUMS"]); n != 2 {
		t.Errorf("%d generations are known", n)
	}
}

// The newest manifest, for ever.
func TestAttackFreeze(t *testing.T) {
	key := newOldKey(t, days(-1000))
	p, h := key.policy(signedPolicy+"  max_age: 30d\n"), newMemory()
	files := signedTree(key, "content", 0)
	check(t, files.decideFresh(t, p, "a", h, days(0)), Authentic, true)
	check(t, files.decideFresh(t, p, "a", h, days(30)), Authentic, true)
	check(t, files.decideFresh(t, p, "a", h, days(30.01)), Unverified, false,
		"it is too old: SHA256SUMS is dated 2026-03-01 12:00:00 UTC, and max_age is 720h", "on_stale is quarantine")
	check(t, files.decideFresh(t, p, "SHA256SUMS", h, days(31)), Unverified, false, "too old")
	check(t, files.decideFresh(t, key.policy(signedPolicy), "a", h, days(900)), Authentic, true)
	// Signed anew, it is fresh again.
	again := signedTree(key, "content", 31)
	check(t, again.decideFresh(t, p, "a", h, days(31)), Authentic, true)
	check(t, again.decideFresh(t, p, "a", h, days(60)), Authentic, true)
	// A freeze that began before the first look is seen too.
	check(t, files.decideFresh(t, p, "a", newMemory(), days(40)), Unverified, false, "too old")
	check(t, files.decideFresh(t, p, "a", nil, days(40)), Unverified, false, "too old")
}

func TestAttackFreezeValidUntil(t *testing.T) {
	key := newOldKey(t, days(-1000))
	p, h := key.policy(strings.NewReplacer("SHA256SUMS.asc", "Release.gpg", "manifest: SHA256SUMS", "manifest: Release").Replace(signedPolicy)), newMemory()
	release := func(day float64, validUntil string) tree {
		_, hex, _ := strings.Cut(digestOf([]byte("content")).String(), ":")
		list := fmt.Sprintf("Origin: Test\nDate: %s\n%sSHA256:\n %s 7 a\n", days(day).Format("Mon, 02 Jan 2006 15:04:05 UTC"), validUntil, hex)
		// It was signed long before what it says: the manifest's date counts.
		return tree{"a": "content", "Release": list, "Release.gpg": string(key.signAt(list, days(-500)))}
	}
	until := "Valid-Until: " + days(8).Format("Mon, 02 Jan 2006 15:04:05 UTC") + "\n"
	check(t, release(1, until).decideFresh(t, p, "a", h, days(8)), Authentic, true)
	check(t, release(1, until).decideFresh(t, p, "a", h, days(8.01)), Unverified, false, "Release says that it was valid until 2026-03-09")
	check(t, release(2, "").decideFresh(t, p, "a", h, days(9)), Authentic, true)
	check(t, release(1, "").decideFresh(t, p, "a", h, days(9)), Unverified, false, "is dated 2026-03-02")
	check(t, release(1, until).decideFresh(t, p, "a", h, days(7)), Unverified, false, "replaced")
	check(t, release(10.5, "").decideFresh(t, p, "a", h, days(10)), Authentic, true) // half a day ahead: a clock, perhaps
	check(t, release(10, "").decideFresh(t, p, "a", h, days(10)), Authentic, true)   // and the bar is not half a day ahead
}

// Once accepted, a date in the future would make all that is honest a rollback.
func TestAttackSignatureFromTheFuture(t *testing.T) {
	key := newOldKey(t, days(-1000))
	p, h := key.policy(signedPolicy+"  on_stale: publish\n"), newMemory()
	check(t, signedTree(key, "content", 2).decideFresh(t, p, "a", h, days(0)), Unverified, false, "signature from the future")
	check(t, signedTree(key, "content", 0.5).decideFresh(t, p, "a", h, days(0)), Unverified, false, "signature from the future")
	release := key.policy(strings.NewReplacer("SHA256SUMS.asc", "Release.gpg", "manifest: SHA256SUMS", "manifest: Release").Replace(signedPolicy) + "  on_stale: publish\n")
	list := fmt.Sprintf("Date: %s\nSHA256:\n %x 7 a\n", days(1.01).Format("Mon, 02 Jan 2006 15:04:05 UTC"), digestOf([]byte("content")).Sum)
	files := tree{"a": "content", "Release": list, "Release.gpg": string(key.signAt(list, days(0)))}
	check(t, files.decideFresh(t, release, "a", h, days(0)), Unverified, false, "Release proves nothing: dated in the future: 2026-03-02")
	if d := files.decideFresh(t, release, "a", h, days(0)); d.Evidence[0].Stale != "" {
		t.Error("refused evidence counts as stale, which on_stale could publish")
	}
	if len(h.known) > 0 {
		t.Errorf("remembered: %+v", h.known)
	}
	check(t, files.decideFresh(t, release, "a", h, days(1.01)), Authentic, true)
}

// Signatures of single files: an older version under the same name.
func TestAttackRollbackOfOneFile(t *testing.T) {
	at := 1.0
	kit := minisignKit(t, func() string { return fmt.Sprintf("timestamp:%d\tfile:tool.tar", days(at).Unix()) })
	p, h := kit.policy(t, "signature: '{dir}/{name}.minisig'", ""), newMemory()
	version := func(content string, day float64) tree {
		at = day
		return tree{"tool.tar": content, "tool.tar.minisig": string(kit.detached(content))}
	}
	one, two := version("1", 1), version("2", 2)
	check(t, one.decideFresh(t, p, "tool.tar", h, days(5)), Authentic, true)
	check(t, two.decideFresh(t, p, "tool.tar", h, days(5)), Authentic, true)
	check(t, one.decideFresh(t, p, "tool.tar", h, days(5)), Unverified, false, "tool.tar.minisig is a version that a newer one had replaced")
	check(t, version("0", 0.5).decideFresh(t, p, "tool.tar", h, days(5)), Unverified, false, "is dated 2026-03-02 00:00:00")
	check(t, version("2", 1.5).decideFresh(t, p, "tool.tar", h, days(5)), Authentic, true) // the same bytes, signed by two
	// Another file has its own history.
	kit2 := kit.policy(t, "signature: '{dir}/{name}.minisig'\n    binds_name: false", "")
	other := tree{"b": "1", "b.minisig": one["tool.tar.minisig"]}
	check(t, other.decideFresh(t, kit2, "b", h, days(5)), Authentic, true)
}

// Kinds without dates: only what was seen before can tell.
func TestAttackRollbackWithoutDates(t *testing.T) {
	kit := signifyKit(t)
	p, h := kit.policy(t, "manifest: SHA256SUMS", ""), newMemory()
	version := func(content string) tree {
		list := sums(SHA256, map[string]string{"a": content})
		return tree{"a": content, "SHA256SUMS": string(kit.inline(list))}
	}
	for _, content := range []string{"1", "2", "2", "3"} {
		check(t, version(content).decideFresh(t, p, "a", h, day0), Authentic, true)
	}
	check(t, version("2").decideFresh(t, p, "a", h, day0), Unverified, false, "a version that a newer one had replaced")
	// The comment of the file is not signed, and another one makes no other version.
	old := version("1")
	old["SHA256SUMS"] = strings.Replace(old["SHA256SUMS"], "untrusted comment: signature", "untrusted comment: other", 1)
	check(t, old.decideFresh(t, p, "a", h, day0), Unverified, false, "a version that a newer one had replaced")
	dated := kit.policy(t, "manifest: SHA256SUMS", "  max_age: 1d\n")
	check(t, version("3").decideFresh(t, dated, "a", h, day0), Unverified, false, "has no date, and max_age is 24h")
}

func TestRollbackRules(t *testing.T) {
	g := func(content string, date time.Time) Generation { return Generation{digestOf([]byte(content)), date} }
	none := time.Time{}
	tests := []struct {
		name  string
		known []Generation // the newest first
		next  Generation
		stale bool
	}{
		{"first", nil, g("a", days(1)), false},
		{"first without a date", nil, g("a", none), false},
		{"the same", []Generation{g("a", days(1))}, g("a", days(1)), false},
		{"the same, signed before", []Generation{g("a", days(1))}, g("a", days(0)), false},
		{"the same, without a date", []Generation{g("a", days(1))}, g("a", none), false},
		{"newer", []Generation{g("a", days(1))}, g("b", days(2)), false},
		{"of the same second", []Generation{g("a", days(1))}, g("b", days(1)), false},
		{"older", []Generation{g("a", days(1))}, g("b", days(0)), true},
		{"without a date after one with", []Generation{g("a", days(1))}, g("b", none), true},
		{"with a date after one without", []Generation{g("a", none)}, g("b", days(0)), false},
		{"back, signed anew", []Generation{g("b", days(1)), g("a", days(0))}, g("a", days(2)), false},
		{"back, of the same second", []Generation{g("b", days(1)), g("a", days(1))}, g("a", days(1)), true},
		{"back, with a date where there was none", []Generation{g("b", none), g("a", none)}, g("a", days(1)), true},
		{"back, without dates", []Generation{g("b", none), g("a", none)}, g("a", none), true},
		{"older than one before the last", []Generation{g("b", none), g("a", days(2))}, g("c", days(1)), true},
	}
	for _, test := range tests {
		if err := rollback(EvidenceRef{Manifest: "S"}, test.known, test.next); (err != nil) != test.stale || err != nil && !errors.Is(err, ErrRollback) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// Two runs of one source at once.
func TestFreshenAtOnce(t *testing.T) {
	key := newOldKey(t, days(-1000))
	p, h := key.policy(signedPolicy), newMemory()
	newer, _ := signedTree(key, "2", 2).freshly(t, p, "a", nil, days(5))[0].Generation()
	h.race = func(name string) {
		h.race = nil
		if err := h.Accept(t.Context(), name, Digest{}, newer); err != nil {
			t.Error(err)
		}
	}
	check(t, signedTree(key, "1", 1).decideFresh(t, p, "a", h, days(5)), Unverified, false, "older than")

	h.known = map[string][]Generation{}
	h.race = func(string) {
		h.known["manifest SHA256SUMS"] = []Generation{{digestOf([]byte(time.Now().String())), time.Time{}}}
	}
	e := signedTree(key, "1", 1).freshly(t, p, "a", nil, days(5))[0]
	if _, err := e.Freshen(t.Context(), h, days(5)); !errors.Is(err, ErrHistoryChanged) {
		t.Errorf("for ever overtaken: %v", err)
	}
	h.err = errors.New("disk full")
	if _, err := e.Freshen(t.Context(), h, days(5)); !errors.Is(err, h.err) {
		t.Errorf("got %v", err)
	}
}

// What proves nothing has no history, and makes none.
func TestFreshenNothing(t *testing.T) {
	key, stranger := newOldKey(t, days(-1000)), newOldKey(t, days(-1000))
	p, h := key.policy(signedPolicy), newMemory()
	list := sums(SHA256, map[string]string{"a": "1"})
	broken := list + "garbage\n"
	for name, files := range map[string]tree{
		"nothing":   {},
		"stranger":  {"SHA256SUMS": list, "SHA256SUMS.asc": string(stranger.signAt(list, days(1)))},
		"no parse":  {"SHA256SUMS": broken, "SHA256SUMS.asc": string(key.signAt(broken, days(9)))},
		"bad":       {"SHA256SUMS": list, "SHA256SUMS.asc": string(key.signAt(broken, days(1)))},
		"no signer": {"SHA256SUMS": list},
	} {
		files["a"] = "1"
		if d := files.decideFresh(t, p, "a", h, days(10)); d.Verdict != Unverified || d.Evidence[0].Stale != "" {
			t.Errorf("%s: %+v", name, d)
		}
	}
	unsigned := key.policy("rules: [{paths: '**', evidence: [{manifest: SHA256SUMS}]}]")
	tree{"a": "1", "SHA256SUMS": list}.decideFresh(t, unsigned, "a", h, days(10))
	if len(h.known) > 0 {
		t.Errorf("remembered: %+v", h.known)
	}
}

func TestDecideStaleBesideOthers(t *testing.T) {
	key := newOldKey(t, days(-1000))
	item := func(name string, signed bool) string {
		if !signed {
			return "  - {manifest: " + name + ", algorithm: sha256}\n"
		}
		return "  - {manifest: " + name + ", algorithm: sha256, signature: " + name + ".asc, keys: [KEY], key_files: [partner.pgp]}\n"
	}
	// Old is stale, New is fresh, Weak is not signed; all list the file.
	list := sums(SHA256, map[string]string{"a": "content"})
	files := tree{
		"a": "content", "Old": list, "New": list, "Weak": list,
		"Old.asc": string(key.signAt(list, days(-100))), "New.asc": string(key.signAt(list, days(0))),
	}
	tests := []struct {
		rule, names string
		verdict     Verdict
		publish     bool
	}{
		{"require: any", "ON", Authentic, true},
		{"require: all", "ON", Unverified, false},
		{"require: any", "OW", Intact, false},
		{"require: any\n  on_weak: publish", "OW", Intact, false}, // not silently
		{"require: any\n  on_weak: publish\n  on_stale: publish", "OW", Intact, true},
		{"require: any\n  on_missing: publish", "O", Unverified, false},
		{"require: any\n  on_stale: publish", "O", Unverified, true},
		{"require: all\n  on_stale: publish", "OW", Unverified, false}, // the other one is weak
		{"require: all\n  on_stale: publish\n  on_weak: publish", "OW", Unverified, true},
		{"require: all\n  on_stale: publish", "ON", Unverified, true},
	}
	for _, test := range tests {
		t.Run(test.rule+" "+test.names, func(t *testing.T) {
			text := "rules:\n- paths: a\n  max_age: 30d\n  " + test.rule + "\n  evidence:\n"
			for _, c := range test.names {
				text += item(map[rune]string{'O': "Old", 'N': "New", 'W': "Weak"}[c], c != 'W')
			}
			check(t, files.decideFresh(t, key.policy(text), "a", newMemory(), days(1)), test.verdict, test.publish)
		})
	}
}
