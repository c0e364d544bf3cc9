package config

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Bounds of sources.
const (
	MaxSources = 1000
	MinEvery   = 10 * time.Second
)

// Source is a legacy server that files are migrated from.
type Source struct {
	// URL as "gateway migrate" takes it, without a password.
	URL string `yaml:"url"`
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

	// To is where the files go, STORAGE:FOLDER or FOLDER.
	To string `yaml:"to"`
	// Policy is a file; without one nothing is verified.
	Policy string `yaml:"policy"`
	// Include, Exclude, Since and MaxDepth choose files, as in "gateway migrate".
	Include  []string `yaml:"include"`
	Exclude  []string `yaml:"exclude"`
	Since    string   `yaml:"since"`
	MaxDepth int      `yaml:"max_depth"`
	// Overwrite, After and Resume are those of "gateway migrate".
	Overwrite bool   `yaml:"overwrite"`
	After     string `yaml:"after"`
	Resume    string `yaml:"resume"`
	// DeleteExtra is how many files one run may at most remove from the destination
	// because they are gone from the source; 0 is none.
	DeleteExtra int `yaml:"delete_extra"`

	// Every or Cron is when "gateway serve" runs it; neither: only by hand.
	Every time.Duration `yaml:"every"`
	Cron  string        `yaml:"cron"`
	// Reports is a folder for the reports of scheduled runs.
	Reports string `yaml:"reports"`
}

// Schedule says when something runs next after a time; the zero time is never.
type Schedule interface {
	Next(time.Time) time.Time
}

// Schedule is when the source runs, nil if only by hand.
func (s Source) Schedule() (Schedule, error) {
	switch {
	case s.Every != 0:
		return cron.Every(s.Every), nil
	case s.Cron == "":
		return nil, nil
	case strings.Contains(s.Cron, "="): // the parser's own TZ=ZONE
		return nil, fmt.Errorf("%q: times are those of this machine's zone; a zone cannot be given", s.Cron)
	}
	return cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(s.Cron)
}

// Destination is the storage and the folder of To.
func (s Source) Destination() (storage, folder string) {
	storage, folder, ok := strings.Cut(s.To, ":")
	if !ok {
		storage, folder = DefaultStorage, s.To
	}
	return storage, folder
}

// Password reads the password from where the source says it is, "" if nowhere.
func (s Source) Password() (string, error) {
	switch {
	case s.PasswordFile != "":
		data, err := os.ReadFile(s.PasswordFile)
		return strings.TrimRight(string(data), "\r\n"), err
	case s.PasswordEnv != "":
		password, ok := os.LookupEnv(s.PasswordEnv)
		if !ok {
			return "", fmt.Errorf("the environment variable %s is not set", s.PasswordEnv)
		}
		return password, nil
	}
	return "", nil
}

// SourceNames are the names of the sources, sorted.
func (c Config) SourceNames() []string {
	var names []string
	for name := range c.Sources {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Mistake is an *Error about a dotted key of this configuration.
func (c Config) Mistake(key string, err error) error {
	return &Error{File: c.file, Line: lineOf(c.raw, key), Msg: key + ": " + err.Error()}
}

func (c Config) validateSources(bad func(key, format string, args ...any)) {
	if len(c.Sources) > MaxSources {
		bad("sources", "there are %d, at most %d can be", len(c.Sources), MaxSources)
	}
	same := map[string]string{}
	for _, name := range c.SourceNames() {
		s, key := c.Sources[name], "sources."+name
		if !storageName.MatchString(name) {
			bad(key, "a source name has 1 to 32 of a-z, 0-9, _ and -")
		}
		s.validate(func(k, format string, args ...any) { bad(key+k, format, args...) })
		storage, folder := s.Destination()
		if _, ok := c.Storages[storage]; s.To != "" && !ok {
			bad(key+".to", "there is no storage %q; there are: %s", storage, strings.Join(c.StorageNames(), ", "))
		}
		if s.Reports != "" && c.exposes(s.Reports) {
			bad(key+".reports", "%s is where the gateway keeps keys and users", s.Reports)
		}
		job := s.URL + "\n" + storage + ":" + filepath.ToSlash(filepath.Clean(folder))
		if other, ok := same[job]; ok && s.URL != "" {
			bad(key, "%s has the same url and destination: they would be one job", other)
		}
		same[job] = name
	}
}

// validate checks what can be checked of one source alone, without the network.
func (s Source) validate(bad func(key, format string, args ...any)) {
	u, err := url.Parse(s.URL)
	hasPassword := false
	if err == nil && u.User != nil {
		_, hasPassword = u.User.Password()
	}
	switch {
	case s.URL == "":
		bad("", "url is missing: the server to migrate from, for example ftpes://user@host/folder")
	case err != nil: // its words quote the URL
		bad(".url", "it is not a URL; write for example ftpes://user@host/folder")
	case hasPassword:
		bad(".url", "leave the password out of it, and write password_file or password_env")
	case u.Scheme == "" || u.Host == "":
		bad(".url", "it needs a scheme and a host, for example ftpes://user@host/folder")
	}
	if s.To == "" {
		bad("", "to is missing: where the files go, STORAGE:FOLDER or FOLDER")
	}
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
	if s.MaxDepth < 0 {
		bad(".max_depth", "must be 0 (any depth) or more")
	}
	if s.DeleteExtra > 0 && (len(s.Include)+len(s.Exclude) > 0 || s.Since != "" || s.MaxDepth > 0) {
		bad(".delete_extra", "files that include, exclude, since or max_depth leave out would look as if they were gone; leave one of the two out")
	}
	if s.DeleteExtra < 0 {
		bad(".delete_extra", "must be 0 or more files")
	}
	if !oneOf(s.Resume, "", "auto", "never") {
		bad(".resume", "%q is not one of auto, never", s.Resume)
	}
	if s.Every != 0 && s.Cron != "" {
		bad(".cron", "every is given too; give one of them")
	}
	if s.Every != 0 && s.Every < MinEvery {
		bad(".every", "must be %v or longer", MinEvery)
	}
	schedule, err := s.Schedule()
	switch {
	case err != nil:
		bad(".cron", "%v; write five fields: minute, hour, day of the month, month, day of the week, for example \"15 3 * * *\"", err)
	case schedule != nil && schedule.Next(time.Now()).IsZero():
		bad(".cron", "%q never comes", s.Cron)
	}
}
