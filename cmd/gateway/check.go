package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"gateway/auth"
	"gateway/config"
)

type checkConfigCmd struct{}

// Run checks without making anything.
func (checkConfigCmd) Run(e *env) error {
	c, err := e.config()
	if err != nil {
		return err
	}
	file := c.File()
	if file == "" {
		file = "no configuration file: the defaults"
	}
	fmt.Fprintf(e.out, "configuration  %s\ndata           %s\n", file, c.Data)
	if c.State.Shared() {
		fmt.Fprintf(e.out, "state          %s\n", c.State.URL)
	}
	for _, name := range c.StorageNames() {
		fmt.Fprintf(e.out, "storage        %s = %s\n", name, storagePlace(c, name))
	}
	for _, name := range c.SourceNames() {
		fmt.Fprintf(e.out, "source         %s = %s\n", name, c.Sources[name].URL)
	}
	for _, name := range c.PushNames() {
		fmt.Fprintf(e.out, "push           %s = %s\n", name, c.Pushes[name].To)
	}
	for _, name := range c.ProviderNames() {
		fmt.Fprintf(e.out, "oidc           %s = %s\n", name, c.OIDC[name].Issuer)
	}
	bad := checkConfiguration(c)
	return errors.Join(bad, checkUsers(e, c, bad == nil))
}

// storagePlace is where the files of a storage are.
func storagePlace(c config.Config, name string) string {
	s := c.Storages[name]
	if s.Source != "" {
		return fmt.Sprintf("%s, mounted", c.Sources[s.Source].URL)
	}
	if s.S3 != nil {
		return bucketPlace(s.S3)
	}
	if abs, err := filepath.Abs(s.Path); err == nil {
		return abs // a relative one would say nothing to who did not start it
	}
	return s.Path
}

// checkUsers checks the user files. soFar says that nothing else was wrong.
func checkUsers(e *env, c config.Config, soFar bool) error {
	if _, err := os.Stat(c.UsersDir()); errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(e.out, "users          none yet; serve makes the first one")
		return nil
	}
	users, err := auth.OpenUsers(c.UsersDir())
	if err != nil {
		return err
	}
	list, mistakes := users.List(e.ctx)
	for _, u := range list {
		for _, m := range u.Mounts {
			if _, ok := c.Storages[storageName(m.Storage)]; !ok {
				mistakes = errors.Join(mistakes, fmt.Errorf("user %s: mount %s: there is no storage %q", u.Name, m.Path, m.Storage))
			}
		}
	}
	fmt.Fprintf(e.out, "users          %d\n", len(list))
	mistakes = errors.Join(mistakes, checkAdmins(e, c))
	if mistakes == nil && soFar {
		fmt.Fprintln(e.out, "no mistakes found")
	}
	return mistakes
}

// checkAdmins checks the files of administrators and of tokens.
func checkAdmins(e *env, c config.Config) error {
	if _, err := os.Stat(c.AdminsDir()); errors.Is(err, os.ErrNotExist) {
		return nil // serve makes the first one
	}
	admins, err := auth.OpenUsers(c.AdminsDir())
	if err != nil {
		return err
	}
	_, mistakes := admins.List(e.ctx)
	tokens := filepath.Join(c.AdminsDir(), "tokens")
	if _, err := os.Stat(tokens); err == nil {
		t, err := openTokens(c)
		if err == nil {
			_, err = t.List(e.ctx)
		}
		mistakes = errors.Join(mistakes, err)
	}
	return mistakes
}
