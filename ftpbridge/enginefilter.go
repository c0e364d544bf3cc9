package ftpbridge

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/unicode/norm"

	"gateway/integrity"
	"gateway/listing"
	"gateway/state"
)

const (
	// farWest is how far a listing's time may lie behind UTC where its zone is not known.
	farWest = 12 * time.Hour
	// summerTime is by how much a zone that was found out may be wrong for files
	// of the other half of the year.
	summerTime = time.Hour
)

// filter is what of the source is wanted; nil wants all.
type filter struct {
	include, exclude []integrity.Pattern
	since            time.Time
	maxDepth         int // 0: any
	policy           *integrity.Policy
	zone             *time.Location // of listings that name none; nil: not known
}

// newFilter compiles the options; nil where they leave nothing out. Errors wrap
// ErrOptions.
func newFilter(o MigrateOptions) (*filter, error) {
	if o.MaxDepth < 0 {
		return nil, fmt.Errorf("migrate: %w: MaxDepth is negative", ErrOptions)
	}
	if len(o.Include)+len(o.Exclude) == 0 && o.Since.IsZero() && o.MaxDepth == 0 {
		return nil, nil
	}
	f := &filter{since: o.Since, maxDepth: o.MaxDepth, policy: o.Policy, zone: o.Source.Location}
	var err error
	if f.include, err = choosers(o.Include); err == nil {
		f.exclude, err = choosers(o.Exclude)
	}
	return f, err
}

// warnOfPatterns tells of patterns that choose nothing, which look like success. That
// nothing is recent enough is ordinary.
func (r *run) warnOfPatterns(rep *Report) {
	if len(r.Include)+len(r.Exclude) > 0 && r.Since.IsZero() && rep.Found.Files == 0 && rep.Filtered.Files > 0 {
		rep.Warnings = append(rep.Warnings, "what is included and excluded leaves out every file of the source: see whether the patterns are right")
	}
}

// choosers compiles patterns. One without a slash inside is looked for in every
// folder, as if "**/" stood before it; any other begins at the root.
func choosers(patterns []string) ([]integrity.Pattern, error) {
	var list []integrity.Pattern
	for _, text := range patterns {
		inside := strings.Trim(text, "/")
		if inside == "" {
			return nil, fmt.Errorf("migrate: %w: the pattern %q names nothing", ErrOptions, text)
		}
		if !strings.HasPrefix(text, "/") && !strings.Contains(inside, "/") {
			inside = "**/" + inside
		}
		p, err := integrity.ParsePattern(norm.NFC.String(inside))
		if err != nil {
			return nil, fmt.Errorf("migrate: %w: %w", ErrOptions, err)
		}
		list = append(list, p)
	}
	return list, nil
}

// chosen reports whether a pattern matches the path or a folder above it.
func chosen(patterns []integrity.Pattern, path string) bool {
	for _, p := range patterns {
		for i := 0; i <= len(path); i++ {
			if (i == len(path) || path[i] == '/') && p.Match(path[:i]) {
				return true
			}
		}
	}
	return false
}

// enters reports whether anything below a folder may be wanted.
func (f *filter) enters(dir Found) bool {
	if f == nil {
		return true
	}
	name := norm.NFC.String(dir.Name)
	if f.maxDepth > 0 && dir.Depth >= f.maxDepth || chosen(f.exclude, name) {
		return false
	}
	if len(f.include) == 0 || chosen(f.include, name) {
		return true
	}
	for _, p := range f.include {
		if p.MatchesBelow(name) {
			return true
		}
	}
	return f.policy != nil && f.policy.ProvesFrom(name)
}

// wants reports whether a file is wanted. Manifests and signatures that the
// policy names are, however old they are and whatever is included: without them
// nothing could be proved.
func (f *filter) wants(name string, depth int, at listing.Time) bool {
	if f == nil {
		return true
	}
	name = norm.NFC.String(name)
	if f.maxDepth > 0 && depth > f.maxDepth || chosen(f.exclude, name) {
		return false
	}
	included := func(name string) bool { return len(f.include) == 0 || chosen(f.include, name) }
	return included(name) && f.recent(at) || f.policy != nil && f.policy.Proves(name, included)
}

// recent reports whether a file may have been modified at or after since, to be on
// the safe side with times that are known vaguely.
func (f *filter) recent(at listing.Time) bool {
	p := precision(at.Precision)
	if f.since.IsZero() || p == 0 {
		return true
	}
	latest := at.Time
	switch {
	case at.ZoneKnown:
	case f.zone == nil:
		latest = latest.Add(farWest)
	default:
		latest = inZone(latest, f.zone).Add(summerTime)
	}
	return !latest.Add(p).Before(f.since)
}

// inZone is the same reading of clock and calendar in another zone.
func inZone(t time.Time, zone *time.Location) time.Time {
	y, m, d := t.Date()
	return time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone)
}

// leftOut reports whether a line of the ledger was not seen because the filter
// keeps it out now: that says nothing about the file.
func (r *run) leftOut(f state.File) bool {
	if r.filter == nil || f.Seen.Equal(r.start) {
		return false
	}
	// The ledger has the listing's times, by the zone that it was read in.
	at := listing.Time{Time: f.ModTime.In(location(r.Source)), ZoneKnown: f.TimePrecision == time.Second}
	for _, p := range []listing.Precision{listing.Second, listing.Minute, listing.Day} {
		if f.TimePrecision == precision(p) {
			at.Precision = p
		}
	}
	if depth := strings.Count(f.Path, "/") + 1; !r.filter.wants(r.shownPath(f), depth, at) {
		return true
	}
	// Its folder may not have been entered.
	for i, c := range []byte(f.Path) {
		if c == '/' && !r.filter.enters(Found{Name: r.shown(f.Path[:i]), Depth: strings.Count(f.Path[:i], "/") + 1}) {
			return true
		}
	}
	return false
}
