package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"gateway/docs"
	"gateway/internal/manpage"
)

// released is the day of the commit, from "make build"; the linker sets it.
var released string

type manCmd struct {
	Page string `arg:"" optional:"" help:"A page: gateway, a command such as gateway-user-add, or gateway.yaml." complete:"page"`
	Dir  string `help:"Write all of them below this folder, into man1 and man5." type:"path" placeholder:"DIR"`
}

// Help implements kong.HelpProvider.
func (manCmd) Help() string {
	return `Without --dir it prints one page, for "man -l -":

  gateway man gateway-serve | man -l -
  gateway man --dir /usr/local/share/man`
}

// Run writes or prints.
func (m *manCmd) Run(e *env, app *kong.Kong) error {
	pages, err := manPages(app.Model)
	if err != nil {
		return err
	}
	if m.Dir != "" {
		if m.Page != "" {
			return errors.New("--dir writes all pages; leave the name out")
		}
		return writePages(m.Dir, pages)
	}
	name := strings.ReplaceAll(m.Page, " ", "-")
	if name == "" {
		name = "gateway"
	}
	for _, file := range slices.Sorted(maps.Keys(pages)) {
		if base := filepath.Base(file); base == name || strings.TrimSuffix(base, filepath.Ext(base)) == name {
			_, err := fmt.Fprint(e.out, pages[file])
			return err
		}
	}
	return fmt.Errorf("there is no page %q; there are: %s", m.Page, strings.Join(pageNames(pages), ", "))
}

func pageNames(pages map[string]string) []string {
	var names []string
	for file := range pages {
		base := filepath.Base(file)
		names = append(names, strings.TrimSuffix(base, filepath.Ext(base)))
	}
	slices.Sort(names)
	return names
}

func writePages(dir string, pages map[string]string) error {
	for file, text := range pages {
		file = filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// manPages are all pages by file, such as man1/gateway.1: of each command from the texts of its help, and of
// the configuration from docs/configuration.md.
func manPages(app *kong.Application) (map[string]string, error) {
	source := strings.Join(strings.Fields(versionLine())[:2], " ")
	about := manpage.About{
		Source: source, Date: released,
		Program: manSections(),
		Ends: []manpage.Section{{Name: "EXIT STATUS", Items: []manpage.Item{
			{What: "0", Text: "Done."},
			{What: "1", Text: "What was asked for was not done, or not wholly; standard error says why."},
			{What: "2", Text: "The command line cannot be understood."},
		}}},
		SeeAlso: []string{"gateway.yaml(5)"},
	}
	pages := map[string]string{}
	for _, n := range manpage.Nodes(app) {
		pages["man1/"+manpage.PageName(n)+".1"] = manpage.Command(n, about)
	}
	config, err := manpage.Markdown(manpage.Title{
		Name: "gateway.yaml", Section: 5, Does: "configuration and user files of the gateway", Source: source, Date: released,
	}, docs.Configuration)
	if err != nil {
		return nil, fmt.Errorf("docs/configuration.md: %w", err)
	}
	pages["man5/gateway.yaml.5"] = config
	return pages, nil
}

// manSections are those of gateway(1) alone.
func manSections() []manpage.Section {
	return []manpage.Section{
		{Name: "ENVIRONMENT", Items: []manpage.Item{
			{What: passwordVariable, Text: "Password of the server that is migrated from, pushed to, listed or probed."},
			{What: passphraseVariable, Text: "Passphrase of the private key of --key."},
			{What: "NOTIFY_SOCKET, WATCHDOG_USEC", Text: "Set by systemd: where serve says that it is ready, that it reloads and that it works."},
		}},
		{Name: "SIGNALS", Items: []manpage.Item{
			{What: "SIGTERM, SIGINT", Text: "serve takes no more connections, lets transfers go on for shutdown_timeout (30 s) and ends. A second one cuts them off. migrate and push keep what they have, and go on there when they are run again."},
			{What: "SIGHUP", Text: "serve reads its configuration again, whole or not at all."},
		}},
		{Name: "FILES", Items: []manpage.Item{
			{What: "gateway.yaml", Text: "The configuration, in the working folder unless --config names another file."},
			{What: "gateway-data", Text: "The data folder: state, keys, users, and without further configuration the files. --data and the key \"data\" name another."},
		}},
		{Name: "NOTES", Text: []string{"Where root runs a command, but for serve, and the data folder belongs to somebody else, the command goes on as that user, so that the gateway can read what it makes."}},
	}
}
