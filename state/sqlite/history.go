package sqlite

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"

	"gateway/state"
)

// Generations implements state.History.
func (s *Store) Generations(ctx context.Context, source, name string) ([]state.Generation, error) {
	scan := func(r row) (g state.Generation, err error) {
		var date, seen sql.NullInt64
		g.Source, g.Name = source, name
		err = r.Scan(&g.SHA256, &date, &seen)
		g.Date, g.Seen = fromNano(date), fromNano(seen)
		return g, err
	}
	list, err := query(ctx, s.read, scan, `SELECT sha256, date, seen FROM generations
		WHERE source = ? AND name = ? ORDER BY id DESC LIMIT ?`, source, name, state.MaxGenerations)
	return list, wrap(err, fmt.Sprintf("generations of %q", name))
}

// AddGeneration implements state.History.
func (s *Store) AddGeneration(ctx context.Context, g state.Generation, after []byte) error {
	op := fmt.Sprintf("add a generation of %q", g.Name)
	if err := g.Valid(); err != nil {
		return wrap(err, op)
	}
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		return addGeneration(ctx, tx, g, after)
	}), op)
}

func addGeneration(ctx context.Context, tx *transaction, g state.Generation, after []byte) error {
	var id int64
	var newest []byte
	err := tx.QueryRowContext(ctx, `SELECT id, sha256 FROM generations
		WHERE source = ? AND name = ? ORDER BY id DESC LIMIT 1`, g.Source, g.Name).Scan(&id, &newest)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if !bytes.Equal(newest, after) {
		return state.ErrConflict
	}
	if bytes.Equal(newest, g.SHA256) {
		_, err = tx.ExecContext(ctx, "UPDATE generations SET date = ?, seen = ? WHERE id = ?", toNano(g.Date), toNano(g.Seen), id)
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO generations (source, name, sha256, date, seen) VALUES (?, ?, ?, ?, ?)",
		g.Source, g.Name, g.SHA256, toNano(g.Date), toNano(g.Seen))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `DELETE FROM generations WHERE source = ? AND name = ? AND id <= (
		SELECT id FROM generations WHERE source = ? AND name = ? ORDER BY id DESC LIMIT 1 OFFSET ?)`,
		g.Source, g.Name, g.Source, g.Name, state.MaxGenerations)
	return err
}
