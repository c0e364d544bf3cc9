package integrity

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// MaxPolicyBytes bounds a policy file.
const MaxPolicyBytes = 1 << 20

// Action is what a policy does with a file that was not proved authentic.
type Action string

// The actions. Publish is an explicit choice: readers see the file with the
// verdict it has.
const (
	Quarantine Action = "quarantine"
	Publish    Action = "publish"
)

// Policy says which evidence files of a source need and what happens without.
// It is written in YAML:
//
//	rules:
//	  - paths: "**"                      # glob on the path under the source's root
//	    source: "ftp://mirror.example/**" # optional glob on the source's name or URL
//	    require: any                     # any | all | {threshold: n} of the evidence
//	    evidence:
//	      - manifest: SHA256SUMS         # path under the source's root
//	        signature: SHA256SUMS.asc    # without it the files are intact at most
//	        type: openpgp                # and see below
//	        keys: ["<40-hex fingerprint>"]
//	        key_files: ["partner.asc"]   # relative to the policy file
//	        revoked: []                  # keys that are refused whatever else is true
//	        algorithm: sha256            # only if the manifest's name does not tell
//	        format: gnu                  # only if the manifest's content does not tell
//	      - signature: "{dir}/{name}.minisig" # of the file itself
//	        type: minisign
//	        keys: ["<public key>"]
//	        binds_name: true
//	      - server_hash: true            # what HASH, XSHA256 and their kin answer
//	    min_hash: sha256                 # sha256 | sha384 | sha512 | blake2b
//	    max_age: 30d                     # hours (h), days (d) or weeks (w); none without it
//	    on_missing: quarantine           # quarantine | publish
//	    on_weak: quarantine              # quarantine | publish
//	    on_stale: quarantine             # quarantine | publish
//
// The first rule whose paths and source match decides; a file that no rule
// matches is quarantined. In a glob "*" and "?" stay within one folder, "**"
// crosses folders ("**/x" is also "x"), and a backslash takes the next character
// literally. Case matters.
//
// A manifest or signature is a path as it is, or begins with "{dir}/" for the
// file's own folder, where "{name}" in what follows is the file's name:
// "{dir}/SHA256SUMS", "{dir}/{name}.sha256". Both must use the same
// placeholders. The manifest's names are relative to the manifest's folder.
//
// The types of signature, and what keys, key_files and the rest are to each; see
// ReadAnchors and ParsePin:
//
//   - openpgp: fingerprints, and the files that hold the keys; both are needed.
//     Without "signature" the manifest is clear-signed, which can also be
//     written as type: clearsigned.
//   - minisign, signify: the public keys themselves, or .pub files. A manifest of
//     type signify without "signature" has it embedded (signify -e).
//   - sshsig: allowed signers files; keys restricts them. namespace is "file"
//     unless it is given; principals are the identities of which one must have signed.
//   - cms: certificates in roots or key_files, or fingerprints of signers'
//     certificates in keys. eku are the extended key usages of which a signer
//     needs one.
//
// Verdicts are reached so:
//
//   - bad, if usable evidence lists the file with another digest, or the
//     server's own hash of it is another: it broke on the way. Never published,
//     whatever the rule says.
//   - authentic, if as much of the evidence as require asks for is signed by a
//     pinned key and lists the file's digest by min_hash or stronger.
//   - intact, if enough evidence lists the file's digest, but without signature
//     or by a weaker hash: on_weak decides.
//   - unverified, otherwise: the manifest is not there, its signature fails, it
//     does not parse, or it does not name the file: on_missing decides. Also if
//     evidence that would have counted is stale, which see Evidence.Freshen:
//     on_stale decides.
//
// A threshold counts pieces of evidence, not distinct signers.
//
// A signature of the file itself proves the bytes and not the name: somebody can
// serve one signed file under the name of another, such as last year's version
// under this year's. Alone it reaches intact. It reaches authentic if the
// signature also covers the name, as a minisign trusted comment with a field
// "file:NAME" does, or if the rule says binds_name: false, by which the operator
// takes that risk. A trusted comment that tells another name proves nothing,
// unless binds_name is false.
//
// So it is with a signed side file "{dir}/{name}.sha256" that holds a digest
// alone: what is signed tells no name.
//
// The evidence files themselves: a manifest and its signature are both
// authentic if the signature verifies, the signature file because it is a valid
// signature. (Bytes of a signature file that no signature covers, such as other
// people's signatures, are published with it.) A manifest without signature is
// unverified and published if on_missing or on_weak says so; a manifest or
// signature that fails is judged as any other file.
type Policy struct {
	file   string
	digest Digest // of the file, without the key files
	rules  []*rule
}

type rule struct {
	line      int
	paths     glob
	pattern   string // paths as written
	source    *glob  // nil for every source
	threshold int
	evidence  []*evidenceSpec
	minHash   Algorithm
	onMissing Action
	onWeak    Action
	onStale   Action
	maxAge    time.Duration // 0 for any
}

// evidenceSpec is one item of a rule's evidence.
type evidenceSpec struct {
	line       int
	rule       *rule
	manifest   template // zero for a signature of the file itself, or serverHash
	signature  template // zero for none of its own
	inline     bool     // the manifest holds its signature
	serverHash bool
	algorithm  Algorithm
	format     Format
	bindsName  bool     // a signature of the file itself must tell its name
	signing    *signing // nil if nothing is signed
}

// signing says who may sign, and how.
type signing struct {
	line       int // of the keys
	kind       string
	files      []string     // names of the key files
	config     AnchorConfig // without Files and Principal
	principals []string
	anchors    Anchors // nil until LoadKeys
}

func (spec *evidenceSpec) signed() bool { return spec.signing != nil }

// coversFile reports a signature over the file itself.
func (spec *evidenceSpec) coversFile() bool { return spec.manifest.zero() && !spec.serverHash }

// place is where the evidence lies, told apart from that of other items.
func (spec *evidenceSpec) place() template {
	if spec.coversFile() {
		return spec.signature
	}
	return spec.manifest
}

// String is the item for messages.
func (spec *evidenceSpec) String() string {
	switch {
	case spec.serverHash:
		return "server_hash"
	case spec.coversFile():
		return fmt.Sprintf("signature %q", spec.signature.expand(dirHolder, nameHolder))
	}
	return fmt.Sprintf("manifest %q", spec.manifest.expand(dirHolder, nameHolder))
}

// PolicyError is one mistake in a policy file.
type PolicyError struct {
	File string
	Line int // from 1; 0 for the file as a whole
	Err  error
}

func (e *PolicyError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %v", e.File, e.Err)
	}
	return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err)
}

func (e *PolicyError) Unwrap() error { return e.Err }

// LoadPolicy reads a policy file and the key files that it names, relative to
// its folder.
func LoadPolicy(path string) (*Policy, error) {
	data, err := readFile(path, MaxPolicyBytes)
	if err != nil {
		return nil, fmt.Errorf("integrity: load policy: %w", err)
	}
	p, err := ParsePolicy(path, data)
	if err != nil {
		return nil, err
	}
	return p, p.LoadKeys(func(name string) ([]byte, error) {
		if !filepath.IsAbs(name) {
			name = filepath.Join(filepath.Dir(path), name)
		}
		return readFile(name, MaxKeyringBytes)
	})
}

// readFile reads a file, or a pipe, whose size is not known before.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return data, err
}

// LoadKeys reads the key files of every rule through read, given their names as
// the policy writes them, and pins the keys. Until it succeeds, signed evidence
// proves nothing. The error is a *PolicyError at the line of the keys. Not safe
// to call while the policy is in use.
func (p *Policy) LoadKeys(read func(name string) ([]byte, error)) error {
	for _, r := range p.rules {
		for _, spec := range r.evidence {
			if spec.signing == nil {
				continue
			}
			anchors, err := spec.signing.load(read)
			if err != nil {
				return &PolicyError{p.file, spec.signing.line, err}
			}
			spec.signing.anchors = anchors
		}
	}
	return nil
}

func (k *signing) load(read func(name string) ([]byte, error)) (Anchors, error) {
	config := k.config
	for _, name := range k.files {
		data, err := read(name)
		if err != nil {
			return nil, fmt.Errorf("key file %q: %w", name, err)
		}
		config.Files = append(config.Files, AnchorFile{Name: name, Data: data})
	}
	if len(k.principals) == 0 {
		return ReadAnchors(config)
	}
	var any anyAnchors
	for _, config.Principal = range k.principals {
		anchors, err := ReadAnchors(config)
		if err != nil {
			return nil, err
		}
		any = append(any, anchors)
	}
	return any, nil
}

// ForSource returns the policy of one source: only the rules without a source
// pattern, or whose pattern matches one of these names, commonly the source's
// configured name and its URL without user and password.
func (p *Policy) ForSource(names ...string) *Policy {
	own := &Policy{file: p.file, digest: p.digest}
	for _, r := range p.rules {
		if r.source == nil || slices.ContainsFunc(names, r.source.match) {
			own.rules = append(own.rules, r)
		}
	}
	return own
}

// Digest is the SHA-256 of the policy file. Keys are pinned in it by fingerprint,
// so that it stands for them too.
func (p *Policy) Digest() Digest { return p.digest }

// ruleFor returns the first rule that matches, nil if none does.
func (p *Policy) ruleFor(path string) *rule {
	for _, r := range p.rules {
		if r.paths.match(path) {
			return r
		}
	}
	return nil
}

// EvidenceRef names one piece of evidence: a manifest and its signature, a
// signature of one file, or a server's hash of one file. Paths are under the
// source's root. It is comparable, so that a caller can fetch each once and keep
// it in a map.
type EvidenceRef struct {
	Manifest  string // "" if there is none
	Signature string // "" if the policy names none of its own
	File      string // of a signature or hash of the file itself, that file; "" with a Manifest
	spec      *evidenceSpec
}

// ServerHash reports that the evidence is what the server answers about File;
// there is nothing to fetch. See ServerHashEvidence.
func (ref EvidenceRef) ServerHash() bool { return ref.spec != nil && ref.spec.serverHash }

// Signed reports that the policy asks for a signature, in a file of its own or
// within the manifest.
func (ref EvidenceRef) Signed() bool { return ref.spec != nil && ref.spec.signed() }

// OfOneFile reports evidence that speaks of a single file, as a side file does.
func (ref EvidenceRef) OfOneFile() bool {
	return ref.File != "" || ref.spec != nil && ref.spec.manifest.named
}

// String is the evidence in messages.
func (ref EvidenceRef) String() string {
	switch {
	case ref.ServerHash():
		return "the server's hash of " + show(ref.File)
	case ref.Manifest == "":
		return show(ref.Signature)
	}
	return show(ref.Manifest)
}

// Wants lists the evidence to load before the file at this path, as people see
// it, can be judged: what its rule asks for, and if the file is itself a
// manifest or signature, that evidence first.
func (p *Policy) Wants(path string) []EvidenceRef {
	refs := p.roles(path)
	r := p.ruleFor(path)
	if r == nil {
		return refs
	}
	for _, spec := range r.evidence {
		if ref := spec.ref(splitPath(path)); !slices.Contains(refs, ref) {
			refs = append(refs, ref)
		}
	}
	return refs
}

// roles lists the evidence of which the file at path is a part.
func (p *Policy) roles(path string) []EvidenceRef {
	var refs []EvidenceRef
	for _, r := range p.rules {
		for _, spec := range r.evidence {
			for _, t := range []template{spec.manifest, spec.signature} {
				dir, name, ok := t.bind(path)
				if !ok || t.named && p.ruleFor(joinPath(dir, name)) != r || t.inDir && !t.named && !p.speaksIn(r, dir, path) {
					continue
				}
				if ref := spec.ref(dir, name); !slices.Contains(refs, ref) {
					refs = append(refs, ref)
				}
			}
		}
	}
	return refs
}

// speaksIn reports whether a rule's evidence that lies in each folder counts in
// dir for the file at path: the rule is for files there, and the rule that is
// for the very file does not name it as signed evidence itself. Else a key that is
// pinned for one folder could put manifests into the folder of another.
func (p *Policy) speaksIn(r *rule, dir, path string) bool {
	if !r.paths.matchesBelow(dir) {
		return false
	}
	own := p.ruleFor(path)
	return own == nil || own == r || !slices.ContainsFunc(own.evidence, func(spec *evidenceSpec) bool {
		return spec.signed() && (spec.manifest.lies(path) || spec.signature.lies(path))
	})
}

func (spec *evidenceSpec) ref(dir, name string) EvidenceRef {
	ref := EvidenceRef{spec: spec}
	if spec.manifest.zero() {
		ref.File = joinPath(dir, name)
	} else {
		ref.Manifest = spec.manifest.expand(dir, name)
	}
	if !spec.signature.zero() {
		ref.Signature = spec.signature.expand(dir, name)
	}
	return ref
}

// IsEvidence reports whether the file at path is a part of any evidence: a manifest
// or a signature.
func (p *Policy) IsEvidence(path string) bool { return len(p.roles(path)) > 0 }

// IsFileSignature reports whether the file at path is a signature of another
// file, which must be at hand before this one can be judged.
func (p *Policy) IsFileSignature(path string) bool {
	return slices.ContainsFunc(p.roles(path), func(ref EvidenceRef) bool { return ref.File != "" })
}

// splitPath cuts a path into folder and name.
func splitPath(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

func joinPath(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}
