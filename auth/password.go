package auth

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/alexedwards/argon2id"
)

// Bounds of passwords and of checking them.
const (
	MinPassword = 8    // characters for a new password
	MaxPassword = 1024 // bytes; longer ones are refused unhashed
	// maxHashMemory bounds what a user file may ask for, in KiB.
	maxHashMemory = 1 << 20
	// hashWait is how long a login waits for its turn before ErrBusy.
	hashWait = 15 * time.Second
)

// argonParams is the second recommended option of RFC 9106, section 4.
func argonParams() *argon2id.Params {
	return &argon2id.Params{Memory: 64 * 1024, Iterations: 3, Parallelism: 4, SaltLength: 16, KeyLength: 32}
}

// HashPassword makes the PHC string for a user file.
func HashPassword(password string) (string, error) {
	if n := len([]rune(password)); n < MinPassword || len(password) > MaxPassword {
		return "", fmt.Errorf("a password has %d characters to %d bytes", MinPassword, MaxPassword)
	}
	return argon2id.CreateHash(password, argonParams())
}

// GeneratePassword makes a password of 120 random bits without look-alike letters.
func GeneratePassword() string {
	const letters = "abcdefghjkmnpqrstuvwxyz23456789-" // 32, so that 5 bits choose one evenly
	raw := make([]byte, 24)
	_, _ = rand.Read(raw) // never fails (crypto/rand)
	for i, b := range raw {
		raw[i] = letters[b&31]
		if i == 0 || i == len(raw)-1 {
			raw[i] = letters[b&15] // no dash at either end
		}
	}
	return string(raw)
}

func checkHash(hash string) error {
	p, _, key, err := argon2id.DecodeHash(hash)
	if err != nil || len(key) < 16 {
		return errors.New("the password is not an argon2id hash; set it with: gateway user passwd NAME")
	}
	// RFC 9106 section 3.1 wants at least one of each; the library panics without.
	if p.Iterations < 1 || p.Parallelism < 1 {
		return errors.New("the password hash has t=0 or p=0; set it with: gateway user passwd NAME")
	}
	if p.Memory > maxHashMemory || p.Iterations > 100 {
		return fmt.Errorf("the password hash asks for too much work (at most %d KiB and 100 iterations)", maxHashMemory)
	}
	return nil
}

// hasher bounds how many hashes are computed at once, since each takes 64 MiB,
// and gives unknown users a hash to be compared with.
type hasher struct {
	slots chan struct{}
	dummy string
}

func newHasher() (*hasher, error) {
	dummy, err := HashPassword(GeneratePassword())
	if err != nil {
		return nil, err
	}
	return &hasher{slots: make(chan struct{}, max(2, runtime.NumCPU())), dummy: dummy}, nil
}

// matches compares; an empty hash costs the same and never matches.
func (h *hasher) matches(ctx context.Context, password, hash string) (bool, error) {
	if len(password) > MaxPassword {
		return false, nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, hashWait, ErrBusy)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	known := hash != ""
	if !known {
		hash = h.dummy
	}
	ok, err := argon2id.ComparePasswordAndHash(password, hash)
	return ok && known, err
}
