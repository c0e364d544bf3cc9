package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"gateway/admin"
	"gateway/auth"
)

type adminCmd struct {
	Password adminPasswordCmd `cmd:"" help:"Set the password of an administrator, who is made if there is none of that name."`
	TOTP     adminTOTPCmd     `cmd:"" name:"totp" help:"Set up a second factor, one-time codes of an authenticator app."`
	List     adminListCmd     `cmd:"" help:"List administrators."`
	Remove   adminRemoveCmd   `cmd:"" help:"Remove an administrator."`
	Token    adminTokenCmd    `cmd:"" help:"Make a token for the API, and print it once."`
	Tokens   adminTokensCmd   `cmd:"" help:"List the tokens."`
	Revoke   adminRevokeCmd   `cmd:"" help:"Revoke a token."`
}

// admins are those who may log in to the operator's page. They are kept as users are, in a folder of their own.
func (e *env) admins() (*auth.Users, error) {
	c, err := e.config()
	if err != nil {
		return nil, err
	}
	return auth.OpenUsers(c.AdminsDir())
}

type adminPasswordCmd struct {
	Name string `arg:"" help:"Login name." default:"admin" optional:""`
	passwordFlags
}

// Run writes the administrator's file.
func (p *adminPasswordCmd) Run(e *env) error {
	admins, err := e.admins()
	if err != nil {
		return err
	}
	if err := auth.CheckName(p.Name); err != nil {
		return err
	}
	u, err := admins.Get(e.ctx, p.Name)
	if errors.Is(err, fs.ErrNotExist) {
		u, err = auth.User{Name: p.Name}, nil
	}
	if err != nil {
		return err
	}
	var generated string
	if u.PasswordHash, generated, err = e.newPassword(p.Name, p.Generate); err != nil {
		return err
	}
	if err := admins.Put(e.ctx, u); err != nil {
		return err
	}
	e.noteAdmin("admin password", p.Name)
	_, err = fmt.Fprintf(e.out, "password of administrator %s set; sessions that were open have ended\n%s", p.Name, passwordLine(p.Name, generated))
	return err
}

type adminTOTPCmd struct{ userTOTPCmd }

// Run changes the second factor of an administrator.
func (c *adminTOTPCmd) Run(e *env) error {
	admins, err := e.admins()
	if err != nil {
		return err
	}
	if _, err := admins.Get(e.ctx, c.Name); errors.Is(err, fs.ErrNotExist) {
		return noSuchAdmin(c.Name)
	}
	if err := c.change(e, admins); err != nil {
		return err
	}
	e.noteAdmin("admin totp", c.Name)
	return nil
}

// Help implements kong.HelpProvider.
func (adminTOTPCmd) Help() string {
	return `As "gateway user totp" does for users: a QR code, a first code to confirm it, and recovery codes that are shown once.

  gateway admin totp anna`
}

func noSuchAdmin(name string) error {
	return fmt.Errorf("there is no administrator %s; see: gateway admin list", name)
}

type adminListCmd struct{}

// Run prints a line for each; mistakes in files come last.
func (adminListCmd) Run(e *env) error {
	admins, err := e.admins()
	if err != nil {
		return err
	}
	list, mistakes := admins.List(e.ctx)
	for _, u := range list {
		line := u.Name
		if u.Disabled {
			line += "  disabled"
		}
		fmt.Fprintln(e.out, line)
	}
	return mistakes
}

type adminRemoveCmd struct {
	Name string `arg:"" help:"Login name."`
}

// Run removes the administrator's file.
func (r *adminRemoveCmd) Run(e *env) error {
	admins, err := e.admins()
	if err != nil {
		return err
	}
	err = admins.Remove(e.ctx, r.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return noSuchAdmin(r.Name)
	}
	if err != nil {
		return err
	}
	e.noteAdmin("admin remove", r.Name)
	_, err = fmt.Fprintf(e.out, "administrator %s removed\n", r.Name)
	return err
}

func (e *env) tokens() (*admin.Tokens, error) {
	c, err := e.config()
	if err != nil {
		return nil, err
	}
	return openTokens(c)
}

type adminTokenCmd struct {
	Name     string `arg:"" help:"What it is called: 1 to 32 of a-z, 0-9 and -."`
	ReadOnly bool   `help:"It may only read: for monitoring."`
	Expires  string `help:"For how long it is good, such as 90d or 12h (default: until it is revoked)." placeholder:"TIME"`
}

// Run makes the token and prints it alone on a line of standard output.
func (t *adminTokenCmd) Run(e *env) error {
	lifetime, err := parseLifetime(t.Expires)
	if err != nil {
		return err
	}
	tokens, err := e.tokens()
	if err != nil {
		return err
	}
	secret, err := tokens.Create(e.ctx, admin.Token{Name: t.Name, ReadOnly: t.ReadOnly, By: operator()}, lifetime)
	if err != nil {
		return err
	}
	e.noteAdmin("admin token", t.Name)
	fmt.Fprintf(e.err, "token %s made; it is shown only this once:\n", t.Name)
	_, err = fmt.Fprintln(e.out, secret)
	return err
}

// maxLifetime is the longest that a token can be made to last.
const maxLifetime = 10 * 366 * 24 * time.Hour

// parseLifetime reads "90d" or a duration; "" is 0.
func parseLifetime(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	var d time.Duration
	days, err := strconv.ParseUint(strings.TrimSuffix(s, "d"), 10, 16)
	if strings.HasSuffix(s, "d") && err == nil {
		d = time.Duration(days) * 24 * time.Hour
	} else {
		d, err = time.ParseDuration(s)
	}
	if err != nil || d < time.Minute || d > maxLifetime {
		return 0, fmt.Errorf("--expires %q: write a time from 1m to 3660d, such as 90d or 12h", s)
	}
	return d, nil
}

type adminTokensCmd struct{}

// Run prints a line for each token.
func (adminTokensCmd) Run(e *env) error {
	tokens, err := e.tokens()
	if err != nil {
		return err
	}
	list, mistakes := tokens.List(e.ctx)
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tMAY\tMADE\tGOOD UNTIL")
	for _, t := range list {
		may, until := "do everything", ""
		if t.ReadOnly {
			may = "read"
		}
		switch {
		case !t.Revoked.IsZero():
			until = "revoked " + t.Revoked.Local().Format(time.DateTime)
		case !t.Expires.IsZero():
			until = t.Expires.Local().Format(time.DateTime)
		default:
			until = "it is revoked"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", t.Name, may, t.Created.Local().Format(time.DateTime), until)
	}
	return errors.Join(w.Flush(), mistakes)
}

type adminRevokeCmd struct {
	Name string `arg:"" help:"Name of the token."`
}

// Run revokes the token: from the next request on.
func (r *adminRevokeCmd) Run(e *env) error {
	tokens, err := e.tokens()
	if err != nil {
		return err
	}
	if err := tokens.Revoke(r.Name); err != nil {
		return fmt.Errorf("%w; see: gateway admin tokens", err)
	}
	e.noteAdmin("admin revoke", r.Name)
	_, err = fmt.Fprintf(e.out, "token %s revoked\n", r.Name)
	return err
}

// Help implements kong.HelpProvider.
func (adminPasswordCmd) Help() string {
	return `Administrators log in to the operator's page; they are no users, and users are no administrators. It asks for the password, or reads it as one line of standard input. It counts at once, and ends the sessions that were open.

  gateway admin password anna`
}

// Help implements kong.HelpProvider.
func (adminListCmd) Help() string {
	return `Those who may log in to the operator's page, one a line.`
}

// Help implements kong.HelpProvider.
func (adminRemoveCmd) Help() string {
	return `Their sessions end at once. Where there is nobody left, the next start makes "admin" again, and prints the password.`
}

// Help implements kong.HelpProvider.
func (adminTokenCmd) Help() string {
	return `Programs log in with it: "Authorization: Bearer TOKEN". It is printed alone on standard output, and what is kept is a hash.

  gateway admin token prometheus --read-only --expires 90d > token`
}

// Help implements kong.HelpProvider.
func (adminTokensCmd) Help() string {
	return `Names, and what they may do until when; never the tokens themselves. Revoked ones stay in the list.`
}

// Help implements kong.HelpProvider.
func (adminRevokeCmd) Help() string {
	return `It is refused from the next request on. The name can be used for a new token.`
}
