package tests

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gateway/tests/servers"
)

// mountSSHFS mounts what the user sees until the test ends.
func mountSSHFS(t *testing.T, s *serving) (dir string) {
	t.Helper()
	dir = t.TempDir()
	host, port, _ := strings.Cut(s.sftp, ":")
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, servers.Tool(t, "sshfs"), "-f", s.user+"@"+host+":/", dir, "-p", port,
		"-o", "ssh_command="+servers.Tool(t, "ssh"), "-o", "IdentityFile="+s.keyFile, "-o", "IdentitiesOnly=yes",
		"-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "idmap=user")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	mustDo(t, cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	mounted := func() bool {
		var at, above syscall.Stat_t
		return syscall.Stat(dir, &at) == nil && syscall.Stat(filepath.Dir(dir), &above) == nil && at.Dev != above.Dev
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
			_ = syscall.Unmount(dir, syscall.MNT_DETACH)
		}
		<-ended
	})
	for end := time.Now().Add(20 * time.Second); !mounted(); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-ended:
			t.Fatalf("sshfs ended: %v\n%s", err, &out)
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("sshfs does not mount:\n%s", &out)
		}
	}
	return dir
}

// refuse is for scripts: it runs a command that has to fail. ("!" alone stops no script.)
const refuse = `no() { if "$@" 2>/dev/null; then echo "succeeded: $*" >&2; exit 1; fi; }
`

// sh runs a script in a folder and stops at the first command that fails.
func sh(t *testing.T, dir, script string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", append([]string{"-c", "set -eu\n" + refuse + script, "bash"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "LC_ALL=C.UTF-8")
	r := finish(t, cmd)
	if r.code != 0 {
		t.Fatalf("%s\nexit status %d\n%s%s", script, r.code, r.out, r.stderr)
	}
	return r.out
}

// sshfs is sshfsFolder, and a clone by git.
func sshfs(t *testing.T, s *serving, tree string) {
	if !servers.HasFUSE(t) {
		return
	}
	at := mountSSHFS(t, s)
	sshfsFolder(t, at, tree)
	gitOnMount(t, filepath.Join(at, "sshfs"))
}

// sshfsFolder works on a mount as on any folder: copies, appends, cuts, writes in the middle, renames onto what is
// there, and a database.
func sshfsFolder(t *testing.T, at, tree string) {
	sh(t, at, `cp -r --preserve=timestamps "$1" sshfs`, tree)
	sameTree(t, "as mounted", filepath.Join(at, "sshfs"), tree, true)

	sh(t, at, `
mkdir sshfs/desk
cd sshfs/desk
echo one >log
echo two >>log
printf three >>log
[ "$(cat log)" = "one
two
three" ]
head -c 3000000 /dev/urandom >"$1/f"
cp "$1/f" f
for at in 7 100 1 2900 500; do
	head -c 3000 /dev/urandom >"$1/piece"
	for to in f "$1/f"; do dd if="$1/piece" of="$to" bs=1000 seek=$at conv=notrunc status=none; done
done
cmp f "$1/f"
truncate -s 1234567 f "$1/f"
cmp f "$1/f"
truncate -s 2000000 f "$1/f"
cmp f "$1/f"
echo other >g
mv -f f g
cmp g "$1/f"
no ls f
mkdir -p a/b/c
mv a z
rmdir z/b/c
no rmdir z
chmod 600 g
touch -d 2001-02-03T04:05:06Z g
[ "$(stat -c %Y g)" = 981173106 ]
no ln g hard
no ln -s g soft
flock lock true # opened for reading and made
[ -e lock ]
rm lock
exec 3<>g
printf xyz >&3
head -c 3 <g >/dev/null
exec 3>&-
[ "$(head -c 3 g)" = xyz ]
rm -r z g log
[ -z "$(ls -A)" ]
`, t.TempDir())

	databaseOnMount(t, filepath.Join(at, "sshfs", "desk"))
	sh(t, at, `rm -r sshfs/desk; no ls sshfs/desk`)
}

// gitOnMount clones a repository into a folder, commits there, and has git check all of it.
func gitOnMount(t *testing.T, dir string) {
	t.Helper()
	sh(t, dir, `
export GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.com GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.com
git init -q "$1/origin"
(
	cd "$1/origin"
	for i in 1 2 3; do
		mkdir -p d$i
		head -c 20000 /dev/urandom >d$i/f
		git add .
		git commit -q -m $i
	done
)
git clone -q "$1/origin" clone
cd clone
echo more >>d1/f
git commit -q -a -m more
git gc -q
git fsck --strict
[ -z "$(git status --porcelain)" ]
[ "$(git rev-list --count HEAD)" = 4 ]
cd ..
rm -rf clone
`, t.TempDir())
}

// databaseOnMount has SQLite make, change and check a database.
func databaseOnMount(t *testing.T, dir string) {
	t.Helper()
	client(t, "python3-paramiko", fmt.Sprintf(`
import sqlite3
name = %q
for round in range(3):
    db = sqlite3.connect(name)
    db.execute("CREATE TABLE IF NOT EXISTS t (i INTEGER PRIMARY KEY, text TEXT)")
    for i in range(5):
        with db:
            db.executemany("INSERT INTO t (text) VALUES (?)", [("x" * 100 * j,) for j in range(20)])
    with db:
        db.execute("UPDATE t SET text = 'y' WHERE i %% 7 = 0")
    assert db.execute("SELECT count(*) FROM t").fetchone() == (100 * (round + 1),)
    db.execute("VACUUM")
    db.close()
db = sqlite3.connect(name)
assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
assert db.execute("SELECT count(*) FROM t WHERE text = 'y'").fetchone()[0] > 30
db.close()
`, filepath.Join(dir, "database")), "-")
}
