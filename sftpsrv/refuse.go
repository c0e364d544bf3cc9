package sftpsrv

import (
	"errors"
	"io"
	"time"

	"golang.org/x/crypto/ssh"

	"gateway/auth"
)

// refuseTime is how long a client whose login is refused after all may take to hear why.
const refuseTime = 5 * time.Second

// refused ends a login that went well until the files were opened. Somebody who has too many sessions is told so, as far as
// SSH has a place for it: on the standard error of the first channel.
func (c *connection) refused(err error, channels <-chan ssh.NewChannel, requests <-chan *ssh.Request) {
	if !errors.Is(err, auth.ErrSessions) {
		c.log.Error("login failed", "error", err)
		return
	}
	c.log.Info("login refused", "reason", err)
	end := time.AfterFunc(refuseTime, c.close)
	defer end.Stop()
	c.alive.Go(func() { ssh.DiscardRequests(requests) })
	open, ok := <-channels
	if !ok {
		return
	}
	channel, asked, err := open.Accept()
	if err != nil {
		return
	}
	choosePurpose(asked)
	c.alive.Go(func() { ssh.DiscardRequests(asked) })
	// What cannot be sent to a client that is gone is lost.
	_, _ = io.WriteString(channel.Stderr(), "You have too many sessions open; end one, then try again.\r\n")
	_, _ = channel.SendRequest("exit-status", false, ssh.Marshal(exitStatus{exitFailure}))
	_ = channel.Close()
}
