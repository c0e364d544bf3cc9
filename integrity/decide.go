package integrity

import (
	"fmt"
	"slices"
	"strings"
)

// Verdict says what was proved about a file; see the package comment.
type Verdict string

// The verdicts.
const (
	Authentic  Verdict = "authentic"
	Intact     Verdict = "intact"
	Unverified Verdict = "unverified"
	Bad        Verdict = "bad"
)

// Subject is a file that was received whole.
type Subject struct {
	Path    string   // as people see it, slash-separated under the source's root; globs match it
	RawPath string   // the exact bytes the server uses, for manifests; "" means Path. As many slashes as Path
	Size    int64    // bytes
	Digests []Digest // of all the bytes, SHA256 at least; see Policy.Algorithms
}

func (s Subject) raw() string {
	if s.RawPath == "" {
		return s.Path
	}
	return s.RawPath
}

func (s Subject) digest(alg Algorithm) (Digest, bool) {
	for _, d := range s.Digests {
		if d.Algorithm == alg {
			return d, true
		}
	}
	return Digest{}, false
}

// Finding is what one piece of evidence says of one file.
type Finding struct {
	Manifest        string  `json:"manifest,omitempty"`
	Signature       string  `json:"signature,omitempty"`
	ManifestDigest  Digest  `json:"manifestDigest,omitzero"`
	SignatureDigest Digest  `json:"signatureDigest,omitzero"`
	Command         string  `json:"command,omitempty"`      // that the server was asked its own hash with
	ServerDigest    *Digest `json:"serverDigest,omitempty"` // what it answered
	Signer          *Signer `json:"signer,omitempty"`       // nil unless the signature verified
	Stale           string  `json:"stale,omitempty"`        // why it does not count though it agrees
	Verdict         Verdict `json:"verdict"`                // by this piece alone
	Detail          string  `json:"detail"`                 // why, for an operator
}

// Decision is what becomes of a file.
type Decision struct {
	Verdict  Verdict   `json:"verdict"`
	Publish  bool      `json:"publish"`
	Reason   string    `json:"reason"`         // one plain sentence for an operator
	Rule     string    `json:"rule,omitempty"` // the policy's rule as file:line, "" if none matched
	Evidence []Finding `json:"evidence,omitempty"`
}

// Algorithms lists the digests that Decide can use for a file, SHA256 first,
// given the evidence that Wants asked for. Missing evidence is harmless.
func (p *Policy) Algorithms(s Subject, evidence ...*Evidence) []Algorithm {
	algs := []Algorithm{SHA256}
	for _, e := range evidence {
		if e == nil || e.Manifest == nil {
			continue
		}
		name, ok := e.nameOf(s)
		if !ok {
			continue
		}
		entry, _ := e.Manifest.Lookup(name)
		for _, d := range entry.Digests {
			if !slices.Contains(algs, d.Algorithm) {
				algs = append(algs, d.Algorithm)
			}
		}
	}
	return algs
}

// Decide judges a file by the evidence that Wants asked for, each loaded by
// LoadEvidence. Evidence that is not given counts as missing; evidence that the
// policy does not ask for is ignored.
func (p *Policy) Decide(s Subject, evidence ...*Evidence) Decision {
	loaded := make(map[EvidenceRef]*Evidence, len(evidence))
	for _, e := range evidence {
		if e != nil {
			loaded[e.Ref] = e
		}
	}
	r := p.ruleFor(s.Path)
	refs := p.roles(s.Path)
	var d Decision
	var own, roles []Finding
	if r != nil {
		d.Rule = fmt.Sprintf("%s:%d", p.file, r.line)
		for _, spec := range r.evidence {
			// A manifest cannot tell its own digest: what "sha256sum *" wrote for
			// the list itself is that of an unfinished file.
			if ref := spec.ref(splitPath(s.Path)); !slices.Contains(refs, ref) {
				own = append(own, spec.examine(s, loaded[ref]))
			}
		}
	}
	for _, ref := range refs {
		roles = append(roles, examineRole(s, ref, loaded[ref]))
	}
	d.Evidence = append(slices.Clone(roles), own...)
	switch {
	case d.settle(Bad, d.Evidence):
	case d.settle(Authentic, roles):
		d.Publish = true
	case len(roles) == 0 || len(own) > 0:
		d.byRule(p, r, own)
	default:
		d.Verdict, d.Publish = Unverified, r != nil && r.onMissing == Publish
	}
	if d.Verdict == Unverified && len(roles) > 0 {
		d.Publish = d.Publish || slices.ContainsFunc(refs, EvidenceRef.unsignedAllowed)
		d.Reason = joinDetails(details(roles, Unverified), d.Reason)
	}
	if d.Verdict == Unverified || d.Verdict == Intact {
		d.byStaleRoles(refs, roles)
	}
	return d
}

// byStaleRoles decides about a manifest or signature that is stale. An old list
// must not replace the newer one that is published because on_missing would let
// any file pass.
func (d *Decision) byStaleRoles(refs []EvidenceRef, roles []Finding) {
	stale, publish := false, true
	for i, f := range roles {
		if f.Stale != "" {
			stale, publish = true, publish && refs[i].spec.rule.onStale == Publish
		}
	}
	if stale {
		d.Publish = publish && (d.Publish || d.Verdict == Unverified)
	}
}

func joinDetails(texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(s string) bool { return s == "" }), "; ")
}

// settle takes a verdict if one of the findings reaches it.
func (d *Decision) settle(v Verdict, findings []Finding) bool {
	if !slices.ContainsFunc(findings, func(f Finding) bool { return f.Verdict == v }) {
		return false
	}
	d.Verdict, d.Reason = v, details(findings, v)
	return true
}

// byRule applies the rule's require to findings of which none is bad.
func (d *Decision) byRule(p *Policy, r *rule, findings []Finding) {
	d.Verdict = Unverified
	if r == nil {
		d.Reason = fmt.Sprintf("no rule of %s covers this file", p.file)
		return
	}
	if len(findings) == 0 {
		d.Publish = r.onMissing == Publish
		d.Reason = fmt.Sprintf("the rule for %s asks for no evidence, and on_missing is %s", show(r.pattern), r.onMissing)
		return
	}
	authentic := count(findings, Authentic)
	matching := authentic + count(findings, Intact)
	stale := countStale(findings)
	switch {
	case authentic >= r.threshold:
		d.Verdict, d.Publish = Authentic, true
		d.Reason = details(findings, Authentic)
	case matching >= r.threshold:
		d.Verdict, d.Publish = Intact, r.onWeak == Publish && (stale == 0 || r.onStale == Publish)
		d.Reason = fmt.Sprintf("%s; on_weak is %s", joinDetails(details(findings, Intact), staleDetails(findings)), r.onWeak)
	case matching+stale >= r.threshold:
		d.Publish = r.onStale == Publish && (authentic+stale >= r.threshold || r.onWeak == Publish)
		d.Reason = staleDetails(findings)
	default:
		d.Publish = r.onMissing == Publish
		d.Reason = details(findings, Unverified)
		if matching > 0 {
			d.Reason = fmt.Sprintf("%d of the %d pieces of evidence asked for agree: %s", matching, r.threshold, d.Reason)
		}
	}
	if stale > 0 && d.Verdict != Authentic {
		d.Reason = fmt.Sprintf("%s; on_stale is %s", d.Reason, r.onStale)
	}
}

func count(findings []Finding, v Verdict) int {
	n := 0
	for _, f := range findings {
		if f.Verdict == v {
			n++
		}
	}
	return n
}

func countStale(findings []Finding) int {
	n := 0
	for _, f := range findings {
		if f.Stale != "" {
			n++
		}
	}
	return n
}

func details(findings []Finding, v Verdict) string {
	return pick(findings, func(f Finding) bool { return f.Verdict == v })
}

func staleDetails(findings []Finding) string {
	return pick(findings, func(f Finding) bool { return f.Stale != "" })
}

func pick(findings []Finding, want func(Finding) bool) string {
	var list []string
	for _, f := range findings {
		if want(f) {
			list = append(list, f.Detail)
		}
	}
	return joinDetails(list...)
}

func newFinding(ref EvidenceRef, e *Evidence) Finding {
	f := Finding{Manifest: ref.Manifest, Signature: ref.Signature, Verdict: Unverified}
	if e != nil {
		f.ManifestDigest, f.SignatureDigest, f.Signer = e.ManifestDigest, e.SignatureDigest, e.Signer
	}
	return f
}

// examine compares a file with what one piece of evidence says of it.
func (spec *evidenceSpec) examine(s Subject, e *Evidence) Finding {
	ref := spec.ref(splitPath(s.Path))
	f := newFinding(ref, e)
	switch {
	case e == nil:
		f.Detail = ref.String() + " was not loaded"
	case e.Err != nil:
		f.Detail = e.Err.Error()
	case e.server != nil:
		examineServer(&f, s, e)
	case e.Manifest != nil:
		spec.examineListed(&f, s, e)
	case spec.coversFile():
		spec.examineSigned(&f, s, e)
	default:
		f.Detail = ref.String() + " was not loaded"
	}
	f.age(e)
	return f
}

// age takes from stale evidence that it counts, though never that it contradicts.
func (f *Finding) age(e *Evidence) {
	if e == nil || e.Stale == nil || f.Verdict != Authentic && f.Verdict != Intact {
		return
	}
	f.Verdict, f.Stale = Unverified, e.Stale.Error()
	f.Detail = fmt.Sprintf("%s, but %s", f.Detail, f.Stale)
}

// examineListed compares a file with what a manifest lists.
func (spec *evidenceSpec) examineListed(f *Finding, s Subject, e *Evidence) {
	name, ok := e.nameOf(s)
	if !ok {
		f.Detail = fmt.Sprintf("%s cannot name this file, which is not in its folder or below", show(f.Manifest))
		return
	}
	entry, ok := e.Manifest.Lookup(name)
	if !ok {
		f.Detail = fmt.Sprintf("no manifest names this file: %s has %d entries, none is %q", show(f.Manifest), e.Manifest.Len(), name)
		return
	}
	spec.compare(f, s, entry)
	if f.Verdict == Authentic && e.Manifest.Format() == FormatBare && spec.bindsName {
		f.Verdict = Intact
		f.Detail += ", but it is a digest alone, so that the name is not signed: ask for a manifest that names the file; binds_name: false would take it for this name too"
	}
}

// examineSigned judges a file by a signature over the file itself.
func (spec *evidenceSpec) examineSigned(f *Finding, s Subject, e *Evidence) {
	got, ok := s.digest(SHA256)
	switch {
	case e.Signer == nil:
		f.Detail = fmt.Sprintf("the file was not held against its signature %s", show(f.Signature))
		return
	case !ok:
		f.Detail = "the file has no sha256 digest to compare"
		return
	case !got.Equal(e.SignedDigest):
		f.Verdict = Bad
		f.Detail = fmt.Sprintf("the file changed while it was judged: its signature was verified over %s but it has %s",
			e.SignedDigest.short(), got.short())
		return
	}
	_, name := splitPath(s.Path)
	signed, told := signedName(e.Signer)
	who := fmt.Sprintf("%s is a valid signature of these bytes by %s", show(f.Signature), e.Signer.Fingerprint)
	switch {
	case !spec.bindsName:
		f.Verdict = Authentic
		f.Detail = who + "; the policy takes it for this name too"
	case told && signed == name:
		f.Verdict = Authentic
		f.Detail = who + ", and of the name"
	case told:
		f.Detail = fmt.Sprintf("%s, but of a file named %q", who, signed)
	default:
		f.Verdict = Intact
		f.Detail = who + ", but not of the name; binds_name: false would take it for that too"
	}
}

// compare holds the listed size and every listed digest that was computed
// against the file's. One difference is enough; agreement counts by the strongest.
func (spec *evidenceSpec) compare(f *Finding, s Subject, entry ManifestEntry) {
	who := show(f.Manifest) + signedBy(f.Signer)
	if entry.SizeKnown && entry.Size != s.Size {
		f.Verdict = Bad
		f.Detail = fmt.Sprintf("%s lists %d bytes but the file has %d", who, entry.Size, s.Size)
		return
	}
	var best Digest
	for _, listed := range entry.Digests {
		got, ok := s.digest(listed.Algorithm)
		if !ok {
			continue
		}
		if !got.Equal(listed) {
			f.Verdict = Bad
			f.Detail = fmt.Sprintf("%s lists %s but the file has %s", who, listed.short(), got.short())
			return
		}
		if best.Algorithm == "" || listed.Algorithm.strength() > best.Algorithm.strength() {
			best = listed
		}
	}
	switch {
	case best.Algorithm == "":
		f.Detail = fmt.Sprintf("%s lists only %s, which was not computed for this file", who, entry.Digests[0].Algorithm)
	case f.Signer == nil:
		f.Verdict = Intact
		f.Detail = fmt.Sprintf("%s lists %s as the file has it, but is not signed", who, best.short())
	case best.Algorithm.strength() < spec.rule.minHash.strength():
		f.Verdict = Intact
		f.Detail = fmt.Sprintf("%s lists %s as the file has it, but the policy asks for %s", who, best.short(), spec.rule.minHash)
	default:
		f.Verdict = Authentic
		f.Detail = fmt.Sprintf("%s lists %s as the file has it", who, best.short())
	}
}

func signedBy(s *Signer) string {
	if s == nil {
		return ""
	}
	return " (signed by " + s.Fingerprint + ")"
}

// examineRole judges a file that is itself a manifest or signature. The bytes
// received as a file must be those that were verified as evidence.
func examineRole(s Subject, ref EvidenceRef, e *Evidence) Finding {
	f := newFinding(ref, e)
	verified, part := f.ManifestDigest, "is signed"
	if s.Path == ref.Signature {
		verified, part = f.SignatureDigest, "is a valid signature of "+show(ref.Manifest+ref.File)
	}
	got, _ := s.digest(SHA256)
	switch {
	case e == nil:
		f.Detail = ref.String() + " was not loaded"
	case f.Signer != nil && got.Equal(verified):
		f.Verdict = Authentic
		f.Detail = fmt.Sprintf("%s %s by %s", show(s.Path), part, f.Signer.Fingerprint)
	case f.Signer != nil && got.Algorithm == "":
		f.Detail = show(s.Path) + " has no sha256 digest to compare"
	case f.Signer != nil:
		f.Verdict = Bad
		f.Detail = fmt.Sprintf("%s changed while it was fetched: %s was verified but the file has %s",
			show(s.Path), verified.short(), got.short())
	case e.Err != nil:
		f.Detail = e.Err.Error()
	case e.NeedsFile():
		f.Detail = fmt.Sprintf("%s was not held against the file that it signs, %s", show(s.Path), show(ref.File))
	default:
		f.Detail = show(s.Path) + " is a manifest that nothing signs"
	}
	f.age(e)
	return f
}

// unsignedAllowed reports evidence that is not signed under a rule that
// publishes what it names nevertheless.
func (ref EvidenceRef) unsignedAllowed() bool {
	r := ref.spec.rule
	return !ref.Signed() && (r.onWeak == Publish || r.onMissing == Publish)
}

// nameOf is the name that the evidence's manifest would have for the file. A
// bare digest is about the file whose name the side file bears, and that is
// known as people see it.
func (e *Evidence) nameOf(s Subject) (string, bool) {
	if e.Manifest.Format() == FormatBare {
		s.RawPath = ""
	}
	return relativeName(e.Ref.Manifest, s)
}

// relativeName is the name that a manifest at the given path would have for the
// file: its raw path without the manifest's folder. The folder is compared as
// people see it, since that is how a policy writes it.
func relativeName(manifest string, s Subject) (string, bool) {
	dir, _ := splitPath(manifest)
	raw := s.raw()
	if strings.Count(raw, "/") != strings.Count(s.Path, "/") {
		return "", false
	}
	if dir == "" {
		return raw, true
	}
	if !strings.HasPrefix(s.Path, dir+"/") {
		return "", false
	}
	for range strings.Count(dir, "/") + 1 {
		_, raw, _ = strings.Cut(raw, "/")
	}
	return raw, true
}

// signedName is the name of the file that a signature covers beside its bytes:
// the field "file:" of a minisign trusted comment, whose fields are parted by
// tabs, as minisign(1) writes it.
func signedName(s *Signer) (string, bool) {
	for field := range strings.SplitSeq(s.Comment, "\t") {
		if name, ok := strings.CutPrefix(field, "file:"); ok {
			return name, true
		}
	}
	return "", false
}
