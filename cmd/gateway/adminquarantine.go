package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"gateway/admin"
	"gateway/ftpbridge"
	"gateway/integrity"
	"gateway/storage"
)

// operatorQuarantine shows the quarantine to the operator and decides for them, as "gateway quarantine" does.
type operatorQuarantine struct{ g *gateway }

func (o operatorQuarantine) held(storage string, f ftpbridge.Quarantined) admin.Held {
	return admin.Held{
		ID: f.ID, Storage: storage, Path: f.Target, Source: f.Job.Source, Size: f.Size, SHA256: hex.EncodeToString(f.SHA256),
		Verdict: f.Verdict, Reason: f.Reason, Since: f.Updated, Releases: f.Verdict != string(integrity.Bad),
	}
}

// Held implements admin.Quarantine.
func (o operatorQuarantine) Held(ctx context.Context) ([]admin.Held, error) {
	var list []admin.Held
	for _, name := range o.g.folders() {
		files, err := o.g.quarantine(name).List(ctx)
		if err != nil {
			return nil, err
		}
		for _, f := range files {
			list = append(list, o.held(name, f))
		}
	}
	return list, nil
}

// HeldFile implements admin.Quarantine.
func (o operatorQuarantine) HeldFile(ctx context.Context, storage, id string) (admin.Held, error) {
	if o.g.storages[storage] == nil {
		return admin.Held{}, fmt.Errorf("%w: no storage %.64q", admin.ErrNotFound, storage)
	}
	files, err := o.g.quarantine(storage).List(ctx)
	if err != nil {
		return admin.Held{}, err
	}
	for _, f := range files {
		if f.ID != id {
			continue
		}
		h := o.held(storage, f)
		h.Evidence, err = ftpbridge.Explain(ctx, o.g.ledger(storage), o.g.storages[storage], storage, f.Target)
		return h, err
	}
	return admin.Held{}, fmt.Errorf("%w: %.64q is not in quarantine; it may have been decided already", admin.ErrNotFound, id)
}

// Release implements admin.Quarantine.
func (o operatorQuarantine) Release(ctx context.Context, storage, id, by, reason string) error {
	signer, err := o.g.provenanceKeys().signer()
	if err != nil {
		return err
	}
	return saidLong(id, o.decide(ctx, storage, id, func(q ftpbridge.Quarantine) error {
		q.Signer, q.Why = signer, reason
		_, err := q.Release(ctx, id, by)
		return err
	}))
}

// saidLong adds what to do about a release that takes longer than a request: all of the file is read once more.
func saidLong(id string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%w: it takes longer than the page may wait, as the file is large or its storage slow; on the gateway's machine it has all the time: gateway quarantine release %s", err, id)
	}
	return err
}

// Reject implements admin.Quarantine.
func (o operatorQuarantine) Reject(ctx context.Context, storage, id, by, reason string) error {
	return o.decide(ctx, storage, id, func(q ftpbridge.Quarantine) error {
		q.Why = reason
		_, err := q.Reject(ctx, id, by)
		return err
	})
}

func (o operatorQuarantine) decide(ctx context.Context, store, id string, act func(ftpbridge.Quarantine) error) error {
	if _, err := o.HeldFile(ctx, store, id); err != nil { // by ID only: a name may stand for several
		return err
	}
	err := act(o.g.quarantine(store))
	switch {
	case errors.Is(err, ftpbridge.ErrNotQuarantined):
		return fmt.Errorf("%w: %w", admin.ErrNotFound, err)
	case errors.Is(err, ftpbridge.ErrBad), errors.Is(err, storage.ErrBusy):
		return fmt.Errorf("%w: %w", admin.ErrConflict, err)
	}
	return err
}
