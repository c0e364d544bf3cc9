package tests

import (
	"os/exec"
	"strings"
	"testing"
)

// paramikoHead connects; what follows has sftp.
const paramikoHead = `
import io, os, stat, sys, paramiko
host, port, user, key = sys.argv[1:5]
del sys.argv[1:5]
client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect(host, int(port), user, key_filename=key, allow_agent=False, look_for_keys=False)
sftp = client.open_sftp()
`

// paramiko is a script in Python with a session of paramiko.
func paramiko(t *testing.T, s *serving, script string, args ...string) *exec.Cmd {
	t.Helper()
	host, port, _ := strings.Cut(s.sftp, ":")
	return clientCommand(t, "python3-paramiko", paramikoHead+script, append([]string{"-", host, port, s.user, s.keyFile}, args...)...)
}

func mustParamiko(t *testing.T, s *serving, script string, args ...string) string {
	t.Helper()
	r := finish(t, paramiko(t, s, script, args...))
	if r.code != 0 {
		t.Fatalf("paramiko: exit status %d\n%s%s", r.code, r.out, r.stderr)
	}
	return r.out
}
