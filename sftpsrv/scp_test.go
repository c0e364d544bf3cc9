package sftpsrv

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sync/semaphore"

	"gateway/auth"
	"gateway/storage"
	"gateway/storage/disk"
)

// scp runs the scp of OpenSSH; names that begin with ":" are the server's.
func (o *openSSH) scp(t *testing.T, args ...string) outcome {
	t.Helper()
	all := slices.Clone(o.options)
	for _, a := range args {
		if strings.HasPrefix(a, ":") {
			a = testUser + "@127.0.0.1" + a
		}
		all = append(all, a)
	}
	return program(t, o.dir, "", "scp", all...)
}

// tree writes a folder with names of all kinds, and returns what is in it.
func scpTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	for i, name := range []string{"plain", "two words", "ümlaut 日本 🙂", "it's \"quoted\"", "-dash", "sub/deep/er/file", "sub/empty file", "$HOME;`ls`|", "big"} {
		size := i * 1000
		if name == "big" {
			size = 3<<20 + 7
		}
		file := filepath.Join(dir, name)
		mustDo(t, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, pattern(size), 0o640))
		when := time.Date(2001+i, 2, 3, 4, 5, 6, 0, time.UTC)
		mustDo(t, os.Chtimes(file, when, when))
	}
	mustDo(t, os.MkdirAll(filepath.Join(dir, "empty folder"), 0o755))
	when := time.Date(1999, 2, 3, 4, 5, 6, 0, time.UTC)
	mustDo(t, os.Chtimes(filepath.Join(dir, "sub"), when, when))
	return treeOf(t, dir)
}

// treeOf is the content of a folder by name, with times.
func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	mustDo(t, filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		name, _ := filepath.Rel(dir, file)
		info, err := d.Info()
		if err != nil {
			return err
		}
		all[name] = info.ModTime().UTC().Format(time.DateTime)
		if d.IsDir() {
			if name != "sub" { // of the others it is when they were made
				all[name] = "folder"
			}
			return nil
		}
		content, err := os.ReadFile(file)
		all[name] += string(content)
		return err
	}))
	return all
}

func sameTrees(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for name := range maps.Keys(want) {
		if got[name] != want[name] {
			t.Errorf("%s: %q is %.40q, want %.40q", what, name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d files and folders, want %d", what, len(got), len(want))
	}
}

func TestRealSCP(t *testing.T) {
	f := serve(t)
	o := newOpenSSH(t, f)
	want := scpTree(t, filepath.Join(o.dir, "tree"))
	for _, mode := range []string{"-O", "-s"} { // the old protocol, and SFTP
		t.Run(mode, func(t *testing.T) {
			to := "tree" + mode
			if r := o.scp(t, mode, "-rp", "tree", ":"+to); r.code != 0 {
				t.Fatalf("upload: %d %s", r.code, r.stderr)
			}
			sameTrees(t, "on the disk", treeOf(t, filepath.Join(f.dir, to)), want)
			if r := o.scp(t, mode, "-rp", ":"+to, "back"+mode); r.code != 0 {
				t.Fatalf("download: %d %s", r.code, r.stderr)
			}
			sameTrees(t, "back", treeOf(t, filepath.Join(o.dir, "back"+mode)), want)
			// Into a folder that is there, several at once.
			mustDo(t, os.Mkdir(filepath.Join(f.dir, "in"+mode), 0o755))
			if r := o.scp(t, mode, "tree/plain", "tree/two words", ":in"+mode); r.code != 0 {
				t.Errorf("two files: %d %s", r.code, r.stderr)
			}
			f.expect("in"+mode+"/two words", pattern(1000))
			// Over an older version, and with the name of the target.
			if r := o.scp(t, mode, "tree/big", ":in"+mode+"/plain"); r.code != 0 {
				t.Errorf("over another: %d %s", r.code, r.stderr)
			}
			f.expect("in"+mode+"/plain", pattern(3<<20+7))
			for _, failing := range [][]string{
				{":missing", "x"}, {":in" + mode, "x"}, {"tree/plain", ":nowhere/x"}, {"tree/plain", "tree/big", ":in" + mode + "/plain"},
			} {
				if r := o.scp(t, append([]string{mode}, failing...)...); r.code == 0 || r.stderr == "" {
					t.Errorf("%q: %d %q", failing, r.code, r.stderr)
				}
			}
		})
	}
	// What the shell at a server would do with a name.
	for _, from := range []string{`:tree-O/two\ words`, `:'tree-O/two words'`, `:tree-O/two*`, `:"tree-O/t"?o\ [vw]ords`} {
		os.Remove(filepath.Join(o.dir, "two words"))
		r := o.scp(t, "-O", "-T", from, ".") // -T: it does not hold names with quotes against what comes
		if got, err := os.ReadFile(filepath.Join(o.dir, "two words")); err != nil || !bytes.Equal(got, pattern(1000)) {
			t.Errorf("%s: %v %s", from, err, r.stderr)
		}
	}
	if r := o.scp(t, "-O", ":tree-O/*", "."); r.code == 0 { // there are folders among them
		t.Errorf("all: %d %s", r.code, r.stderr)
	}
	if got, err := os.ReadFile(filepath.Join(o.dir, "big")); err != nil || !bytes.Equal(got, pattern(3<<20+7)) {
		t.Errorf("all: %d bytes, %v", len(got), err)
	}
}

// Who may only read, or has no room left, is told so, and nothing is published.
func TestRealSCPRefused(t *testing.T) {
	var f *fixture
	quota := storage.NewQuota(1 << 20)
	f = serve(t, func(c *Config) {
		c.Open = func(_ context.Context, id auth.Identity) (storage.FS, error) {
			return storage.NewView([]storage.Mount{
				{FS: f.disk, Permissions: storage.PermReadWrite},
				{Path: "read", FS: f.disk, Permissions: storage.PermReadOnly},
				{Path: "drop", FS: f.disk, Permissions: storage.PermDropBox},
			}, storage.ViewOptions{User: id.User.Name, Quota: quota})
		}
	})
	f.write("old", []byte("an older version"))
	o := newOpenSSH(t, f)
	o.local(t, "big", pattern(2<<20))
	o.local(t, "small", pattern(10))
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"small", ":read/small"}, "/read/small: Permission denied"},
		{[]string{"big", ":old"}, "/old: Disk quota exceeded"},
	} {
		if r := o.scp(t, append([]string{"-O"}, test.args...)...); r.code == 0 || !strings.Contains(r.stderr, test.want) {
			t.Errorf("%q: %d %q", test.args, r.code, r.stderr)
		}
	}
	// Who may only leave things here can, but not over what is there.
	o.local(t, "fresh", pattern(20))
	mustDo(t, os.Mkdir(filepath.Join(o.dir, "folder"), 0o755), os.WriteFile(filepath.Join(o.dir, "folder", "x"), pattern(30), 0o600))
	if r := o.scp(t, "-O", "-rp", "fresh", "folder", ":drop"); r.code != 0 {
		t.Errorf("into a drop box: %d %q", r.code, r.stderr)
	}
	f.expect("fresh", pattern(20))
	f.expect("folder/x", pattern(30))
	if r := o.scp(t, "-O", "small", ":drop/old"); r.code == 0 {
		t.Errorf("over a file of a drop box: %d %q", r.code, r.stderr)
	}
	// The second of two is taken all the same.
	if r := o.scp(t, "-O", "big", "small", ":"); r.code == 0 {
		t.Errorf("%d %q", r.code, r.stderr)
	}
	f.expect("old", []byte("an older version"))
	f.expect("big", nil)
	f.expect("small", pattern(10))
}

// scpSays has a client start "scp" at the server, say something and end, and returns the answer.
func (f *fixture) scpSays(t *testing.T, line, say string) string {
	t.Helper()
	session, err := f.mustDial().NewSession()
	mustDo(t, err)
	var out bytes.Buffer
	session.Stdin, session.Stdout = strings.NewReader(say), &out
	var exit *ssh.ExitError
	if err := session.Run(line); err != nil && !errors.As(err, &exit) {
		t.Errorf("%s: %v", line, err)
	}
	return out.String()
}

// What a hostile client says in the old protocol.
func TestSCPRecords(t *testing.T) {
	f := serve(t)
	f.write("f", []byte("an older version"))
	for name, test := range map[string]struct {
		line, say, want string // want is the end of what the server says
		published       string // under "f"
	}{
		"whole":                 {"scp -t f", "C0644 3 x\nabc\x00", "\x00\x00\x00", "abc"},
		"twice":                 {"scp -t f", "C0644 3 x\nabc\x00C0644 1 y\nd\x00", "\x00\x00\x00\x00\x00", "d"},
		"not confirmed":         {"scp -t f", "C0644 3 x\nabc", "\x00\x00", ""},
		"cut off":               {"scp -t f", "C0644 3 x\nab", "\x00\x00", ""},
		"client failed":         {"scp -t f", "C0644 3 x\nabc\x01scp: read error\n", "\x00\x00\x00", ""},
		"parent":                {"scp -t .", "C0644 3 ..\nabc\x00", "unexpected file name \"..\"\n", ""},
		"this":                  {"scp -t .", "C0644 3 .\nabc\x00", "unexpected file name \".\"\n", ""},
		"path":                  {"scp -t .", "C0644 3 ../f\nabc\x00", "unexpected file name \"../f\"\n", ""},
		"absolute":              {"scp -t .", "C0644 3 /f\nabc\x00", "unexpected file name \"/f\"\n", ""},
		"no name":               {"scp -t .", "C0644 3 \nabc\x00", "unexpected file name \"\"\n", ""},
		"folder up":             {"scp -r -t .", "D0755 0 ..\nC0644 3 f\nabc\x00E\n", "unexpected file name \"..\"\n", ""},
		"folder without -r":     {"scp -t .", "D0755 0 x\n", "without -r\n", ""},
		"end without a folder":  {"scp -r -t .", "E\n", "without a folder\n", ""},
		"huge":                  {"scp -t f", "C0644 9223372036854775807 x\n", "", ""},
		"too huge":              {"scp -t f", "C0644 9223372036854775808 x\n", "record \"0644 9223372036854775808 x\"\n", ""},
		"negative":              {"scp -t f", "C0644 -3 x\nabc\x00", "record \"0644 -3 x\"\n", ""},
		"mode":                  {"scp -t f", "C9644 3 x\nabc\x00", "record \"9644 3 x\"\n", ""},
		"times":                 {"scp -t f", "T1 0 1\n", "times \"1 0 1\"\n", ""},
		"times out of range":    {"scp -t f", "T99999999999999 0 1 0\n", "are out of range\n", ""},
		"endless record":        {"scp -t f", "C0644 3 " + strings.Repeat("x", 100_000), "longer than 4160 bytes\n", ""},
		"unknown":               {"scp -t f", "X\n", "record of type 'X'\n", ""},
		"control character":     {"scp -t .", "C0644 3 a\x1bb\nabc\x00", "a?b: Invalid file name\n", ""},
		"ended in a folder":     {"scp -r -t .", "D0755 0 dir\n", "in the middle: EOF\n", ""},
		"source: no beginning":  {"scp -f f", "", "", ""},
		"source: nonsense":      {"scp -f f", "\x07", "answer '\\a'\n", ""},
		"source: not wanted":    {"scp -f f", "\x00\x01no\n", "C0644 16 f\n", ""},
		"source: wanted":        {"scp -p -f f", "\x00\x00\x00\x00", "an older version\x00", ""},
		"source: a folder":      {"scp -f .", "\x00", "not a regular file\n", ""},
		"source: the root":      {"scp -r -f /", "\x00", "for example *\n", ""},
		"source: nothing there": {"scp -f /../../etc/passwd", "\x00", "No such file or directory\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			f := f.in(t)
			f.write("f", []byte("an older version"))
			if got := f.scpSays(t, test.line, test.say); !strings.HasSuffix(got, test.want) {
				t.Errorf("the server says %q, want %q at the end", got, test.want)
			}
			want := test.published
			if want == "" {
				want = "an older version"
			}
			f.expect("f", []byte(want))
			f.expect("x", nil)
		})
	}
	f.suspended(0)
}

// in is the fixture for a subtest, whose connections end with it.
func (f *fixture) in(t *testing.T) *fixture {
	sub := *f
	sub.t = t
	return &sub
}

// An upload that breaks off with its connection leaves the older version, and nothing staged.
func TestSCPBroken(t *testing.T) {
	f := serve(t)
	f.write("f", []byte("an older version"))
	conn := f.mustDial()
	session, err := conn.NewSession()
	mustDo(t, err)
	in, err := session.StdinPipe()
	mustDo(t, err)
	mustDo(t, session.Start("scp -t f"))
	_, err = in.Write(append([]byte("C0644 10000000 f\n"), pattern(3<<20)...))
	mustDo(t, err)
	conn.Close()
	f.eventually("the end of the connection", func() bool { return f.connections() == 0 })
	f.expect("f", []byte("an older version"))
	f.suspended(0)
}

// FuzzSCP feeds both directions of the old protocol with bytes that a client could send.
func FuzzSCP(f *testing.F) {
	d, err := disk.Open(f.TempDir(), disk.Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { d.Close() })
	for _, seed := range []string{"C0644 3 x\nabc\x00", "T1 0 1 0\nD0755 0 d\nC0600 1 y\nz\x00E\n", "\x00\x00\x00\x00\x00", "\x01no\n", "\x02no\n", "E\n", "C0644 9999999999 x\n"} {
		for _, line := range []string{"scp -r -t .", "scp -rpf d x", "scp -d -t d"} {
			f.Add(line, []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, line string, input []byte) {
		view, err := storage.NewView([]storage.Mount{{FS: d, Permissions: storage.PermReadWrite}}, storage.ViewOptions{User: testUser})
		if err != nil {
			t.Fatal(err)
		}
		r := &resources{
			fs: view, user: testUser, log: slog.New(slog.DiscardHandler), pool: &bufferPool{},
			buffers: semaphore.NewWeighted(connectionBuffers), total: semaphore.NewWeighted(2 * connectionBuffers),
			workers: make(chan struct{}, maxWorkers), partials: newPartials(view, testUser, 0, &claims{}, time.Now),
			now: time.Now, active: func() {},
		}
		newCommand(context.Background(), r, bytes.NewReader(input), io.Discard, io.Discard).run(line)
		if !r.buffers.TryAcquire(connectionBuffers) {
			t.Error("buffers are not given back")
		}
	})
}
