package state

import "fmt"

// Valid fails with ErrInvalid, and says why, where the line cannot be kept.
func (f File) Valid() error {
	switch {
	case f.Path == "":
		return fmt.Errorf("job %d: empty path: %w", f.Job, ErrInvalid)
	case !f.Phase.Valid():
		return fmt.Errorf("%q: unknown phase %q: %w", f.Path, f.Phase, ErrInvalid)
	case !f.Ranges.Valid(f.Offset):
		return fmt.Errorf("%q: ranges %v beyond %d: %w", f.Path, f.Ranges, f.Offset, ErrInvalid)
	}
	return nil
}

// Valid fails with ErrInvalid, and says why, where the publication cannot be kept.
func (p Publication) Valid() error {
	if p.Target == "" {
		return fmt.Errorf("%q: empty target: %w", p.Source, ErrInvalid)
	}
	return nil
}

// Valid fails with ErrInvalid, and says why, where the run cannot be kept.
func (r Run) Valid() error {
	if !r.Result.Valid() {
		return fmt.Errorf("unknown result %q: %w", r.Result, ErrInvalid)
	}
	return nil
}

// Valid fails with ErrInvalid, and says why, where the generation cannot be kept.
func (g Generation) Valid() error {
	if g.Source == "" || g.Name == "" || len(g.SHA256) == 0 {
		return fmt.Errorf("a generation without source, name or SHA-256: %w", ErrInvalid)
	}
	return nil
}

// Valid fails with ErrInvalid or ErrTooLarge, and says why, where the evidence
// cannot be kept.
func (e Evidence) Valid() error {
	switch {
	case e.Source == "" || e.Name == "" || e.Manifest == nil && e.Signature == nil:
		return fmt.Errorf("evidence without source, name or any bytes: %w", ErrInvalid)
	case len(e.Manifest) > MaxEvidence || len(e.Signature) > MaxEvidence:
		return fmt.Errorf("more than %d bytes: %w", MaxEvidence, ErrTooLarge)
	}
	return nil
}
