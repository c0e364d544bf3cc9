package config

import (
	"fmt"
	"net/url"
	"time"
)

// The bounds of State.
const (
	minLease       = time.Second
	maxLease       = time.Hour
	maxConnections = 1000
)

// State says where the state is kept: in a file of the data folder, or in a
// PostgreSQL database that several nodes share.
type State struct {
	// URL of the database, postgres://user@host/database, without the password.
	URL string `yaml:"url"`
	// PasswordFile holds the password, or the environment variable PasswordEnv does.
	PasswordFile string `yaml:"password_file"`
	PasswordEnv  string `yaml:"password_env"`
	// Lease is after how long the job of a node that died is another's; 0 is 30 s.
	Lease time.Duration `yaml:"lease"`
	// Connections is the most that this node has open to the database; 0 is 16.
	Connections int `yaml:"connections"`
}

// Shared reports whether the state is in a database that other nodes may share.
func (s State) Shared() bool { return s.URL != "" }

// Password reads the password from where the configuration says it is, "" if nowhere.
func (s State) Password() (string, error) {
	password, err := secretFrom(s.PasswordFile, s.PasswordEnv)
	if err != nil {
		return "", fmt.Errorf("the password of the database in state.url: %w", err)
	}
	return password, nil
}

func (s State) validate(bad func(key, format string, args ...any)) {
	if !s.Shared() {
		if s != (State{}) {
			bad("state", "url is missing: the database, for example postgres://gateway@db.example.org/gateway")
		}
		return
	}
	const example = "write for example postgres://gateway@db.example.org/gateway?sslmode=verify-full"
	u, err := url.Parse(s.URL)
	hasPassword := false
	if err == nil {
		if u.User != nil {
			_, hasPassword = u.User.Password()
		}
		hasPassword = hasPassword || u.Query().Has("password")
	}
	switch {
	case err != nil: // its words quote the URL
		bad("state.url", "it is not a URL; %s", example)
	case hasPassword:
		bad("state.url", "leave the password out of it, and write password_file or password_env")
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		bad("state.url", "it begins with %q; %s", u.Scheme+"://", example)
	}
	if s.PasswordFile != "" && s.PasswordEnv != "" {
		bad("state.password_env", "password_file is given too; give one of them")
	}
	if s.Lease != 0 && (s.Lease < minLease || s.Lease > maxLease) {
		bad("state.lease", "must be %v to %v, for example 30s", minLease, maxLease)
	}
	if s.Connections < 0 || s.Connections > maxConnections {
		bad("state.connections", "must be 1 to %d", maxConnections)
	}
}
