package tests

import (
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// oddNames are what clients and servers get wrong.
func oddNames() []string {
	return []string{
		"plain.txt", "one blank.txt", "two  blanks.txt", " leading blank.txt", "trailing blank ", "no extension",
		"it's quoted.txt", `a "double" quote.txt`, "back`tick.txt", `back\slash.txt`, "semi;colon=x,y.txt", "colon:inside.txt",
		"percent%41 %2F %.txt", "#hash.txt", "question?mark.txt", "am&per<sand>.txt", "plus+sign.txt", "dollar$HOME.txt",
		"[bracket]{brace}.txt", "star*.txt", "-dash.txt", "~tilde", "...dots", "pipe|bang!.txt", "at@sign^.txt",
		"Ärger und Übermut.txt", "été à la plage.txt", "日本語のファイル.txt", "表示.txt", "emoji 🙂🚀.txt", "Ελληνικά.txt", "مرحبا.txt",
		"folder with blanks/inner file.txt", "資料/十月の報告書.txt", "ümlaut/nested/deep/er/file", "100%/#1/what?.txt",
		strings.Repeat("long ", 48) + "name.txt",
	}
}

// bigName is the big file of an odd tree.
const bigName = "big.bin"

// oddTree writes a few dozen files with awkward names, an empty one and one of 20 MB, of several dates.
func oddTree(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tree")
	random := rand.NewChaCha8([32]byte([]byte("contents of the clients' own tree")))
	for i, name := range append(oddNames(), "empty.dat", bigName) {
		size := 1 + i*337
		switch name {
		case "empty.dat":
			size = 0
		case bigName:
			size = 20<<20 + 1
		}
		data := make([]byte, size)
		random.Read(data)
		writeFile(t, filepath.Join(dir, name), data)
		date := time.Date(1999+i%25, time.Month(1+i%12), 1+i%28, i%24, 4, 5, 0, time.UTC)
		if err := os.Chtimes(filepath.Join(dir, name), date, date); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// snapshot is every file and folder below dir: digest and, if asked for, time of files.
func snapshot(t *testing.T, dir string, times bool) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		if d.Name() == ".gateway-staging" {
			return fs.SkipDir
		}
		name, _ := filepath.Rel(dir, path)
		switch {
		case d.IsDir():
			all[name] = "a folder"
		case !d.Type().IsRegular():
			all[name] = d.Type().String()
		default:
			all[name] = sumFile(t, path)
		}
		if info, err := d.Info(); err != nil {
			return err
		} else if times && d.Type().IsRegular() {
			all[name] += " of " + info.ModTime().UTC().Format(time.RFC3339)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sameTree compares two folders: names and bytes, and times of files if asked for.
func sameTree(t *testing.T, what, got, want string, times bool) {
	t.Helper()
	sameSnapshot(t, what, snapshot(t, got, times), snapshot(t, want, times))
}

func sameSnapshot(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if len(want) == 0 {
		t.Fatalf("%s: nothing to compare with", what)
	}
	for name := range maps.Keys(want) {
		if got[name] != want[name] {
			t.Errorf("%s: %q is %q, want %q", what, name, got[name], want[name])
		}
	}
	for name := range maps.Keys(got) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %q should not be there", what, name)
		}
	}
}

// absent checks that there is nothing under a name of the storage.
func (l *lab) absent(names ...string) {
	l.t.Helper()
	for _, name := range names {
		if _, err := os.Lstat(l.files(name)); err == nil {
			l.t.Errorf("%q is still there", name)
		}
	}
}

// TestClients has each client move a tree of awkward files in and out again, and
// do what else it can. What it wrote is compared on the disk, as it reads it back,
// and as a client of the other protocol reads it.
func TestClients(t *testing.T) {
	s := newLab(t).serve()
	tree := oddTree(t)
	for _, c := range []struct {
		name  string
		test  func(t *testing.T, s *serving, tree string)
		times bool // it sends modification times
		other func(t *testing.T, s *serving, folder, to string)
	}{
		{"sftp", openssh, true, curlFolder},
		{"lftp-sftp", lftpSFTP, true, curlFolder},
		{"lftp-https", lftpHTTPS, true, sftpFolder},
		{"paramiko", paramikoClient, true, curlFolder},
		{"sshfs", sshfs, true, curlFolder},
		{"rclone-sftp", rcloneSFTP, true, curlFolder},
		{"rclone-webdav", rcloneWebDAV, false, sftpFolder},
		{"rclone-owncloud", rcloneOwncloud, true, sftpFolder},
		{"curl", curl, true, sftpFolder},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.in(t)
			c.test(t, s, tree)
			sameTree(t, "on the disk", s.files(c.name), tree, c.times)
			to := filepath.Join(t.TempDir(), "other")
			c.other(t, s, c.name, to)
			sameTree(t, "read over the other protocol", to, tree, c.times)
		})
	}
}

// in is the same server for a subtest, whose failures are its own.
func (s *serving) in(t *testing.T) *serving {
	sub, own := *s, *s.lab
	own.t = t
	sub.lab = &own
	return &sub
}

// sftpFolder fetches a folder with OpenSSH.
func sftpFolder(t *testing.T, s *serving, folder, to string) {
	s.batch("get -rp " + folder + " " + to)
}

// curlFolder fetches what the disk has in a folder with curl.
func curlFolder(t *testing.T, s *serving, folder, to string) {
	t.Helper()
	var config strings.Builder
	for _, name := range slices.Sorted(maps.Keys(snapshot(t, s.files(folder), false))) {
		info, err := os.Stat(s.files(folder, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			if err := os.MkdirAll(filepath.Join(to, name), 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		fmt.Fprintf(&config, "url = \"%s\"\noutput = %q\nremote-time\nfail\n", s.url(folder+"/"+name), filepath.Join(to, name))
	}
	s.curlConfig(config.String())
}

// curlConfig runs curl on a configuration of many transfers.
func (s *serving) curlConfig(config string) {
	s.t.Helper()
	client(s.t, "curl", config, "-sS", "-k", "-g", "--create-dirs", "-u", s.user+":"+s.password, "-K", "-")
}

func openssh(t *testing.T, s *serving, tree string) {
	back, part := t.TempDir(), filepath.Join(t.TempDir(), "part")
	big := filepath.Join(tree, bigName)
	data, err := os.ReadFile(big)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, part, data[:5<<20])
	s.batch("put -rp "+tree+" sftp", "get -rp sftp "+back)
	sameTree(t, "read back", filepath.Join(back, "sftp"), tree, true)

	long := s.batch("ls -l sftp")
	for _, name := range []string{"plain.txt", "表示.txt", "emoji 🙂🚀.txt", "it's quoted.txt", "folder with blanks"} {
		if !strings.Contains(long, name) {
			t.Errorf("ls -l does not show %q:\n%s", name, long)
		}
	}
	if !strings.Contains(long, fmt.Sprint(len(data))) {
		t.Errorf("ls -l does not show the size %d:\n%s", len(data), long)
	}

	s.batch(
		"mkdir sftp/desk", "mkdir sftp/desk/empty", "put "+part+" sftp/desk/big", "reput "+big+" sftp/desk/big",
		"rename sftp/desk/big sftp/desk/bigger", "get sftp/desk/bigger "+back+"/bigger",
		"put "+part+" sftp/desk/gone", "rm sftp/desk/gone", "rmdir sftp/desk/empty",
	)
	if got := sumFile(t, filepath.Join(back, "bigger")); got != sumFile(t, big) {
		t.Error("reput did not complete the file")
	}
	if r := clientResult(t, "sftp", "rmdir sftp/desk\n", s.sftpArgs()...); r.code == 0 {
		t.Error("rmdir of a folder that is not empty succeeded")
	}
	s.absent("sftp/desk/gone", "sftp/desk/big", "sftp/desk/empty")
	s.batch("rm sftp/desk/bigger", "rmdir sftp/desk")
}

// lftpSettings are what lftp needs to know before a script.
func lftpSettings(s *serving) []string {
	return []string{
		"set cmd:fail-exit yes", "set net:max-retries 1", "set net:timeout 20", "set ssl:verify-certificate no",
		// It ends the connection after MKCOL and waits before it makes the next one.
		"set net:reconnect-interval-base 1",
		// With PROPFIND on, this lftp sends a PROPPATCH after each PUT whose headers follow its body.
		"set http:use-propfind no",
		"set sftp:auto-confirm yes",
		fmt.Sprintf(`set sftp:connect-program "ssh -a -x -i %s -o IdentitiesOnly=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"`, s.keyFile),
	}
}

// lftp runs a script of lftp against a folder of its own and stops at the first failure.
func lftp(t *testing.T, s *serving, script ...string) string {
	t.Helper()
	r := finish(t, lftpCommand(t, s, script...))
	if r.code != 0 {
		t.Fatalf("lftp: exit status %d\n%s%s", r.code, r.out, r.stderr)
	}
	return r.out
}

func lftpCommand(t *testing.T, s *serving, script ...string) *exec.Cmd {
	t.Helper()
	return clientCommand(t, "lftp", "", "-c", strings.Join(append(lftpSettings(s), script...), "\n"))
}

func lftpSFTP(t *testing.T, s *serving, tree string) {
	lftpClient(t, s, tree, "lftp-sftp", fmt.Sprintf("open -u %s, sftp://%s", s.user, s.sftp), snapshot(t, tree, true))
}

func lftpHTTPS(t *testing.T, s *serving, tree string) {
	want := snapshot(t, tree, true)
	delete(want, "~tilde") // its parser of listings passes over a link that begins so
	lftpClient(t, s, tree, "lftp-https", fmt.Sprintf("open -u %s,%q https://%s", s.user, s.password, s.https), want)
}

func lftpClient(t *testing.T, s *serving, tree, folder, open string, want map[string]string) {
	back := filepath.Join(t.TempDir(), "back")
	lftp(t, s, open, "mkdir "+folder, "mirror -R "+tree+" "+folder, "mirror "+folder+" "+back)
	sameSnapshot(t, "mirrored back", snapshot(t, back, true), want)

	desk := folder + "/desk"
	out := lftp(t, s, open, "mkdir "+desk, "cd "+desk, "put "+filepath.Join(tree, "plain.txt"),
		"put "+filepath.Join(tree, "plain.txt")+" -o gone", "ls", "mv plain.txt moved", "rm gone", "cat moved > "+back+"/moved", "mkdir empty")
	if !strings.Contains(out, "plain.txt") {
		t.Errorf("ls does not show plain.txt:\n%s", out)
	}
	if got, want := sumFile(t, back+"/moved"), sumFile(t, filepath.Join(tree, "plain.txt")); got != want {
		t.Errorf("the moved file has the digest %s, want %s", got, want)
	}
	s.absent(desk+"/gone", desk+"/plain.txt")
	lftp(t, s, open, "rm -r "+desk)
	s.absent(desk)
}

// rclone runs rclone; remote is its name for the root of the gateway.
type rclone struct {
	t      *testing.T
	flags  []string
	remote string
}

func (r rclone) run(args ...string) string {
	r.t.Helper()
	return client(r.t, "rclone", "", append(slices.Clone(r.flags), args...)...)
}

func rcloneSFTP(t *testing.T, s *serving, tree string) {
	host, port, _ := strings.Cut(s.sftp, ":")
	rcloneClient(t, s, tree, "rclone-sftp", rclone{t, []string{
		"--sftp-host", host, "--sftp-port", port, "--sftp-user", s.user, "--sftp-key-file", s.keyFile,
	}, ":sftp:"}, true)
}

func rcloneWebDAV(t *testing.T, s *serving, tree string) {
	rcloneClient(t, s, tree, "rclone-webdav", s.rcloneHTTPS(t, "other"), false)
}

func rcloneOwncloud(t *testing.T, s *serving, tree string) {
	rcloneClient(t, s, tree, "rclone-owncloud", s.rcloneHTTPS(t, "owncloud"), true)
}

func (s *serving) rcloneHTTPS(t *testing.T, vendor string) rclone {
	t.Helper()
	obscured := strings.TrimSpace(client(t, "rclone", "", "obscure", s.password))
	return rclone{t, []string{
		"--no-check-certificate", "--webdav-url", "https://" + s.https, "--webdav-vendor", vendor,
		"--webdav-user", s.user, "--webdav-pass", obscured,
	}, ":webdav:"}
}

func rcloneClient(t *testing.T, s *serving, tree, folder string, r rclone, times bool) {
	back, at := filepath.Join(t.TempDir(), "back"), r.remote+folder
	r.run("mkdir", at)
	r.run("copy", tree, at)
	r.run("check", "--download", tree, at)
	r.run("copy", at, back)
	sameTree(t, "copied back", back, tree, times)
	list := r.run("lsf", "-R", "--files-only", at)
	for _, name := range oddNames() {
		if !strings.Contains(list, name) {
			t.Errorf("lsf does not show %q:\n%s", name, list)
		}
	}

	desk, plain := at+"/desk", filepath.Join(tree, "plain.txt")
	r.run("copyto", plain, desk+"/one")
	r.run("copyto", plain, desk+"/two")
	r.run("moveto", desk+"/one", desk+"/日本 'moved'")
	r.run("deletefile", desk+"/two")
	r.run("mkdir", desk+"/empty")
	r.run("rmdir", desk+"/empty")
	s.absent(folder+"/desk/one", folder+"/desk/two", folder+"/desk/empty")
	if got := sumFile(t, s.files(folder, "desk", "日本 'moved'")); got != sumFile(t, plain) {
		t.Error("the moved file is another")
	}
	// sync takes away what the source does not have, and a second run has nothing to do.
	r.run("sync", tree, at)
	before, _ := os.Stat(s.files(folder, bigName))
	r.run("sync", tree, at)
	after, err := os.Stat(s.files(folder, bigName))
	if err != nil || times && !os.SameFile(before, after) {
		t.Errorf("the second sync sent the big file again (%v)", err)
	}
	r.run("rmdirs", "--leave-root", at)
	s.absent(folder + "/desk")
}

func curl(t *testing.T, s *serving, tree string) {
	files := snapshot(t, tree, false)
	mkcol := func(name string) {
		if r := s.curl("-f", "-X", "MKCOL", s.url(name)); r.code != 0 {
			t.Errorf("MKCOL %q: %s", name, r.stderr)
		}
	}
	mkcol("curl")
	var uploads strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if files[name] == "a folder" {
			mkcol("curl/" + name)
			continue
		}
		info, err := os.Stat(filepath.Join(tree, name))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&uploads, "next\nsilent\nshow-error\ninsecure\ngloboff\nfail\nuser = %q\nheader = \"X-OC-Mtime: %d\"\nupload-file = %q\nurl = \"%s\"\noutput = /dev/null\n",
			s.user+":"+s.password, info.ModTime().Unix(), filepath.Join(tree, name), s.url("curl/"+name))
	}
	s.curlConfig(strings.TrimPrefix(uploads.String(), "next\n"))
	back := filepath.Join(t.TempDir(), "back")
	curlFolder(t, s, "curl", back)
	sameTree(t, "read back", back, tree, true)
	curlVerbs(t, s, tree)
}

func curlVerbs(t *testing.T, s *serving, tree string) {
	data, err := os.ReadFile(filepath.Join(tree, bigName))
	if err != nil {
		t.Fatal(err)
	}
	if r := s.curl("-r", "1000000-1000999", s.url("curl/"+bigName)); r.out != string(data[1000000:1001000]) {
		t.Errorf("range: %d bytes that differ", len(r.out))
	}
	plain := filepath.Join(tree, "plain.txt")
	for _, step := range []struct {
		want string
		args []string
	}{
		{"201", []string{"-X", "MKCOL", s.url("curl/desk")}},
		{"405", []string{"-X", "MKCOL", s.url("curl/desk")}},
		{"201", []string{"-T", plain, s.url("curl/desk/a ü.txt")}},
		{"204", []string{"-T", plain, s.url("curl/desk/a ü.txt")}},
		{"409", []string{"-T", plain, s.url("curl/nowhere/a.txt")}},
		{"201", []string{"-X", "COPY", "-H", "Destination: " + s.url("curl/desk/copy"), s.url("curl/desk/a ü.txt")}},
		{"412", []string{"-X", "COPY", "-H", "Overwrite: F", "-H", "Destination: " + s.url("curl/desk/copy"), s.url("curl/desk/a ü.txt")}},
		{"204", []string{"-X", "MOVE", "-H", "Destination: " + s.url("curl/desk/copy"), s.url("curl/desk/a ü.txt")}},
		{"404", []string{s.url("curl/desk/a ü.txt")}},
		{"200", []string{s.url("curl/desk/copy")}},
		{"207", []string{"-X", "PROPFIND", "-H", "Depth: 1", "-H", "Content-Type: application/xml", "--data-binary",
			`<?xml version="1.0"?><D:propfind xmlns:D="DAV:"><D:prop><D:getcontentlength/></D:prop></D:propfind>`, s.url("curl/desk")}},
		{"204", []string{"-X", "DELETE", s.url("curl/desk/copy")}},
		{"404", []string{"-X", "DELETE", s.url("curl/desk/copy")}},
		{"204", []string{"-X", "DELETE", s.url("curl/desk/")}},
	} {
		if got := s.answer(step.args...); got != step.want {
			t.Errorf("curl %s: status %s, want %s", strings.Join(step.args, " "), got, step.want)
		}
	}
	s.absent("curl/desk")
	xml := s.curl("-X", "PROPFIND", "-H", "Depth: 1", s.url("curl/")).out
	if n := strings.Count(xml, "<D:response>"); n != 1+topLevel(t, tree) {
		t.Errorf("PROPFIND has %d entries, want the folder and its %d:\n%s", n, topLevel(t, tree), xml)
	}
}

func topLevel(t *testing.T, dir string) int {
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
