package report

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gateway/ftpbridge"
	"gateway/integrity"
	"gateway/internal/durable"
	"gateway/state"
)

// ErrFolder reports a folder that cannot take a report.
var ErrFolder = errors.New("the folder cannot take the report")

// Prepare makes the folder of a report, with mode 0700, and makes sure that
// files can be made in it. A folder that holds files with the names of a
// report's, but not the report of this migration, is refused: they are not
// overwritten. Nothing that is there is changed. The error is ErrFolder.
func Prepare(dir, source, destination string) error {
	refuse := func(err error) error { return fmt.Errorf("report: %w: %w", ErrFolder, err) }
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return refuse(err)
	}
	present := 0
	for _, name := range []string{JSONFile, HTMLFile, DigestsFile, StatementFile} {
		info, err := os.Lstat(filepath.Join(dir, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return refuse(err)
		case !info.Mode().IsRegular():
			return refuse(fmt.Errorf("%s is not a file", filepath.Join(dir, name)))
		default:
			present++
		}
	}
	if present > 0 {
		if err := sameMigration(dir, source, destination); err != nil {
			return refuse(err)
		}
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return refuse(err)
	}
	if err := errors.Join(f.Close(), os.Remove(f.Name())); err != nil {
		return refuse(err)
	}
	return nil
}

// sameMigration looks at the report that is in a folder. Only its beginning is
// read; it may be large.
func sameMigration(dir, source, destination string) error {
	const enough = 64 << 10
	f, err := os.Open(filepath.Join(dir, JSONFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has files of these names that are no report; name an empty folder", dir)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	is := map[string]string{}
	d := json.NewDecoder(io.LimitReader(f, enough))
	begin, err := d.Token()
	for err == nil && begin == json.Delim('{') && len(is) < 2 && d.More() {
		var name json.Token
		var value any
		if name, err = d.Token(); err == nil {
			err = d.Decode(&value)
		}
		if text, ok := value.(string); ok && (name == "source" || name == "destination") {
			is[name.(string)] = text
		}
	}
	if err != nil || len(is) < 2 {
		return fmt.Errorf("%s is not the report of a migration; name an empty folder", f.Name())
	}
	if is["source"] != source || is["destination"] != destination {
		return fmt.Errorf("%s is the report of the migration of %s to %s; name another folder",
			f.Name(), ftpbridge.Visible(is["source"]), ftpbridge.Visible(is["destination"]))
	}
	return nil
}

// Options says what to write where. All but Verifier are required.
type Options struct {
	Dir      string // see Prepare
	Report   ftpbridge.Report
	Store    state.Catalogue
	Signer   *integrity.ProvenanceSigner
	Verifier string // URI that the statement names; "" is ftpbridge.DefaultVerifier
}

// Write writes the four files, with mode 0600, over those of an earlier run. If
// it fails, files of two runs may be there, but no statement.
func Write(ctx context.Context, o Options) error {
	fail := func(err error) error { return fmt.Errorf("report: write %s: %w", o.Dir, err) }
	if err := os.Remove(filepath.Join(o.Dir, StatementFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	if err := durable.SyncDir(o.Dir); err != nil {
		return fail(err)
	}
	var digests Digests
	var subjects []integrity.Descriptor
	// The JSON comes first: by it Prepare knows the rest.
	for _, file := range []struct {
		name string
		fill func(io.Writer) error
	}{
		{JSONFile, func(w io.Writer) error {
			data, err := o.Report.JSON()
			if err == nil {
				_, err = w.Write(data)
			}
			return err
		}},
		{DigestsFile, func(w io.Writer) (err error) {
			digests, err = WriteDigests(ctx, w, o.Store, o.Report.Job, o.Report.Destination)
			return err
		}},
		{HTMLFile, func(w io.Writer) error { return WriteHTML(w, o.Report, digests) }},
	} {
		sum, err := writeHashed(filepath.Join(o.Dir, file.name), file.fill)
		if err != nil {
			return fail(err)
		}
		subjects = append(subjects, integrity.Descriptor{
			Name: file.name, Digest: map[string]string{string(integrity.SHA256): hex.EncodeToString(sum)},
		})
	}
	run := describe(o.Report, digests)
	run.Verifier.ID, run.TimeCreated = cmp.Or(o.Verifier, ftpbridge.DefaultVerifier), integrity.RunTime(time.Now())
	envelope, err := o.Signer.SignRun(integrity.NewRunStatement(run, subjects...))
	if err == nil {
		err = durable.WriteFile(filepath.Join(o.Dir, StatementFile), append(envelope, '\n'))
	}
	if err != nil {
		return fail(err)
	}
	return nil
}

// writeHashed makes a file durable and returns its SHA-256.
func writeHashed(file string, fill func(io.Writer) error) ([]byte, error) {
	h := sha256.New()
	err := durable.WriteStream(file, func(w io.Writer) error {
		out := bufio.NewWriterSize(io.MultiWriter(w, h), 64<<10)
		return errors.Join(fill(out), out.Flush())
	})
	return h.Sum(nil), err
}
