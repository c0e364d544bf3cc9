// Package uploadid makes and recognises the random ids under which backends stage uploads. An id is a
// safe element of a path or key: 32 lower-case hexadecimal digits, and nothing else is one, so that what
// others put into a staging folder is never taken for a backend's own.
package uploadid

import (
	"crypto/rand"
	"encoding/hex"
)

// size is how many random bytes an id has: nobody can guess one, and no two are the same.
const size = 16

// New returns an id that no upload has.
func New() string {
	var b [size]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Valid reports whether id is spelled as New spells ids.
func Valid(id string) bool {
	b, err := hex.DecodeString(id)
	return err == nil && len(b) == size && hex.EncodeToString(b) == id
}
