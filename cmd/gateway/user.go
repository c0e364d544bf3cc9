package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"gateway/auth"
)

type userCmd struct {
	Add         userAddCmd         `cmd:"" help:"Add a user."`
	Passwd      userPasswdCmd      `cmd:"" help:"Set a user's password."`
	TOTP        userTOTPCmd        `cmd:"" name:"totp" help:"Set up a second factor, one-time codes of an authenticator app."`
	AppPassword userAppPasswordCmd `cmd:"" help:"Make, list and revoke passwords for programs that know no second factor."`
	List        userListCmd        `cmd:"" help:"List users."`
	Remove      userRemoveCmd      `cmd:"" help:"Remove a user. Their files stay."`
}

// passwordFlags say where a new password comes from.
type passwordFlags struct {
	Generate bool `help:"Generate a password and print it."`
}

type userAddCmd struct {
	Name        string   `arg:"" help:"Login name."`
	Folder      *string  `help:"Folder of the storage that the user sees as / (default: one named like the user; \"\" for the whole storage)." placeholder:"DIR"`
	Storage     string   `help:"Storage that holds the folder." complete:"storage" default:"default"`
	Permissions []string `help:"What the user may do: read-write, read-only, drop-box, or a list of list, read, create, overwrite, mkdir, rename, delete, set-time." complete:"read-write,read-only,drop-box,list,read,create,overwrite,mkdir,rename,delete,set-time" default:"read-write"`
	Key         []string `help:"SSH public key: a line, or a file of lines such as ~/.ssh/id_ed25519.pub." sep:"none" placeholder:"KEY"`
	NoPassword  bool     `help:"Log in with a key only."`
	Require     []string `help:"What is needed to log in, all of it: publickey, password (default: either will do)." complete:"publickey,password" placeholder:"KIND"`
	Quota       string   `help:"How much the user may store, such as 10GB." placeholder:"SIZE"`
	Expires     string   `help:"From when on the user may not log in: a day (UTC) or time, or in how many days (90d)." placeholder:"WHEN"`
	passwordFlags
}

func (e *env) users() (*auth.Users, error) {
	c, err := e.config()
	if err != nil {
		return nil, err
	}
	return auth.OpenUsers(c.UsersDir())
}

// Run writes the new user's file.
func (a *userAddCmd) Run(e *env) error {
	users, err := e.users()
	if err != nil {
		return err
	}
	switch _, err := users.Get(e.ctx, a.Name); {
	case err == nil:
		return fmt.Errorf("user %s exists already; to set a password: gateway user passwd %s", a.Name, a.Name)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	u, err := a.user(e)
	if err != nil {
		return err
	}
	var generated string
	if !a.NoPassword {
		if u.PasswordHash, generated, err = e.newPassword(a.Name, a.Generate); err != nil {
			return err
		}
	} else if err := e.mayLackPassword(u); err != nil {
		return err
	}
	if err := users.Put(e.ctx, u); err != nil {
		return err
	}
	e.noteAdmin("user add", a.Name)
	_, err = fmt.Fprintf(e.out, "user %s added\n%s", a.Name, passwordLine(a.Name, generated))
	return err
}

// mayLackPassword fails unless the user can log in with a key or a certificate.
func (e *env) mayLackPassword(u auth.User) error {
	if len(u.AuthorizedKeys) > 0 {
		return nil
	}
	c, err := e.config()
	if err == nil && c.SFTP.UserCA == "" {
		err = errors.New("without a password the user needs a key: add --key FILE, or set sftp.user_ca for certificates")
	}
	return err
}

func (a *userAddCmd) user(e *env) (auth.User, error) {
	u := auth.User{Name: a.Name, Require: a.Require}
	if err := auth.CheckName(a.Name); err != nil {
		return u, err
	}
	c, err := e.config()
	if err != nil {
		return u, err
	}
	if _, ok := c.Storages[a.Storage]; !ok {
		return u, fmt.Errorf("there is no storage %q; there are: %s", a.Storage, strings.Join(c.StorageNames(), ", "))
	}
	for _, k := range a.Key {
		lines, err := keyLines(k)
		if err != nil {
			return u, err
		}
		u.AuthorizedKeys = append(u.AuthorizedKeys, lines...)
	}
	if a.Quota != "" {
		if u.Quota, err = auth.ParseBytes(a.Quota); err != nil {
			return u, err
		}
	}
	if u.Expires, err = parseExpiry(a.Expires, time.Now()); err != nil {
		return u, err
	}
	m := auth.Mount{Path: "/", Storage: a.Storage, Folder: a.Name}
	if a.Folder != nil {
		m.Folder = *a.Folder
	}
	if m.Permissions, err = auth.ParsePermissions(a.Permissions); err != nil {
		return u, err
	}
	u.Mounts = []auth.Mount{m}
	return u, nil
}

// keyLines are the keys of a file, or the key itself.
func keyLines(arg string) ([]string, error) {
	if strings.Contains(arg, " AAAA") {
		return []string{arg}, nil
	}
	data, err := os.ReadFile(arg)
	if err != nil {
		return nil, fmt.Errorf("key %q is neither a public key nor a file: %w", arg, err)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

type userPasswdCmd struct {
	Name string `arg:"" help:"Login name." complete:"user"`
	passwordFlags
}

// Run replaces the password in the user's file.
func (p *userPasswdCmd) Run(e *env) error {
	users, err := e.users()
	if err != nil {
		return err
	}
	u, err := users.Get(e.ctx, p.Name)
	if err != nil {
		return noSuchUser(p.Name, err)
	}
	var generated string
	if u.PasswordHash, generated, err = e.newPassword(p.Name, p.Generate); err != nil {
		return err
	}
	if err := users.Put(e.ctx, u); err != nil {
		return err
	}
	e.noteAdmin("user passwd", p.Name)
	_, err = fmt.Fprintf(e.out, "password of %s changed\n%s", p.Name, passwordLine(p.Name, generated))
	return err
}

func noSuchUser(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no user %s; see: gateway user list", name)
	}
	return err
}

type userListCmd struct{}

// Run prints a line for each user; mistakes in files come last.
func (userListCmd) Run(e *env) error {
	users, err := e.users()
	if err != nil {
		return err
	}
	list, mistakes := users.List(e.ctx)
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tLOGIN\tQUOTA\tMOUNTS")
	for _, u := range list {
		var mounts []string
		for _, m := range u.Mounts {
			mounts = append(mounts, mountText(m))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", u.Name, loginKinds(u), quota(u.Quota), strings.Join(mounts, " "))
	}
	return errors.Join(w.Flush(), mistakes)
}

// mountText is where a mount leads and what may be done there.
func mountText(m auth.Mount) string {
	return fmt.Sprintf("%s=%s:/%s (%s)", m.Path, storageName(m.Storage), strings.Trim(m.Folder, "/"), m.Permissions)
}

func loginKinds(u auth.User) string {
	var kinds []string
	if u.PasswordHash != "" {
		kinds = append(kinds, "password")
	}
	if n := len(u.AuthorizedKeys); n > 0 {
		kinds = append(kinds, fmt.Sprintf("%d key(s)", n))
	}
	if len(u.Require) > 0 {
		kinds = []string{"needs " + strings.Join(u.Require, " and ")}
	}
	if u.TOTP.On() && kinds != nil {
		kinds = []string{"(" + strings.Join(kinds, "+") + ") and code"}
	}
	if n := len(u.AppPasswords); n > 0 {
		kinds = append(kinds, fmt.Sprintf("%d app password(s)", n))
	}
	switch {
	case u.Disabled:
		return "disabled"
	case !u.Expires.IsZero() && !time.Now().Before(u.Expires):
		return "expired"
	case kinds == nil:
		return "none"
	}
	return strings.Join(kinds, "+")
}

func quota(b auth.Bytes) string {
	if b == 0 {
		return "-"
	}
	return b.String()
}

type userRemoveCmd struct {
	Name string `arg:"" help:"Login name." complete:"user"`
}

// Run removes the user's file.
func (r *userRemoveCmd) Run(e *env) error {
	users, err := e.users()
	if err != nil {
		return err
	}
	if err := users.Remove(e.ctx, r.Name); err != nil {
		return noSuchUser(r.Name, err)
	}
	e.noteAdmin("user remove", r.Name)
	_, err = fmt.Fprintf(e.out, "user %s removed; their files were left alone\n", r.Name)
	return err
}

// newPassword makes a password or takes the one that is typed, and returns its hash.
// generated is what was made, to be shown once the user has it.
func (e *env) newPassword(user string, generate bool) (hash, generated string, err error) {
	if generate {
		generated = auth.GeneratePassword()
		hash, err = auth.HashPassword(generated)
	} else {
		hash, err = e.typedPassword(user)
	}
	return hash, generated, err
}

// passwordLine shows a generated password; "" where there is none.
func passwordLine(user, generated string) string {
	if generated == "" {
		return ""
	}
	return fmt.Sprintf("password of %s: %s\n", user, generated)
}

// typedPassword asks for a password on a terminal, twice, or reads one line of
// standard input, and returns its hash.
func (e *env) typedPassword(user string) (string, error) {
	f, ok := e.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(e.in, auth.MaxPassword+2)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("password on standard input: %w", err)
		}
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			return "", errors.New("no password on standard input; give one line, or --generate")
		}
		return auth.HashPassword(line)
	}
	first, err := askHidden(e, f, fmt.Sprintf("New password for %s: ", user))
	if err != nil {
		return "", err
	}
	again, err := askHidden(e, f, "Once more: ")
	if err != nil {
		return "", err
	}
	if first != again {
		return "", errors.New("the two passwords differ; nothing was changed")
	}
	return auth.HashPassword(first)
}

// askHidden reads a line without showing it. Ctrl-C ends it and leaves the terminal
// as it was: the signal itself only ends the context.
func askHidden(e *env, f *os.File, prompt string) (string, error) {
	fd := int(f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	fmt.Fprint(e.err, prompt)
	defer fmt.Fprintln(e.err)
	var line []byte
	read := make(chan error, 1)
	go func() {
		var err error
		line, err = term.ReadPassword(fd)
		read <- err
	}()
	select {
	case err := <-read:
		return string(line), err
	case <-e.ctx.Done():
		return "", errors.Join(errors.New("interrupted; nothing was changed"), term.Restore(fd, before))
	}
}
