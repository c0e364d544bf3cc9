package report

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"gateway/ftpbridge"
	"gateway/integrity"
)

// ErrChanged reports a file that is not the one that was signed.
var ErrChanged = errors.New("it is not the file that was signed")

// describe is what the statement says of a run.
func describe(r ftpbridge.Report, d Digests) integrity.Run {
	count := func(t ftpbridge.Tally) integrity.RunCount { return integrity.RunCount(t) }
	list := func(l ftpbridge.List) integrity.RunCount { return integrity.RunCount{Files: l.Total, Bytes: l.Bytes} }
	run := integrity.Run{
		Source: r.Source, Destination: r.Destination,
		Started: integrity.RunTime(r.Started), Finished: integrity.RunTime(r.Finished),
		Complete: r.Complete(), Error: r.Error,
		Found: count(r.Found), Unchanged: count(r.Unchanged), Published: count(r.Published),
		Verdicts: r.Verdicts, Pending: count(r.Pending),
		Quarantined: list(r.Quarantined), Rejected: list(r.Rejected), Failed: list(r.Failed), Suspect: list(r.Suspect),
		Unread: r.Unread.Total, Skipped: r.Skipped.Total, Renamed: r.Renamed.Total,
		Digests:         integrity.RunCount{Files: d.Files, Bytes: d.Bytes},
		DigestsVerdicts: d.Verdicts,
	}
	if algorithm, digits, ok := strings.Cut(r.Policy, ":"); ok {
		run.Policy = map[string]string{algorithm: digits}
	}
	if run.Verdicts == nil {
		run.Verdicts = map[string]int64{}
	}
	return run
}

// FileCheck is what was found of one file of a report.
type FileCheck struct {
	Name string
	Err  error // why it does not hold
}

// Verify opens the statement in a folder and holds the files beside it against
// it. The error is for a statement that cannot be read or is not believed: the
// errors of ProvenanceKeys.OpenRun.
func Verify(dir string, keys *integrity.ProvenanceKeys) (*integrity.SignedRun, []FileCheck, error) {
	data, err := readLimited(filepath.Join(dir, StatementFile), integrity.MaxEnvelopeBytes)
	if err != nil {
		return nil, nil, fmt.Errorf("report: %w", err)
	}
	run, err := keys.OpenRun(data)
	if err != nil {
		return nil, nil, err
	}
	var checks []FileCheck
	for _, name := range []string{JSONFile, HTMLFile, DigestsFile} {
		checks = append(checks, FileCheck{name, verifyFile(dir, name, run.RunStatement)})
	}
	return run, checks, nil
}

func readLimited(file string, limit int64) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit+1)) // one byte more is refused by who parses it
}

func verifyFile(dir, name string, st *integrity.RunStatement) error {
	want, err := st.Digest(name)
	if err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	return compare(want, h.Sum(nil))
}

func compare(want, got []byte) error {
	if !bytes.Equal(want, got) {
		return fmt.Errorf("%w: its SHA-256 is %x, signed was %x", ErrChanged, got, want)
	}
	return nil
}

// SignedDigests yields the lines of the folder's file of digests. Only at the
// end is it known whether they are what was signed: the last error is then
// ErrChanged.
func SignedDigests(dir string, st *integrity.RunStatement) iter.Seq2[Digest, error] {
	return func(yield func(Digest, error) bool) {
		want, err := st.Digest(DigestsFile)
		if err != nil {
			yield(Digest{}, err)
			return
		}
		f, err := os.Open(filepath.Join(dir, DigestsFile))
		if err != nil {
			yield(Digest{}, err)
			return
		}
		defer f.Close()
		h := sha256.New()
		for d, err := range ReadDigests(io.TeeReader(f, h)) {
			if !yield(d, err) || err != nil {
				return
			}
		}
		if err := compare(want, h.Sum(nil)); err != nil {
			yield(Digest{}, fmt.Errorf("%s: %w", f.Name(), err))
		}
	}
}
