package integrity

import "strings"

// Pattern is a glob as policies have them, for others that choose files by their
// paths: "*" and "?" stay within one folder, "**" stands for any number of
// folders, a backslash takes the next character literally.
type Pattern struct{ glob glob }

// ParsePattern compiles a pattern. It fails where "**" does not stand alone
// between slashes, and on a backslash at the end.
func ParsePattern(pattern string) (Pattern, error) {
	g, err := parseGlob(pattern)
	return Pattern{g}, err
}

// Match reports whether the whole path matches.
func (p Pattern) Match(path string) bool { return p.glob.match(path) }

// MatchesBelow reports whether something below the folder can match, "" being the root.
func (p Pattern) MatchesBelow(dir string) bool { return p.glob.matchesBelow(dir) }

// Proves reports whether the file at path is a manifest or signature that speaks
// of files in general, or of one file alone for which wanted is true.
func (p *Policy) Proves(path string, wanted func(path string) bool) bool {
	for _, r := range p.rules {
		for _, spec := range r.evidence {
			for _, t := range []template{spec.manifest, spec.signature} {
				dir, name, ok := t.bind(path)
				switch {
				case !ok:
				case t.named:
					if about := joinPath(dir, name); p.ruleFor(about) == r && wanted(about) {
						return true
					}
				case !t.inDir || r.paths.matchesBelow(dir):
					return true
				}
			}
		}
	}
	return false
}

// ProvesFrom reports whether the policy names a manifest or signature by its
// whole path that lies below the folder.
func (p *Policy) ProvesFrom(dir string) bool {
	for _, r := range p.rules {
		for _, spec := range r.evidence {
			for _, t := range []template{spec.manifest, spec.signature} {
				if !t.inDir && strings.HasPrefix(t.fixed, dir+"/") {
					return true
				}
			}
		}
	}
	return false
}
