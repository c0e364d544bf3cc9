package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"gateway/state"
)

// ofName is the condition for the generations of a name.
const ofName = "sha256(source) = sha256($1) AND sha256(name) = sha256($2)"

// Generations implements state.History.
func (s *Store) Generations(ctx context.Context, source, name string) ([]state.Generation, error) {
	scan := func(r pgx.Row) (g state.Generation, err error) {
		var date, seen *int64
		g.Source, g.Name = source, name
		err = r.Scan(&g.SHA256, &date, &seen)
		g.Date, g.Seen = fromNano(date), fromNano(seen)
		return g, err
	}
	return query(ctx, s, fmt.Sprintf("generations of %q", name), scan,
		"SELECT sha256, date, seen FROM generations WHERE "+ofName+" ORDER BY id DESC LIMIT $3",
		text(source), text(name), state.MaxGenerations)
}

// AddGeneration implements state.History.
func (s *Store) AddGeneration(ctx context.Context, g state.Generation, after []byte) error {
	op := fmt.Sprintf("add a generation of %q", g.Name)
	if err := g.Valid(); err != nil {
		return wrap(err, op)
	}
	once := newOnce()
	return s.transact(ctx, op, func(ctx context.Context, tx pgx.Tx) error {
		return addGeneration(ctx, tx, g, after, once)
	})
}

func addGeneration(ctx context.Context, tx pgx.Tx, g state.Generation, after, once []byte) error {
	// One at a time, also where there is no line yet that could be locked.
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended(encode(sha256(sha256($1) || sha256($2)), 'hex'), 1))", text(g.Source), text(g.Name))
	if err != nil {
		return err
	}
	var id int64
	var newest, last []byte
	err = tx.QueryRow(ctx, "SELECT id, sha256, once FROM generations WHERE "+ofName+" ORDER BY id DESC LIMIT 1",
		text(g.Source), text(g.Name)).Scan(&id, &newest, &last)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	switch {
	case bytes.Equal(last, once): // the answer to this was lost
		return nil
	case !bytes.Equal(newest, after):
		return state.ErrConflict
	case bytes.Equal(newest, g.SHA256):
		_, err = tx.Exec(ctx, "UPDATE generations SET date = $1, seen = $2, once = $3 WHERE id = $4", toNano(g.Date), toNano(g.Seen), once, id)
		return err
	}
	_, err = tx.Exec(ctx, "INSERT INTO generations (once, source, name, sha256, date, seen) VALUES ($1, $2, $3, $4, $5, $6)",
		once, text(g.Source), text(g.Name), g.SHA256, toNano(g.Date), toNano(g.Seen))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "DELETE FROM generations WHERE "+ofName+` AND id <= (
		SELECT id FROM generations WHERE `+ofName+" ORDER BY id DESC LIMIT 1 OFFSET $3)",
		text(g.Source), text(g.Name), state.MaxGenerations)
	return err
}
