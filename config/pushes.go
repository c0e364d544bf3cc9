package config

import (
	"maps"
	"path/filepath"
	"slices"
)

// MaxPushes is how many pushes can be configured.
const MaxPushes = 1000

// Push is a folder whose files are sent on to a server.
type Push struct {
	// From is where the files arrive, STORAGE:FOLDER or FOLDER.
	From string `yaml:"from"`
	// To is the URL of the folder that they are sent to, as "gateway push" takes it,
	// without a password.
	To     string `yaml:"to"`
	Server `yaml:",inline"`

	// After, Overwrite and Temporary are those of "gateway push".
	After     string `yaml:"after"`
	Overwrite bool   `yaml:"overwrite"`
	Temporary string `yaml:"temporary"`

	When `yaml:",inline"`
}

// Origin is the storage and the folder of From.
func (p Push) Origin() (storage, folder string) { return splitPlace(p.From) }

// PushNames are the names of the pushes, sorted.
func (c Config) PushNames() []string { return slices.Sorted(maps.Keys(c.Pushes)) }

func (c Config) validatePushes(bad func(key, format string, args ...any)) {
	if len(c.Pushes) > MaxPushes {
		bad("pushes", "there are %d, at most %d can be", len(c.Pushes), MaxPushes)
	}
	same := map[string]string{}
	for _, name := range c.PushNames() {
		p, key := c.Pushes[name], "pushes."+name
		if !storageName.MatchString(name) {
			bad(key, "the name of a push has 1 to 32 of a-z, 0-9, _ and -")
		}
		p.validate(func(k, format string, args ...any) { bad(key+k, format, args...) })
		storage, folder := p.Origin()
		if p.From != "" {
			c.folder(key+".from", storage, "a push needs", bad)
		}
		job := p.To + "\n" + storage + ":" + filepath.ToSlash(filepath.Clean(folder))
		if other, ok := same[job]; ok && p.To != "" {
			bad(key, "%s has the same folder and url: they would be one job", other)
		}
		same[job] = name
	}
}

func (p Push) validate(bad func(key, format string, args ...any)) {
	if p.From == "" {
		bad("", "from is missing: where the files arrive, STORAGE:FOLDER or FOLDER")
	}
	validateURL("to", "the server to send to", p.To, bad)
	p.Server.validate(bad)
	if !oneOf(p.After, "", "keep", "delete") {
		bad(".after", "%q is not one of keep, delete", p.After)
	}
	p.When.validate(bad)
}
