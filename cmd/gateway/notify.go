package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// notifyTime bounds one message to the service manager. It takes them at once, unless it
// has stopped; then nothing here may wait for it.
const notifyTime = time.Second

// maxStatus is the longest status, in bytes; it is one line of "systemctl status".
const maxStatus = 200

// notifier tells systemd how the service is, as sd_notify(3) describes: a datagram to the
// socket that NOTIFY_SOCKET names. A nil notifier says nothing: nobody listens, because the
// gateway was not started by systemd. What cannot be said is logged and stops nothing.
type notifier struct {
	conn *net.UnixConn
	log  *slog.Logger
	// watchdog is within which time Alive must be said, or systemd ends the service; 0: never.
	watchdog time.Duration
}

// newNotifier is the notifier that the environment asks for, nil if it asks for none.
func newNotifier(getenv func(string) string, log *slog.Logger) (*notifier, error) {
	socket := getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil, nil
	}
	// An abstract name has an @ in place of its first NUL, here and there.
	if socket[0] != '/' && socket[0] != '@' {
		return nil, fmt.Errorf("NOTIFY_SOCKET is %q, neither an absolute path nor an abstract name (@...); start the gateway with Type=notify, or without the variable", socket)
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("NOTIFY_SOCKET: %w; is the service manager still there?", err)
	}
	n := &notifier{conn: conn, log: log}
	if n.watchdog, err = watchdogTime(getenv); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return n, nil
}

// watchdogTime reads WATCHDOG_USEC, which counts for the process WATCHDOG_PID only, as in
// sd_watchdog_enabled(3).
func watchdogTime(getenv func(string) string) (time.Duration, error) {
	usec, pid := getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID")
	if usec == "" || pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	n, err := strconv.ParseInt(usec, 10, 64)
	if err != nil || n <= 0 || n > int64(365*24*time.Hour/time.Microsecond) {
		return 0, fmt.Errorf("WATCHDOG_USEC is %q, not a number of microseconds; set WatchdogSec= in the unit", usec)
	}
	return time.Duration(n) * time.Microsecond, nil
}

// Ready says that the gateway serves, after a start and after a reload.
func (n *notifier) Ready() { n.send("READY=1") }

// Reloading says that the configuration is being read again; Ready ends it. The time is what
// Type=notify-reload asks for, to tell this reload from an earlier one.
func (n *notifier) Reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		n.send("RELOADING=1")
		return
	}
	n.send("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
}

// Stopping says that transfers are being ended, for at most limit. It counts as alive, so that
// the watchdog leaves them their time, and so does systemd, whatever the unit says.
func (n *notifier) Stopping(limit time.Duration) {
	n.send("STOPPING=1", "WATCHDOG=1", fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", (limit+stopMargin).Microseconds()))
}

// stopMargin is what the rest may take when transfers have ended.
const stopMargin = 15 * time.Second

// told passes on what phase the gateway is in.
func (n *notifier) told(p phase, stopLimit time.Duration) {
	switch p {
	case phaseReady:
		n.Ready()
	case phaseReloading:
		n.Reloading()
	case phaseStopping:
		n.Stopping(stopLimit)
	}
}

// Status is a line about what the gateway does; of more, only the first is shown.
func (n *notifier) Status(text string) {
	text, _, _ = strings.Cut(text, "\n")
	n.send("STATUS=" + strings.ToValidUTF8(text[:min(len(text), maxStatus)], ""))
}

// alive holds the watchdog off for another while.
func (n *notifier) alive() { n.send("WATCHDOG=1") }

func (n *notifier) send(lines ...string) {
	if n == nil {
		return
	}
	err := n.conn.SetWriteDeadline(time.Now().Add(notifyTime))
	if err == nil {
		_, err = n.conn.Write([]byte(strings.Join(lines, "\n")))
	}
	if err != nil {
		n.log.Warn("the service manager cannot be told", "what", lines[0], "error", err)
	}
}

func (n *notifier) close() error {
	if n == nil {
		return nil
	}
	return n.conn.Close()
}
