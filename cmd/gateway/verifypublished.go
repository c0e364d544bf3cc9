package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"gateway/ftpbridge"
	"gateway/integrity"
	"gateway/state"
)

// recordTries bounds how often a file is looked at again that a migration
// replaced while it was looked at.
const recordTries = 3

// examiner examines published files.
type examiner struct {
	g      *gateway
	keys   *integrity.ProvenanceKeys
	policy *integrity.Policy // nil: keys are not judged
	now    time.Time
	jobs   map[int64]examinedJob // of the place that is examined
	judged map[string]string     // by the name in the storage: why the policy would not publish it now, "" where it would
}

// examinedJob is a migration that published something.
type examinedJob struct {
	destination string
	policy      *integrity.Policy // the rules for its source; nil without a policy
}

// examined is what was found of a published file.
type examined struct {
	at    place
	pub   state.Publication
	proof *proofCheck
	keys  []keyFault // that signed evidence and are not accepted any more
	again string     // why the policy would not publish it now
}

// keyFault is a key on whose word a file was published, and why it does not count today.
type keyFault struct {
	fingerprint string
	err         error
}

func (x *examined) ok() bool { return x.proof.ok() && len(x.keys) == 0 && x.again == "" }

// published examines what is published.
func (v *verifyCmd) published(e *env) error {
	var policy *integrity.Policy
	var err error
	if v.Policy != "" {
		if policy, err = integrity.LoadPolicy(v.Policy); err != nil {
			return err
		}
	}
	g, err := e.open()
	if err != nil {
		return err
	}
	defer g.Close()
	x := &examiner{g: g, policy: policy, now: time.Now()}
	if x.keys, err = g.provenanceKeys().believed(); err != nil {
		return err
	}
	out := newExaminedOutput(e.out, v.JSON)
	for _, arg := range v.publishedPlaces(g) {
		at, err := g.place(arg)
		if err != nil {
			return err
		}
		if err := x.loadJobs(e.ctx, at.storage); err != nil {
			return err
		}
		if err := x.judge(e.ctx, at); err != nil {
			return err
		}
		for pub, err := range g.publications(e.ctx, at) {
			if err != nil {
				return err
			}
			f, err := x.examine(e.ctx, at, pub)
			if err != nil {
				return err
			}
			if err := out.examined(f); err != nil {
				return err
			}
		}
	}
	if out.files == 0 && len(v.Paths) > 0 {
		return fmt.Errorf("nothing was published at %s by a migration", printable(v.Paths[0]))
	}
	return out.summary()
}

// publishedPlaces is the path that was named, or every storage.
func (v *verifyCmd) publishedPlaces(g *gateway) []string {
	if len(v.Paths) > 0 {
		return v.Paths
	}
	var all []string
	for _, name := range g.folders() {
		all = append(all, name+":")
	}
	return all
}

// publications yields what is published at a place and below it.
func (g *gateway) publications(ctx context.Context, at place) iter.Seq2[state.Publication, error] {
	key := at.storage + ":" + at.name
	if at.name == "" {
		return g.ledger(at.storage).Publications(ctx, key)
	}
	return func(yield func(state.Publication, error) bool) {
		pub, err := g.ledger(at.storage).Publication(ctx, key)
		if err == nil && pub.Removed.IsZero() || err != nil && !errors.Is(err, state.ErrNotFound) {
			if !yield(pub, err) || err != nil {
				return
			}
		}
		for pub, err := range g.ledger(at.storage).Publications(ctx, key+"/") {
			if !yield(pub, err) {
				return
			}
		}
	}
}

// loadJobs finds the rules for the source of each job that may have published in a
// storage.
func (x *examiner) loadJobs(ctx context.Context, storage string) error {
	x.jobs = map[int64]examinedJob{}
	for job, err := range x.g.ledger(storage).Jobs(ctx) {
		if err != nil {
			return err
		}
		if x.policy == nil {
			x.jobs[job.ID] = examinedJob{destination: job.Destination}
			continue
		}
		src, err := ftpbridge.ParseSource(job.Source)
		if err != nil {
			return fmt.Errorf("migration %d: %w", job.ID, err)
		}
		x.jobs[job.ID] = examinedJob{job.Destination, x.policy.ForSource(src.PolicyNames()...)}
	}
	return nil
}

// examine examines one file. If a migration has published another version
// meanwhile, that one.
func (x *examiner) examine(ctx context.Context, in place, pub state.Publication) (*examined, error) {
	for try := 1; ; try++ {
		f := &examined{at: in, pub: pub}
		f.at.name = pub.Target[len(in.storage)+len(":"):]
		var err error
		if f.proof, err = examineProof(ctx, f.at, pub, x.keys); err != nil {
			return nil, fmt.Errorf("%s: %w", printable(f.at.String()), err)
		}
		var known bool
		if f.again, known = x.judged[f.at.name]; !known || f.again != "" {
			f.keys = x.keyFaults(f)
		}
		if f.proof.ok() {
			return f, nil
		}
		now, err := x.g.ledger(in.storage).Publication(ctx, pub.Target)
		if err != nil {
			return nil, err
		}
		if same := now.Published.Equal(pub.Published) && bytes.Equal(now.SHA256, pub.SHA256); same || try == recordTries {
			return f, x.halfWay(ctx, f)
		}
		pub = now
	}
}

// judge has the policy decide again about what is published at a place, by the
// evidence that was kept. Where none was, only keys can be judged.
func (x *examiner) judge(ctx context.Context, at place) error {
	if x.policy == nil {
		return nil
	}
	x.judged = make(map[string]string)
	for f, err := range ftpbridge.Reexamine(ctx, ftpbridge.ReexamineOptions{
		Store: x.g.ledger(at.storage), Dest: x.g.storages[at.storage], DestName: at.storage, Prefix: at.name,
		Policy: x.policy, Keys: x.keys, Now: func() time.Time { return x.now },
	}) {
		if err != nil {
			return err
		}
		kept := len(f.Decision.Evidence) == 0 || slices.ContainsFunc(f.Decision.Evidence, func(found integrity.Finding) bool {
			return len(found.ManifestDigest.Sum)+len(found.SignatureDigest.Sum) > 0
		})
		switch {
		case !f.Present || !kept: // what is missing is found by the proof's own check
		case f.Suspect:
			x.judged[f.Name] = f.Reason
		default:
			x.judged[f.Name] = ""
		}
	}
	return nil
}

// halfWay adds to what is wrong that a migration is about to write it down.
func (x *examiner) halfWay(ctx context.Context, f *examined) error {
	_, line, err := x.g.ledger(f.at.storage).FileByTarget(ctx, x.jobs[f.pub.Job].destination, f.at.name)
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	if err == nil && line.Phase == state.Verified {
		f.proof.add("record", errors.New("a migration is publishing another version, or was cut off while it did: migrate again, then examine again"), "")
	}
	return err
}

// keyFaults holds the keys on whose word the file was published against the policy.
func (x *examiner) keyFaults(f *examined) []keyFault {
	policy := x.jobs[f.pub.Job].policy
	if policy == nil || f.proof.st == nil {
		return nil
	}
	var faults []keyFault
	for _, finding := range f.proof.st.Predicate.Details.Decision.Evidence {
		if finding.Signer == nil || finding.Verdict != integrity.Authentic {
			continue
		}
		err := policy.StillTrusts(f.proof.st.Subject[0].Name, *finding.Signer, x.now)
		known := slices.ContainsFunc(faults, func(k keyFault) bool { return k.fingerprint == finding.Signer.Fingerprint })
		if err != nil && !known {
			faults = append(faults, keyFault{finding.Signer.Fingerprint, err})
		}
	}
	return faults
}
