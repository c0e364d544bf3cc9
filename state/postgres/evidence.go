package postgres

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"gateway/state"
)

// KeepEvidence implements state.EvidenceStore.
func (s *Store) KeepEvidence(ctx context.Context, e state.Evidence) error {
	op := fmt.Sprintf("keep evidence %q", e.Name)
	if err := e.Valid(); err != nil {
		return wrap(err, op)
	}
	return s.transact(ctx, op, func(ctx context.Context, tx pgx.Tx) error {
		var total int64
		if err := tx.QueryRow(ctx, "SELECT bytes FROM evidence_total FOR UPDATE").Scan(&total); err != nil {
			return err
		}
		var sums [2][]byte
		for i, data := range [][]byte{e.Manifest, e.Signature} {
			var added int64
			var err error
			if sums[i], added, err = putBytes(ctx, tx, data); err != nil {
				return err
			}
			total += added
		}
		_, err := tx.Exec(ctx, `INSERT INTO evidence (source, name, manifest, signature, seen) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (sha256(source), sha256(name)) DO UPDATE
			SET manifest = excluded.manifest, signature = excluded.signature, seen = excluded.seen`,
			text(e.Source), text(e.Name), sums[0], sums[1], toNano(e.Seen))
		if err != nil {
			return err
		}
		if total, err = makeRoom(ctx, tx, total, s.maxEvidence); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE evidence_total SET bytes = $1", total)
		return err
	})
}

// putBytes stores data, or finds it, as the last to go, and returns its digest and
// how many bytes more are kept.
func putBytes(ctx context.Context, tx pgx.Tx, data []byte) (sum []byte, added int64, err error) {
	if data == nil {
		return nil, 0, nil
	}
	hash := sha256.Sum256(data)
	sum = hash[:]
	tag, err := tx.Exec(ctx, "UPDATE evidence_bytes SET used = DEFAULT WHERE sha256 = $1", sum)
	if err != nil || tag.RowsAffected() > 0 {
		return sum, 0, err
	}
	_, err = tx.Exec(ctx, "INSERT INTO evidence_bytes (sha256, data) VALUES ($1, $2)", sum, data)
	return sum, int64(len(data)), err
}

// makeRoom removes what was used longest ago until the rest fits, and returns its
// size.
func makeRoom(ctx context.Context, tx pgx.Tx, total, limit int64) (int64, error) {
	for total > limit {
		var size int64
		err := tx.QueryRow(ctx, `DELETE FROM evidence_bytes WHERE used = (SELECT min(used) FROM evidence_bytes)
			RETURNING length(data)`).Scan(&size)
		if errors.Is(err, pgx.ErrNoRows) {
			return 0, nil // the sum was wrong
		}
		if err != nil {
			return total, err
		}
		total -= size
	}
	return total, nil
}

// LatestEvidence implements state.EvidenceStore.
func (s *Store) LatestEvidence(ctx context.Context, source, name string) (state.Evidence, error) {
	op := fmt.Sprintf("evidence %q", name)
	type sums struct {
		manifest, signature []byte
		seen                *int64
	}
	of, err := queryRow(ctx, s, op, func(r pgx.Row) (v sums, err error) {
		err = r.Scan(&v.manifest, &v.signature, &v.seen)
		return v, err
	}, "SELECT manifest, signature, seen FROM evidence WHERE "+ofName, text(source), text(name))
	if err != nil {
		return state.Evidence{}, err
	}
	e := state.Evidence{Source: source, Name: name, Seen: fromNano(of.seen)}
	for _, part := range []struct {
		sum []byte
		to  *[]byte
	}{{of.manifest, &e.Manifest}, {of.signature, &e.Signature}} {
		if part.sum == nil {
			continue
		}
		if *part.to, err = s.evidenceBytes(ctx, op, part.sum); err != nil {
			return state.Evidence{}, err
		}
	}
	return e, nil
}

// EvidenceBytes implements state.EvidenceStore.
func (s *Store) EvidenceBytes(ctx context.Context, sha256 []byte) ([]byte, error) {
	return s.evidenceBytes(ctx, fmt.Sprintf("evidence sha256:%x", sha256), sha256)
}

func (s *Store) evidenceBytes(ctx context.Context, op string, sum []byte) ([]byte, error) {
	return queryRow(ctx, s, op, func(r pgx.Row) (data []byte, err error) {
		err = r.Scan(&data)
		return data, err
	}, "SELECT data FROM evidence_bytes WHERE sha256 = $1", sum)
}
