package integrity

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// maxPolicyErrors bounds how many mistakes are reported at once.
const maxPolicyErrors = 20

// ParsePolicy reads a policy; see Policy for its form. The file's name is only
// for messages. Every mistake is a *PolicyError with its line; several (at most
// 20) are joined. Unknown keys, keys given twice, anchors and aliases are
// mistakes. LoadKeys must follow before signed evidence can count.
func ParsePolicy(file string, data []byte) (*Policy, error) {
	if len(data) > MaxPolicyBytes {
		return nil, &PolicyError{file, 0, fmt.Errorf("more than %d bytes", MaxPolicyBytes)}
	}
	root, err := parseYAML(file, data)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	p := &policyParser{policy: &Policy{file: file, digest: Digest{Algorithm: SHA256, Sum: sum[:]}}}
	p.parse(root)
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return p.policy, nil
}

func parseYAML(file string, data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	err := decoder.Decode(&doc)
	if errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0 {
		return nil, &PolicyError{file, 0, errors.New(`empty; a policy has "rules:"`)}
	}
	if err != nil {
		return nil, yamlError(file, err)
	}
	var more yaml.Node
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, yamlError(file, err)
		}
		return nil, &PolicyError{file, more.Line, errors.New("a policy is one YAML document")}
	}
	return doc.Content[0], nil
}

// yamlError moves the line out of the YAML library's text.
func yamlError(file string, err error) error {
	m := regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`).FindStringSubmatch(err.Error())
	if m == nil {
		return &PolicyError{file, 0, err}
	}
	line, _ := strconv.Atoi(m[1])
	return &PolicyError{file, line, errors.New(m[2])}
}

type policyParser struct {
	policy *Policy
	errs   []error
}

func (p *policyParser) fail(n *yaml.Node, format string, args ...any) {
	if len(p.errs) < maxPolicyErrors {
		p.errs = append(p.errs, &PolicyError{p.policy.file, n.Line, fmt.Errorf(format, args...)})
	}
}

// fields goes over a mapping and hands each known key's value to its function.
func (p *policyParser) fields(n *yaml.Node, what string, known map[string]func(*yaml.Node)) bool {
	if n.Kind != yaml.MappingNode {
		p.fail(n, "%s must be a mapping", what)
		return false
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read, ok := known[key.Value]
		switch {
		case key.Kind != yaml.ScalarNode || !ok:
			p.fail(key, "unknown key %.60q in %s; known are %s", key.Value, what, keyList(known))
		case seen[key.Value] > 0:
			p.fail(key, "%q is already on line %d", key.Value, seen[key.Value])
		case value.Kind == yaml.AliasNode || value.Anchor != "":
			p.fail(value, "anchors and aliases are not allowed")
		default:
			seen[key.Value] = key.Line
			read(value)
		}
	}
	return true
}

func keyList(known map[string]func(*yaml.Node)) string {
	names := make([]string, 0, len(known))
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (p *policyParser) text(n *yaml.Node, what string) string {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || n.Value == "" {
		p.fail(n, "%s must be a text that is not empty; quote it if it looks like something else", what)
		return ""
	}
	return n.Value
}

func (p *policyParser) list(n *yaml.Node, what string) []*yaml.Node {
	if n.Kind != yaml.SequenceNode {
		p.fail(n, "%s must be a list", what)
		return nil
	}
	for _, item := range n.Content {
		if item.Kind == yaml.AliasNode || item.Anchor != "" {
			p.fail(item, "anchors and aliases are not allowed")
			return nil
		}
	}
	return n.Content
}

func (p *policyParser) texts(n *yaml.Node, what string) []string {
	var values []string
	for _, item := range p.list(n, what) {
		values = append(values, p.text(item, "each of "+what))
	}
	return values
}

func (p *policyParser) parse(root *yaml.Node) {
	found := false
	ok := p.fields(root, "the policy", map[string]func(*yaml.Node){
		"rules": func(n *yaml.Node) {
			found = true
			items := p.list(n, "rules")
			if len(items) == 0 && n.Kind == yaml.SequenceNode {
				p.fail(n, "rules has no rule; nothing could be published")
			}
			for _, item := range items {
				p.rule(item)
			}
		},
	})
	if ok && !found && len(p.errs) == 0 {
		p.fail(root, `"rules:" is missing`)
	}
}

func (p *policyParser) rule(n *yaml.Node) {
	r := &rule{line: n.Line, minHash: SHA256, onMissing: Quarantine, onWeak: Quarantine, onStale: Quarantine}
	var require, age *yaml.Node
	missingSet := false
	ok := p.fields(n, "a rule", map[string]func(*yaml.Node){
		"paths":      func(v *yaml.Node) { r.paths, r.pattern = p.glob(v, "paths", true) },
		"source":     func(v *yaml.Node) { g, _ := p.glob(v, "source", false); r.source = &g },
		"require":    func(v *yaml.Node) { require = v },
		"evidence":   func(v *yaml.Node) { p.evidence(v, r) },
		"min_hash":   func(v *yaml.Node) { r.minHash = p.minHash(v) },
		"on_missing": func(v *yaml.Node) { missingSet = true; r.onMissing = p.action(v, "on_missing") },
		"on_weak":    func(v *yaml.Node) { r.onWeak = p.action(v, "on_weak") },
		"on_stale":   func(v *yaml.Node) { r.onStale = p.action(v, "on_stale") },
		"max_age":    func(v *yaml.Node) { age = v; r.maxAge = p.age(v) },
	})
	if !ok {
		return
	}
	if r.pattern == "" {
		p.fail(n, `a rule needs "paths", such as "**"`)
	}
	if len(r.evidence) == 0 && !missingSet {
		p.fail(n, `a rule without evidence needs "on_missing" to say what happens to its files`)
	}
	if age != nil && !slices.ContainsFunc(r.evidence, (*evidenceSpec).signed) {
		p.fail(age, "max_age is for signed evidence, and this rule has none: who can change a date can change an unsigned one")
	}
	r.threshold = p.threshold(require, len(r.evidence))
	p.policy.rules = append(p.policy.rules, r)
}

func (p *policyParser) glob(n *yaml.Node, what string, path bool) (glob, string) {
	pattern := p.text(n, what)
	if pattern == "" {
		return glob{}, "?"
	}
	if path {
		if err := checkPath(pattern); err != nil {
			p.fail(n, "%s %.200q: %w", what, pattern, err)
		}
	}
	g, err := parseGlob(pattern)
	if err != nil {
		p.fail(n, "%s: %w", what, err)
	}
	return g, pattern
}

// threshold turns require into the number of pieces that must agree.
func (p *policyParser) threshold(n *yaml.Node, evidence int) int {
	const form = "require must be any, all or {threshold: n}"
	switch {
	case n == nil:
		return 1
	case n.Kind == yaml.ScalarNode && n.Value == "any":
		return 1
	case n.Kind == yaml.ScalarNode && n.Value == "all":
		return max(evidence, 1)
	case n.Kind != yaml.MappingNode:
		p.fail(n, form)
		return 1
	}
	count := 0
	p.fields(n, "require", map[string]func(*yaml.Node){
		"threshold": func(v *yaml.Node) {
			number, err := strconv.Atoi(v.Value)
			if evidence == 0 {
				p.fail(v, "a threshold needs evidence, and this rule has none")
			} else if v.Kind != yaml.ScalarNode || err != nil || number < 1 || number > evidence {
				p.fail(v, "threshold must be a number from 1 to %d, the pieces of evidence", evidence)
				number = 1
			}
			count = number
		},
	})
	if count == 0 {
		p.fail(n, form)
	}
	return max(count, 1)
}

func (p *policyParser) minHash(n *yaml.Node) Algorithm {
	alg := Algorithm(p.text(n, "min_hash"))
	if !alg.Strong() {
		p.fail(n, "min_hash must be sha256, sha384, sha512 or blake2b; weaker ones never prove more than intact, see on_weak")
	}
	return alg
}

func (p *policyParser) action(n *yaml.Node, what string) Action {
	switch a := Action(p.text(n, what)); a {
	case Quarantine, Publish:
		return a
	default:
		p.fail(n, "%s must be quarantine or publish", what)
		return Quarantine
	}
}

// maxMaxAge bounds max_age. What may be older than ten years needs no bound.
const maxMaxAge = 3650 * 24 * time.Hour

// age reads a number of hours, days or weeks: "36h", "30d", "2w".
func (p *policyParser) age(n *yaml.Node) time.Duration {
	text := p.text(n, "max_age")
	units := map[byte]time.Duration{'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	if text != "" {
		unit := units[text[len(text)-1]]
		count, err := strconv.ParseUint(text[:len(text)-1], 10, 16)
		if age := time.Duration(count) * unit; err == nil && age > 0 && age <= maxMaxAge {
			return age
		}
	}
	p.fail(n, "max_age must be a number of hours, days or weeks such as 36h, 30d or 2w, at most 3650d")
	return 0
}
