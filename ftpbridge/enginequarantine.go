package ftpbridge

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"time"

	"gateway/integrity"
	"gateway/state"
	"gateway/storage"
)

// Sentinels of Quarantine.
var (
	// ErrNotQuarantined is for a name that is not in quarantine.
	ErrNotQuarantined = errors.New("not in quarantine")
	// ErrAmbiguous is for a name that two sources brought; use the ID.
	ErrAmbiguous = errors.New("more than one file in quarantine has this name")
	// ErrBad is for a release of a file that was proved bad.
	ErrBad = errors.New("it was proved bad, and bad files are never published; correct it on the source and migrate again, or reject it")
)

// Quarantine shows and decides about the files that migrations held back from
// one storage.
type Quarantine struct {
	Store    state.Store
	Dest     storage.FS // the storage that DestName stands for
	DestName string
	Verifier string                      // as MigrateOptions.Verifier
	Signer   *integrity.ProvenanceSigner // as MigrateOptions.Signer
	Why      string                      // the reason of who decides; "" for none
	Now      func() time.Time            // nil is time.Now
}

// Quarantined is a file in quarantine.
type Quarantined struct {
	ID string // short, stable, unique in a store
	state.File
	Job state.Job
}

func quarantineID(f state.File) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d\n%s", f.Job, f.Path))
	return hex.EncodeToString(sum[:6])
}

// List returns what is in quarantine, by job and path.
func (q Quarantine) List(ctx context.Context) ([]Quarantined, error) {
	var list []Quarantined
	for job, err := range q.Store.Jobs(ctx) {
		if err != nil {
			return nil, fmt.Errorf("quarantine: %w", err)
		}
		if !strings.HasPrefix(job.Destination, q.DestName+":") {
			continue
		}
		for f, err := range q.Store.Files(ctx, job.ID, state.Quarantined) {
			if err != nil {
				return nil, fmt.Errorf("quarantine: %w", err)
			}
			list = append(list, Quarantined{ID: quarantineID(f), File: f, Job: job})
		}
	}
	return list, nil
}

// find takes an ID or a name in the storage.
func (q Quarantine) find(ctx context.Context, which string) (Quarantined, error) {
	list, err := q.List(ctx)
	if err != nil {
		return Quarantined{}, err
	}
	name := strings.Trim(which, "/")
	if clean, err := storage.CleanName(which); err == nil {
		name = clean
	}
	var match []Quarantined
	for _, f := range list {
		if f.ID == which {
			return f, nil
		}
		if f.Target == name {
			match = append(match, f)
		}
	}
	switch len(match) {
	case 0:
		return Quarantined{}, fmt.Errorf("quarantine: %s: %w", printable(which), ErrNotQuarantined)
	case 1:
		return match[0], nil
	}
	var ids []string
	for _, f := range match {
		ids = append(ids, f.ID)
	}
	return Quarantined{}, fmt.Errorf("quarantine: %s: %w: name one of %s", printable(which), ErrAmbiguous, strings.Join(ids, ", "))
}

// Release publishes a file by an operator's decision, with the verdict that it
// has. by says who decided. ErrBad for a file that was proved bad, ErrNotQuarantined
// and ErrAmbiguous for a name that does not tell, storage.ErrBusy while a run of
// the job is judging it.
func (q Quarantine) Release(ctx context.Context, which, by string) (Quarantined, error) {
	f, err := q.find(ctx, which)
	if err != nil {
		return f, err
	}
	if f.Verdict == string(integrity.Bad) {
		return f, fmt.Errorf("quarantine: release %s: %w (%s)", printable(f.Target), ErrBad, f.Reason)
	}
	if err := q.release(ctx, &f, by); err != nil {
		return f, fmt.Errorf("quarantine: release %s: %w", printable(f.Target), err)
	}
	return f, nil
}

func (q Quarantine) release(ctx context.Context, f *Quarantined, by string) error {
	res, err := q.resumer()
	if err != nil {
		return err
	}
	p, err := q.publisher(f.Job)
	if err != nil {
		return err
	}
	up, err := res.Resume(ctx, storage.Token(f.Token))
	if err != nil {
		return err
	}
	put := func() { _, _ = up.Suspend(context.WithoutCancel(ctx), storage.SuspendOptions{}) }
	digester, err := integrity.NewDigester()
	if err == nil {
		err = hashInto(ctx, digester, up, up.Size())
	}
	if err == nil && hex.EncodeToString(digester.Sums()[0].Sum) != hex.EncodeToString(f.SHA256) {
		err = fmt.Errorf("the bytes in quarantine changed: %w", storage.ErrDigest)
	}
	if err != nil {
		put()
		return err
	}
	f.Reason = fmt.Sprintf("%s%s; it was held back because %s", releasedWords, q.decided(by), f.Reason)
	f.Updated = p.now()
	d := integrity.Decision{Verdict: integrity.Verdict(f.Verdict), Publish: true, Reason: f.Reason}
	_, folder, _ := strings.Cut(f.Job.Destination, ":")
	pub, err := p.proof(f.File, folder, digester.Sums(), d)
	if err == nil {
		err = storage.MkdirAll(ctx, q.Dest, parent(f.Target))
	}
	if err == nil {
		err = p.commit(ctx, up, f.File)
	}
	if err != nil {
		put()
		return err
	}
	f.Token, f.Offset, pub.Published = "", 0, p.now()
	f.Phase = state.Published
	return q.Store.Publish(context.WithoutCancel(ctx), f.File, pub)
}

// decided is who decided, and why.
func (q Quarantine) decided(by string) string {
	if q.Why == "" {
		return printable(by)
	}
	return printable(by) + ", who says: " + printable(q.Why)
}

func (q Quarantine) resumer() (storage.Resumer, error) {
	res, ok := q.Dest.(storage.Resumer)
	if !ok {
		return nil, fmt.Errorf("the destination keeps no quarantine: %w", errors.ErrUnsupported)
	}
	return res, nil
}

func (q Quarantine) publisher(job state.Job) (*publisher, error) {
	u, err := url.Parse(job.Source)
	if err != nil {
		return nil, err
	}
	p := &publisher{
		store: q.Store, fsys: q.Dest, destName: q.DestName, job: job,
		baseURL: plainURL(Source{URL: u}), verifier: q.Verifier, signer: q.Signer, now: q.Now,
	}
	setDefault(&p.verifier, DefaultVerifier)
	if p.now == nil {
		p.now = time.Now
	}
	return p, nil
}

// Reject throws the bytes of a file in quarantine away. It is fetched again only
// when it changes on the source. Errors as for Release.
func (q Quarantine) Reject(ctx context.Context, which, by string) (Quarantined, error) {
	f, err := q.find(ctx, which)
	if err != nil {
		return f, err
	}
	if err := q.reject(ctx, &f, by); err != nil {
		return f, fmt.Errorf("quarantine: reject %s: %w", printable(f.Target), err)
	}
	return f, nil
}

func (q Quarantine) reject(ctx context.Context, f *Quarantined, by string) error {
	if f.Token != "" {
		res, err := q.resumer()
		if err != nil {
			return err
		}
		if err := res.Discard(ctx, storage.Token(f.Token)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	now := time.Now
	if q.Now != nil {
		now = q.Now
	}
	f.Phase, f.Token, f.Offset, f.Updated = state.Rejected, "", 0, now()
	f.Reason = fmt.Sprintf("rejected by %s; it was held back because %s", q.decided(by), f.Reason)
	return q.Store.PutFiles(context.WithoutCancel(ctx), f.File)
}
