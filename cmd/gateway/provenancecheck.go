package main

import (
	"bytes"
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

	"gateway/integrity"
	"gateway/state"
	"gateway/storage"
)

// proofCheck is what became of the proof of one file.
type proofCheck struct {
	name  string               // as it is shown
	st    *integrity.Statement // nil if none could be read
	keyID string               // that signed st; "" if nothing believable did
	parts []proofPart
}

// proofPart is what was found of one part of a proof.
type proofPart struct {
	what string // signature, record, name, size, bytes
	good string // in words, if err is nil
	err  error  // why it does not hold
}

func (c *proofCheck) ok() bool {
	return !slices.ContainsFunc(c.parts, func(p proofPart) bool { return p.err != nil })
}

func (c *proofCheck) add(what string, err error, good string) {
	c.parts = append(c.parts, proofPart{what, good, err})
}

// open verifies the signature. What is in an unsigned statement is looked at
// too, so that everything that is wrong is told at once.
func (c *proofCheck) open(data []byte, keys *integrity.ProvenanceKeys) bool {
	signed, err := keys.Open(data)
	if err == nil {
		c.st, c.keyID = signed.Statement, signed.KeyID
		c.add("signature", nil, "by the gateway's key "+signed.KeyID)
		return true
	}
	if errors.Is(err, integrity.ErrUnsigned) {
		if st, perr := integrity.ParseStatement(data); perr == nil {
			c.st = st
		}
	}
	c.add("signature", err, "")
	return c.st != nil
}

// examineProof holds the record of a published file against its provenance, and
// both against the bytes in the storage. Only what keeps it from looking is an error.
func examineProof(ctx context.Context, at place, pub state.Publication, keys *integrity.ProvenanceKeys) (*proofCheck, error) {
	c := &proofCheck{name: at.String()}
	if c.open(pub.Provenance, keys) {
		c.add("record", recordFault(c.st, pub), "the catalogue says the same as the signed statement")
		c.add("name", targetFault(c.st, pub.Target), "published as "+printable(at.String()))
	}
	return c, c.bytes(ctx, at, pub)
}

// recordFault compares what the catalogue says with what was signed.
func recordFault(st *integrity.Statement, pub state.Publication) error {
	digest, err := st.Digest()
	if err != nil {
		return err
	}
	details := st.Predicate.Details
	switch {
	case !bytes.Equal(digest.Sum, pub.SHA256):
		return fmt.Errorf("the catalogue has SHA-256 %x, the statement %x", pub.SHA256, digest.Sum)
	case details.Size != pub.Size:
		return fmt.Errorf("the catalogue has %d bytes, the statement %d", pub.Size, details.Size)
	case string(details.Decision.Verdict) != pub.Verdict:
		return fmt.Errorf("the catalogue has the verdict %q, the statement %q", pub.Verdict, details.Decision.Verdict)
	case st.Subject[0].DownloadLocation != pub.Source:
		return fmt.Errorf("the catalogue has another source than the statement, %q", st.Subject[0].DownloadLocation)
	}
	return nil
}

// targetFault reports a statement about another file. Statements from before
// signing do not name where the file was published.
func targetFault(st *integrity.Statement, target string) error {
	got := st.Predicate.Details.Target
	if got == "" {
		got = target
		if name := st.Subject[0].Name; !strings.HasSuffix(target, "/"+name) && !strings.HasSuffix(target, ":"+name) {
			got = name
		}
	}
	if got != target {
		return fmt.Errorf("the statement is about %q", got)
	}
	return nil
}

// bytes holds the file in the storage against the record.
func (c *proofCheck) bytes(ctx context.Context, at place, pub state.Publication) error {
	f, err := at.store.Open(ctx, at.name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, storage.ErrIsDir) {
		c.add("bytes", errors.New("there is no such file in the storage any more"), "")
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	return c.compare(pub.Size, pub.SHA256, f.Info().Size, func(d *integrity.Digester) error {
		return hashAll(ctx, f, f.Info().Size, d)
	})
}

// compare reads the file only if it has the right size.
func (c *proofCheck) compare(size int64, sum []byte, got int64, hash func(*integrity.Digester) error) error {
	if got != size {
		c.add("size", fmt.Errorf("the file has %d bytes, %d were published", got, size), "")
		return nil
	}
	c.add("size", nil, fmt.Sprintf("%d bytes", size))
	d, err := integrity.NewDigester()
	if err == nil {
		err = hash(d)
	}
	if err != nil && !errors.Is(err, errChangedMeanwhile) {
		return err
	}
	if now := d.Sums()[0].Sum; err == nil && !bytes.Equal(now, sum) {
		err = fmt.Errorf("the file has SHA-256 %x, published was %x", now, sum)
	}
	c.add("bytes", err, fmt.Sprintf("SHA-256 %x", sum))
	return nil
}

// checkPublished is "provenance --check PATH".
func (p *provenanceCmd) checkPublished(e *env, at place, pub state.Publication, keys *integrity.ProvenanceKeys) error {
	c, err := examineProof(e.ctx, at, pub, keys)
	if err != nil {
		return fmt.Errorf("%s: %w", printable(at.String()), err)
	}
	return c.tell(e.out)
}

// checkExported is "provenance --check FILE.json --file PATH --key KEY". It
// knows nothing of any gateway.
func (p *provenanceCmd) checkExported(e *env) error {
	keys, err := givenKeys(p.Key)
	if err != nil {
		return err
	}
	data, err := readLimited(p.Path, integrity.MaxEnvelopeBytes)
	if err != nil {
		return err
	}
	c := &proofCheck{name: p.File}
	if !c.open(data, keys) {
		return c.tell(e.out)
	}
	c.add("name", baseFault(c.st, p.File), "the statement is about "+printable(c.st.Subject[0].Name))
	if err := c.localBytes(e.ctx, p.File); err != nil {
		return err
	}
	return c.tell(e.out)
}

// givenKeys reads --key. What cannot be a fingerprint is the name of a file.
func givenKeys(key string) (*integrity.ProvenanceKeys, error) {
	k := &integrity.ProvenanceKeys{}
	if _, err := integrity.ParseProvenanceKeyID(key); err == nil {
		return k, k.AddID(key)
	}
	data, err := readLimited(key, integrity.MaxProvenanceKeyBytes)
	if err != nil {
		return nil, fmt.Errorf("--key is neither a fingerprint (sha256: and 64 hex digits) nor a file: %w", err)
	}
	list, err := integrity.ParseProvenanceKeys(data)
	if err != nil {
		return nil, fmt.Errorf("--key %s: %w", key, err)
	}
	return k, k.Add(list...)
}

// baseFault compares the last element: whoever got a file has put it into a
// folder of their own.
func baseFault(st *integrity.Statement, file string) error {
	base := filepath.Base(file)
	_, subject := storage.Split(st.Subject[0].Name)
	_, path, _ := strings.Cut(st.Predicate.Details.Target, ":")
	if _, target := storage.Split(path); base != subject && base != target {
		return fmt.Errorf("the statement is about %q, not %q; if the file was renamed since, give it that name again", st.Subject[0].Name, base)
	}
	return nil
}

// localBytes holds a local file against the statement. Links to it are followed.
func (c *proofCheck) localBytes(ctx context.Context, file string) error {
	file, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Dir(file))
	if err != nil {
		return err
	}
	defer root.Close()
	base := filepath.Base(file)
	f, info, err := openLocal(root, base)
	if err != nil {
		return err
	}
	defer f.Close()
	digest, err := c.st.Digest()
	if err != nil {
		return err
	}
	return c.compare(c.st.Predicate.Details.Size, digest.Sum, info.Size(), func(d *integrity.Digester) error {
		return hashLocal(ctx, root, base, f, info, d)
	})
}

// tell says it in words; errSilent if something is wrong.
func (c *proofCheck) tell(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintln(&b, printable(c.name))
	for _, p := range c.parts {
		if p.err == nil {
			wrapHanging(&b, fmt.Sprintf("  ok     %-9s  ", p.what), fingerprintIndent, p.good)
		} else {
			wrapHanging(&b, fmt.Sprintf("  WRONG  %-9s  ", p.what), fingerprintIndent, printable(p.err.Error()))
		}
	}
	fmt.Fprintln(&b)
	if c.ok() {
		c.proves(&b)
	} else {
		wrapText(&b, "", "This proves nothing about the file. Do not use it on the word of this statement.")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	if !c.ok() {
		return errSilent
	}
	return nil
}

// proves says what the statement is good for, and what not.
func (c *proofCheck) proves(b *strings.Builder) {
	d := c.st.Predicate.Details
	v := d.Decision.Verdict
	wrapText(b, "It proves: ", fmt.Sprintf("the holder of this key, a gateway, had fetched exactly these bytes from %s by %s, judged them %s and published them under this name.",
		printable(c.st.Subject[0].DownloadLocation), stampText(d.Fetched), printable(string(v))))
	wrapText(b, "Because:   ", strings.TrimSuffix(printable(d.Decision.Reason), ".")+".")
	if does, not := v.Promise(); does != "" {
		wrapText(b, strings.ToUpper(string(v[:1]))+string(v[1:])+" means: ", does+". Not: "+not+".")
	}
}

// stampText shows a time of a statement.
func stampText(stamp string) string {
	t, err := time.Parse(time.RFC3339, stamp)
	if err != nil {
		return "an unknown time"
	}
	return t.UTC().Format(time.DateTime + " MST")
}
