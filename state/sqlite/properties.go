package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"gateway/state"
)

// treeWhere is the condition for the properties of a key and of all below it.
func treeWhere(tree string) (string, []any) {
	after, before := belowKey(tree)
	return "(key = ? OR key > ? AND key < ?)", []any{tree, after, before}
}

// PatchProperties implements state.Properties.
func (s *Store) PatchProperties(ctx context.Context, key, user string, changes ...state.PropertyChange) error {
	op := fmt.Sprintf("properties of %q", key)
	if err := state.ValidPropertyChanges(key, changes); err != nil {
		return wrap(err, op)
	}
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		sets := false
		for _, c := range changes {
			var err error
			if c.Remove {
				_, err = tx.ExecContext(ctx, "DELETE FROM properties WHERE key = ? AND space = ? AND local = ?", key, c.Space, c.Local)
			} else {
				sets = true
				_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO properties (key, space, local, value, by_user, bytes) VALUES (?, ?, ?, ?, ?, ?)",
					key, c.Space, c.Local, c.Value, user, c.Size()+state.PropertyOverhead)
			}
			if err != nil {
				return err
			}
		}
		if !sets {
			return nil
		}
		return checkProperties(ctx, tx, key, user)
	}), op)
}

// checkProperties fails with ErrLimit where there are now too many.
func checkProperties(ctx context.Context, tx *transaction, key, user string) error {
	var u state.PropertyUse
	err := tx.QueryRowContext(ctx, `SELECT count(*), coalesce(sum(bytes - ?), 0),
		(SELECT coalesce(sum(bytes), 0) FROM properties WHERE by_user = ?) FROM properties WHERE key = ?`,
		state.PropertyOverhead, user, key).Scan(&u.Count, &u.Bytes, &u.OfUser)
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
	args := make([]any, len(keys))
	for i, key := range keys {
		args[i] = key
	}
	found := map[string][]state.Property{}
	_, err := query(ctx, s.read, func(r row) (struct{}, error) {
		var key string
		var p state.Property
		err := r.Scan(&key, &p.Space, &p.Local, &p.Value)
		found[key] = append(found[key], p)
		return struct{}{}, err
	}, "SELECT key, space, local, value FROM properties WHERE key IN ("+marks(len(keys))+") ORDER BY key, space, local", args...)
	if err != nil {
		return nil, wrap(err, "properties")
	}
	return found, nil
}

const hasPropertiesQuery = `SELECT 1 FROM properties WHERE key > ?1 AND key < ?2
	UNION ALL SELECT 1 FROM properties WHERE key = ?3 LIMIT 1`

// HasProperties implements state.Properties.
func (s *Store) HasProperties(ctx context.Context, tree string) (bool, error) {
	after, before := belowKey(tree)
	var one int
	err := s.reads.hasProperties.QueryRowContext(ctx, after, before, tree).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, wrap(err, fmt.Sprintf("properties of %q", tree))
}

// hasAny is HasProperties of several trees.
func (s *Store) hasAny(ctx context.Context, trees ...string) (bool, error) {
	for _, tree := range trees {
		if has, err := s.HasProperties(ctx, tree); has || err != nil {
			return has, err
		}
	}
	return false, nil
}

// MoveProperties implements state.Properties. Where there are none it writes nothing.
func (s *Store) MoveProperties(ctx context.Context, from, to string) error {
	err := state.ValidPropertyMove(from, to)
	if err != nil {
		return wrap(err, "move properties")
	}
	if has, err := s.hasAny(ctx, from, to); !has || err != nil {
		return err
	}
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		if err := removeProperties(ctx, tx, to); err != nil {
			return err
		}
		where, args := treeWhere(from)
		_, err := tx.ExecContext(ctx, "UPDATE properties SET key = ? || substr(key, length(?) + 1) WHERE "+where,
			append([]any{to, from}, args...)...)
		return err
	}), fmt.Sprintf("move properties of %q", from))
}

// CopyProperties implements state.Properties. Where there are none it writes nothing.
func (s *Store) CopyProperties(ctx context.Context, from, to, user string) error {
	err := state.ValidPropertyMove(from, to)
	if err != nil {
		return wrap(err, "copy properties")
	}
	held, err := s.PropertiesOf(ctx, from, to)
	if err != nil || len(held) == 0 {
		return err
	}
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM properties WHERE key = ?", to); err != nil {
			return err
		}
		r, err := tx.ExecContext(ctx, `INSERT INTO properties (key, space, local, value, by_user, bytes)
			SELECT ?, space, local, value, ?, bytes FROM properties WHERE key = ?`, to, user, from)
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); n == 0 || err != nil {
			return err
		}
		return checkProperties(ctx, tx, to, user)
	}), fmt.Sprintf("copy properties of %q", from))
}

// RemoveProperties implements state.Properties. Where there are none it writes nothing.
func (s *Store) RemoveProperties(ctx context.Context, tree string) error {
	if has, err := s.HasProperties(ctx, tree); !has || err != nil {
		return err
	}
	return wrap(s.writer.apply(ctx, func(ctx context.Context, tx *transaction) error {
		return removeProperties(ctx, tx, tree)
	}), fmt.Sprintf("remove properties of %q", tree))
}

func removeProperties(ctx context.Context, tx *transaction, tree string) error {
	where, args := treeWhere(tree)
	_, err := tx.ExecContext(ctx, "DELETE FROM properties WHERE "+where, args...)
	return err
}
