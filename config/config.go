// Package config is the gateway's configuration: one typed value read from one
// YAML file, with defaults that work without any file, checked in one place.
//
// Every mistake is an [Error] that names the file and the line. Unknown keys
// are mistakes, so that a misspelt key cannot silently do nothing.
//
// Users are not here; they are files of their own (package auth), which use
// [Decode] too.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"regexp"
	"time"
)

// DefaultFile is the file that is read when none is named, if it exists.
const DefaultFile = "gateway.yaml"

// DefaultStorage is the name of the storage that exists without configuration.
const DefaultStorage = "default"

// Config is the whole configuration. Relative paths in a file are relative to
// the folder of that file.
type Config struct {
	// Data is the folder for the state database, host keys, certificate and users.
	Data string `yaml:"data"`
	// State is where it is kept if not in Data.
	State State `yaml:"state"`
	// Storages by name; "default" is the disk folder Data/files if it is not given.
	Storages map[string]Storage `yaml:"storages"`
	SFTP     SFTP               `yaml:"sftp"`
	HTTPS    HTTPS              `yaml:"https"`
	Admin    Admin              `yaml:"admin"`
	Page     Page               `yaml:"page"`
	Logins   Logins             `yaml:"logins"`
	Log      Log                `yaml:"log"`
	Audit    Audit              `yaml:"audit"`
	// Events are who is told of what happens to files, by name; Mail is for operators.
	Events map[string]EventHook `yaml:"events"`
	Mail   Mail                 `yaml:"mail"`
	// Sources are the servers that are migrated from, by name.
	Sources map[string]Source `yaml:"sources"`
	// Pushes are the folders whose files are sent on, by name.
	Pushes map[string]Push `yaml:"pushes"`
	// ShutdownTimeout is for how long transfers may go on when the gateway is stopped; 0 is 30 s.
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout"`
	Limits          Limits        `yaml:"limits"`
	// OIDC are the providers at which people log in to the page, by name.
	OIDC map[string]OIDC `yaml:"oidc"`

	file string // where it came from, "" for the defaults
	raw  []byte // what is in it, to find the lines of mistakes
}

// Listener is a front end's address.
type Listener struct {
	// Listen is host:port. Without a host it listens on every address.
	Listen string `yaml:"listen"`
	// Off leaves this front end out.
	Off bool `yaml:"off"`
	// Connections bounds those that are open, PerAddress those of one address (IPv6: one /64); 0 is
	// 1024 and 256.
	Connections int `yaml:"connections"`
	PerAddress  int `yaml:"connections_per_address"`
	Access      `yaml:",inline"`
}

// MaxConnections is the highest bound that Listener.Connections can be.
const MaxConnections = 1_000_000

// HTTPS is the HTTPS and WebDAV front end.
type HTTPS struct {
	Listener `yaml:",inline"`
	// Certificate and Key are PEM files; without them a self-signed one is made.
	Certificate string `yaml:"certificate"`
	Key         string `yaml:"key"`
	TLS         `yaml:",inline"`
}

// Logins slows down who guesses.
type Logins struct {
	// Failures within Window from one address (IPv6: one /64) until it is banned.
	Failures int           `yaml:"failures"`
	Window   time.Duration `yaml:"window"`
	Ban      time.Duration `yaml:"ban"`
}

// Log says what is logged, on standard error.
type Log struct {
	Level  string `yaml:"level"`  // debug, info, warn, error
	Format string `yaml:"format"` // text, json
}

// Default is what serve runs on without a configuration: loopback only.
func Default() Config {
	return Config{
		Data:   "gateway-data",
		SFTP:   SFTP{Listener: Listener{Listen: "127.0.0.1:2022"}},
		HTTPS:  HTTPS{Listener: Listener{Listen: "127.0.0.1:8443"}},
		Admin:  Admin{Listen: "127.0.0.1:9443"},
		Logins: Logins{Failures: 10, Window: 10 * time.Minute, Ban: 15 * time.Minute},
		Log:    Log{Level: "info", Format: "text"},
		Audit:  defaultAudit(),
	}
}

// Load reads file, or DefaultFile if file is "" and it exists, or gives the defaults.
// data, when not "", overrules the data folder.
func Load(file, data string) (Config, error) {
	named := file != ""
	if !named {
		file = DefaultFile
	}
	c := Default()
	raw, err := ReadFile(file)
	switch {
	case err == nil:
		c.file, c.raw = file, raw
		if err := Decode(file, raw, &c); err != nil {
			return Config{}, err
		}
		c.relativeTo(filepath.Dir(file))
	case named || !errors.Is(err, fs.ErrNotExist):
		return Config{}, fmt.Errorf("cannot read the configuration: %w; name one that is there with --config FILE", err)
	}
	if data != "" {
		c.Data = data
	}
	if c.Data == "" {
		return Config{}, &Error{File: file, Line: lineOf(raw, "data"), Msg: "data: is empty; name a folder, or leave the key out"}
	}
	if err := c.complete(); err != nil {
		return Config{}, err
	}
	return c, c.validate(raw)
}

// File is where the configuration came from, "" when no file was read.
func (c Config) File() string { return c.file }

func (c *Config) relativeTo(dir string) {
	join := func(p *string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	join(&c.Data)
	join(&c.State.PasswordFile)
	join(&c.Audit.Dir)
	for _, p := range c.SFTP.files() {
		join(p)
	}
	join(&c.HTTPS.Certificate)
	join(&c.HTTPS.Key)
	for _, p := range c.HTTPS.TLS.files() {
		join(p)
	}
	for name, s := range c.Storages {
		join(&s.Path)
		if s.S3 != nil {
			for _, p := range s.S3.files() {
				join(p)
			}
		}
		c.Storages[name] = s
	}
	for name, s := range c.Sources {
		for _, p := range append(s.files(), &s.Policy, &s.Reports) {
			join(p)
		}
		c.Sources[name] = s
	}
	for _, p := range c.Mail.files() {
		join(p)
	}
	for name, h := range c.Events {
		for _, p := range h.files() {
			join(p)
		}
		c.Events[name] = h
	}
	for name, p := range c.Pushes {
		for _, file := range p.files() {
			join(file)
		}
		c.Pushes[name] = p
	}
	for name, o := range c.OIDC {
		for _, file := range o.files() {
			join(file)
		}
		c.OIDC[name] = o
	}
}

func (c *Config) complete() error {
	abs, err := filepath.Abs(c.Data)
	if err != nil {
		return fmt.Errorf("data folder %q: %w", c.Data, err)
	}
	c.Data = abs
	c.completeOIDC()
	if c.Storages == nil {
		c.Storages = map[string]Storage{}
	}
	if _, ok := c.Storages[DefaultStorage]; !ok {
		c.Storages[DefaultStorage] = Storage{Path: filepath.Join(c.Data, "files")}
	}
	return nil
}

// MountsDir is the folder of what mounted sources need on this machine.
func (c Config) MountsDir() string { return filepath.Join(c.Data, "mounts") }

// ACMEDir is the folder of what is had by ACME.
func (c Config) ACMEDir() string { return filepath.Join(c.Data, "acme") }

// UsersDir is the folder of the user files.
func (c Config) UsersDir() string { return filepath.Join(c.Data, "users") }

// KeysDir is the folder of SSH host keys and the self-signed certificate.
func (c Config) KeysDir() string { return filepath.Join(c.Data, "keys") }

// StateFile is the embedded database, used unless State is shared.
func (c Config) StateFile() string { return filepath.Join(c.Data, "state.db") }

var storageName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,31}$`)

// validate checks values; raw is the file, to find the lines of mistakes.
func (c Config) validate(raw []byte) error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, &Error{File: c.file, Line: lineOf(raw, key), Msg: key + ": " + fmt.Sprintf(format, args...)})
	}
	c.State.validate(bad)
	c.validateStorages(bad)
	checkListen := func(key string, l Listener) {
		if l.Off {
			return
		}
		if _, err := net.ResolveTCPAddr("tcp", l.Listen); err != nil || l.Listen == "" {
			bad(key+".listen", "%q is not an address to listen on; write host:port, for example \"127.0.0.1:2022\" or \":2022\"", l.Listen)
		}
		l.Access.validate(key, bad)
		if l.Connections < 0 || l.Connections > MaxConnections {
			bad(key+".connections", "must be 1 to %d", MaxConnections)
		}
		if l.PerAddress < 0 || l.PerAddress > MaxConnections {
			bad(key+".connections_per_address", "must be 1 to %d", MaxConnections)
		}
	}
	checkListen("sftp", c.SFTP.Listener)
	checkListen("https", c.HTTPS.Listener)
	c.SFTP.validate(bad)
	c.Admin.validate(c, bad)
	c.Page.validate(bad)
	if _, port, _ := net.SplitHostPort(c.SFTP.Listen); c.SFTP.Listen == c.HTTPS.Listen && port != "0" && !c.SFTP.Off && !c.HTTPS.Off {
		bad("https.listen", "%q is the address of sftp too; give each its own port", c.HTTPS.Listen)
	}
	if c.SFTP.Off && c.HTTPS.Off {
		bad("sftp.off", "sftp and https are both off: nothing would be served")
	}
	if (c.HTTPS.Certificate == "") != (c.HTTPS.Key == "") {
		bad("https", "certificate and key go together; give both or neither")
	}
	c.HTTPS.TLS.validate(bad)
	if c.Logins.Failures < 1 {
		bad("logins.failures", "must be at least 1")
	}
	if c.Logins.Window <= 0 || c.Logins.Ban <= 0 {
		bad("logins", "window and ban must be longer than 0, for example 10m")
	}
	if !oneOf(c.Log.Level, "debug", "info", "warn", "error") {
		bad("log.level", "%q is not one of debug, info, warn, error", c.Log.Level)
	}
	if !oneOf(c.Log.Format, "text", "json") {
		bad("log.format", "%q is not one of text, json", c.Log.Format)
	}
	c.validateShutdown(bad)
	c.Audit.validate(bad)
	c.validateEvents(bad)
	c.validateSources(bad)
	c.validatePushes(bad)
	c.validateOIDC(bad)
	return errors.Join(errs...)
}

func oneOf(s string, of ...string) bool {
	for _, o := range of {
		if s == o {
			return true
		}
	}
	return false
}
