package integrity

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
//	        type: openpgp
//	        keys: ["<40-hex fingerprint>"]
//	        key_files: ["partner.asc"]   # relative to the policy file
//	        algorithm: sha256            # only if the manifest's name does not tell
//	    min_hash: sha256                 # sha256 | sha384 | sha512 | blake2b
//	    on_missing: quarantine           # quarantine | publish
//	    on_weak: quarantine              # quarantine | publish
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
// Verdicts are reached so:
//
//   - bad, if usable evidence lists the file with another digest. Never
//     published, whatever the rule says.
//   - authentic, if as much of the evidence as require asks for is signed by a
//     pinned key and lists the file's digest by min_hash or stronger.
//   - intact, if enough evidence lists the file's digest, but without signature
//     or by a weaker hash: on_weak decides.
//   - unverified, otherwise: the manifest is not there, its signature fails, it
//     does not parse, or it does not name the file: on_missing decides.
//
// A threshold counts pieces of evidence, not distinct signers.
//
// The evidence files themselves: a manifest and its signature are both
// authentic if the signature verifies, the signature file because it is a valid
// signature. (Bytes of a signature file that no signature covers, such as other
// people's signatures, are published with it.) A manifest without signature is
// unverified and published if on_missing or on_weak says so; a manifest or
// signature that fails is judged as any other file.
type Policy struct {
	file  string
	rules []*rule
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
}

// evidenceSpec is one item of a rule's evidence.
type evidenceSpec struct {
	line      int
	rule      *rule
	manifest  template
	signature template // zero for none
	algorithm Algorithm
	keys      []string // normalised fingerprints
	keyFiles  []string
	keyLine   int
	keyring   *Keyring // nil until LoadKeys
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

func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than %d", path, info.Size(), limit)
	}
	return os.ReadFile(path)
}

// LoadKeys reads the key files of every rule through read, given their names as
// the policy writes them, and pins the keys. Until it succeeds, signed evidence
// proves nothing. The error is a *PolicyError at the line of the keys. Not safe
// to call while the policy is in use.
func (p *Policy) LoadKeys(read func(name string) ([]byte, error)) error {
	for _, r := range p.rules {
		for _, spec := range r.evidence {
			if spec.signature.zero() {
				continue
			}
			ring, err := spec.readKeys(read)
			if err != nil {
				return &PolicyError{p.file, spec.keyLine, err}
			}
			spec.keyring = ring
		}
	}
	return nil
}

func (spec *evidenceSpec) readKeys(read func(name string) ([]byte, error)) (*Keyring, error) {
	var rings []*Keyring
	for _, name := range spec.keyFiles {
		data, err := read(name)
		if err != nil {
			return nil, fmt.Errorf("key file %q: %w", name, err)
		}
		ring, err := ReadKeyring(bytes.NewReader(data))
		if err != nil {
			return nil, fmt.Errorf("key file %q: %w", name, err)
		}
		rings = append(rings, ring)
	}
	joined, err := JoinKeyrings(rings...)
	if err != nil {
		return nil, err
	}
	return joined.Pin(spec.keys...)
}

// ForSource returns the policy of one source: only the rules without a source
// pattern, or whose pattern matches one of these names, commonly the source's
// configured name and its URL without user and password.
func (p *Policy) ForSource(names ...string) *Policy {
	own := &Policy{file: p.file}
	for _, r := range p.rules {
		if r.source == nil || slices.ContainsFunc(names, r.source.match) {
			own.rules = append(own.rules, r)
		}
	}
	return own
}

// ruleFor returns the first rule that matches, nil if none does.
func (p *Policy) ruleFor(path string) *rule {
	for _, r := range p.rules {
		if r.paths.match(path) {
			return r
		}
	}
	return nil
}

// EvidenceRef names one piece of evidence: a manifest and its signature, as
// paths under the source's root. It is comparable, so that a caller can fetch
// each once and keep it in a map.
type EvidenceRef struct {
	Manifest  string
	Signature string // "" if the policy names none
	spec      *evidenceSpec
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
				if !ok || t.named && p.ruleFor(joinPath(dir, name)) != r {
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

func (spec *evidenceSpec) ref(dir, name string) EvidenceRef {
	ref := EvidenceRef{Manifest: spec.manifest.expand(dir, name), spec: spec}
	if !spec.signature.zero() {
		ref.Signature = spec.signature.expand(dir, name)
	}
	return ref
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
