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
	Manifest        string  `json:"manifest"`
	Signature       string  `json:"signature,omitempty"`
	ManifestDigest  Digest  `json:"manifestDigest,omitzero"`
	SignatureDigest Digest  `json:"signatureDigest,omitzero"`
	Signer          *Signer `json:"signer,omitempty"` // nil unless the signature verified
	Verdict         Verdict `json:"verdict"`          // by this piece alone
	Detail          string  `json:"detail"`           // why, for an operator
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
	return d
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
	switch {
	case authentic >= r.threshold:
		d.Verdict, d.Publish = Authentic, true
		d.Reason = details(findings, Authentic)
	case matching >= r.threshold:
		d.Verdict, d.Publish = Intact, r.onWeak == Publish
		d.Reason = fmt.Sprintf("%s; on_weak is %s", details(findings, Intact), r.onWeak)
	default:
		d.Publish = r.onMissing == Publish
		d.Reason = details(findings, Unverified)
		if matching > 0 {
			d.Reason = fmt.Sprintf("%d of the %d pieces of evidence asked for agree: %s", matching, r.threshold, d.Reason)
		}
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

func details(findings []Finding, v Verdict) string {
	var list []string
	for _, f := range findings {
		if f.Verdict == v {
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

// examine compares a file with what one piece of evidence lists.
func (spec *evidenceSpec) examine(s Subject, e *Evidence) Finding {
	f := newFinding(spec.ref(splitPath(s.Path)), e)
	if e == nil {
		f.Detail = show(f.Manifest) + " was not loaded"
		return f
	}
	if e.Err != nil {
		f.Detail = e.Err.Error()
		return f
	}
	name, ok := e.nameOf(s)
	if !ok {
		f.Detail = fmt.Sprintf("%s cannot name this file, which is not in its folder or below", show(f.Manifest))
		return f
	}
	entry, ok := e.Manifest.Lookup(name)
	if !ok {
		f.Detail = fmt.Sprintf("no manifest names this file: %s has %d entries, none is %q", show(f.Manifest), e.Manifest.Len(), name)
		return f
	}
	spec.compare(&f, s, entry)
	return f
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
		verified, part = f.SignatureDigest, "is a valid signature of "+show(ref.Manifest)
	}
	got, _ := s.digest(SHA256)
	switch {
	case e == nil:
		f.Detail = show(ref.Manifest) + " was not loaded"
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
	default:
		f.Detail = show(s.Path) + " is a manifest that nothing signs"
	}
	return f
}

// unsignedAllowed reports evidence that is not signed under a rule that
// publishes what it names nevertheless.
func (ref EvidenceRef) unsignedAllowed() bool {
	r := ref.spec.rule
	return ref.Signature == "" && (r.onWeak == Publish || r.onMissing == Publish)
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
