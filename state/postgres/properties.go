package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"gateway/state"
)

// The conditions for properties of a key ($1), of one of many ($1, with their first bytes $2), and
// of all below a key (between $1 and $2).
const (
	propertiesOfKey  = "key = $1 AND substr(key, 1, 1024) = substr($1::bytea, 1, 1024)"
	propertiesOfKeys = "key = ANY ($1) AND substr(key, 1, 1024) = ANY ($2)"
	propertiesBelow  = `key > $1 AND key < $2 AND substr(key, 1, 1024) >= substr($1::bytea, 1, 1024)
		AND substr(key, 1, 1024) <= substr($2::bytea, 1, 1024)`
)

// changeProperties runs do while nobody else changes properties, on any node.
func (s *Store) changeProperties(ctx context.Context, op string, do func(context.Context, pgx.Tx) error) error {
	return s.transact(ctx, op, func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended('gateway properties ' || current_schema(), 0))")
		if err != nil {
			return err
		}
		return do(ctx, tx)
	})
}

// PatchProperties implements state.Properties.
func (s *Store) PatchProperties(ctx context.Context, key, user string, changes ...state.PropertyChange) error {
	op := fmt.Sprintf("properties of %q", key)
	if err := state.ValidPropertyChanges(key, changes); err != nil {
		return wrap(err, op)
	}
	return s.changeProperties(ctx, op, func(ctx context.Context, tx pgx.Tx) error {
		b, sets := &pgx.Batch{}, false
		for _, c := range changes {
			b.Queue("DELETE FROM properties WHERE sha256(key) = sha256($1) AND sha256(space) = sha256($2) AND sha256(local) = sha256($3)",
				text(key), text(c.Space), text(c.Local))
			if c.Remove {
				continue
			}
			sets = true
			b.Queue("INSERT INTO properties (key, space, local, value, by_user, bytes) VALUES ($1, $2, $3, $4, $5, $6)",
				text(key), text(c.Space), text(c.Local), text(c.Value), text(user), int64(c.Size()+state.PropertyOverhead))
		}
		if err := tx.SendBatch(ctx, b).Close(); err != nil || !sets {
			return err
		}
		return checkProperties(ctx, tx, key, user)
	})
}

// checkProperties fails with ErrLimit where there are now too many.
func checkProperties(ctx context.Context, tx pgx.Tx, key, user string) error {
	var u state.PropertyUse
	err := tx.QueryRow(ctx, `SELECT count(*), coalesce(sum(bytes - $3), 0)::bigint,
		(SELECT coalesce(sum(bytes), 0)::bigint FROM properties WHERE by_user = $2) FROM properties WHERE `+propertiesOfKey,
		text(key), text(user), int64(state.PropertyOverhead)).Scan(&u.Count, &u.Bytes, &u.OfUser)
	if err != nil {
		return err
	}
	return u.Check()
}

// PropertiesOf implements state.Properties.
func (s *Store) PropertiesOf(ctx context.Context, keys ...string) (map[string][]state.Property, error) {
	if len(keys) > state.MaxPropertyKeys {
		return nil, wrap(state.ErrLimit, "properties")
	}
	var whole, heads [][]byte
	for _, key := range keys {
		whole, heads = append(whole, []byte(key)), append(heads, []byte(key[:min(headLength, len(key))]))
	}
	type property struct {
		key string
		state.Property
	}
	list, err := query(ctx, s, "properties", func(r pgx.Row) (p property, err error) {
		err = r.Scan((*text)(&p.key), (*text)(&p.Space), (*text)(&p.Local), (*text)(&p.Value))
		return p, err
	}, "SELECT key, space, local, value FROM properties WHERE "+propertiesOfKeys+" ORDER BY key, space, local", whole, heads)
	if err != nil {
		return nil, err
	}
	found := map[string][]state.Property{}
	for _, p := range list {
		found[p.key] = append(found[p.key], p.Property)
	}
	return found, nil
}

// HasProperties implements state.Properties.
func (s *Store) HasProperties(ctx context.Context, tree string) (has bool, err error) {
	err = s.read(ctx, fmt.Sprintf("properties of %q", tree), func(ctx context.Context) (err error) {
		has, err = hasProperties(ctx, s.pool, tree)
		return err
	})
	return has, err
}

func hasProperties(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, tree string) (has bool, err error) {
	err = db.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM properties WHERE `+propertiesBelow+`)
		OR EXISTS (SELECT 1 FROM properties WHERE key = $3 AND substr(key, 1, 1024) = substr($3::bytea, 1, 1024))`,
		append(belowArgs(tree), text(tree))...).Scan(&has)
	return has, err
}

// MoveProperties implements state.Properties.
func (s *Store) MoveProperties(ctx context.Context, from, to string) error {
	op := fmt.Sprintf("move properties of %q", from)
	if err := state.ValidPropertyMove(from, to); err != nil {
		return wrap(err, op)
	}
	for _, tree := range []string{from, to} {
		has, err := s.HasProperties(ctx, tree)
		if err != nil {
			return err
		}
		if has {
			return s.moveProperties(ctx, op, from, to)
		}
	}
	return nil
}

func (s *Store) moveProperties(ctx context.Context, op, from, to string) error {
	moved := false // an earlier try had some to move; its answer may have been lost
	return s.changeProperties(ctx, op, func(ctx context.Context, tx pgx.Tx) error {
		has, err := hasProperties(ctx, tx, from)
		if err != nil || moved && !has {
			return err
		}
		moved = has
		b := &pgx.Batch{}
		removeProperties(b, to)
		const move = "UPDATE properties SET key = $%d::bytea || substr(key, $%d) WHERE "
		b.Queue(fmt.Sprintf(move, 3, 4)+propertiesBelow, append(belowArgs(from), text(to), len(from)+1)...)
		b.Queue(fmt.Sprintf(move, 2, 3)+propertiesOfKey, text(from), text(to), len(from)+1)
		return tx.SendBatch(ctx, b).Close()
	})
}

// CopyProperties implements state.Properties.
func (s *Store) CopyProperties(ctx context.Context, from, to, user string) error {
	op := fmt.Sprintf("copy properties of %q", from)
	if err := state.ValidPropertyMove(from, to); err != nil {
		return wrap(err, op)
	}
	held, err := s.PropertiesOf(ctx, from, to)
	if err != nil || len(held) == 0 {
		return err
	}
	return s.changeProperties(ctx, op, func(ctx context.Context, tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "DELETE FROM properties WHERE "+propertiesOfKey, text(to)); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `INSERT INTO properties (key, space, local, value, by_user, bytes)
			SELECT $2, space, local, value, $3, bytes FROM properties WHERE `+propertiesOfKey, text(from), text(to), text(user))
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return checkProperties(ctx, tx, to, user)
	})
}

// RemoveProperties implements state.Properties.
func (s *Store) RemoveProperties(ctx context.Context, tree string) error {
	has, err := s.HasProperties(ctx, tree)
	if err != nil || !has {
		return err
	}
	return s.changeProperties(ctx, fmt.Sprintf("remove properties of %q", tree), func(ctx context.Context, tx pgx.Tx) error {
		b := &pgx.Batch{}
		removeProperties(b, tree)
		return tx.SendBatch(ctx, b).Close()
	})
}

func removeProperties(b *pgx.Batch, tree string) {
	b.Queue("DELETE FROM properties WHERE "+propertiesBelow, belowArgs(tree)...)
	b.Queue("DELETE FROM properties WHERE "+propertiesOfKey, text(tree))
}
