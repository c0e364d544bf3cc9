package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"

	"gateway/ftpbridge"
	"gateway/integrity"
	"gateway/state"
)

type explainCmd struct {
	Path string `arg:"" help:"A file: a path, or STORAGE:PATH." complete:"place"`
}

// Run prints what is known of the file.
func (x *explainCmd) Run(e *env) error {
	g, err := e.open()
	if err != nil {
		return err
	}
	defer g.Close()
	p, err := g.place(x.Path)
	if err != nil {
		return err
	}
	text, err := ftpbridge.Explain(e.ctx, g.ledger(p.storage), p.store, p.storage, p.name)
	if err != nil {
		return err
	}
	proof, err := g.explainProof(e.ctx, p)
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(e.out, text+proof)
	return err
}

// explainProof says whether others can be shown why a file was published.
func (g *gateway) explainProof(ctx context.Context, p place) (string, error) {
	pub, err := g.ledger(p.storage).Publication(ctx, p.storage+":"+p.name)
	if errors.Is(err, state.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	keys, err := g.provenanceKeys().believed()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	st, err := keys.Open(pub.Provenance)
	if err == nil {
		err = errors.Join(recordFault(st.Statement, pub), targetFault(st.Statement, pub.Target))
	}
	if err != nil {
		wrapHanging(&b, "  Proof:    ", fingerprintIndent, "does not hold: "+printable(err.Error()))
	} else {
		wrapHanging(&b, "  Proof:    ", fingerprintIndent, "signed by the gateway's key "+st.KeyID+"; \"gateway provenance\" exports it.")
	}
	return b.String(), nil
}

type quarantineCmd struct {
	List    quarantineListCmd    `cmd:"" help:"List files in quarantine, each with its reason."`
	Release quarantineReleaseCmd `cmd:"" help:"Publish a file from quarantine. One that was proved bad cannot be released."`
	Reject  quarantineRejectCmd  `cmd:"" help:"Throw a file in quarantine away."`
}

// quarantined is a file of the quarantine, as it is named on a command line.
type quarantined struct {
	File   string `arg:"" help:"ID from the list, or a path, or STORAGE:PATH." complete:"place"`
	Reason string `help:"Why; it is kept with the file." placeholder:"TEXT"`
}

func (g *gateway) quarantine(storage string) ftpbridge.Quarantine {
	return ftpbridge.Quarantine{Store: g.ledger(storage), Dest: g.storages[storage], DestName: storage}
}

type quarantineListCmd struct {
	JSON bool `help:"Print JSON lines." name:"json"`
}

// Run prints what is in quarantine in every storage.
func (l *quarantineListCmd) Run(e *env) error {
	g, err := e.open()
	if err != nil {
		return err
	}
	defer g.Close()
	n := 0
	for _, name := range g.folders() {
		files, err := g.quarantine(name).List(e.ctx)
		if err != nil {
			return err
		}
		for _, f := range files {
			n++
			if err := l.print(e, place{storage: name, name: f.Target}, f); err != nil {
				return err
			}
		}
	}
	if n == 0 && !l.JSON {
		_, err = fmt.Fprintln(e.out, "nothing is in quarantine")
	}
	return err
}

func (l *quarantineListCmd) print(e *env, at place, f ftpbridge.Quarantined) error {
	if l.JSON {
		return printJSON(e.out, map[string]any{
			"id": f.ID, "path": at.String(), "source": f.Job.Source, "size": f.Size,
			"verdict": f.Verdict, "reason": f.Reason, "since": f.Updated,
		})
	}
	_, err := fmt.Fprintf(e.out, "%s  %s  %s\n  %s, from %s\n  %s\n",
		f.ID, printable(at.String()), sizeText(f.Size), f.Verdict, f.Job.Source, printable(f.Reason))
	return err
}

type quarantineReleaseCmd struct{ quarantined }

// Run publishes the file and records who decided it.
func (r *quarantineReleaseCmd) Run(e *env) error {
	return r.decide(e, "released", true, ftpbridge.Quarantine.Release)
}

type quarantineRejectCmd struct{ quarantined }

// Run discards the file and records who decided it.
func (r *quarantineRejectCmd) Run(e *env) error {
	return r.decide(e, "rejected", false, ftpbridge.Quarantine.Reject)
}

type decision func(q ftpbridge.Quarantine, ctx context.Context, which, by string) (ftpbridge.Quarantined, error)

// decide looks for the file in the storage that is named, or for its ID in each.
// sign says that the decision is a proof.
func (r *quarantined) decide(e *env, done string, sign bool, act decision) error {
	g, err := e.open()
	if err != nil {
		return err
	}
	defer g.Close()
	if err := g.auditReady(); err != nil {
		return err
	}
	name, path, named := strings.Cut(r.File, ":")
	names := []string{name}
	if !named {
		names, path = g.folders(), r.File
	} else if _, err := g.place(r.File); err != nil {
		return err
	}
	var signer *integrity.ProvenanceSigner
	if sign {
		if signer, err = g.provenanceKeys().signer(); err != nil {
			return err
		}
	}
	for _, name := range names {
		q := g.quarantine(name)
		q.Signer, q.Why = signer, r.Reason
		f, err := act(q, e.ctx, path, operator())
		if errors.Is(err, ftpbridge.ErrNotQuarantined) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(e.out, "%s %s\n", done, printable(place{storage: name, name: f.Target}.String()))
		return err
	}
	return fmt.Errorf("%s is not in quarantine; see: gateway quarantine list", printable(r.File))
}

// operator is who runs the command, for the record: by sudo it is not root, nor the owner of the data folder.
func operator() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "operator"
}
