package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"gateway/auth"
)

type userAppPasswordCmd struct {
	Name     string   `arg:"" help:"Login name." complete:"user"`
	Label    string   `help:"Make a password for the program or machine of this name, and print it." placeholder:"LABEL" xor:"what"`
	Revoke   string   `help:"Remove the password of this label." placeholder:"LABEL" xor:"what"`
	Protocol []string `help:"What a new one is good for: webdav, sftp, or both." default:"webdav"`
	ReadOnly bool     `help:"With a new one nothing can be changed."`
	Expires  string   `help:"When a new one ends: a day (UTC) or time, or in how many days (90d)." placeholder:"WHEN"`
}

// Run makes or removes an app password, or lists them.
func (c *userAppPasswordCmd) Run(e *env) error {
	users, err := e.users()
	if err != nil {
		return err
	}
	u, err := users.Get(e.ctx, c.Name)
	if err != nil {
		return noSuchUser(c.Name, err)
	}
	if c.Label == "" && c.Revoke == "" {
		return listAppPasswords(e, u)
	}
	label := c.Label + c.Revoke // one of them is ""
	at := slices.IndexFunc(u.AppPasswords, func(a auth.AppPassword) bool { return a.Label == label })
	said := ""
	switch {
	case c.Revoke != "" && at < 0:
		return fmt.Errorf("user %s has no app password %s; see: gateway user app-password %s", c.Name, label, c.Name)
	case c.Revoke != "":
		u.AppPasswords = slices.Delete(u.AppPasswords, at, at+1)
		said = fmt.Sprintf("app password %s of %s is good no more", label, c.Name)
	case at >= 0:
		return fmt.Errorf("user %s has an app password %s already; remove it with --revoke %s, or choose another label", c.Name, label, label)
	default:
		made, password := auth.NewAppPassword(c.Name, label, c.Protocol)
		made.ReadOnly = c.ReadOnly
		if made.Expires, err = parseExpiry(c.Expires, time.Now()); err != nil {
			return err
		}
		u.AppPasswords = append(u.AppPasswords, made)
		said = fmt.Sprintf("app password %s of %s, shown only this once: %s", label, c.Name, password)
	}
	if err := users.Put(e.ctx, u); err != nil {
		return err
	}
	_, err = fmt.Fprintln(e.out, said)
	return err
}

func listAppPasswords(e *env, u auth.User) error {
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LABEL\tPROTOCOLS\tMAY\tCREATED\tEXPIRES")
	for _, a := range u.AppPasswords {
		may, expires := "all of the user's", "-"
		if a.ReadOnly {
			may = "read"
		}
		if !a.Expires.IsZero() {
			expires = a.Expires.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.Label, strings.Join(a.Protocols, ","), may, a.Created.UTC().Format(time.DateOnly), expires)
	}
	return w.Flush()
}

// parseExpiry reads a moment to come: a day ("2027-01-31", from its beginning in UTC), a time of RFC 3339,
// or a number of days from now ("90d"). "" is the zero time.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.DateOnly, text)
	if err != nil {
		at, err = time.Parse(time.RFC3339, text)
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		at = now.UTC().Truncate(time.Second).AddDate(0, 0, int(n))
	}
	if err != nil || !at.After(now) {
		return time.Time{}, fmt.Errorf("--expires %q: write a day to come such as %s, a time such as %s, or a number of days: 90d",
			text, now.AddDate(1, 0, 0).Format(time.DateOnly), now.AddDate(1, 0, 0).UTC().Format(time.RFC3339))
	}
	return at, nil
}
