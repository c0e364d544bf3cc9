package servers

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
)

// nested says from which module in a folder of tests a program is built, and which package of it.
type nested struct{ folder, module, pkg string }

// program builds it with the Go command into .cache, once for each version in its go.mod.
func (b nested) program(t testing.TB, name string) string {
	t.Helper()
	root := ModuleRoot(t)
	dir := filepath.Join(root, "tests", b.folder)
	version := regexp.MustCompile(regexp.QuoteMeta(b.module) + ` (v\S+)`).FindStringSubmatch(read(t, filepath.Join(dir, "go.mod")))
	if version == nil {
		t.Fatalf("servers: %s/go.mod does not name a version of %s", dir, b.module)
	}
	program := filepath.Join(root, ".cache", "bin", name+"-"+version[1], name)
	if _, err := os.Stat(program); err == nil {
		return program
	}
	if err := os.MkdirAll(filepath.Dir(program), 0o755); err != nil {
		t.Fatal(err)
	}
	// Several test processes may want it at once: one builds, the others wait.
	lock, err := os.Create(program + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(program); err == nil {
		return program
	}
	fresh := program + ".new" // a build that is interrupted leaves no half program under its name
	defer os.Remove(fresh)
	cmd := exec.Command("go", "build", "-o", fresh, b.pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=readonly")
	out, err := cmd.CombinedOutput()
	if err == nil {
		err = os.Rename(fresh, program)
	}
	if err != nil {
		t.Fatalf("servers: build %s: %v\n%s", name, err, out)
	}
	return program
}
