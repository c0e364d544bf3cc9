package servers

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestMakeTree(t *testing.T) {
	tr := MakeTree(t, filepath.Join(t.TempDir(), "tree"), TreeOptions{BigSize: 1 << 20})
	seen := 0
	err := filepath.WalkDir(tr.Root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		seen++
		name := path[len(tr.Root)+1:]
		want, ok := tr.Files[name]
		data, rerr := os.ReadFile(path)
		info, serr := d.Info()
		if !ok || rerr != nil || serr != nil {
			t.Errorf("%q: noted %v, %v, %v", name, ok, rerr, serr)
			return nil
		}
		sum := sha256.Sum256(data)
		if hex.EncodeToString(sum[:]) != want.SHA256 || info.Size() != want.Size || !info.ModTime().Equal(want.ModTime) {
			t.Errorf("%q is not as noted: %+v", name, want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen != len(tr.Files) || len(tr.Good()) != seen-4 {
		t.Errorf("%d files, %d noted, %d good", seen, len(tr.Files), len(tr.Good()))
	}
	if !strings.Contains(strings.Join(tr.Good(), "\n"), "\x83\x5c") {
		t.Error("no name has the Shift_JIS trail byte 0x5C")
	}
	if tr.Files[TreeUnlisted].Listed || tr.Files[TreeBig].Size != 1<<20 {
		t.Errorf("%+v", tr.Files)
	}
	for name := range tr.Links {
		if _, err := os.Stat(filepath.Join(tr.Root, name)); err != nil {
			t.Error(err)
		}
	}
}

// The tools that made manifest and signature agree with them, but for the file that was changed.
func TestTreeEvidence(t *testing.T) {
	tr := MakeTree(t, filepath.Join(t.TempDir(), "tree"), TreeOptions{BigSize: -1})
	check := exec.Command("sha256sum", "--check", "--quiet", TreeManifest)
	check.Dir = tr.Root
	check.Env = append(os.Environ(), "LC_ALL=C")
	out, err := check.Output()
	if err == nil || string(out) != TreeTampered+": FAILED\n" {
		t.Errorf("sha256sum --check: %v\n%s", err, out)
	}
	if len(tr.Signer.Fingerprint) != 40 {
		t.Errorf("fingerprint %q", tr.Signer.Fingerprint)
	}
	home := t.TempDir()
	for _, args := range [][]string{
		{"--import", tr.Signer.PublicKey},
		{"--verify", filepath.Join(tr.Root, TreeSignature), filepath.Join(tr.Root, TreeManifest)},
	} {
		gpg := exec.Command(Tool(t, "gpg"), append([]string{"--batch", "--no-autostart", "--homedir", home}, args...)...)
		if out, err := gpg.CombinedOutput(); err != nil {
			t.Errorf("gpg %s: %v\n%s", args[0], err, out)
		}
	}
	if _, ok := tr.Files[TreeBig]; ok {
		t.Error("a big file was made")
	}
}
