package integrity

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/tests/servers"
)

// tools runs real programs in a folder of its own.
type tools struct {
	t     *testing.T
	dir   string
	paths map[string]string // of programs
}

func newTools(t *testing.T) *tools {
	t.Helper()
	return &tools{t, t.TempDir(), map[string]string{}}
}

func (r *tools) program(name string) string {
	r.t.Helper()
	if r.paths[name] == "" {
		r.paths[name] = servers.Tool(r.t, name)
	}
	return r.paths[name]
}

func (r *tools) path(name string) string { return filepath.Join(r.dir, name) }

func (r *tools) write(name, data string) string {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), []byte(data), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return r.path(name)
}

func (r *tools) read(name string) []byte {
	r.t.Helper()
	data, err := os.ReadFile(r.path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return data
}

// run calls a program in the folder and returns what it writes.
func (r *tools) run(stdin, program string, args ...string) []byte {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.program(program), args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC", "HOME="+r.dir)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, errOut.String())
	}
	return out.Bytes()
}

// minisignKey makes a key pair and returns the public key's file.
func (r *tools) minisignKey(name string) []byte {
	r.t.Helper()
	r.run("", "minisign", "-G", "-W", "-f", "-p", name+".pub", "-s", name+".key")
	return r.read(name + ".pub")
}

func (r *tools) minisign(name, message string, extra ...string) []byte {
	r.t.Helper()
	r.write("m", message)
	r.run("", "minisign", append([]string{"-S", "-s", name + ".key", "-m", "m", "-x", "m.minisig"}, extra...)...)
	return r.read("m.minisig")
}

func (r *tools) signifyKey(name string) []byte {
	r.t.Helper()
	r.run("", "signify-openbsd", "-G", "-n", "-p", name+".pub", "-s", name+".sec")
	return r.read(name + ".pub")
}

// signify signs; -e among extra embeds the message.
func (r *tools) signify(name, message string, extra ...string) []byte {
	r.t.Helper()
	r.write("m", message)
	_ = os.Remove(r.path("m.sig"))
	r.run("", "signify-openbsd", append([]string{"-S", "-s", name + ".sec", "-m", "m", "-x", "m.sig"}, extra...)...)
	return r.read("m.sig")
}

// sshKey makes a key pair and returns the line of its public file.
func (r *tools) sshKey(name string, extra ...string) string {
	r.t.Helper()
	r.run("", "ssh-keygen", append([]string{"-q", "-N", "", "-C", "", "-f", name}, extra...)...)
	return strings.TrimSpace(string(r.read(name + ".pub")))
}

func (r *tools) sshSign(name, message, namespace string, extra ...string) []byte {
	r.t.Helper()
	return r.run(message, "ssh-keygen", append([]string{"-q", "-Y", "sign", "-f", name, "-n", namespace}, extra...)...)
}

// selfSigned makes a key and a certificate that it signs itself, name.key and
// name.pem. extra are options of openssl req.
func (r *tools) selfSigned(name string, extra ...string) []byte {
	r.t.Helper()
	r.run("", "openssl", append([]string{"req", "-x509", "-nodes", "-days", "3650", "-subj", "/O=Example/CN=" + name,
		"-keyout", name + ".key", "-out", name + ".pem"}, extra...)...)
	return r.read(name + ".pem")
}

// issue makes a key and a certificate by an authority. extra are extensions,
// one to a line.
func (r *tools) issue(name, authority, extensions string, newkey ...string) []byte {
	r.t.Helper()
	if len(newkey) == 0 {
		newkey = []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"}
	}
	r.run("", "openssl", append([]string{"req", "-new", "-nodes", "-subj", "/O=Example/CN=" + name,
		"-keyout", name + ".key", "-out", name + ".csr"}, newkey...)...)
	r.write(name+".ext", "basicConstraints=CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"+extensions+"\n")
	r.run("", "openssl", "x509", "-req", "-in", name+".csr", "-CA", authority+".pem", "-CAkey", authority+".key",
		"-CAcreateserial", "-days", "3650", "-extfile", name+".ext", "-out", name+".pem")
	return r.read(name + ".pem")
}

func (r *tools) ecAuthority(name string) []byte {
	r.t.Helper()
	return r.selfSigned(name, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
		"-addext", "keyUsage=critical,keyCertSign,cRLSign")
}

// cms signs with name.key; extra are options of openssl cms.
func (r *tools) cms(name, message string, extra ...string) []byte {
	r.t.Helper()
	return r.run(message, "openssl", append([]string{"cms", "-sign", "-binary", "-signer", name + ".pem", "-inkey", name + ".key",
		"-outform", "DER"}, extra...)...)
}

func file(name string, data []byte) []AnchorFile { return []AnchorFile{{Name: name, Data: data}} }

func mustAnchors(t *testing.T, c AnchorConfig) Anchors {
	t.Helper()
	a, err := ReadAnchors(c)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
