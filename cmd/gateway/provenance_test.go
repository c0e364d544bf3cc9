package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gateway/integrity"
	"gateway/state"
	"gateway/storage"
)

// shelf is a gateway with published files.
type shelf struct {
	t      *testing.T
	e      *env
	out    *bytes.Buffer
	stderr *bytes.Buffer
	g      *gateway
	job    state.Job
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	e, out, stderr := newEnv(t)
	s := &shelf{t: t, e: e, out: out, stderr: stderr, g: openGateway(t, e)}
	var err error
	if s.job, err = s.g.state.OpenJob(t.Context(), "ftp://user@ftp.example/pub/", "default:partner"); err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs a command and returns its exit status and what it printed.
func (s *shelf) run(args ...string) (int, string) {
	s.t.Helper()
	s.out.Reset()
	s.stderr.Reset()
	code := run(s.e.ctx, args, s.e.streams)
	return code, s.out.String() + s.stderr.String()
}

// want runs a command and checks the exit status and some words, however they are wrapped.
func (s *shelf) want(code int, words string, args ...string) string {
	s.t.Helper()
	got, out := s.run(args...)
	if got != code || !strings.Contains(strings.Join(strings.Fields(out), " "), words) {
		s.t.Errorf("gateway %s: exit status %d, want %d with %q\n%s", strings.Join(args, " "), got, code, words, out)
	}
	return out
}

func (s *shelf) signer() *integrity.ProvenanceSigner {
	s.t.Helper()
	signer, err := s.g.provenanceKeys().signer()
	if err != nil {
		s.t.Fatal(err)
	}
	return signer
}

// publish makes partner/NAME as a migration does.
func (s *shelf) publish(name, content string, edit ...func(*integrity.Decision)) state.Publication {
	s.t.Helper()
	sum := sha256.Sum256([]byte(content))
	d := integrity.Decision{Verdict: integrity.Intact, Publish: true, Reason: "a checksum fits"}
	for _, f := range edit {
		f(&d)
	}
	p := state.Publication{
		Target: "default:partner/" + name, Job: s.job.ID, Source: "ftp://ftp.example/pub/" + name, Size: int64(len(content)),
		SHA256: sum[:], Verdict: string(d.Verdict), Reason: d.Reason, Published: time.Now(),
	}
	subject := integrity.Subject{Path: name, Size: p.Size, Digests: []integrity.Digest{{Algorithm: integrity.SHA256, Sum: sum[:]}}}
	st, err := integrity.NewStatement(subject, d, integrity.Origin{URL: p.Source, Verifier: "urn:test", Target: p.Target, Fetched: time.Now(), Verified: time.Now()})
	if err == nil {
		p.Provenance, err = s.signer().Sign(st)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	s.put(name, content)
	s.record(p)
	return p
}

func (s *shelf) put(name, content string) {
	s.t.Helper()
	path := filepath.Join(s.g.cfg.Storages["default"].Path, "partner", filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600)); err != nil {
		s.t.Fatal(err)
	}
}

func (s *shelf) record(p state.Publication) {
	s.t.Helper()
	_, name, _ := strings.Cut(p.Target, ":")
	f := state.File{Job: p.Job, Path: strings.TrimPrefix(name, "partner/"), Target: name, Phase: state.Published, Size: p.Size, SHA256: p.SHA256}
	if err := s.g.state.Publish(s.t.Context(), f, p); err != nil {
		s.t.Fatal(err)
	}
}

// wide fails for lines that a terminal would break, but for paths and hashes.
func wide(t *testing.T, out string) {
	t.Helper()
	for line := range strings.Lines(out) {
		if len([]rune(line)) > textWidth+1 {
			t.Errorf("%d columns: %s", len(line)-1, line)
		}
	}
}

func TestProvenance(t *testing.T) {
	s := newShelf(t)
	p := s.publish("docs/a.txt", "content")
	id := integrity.ProvenanceKeyID(s.signer().PublicKey())

	if code, out := s.run("provenance", "partner/docs/a.txt"); code != 0 || out != string(p.Provenance)+"\n" {
		t.Errorf("exit status %d, %s", code, out)
	}
	if err := os.WriteFile("a.json", s.out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out := s.run("provenance", "--statement", "default:/partner/docs/a.txt"); code != 0 || !strings.Contains(out, `"name":"docs/a.txt"`) {
		t.Errorf("exit status %d, %s", code, out)
	} else if st, err := integrity.ParseStatement(s.out.Bytes()); err != nil || st.Predicate.Details.Target != p.Target {
		t.Errorf("%+v, %v", st, err)
	}
	wide(t, s.want(0, "judged them intact and published them", "provenance", "--check", "partner/docs/a.txt"))
	wide(t, s.want(0, "signed by the gateway's key "+id, "explain", "partner/docs/a.txt"))
	keys := s.want(0, id+" signs now", "provenance", "--public-key")
	parsed, err := integrity.ParseProvenanceKeys([]byte(keys))
	if err != nil || len(parsed) != 1 || !parsed[0].Equal(s.signer().PublicKey()) {
		t.Errorf("%v, %v", parsed, err)
	}

	// Somebody else, who has no gateway, checks what was exported.
	if err := errors.Join(os.WriteFile("keys.pem", []byte(keys), 0o600), os.WriteFile("a.txt", []byte("content"), 0o600)); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"keys.pem", id, strings.ToUpper(id)} {
		wide(t, s.want(0, "judged them intact", "--data", "elsewhere", "provenance", "--check", "a.json", "--file", "a.txt", "--key", key))
	}
	if _, err := os.Stat("elsewhere"); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a check made a data folder")
	}
	if err := os.Rename("a.txt", "b.txt"); err != nil {
		t.Fatal(err)
	}
	s.want(1, `about "docs/a.txt", not "b.txt"`, "provenance", "--check", "a.json", "--file", "b.txt", "--key", id)
	if err := os.WriteFile("a.txt", []byte("c0ntent"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.want(1, "WRONG bytes the file has SHA-256", "provenance", "--check", "a.json", "--file", "a.txt", "--key", id)
	s.want(1, "WRONG signature", "provenance", "--check", "a.json", "--file", "a.txt", "--key", "sha256:"+strings.Repeat("0", 64))
	s.want(1, "neither a fingerprint", "provenance", "--check", "a.json", "--file", "a.txt", "--key", "nothing.pem")
	s.want(1, "not published by a migration", "provenance", "partner/nothing")
}

// The file in the storage is what counts, not what the record says of it.
func TestProvenanceCheckReadsTheFile(t *testing.T) {
	s := newShelf(t)
	s.publish("a", "content")
	for content, words := range map[string]string{"c0ntent": "WRONG bytes the file has SHA-256", "more content": "WRONG size the file has 12 bytes, 7 were published"} {
		s.put("a", content)
		s.want(1, words, "provenance", "--check", "partner/a")
		s.want(1, "not so 1", "verify", "--published")
	}
	if err := s.g.storages["default"].Remove(t.Context(), "partner/a"); err != nil {
		t.Fatal(err)
	}
	s.want(1, "WRONG bytes there is no such file", "provenance", "--check", "partner/a")
}

// What somebody can do who may write the database, but has not the key.
func TestAttackProvenanceInCatalogue(t *testing.T) {
	attacks := map[string]struct {
		words string
		edit  func(s *shelf, p *state.Publication)
	}{
		"a statement about another name": {`WRONG name the statement is about "default:partner/b"`, func(s *shelf, p *state.Publication) {
			p.Provenance = s.publish("b", "content").Provenance
			p.Source = "ftp://ftp.example/pub/b"
		}},
		"a statement about other bytes": {"WRONG record the catalogue has SHA-256", func(s *shelf, p *state.Publication) {
			p.Provenance = s.publish("a", "other!!").Provenance
		}},
		"a better verdict in the record": {`WRONG record the catalogue has the verdict "authentic"`, func(_ *shelf, p *state.Publication) {
			p.Verdict = string(integrity.Authentic)
		}},
		"another source in the record": {"WRONG record the catalogue has another source", func(_ *shelf, p *state.Publication) {
			p.Source = "ftp://elsewhere.example/a"
		}},
		"the signature taken off": {"the statement is not signed", func(s *shelf, p *state.Publication) {
			p.Provenance = payloadOf(s.t, p.Provenance)
		}},
		"a changed statement": {"bad signature", func(s *shelf, p *state.Publication) {
			payload := bytes.Replace(payloadOf(s.t, p.Provenance), []byte("GATEWAY_INTACT"), []byte("GATEWAY_AUTHEN"), 1)
			p.Provenance = editEnvelope(s.t, p.Provenance, func(m map[string]any) {
				m["payload"] = base64.StdEncoding.EncodeToString(payload)
			})
		}},
		"another payload type": {"not an in-toto statement", func(s *shelf, p *state.Publication) {
			p.Provenance = editEnvelope(s.t, p.Provenance, func(m map[string]any) { m["payloadType"] = "application/json" })
		}},
		"two signatures": {"2 signatures, want 1", func(s *shelf, p *state.Publication) {
			p.Provenance = editEnvelope(s.t, p.Provenance, func(m map[string]any) {
				list := m["signatures"].([]any)
				m["signatures"] = append(list, list[0])
			})
		}},
		"another key": {"unknown key", func(s *shelf, p *state.Publication) {
			other, err := integrity.NewProvenanceSigner(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
			if err != nil {
				s.t.Fatal(err)
			}
			st, err := integrity.ParseStatement(payloadOf(s.t, p.Provenance))
			if err == nil {
				p.Provenance, err = other.Sign(st)
			}
			if err != nil {
				s.t.Fatal(err)
			}
		}},
		"a huge envelope": {"more than", func(_ *shelf, p *state.Publication) {
			p.Provenance = append(p.Provenance, bytes.Repeat([]byte(" "), integrity.MaxEnvelopeBytes)...)
		}},
		"nothing": {"envelope not usable", func(_ *shelf, p *state.Publication) { p.Provenance = nil }},
	}
	for name, attack := range attacks {
		t.Run(name, func(t *testing.T) {
			s := newShelf(t)
			p := s.publish("a", "content")
			s.want(0, "It proves:", "provenance", "--check", "partner/a")
			attack.edit(s, &p)
			s.put("a", "content")
			s.record(p)
			wide(t, s.want(1, attack.words, "provenance", "--check", "partner/a"))
			s.want(1, "not so 1", "verify", "--published", "partner/a")
			if code, _ := s.run("provenance", "partner/a"); code != 1 || s.out.Len() > 0 {
				t.Errorf("it is exported: exit status %d, %s", code, s.out)
			}
			wide(t, s.want(0, "Proof: does not hold:", "explain", "partner/a"))
			if code, out := s.run("verify", "--published", "--json"); code != 1 || !strings.Contains(out, `"ok":false`) {
				t.Errorf("exit status %d\n%s", code, out)
			}
		})
	}
}

func payloadOf(t *testing.T, envelope []byte) []byte {
	t.Helper()
	var e struct{ Payload []byte }
	if err := json.Unmarshal(envelope, &e); err != nil {
		t.Fatal(err)
	}
	return e.Payload
}

func editEnvelope(t *testing.T, envelope []byte, edit func(map[string]any)) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(envelope, &m); err != nil {
		t.Fatal(err)
	}
	edit(m)
	out, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Statements from before signing are read, and nobody takes them for proof.
func TestProvenanceUnsigned(t *testing.T) {
	s := newShelf(t)
	p := s.publish("a", "content")
	var m map[string]any
	if err := json.Unmarshal(payloadOf(t, p.Provenance), &m); err != nil {
		t.Fatal(err)
	}
	delete(m["predicate"].(map[string]any)["gatewayVerification"].(map[string]any), "target")
	var err error
	if p.Provenance, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	s.record(p)
	s.want(0, "warning: this statement was never signed", "provenance", "--statement", "partner/a")
	if _, err := integrity.ParseStatement(s.out.Bytes()); err != nil {
		t.Error(err)
	}
	s.want(1, "the statement is not signed", "provenance", "partner/a")
	out := s.want(1, "the statement is not signed", "provenance", "--check", "partner/a")
	if strings.Count(out, "WRONG") != 1 {
		t.Errorf("more is wrong than the signature:\n%s", out)
	}
}

func TestProvenanceKeyRotation(t *testing.T) {
	s := newShelf(t)
	keys := s.g.provenanceKeys()
	s.publish("old", "1")
	old := s.signer().PublicKey()
	out := s.want(0, "new key: sha256:", "provenance", "--rotate-key")
	now := s.signer().PublicKey()
	if now.Equal(old) || !strings.Contains(out, integrity.ProvenanceKeyID(now)) {
		t.Errorf("the key is the same as before\n%s", out)
	}
	s.publish("new", "2")
	s.want(0, "not so 0", "verify", "--published")
	listed, err := integrity.ParseProvenanceKeys([]byte(s.want(0, "signed before", "provenance", "--public-key")))
	if err != nil || len(listed) != 2 || !listed[0].Equal(now) || !listed[1].Equal(old) {
		t.Errorf("%v, %v", listed, err)
	}
	// The old one is out: what it signed is nobody's word any more.
	if err := os.Remove(keys.publicFile(old)); err != nil {
		t.Fatal(err)
	}
	s.want(1, "unknown key", "provenance", "--check", "partner/old")
	s.want(0, "It proves:", "provenance", "--check", "partner/new")
	// Removing the private key by hand is a rotation too.
	if err := os.Remove(keys.private()); err != nil {
		t.Fatal(err)
	}
	s.publish("newest", "3")
	s.want(0, "It proves:", "provenance", "--check", "partner/new")
	s.want(0, "It proves:", "provenance", "--check", "partner/newest")
	info, err := os.Stat(keys.private())
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

func TestProvenanceKeyFaults(t *testing.T) {
	s := newShelf(t)
	keys := s.g.provenanceKeys()
	s.publish("a", "1")
	good, err := os.ReadFile(keys.private())
	if err != nil {
		t.Fatal(err)
	}
	for words, text := range map[string]string{
		"not one PEM block":  "hello",
		"put back a copy":    "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
		"not one PEM block ": string(good) + string(good),
	} {
		if err := os.WriteFile(keys.private(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s.want(1, strings.TrimSpace(words), "provenance", "--public-key")
		s.want(0, "It proves", "provenance", "--check", "partner/a") // takes no private key
	}
	if err := errors.Join(os.WriteFile(keys.private(), good, 0o600), os.Chmod(keys.private(), 0o644)); err != nil {
		t.Fatal(err)
	}
	s.want(1, "others may read it", "provenance", "--public-key")
	if err := os.WriteFile(filepath.Join(keys.known(), "x.pem"), []byte("?"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.want(1, "x.pem", "provenance", "--check", "partner/a")
}

// Processes that need the key at the same moment get the same one.
func TestProvenanceKeyIsMadeOnce(t *testing.T) {
	e, _, _ := newEnv(t)
	g := openGateway(t, e)
	ids := make([]string, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			s, err := g.provenanceKeys().signer()
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = integrity.ProvenanceKeyID(s.PublicKey())
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("%q and %q", id, ids[0])
		}
	}
	if keys, err := g.provenanceKeys().public(); err != nil || len(keys) != 1 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

// It is a tool beside a running gateway: the database and the storage are shared.
func TestProvenanceWhileAnotherIsOpen(t *testing.T) {
	s := newShelf(t)
	s.publish("a", "1")
	up, err := s.g.storages["default"].Create(t.Context(), "partner/b", storage.CreateOptions{Size: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer up.Abort(t.Context())
	if _, release, err := s.g.state.Claim(t.Context(), s.job.ID, time.Now()); err != nil {
		t.Fatal(err)
	} else {
		defer release()
	}
	s.want(0, "It proves", "provenance", "--check", "partner/a")
	s.want(0, "not so 0", "verify", "--published")
}

// A migration that publishes a newer version just then is no fault; one that was
// cut off between the file and its record is told apart from somebody's change.
func TestVerifyPublishedDuringMigration(t *testing.T) {
	s := newShelf(t)
	old := s.publish("a", "old")
	x := &examiner{g: s.g, keys: &integrity.ProvenanceKeys{}, jobs: map[int64]examinedJob{s.job.ID: {destination: s.job.Destination}}}
	if err := x.keys.Add(s.signer().PublicKey()); err != nil {
		t.Fatal(err)
	}
	at, err := s.g.place("default:")
	if err != nil {
		t.Fatal(err)
	}
	s.publish("a", "newer")
	if f, err := x.examine(t.Context(), at, old); err != nil || !f.ok() || f.pub.Size != 5 {
		t.Errorf("%+v, %v", f, err)
	}
	line, err := s.g.state.GetFile(t.Context(), s.job.ID, "a")
	if err != nil {
		t.Fatal(err)
	}
	line.Phase = state.Verified
	if err := s.g.state.PutFiles(t.Context(), line); err != nil {
		t.Fatal(err)
	}
	s.put("a", "newest")
	s.want(1, "was cut off while it did", "verify", "--published")
}
