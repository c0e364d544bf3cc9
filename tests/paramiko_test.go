package tests

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// paramikoHead connects; what follows has sftp.
const paramikoHead = `
import io, os, stat, sys, paramiko
host, port, user, key = sys.argv[1:5]
del sys.argv[1:5]
client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect(host, int(port), user, key_filename=key, allow_agent=False, look_for_keys=False)
sftp = client.open_sftp()
`

// paramiko is a script in Python with a session of paramiko.
func paramiko(t *testing.T, s *serving, script string, args ...string) *exec.Cmd {
	t.Helper()
	host, port, _ := strings.Cut(s.sftp, ":")
	return clientCommand(t, "python3-paramiko", paramikoHead+script, append([]string{"-", host, port, s.user, s.keyFile}, args...)...)
}

func mustParamiko(t *testing.T, s *serving, script string, args ...string) string {
	t.Helper()
	r := finish(t, paramiko(t, s, script, args...))
	if r.code != 0 {
		t.Fatalf("paramiko: exit status %d\n%s%s", r.code, r.out, r.stderr)
	}
	return r.out
}

// paramikoClient moves the tree in and out again, and uses what else paramiko has: files that are read and written
// at once, prefetch, reads of many pieces, attributes and renames.
func paramikoClient(t *testing.T, s *serving, tree string) {
	back := filepath.Join(t.TempDir(), "back")
	mustParamiko(t, s, `
tree, back = sys.argv[1:]

def walk(folder):
    for a in sftp.listdir_attr(folder):
        yield folder + "/" + a.filename, a
        if stat.S_ISDIR(a.st_mode):
            yield from walk(folder + "/" + a.filename)

sftp.mkdir("paramiko")
for folder, dirs, files in os.walk(tree):
    there = "paramiko" + folder[len(tree):]
    for name in dirs:
        sftp.mkdir(there + "/" + name)
    for name in files:
        local = os.path.join(folder, name)
        put = sftp.put(local, there + "/" + name)
        assert put.st_size == os.path.getsize(local)
        when = os.stat(local).st_mtime
        sftp.utime(there + "/" + name, (when, when))
os.mkdir(back)
for name, a in walk("paramiko"):
    local = back + name[len("paramiko"):]
    if stat.S_ISDIR(a.st_mode):
        os.mkdir(local)
    else:
        sftp.get(name, local)  # with prefetch
        os.utime(local, (a.st_mtime, a.st_mtime))
`, tree, back)
	sameTree(t, "read back", back, tree, true)
	mustParamiko(t, s, `
def fails(what, call, *errors):
    try:
        call()
    except errors or (IOError,):
        return
    raise AssertionError(what + " succeeded")

sftp.mkdir("paramiko/desk", 0o700)
sftp.chdir("paramiko/desk")
assert sftp.getcwd() == "/paramiko/desk" and sftp.normalize("..") == "/paramiko"
content = os.urandom(3 << 20)
assert sftp.putfo(io.BytesIO(content), "f", len(content)).st_size == len(content)

with sftp.open("f", "r+") as f:  # read and write through one handle
    assert f.stat().st_size == len(content)
    for at in (0, 100000, 1 << 20, len(content) - 3):
        f.seek(at)
        f.write(b"abc")
        f.seek(at)
        assert f.read(3) == b"abc"
        content = content[:at] + b"abc" + content[at + 3:]
    f.flush()
    f.seek(0)
    assert f.read() == content
with sftp.open("f", "rb") as f:
    f.prefetch(len(content))
    assert f.read() == content
    pieces = [(5, 10), (1 << 20, 70000), (len(content) - 10, 10)]
    assert list(f.readv(pieces)) == [content[a:a + n] for a, n in pieces]
with sftp.open("f", "ab") as f:
    assert f.tell() == len(content)
    f.write(b"more")
content += b"more"
with sftp.open("f", "wb") as f:
    f.write(b"never mind")
    with sftp.open("f", "rb") as old:
        assert old.read() == content, "a reader saw what is not whole"
fails("x of what is there", lambda: sftp.open("f", "x"))
with sftp.open("f", "rb") as f:
    assert f.read() == b"never mind"
    fails("a write to a reader", lambda: f.write(b"x") or f.flush())
sftp.truncate("f", 5)
assert sftp.stat("f").st_size == 5

sftp.chmod("f", 0o640)
sftp.chown("f", 1000, 1000)
sftp.utime("f", (1000000000, 1000000000))
a = sftp.stat("f")
assert (a.st_mtime, a.st_uid, a.st_gid) == (1000000000, 1000, 1000) and stat.S_ISREG(a.st_mode), a
assert sftp.lstat("f").st_size == 5
with sftp.open("g", "w") as g:
    g.write("other")
    g.chmod(0o600)
    g.utime((1, 2))
fails("rename onto a file", lambda: sftp.rename("f", "g"))
sftp.posix_rename("f", "g")
assert sftp.listdir() == ["g"] and sftp.stat("g").st_size == 5
sftp.rename("g", "h")
fails("stat of nothing", lambda: sftp.stat("g"), FileNotFoundError)
fails("open of nothing", lambda: sftp.open("g"), FileNotFoundError)
fails("listdir of a file", lambda: sftp.listdir("h"))
fails("remove of a folder", lambda: sftp.remove("../desk"))
fails("rmdir of a full folder", lambda: sftp.rmdir("../desk"))
fails("symlink", lambda: sftp.symlink("h", "link"))
fails("readlink", lambda: sftp.readlink("h"))
names = [a.filename for a in sftp.listdir_iter(".")]
assert names == ["h"], names

many = {"m%d" % i: os.urandom(1000 + i) for i in range(40)}
files = {name: sftp.open(name, "w+") for name in many}  # many at once
for name, f in files.items():
    f.set_pipelined(True)
    f.write(many[name])
for name, f in files.items():
    f.set_pipelined(False)
    f.seek(0)
    assert f.read() == many[name]
    f.close()
for name in many:
    with sftp.open(name) as f:
        assert f.read() == many[name]
    sftp.remove(name)
sftp.remove("h")
sftp.chdir(None)
sftp.rmdir("/paramiko/desk")
fails("stat of a folder that was removed", lambda: sftp.stat("/paramiko/desk"), FileNotFoundError)
`)
}
