package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"gateway/integrity"
	"gateway/state"
)

type provenanceCmd struct {
	Path      string `arg:"" optional:"" help:"A published file: a path, or STORAGE:PATH. With --file: what was exported." complete:"place"`
	Statement bool   `help:"Print the in-toto statement without its signature."`
	Check     bool   `help:"Check signature, name, size and bytes, and say what they prove."`
	File      string `help:"With --check: the local file that the exported provenance is about." type:"path" placeholder:"FILE"`
	Key       string `help:"With --file: the gateway's public key, a PEM file or its fingerprint." placeholder:"KEY"`
	PublicKey bool   `help:"Print the public keys, the one that signs now first."`
	RotateKey bool   `help:"Make a new key that signs from now on; what the old one signed stays believed."`
}

// Validate refuses flags that do not fit together.
func (p *provenanceCmd) Validate() error {
	n := 0
	for _, flag := range []bool{p.Statement, p.Check, p.PublicKey, p.RotateKey} {
		if flag {
			n++
		}
	}
	aboutKeys := p.PublicKey || p.RotateKey
	switch {
	case n > 1:
		return errors.New("--statement, --check, --public-key and --rotate-key exclude one another")
	case aboutKeys && p.Path != "":
		return errors.New("--public-key and --rotate-key take no path")
	case !aboutKeys && p.Path == "":
		return errors.New("name a published file, or use --public-key")
	case p.File != "" && !p.Check:
		return errors.New("--file goes with --check")
	case (p.File != "") != (p.Key != ""):
		return errors.New("--file and --key go together: without the gateway's key from elsewhere nothing is proved")
	}
	return nil
}

// Run does one of the five things.
func (p *provenanceCmd) Run(e *env) error {
	if p.File != "" {
		return p.checkExported(e)
	}
	g, err := e.open()
	if err != nil {
		return err
	}
	defer g.Close()
	switch {
	case p.PublicKey:
		return g.printPublicKeys(e.out)
	case p.RotateKey:
		s, err := g.provenanceKeys().rotate()
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(e.out, "new key: %s\n", integrity.ProvenanceKeyID(s.PublicKey()))
		return err
	}
	at, pub, err := g.published(e, p.Path)
	if err != nil {
		return err
	}
	keys, err := g.provenanceKeys().believed()
	if err != nil {
		return err
	}
	if p.Check {
		return p.checkPublished(e, at, pub, keys)
	}
	return p.export(e, at, pub, keys)
}

// published finds the record of a published file.
func (g *gateway) published(e *env, path string) (place, state.Publication, error) {
	at, err := g.place(path)
	if err != nil {
		return at, state.Publication{}, err
	}
	pub, err := g.ledger(at.storage).Publication(e.ctx, at.storage+":"+at.name)
	if errors.Is(err, state.ErrNotFound) {
		err = fmt.Errorf("%s was not published by a migration, so there is no provenance of it; see: gateway explain", printable(at.String()))
	}
	return at, pub, err
}

// export prints what is in the catalogue, if it is what this gateway once signed.
func (p *provenanceCmd) export(e *env, at place, pub state.Publication, keys *integrity.ProvenanceKeys) error {
	st, err := keys.Open(pub.Provenance)
	if err == nil {
		err = errors.Join(targetFault(st.Statement, pub.Target), recordFault(st.Statement, pub))
	}
	switch {
	case err == nil && p.Statement:
		return printLine(e.out, st.Payload)
	case err == nil:
		return printLine(e.out, pub.Provenance)
	case errors.Is(err, integrity.ErrUnsigned) && p.Statement:
		if bare, perr := integrity.ParseStatement(pub.Provenance); perr != nil {
			return fmt.Errorf("%s: %w", printable(at.String()), perr)
		} else if text, perr := bare.Marshal(); perr != nil {
			return perr
		} else {
			fmt.Fprintln(e.err, "warning: this statement was never signed: it proves nothing to others")
			return printLine(e.out, text)
		}
	case errors.Is(err, integrity.ErrUnsigned):
		return fmt.Errorf("%s: %w: it was recorded before the gateway signed; --statement prints it", printable(at.String()), err)
	}
	return fmt.Errorf("%s: what the catalogue holds is not exported: %w", printable(at.String()), err)
}

func printLine(w io.Writer, data []byte) error {
	_, err := w.Write(append(bytes.TrimRight(data, "\n"), '\n'))
	return err
}

// printPublicKeys prints PEM with a line of text before each key, which readers
// of PEM skip.
func (g *gateway) printPublicKeys(w io.Writer) error {
	p := g.provenanceKeys()
	s, err := p.signer()
	if err != nil {
		return err
	}
	keys, err := p.public()
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s signs now\n%s", integrity.ProvenanceKeyID(s.PublicKey()), integrity.ProvenanceKeyPEM(s.PublicKey()))
	for _, key := range keys {
		if !key.Equal(s.PublicKey()) {
			fmt.Fprintf(&b, "%s signed before\n%s", integrity.ProvenanceKeyID(key), integrity.ProvenanceKeyPEM(key))
		}
	}
	_, err = io.WriteString(w, b.String())
	return err
}
