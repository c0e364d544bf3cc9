package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"gateway/auth"
	"gateway/config"
	"gateway/internal/completion"
)

type completionCmd struct {
	Shell string `arg:"" help:"bash, zsh or fish." enum:"bash,zsh,fish"`
}

// Run prints the script.
func (c *completionCmd) Run(e *env) error {
	script, ok := completion.Script(c.Shell, "gateway")
	if !ok {
		return fmt.Errorf("no completion for %q; there is one for %s", c.Shell, strings.Join(completion.Shells(), ", "))
	}
	_, err := fmt.Fprint(e.out, script)
	return err
}

// completeCmd is what the scripts run. It says nothing but candidates: a mistake in the
// configuration must not appear in the middle of a line that is being typed.
type completeCmd struct {
	Shell string   `arg:""`
	Words []string `arg:"" optional:""`
}

// Run prints what can stand where the cursor is.
func (c *completeCmd) Run(e *env, app *kong.Kong) error {
	words := c.Words
	if c.Shell == "bash" && len(words) > 0 {
		words = completion.SplitLine(words[0])[1:]
	}
	names := func(kind string, words []string) []string {
		if kind == "page" {
			pages, _ := manPages(app.Model) // a mistake in them offers none
			return pageNames(pages)
		}
		return e.names(kind, words)
	}
	return completion.Complete(app.Model, words, names).Write(e.out)
}

// names are the names of a kind in the configuration that the line is about.
func (e *env) names(kind string, words []string) []string {
	path := func(name string, short rune) string {
		if value := completion.FlagValue(words, name, short); value != "" {
			return kong.ExpandPath(value)
		}
		return ""
	}
	c, err := config.Load(path("config", 'c'), path("data", 0))
	if err != nil {
		return nil
	}
	var storages []string
	for _, name := range c.StorageNames() {
		storages = append(storages, name+":")
	}
	switch kind {
	case "user":
		return e.userNames(c)
	case "storage":
		return c.StorageNames()
	case "place":
		return storages
	case "source":
		return slices.Sorted(maps.Keys(c.Sources))
	case "push":
		return slices.Concat(slices.Sorted(maps.Keys(c.Pushes)), storages)
	}
	return nil
}

func (e *env) userNames(c config.Config) []string {
	if _, err := os.Stat(c.UsersDir()); err != nil {
		return nil // OpenUsers would make the folder
	}
	users, err := auth.OpenUsers(c.UsersDir())
	if err != nil {
		return nil
	}
	list, _ := users.List(e.ctx) // those with mistakes have no name to offer
	var names []string
	for _, u := range list {
		names = append(names, u.Name)
	}
	return names
}
