package sftpsrv

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/tests/servers"
)

// outcome is what a client program left.
type outcome struct {
	code        int
	out, stderr string
}

// program runs a client for a minute at most.
func program(t *testing.T, dir, input, name string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, servers.Tool(t, name), args...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(input)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", name, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), out.String(), stderr.String()}
}

// ssh runs the ssh of OpenSSH; args are its options, and what comes after the host after "--".
func (o *openSSH) ssh(t *testing.T, args ...string) outcome {
	t.Helper()
	all := slices.Clone(o.options)
	all[slices.Index(all, "-P")] = "-p"
	options, command := args, []string(nil)
	if i := slices.Index(args, "--"); i >= 0 {
		options, command = args[:i], args[i+1:]
	}
	all = append(append(append(all, options...), testUser+"@127.0.0.1"), command...)
	return program(t, o.dir, "", "ssh", all...)
}
