package ftpbridge

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/url"
	"slices"
	"strings"
	"time"

	"gateway/integrity"
	"gateway/state"
	"gateway/storage"
)

// ReexamineOptions says what to judge again. Store, Dest, DestName and Policy are
// required.
type ReexamineOptions struct {
	Store    state.Store
	Dest     storage.FS // the storage that DestName stands for
	DestName string
	Prefix   string            // only this name in the storage and those below it; "" for all
	Policy   *integrity.Policy // as LoadPolicy gave it, for all sources
	// ReadBytes has the published bytes hashed again. Without it only their size
	// is looked at, unless the policy needs a digest that was not recorded or a
	// signature is of the file itself.
	ReadBytes bool
	// Keys verify the statements, whose digests beside SHA-256 and whose server's
	// hash then count only if they are signed. Without, the store is believed.
	Keys *integrity.ProvenanceKeys
	Now  func() time.Time // nil is time.Now
}

// Examination is what the policy says now of a file that is published.
type Examination struct {
	Publication state.Publication  // as recorded
	Name        string             // in the storage
	Present     bool               // a file of the recorded size is there; with ReadBytes, of the recorded bytes
	Decision    integrity.Decision // by the policy, the evidence that is kept, and the keys as they are now
	Suspect     bool               // it is not Present, it would not be published now, or its verdict fell
	Reason      string             // one plain sentence
}

// Reexamine judges every file again that is published in a storage, in the order
// of their names, by a policy that may have changed since, and yields each. It
// asks no server: the evidence is the newest that was kept of each source, or
// where none is kept what is published under the evidence's name.
//
// So a file becomes suspect when a key was revoked, has expired or is not pinned
// any more; when a newer manifest lists it no more, or with another digest; when
// it was changed; and when the policy became stricter. How old the evidence is
// by now does not matter. What an operator released stays as it was judged then.
//
// A file that cannot be judged, because its bytes or what is kept of it cannot be
// read, ends the sequence with the error.
func Reexamine(ctx context.Context, o ReexamineOptions) iter.Seq2[Examination, error] {
	return func(yield func(Examination, error) bool) {
		x, err := newExaminer(ctx, o)
		if err != nil {
			yield(Examination{}, fmt.Errorf("reexamine: %w", err))
			return
		}
		for pub, err := range o.Store.Publications(ctx, publicationKey(o.DestName, o.Prefix)) {
			var e Examination
			if err == nil {
				name := strings.TrimPrefix(pub.Target, publicationKey(o.DestName, ""))
				if o.Prefix != "" && name != o.Prefix && !strings.HasPrefix(name, o.Prefix+"/") {
					continue
				}
				e, err = x.examine(ctx, pub, name)
			}
			if err != nil {
				yield(e, fmt.Errorf("reexamine: %w", err))
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// examiner judges published files again.
type examiner struct {
	ReexamineOptions
	jobs map[int64]*jobExaminer
}

// jobExaminer knows what is the same for all files of a job.
type jobExaminer struct {
	baseURL  string
	folder   string
	policy   *integrity.Policy
	evidence *evidenceCache
}

func newExaminer(ctx context.Context, o ReexamineOptions) (*examiner, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	x := &examiner{ReexamineOptions: o, jobs: make(map[int64]*jobExaminer)}
	for job, err := range o.Store.Jobs(ctx) {
		if err != nil {
			return nil, err
		}
		u, err := url.Parse(job.Source)
		if err != nil {
			return nil, fmt.Errorf("job %d: %w", job.ID, err)
		}
		source := Source{URL: u}
		_, folder, _ := strings.Cut(job.Destination, ":")
		x.jobs[job.ID] = &jobExaminer{
			baseURL: plainURL(source), folder: folder,
			policy: o.Policy.ForSource(source.PolicyNames()...), evidence: newEvidenceCache(),
		}
	}
	return x, nil
}

// examined is one file on its way.
type examined struct {
	*examiner
	*jobExaminer
	pub       state.Publication
	name      string
	statement *integrity.Statement // nil if it cannot be read
	subject   integrity.Subject
}

func (x *examiner) examine(ctx context.Context, pub state.Publication, name string) (Examination, error) {
	job := x.jobs[pub.Job]
	if job == nil {
		return Examination{}, fmt.Errorf("%s: job %d: %w", printable(name), pub.Job, state.ErrNotFound)
	}
	f := &examined{examiner: x, jobExaminer: job, pub: pub, name: name}
	f.describe()
	e := Examination{Publication: pub, Name: name}
	evidence, err := f.gather(ctx)
	if err == nil {
		e.Present, err = f.present(ctx, evidence)
	}
	if err != nil {
		return e, fmt.Errorf("%s: %w", printable(name), err)
	}
	e.Decision = f.policy.Decide(f.subject, evidence...)
	e.Suspect, e.Reason = f.verdict(e)
	return e, nil
}

// describe makes the subject from the record. Digests that the statement has are
// as good as the catalogue; they are taken if it speaks of the same bytes.
func (f *examined) describe() {
	path := f.name
	if f.folder != "" {
		path = strings.TrimPrefix(path, f.folder+"/")
	}
	sum := integrity.Digest{Algorithm: integrity.SHA256, Sum: f.pub.SHA256}
	f.subject = integrity.Subject{Path: path, Size: f.pub.Size, Digests: []integrity.Digest{sum}}
	st, err := f.statementOf(f.pub)
	if err != nil || st.Subject[0].Digest[string(integrity.SHA256)] != hex.EncodeToString(f.pub.SHA256) {
		return
	}
	f.statement = st
	if raw, err := hex.DecodeString(st.Predicate.Details.RawName); err == nil {
		f.subject.RawPath = string(raw)
	}
	for name, value := range st.Subject[0].Digest {
		d, err := integrity.ParseDigest(name + ":" + value)
		if err == nil && d.Algorithm != integrity.SHA256 {
			f.subject.Digests = append(f.subject.Digests, d)
		}
	}
}

// statementOf reads what a publication is proved by.
func (x *examiner) statementOf(pub state.Publication) (*integrity.Statement, error) {
	if x.Keys != nil {
		signed, err := x.Keys.Open(pub.Provenance)
		if err != nil {
			return nil, err
		}
		return signed.Statement, nil
	}
	var envelope struct {
		Payload []byte `json:"payload"` // in base64
	}
	if err := json.Unmarshal(pub.Provenance, &envelope); err == nil && len(envelope.Payload) > 0 {
		return integrity.ParseStatement(envelope.Payload)
	}
	return integrity.ParseStatement(pub.Provenance)
}

// gather loads the evidence that the policy wants, from what is kept.
func (f *examined) gather(ctx context.Context) ([]*integrity.Evidence, error) {
	var list []*integrity.Evidence
	for _, ref := range f.policy.Wants(f.subject.Path) {
		if ref.ServerHash() {
			list = append(list, f.recordedHash(ref))
			continue
		}
		e, err := f.load(ctx, ref)
		if err == nil && e.NeedsFile() {
			e, err = f.holdAgainst(ctx, e)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// load loads evidence once for all files of a job, but for a file that is itself
// a part of the evidence: a manifest is judged with the signature that it was
// published with, though there is a newer one.
func (f *examined) load(ctx context.Context, ref integrity.EvidenceRef) (*integrity.Evidence, error) {
	if f.subject.Path == ref.Manifest || f.subject.Path == ref.Signature {
		files, err := f.recorded(ctx, ref)
		if err == nil {
			return integrity.LoadEvidence(ref, files, f.Now()), nil
		}
		if !errors.Is(err, state.ErrNotFound) {
			return nil, err
		}
	}
	return f.evidence.get(ctx, ref, func() (*integrity.Evidence, int64, error) {
		files, err := f.kept(ctx, ref)
		if err != nil {
			return nil, 0, err
		}
		return integrity.LoadEvidence(ref, files, f.Now()), int64(len(files.Manifest) + len(files.Signature)), nil
	})
}

// recorded finds the very bytes that a publication names; state.ErrNotFound if
// it does not, or they had to go.
func (f *examined) recorded(ctx context.Context, ref integrity.EvidenceRef) (files integrity.EvidenceFiles, err error) {
	if f.statement == nil {
		return files, state.ErrNotFound
	}
	for _, finding := range f.statement.Predicate.Details.Decision.Evidence {
		if finding.Manifest != ref.Manifest || finding.Signature != ref.Signature {
			continue
		}
		if ref.Manifest != "" {
			files.Manifest, err = f.Store.EvidenceBytes(ctx, finding.ManifestDigest.Sum)
		}
		if ref.Signature != "" && err == nil {
			files.Signature, err = f.Store.EvidenceBytes(ctx, finding.SignatureDigest.Sum)
		}
		return files, err
	}
	return files, state.ErrNotFound
}

// recordedHash is what the server said when the file was published.
func (f *examined) recordedHash(ref integrity.EvidenceRef) *integrity.Evidence {
	if f.statement != nil {
		for _, finding := range f.statement.Predicate.Details.Decision.Evidence {
			if finding.ServerDigest != nil {
				return integrity.ServerHashEvidence(ref, finding.Command, *finding.ServerDigest, nil)
			}
		}
	}
	return integrity.ServerHashEvidence(ref, "", integrity.Digest{}, nil)
}

// kept finds the bytes of evidence: the newest that counted for this source, or
// what is published under its name.
func (f *examined) kept(ctx context.Context, ref integrity.EvidenceRef) (integrity.EvidenceFiles, error) {
	e, err := f.Store.LatestEvidence(ctx, historySource(f.baseURL), ref.HistoryName())
	whole := (e.Manifest != nil) == (ref.Manifest != "") && (e.Signature != nil) == (ref.Signature != "")
	if err == nil && whole {
		return integrity.EvidenceFiles{Manifest: e.Manifest, Signature: e.Signature}, nil
	}
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return integrity.EvidenceFiles{}, err
	}
	var files integrity.EvidenceFiles
	err = nil
	if ref.Manifest != "" {
		files.Manifest, err = f.published(ctx, ref.Manifest, integrity.MaxManifestBytes)
	}
	if ref.Signature != "" && (err == nil || errors.Is(err, ErrTooLarge)) {
		files.Signature, err = f.published(ctx, ref.Signature, integrity.MaxSignatureBytes)
	}
	if errors.Is(err, ErrTooLarge) {
		files.Err, err = err, nil
	}
	return files, err
}

// published reads a small file of the storage, nil if there is none.
func (f *examined) published(ctx context.Context, path string, limit int64) ([]byte, error) {
	file, err := f.open(ctx, path)
	if errors.Is(err, errNothingThere) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if size := file.Info().Size; size > limit {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ErrTooLarge, size, limit)
	}
	data, err := io.ReadAll(storage.Reader(ctx, file))
	if err == nil && data == nil {
		data = []byte{}
	}
	return data, err
}

// errNothingThere is open's answer where there is no file.
var errNothingThere = fmt.Errorf("nothing is published there: %w", fs.ErrNotExist)

// open opens a file that the job may have published.
func (f *examined) open(ctx context.Context, path string) (storage.File, error) {
	if f.folder != "" {
		path = f.folder + "/" + path
	}
	file, err := f.Dest.Open(ctx, path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, storage.ErrIsDir) || errors.Is(err, storage.ErrNotDir) {
		return nil, errNothingThere
	}
	return file, err
}

// holdAgainst verifies a signature of a file over what is published of it.
func (f *examined) holdAgainst(ctx context.Context, e *integrity.Evidence) (*integrity.Evidence, error) {
	file, err := f.open(ctx, e.Ref.File)
	if errors.Is(err, errNothingThere) {
		return e, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return e.VerifyFile(storage.Reader(ctx, file), f.Now())
}

// present looks whether the recorded bytes are there, and computes the digests
// that the evidence needs and nobody recorded. They count only if they are of
// the recorded bytes.
func (f *examined) present(ctx context.Context, evidence []*integrity.Evidence) (bool, error) {
	need := slices.DeleteFunc(f.policy.Algorithms(f.subject, evidence...), func(a integrity.Algorithm) bool {
		return slices.ContainsFunc(f.subject.Digests, func(d integrity.Digest) bool { return d.Algorithm == a })
	})
	if len(need) == 0 && !f.ReadBytes {
		info, err := f.Dest.Stat(ctx, f.name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, storage.ErrNotDir) {
			return false, nil
		}
		return err == nil && !info.IsDir() && info.Size == f.pub.Size, err
	}
	digester, err := integrity.NewDigester(need...)
	if err != nil {
		return false, err
	}
	same, _, err := sameBytes(ctx, f.Dest, f.name, f.pub.Size, f.pub.SHA256, digester)
	if same && err == nil {
		f.subject.Digests = append(f.subject.Digests, digester.Sums()[1:]...)
	}
	return same, err
}

// releasedWords begin the reason of what an operator released from quarantine.
const releasedWords = "released from quarantine by "

// Released reports whether an operator published it, from quarantine.
func Released(p state.Publication) bool { return strings.HasPrefix(p.Reason, releasedWords) }

func (f *examined) verdict(e Examination) (suspect bool, reason string) {
	rank := map[string]int{string(integrity.Authentic): 3, string(integrity.Intact): 2, string(integrity.Unverified): 1}
	was, now := rank[f.pub.Verdict], rank[string(e.Decision.Verdict)]
	released := Released(f.pub)
	switch {
	case !e.Present:
		return true, "the bytes that were published are not there any more: somebody removed or changed them"
	case e.Decision.Verdict == integrity.Bad:
		return true, "it would be bad today: " + e.Decision.Reason
	case now < was:
		return true, fmt.Sprintf("it was published as %s and would be %s today: %s", f.pub.Verdict, e.Decision.Verdict, e.Decision.Reason)
	case released:
		return false, f.pub.Reason
	case !e.Decision.Publish:
		return true, "the policy would not publish it today: " + e.Decision.Reason
	}
	return false, e.Decision.Reason
}
