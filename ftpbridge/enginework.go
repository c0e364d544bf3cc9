package ftpbridge

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"gateway/integrity"
	"gateway/state"
	"gateway/storage"
)

// work takes every line that is not done, on as many sessions as are allowed.
// Signatures of files come after all files: they are held against those.
func (r *run) work(ctx context.Context) error {
	if err := r.plan(ctx); err != nil {
		return err
	}
	if err := r.workOn(ctx, func(f state.File) bool { return !r.isFileSignature(f) }); err != nil {
		return err
	}
	if r.Policy == nil {
		return nil
	}
	if err := r.workOn(ctx, r.isFileSignature); err != nil {
		return err
	}
	if err := r.checkGenerations(ctx); err != nil {
		return err
	}
	return r.reexamine(ctx)
}

func (r *run) isFileSignature(f state.File) bool {
	return r.Policy != nil && f.Target != "" && r.Policy.IsFileSignature(subject(f, r.Folder, nil).Path)
}

func (r *run) workOn(ctx context.Context, now func(state.File) bool) error {
	lines := make(chan state.File)
	g, ctx := errgroup.WithContext(ctx)
	publishing := make(chan struct{}, maxPublishing)
	later := func(rest func() error) error {
		select {
		case publishing <- struct{}{}:
		case <-ctx.Done():
			return rest() // which puts its bytes by
		}
		g.Go(func() error {
			defer func() { <-publishing }()
			return rest()
		})
		return nil
	}
	g.Go(func() error {
		defer close(lines)
		return r.feed(ctx, lines, now)
	})
	for range r.Source.connections() {
		g.Go(func() error {
			for f := range lines {
				if err := r.one(ctx, f, later); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// open lists the phases that a run still has to do with.
func open() []state.Phase {
	return []state.Phase{state.Found, state.Fetching, state.Fetched, state.Verified, state.Failed, state.Quarantined}
}

func (r *run) plan(ctx context.Context) error {
	counts, err := r.store.Counts(ctx, r.job.ID)
	if err != nil {
		return fatal(err)
	}
	e := Event{Kind: EventPlanned}
	for _, p := range open() {
		e.Files += counts[p].Files
		e.Bytes += counts[p].Bytes
	}
	r.progress.event(e)
	return nil
}

func (r *run) feed(ctx context.Context, lines chan<- state.File, now func(state.File) bool) error {
	for f, err := range r.store.Files(ctx, r.job.ID, open()...) {
		if err != nil {
			return fatal(err)
		}
		if !now(f) || f.Phase != state.Quarantined && r.leftOut(f) {
			continue
		}
		if f.Target == "" { // no name to publish it under; the walk said why
			r.tellFinished(f)
			continue
		}
		select {
		case lines <- f:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// one brings one line as far as it goes. Its error ends the run. What is to be
// done with a file after it was fetched is left to later, so that the connection
// can fetch the next one, and many small files are published together: the store
// then writes them down in one transaction, and a folder is synced once for all.
func (r *run) one(ctx context.Context, f state.File, later func(rest func() error) error) error {
	began := time.Now()
	var err error
	if f.Phase == state.Quarantined {
		// The page that f came from may be old: an operator may have released it.
		// All other lines are this run's alone while it has the job.
		if f, err = r.store.GetFile(ctx, r.job.ID, f.Path); err != nil {
			return fatal(err)
		}
	}
	switch f.Phase {
	case state.Published, state.Rejected, state.Removed:
		return nil
	case state.Quarantined:
		err = r.again(ctx, &f)
		return r.outcome(ctx, &f, began, err)
	}
	rest, err := r.fetch(ctx, &f)
	if err != nil || rest == nil {
		return r.outcome(ctx, &f, began, err)
	}
	return later(func() error {
		err := rest()
		return r.outcome(ctx, &f, began, err)
	})
}

// atOnce is a later that does not put anything off.
func atOnce(rest func() error) error { return rest() }

// outcome tells and writes down how it went with a line.
func (r *run) outcome(ctx context.Context, f *state.File, began time.Time, err error) error {
	defer r.timed(f, began)
	switch {
	case err == nil:
		r.tellFinished(*f)
		return nil
	case isFatal(err) || ctx.Err() != nil:
		return err
	}
	return r.fail(ctx, *f, err)
}

func (r *run) tellFinished(f state.File) {
	r.progress.event(Event{
		Kind: EventFinished, Path: r.pathOf(f), Size: f.Size,
		Phase: f.Phase, Verdict: f.Verdict, Reason: f.Reason,
	})
}

// pathOf is the path as people see it.
func (r *run) pathOf(f state.File) string {
	if f.Target == "" {
		return printable(r.pool.Show(f.Path))
	}
	return subject(f, r.Folder, nil).Path
}

// fail writes down why a file is not published. Bytes that are staged stay, if
// they can be of use.
func (r *run) fail(ctx context.Context, f state.File, why error) error {
	f.Phase, f.Reason, f.Updated = state.Failed, plain(why), r.now()
	f.Retry = Temporary(why) || errors.Is(why, errChanged) || errors.Is(why, storage.ErrBusy) || errors.Is(why, storage.ErrDigest)
	if !f.Retry {
		if err := r.discard(ctx, f); err != nil {
			return err
		}
		f.Token, f.Offset, f.Ranges = "", 0, nil
	}
	if err := r.store.PutFiles(ctx, f); err != nil {
		return fatal(err)
	}
	r.tellFinished(f)
	return nil
}

// fresh fetches a file that is not staged whole, judges it and publishes it.
func (r *run) fresh(ctx context.Context, f *state.File) error {
	rest, err := r.fetch(ctx, f)
	if err != nil || rest == nil {
		return err
	}
	return rest()
}

// fetch stages a file. What is left to do with it is rest, nil if that is nothing.
func (r *run) fetch(ctx context.Context, f *state.File) (rest func() error, err error) {
	if f.Phase == state.Verified {
		if done, err := r.finishPublish(ctx, f); done || err != nil {
			return nil, err
		}
	}
	if !f.Seen.Equal(r.start) {
		if !r.rebuilt {
			return nil, nil // in a folder that could not be listed: wait for the next run
		}
		r.progress.update(func(rep *Report) { rep.Gone++ })
		return nil, errors.New("it is no longer on the source")
	}
	f.Verdict, f.Reason, f.Retry = "", "", false
	if !expectNew(*f) {
		if err := r.mayPublish(ctx, *f); err != nil {
			return nil, err
		}
	}
	evidence, err := r.evidenceFor(ctx, subject(*f, r.Folder, nil).Path)
	if err != nil {
		return nil, err
	}
	t, err := r.openTransfer(ctx, f, evidence)
	if err != nil {
		return nil, err
	}
	f.Tries++
	err = r.retry(ctx, func(s Remote) (bool, error) {
		before := t.staged()
		err := t.pull(ctx, s)
		return t.staged()-before >= overlap, err
	})
	if err != nil {
		return nil, errors.Join(err, t.suspend(ctx))
	}
	f.Phase, f.Size, f.Offset = state.Fetched, t.off, t.off
	sums := t.pipe.Sums()
	t.pipe = nil // many may wait for the rest
	return func() error {
		evidence, err := r.holdAgainst(ctx, *f, evidence, t.up, sums[0])
		if err != nil {
			return errors.Join(err, t.suspend(ctx))
		}
		return r.settle(ctx, f, t.up, sums, append(evidence, t.server...))
	}, nil
}

// settle judges a file that is staged whole and puts it where it belongs.
func (r *run) settle(ctx context.Context, f *state.File, up storage.Upload, sums []integrity.Digest, evidence []*integrity.Evidence) error {
	f.SHA256 = sums[0].Sum
	d := r.decide(*f, sums, evidence)
	f.Verdict, f.Reason = string(d.Verdict), d.Reason
	if !d.Publish || d.Verdict == integrity.Bad {
		r.generations.doubt(d, evidence)
		return r.quarantine(ctx, f, up)
	}
	return r.publish(ctx, f, up, sums, d)
}

func (r *run) decide(f state.File, sums []integrity.Digest, evidence []*integrity.Evidence) integrity.Decision {
	if r.Policy == nil {
		return integrity.Decision{
			Verdict: integrity.Unverified, Publish: true, Reason: "no policy was given, so nothing was verified",
		}
	}
	return r.Policy.Decide(subject(f, r.Folder, sums), evidence...)
}

// quarantine keeps the bytes where no reader sees them.
func (r *run) quarantine(ctx context.Context, f *state.File, up storage.Upload) error {
	token, err := up.Suspend(ctx, storage.SuspendOptions{})
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		f.Reason += "; the destination cannot keep quarantined bytes, they were dropped"
		err = up.Abort(ctx)
	case err != nil:
		return errors.Join(err, up.Abort(context.WithoutCancel(ctx)))
	}
	if err != nil {
		return err
	}
	f.Phase, f.Token, f.Updated, f.Retry = state.Quarantined, string(token), r.now(), false
	return fatal(r.store.PutFiles(ctx, *f))
}

// publish makes a judged file visible and writes down what proves it.
func (r *run) publish(ctx context.Context, f *state.File, up storage.Upload, sums []integrity.Digest, d integrity.Decision) error {
	p, err := r.proof(*f, r.Folder, sums, d)
	if err != nil {
		return errors.Join(err, up.Abort(context.WithoutCancel(ctx)))
	}
	// From here on the next run can tell by the digest that the file at the
	// target is ours, if this one dies before the last step.
	f.Phase, f.Updated = state.Verified, r.now()
	if err := r.store.PutFiles(ctx, *f); err != nil {
		return fatal(errors.Join(err, r.shelve(ctx, f, up)))
	}
	if err := r.commit(ctx, up, *f); err != nil {
		return errors.Join(err, r.shelve(ctx, f, up))
	}
	return r.record(ctx, f, p)
}

// shelve ends an upload that could not be published. If only the run ended, the
// bytes wait for the next one.
func (r *run) shelve(ctx context.Context, f *state.File, up storage.Upload) error {
	ended := ctx.Err() != nil
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if !ended {
		return up.Abort(ctx)
	}
	token, err := up.Suspend(ctx, storage.SuspendOptions{Until: r.now().Add(partialKept)})
	if err != nil {
		return up.Abort(ctx)
	}
	f.Token, f.Offset = string(token), f.Size
	return fatal(r.store.PutFiles(ctx, *f))
}

// record is the last step of a publish.
func (r *run) record(ctx context.Context, f *state.File, p state.Publication) error {
	f.Phase, f.Token, f.Offset, f.Retry, f.Updated = state.Published, "", 0, false, r.now()
	p.Published = f.Updated
	// The file is visible: this has to be written even when the run is ending.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	if err := r.store.Publish(ctx, *f, p); err != nil {
		return fatal(err)
	}
	r.progress.update(func(rep *Report) {
		rep.Published.add(f.Size)
		if rep.Verdicts == nil {
			rep.Verdicts = Count{}
		}
		rep.Verdicts[f.Verdict]++
		if f.Path != r.pathOf(*f) {
			rep.Renamed.add(Item{Path: printable(f.Path), Target: f.Target, Reason: renamed(r.shownPath(*f), r.pathOf(*f))})
		}
	})
	return nil
}

// finishPublish finishes a publish that was cut off between its last two steps: the
// file is at its target, with the digest that was judged.
func (r *run) finishPublish(ctx context.Context, f *state.File) (done bool, err error) {
	path := subject(*f, r.Folder, nil).Path
	evidence, err := r.evidenceFor(ctx, path)
	if err != nil {
		return false, err
	}
	digester, err := r.digester(*f, evidence)
	if err != nil {
		return false, err
	}
	same, info, err := sameBytes(ctx, r.Dest, f.Target, f.Size, f.SHA256, digester)
	if err != nil || !same {
		return false, err
	}
	if evidence, err = r.holdAgainstTarget(ctx, *f, evidence, digester.Sums()[0]); err != nil {
		return false, err
	}
	d := r.decide(*f, digester.Sums(), append(evidence, r.askServer(ctx, *f)...))
	f.Verdict, f.Reason = string(d.Verdict), d.Reason
	if !d.Publish || d.Verdict == integrity.Bad {
		// What proved it is gone since. It was never recorded as published, so
		// it is taken back and fetched again, into quarantine.
		if err := r.removeVersion(ctx, f.Target, info); err != nil {
			return false, err
		}
		f.Phase = state.Found
		return false, nil
	}
	if err := r.discard(ctx, *f); err != nil {
		return false, err
	}
	p, err := r.proof(*f, r.Folder, digester.Sums(), d)
	if err != nil {
		return false, err
	}
	return true, r.record(ctx, f, p)
}

func (r *run) removeVersion(ctx context.Context, target string, info storage.Info) error {
	now, err := r.Dest.Stat(ctx, target)
	if err == nil && now.ETag == info.ETag {
		err = r.Dest.Remove(ctx, target)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// again judges a file that is in quarantine anew: the policy or the manifests
// may have changed. A file that was proved bad needs proof to get out.
func (r *run) again(ctx context.Context, f *state.File) error {
	if r.Policy == nil && f.Verdict == string(integrity.Bad) {
		return nil
	}
	up, err := r.reopen(ctx, f)
	if err != nil || up == nil {
		return err
	}
	evidence, err := r.evidenceFor(ctx, subject(*f, r.Folder, nil).Path)
	if err != nil {
		return r.stay(ctx, up, err)
	}
	digester, err := r.digester(*f, evidence)
	if err != nil {
		return r.stay(ctx, up, err)
	}
	if err := hashInto(ctx, digester, up, up.Size()); err != nil {
		return r.stay(ctx, up, err)
	}
	sums := digester.Sums()
	if evidence, err = r.holdAgainst(ctx, *f, evidence, up, sums[0]); err != nil {
		return r.stay(ctx, up, err)
	}
	evidence = append(evidence, r.askServer(ctx, *f)...)
	was := *f
	d := r.decide(*f, sums, evidence)
	f.Verdict, f.Reason = string(d.Verdict), d.Reason
	if !d.Publish || d.Verdict == integrity.Bad {
		f.Updated = was.Updated
		return r.quarantine(ctx, f, up)
	}
	return r.publish(ctx, f, up, sums, d)
}

// reopen opens quarantined bytes; nil without error if there is nothing to do.
func (r *run) reopen(ctx context.Context, f *state.File) (storage.Upload, error) {
	res, ok := r.Dest.(storage.Resumer)
	if !ok || f.Token == "" {
		return nil, nil
	}
	up, err := res.Resume(ctx, storage.Token(f.Token))
	switch {
	case errors.Is(err, storage.ErrBusy):
		return nil, nil // an operator is at it
	case errors.Is(err, fs.ErrNotExist):
		now, err := r.store.GetFile(ctx, r.job.ID, f.Path)
		if err != nil {
			return nil, fatal(err)
		}
		if now.Phase != state.Quarantined {
			*f = now
			return nil, nil
		}
		f.Token, f.Phase = "", state.Found
		return nil, r.fresh(ctx, f)
	}
	return up, err
}

// stay leaves a file in quarantine after a failure on the way to judge it.
func (r *run) stay(ctx context.Context, up storage.Upload, why error) error {
	_, err := up.Suspend(context.WithoutCancel(ctx), storage.SuspendOptions{})
	if isFatal(why) || ctx.Err() != nil {
		return errors.Join(why, err)
	}
	r.Logger.Warn("migrate: a file in quarantine could not be judged again", "error", why)
	return err
}
