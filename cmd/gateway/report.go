package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"gateway/ftpbridge"
	bridgereport "gateway/ftpbridge/report"
	"gateway/integrity"
	"gateway/state"
	"gateway/storage"
)

// reportTime bounds how long a report is written after a run was interrupted.
const reportTime = 10 * time.Minute

// prepareReport refuses a folder that cannot take the report before anything is fetched.
func (m *migrateCmd) prepareReport(o ftpbridge.MigrateOptions) error {
	if m.Report == "" {
		return nil
	}
	if err := bridgereport.Prepare(m.Report, o.Source.Redacted(), ftpbridge.Destination(o.DestName, o.Folder)); err != nil {
		return fmt.Errorf("--report: %w", err)
	}
	return nil
}

// writeReport writes the report and says where it is. A run that ended early is
// reported too; one that did not begin is not.
func (m *migrateCmd) writeReport(e *env, g *gateway, r ftpbridge.Report, signer *integrity.ProvenanceSigner) error {
	if m.Report == "" || r.Started.IsZero() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.ctx), reportTime)
	defer cancel()
	if err := bridgereport.Write(ctx, bridgereport.Options{Dir: m.Report, Report: r, Store: g.state, Signer: signer}); err != nil {
		return err
	}
	page := filepath.Join(m.Report, bridgereport.HTMLFile)
	if m.JSON {
		return printJSON(e.out, map[string]any{"event": "written", "report": page})
	}
	_, err := fmt.Fprintf(e.out, "\nReport: %s\n", printable(page))
	return err
}

type reportCmd struct {
	Verify reportVerifyCmd `cmd:"" help:"Check the signature of a report, and the files that it is about."`
}

type reportVerifyCmd struct {
	Dir       string `arg:"" help:"Folder that gateway migrate --report wrote." type:"path"`
	Key       string `help:"The gateway's public key, a PEM file or its fingerprint (default: the keys of this gateway)." placeholder:"KEY"`
	Published bool   `help:"Read every file in its destination too, and compare its digest."`
}

// reportOutput tells what was found, as it is found.
type reportOutput struct {
	w     io.Writer
	wrong bool
	err   error // of w
}

func (o *reportOutput) tell(what string, fault error, good string) {
	var b strings.Builder
	mark, text := "ok   ", good
	if fault != nil {
		mark, text, o.wrong = "WRONG", printable(fault.Error()), true
	}
	wrapHanging(&b, fmt.Sprintf("  %s  %-11s  ", mark, what), fingerprintIndent, text)
	o.print(b.String())
}

func (o *reportOutput) print(text string) {
	if o.err == nil {
		_, o.err = io.WriteString(o.w, text)
	}
}

// Run checks, says what that proves, and fails if anything is wrong.
func (v *reportVerifyCmd) Run(e *env) error {
	var g *gateway
	var err error
	if v.Key == "" || v.Published {
		if g, err = e.open(); err != nil {
			return err
		}
		defer g.Close()
	}
	var keys *integrity.ProvenanceKeys
	if v.Key != "" {
		keys, err = givenKeys(v.Key)
	} else {
		keys, err = g.provenanceKeys().believed()
	}
	if err != nil {
		return err
	}
	o := &reportOutput{w: e.out}
	o.print(printable(v.Dir) + "\n")
	run, files, err := bridgereport.Verify(v.Dir, keys)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s has no signed report: %w", printable(v.Dir), err)
	}
	o.tell("signature", err, signedBy(run))
	for _, f := range files {
		o.tell(f.Name, f.Err, "as it was signed")
	}
	if v.Published && !o.wrong {
		if err := g.checkDigests(e.ctx, o, v.Dir, run); err != nil {
			return err
		}
	}
	return o.conclude(run)
}

func signedBy(run *integrity.SignedRun) string {
	if run == nil {
		return ""
	}
	return "by the gateway's key " + run.KeyID
}

// conclude says what the statement is good for; errSilent if something is wrong.
func (o *reportOutput) conclude(run *integrity.SignedRun) error {
	var b strings.Builder
	fmt.Fprintln(&b)
	if o.wrong {
		wrapText(&b, "", "Something is not as it was signed: see above.")
	} else {
		p := run.Predicate
		wrapText(&b, "It proves: ", fmt.Sprintf("the holder of this key, a gateway, had migrated %s to %s from %s to %s, and this is its report of that run. SHA256SUMS lists the %s files that it had published by then, %s.",
			printable(p.Source), printable(p.Destination), stampText(p.Started), stampText(p.Finished),
			humanize.Comma(p.Digests.Files), humanize.IBytes(uint64(max(p.Digests.Bytes, 0)))))
		if p.Complete {
			wrapText(&b, "Complete:  ", "yes, everything on the source was published.")
		} else {
			wrapText(&b, "Complete:  ", "no; the report says what is missing and why.")
		}
	}
	o.print(b.String())
	if o.err == nil && o.wrong {
		return errSilent
	}
	return o.err
}

// checkDigests holds what is in the storage now against the signed list. Only
// what keeps it from looking is an error.
func (g *gateway) checkDigests(ctx context.Context, o *reportOutput, dir string, run *integrity.SignedRun) error {
	at, err := g.place(run.Predicate.Destination)
	if err != nil {
		return err
	}
	var n, wrong int64
	for d, err := range bridgereport.SignedDigests(dir, run.RunStatement) {
		if err != nil {
			return err
		}
		fault, err := g.digestFault(ctx, at, d)
		if err != nil {
			return fmt.Errorf("%s: %w", printable(d.Name), err)
		}
		n++
		if fault != nil {
			wrong++
			o.tell("published", fmt.Errorf("%s: %w", d.Name, fault), "")
		}
	}
	if wrong == 0 {
		o.tell("published", nil, humanize.Comma(n)+" files in the destination are what was signed")
	} else {
		o.tell("published", fmt.Errorf("%s of %s files are not there as they were signed", humanize.Comma(wrong), humanize.Comma(n)), "")
	}
	return o.err
}

// digestFault says why a file is not the one that the report lists.
func (g *gateway) digestFault(ctx context.Context, folder place, d bridgereport.Digest) (fault, err error) {
	name, err := storage.CleanName(folder.name + "/" + d.Name)
	if err != nil {
		return fmt.Errorf("no storage has such a name: %w", err), nil
	}
	f, err := folder.store.Open(ctx, name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, storage.ErrIsDir) {
		return errors.New("there is no such file in the storage any more"), nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	digester, err := integrity.NewDigester()
	if err == nil {
		err = hashAll(ctx, f, f.Info().Size, digester)
	}
	if errors.Is(err, errChangedMeanwhile) {
		return err, nil
	}
	if err != nil {
		return nil, err
	}
	got := digester.Sums()[0].Sum
	if bytes.Equal(got, d.SHA256) {
		return nil, nil
	}
	pub, err := g.state.Publication(ctx, folder.storage+":"+name)
	switch {
	case errors.Is(err, state.ErrNotFound):
	case err != nil:
		return nil, err
	case bytes.Equal(pub.SHA256, got):
		return fmt.Errorf("a migration has published another version since, at %s", pub.Published.UTC().Format(time.DateTime+" MST")), nil
	}
	return fmt.Errorf("it has SHA-256 %x, published was %x", got, d.SHA256), nil
}
