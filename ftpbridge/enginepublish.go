package ftpbridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"gateway/integrity"
	"gateway/state"
	"gateway/storage"
)

// errTaken is for a name under which somebody else's file is.
var errTaken = errors.New("the destination already has another file under this name; remove it, or allow overwriting (--overwrite)")

// commitTries bounds how often a publish is begun anew because somebody changed
// the target at that moment.
const commitTries = 3

// publisher makes files of one job visible. Migrations and releases from
// quarantine share it.
type publisher struct {
	store     state.Store
	fsys      storage.FS
	destName  string
	job       state.Job
	baseURL   string // of the source, without user and password
	overwrite bool
	verifier  string
	signer    *integrity.ProvenanceSigner // nil: statements stay unsigned
	now       func() time.Time
}

// publicationKey is what the catalogue calls a file of a storage.
func publicationKey(destName, target string) string { return destName + ":" + target }

func parent(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i]
	}
	return ""
}

// sameBytes reports whether the file at name has this size and SHA-256, and
// describes the version that was read. Its bytes go through digester, which may be nil.
func sameBytes(ctx context.Context, fsys storage.FS, name string, size int64, sum []byte, digester *integrity.Digester) (bool, storage.Info, error) {
	file, err := fsys.Open(ctx, name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, storage.ErrIsDir) {
		return false, storage.Info{}, nil
	}
	if err != nil {
		return false, storage.Info{}, err
	}
	defer file.Close()
	info := file.Info()
	if info.Size != size {
		return false, info, nil
	}
	if digester == nil {
		if digester, err = integrity.NewDigester(); err != nil {
			return false, info, err
		}
	}
	if err := hashInto(ctx, digester, file, size); err != nil {
		return false, info, err
	}
	return bytes.Equal(digester.Sums()[0].Sum, sum), info, nil
}

// expectNew reports whether f's target is taken to be new until it turns out not to be.
func expectNew(f state.File) bool { return f.Tries == 0 && f.Size >= 0 && f.Size <= newTarget }

// mayPublish refuses what can be known to be refused before it is fetched.
func (p *publisher) mayPublish(ctx context.Context, f state.File) error {
	info, err := p.fsys.Stat(ctx, f.Target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("the destination has a folder under this name: %w", storage.ErrIsDir)
	case p.overwrite || f.Size < 0 || info.Size == f.Size:
		return nil
	}
	pub, err := p.ours(ctx, f)
	if err == nil && (pub == nil || pub.Size != info.Size) {
		err = errTaken
	}
	return err
}

// ours is the latest publication of the target if this job made it of this file.
func (p *publisher) ours(ctx context.Context, f state.File) (*state.Publication, error) {
	pub, err := p.store.Publication(ctx, publicationKey(p.destName, f.Target))
	switch {
	case errors.Is(err, state.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fatal(err)
	case pub.Job != f.Job || !pub.Removed.IsZero() || pub.Source != fileURL(p.baseURL, f.Path):
		return nil, nil
	}
	return &pub, nil
}

// newTarget is up to which size, in bytes, a target is taken to be new until
// something fails: of small files looking takes longer than trying again.
const newTarget = 1 << 20

// commit publishes staged bytes, over nothing or over this job's own earlier
// version. The very bytes there already are as good as published. If it fails
// the upload is left to the caller.
func (p *publisher) commit(ctx context.Context, up storage.Upload, f state.File) error {
	var err error
	for n := range commitTries + 1 {
		o := storage.CommitOptions{SHA256: f.SHA256, ModTime: modTimeOf(f), IfNoneMatch: true}
		if n > 0 || f.Size > newTarget {
			o.IfNoneMatch = false
			same := false
			if same, err = p.conditions(ctx, f, &o); err != nil {
				return err
			}
			if same {
				return up.Abort(ctx)
			}
		}
		_, err = up.Commit(ctx, o)
		if !errors.Is(err, storage.ErrPrecondition) && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return err
}

// conditions says over what f may be published. same reports that its bytes are
// at the target already.
func (p *publisher) conditions(ctx context.Context, f state.File, o *storage.CommitOptions) (same bool, err error) {
	info, err := p.fsys.Stat(ctx, f.Target)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		o.IfNoneMatch = true
		return false, nil
	case err != nil:
		return false, err
	case info.IsDir():
		return false, fmt.Errorf("the destination has a folder under this name: %w", storage.ErrIsDir)
	}
	if info.Size == f.Size {
		if same, _, err := sameBytes(ctx, p.fsys, f.Target, f.Size, f.SHA256, nil); same || err != nil {
			return same, err
		}
	}
	o.IfMatch = info.ETag
	if p.overwrite {
		return false, nil
	}
	pub, err := p.ours(ctx, f)
	if err != nil {
		return false, err
	}
	if pub == nil {
		return false, errTaken
	}
	intact, seen, err := sameBytes(ctx, p.fsys, f.Target, pub.Size, pub.SHA256, nil)
	if err == nil && !intact {
		err = fmt.Errorf("it was changed in the destination since it was published: %w", errTaken)
	}
	o.IfMatch = seen.ETag
	return false, err
}

// modTimeOf is the best that is known of a file's time; zero where nothing is.
func modTimeOf(f state.File) time.Time {
	switch {
	case storage.ValidModTime(f.MDTM):
		return f.MDTM
	case f.TimePrecision != 0 && storage.ValidModTime(f.ModTime):
		return f.ModTime
	}
	return time.Time{}
}

// proof is the record of a publish: what, from where, why, and the statement.
func (p *publisher) proof(f state.File, folder string, sums []integrity.Digest, d integrity.Decision) (state.Publication, error) {
	source := fileURL(p.baseURL, f.Path)
	st, err := integrity.NewStatement(subject(f, folder, sums), d, integrity.Origin{
		URL: source, Verifier: p.verifier, Target: publicationKey(p.destName, f.Target),
		Fetched: f.Updated, Modified: modTimeOf(f), Verified: p.now(),
	})
	if err != nil {
		return state.Publication{}, err
	}
	seal := st.Marshal
	if p.signer != nil {
		seal = func() ([]byte, error) { return p.signer.Sign(st) }
	}
	raw, err := seal()
	if err != nil {
		return state.Publication{}, err
	}
	return state.Publication{
		Target: publicationKey(p.destName, f.Target), Job: f.Job, Source: source, Size: f.Size,
		SHA256: f.SHA256, Verdict: string(d.Verdict), Reason: d.Reason, Provenance: raw,
	}, nil
}

// discard removes staged bytes that are of no more use.
func (p *publisher) discard(ctx context.Context, f state.File) error {
	res, ok := p.fsys.(storage.Resumer)
	if !ok || f.Token == "" {
		return nil
	}
	err := res.Discard(ctx, storage.Token(f.Token))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, storage.ErrBusy) {
		return nil
	}
	return err
}
