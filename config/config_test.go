package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLoad(t *testing.T) {
	tests := []struct {
		name, yaml string
		want       []string // parts of the error; none: it loads
	}{
		{name: "empty", yaml: ""},
		{name: "full", yaml: "data: d\nstorages:\n  default:\n    path: files\nsftp:\n  listen: \":2022\"\nlogins:\n  ban: 1h\n"},
		{name: "unknown key", yaml: "data: d\nsftp:\n  listn: x\n", want: []string{"gateway.yaml:3: unknown key \"listn\"; did you mean \"listen\"?"}},
		{name: "wrong kind", yaml: "logins:\n  failures: many\n", want: []string{"gateway.yaml:2: expected a whole number, found text \"many\""}},
		{name: "duration", yaml: "logins:\n  ban: soon\n", want: []string{"gateway.yaml:2: expected a duration such as 15m, found text \"soon\""}},
		{name: "address", yaml: "https:\n  listen: here\n", want: []string{"gateway.yaml:2: https.listen:", "host:port"}},
		{name: "half a certificate", yaml: "\nhttps:\n  key: k.pem\n", want: []string{"gateway.yaml:2: https: certificate and key go together"}},
		{name: "both off", yaml: "sftp:\n  off: true\nhttps:\n  off: true\n", want: []string{"nothing would be served"}},
		{name: "no path", yaml: "storages:\n  archive: {}\n", want: []string{"gateway.yaml:2: storages.archive: path is missing"}},
		{name: "storage is the data folder", yaml: "data: d\nstorages:\n  default:\n    path: d\n", want: []string{"gateway.yaml:3: storages.default:", "holds the keys and users"}},
		{name: "storage above the data folder", yaml: "storages:\n  a: {path: .}\n", want: []string{"gateway.yaml:2: storages.a:", "holds the keys and users"}},
		{name: "storage of keys", yaml: "data: d\nstorages:\n  a: {path: d/keys/old}\n", want: []string{"storages.a:", "lies among them"}},
		{name: "storage beside users", yaml: "data: d\nstorages:\n  a: {path: d/users-files}\n"},
		{name: "no data folder", yaml: "\ndata: ''\n", want: []string{"gateway.yaml:2: data: is empty"}},
		{name: "one port", yaml: "sftp:\n  listen: ':2022'\nhttps:\n  listen: ':2022'\n", want: []string{"gateway.yaml:4: https.listen:", "its own port"}},
		{name: "any two ports", yaml: "sftp:\n  listen: ':0'\nhttps:\n  listen: ':0'\n"},
		{name: "one port, sftp off", yaml: "sftp:\n  listen: ':2022'\n  off: true\nhttps:\n  listen: ':2022'\n"},
		{name: "too large", yaml: strings.Repeat("#", MaxFile+1), want: []string{"larger than"}},
		{name: "two mistakes", yaml: "log:\n  level: loud\n  format: xml\n", want: []string{":2: log.level", ":3: log.format"}},
		{name: "two documents", yaml: "data: a\n---\ndata: b\n", want: []string{"more than one YAML document"}},
		{name: "syntax", yaml: "data: [\n", want: []string{"gateway.yaml:"}},
		{name: "key twice", yaml: "data: a\ndata: b\n", want: []string{"gateway.yaml:2:", "already defined"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "gateway.yaml")
			if err := os.WriteFile(file, []byte(tt.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Load(file, "")
			if len(tt.want) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not say %q", err, w)
				}
			}
		})
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "gateway.yaml")
	if err := os.WriteFile(file, []byte("data: d\nstorages:\n  a:\n    path: files\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(file, "")
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "d"); c.Data != want {
		t.Errorf("Data = %q, want %q", c.Data, want)
	}
	if want := filepath.Join(dir, "files"); c.Storages["a"].Path != want {
		t.Errorf("path = %q, want %q", c.Storages["a"].Path, want)
	}
	if want := filepath.Join(dir, "d", "files"); c.Storages[DefaultStorage].Path != want {
		t.Errorf("default path = %q, want %q", c.Storages[DefaultStorage].Path, want)
	}
	if c.Logins.Ban != 15*time.Minute {
		t.Errorf("Ban = %v, want the default", c.Logins.Ban)
	}
}

// TestStorageByLink: a link does not hide that a storage shows the data folder.
func TestStorageByLink(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "d"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("d", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "gateway.yaml")
	if err := os.WriteFile(file, []byte("data: d\nstorages:\n  a: {path: link}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file, ""); err == nil || !strings.Contains(err.Error(), "holds the keys") {
		t.Errorf("error %v", err)
	}
}

func TestMissingFile(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "no.yaml"), ""); err == nil {
		t.Error("a named file that is missing must be an error")
	}
	t.Chdir(t.TempDir())
	if _, err := Load("", ""); err != nil {
		t.Errorf("no file and no name must give the defaults: %v", err)
	}
}
