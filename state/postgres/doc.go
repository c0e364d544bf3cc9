// Package postgres is for keeping the gateway's state in PostgreSQL, so that
// several nodes can share it.
//
// It is empty so far: state lives in the embedded database (state/sqlite).
package postgres
