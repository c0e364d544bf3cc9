package servers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// NeedRoot returns when the tests run as root. For an ordinary user it leaves the test out, with a
// line that says so; where CI=true it fails instead. It is the only place where a test may be skipped.
func NeedRoot(t testing.TB) {
	t.Helper()
	if os.Getuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs root, and CI=true, where no test may be left out")
	}
	t.Skipf("left out (needs root): %s", t.Name())
}

// HasFUSE reports whether file systems can be mounted through FUSE: as root, since the unpacked fusermount3 is not
// setuid, and where there is /dev/fuse, which is up to the kernel of the machine. Elsewhere it says so in the log.
func HasFUSE(t testing.TB) bool {
	t.Helper()
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err == nil {
		f.Close()
	}
	if err != nil || os.Getuid() != 0 {
		t.Logf("nothing is mounted: %v, user id %d", err, os.Getuid())
		return false
	}
	return true
}

// ModuleRoot returns the folder of go.mod.
func ModuleRoot(t testing.TB) string {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for dir := wd; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatalf("servers: no go.mod above %s", wd)
		}
	}
}

// Fetch makes sure that these folders of tests/fetch-debs.sh are there; without names, all. The
// script ends at once when they are.
func Fetch(t testing.TB, names ...string) {
	t.Helper()
	cmd := exec.Command(filepath.Join(ModuleRoot(t), "tests", "fetch-debs.sh"), names...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("servers: %v\n%s", err, out)
	}
}

// folderOf says which folder of tests/fetch-debs.sh a program comes in.
func folderOf(program string) string {
	switch program {
	case "sftp", "scp", "ssh", "ssh-keygen", "ssh-keyscan":
		return "openssh"
	case "gpg", "gpg-agent", "gpg-connect-agent":
		return "gnupg"
	case "pure-pw":
		return "pure-ftpd"
	case "signify-openbsd":
		return "signify"
	case "python3":
		return "pyftpdlib"
	case "python3-paramiko":
		return "paramiko"
	case "python3-aiosmtpd":
		return "aiosmtpd"
	case "systemd-analyze":
		return "systemd"
	case "fusermount", "fusermount3":
		return "fuse"
	default:
		return program
	}
}

// Tool returns the path of a client or helper program that can be run as it is: lftp, rclone, curl,
// wget, sftp, scp, ssh, ssh-keygen, ssh-keyscan, ssh-audit, gpg, gpg-connect-agent, openssl, minisign,
// signify-openbsd, pure-pw, cadaver, litmus, fusermount3, sshfs, chromium, python3, python3-paramiko and python3-aiosmtpd,
// which are Python with these, zsh, fish, mandoc, and systemd-analyze. They are the versions of Debian 12 that tests/fetch-debs.sh unpacks; where that
// fails, one in PATH will do.
func Tool(t testing.TB, program string) string {
	t.Helper()
	root := ModuleRoot(t)
	path := filepath.Join(root, ".cache", "debs", "bin", program)
	cmd := exec.Command(filepath.Join(root, "tests", "fetch-debs.sh"), folderOf(program))
	out, err := cmd.CombinedOutput()
	if err == nil {
		if _, err = os.Stat(path); err == nil {
			return path
		}
	}
	if system, lookErr := exec.LookPath(program); lookErr == nil {
		t.Logf("servers: using %s: %v: %s", system, err, strings.TrimSpace(string(out)))
		return system
	}
	t.Fatalf("servers: no %s: %v\n%s", program, err, out)
	return ""
}

// debs returns a path inside the unpacked packages.
func debs(t testing.TB, path string) string {
	t.Helper()
	full := filepath.Join(ModuleRoot(t), ".cache", "debs", path)
	if _, err := os.Stat(full); err != nil {
		t.Fatalf("servers: %v; remove .cache and run tests/fetch-debs.sh", err)
	}
	return full
}

// libraries returns the LD_LIBRARY_PATH assignment for one unpacked folder.
func libraries(t testing.TB, folder string) string {
	t.Helper()
	root := debs(t, folder)
	var dirs []string
	for _, pattern := range []string{"usr/lib/*-linux-gnu", "lib/*-linux-gnu"} {
		found, _ := filepath.Glob(filepath.Join(root, pattern)) // the pattern is well formed
		dirs = append(dirs, found...)
	}
	return "LD_LIBRARY_PATH=" + strings.Join(dirs, ":")
}

// library returns the path of one shared library.
func library(t testing.TB, folder, name string) string {
	t.Helper()
	found, _ := filepath.Glob(filepath.Join(debs(t, folder), "usr/lib/*-linux-gnu", name))
	if len(found) != 1 {
		t.Fatalf("servers: %d files %s in %s; remove .cache and run tests/fetch-debs.sh", len(found), name, folder)
	}
	return found[0]
}

// Axe returns the script of axe-core, which finds barriers on a page in a browser.
func Axe(t testing.TB) string {
	t.Helper()
	Fetch(t, "axe-core")
	data, err := os.ReadFile(debs(t, filepath.Join("axe-core", "axe.min.js")))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
