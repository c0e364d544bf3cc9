package integrity

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// manifestTool returns the path of a program that a test talks to: from PATH, or
// from what tests/fetch-debs.sh unpacked.
func manifestTool(t testing.TB, name string) string {
	t.Helper()
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	path, err := filepath.Abs(filepath.Join("..", ".cache", "debs", "bin", name))
	if err == nil {
		path, err = exec.LookPath(path)
	}
	if err != nil {
		t.Fatalf("this test needs %s, which is neither on PATH nor fetched by tests/fetch-debs.sh: %v", name, err)
	}
	return path
}

// runManifestTool runs a program in dir and returns what it prints.
func runManifestTool(t *testing.T, dir string, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), manifestTool(t, name), args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, errOut.Bytes())
	}
	return out
}

// Every algorithm agrees with the program that people use for it. CRC-32 is at
// the end of what gzip writes (RFC 1952, section 2.2).
func TestRealDigestsAgree(t *testing.T) {
	data := []byte(strings.Repeat("some bytes\x00\xff\n", 10000))
	d := mustDigester(t, Algorithms()...)
	for i := 0; i < len(data); i += 777 {
		d.Write(data[i:min(i+777, len(data))])
	}
	tools := map[Algorithm][]string{
		SHA256: {"sha256sum"}, SHA384: {"sha384sum"}, SHA512: {"sha512sum"}, SHA1: {"sha1sum"}, MD5: {"md5sum"},
		BLAKE2b: {"b2sum"}, BLAKE2b384: {"b2sum", "-l", "384"}, BLAKE2b256: {"b2sum", "-l", "256"}, CRC32: {"gzip", "-c"},
	}
	if len(d.Sums()) != len(tools) {
		t.Fatalf("%d algorithms, %d programs", len(d.Sums()), len(tools))
	}
	for _, sum := range d.Sums() {
		tool := tools[sum.Algorithm]
		out := runManifestTool(t, "", data, tool[0], tool[1:]...)
		want, _, _ := strings.Cut(string(out), " ")
		if sum.Algorithm == CRC32 {
			want = fmt.Sprintf("%08x", binary.LittleEndian.Uint32(out[len(out)-8:]))
		}
		if got := sum.String(); got != string(sum.Algorithm)+":"+want {
			t.Errorf("got %s, %q says %s", got, tool, want)
		}
	}
}
