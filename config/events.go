package config

import (
	"maps"
	"slices"
	"time"
)

// Bounds of events.
const (
	MaxHooks        = 100
	maxEventTimeout = time.Hour
	maxGiveUp       = 30 * 24 * time.Hour
	maxTries        = 1000
	// MailHook is the name of the hook that mail is, which no other can have.
	MailHook = "mail"
)

// EventHook is who is told of what happens to files: a command or a URL.
type EventHook struct {
	// On are the kinds of events.
	On []string `yaml:"on"`
	// Paths narrows it to files, STORAGE:PATTERN or PATTERN of the default storage; Users to who did it.
	Paths []string `yaml:"paths"`
	Users []string `yaml:"users"`
	// Command is a program with its arguments.
	Command []string `yaml:"command"`
	// URL is a webhook, signed by the secret in SecretFile or in the environment variable SecretEnv.
	URL        string `yaml:"url"`
	SecretFile string `yaml:"secret_file"`
	SecretEnv  string `yaml:"secret_env"`
	// CAFile has the authorities of its certificate; "" is the system's.
	CAFile string `yaml:"ca_file"`
	// Timeout is how long one try may take; 0 is 30 s.
	Timeout time.Duration `yaml:"timeout"`
	// GiveUp is after how long an event is not tried any more, 0 is 72 h; Tries after how many that were refused, 0 is 5.
	GiveUp time.Duration `yaml:"give_up"`
	Tries  int           `yaml:"tries"`
}

// Mail says how mail is sent when something needs an operator.
type Mail struct {
	// Server is host:port; "" sends none.
	Server string   `yaml:"server"`
	From   string   `yaml:"from"`
	To     []string `yaml:"to"`
	// Username, if the server wants a login, with the password in PasswordFile or the environment variable PasswordEnv.
	Username     string `yaml:"username"`
	PasswordFile string `yaml:"password_file"`
	PasswordEnv  string `yaml:"password_env"`
	// TLS is starttls, tls, or none; "" is starttls.
	TLS    string `yaml:"tls"`
	CAFile string `yaml:"ca_file"`
	// Every is how often one is sent at most; 0 is 15 min.
	Every time.Duration `yaml:"every"`
	// On are the kinds of events; none is quarantine and job-failed.
	On []string `yaml:"on"`
}

// EventNames are the names of the hooks, sorted.
func (c Config) EventNames() []string { return slices.Sorted(maps.Keys(c.Events)) }

// Secret reads the secret.
func (h EventHook) Secret() (string, error) { return secretFrom(h.SecretFile, h.SecretEnv) }

// Password reads the password, "" if there is none.
func (m Mail) Password() (string, error) { return secretFrom(m.PasswordFile, m.PasswordEnv) }

// files are the fields that name files, to be made relative to the configuration's folder.
func (h *EventHook) files() []*string { return []*string{&h.SecretFile, &h.CAFile} }

func (m *Mail) files() []*string { return []*string{&m.PasswordFile, &m.CAFile} }

func (c Config) validateEvents(bad func(key, format string, args ...any)) {
	if len(c.Events) > MaxHooks {
		bad("events", "there are %d, at most %d can be", len(c.Events), MaxHooks)
	}
	for _, name := range c.EventNames() {
		key := "events." + name
		if !storageName.MatchString(name) || name == MailHook {
			bad(key, "a name has 1 to 32 of a-z, 0-9, _ and -, and is not %q", MailHook)
		}
		c.Events[name].validate(func(k, format string, args ...any) { bad(key+k, format, args...) })
		for _, p := range c.Events[name].Paths {
			storage, _ := splitPlace(p)
			if _, ok := c.Storages[storage]; !ok {
				bad(key+".paths", "%q: there is no storage %q", p, storage)
			}
		}
	}
	c.Mail.validate(bad)
}

func (h EventHook) validate(bad func(key, format string, args ...any)) {
	if len(h.On) == 0 {
		bad(".on", "is missing: the kinds of events, for example [upload, publish]")
	}
	if (len(h.Command) == 0) == (h.URL == "") {
		bad("", "give either command or url")
	}
	oneSecret := (h.SecretFile == "") != (h.SecretEnv == "")
	if h.URL != "" && !oneSecret {
		bad("", "a url needs secret_file or secret_env, one of them: what signs the requests")
	}
	if h.URL == "" && (h.SecretFile != "" || h.SecretEnv != "" || h.CAFile != "") {
		bad("", "secret_file, secret_env and ca_file are for a url")
	}
	if h.Timeout < 0 || h.Timeout > maxEventTimeout {
		bad(".timeout", "must be at most %v", maxEventTimeout)
	}
	if h.GiveUp < 0 || h.GiveUp > maxGiveUp {
		bad(".give_up", "must be at most %v", maxGiveUp)
	}
	if h.Tries < 0 || h.Tries > maxTries {
		bad(".tries", "must be 1 to %d", maxTries)
	}
}

func (m Mail) validate(bad func(key, format string, args ...any)) {
	if m.Server == "" {
		if m.From != "" || len(m.To) > 0 || m.Username != "" {
			bad("mail.server", "is missing: host:port, for example mail.example.org:587")
		}
		return
	}
	if m.PasswordFile != "" && m.PasswordEnv != "" {
		bad("mail.password_env", "password_file is given too; give one of them")
	}
	if (m.Username != "") != (m.PasswordFile != "" || m.PasswordEnv != "") {
		bad("mail.username", "username and a password go together; give both or neither")
	}
	if m.Every != 0 && (m.Every < time.Second || m.Every > maxGiveUp) {
		bad("mail.every", "must be 1s to %v, for example 15m", maxGiveUp)
	}
}
