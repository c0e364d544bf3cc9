package config

import "time"

// SFTP is the SSH front end. Of its bounds and times 0 means the default, which package sftpsrv has.
type SFTP struct {
	Listener `yaml:",inline"`
	// Unauthenticated bounds the connections that have not logged in.
	Unauthenticated int `yaml:"unauthenticated_connections"`
	// HandshakeTimeout is how long a login may take, from the beginning of the connection.
	HandshakeTimeout time.Duration `yaml:"handshake_timeout"`
	// KeepAlive is how often a client is asked whether it is there.
	KeepAlive time.Duration `yaml:"keepalive"`
	// IdleTimeout ends a connection without requests; 0 means never.
	IdleTimeout time.Duration `yaml:"idle_timeout"`
	// StallTimeout ends a connection whose client does not take its answers.
	StallTimeout time.Duration `yaml:"stall_timeout"`
	// Rekey is after how many bytes keys are made anew, such as 1GiB; "" means the default.
	Rekey string `yaml:"rekey"`
	// Banner is shown before the login.
	Banner string `yaml:"banner"`
	// UserCA is a file with the public keys of the authorities for user certificates, RevokedKeys one
	// with the keys and certificates that are not good any more (auth.NewTrust); "": none.
	UserCA      string `yaml:"user_ca"`
	RevokedKeys string `yaml:"revoked_keys"`
	// LegacyAlgorithms lets old clients in, and logs them.
	LegacyAlgorithms bool `yaml:"legacy_algorithms"`
}

// MaxBanner is the longest banner, in bytes.
const MaxBanner = 4096

// files are the fields that name files, to be made relative to the configuration's folder.
func (s *SFTP) files() []*string { return []*string{&s.UserCA, &s.RevokedKeys} }

func (s *SFTP) validate(bad func(key, format string, args ...any)) {
	if s.Unauthenticated < 0 || s.Unauthenticated > MaxConnections {
		bad("sftp.unauthenticated_connections", "must be 1 to %d", MaxConnections)
	}
	for _, d := range []struct {
		key   string
		value time.Duration
	}{
		{"handshake_timeout", s.HandshakeTimeout}, {"keepalive", s.KeepAlive},
		{"idle_timeout", s.IdleTimeout}, {"stall_timeout", s.StallTimeout},
	} {
		if d.value != 0 && d.value < time.Second {
			bad("sftp."+d.key, "must be 1s or longer")
		}
	}
	if len(s.Banner) > MaxBanner {
		bad("sftp.banner", "is longer than %d bytes", MaxBanner)
	}
}
