package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"gateway/state"
)

// KeepEvidence implements state.EvidenceStore.
func (s *Store) KeepEvidence(ctx context.Context, e state.Evidence) error {
	op := fmt.Sprintf("keep evidence %q", e.Name)
	if err := e.Valid(); err != nil {
		return wrap(err, op)
	}
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		manifest, err := putBytes(ctx, tx, e.Manifest)
		if err != nil {
			return err
		}
		signature, err := putBytes(ctx, tx, e.Signature)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO evidence (source, name, manifest, signature, seen) VALUES (?, ?, ?, ?, ?)",
			e.Source, e.Name, manifest, signature, toNano(e.Seen))
		if err != nil {
			return err
		}
		return makeRoom(ctx, tx, s.maxEvidence)
	}), op)
}

// putBytes stores data, or finds it, as the last to go, and returns its digest.
func putBytes(ctx context.Context, tx *transaction, data []byte) ([]byte, error) {
	if data == nil {
		return nil, nil
	}
	hash := sha256.Sum256(data)
	sum := hash[:]
	r, err := tx.ExecContext(ctx, "UPDATE evidence_bytes SET used = (SELECT max(used) + 1 FROM evidence_bytes) WHERE sha256 = ?", sum)
	if err != nil {
		return nil, err
	}
	if n, err := r.RowsAffected(); err != nil || n > 0 {
		return sum, err
	}
	if _, err = tx.ExecContext(ctx, "INSERT INTO evidence_bytes (sha256, data) VALUES (?, ?)", sum, data); err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, "UPDATE evidence_total SET bytes = bytes + ?", len(data))
	return sum, err
}

// makeRoom removes what was used longest ago until the rest fits.
func makeRoom(ctx context.Context, tx *transaction, limit int64) error {
	for {
		var total int64
		if err := tx.QueryRowContext(ctx, "SELECT bytes FROM evidence_total").Scan(&total); err != nil || total <= limit {
			return err
		}
		var size int64
		err := tx.QueryRowContext(ctx, `DELETE FROM evidence_bytes WHERE used = (SELECT min(used) FROM evidence_bytes)
			RETURNING length(data)`).Scan(&size)
		if errors.Is(err, sql.ErrNoRows) {
			size, err = total, nil // the sum was wrong
		}
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE evidence_total SET bytes = bytes - ?", size); err != nil {
			return err
		}
	}
}

// LatestEvidence implements state.EvidenceStore.
func (s *Store) LatestEvidence(ctx context.Context, source, name string) (state.Evidence, error) {
	e := state.Evidence{Source: source, Name: name}
	var manifest, signature []byte
	var seen sql.NullInt64
	err := s.read.QueryRowContext(ctx, "SELECT manifest, signature, seen FROM evidence WHERE source = ? AND name = ?",
		source, name).Scan(&manifest, &signature, &seen)
	e.Seen = fromNano(seen)
	for _, part := range []struct {
		sum []byte
		to  *[]byte
	}{{manifest, &e.Manifest}, {signature, &e.Signature}} {
		if err == nil && part.sum != nil {
			*part.to, err = s.evidenceBytes(ctx, part.sum)
		}
	}
	if err != nil {
		return state.Evidence{}, wrap(err, fmt.Sprintf("evidence %q", name))
	}
	return e, nil
}

// EvidenceBytes implements state.EvidenceStore.
func (s *Store) EvidenceBytes(ctx context.Context, sha256 []byte) ([]byte, error) {
	data, err := s.evidenceBytes(ctx, sha256)
	return data, wrap(err, fmt.Sprintf("evidence sha256:%x", sha256))
}

func (s *Store) evidenceBytes(ctx context.Context, sum []byte) ([]byte, error) {
	data := []byte{}
	err := s.read.QueryRowContext(ctx, "SELECT data FROM evidence_bytes WHERE sha256 = ?", sum).Scan(&data)
	if data == nil {
		data = []byte{} // of an empty blob the driver makes nil
	}
	return data, err
}
