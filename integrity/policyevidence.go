package integrity

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// KindClearSigned is what a policy calls an OpenPGP manifest that holds its own
// signature. Its signers are of KindOpenPGP.
const KindClearSigned = "clearsigned"

// given is what an item was seen to have while its keys are read.
type given struct {
	names         []string
	pins, revoked *yaml.Node // read when the kind is known
}

func (g *given) has(name string) bool { return slices.Contains(g.names, name) }

func (p *policyParser) evidence(n *yaml.Node, r *rule) {
	for _, item := range p.list(n, "evidence") {
		spec := p.evidenceItem(item, r)
		if spec == nil {
			continue
		}
		for _, old := range r.evidence {
			if old.place() == spec.place() && old.serverHash == spec.serverHash {
				p.fail(item, "%s is already on line %d", spec, old.line)
			}
		}
		r.evidence = append(r.evidence, spec)
	}
}

// evidenceItem reads one item: a manifest, with or without a signature; a
// signature of the file itself; or the server's own hash.
func (p *policyParser) evidenceItem(n *yaml.Node, r *rule) *evidenceSpec {
	s := &evidenceSpec{line: n.Line, rule: r, bindsName: true}
	k := &signing{line: n.Line}
	g := &given{}
	note := func(name string, read func(*yaml.Node)) func(*yaml.Node) {
		return func(v *yaml.Node) {
			g.names = append(g.names, name)
			// Nobody would then mean anybody.
			if v.Kind == yaml.SequenceNode && len(v.Content) == 0 && name != "revoked" {
				p.fail(v, "%s is empty; leave it out, or name what may count", name)
				return
			}
			read(v)
		}
	}
	ok := p.fields(n, "evidence", map[string]func(*yaml.Node){
		"manifest":    note("manifest", func(v *yaml.Node) { s.manifest = p.template(v, "manifest") }),
		"signature":   note("signature", func(v *yaml.Node) { s.signature = p.template(v, "signature") }),
		"server_hash": note("server_hash", func(v *yaml.Node) { s.serverHash = p.boolean(v, "server_hash") }),
		"algorithm":   note("algorithm", func(v *yaml.Node) { s.algorithm = p.algorithm(v) }),
		"format":      note("format", func(v *yaml.Node) { s.format = p.format(v) }),
		"binds_name":  note("binds_name", func(v *yaml.Node) { s.bindsName = p.boolean(v, "binds_name") }),
		"type":        note("type", func(v *yaml.Node) { k.kind = p.kind(v) }),
		"keys":        note("keys", func(v *yaml.Node) { k.line, g.pins = v.Line, v }),
		"key_files":   note("key_files", func(v *yaml.Node) { k.files = append(k.files, p.texts(v, "key_files")...) }),
		"roots":       note("roots", func(v *yaml.Node) { k.files = append(k.files, p.texts(v, "roots")...) }),
		"revoked":     note("revoked", func(v *yaml.Node) { g.revoked = v }),
		"namespace":   note("namespace", func(v *yaml.Node) { k.config.Namespace = p.text(v, "namespace") }),
		"principals":  note("principals", func(v *yaml.Node) { k.principals = p.texts(v, "principals") }),
		"eku":         note("eku", func(v *yaml.Node) { k.config.Usages = p.texts(v, "eku") }),
	})
	if !ok {
		return nil
	}
	if s.serverHash {
		for _, name := range g.names {
			if name != "server_hash" {
				p.fail(n, "server_hash stands alone, without %q", name)
			}
		}
		return s
	}
	return p.signedItem(n, s, k, g)
}

// signedItem holds the parts of an item against each other.
func (p *policyParser) signedItem(n *yaml.Node, s *evidenceSpec, k *signing, g *given) *evidenceSpec {
	about := slices.DeleteFunc(slices.Clone(g.names), func(name string) bool { return !slices.Contains(signingKeys(), name) })
	switch {
	case !g.has("manifest") && !g.has("signature"):
		p.fail(n, `evidence needs "manifest", "signature" or "server_hash: true"`)
		return nil
	case !g.has("manifest") && k.kind == KindClearSigned:
		p.fail(n, `a clear-signed manifest needs "manifest", and no signature beside it`)
		return nil
	case !g.has("manifest"):
		p.fileSignature(n, s, g)
	case g.has("binds_name") && !s.manifest.named:
		p.fail(n, "binds_name is for a signature of the file itself, or for a side file of one digest; other manifests name their files")
	case g.has("signature") && k.kind == KindClearSigned:
		p.fail(n, "a clear-signed manifest holds its signature; leave %q out", "signature")
	case g.has("signature"):
		if !s.signature.sameShape(s.manifest) {
			p.fail(n, "manifest and signature must use the same placeholders")
		} else if s.signature == s.manifest {
			p.fail(n, "manifest and signature are the same file")
		}
	case holdsText(k.kind):
		s.inline = true
	case len(about) > 0:
		p.fail(n, `%s without "signature"`, strings.Join(about, ", "))
		return s
	}
	if s.inline || g.has("signature") {
		s.signing = p.signing(n, k, g)
	}
	if s.algorithm == "" {
		name := s.manifest.expand("", "x")
		if s.inline {
			name = withoutSignatureEnding(name)
		}
		s.algorithm, _ = AlgorithmFromName(name)
	}
	return s
}

// withoutSignatureEnding is the name that a manifest had before it was signed
// within itself: kernel.org's sha256sums.asc holds lines of sha256sum.
func withoutSignatureEnding(name string) string {
	for _, ending := range []string{".asc", ".sig", ".gpg", ".pgp", ".sign"} {
		if base, ok := strings.CutSuffix(name, ending); ok {
			return base
		}
	}
	return name
}

// signingKeys are the keys of an item that speak of its signature.
func signingKeys() []string {
	return []string{"type", "keys", "key_files", "roots", "revoked", "namespace", "principals", "eku", "binds_name"}
}

// holdsText reports a kind of which a file can hold a text with its signature.
func holdsText(kind string) bool {
	return kind == KindClearSigned || kind == KindOpenPGP || kind == KindSignify
}

// fileSignature checks an item without a manifest.
func (p *policyParser) fileSignature(n *yaml.Node, s *evidenceSpec, g *given) {
	if !s.signature.named {
		p.fail(n, `a signature without "manifest" is of the file itself, so its name must tell which: "{dir}/{name}.sig"`)
	}
	for _, name := range []string{"algorithm", "format"} {
		if g.has(name) {
			p.fail(n, `%s is for a manifest; a signature without "manifest" is of the file itself`, name)
		}
	}
}

// signing checks the keys by the kind of signature. The key files are read later.
func (p *policyParser) signing(n *yaml.Node, k *signing, g *given) *signing {
	if k.kind == "" {
		k.kind = KindOpenPGP
	}
	k.config.Kind = k.kind
	if k.kind == KindClearSigned {
		k.config.Kind = KindOpenPGP
	}
	p.foreignKeys(n, k, g)
	if g.pins != nil {
		k.config.Pins = p.pins(g.pins, "keys", k.config.Kind)
	}
	if g.revoked != nil {
		k.config.Revoked = p.pins(g.revoked, "revoked", k.config.Kind)
	}
	files, pins := len(k.files) > 0, len(k.config.Pins) > 0
	switch k.config.Kind {
	case KindOpenPGP:
		if !pins {
			p.fail(n, `a signature needs "keys", the full fingerprints that are trusted`)
		} else if !files {
			p.fail(n, `a signature needs "key_files" that hold the keys`)
		}
	case KindSSH:
		if !files {
			p.fail(n, `an SSH signature needs "key_files", the allowed signers as ssh-keygen reads them`)
		}
	default:
		if !pins && !files {
			p.fail(n, `a %s signature needs "keys" or files that hold them`, k.kind)
		}
	}
	return k
}

// foreignKeys refuses what says nothing about this kind of signature: a rule
// that the operator believes in and nobody follows.
func (p *policyParser) foreignKeys(n *yaml.Node, k *signing, g *given) {
	for name, kind := range map[string]string{"namespace": KindSSH, "principals": KindSSH, "roots": KindCMS, "eku": KindCMS} {
		if g.has(name) && k.config.Kind != kind {
			p.fail(n, "%s is for type %s, not for %s", name, kind, k.kind)
		}
	}
}

// pins reads a list of fingerprints or keys, each as ParsePin wants it.
func (p *policyParser) pins(n *yaml.Node, what, kind string) []string {
	var list []string
	for _, item := range p.list(n, what) {
		if item.Kind != yaml.ScalarNode {
			p.fail(item, "each of %s must be a fingerprint", what)
			continue
		}
		pin, err := ParsePin(kind, item.Value)
		if err != nil {
			p.fail(item, "%w", err)
			continue
		}
		list = append(list, pin)
	}
	return list
}

func (p *policyParser) kind(n *yaml.Node) string {
	known := []string{KindOpenPGP, KindClearSigned, KindMinisign, KindSignify, KindSSH, KindCMS}
	if !slices.Contains(known, n.Value) {
		p.fail(n, "type %.40q is not known; it must be one of %s", n.Value, strings.Join(known, ", "))
		return KindOpenPGP
	}
	return n.Value
}

func (p *policyParser) boolean(n *yaml.Node, what string) bool {
	value := strings.EqualFold(n.Value, "true")
	if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" || !value && !strings.EqualFold(n.Value, "false") {
		p.fail(n, "%s must be true or false", what)
	}
	if what == "server_hash" && !value {
		p.fail(n, "server_hash can only be true; leave the item out to do without")
	}
	return value
}

func (p *policyParser) format(n *yaml.Node) Format {
	f := Format(p.text(n, "format"))
	if !f.known() {
		p.fail(n, "format %.40q of a manifest is not known", string(f))
	}
	return f
}
func (p *policyParser) template(n *yaml.Node, what string) template {
	text := p.text(n, what)
	if text == "" {
		return template{fixed: "?"}
	}
	t, err := parseTemplate(text)
	if err != nil {
		p.fail(n, "%s %.200q: %w", what, text, err)
		return template{fixed: "?"}
	}
	return t
}

func (p *policyParser) algorithm(n *yaml.Node) Algorithm {
	alg := Algorithm(p.text(n, "algorithm"))
	if alg.lookup() == nil {
		p.fail(n, "algorithm must be one of %v", Algorithms())
	}
	return alg
}
