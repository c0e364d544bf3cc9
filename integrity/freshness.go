package integrity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// MaxGenerations is how many accepted generations of one piece of evidence a
// History keeps, the newest ones.
const MaxGenerations = 32

// MaxClockSkew is how far ahead of now signed evidence may be dated. Signatures
// of the kinds that state a time may not be ahead at all; this is for the dates
// that manifests state, which some signers round up to a day.
const MaxClockSkew = 24 * time.Hour

// Why signed evidence is not fresh.
var (
	// ErrRollback: a newer generation was accepted before.
	ErrRollback = errors.New("older than what was seen before")
	// ErrTooOld: older than the policy's max_age, or past its own Valid-Until.
	ErrTooOld = errors.New("too old")
	// ErrFutureEvidence: dated more than MaxClockSkew after now.
	ErrFutureEvidence = errors.New("dated in the future")
	// ErrHistoryChanged is what History.Accept returns if the generation that was
	// the newest is not any more.
	ErrHistoryChanged = errors.New("the history changed meanwhile")
)

// Generation is one version of signed evidence.
type Generation struct {
	// Digest is the SHA-256 of the bytes that are signed: of the manifest, of
	// the text in a clear-signed one, of the file that a signature covers.
	Digest Digest
	// Date is what the manifest says of its age, or else the time that its
	// signature states: in both cases the signer's word. Zero if neither tells.
	Date time.Time
}

// History remembers which generations of the signed evidence of one source were
// accepted, across runs. Names tell pieces of evidence apart; see Evidence.Freshen.
type History interface {
	// Generations returns what was accepted under a name, the newest first, at
	// most MaxGenerations.
	Generations(ctx context.Context, name string) ([]Generation, error)
	// Accept adds next, durably and in one step, if after is still the digest of
	// the newest generation (the zero Digest: if there is none), and fails with
	// ErrHistoryChanged otherwise. A next of the same digest replaces the newest.
	Accept(ctx context.Context, name string, after Digest, next Generation) error
}

// Generation tells the version of signed evidence, false if no signature
// verified or the manifest behind it cannot be read.
func (e *Evidence) Generation() (Generation, bool) {
	if e.Err != nil || e.Signer == nil || !e.SignedDigest.valid() {
		return Generation{}, false
	}
	g := Generation{Digest: e.SignedDigest, Date: e.Signer.Created}
	if e.Manifest != nil && !e.Manifest.Date().IsZero() {
		g.Date = e.Manifest.Date()
	}
	return g, true
}

// HistoryName is the name under which the evidence is known to a History.
func (ref EvidenceRef) HistoryName() string {
	if ref.Manifest == "" {
		return "file " + ref.File
	}
	return "manifest " + ref.Manifest
}

// Freshen decides whether signed evidence is fresh, remembers it if it is, and
// returns it with the answer in Stale, or in Err where it counts for nothing.
// Evidence that is not signed, or proves nothing anyway, is returned as it is:
// who serves it could give it any date.
//
// It is stale, by the attacks that The Update Framework names:
//
//   - rollback, if it is dated before a generation that was accepted earlier, or
//     has no date where that one had one, or is itself an earlier one that
//     another has replaced since and has no newer date than that. The newest
//     generation again is no rollback, whatever the date of its signature.
//   - freeze, if it is past its Valid-Until, or older at now than the max_age of
//     its rule, or has no date where the rule has a max_age.
//
// Evidence dated more than MaxClockSkew ahead of now is refused
// (ErrFutureEvidence, in Err): once accepted, it would make all that is honestly
// dated a rollback. For the same reason a date ahead of now is remembered as now.
//
// Only verified evidence that is not stale is remembered. Without a history
// (nil) rollbacks are not seen. The error is the history's.
func (e *Evidence) Freshen(ctx context.Context, h History, now time.Time) (*Evidence, error) {
	g, ok := e.Generation()
	if !ok {
		return e, nil
	}
	judged := *e
	if g.Date.After(now.Add(MaxClockSkew)) {
		judged.Manifest = nil
		judged.Err = fmt.Errorf("%s proves nothing: %w: %s, now is %s; check the clocks", e.Ref, ErrFutureEvidence, day(g.Date), day(now))
		return &judged, nil
	}
	var err error
	if judged.Stale = e.tooOld(g, now); judged.Stale == nil && h != nil {
		judged.Stale, err = e.advance(ctx, h, g, now)
	}
	return &judged, err
}

// tooOld judges by the clock.
func (e *Evidence) tooOld(g Generation, now time.Time) error {
	maxAge := e.Ref.spec.rule.maxAge
	switch {
	case e.Manifest != nil && !e.Manifest.ValidUntil().IsZero() && now.After(e.Manifest.ValidUntil()):
		return fmt.Errorf("it is %w: %s says that it was valid until %s", ErrTooOld, e.Ref, day(e.Manifest.ValidUntil()))
	case maxAge == 0:
		return nil
	case g.Date.IsZero():
		return fmt.Errorf("it is %w to tell: %s has no date, and max_age is %s", ErrTooOld, e.Ref, maxAge)
	case now.Sub(g.Date) > maxAge:
		return fmt.Errorf("it is %w: %s is dated %s, and max_age is %s", ErrTooOld, e.Ref, day(g.Date), maxAge)
	}
	return nil
}

// maxAdvances bounds how often another run may come between.
const maxAdvances = 10

// advance judges by the history, and adds to it.
func (e *Evidence) advance(ctx context.Context, h History, g Generation, now time.Time) (stale, err error) {
	if g.Date.After(now) {
		g.Date = now
	}
	name := e.Ref.HistoryName()
	for range maxAdvances {
		known, err := h.Generations(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("integrity: history of %s: %w", e.Ref, err)
		}
		if stale := rollback(e.Ref, known, g); stale != nil {
			return stale, nil
		}
		var after Digest
		if len(known) > 0 {
			after = known[0].Digest
			if after.Equal(g.Digest) && !g.Date.After(known[0].Date) {
				return nil, nil
			}
		}
		err = h.Accept(ctx, name, after, g)
		if err == nil || !errors.Is(err, ErrHistoryChanged) {
			return nil, wrapAccept(e.Ref, err)
		}
	}
	return nil, wrapAccept(e.Ref, ErrHistoryChanged)
}

func wrapAccept(ref EvidenceRef, err error) error {
	if err != nil {
		err = fmt.Errorf("integrity: remember %s: %w", ref, err)
	}
	return err
}

// rollback compares a generation with those accepted, the newest first.
func rollback(ref EvidenceRef, known []Generation, g Generation) error {
	if len(known) == 0 || known[0].Digest.Equal(g.Digest) {
		return nil
	}
	newest := slices.MaxFunc(known, func(a, b Generation) int { return a.Date.Compare(b.Date) })
	switch {
	case !newest.Date.IsZero() && g.Date.After(newest.Date):
		return nil // also if a signer goes back on purpose
	case slices.ContainsFunc(known[1:], func(old Generation) bool { return old.Digest.Equal(g.Digest) }):
		return fmt.Errorf("it is %w: %s is a version that a newer one had replaced", ErrRollback, ref)
	case newest.Date.IsZero(), g.Date.Equal(newest.Date):
		return nil
	case g.Date.IsZero():
		return fmt.Errorf("it may be %w: %s has no date, and a version dated %s was accepted", ErrRollback, ref, day(newest.Date))
	}
	return fmt.Errorf("it is %w: %s is dated %s, and one dated %s was accepted", ErrRollback, ref, day(g.Date), day(newest.Date))
}

func day(t time.Time) string { return t.UTC().Format(time.DateTime + " UTC") }
