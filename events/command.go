package events

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/semaphore"
)

// Bounds of commands.
const (
	MaxCommands     = 8 // run at once, of all hooks
	maxOutput       = 4 << 10
	outputWait      = 5 * time.Second // for output of what a command that has ended left behind
	DefaultTimeout  = 30 * time.Second
	commandPath     = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	placeholderHint = "an argument is a placeholder as a whole, or has none: {event}, {id}, {path}, {key}, {file}, {to}, {to_key}, {to_file}, {user}, {address}, {protocol}, {bytes}, {source}, {reason}"
)

// Command runs a program, without a shell. What happened it has in its environment, as JSON on its standard
// input, and in arguments that are placeholders.
type Command struct {
	Argv    []string // the first is an absolute path
	Timeout time.Duration
	// File says where a file lies on this machine; nil, or "", if it does not.
	File   func(key string) string
	Slots  *semaphore.Weighted // of MaxCommands
	Logger *slog.Logger
}

// CheckCommand is the error of a command line that cannot be one.
func CheckCommand(argv []string) error {
	if len(argv) == 0 || !filepath.IsAbs(argv[0]) {
		return errors.New("its first word is the path of a program, from / on; there is no shell")
	}
	known := (&Command{}).values(Event{})
	for i, arg := range argv {
		name, ok := placeholder(arg)
		_, there := known[name]
		switch {
		case ok && there && i > 0:
		case strings.ContainsAny(arg, "{}"):
			return fmt.Errorf("%q: %s", arg, placeholderHint)
		case strings.ContainsRune(arg, 0):
			return fmt.Errorf("%q has a NUL", arg)
		}
	}
	return nil
}

func placeholder(arg string) (name string, ok bool) {
	name, ok = strings.CutPrefix(arg, "{")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(name, "}")
}

// values are what placeholders and the environment say.
func (c *Command) values(e Event) map[string]string {
	file := func(key string) string {
		if c.File == nil || key == "" {
			return ""
		}
		return c.File(key)
	}
	return map[string]string{
		"event": string(e.Kind), "id": e.ID, "time": e.Time.Format(time.RFC3339Nano), "node": e.Node, "user": e.User,
		"address": e.Address, "protocol": e.Protocol, "path": e.Path, "key": e.Key, "file": file(e.Key),
		"to": e.To, "to_key": e.ToKey, "to_file": file(e.ToKey), "bytes": strconv.FormatInt(e.Bytes, 10),
		"source": e.Source, "verdict": e.Verdict, "reason": e.Reason,
	}
}

// Batch implements Deliverer.
func (*Command) Batch() int { return 1 }

// Pause implements Deliverer.
func (*Command) Pause() time.Duration { return 0 }

// Deliver implements Deliverer.
func (c *Command) Deliver(ctx context.Context, list []Event) error {
	if err := c.Slots.Acquire(ctx, 1); err != nil {
		return err
	}
	defer c.Slots.Release(1)
	for _, e := range list {
		if err := c.run(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

func (c *Command) run(ctx context.Context, e Event) error {
	limit := c.Timeout
	if limit <= 0 {
		limit = DefaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd, err := c.command(ctx, e)
	if err != nil {
		return &Refused{err}
	}
	var out tailless
	cmd.Stdout, cmd.Stderr = &out, &out
	err = cmd.Run()
	if said := strings.TrimSpace(out.String()); said != "" {
		c.Logger.Info("output of a command", "command", c.Argv[0], "id", e.ID, "output", said)
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &Refused{fmt.Errorf("%s did not end within %s, and was killed", c.Argv[0], limit)}
	case errors.As(err, &exit):
		return &Refused{fmt.Errorf("%s: %w", c.Argv[0], err)}
	}
	return fmt.Errorf("%s cannot be run: %w", c.Argv[0], err)
}

// command prepares the process. It gets nothing of the gateway's environment, where secrets may be.
func (c *Command) command(ctx context.Context, e Event) (*exec.Cmd, error) {
	values := c.values(e)
	argv := make([]string, len(c.Argv))
	for i, arg := range c.Argv {
		if name, ok := placeholder(arg); ok {
			arg = values[name]
		}
		argv[i] = arg
	}
	env := []string{"PATH=" + commandPath, "LANG=C.UTF-8", "HOME=/"}
	for name, value := range values {
		env = append(env, "GATEWAY_"+strings.ToUpper(name)+"="+value)
	}
	for _, s := range append(env, argv...) {
		if strings.ContainsRune(s, 0) {
			return nil, fmt.Errorf("%q has a NUL, which no program can be given", s)
		}
	}
	input, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdin = env, "/", bytes.NewReader(append(input, '\n'))
	// With all that it has started: a group of its own.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = outputWait
	return cmd, nil
}

// tailless keeps the first maxOutput bytes of what is written.
type tailless struct {
	b    bytes.Buffer
	more bool
}

// Write implements io.Writer.
func (t *tailless) Write(p []byte) (int, error) {
	room := maxOutput - t.b.Len()
	t.more = t.more || len(p) > room
	t.b.Write(p[:min(len(p), room)])
	return len(p), nil
}

func (t *tailless) String() string {
	s := t.b.String()
	if t.more {
		s += " … (more was left out)"
	}
	return s
}

var _ io.Writer = (*tailless)(nil)
