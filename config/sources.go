package config

import (
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of sources.
const (
	MaxSources  = 1000
	MaxSegments = 16 // by how many connections one file is fetched
)

// Source is a legacy server that files are migrated from, or that is mounted.
type Source struct {
	// URL as "gateway migrate" takes it, without a password.
	URL    string `yaml:"url"`
	Server `yaml:",inline"`

	// To is where the files go, STORAGE:FOLDER or FOLDER; "" for a source that is only mounted.
	To string `yaml:"to"`
	// Policy is a file; without one nothing is verified.
	Policy string `yaml:"policy"`
	// Bwlimit is a number of bytes a second for all connections together, as in
	// "gateway migrate"; "" is no limit. Segments is by how many of them a large file
	// is fetched at once; 0 is 4.
	Bwlimit  string `yaml:"bwlimit"`
	Segments int    `yaml:"segments"`
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

	When `yaml:",inline"`
	// Reports is a folder for the reports of scheduled runs: the JSON of each in it,
	// and all of the latest in a folder named like the source.
	Reports string `yaml:"reports"`
}

// Destination is the storage and the folder of To.
func (s Source) Destination() (storage, folder string) { return splitPlace(s.To) }

// splitPlace reads STORAGE:FOLDER, or FOLDER of the default storage.
func splitPlace(place string) (storage, folder string) {
	storage, folder, ok := strings.Cut(place, ":")
	if !ok {
		storage, folder = DefaultStorage, place
	}
	return storage, folder
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
		switch {
		case s.To != "":
			c.folder(key+".to", storage, "a migration needs", bad)
		case s.When != When{} || !c.Mounted(name):
			bad(key, "to is missing: where the files go, STORAGE:FOLDER or FOLDER")
		}
		if s.Reports != "" && c.exposes(s.Reports) {
			bad(key+".reports", "%s is where the gateway keeps keys and users", s.Reports)
		}
		job := s.URL + "\n" + storage + ":" + filepath.ToSlash(filepath.Clean(folder))
		if other, ok := same[job]; ok && s.URL != "" && s.To != "" {
			bad(key, "%s has the same url and destination: they would be one job", other)
		}
		same[job] = name
	}
}

// validate checks what can be checked of one source alone, without the network.
func (s Source) validate(bad func(key, format string, args ...any)) {
	validateURL("url", "the server to migrate from", s.URL, bad)
	s.Server.validate(bad)
	if s.Segments < 0 || s.Segments > MaxSegments {
		bad(".segments", "must be 1 (off) to %d", MaxSegments)
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
	s.When.validate(bad)
}
