package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"gateway/listing"
	"gateway/state"
	"gateway/storage"
)

// prover opens files of a Mount by migrating them one at a time: the same ledger,
// policy, quarantine and provenance as for a migration of everything. The zero
// value is ready.
type prover struct {
	mu      sync.Mutex
	run     *run
	made    time.Time
	held    context.Context // of the claim
	release func() error

	lines sync.Mutex // one at a time writes lines of the ledger
}

// ErrUnproved is for a file that the policy does not let through. It wraps fs.ErrPermission.
var ErrUnproved = fmt.Errorf("the policy of this source does not let it through: %w", fs.ErrPermission)

// openProved opens a file in the destination of Prove, where it is once it was judged.
func (m *Mount) openProved(ctx context.Context, name string) (storage.File, error) {
	m.names.RLock()
	e, err := m.lookup(ctx, name)
	m.names.RUnlock()
	if err != nil {
		return nil, err
	}
	if e.typ == listing.Dir {
		return nil, storage.ErrIsDir
	}
	r, held, err := m.proving(ctx)
	if err != nil {
		return nil, err
	}
	// Who asks first fetches for all who ask meanwhile.
	result := m.flights.DoChan("prove\x00"+name, func() (any, error) { return m.prove(held, r, name) })
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case res := <-result:
		if res.Err != nil {
			return nil, res.Err
		}
		line := res.Val.(state.File)
		if line.Phase != state.Published {
			m.log.Warn("mount: a file is kept back", "name", name, "phase", line.Phase, "reason", line.Reason)
			return nil, fmt.Errorf("%w: %s", ErrUnproved, line.Reason)
		}
		f, err := r.Dest.Open(ctx, line.Target)
		if err != nil {
			return nil, err
		}
		return provedFile{f, m.info(name, e)}, nil
	}
}

// provedFile is a published file under its name in the mount.
type provedFile struct {
	storage.File
	info storage.Info
}

func (f provedFile) Info() storage.Info {
	info := f.info
	info.Size = f.File.Info().Size
	return info
}

// proving gives the run that files are judged in. Evidence is read again when it
// is older than a listing may be.
func (m *Mount) proving(ctx context.Context) (*run, context.Context, error) {
	p := &m.prover
	p.mu.Lock()
	defer p.mu.Unlock()
	lost := p.held != nil && p.held.Err() != nil
	if p.run != nil && !lost && time.Since(p.made) < m.o.TTL {
		return p.run, p.held, nil
	}
	o := *m.o.Prove
	o.Source = m.pool.src
	o, err := o.withDefaults()
	if err != nil {
		return nil, nil, err
	}
	r := newRun(o)
	r.pool, r.baseURL = m.pool, plainURL(o.Source)
	if r.job, err = o.Store.OpenJob(ctx, o.Source.Redacted(), r.destination); err != nil {
		return nil, nil, err
	}
	if p.held == nil || lost {
		if p.held, p.release, err = o.Store.Claim(m.ctx, r.job.ID, r.start); err != nil {
			p.held, p.release = nil, nil
			return nil, nil, err
		}
	}
	if err := m.ask(ctx, func(s Remote) error {
		r.hashAlgorithm, _ = s.Info().HashAlgorithm()
		return nil
	}); err != nil {
		return nil, nil, err
	}
	p.run, p.made = r, time.Now()
	return r, p.held, nil
}

// end gives the claim back.
func (p *prover) end() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.release == nil {
		return nil
	}
	err := p.release()
	p.run, p.held, p.release = nil, nil, nil
	return err
}

// prove brings a file as far as it goes and returns its line of the ledger.
func (m *Mount) prove(ctx context.Context, r *run, name string) (state.File, error) {
	wanted := []string{name}
	for _, ref := range r.Policy.Wants(name) {
		for _, evidence := range []string{ref.Manifest, ref.Signature} {
			if evidence != "" && evidence != name {
				wanted = append(wanted, evidence)
			}
		}
	}
	path, err := m.mark(ctx, r, wanted)
	if err != nil {
		return state.File{}, err
	}
	line, err := r.store.GetFile(ctx, r.job.ID, path)
	if err != nil || line.Phase == state.Published {
		return line, err
	}
	if up := parent(line.Target); up != "" {
		if err := storage.MkdirAll(ctx, r.Dest, up); err != nil {
			return line, err
		}
	}
	if err := r.one(ctx, line, atOnce); err != nil {
		return line, err
	}
	return r.store.GetFile(ctx, r.job.ID, path)
}

// mark writes the lines of files into the ledger, as a walk that found nothing else
// would, and returns the path of the first. Evidence that is not there has no line.
func (m *Mount) mark(ctx context.Context, r *run, names []string) (first string, err error) {
	m.prover.lines.Lock()
	defer m.prover.lines.Unlock()
	s := &scanner{run: r, ctx: ctx}
	for i, name := range names {
		m.names.RLock()
		line, err := m.lineFor(ctx, r, name)
		m.names.RUnlock()
		switch {
		case i > 0 && errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return "", err
		case i == 0:
			first = line.Path
		}
		s.batch = append(s.batch, line)
	}
	return first, s.flush()
}

func (m *Mount) lineFor(ctx context.Context, r *run, name string) (state.File, error) {
	e, err := m.lookup(ctx, name)
	if err != nil {
		return state.File{}, err
	}
	if e.typ == listing.Dir {
		return state.File{}, fs.ErrNotExist
	}
	d, err := m.readDir(ctx, parent(name))
	if err != nil {
		return state.File{}, err
	}
	line := state.File{
		Job: r.job.ID, Path: d.join(e.raw), Target: storage.Join(r.Folder, name), Phase: state.Found,
		Size: e.size, ModTime: e.mod, TimePrecision: e.precision, Seen: r.start, Updated: r.now(),
	}
	if e.estimated {
		line.Size = -1
	}
	return line, nil
}
