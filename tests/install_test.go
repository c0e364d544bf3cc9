package tests

import (
	"bytes"
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gateway/tests/servers"
)

// TestInstall looks at what "make install" puts below a folder.
func TestInstall(t *testing.T) {
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	makeInstall(t, "install", filepath.Join(dir, "gateway"), root)
	t.Run("binary", func(t *testing.T) { checkStatic(t, filepath.Join(root, "usr/bin/gateway")) })
	t.Run("files", func(t *testing.T) { checkInstalled(t, root) })
	t.Run("again", func(t *testing.T) { installAgain(t, filepath.Join(dir, "gateway")) })
	t.Run("unit", func(t *testing.T) { checkUnit(t, root) })
}

func makeInstall(t *testing.T, target, binary, dest string) {
	t.Helper()
	cmd := exec.Command("make", "-s", "-C", "..", target, "BINARY="+binary, "DESTDIR="+dest, "PREFIX=/usr")
	if r := finish(t, cmd); r.code != 0 {
		t.Fatalf("make %s: %s%s", target, r.out, r.stderr)
	}
}

// checkStatic: the binary needs nothing of the machine that it is copied to, knows its version, and
// tells nothing of the machine that it was built on.
func checkStatic(t *testing.T, file string) {
	f, err := elf.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it has %s: it is linked with libraries", p.Type)
		}
	}
	if libs, err := f.ImportedLibraries(); len(libs) > 0 {
		t.Errorf("it needs %q (%v)", libs, err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(data, []byte(servers.ModuleRoot(t)+"/")) {
		t.Error("it holds the path of the folder that it was built in")
	}
	// As from git describe; outside of a repository it is "unknown".
	versionLine := regexp.MustCompile(`^gateway (unknown|[^ ()]*[0-9a-f]{7,}(-dirty)?|v\d\S*) go1\.\d+\S* linux/\w+\n$`)
	for _, arg := range []string{"version", "--version"} {
		if r := finish(t, exec.Command(file, arg)); !versionLine.MatchString(r.out) || r.code != 0 {
			t.Errorf("gateway %s: %d, %q, %s", arg, r.code, r.out, r.stderr)
		}
	}
}

// checkInstalled: everything is where it is looked for, and all may read it.
func checkInstalled(t *testing.T, root string) {
	for file, holds := range map[string]string{
		"usr/bin/gateway":                                  "",
		"usr/share/man/man1/gateway.1":                     ".TH GATEWAY 1 ",
		"usr/share/man/man1/gateway-user-add.1":            ".TH GATEWAY\\-USER\\-ADD 1 ",
		"usr/share/man/man5/gateway.yaml.5":                ".TH GATEWAY.YAML 5 ",
		"usr/share/bash-completion/completions/gateway":    "complete -F _gateway gateway",
		"usr/share/zsh/site-functions/_gateway":            "#compdef gateway",
		"usr/share/fish/vendor_completions.d/gateway.fish": "complete -c gateway",
		"usr/lib/systemd/system/gateway.service":           "ExecStart=/usr/bin/gateway serve --config=/etc/gateway/gateway.yaml",
		"etc/gateway/gateway.yaml":                         "listen: 127.0.0.1:2022",
	} {
		data, err := os.ReadFile(filepath.Join(root, file))
		if err != nil || !strings.Contains(string(data), holds) {
			t.Errorf("%s: %v, it does not hold %q", file, err, holds)
		}
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o444 != 0o444 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	// The configuration that is installed has no mistake.
	gateway := filepath.Join(root, "usr/bin/gateway")
	check := exec.Command(gateway, "check-config", "--config", filepath.Join(root, "etc/gateway/gateway.yaml"), "--data", filepath.Join(t.TempDir(), "data"))
	if r := finish(t, check); r.code != 0 {
		t.Errorf("check-config: %s%s", r.out, r.stderr)
	}
}

// installAgain: a configuration that is there is left alone, and so it is when the rest is removed.
func installAgain(t *testing.T, gateway string) {
	dest := filepath.Join(t.TempDir(), "root")
	config := filepath.Join(dest, "etc/gateway/gateway.yaml")
	if err := os.MkdirAll(filepath.Dir(config), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(config, []byte("log: {level: warn}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"install", "uninstall"} {
		makeInstall(t, target, gateway, dest)
		if data, err := os.ReadFile(config); string(data) != "log: {level: warn}\n" {
			t.Errorf("make %s: the configuration is now %q (%v)", target, data, err)
		}
	}
	var left []string
	_ = filepath.WalkDir(dest, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			left = append(left, path)
		}
		return err
	})
	if !slices.Equal(left, []string{config}) {
		t.Errorf("make uninstall left %q", left)
	}
}

// checkUnit: systemd understands the unit, and calls it well protected. verify also looks for what the unit
// starts, and the targets that it names are those of Debian's package.
func checkUnit(t *testing.T, root string) {
	unit := filepath.Join(root, "usr/lib/systemd/system/gateway.service")
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	here := filepath.Join(t.TempDir(), "gateway.service")
	moved := strings.ReplaceAll(string(text), "=/usr/bin/gateway", "="+filepath.Join(root, "usr/bin/gateway"))
	if err := os.WriteFile(here, []byte(moved), 0o600); err != nil {
		t.Fatal(err)
	}
	analyze := servers.Tool(t, "systemd-analyze")
	env := append(os.Environ(), "SYSTEMD_UNIT_PATH="+filepath.Join(servers.ModuleRoot(t), ".cache/debs/systemd/lib/systemd/system")+":")
	verify := exec.Command(analyze, "verify", "--man=no", "--recursive-errors=no", here)
	verify.Env = env
	if r := finish(t, verify); r.code != 0 || r.stderr != "" {
		t.Errorf("systemd-analyze verify: %d\n%s%s", r.code, r.out, r.stderr)
	}
	security := exec.Command(analyze, "security", "--offline=yes", "--no-pager", "--threshold=15", here)
	security.Env = env
	if r := finish(t, security); r.code != 0 {
		t.Errorf("systemd-analyze security finds more to fault than 1.5 of 10: %s%s", r.out, r.stderr)
	}
}
