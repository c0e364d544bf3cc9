package sqlite

import "database/sql"

var PageQuery = pageQuery

func (s *Store) Reader() *sql.DB { return s.read }
func (s *Store) Writer() *sql.DB { return s.write }
