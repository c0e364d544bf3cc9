package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gateway/auth"
)

type userTOTPCmd struct {
	Name     string `arg:"" help:"Login name." complete:"user"`
	Off      bool   `help:"Ask the user for no code any more." xor:"what"`
	Recovery bool   `help:"Make new recovery codes; the old ones are good no more." xor:"what"`
	Issuer   string `help:"What the app shows as the place that the code is for." default:"gateway"`
}

// confirmTries is how often the first code may be mistyped.
const confirmTries = 3

// Run changes the second factor of a user. It is switched on once a code shows that the app has it.
func (c *userTOTPCmd) Run(e *env) error {
	users, err := e.users()
	if err != nil {
		return err
	}
	return c.change(e, users)
}

// change is Run for users, and for administrators.
func (c *userTOTPCmd) change(e *env, users *auth.Users) error {
	u, err := users.Get(e.ctx, c.Name)
	if err != nil {
		return noSuchUser(c.Name, err)
	}
	said := ""
	var codes []string
	factor, recovery := auth.NewTOTP(u.Name)
	switch {
	case !u.TOTP.On() && (c.Off || c.Recovery):
		return fmt.Errorf("user %s has no second factor; nothing was changed", c.Name)
	case c.Off:
		factor, said = auth.TOTP{}, "no one-time code is asked for from "+c.Name+" any more"
	case c.Recovery:
		factor.Secret = u.TOTP.Secret
		codes, said = recovery, "the old recovery codes of "+c.Name+" are good no more"
	default:
		if err := c.confirm(e, factor); err != nil {
			return err
		}
		codes, said = recovery, "from now on "+c.Name+" needs a one-time code to log in"
	}
	if u, err = users.Get(e.ctx, c.Name); err != nil { // it may have changed while the code was typed
		return noSuchUser(c.Name, err)
	}
	u.TOTP = factor
	if err := users.Put(e.ctx, u); err != nil {
		return err
	}
	_, err = fmt.Fprintf(e.out, "%s\n%s", said, recoveryText(codes))
	return err
}

// recoveryText shows recovery codes; "" where there are none.
func recoveryText(codes []string) string {
	if len(codes) == 0 {
		return ""
	}
	return "\nRecovery codes, for when the app is lost. Each is good once, in place of a code.\nKeep them on paper; they are shown only this once:\n\n  " +
		strings.Join(codes, "\n  ") + "\n"
}

// confirm shows the secret, and asks for a code of the app that has it.
func (c *userTOTPCmd) confirm(e *env, factor auth.TOTP) error {
	url := factor.URL(c.Issuer, c.Name)
	fmt.Fprintf(e.out, "Scan this with an authenticator app:\n\n%s\nor open this address on the phone, or type the secret into the app:\n\n  %s\n  %s\n\n",
		qrLines(url, isTerminal(e.out)), url, inFours(factor.Secret))
	in := bufio.NewReader(io.LimitReader(e.in, 1<<10))
	for range confirmTries {
		code, err := askLine(e, in, "The code that the app shows now: ")
		if err != nil {
			return err
		}
		if factor.Matches(code, time.Now()) {
			return nil
		}
		fmt.Fprintf(e.err, "that code is wrong at %s; is the phone's clock right, and this machine's?\n", time.Now().Format(time.TimeOnly))
	}
	return errors.New("no code was right; nothing was changed")
}

// inFours groups a secret for people who type it.
func inFours(s string) string {
	var b strings.Builder
	for i, r := range s {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// askLine reads a line, which is shown, until the context ends.
func askLine(e *env, in *bufio.Reader, prompt string) (string, error) {
	fmt.Fprint(e.err, prompt)
	type answer struct {
		line string
		err  error
	}
	read := make(chan answer, 1)
	go func() {
		line, err := in.ReadString('\n')
		read <- answer{strings.TrimSpace(line), err}
	}()
	select {
	case a := <-read:
		if a.line == "" && a.err != nil {
			return "", errors.New("no code on standard input; nothing was changed")
		}
		return a.line, nil
	case <-e.ctx.Done():
		return "", errors.New("interrupted; nothing was changed")
	}
}
