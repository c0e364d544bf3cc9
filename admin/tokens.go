package admin

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"gateway/config"
	"gateway/internal/durable"
)

// MaxTokens is how many tokens there can be.
const MaxTokens = 100

// tokenPrefix begins every token, so that scanners for leaked secrets can find them.
const tokenPrefix = "gwadm_"

// ErrToken is for a token that is not good; whether it is unknown, revoked or expired is only for the log.
var ErrToken = errors.New("the token is not good")

// Token is what a program logs in to the API with. What is kept of it is a hash, in a file NAME.yaml.
type Token struct {
	Name     string    `yaml:"-" json:"name"`
	Hash     string    `yaml:"sha256" json:"-"` // of the secret, in hexadecimal; it has 256 random bits, so a plain hash does
	ReadOnly bool      `yaml:"read_only,omitempty" json:"read_only"`
	Created  time.Time `yaml:"created" json:"created"`
	By       string    `yaml:"by,omitempty" json:"by"`                    // who made it
	Expires  time.Time `yaml:"expires,omitempty" json:"expires,omitzero"` // zero: never
	Revoked  time.Time `yaml:"revoked,omitempty" json:"revoked,omitzero"` // zero: it is good
}

// Good reports whether it can be used at a time.
func (t Token) Good(at time.Time) bool {
	return t.Revoked.IsZero() && (t.Expires.IsZero() || at.Before(t.Expires))
}

// Tokens is the folder of the tokens. It is read anew at each use. Safe for concurrent use.
type Tokens struct {
	dir string
	now func() time.Time
}

// OpenTokens makes the folder if it is missing.
func OpenTokens(dir string) (*Tokens, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("tokens folder: %w", err)
	}
	return &Tokens{dir: dir, now: time.Now}, nil
}

var tokenName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

func (s *Tokens) file(name string) string { return filepath.Join(s.dir, name+".yaml") }

// Create makes a token; lifetime 0 is for ever. secret is shown to who asked for it, and to nobody again.
// ErrConflict if there is one of that name that is still good.
func (s *Tokens) Create(ctx context.Context, t Token, lifetime time.Duration) (secret string, err error) {
	if !tokenName.MatchString(t.Name) {
		return "", fmt.Errorf("%w: %q cannot be the name of a token; use 1 to 32 of a-z, 0-9 and -", ErrInvalid, t.Name)
	}
	if lifetime < 0 {
		return "", fmt.Errorf("%w: a token cannot expire before it is made", ErrInvalid)
	}
	old, err := s.get(t.Name)
	switch {
	case err == nil && old.Good(s.now()):
		return "", fmt.Errorf("%w: there is a token %s already; revoke it, or choose another name", ErrConflict, t.Name)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	all, err := s.List(ctx)
	if all != nil { // mistakes in the others are no reason
		err = ctx.Err()
	}
	if err == nil && len(all) >= MaxTokens {
		err = fmt.Errorf("%w: there are %d tokens already; remove files of revoked ones from %s", ErrConflict, len(all), s.dir)
	}
	if err != nil {
		return "", err
	}
	text := rand.Text() + rand.Text() // 2*26 letters of 5 bits
	t.Hash, t.Created = hashToken(text), s.now().UTC().Truncate(time.Second)
	t.Expires, t.Revoked = time.Time{}, time.Time{}
	if lifetime > 0 {
		t.Expires = t.Created.Add(lifetime)
	}
	if err := s.put(t); err != nil {
		return "", err
	}
	return tokenPrefix + t.Name + "_" + text, nil
}

func hashToken(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func (s *Tokens) put(t Token) error {
	data, err := yaml.Marshal(t)
	if err == nil {
		err = durable.WriteFile(s.file(t.Name), data)
	}
	if err != nil {
		return fmt.Errorf("token %s: %w", t.Name, err)
	}
	return nil
}

func (s *Tokens) get(name string) (Token, error) {
	if !tokenName.MatchString(name) {
		return Token{}, fs.ErrNotExist
	}
	data, err := config.ReadFile(s.file(name))
	if err != nil {
		return Token{}, err
	}
	var t Token
	if err := config.Decode(s.file(name), data, &t); err != nil {
		return Token{}, err
	}
	t.Name = name
	return t, nil
}

// Check finds the token of a secret. known says that the secret was right, and the token is revoked or
// has expired: then it is not a guess. The error wraps ErrToken unless a file cannot be read.
func (s *Tokens) Check(secret string) (t Token, known bool, err error) {
	name, text, ok := strings.Cut(strings.TrimPrefix(secret, tokenPrefix), "_")
	if !ok || !strings.HasPrefix(secret, tokenPrefix) || len(text) > 256 {
		return Token{}, false, fmt.Errorf("%w: it is none of this gateway", ErrToken)
	}
	t, err = s.get(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Token{}, false, fmt.Errorf("%w: there is none of this name", ErrToken)
	}
	if err != nil {
		return Token{}, false, err
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(hashToken(text)), []byte(t.Hash)) != 1:
		return Token{}, false, fmt.Errorf("%w: it is not the one of this name", ErrToken)
	case !t.Good(s.now()):
		return t, true, fmt.Errorf("%w: token %s was revoked, or has expired", ErrToken, t.Name)
	}
	return t, true, nil
}

// List returns them all, by name, and with the error those whose files can be read: the others let nobody in.
func (s *Tokens) List(ctx context.Context) ([]Token, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("tokens folder: %w", err)
	}
	list := make([]Token, 0, len(entries))
	var mistakes []error
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".yaml")
		if !ok || !tokenName.MatchString(name) || ctx.Err() != nil {
			continue
		}
		t, err := s.get(name)
		if err != nil {
			mistakes = append(mistakes, err)
			continue
		}
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b Token) int { return cmp.Compare(a.Name, b.Name) })
	return list, errors.Join(append(mistakes, ctx.Err())...)
}

// Revoke ends a token; ErrNotFound. It stays in the list.
func (s *Tokens) Revoke(name string) error {
	t, err := s.get(name)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: no token %.40q", ErrNotFound, name)
	}
	if err != nil {
		return err
	}
	if t.Revoked.IsZero() {
		t.Revoked = s.now().UTC().Truncate(time.Second)
		return s.put(t)
	}
	return nil
}
