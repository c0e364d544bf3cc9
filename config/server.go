package config

import (
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"
)

// Server says how to log in to a legacy server and how to read its listings. It is
// the same for servers that are migrated from and for those that are pushed to.
type Server struct {
	// PasswordFile holds the password, or the environment variable PasswordEnv does.
	PasswordFile string `yaml:"password_file"`
	PasswordEnv  string `yaml:"password_env"`
	// CAFile and Fingerprint say whose certificate is good (FTPS).
	CAFile      string `yaml:"ca_file"`
	Fingerprint string `yaml:"fingerprint"`
	// KnownHosts, KeyFile with PassphraseFile, and LegacySSH are for sftp:// (SFTP).
	KnownHosts     string `yaml:"known_hosts"`
	KeyFile        string `yaml:"key_file"`
	PassphraseFile string `yaml:"passphrase_file"`
	LegacySSH      bool   `yaml:"legacy_ssh"`
	// Account is for servers that ask for one at login.
	Account string `yaml:"account"`
	// Active has the server open the data connections.
	Active bool `yaml:"active"`
	// Proxy is socks5://host:port or http://host:port, without a password.
	Proxy string `yaml:"proxy"`
	// Charset, Format and Timezone of the listings, and how the server names files;
	// "" finds them out.
	Charset  string `yaml:"charset"`
	Format   string `yaml:"format"`
	Timezone string `yaml:"timezone"`
	Dialect  string `yaml:"dialect"`
	// Connections is the most at once; 0 is 4. Timeout is how long one may be silent.
	Connections int           `yaml:"connections"`
	Timeout     time.Duration `yaml:"timeout"`
}

// Password reads the password from where the configuration says it is, "" if nowhere.
func (s Server) Password() (string, error) { return secretFrom(s.PasswordFile, s.PasswordEnv) }

// secretFrom reads a secret from a file, without the end of its line, or from an
// environment variable; "" if neither is named.
func secretFrom(file, env string) (string, error) {
	switch {
	case file != "":
		data, err := os.ReadFile(file)
		return strings.TrimRight(string(data), "\r\n"), err
	case env != "":
		secret, ok := os.LookupEnv(env)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set", env)
		}
		return secret, nil
	}
	return "", nil
}

// validate checks what can be checked without the network.
func (s Server) validate(bad func(key, format string, args ...any)) {
	if s.PasswordFile != "" && s.PasswordEnv != "" {
		bad(".password_env", "password_file is given too; give one of them")
	}
	if s.CAFile != "" && s.Fingerprint != "" {
		bad(".fingerprint", "ca_file is given too; give one of them")
	}
	if _, err := time.LoadLocation(s.Timezone); err != nil {
		bad(".timezone", "%q is not known; write for example Europe/Berlin", s.Timezone)
	}
	if p, err := url.Parse(s.Proxy); s.Proxy != "" {
		switch {
		case err != nil || p.Host == "":
			bad(".proxy", "it is not a URL; write socks5://host:port or http://host:port")
		case p.User != nil:
			bad(".proxy", "a user or password cannot be given here")
		}
	}
}

// validateURL checks the URL of a server; what it is for goes into the errors.
func validateURL(key, what, raw string, bad func(key, format string, args ...any)) {
	const example = "for example ftpes://user@host/folder"
	u, err := url.Parse(raw)
	hasPassword := false
	if err == nil && u.User != nil {
		_, hasPassword = u.User.Password()
	}
	switch {
	case raw == "":
		bad("", "%s is missing: %s, %s", key, what, example)
	case err != nil: // its words quote the URL
		bad("."+key, "it is not a URL; write %s", example)
	case hasPassword:
		bad("."+key, "leave the password out of it, and write password_file or password_env")
	case u.Scheme == "" || u.Host == "":
		bad("."+key, "it needs a scheme and a host, %s", example)
	}
}

// files are the fields that name files, to be made relative to the configuration's folder.
func (s *Server) files() []*string {
	return []*string{&s.PasswordFile, &s.CAFile, &s.KnownHosts, &s.KeyFile, &s.PassphraseFile}
}
