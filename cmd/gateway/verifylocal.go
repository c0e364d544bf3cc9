package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"gateway/ftpbridge"
	"gateway/integrity"
	"gateway/listing"
	"gateway/storage"
)

// folderBatch is how many entries of a folder are held at once, and sorted.
const folderBatch = 16 << 10

// What would become of a local file.
const (
	wouldPublish    = "publish"
	wouldQuarantine = "quarantine"
	wouldFail       = "fail" // a migration could not publish it, whatever the policy says
	wouldSkip       = "skip" // it is no file of its own
)

// judged is what a migration would do with a file.
type judged struct {
	path string // as the command line and the folders name it, raw bytes
	size int64  // -1: not known
	does string // one of the words above
	sum  []byte // SHA-256, nil if it was not read to its end
	integrity.Decision
}

// local judges local files and folders.
func (v *verifyCmd) local(e *env) error {
	policy, err := v.localPolicy()
	if err != nil {
		return err
	}
	if _, err := listing.Encode("", v.Charset); err != nil {
		return err
	}
	out := newVerifyOutput(e.out, v.JSON)
	var last *judge // several files of one folder share their evidence
	defer func() { last.close() }()
	for _, path := range v.Paths {
		dir, name, err := splitLocal(path)
		if err == nil && (last == nil || last.dir != dir) {
			last.close()
			last, err = newJudge(dir, policy, v.Charset)
		}
		if err == nil && name == "" {
			err = last.folder(e.ctx, ".", 0, out.judged)
		} else if err == nil {
			err = last.entry(e.ctx, name, 0, out.judged)
		}
		if e.ctx.Err() != nil || errors.Is(err, errOutput) {
			return err
		}
		if err != nil {
			err = out.judged(judged{path: path, size: -1, does: wouldFail, Decision: integrity.Decision{Reason: plainFault(err)}})
		}
		if err != nil {
			return err
		}
	}
	return out.summary()
}

func (v *verifyCmd) localPolicy() (*integrity.Policy, error) {
	p, err := integrity.LoadPolicy(v.Policy)
	if err != nil {
		return nil, err
	}
	if v.Source == "" {
		return p.ForSource(), nil
	}
	src, err := ftpbridge.ParseSource(v.Source)
	if err != nil {
		return nil, err
	}
	return p.ForSource(src.PolicyNames()...), nil
}

// splitLocal gives the folder that stands for the root of a source, and the file
// in it, "" for all of them. A link that is named itself is followed to a folder only.
func splitLocal(path string) (dir, name string, err error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return path, "", nil
	}
	if _, err := os.Lstat(path); err != nil {
		return "", "", err
	}
	return filepath.Dir(path), filepath.Base(path), nil
}

// judge judges the files below one local folder as a migration of it would.
type judge struct {
	dir      string // as it was named
	root     *os.Root
	policy   *integrity.Policy
	evidence localEvidence
	names    localNames
}

func newJudge(dir string, policy *integrity.Policy, charset string) (*judge, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	j := &judge{dir: dir, root: root, policy: policy}
	j.names = localNames{root: root, charset: charset}
	j.evidence = localEvidence{root: root, names: &j.names, now: time.Now()}
	return j, nil
}

func (j *judge) close() {
	if j != nil {
		j.root.Close()
	}
}

// tell is told of each file. Its error ends the walk.
type tell func(judged) error

// folder judges what is below a folder. Links are not descended into.
func (j *judge) folder(ctx context.Context, name string, depth int, tell tell) error {
	if depth > storage.MaxDepth {
		return fmt.Errorf("more than %d folders deep", storage.MaxDepth)
	}
	f, err := j.root.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		entries, err := f.ReadDir(folderBatch)
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
		for _, d := range entries {
			if err := j.entry(ctx, filepath.Join(name, d.Name()), depth+1, tell); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// entry judges a file, or what is below a folder. What is wrong with one file
// keeps nobody from judging the next.
func (j *judge) entry(ctx context.Context, name string, depth int, tell tell) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	v := judged{path: filepath.Join(j.dir, name), size: -1}
	info, err := j.root.Lstat(name)
	if err == nil && info.IsDir() {
		err = j.folder(ctx, name, depth, tell)
		if err == nil || ctx.Err() != nil || errors.Is(err, errOutput) {
			return err
		}
	}
	if err == nil {
		err = j.file(ctx, name, info, &v)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		v.does, v.Reason = wouldFail, plainFault(err)
	}
	return tell(v)
}

// file fetches and judges one file as the bridge does.
func (j *judge) file(ctx context.Context, name string, info os.FileInfo, v *judged) error {
	if info.Mode()&fs.ModeSymlink != 0 {
		to, err := j.root.Stat(name)
		if err != nil {
			return fmt.Errorf("a link that leads to nothing inside %s: %w", j.dir, err)
		}
		if to.IsDir() {
			v.does, v.Reason = wouldSkip, "a link to a folder, which is not followed"
			return nil
		}
	} else if !info.Mode().IsRegular() {
		return errNotRegular
	}
	shown, err := j.names.shown(name)
	if err != nil {
		return err
	}
	f, info, err := openLocal(j.root, name)
	if err != nil {
		return err
	}
	defer f.Close()
	v.size = info.Size()
	s := integrity.Subject{Path: shown, RawPath: filepath.ToSlash(name), Size: info.Size()}
	evidence := j.evidence.wanted(j.policy, shown)
	d, err := integrity.NewDigester(j.policy.Algorithms(s, evidence...)...)
	if err == nil {
		err = hashLocal(ctx, j.root, name, f, info, d)
	}
	if err != nil {
		return err
	}
	s.Digests = d.Sums()
	v.sum = s.Digests[0].Sum
	v.Decision = j.policy.Decide(s, evidence...)
	v.does = wouldQuarantine
	if v.Publish && v.Verdict != integrity.Bad {
		v.does = wouldPublish
	}
	return nil
}

// plainFault is an error without the name of the file, which is told beside it.
func plainFault(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return strings.Replace(err.Error(), pe.Error(), pe.Err.Error(), 1)
	}
	return err.Error()
}
