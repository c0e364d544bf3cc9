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
		{name: "connections", yaml: "sftp:\n  connections: 20000\n  connections_per_address: 20000\n"},
		{name: "bad connections", yaml: "sftp:\n  connections: -1\nhttps:\n  connections_per_address: 2000000\n", want: []string{"gateway.yaml:2: sftp.connections:", "gateway.yaml:4: https.connections_per_address:"}},
		{name: "sftp", yaml: "sftp:\n  unauthenticated_connections: 50\n  handshake_timeout: 30s\n  keepalive: 1m\n  idle_timeout: 1h\n  stall_timeout: 5m\n  rekey: 1GiB\n  banner: |\n    Only for members.\n  user_ca: ca.pub\n  revoked_keys: revoked\n  legacy_algorithms: true\n"},
		{name: "bad sftp", yaml: "sftp:\n  unauthenticated_connections: -1\n  handshake_timeout: 1ms\n  keepalive: -1s\n  idle_timeout: 10ms\n  stall_timeout: 1us\n  banner: " + strings.Repeat("x", MaxBanner+1) + "\n", want: []string{":2: sftp.unauthenticated_connections:", ":3: sftp.handshake_timeout: must be 1s", ":4: sftp.keepalive", ":5: sftp.idle_timeout", ":6: sftp.stall_timeout", ":7: sftp.banner: is longer"}},
		{name: "one port", yaml: "sftp:\n  listen: ':2022'\nhttps:\n  listen: ':2022'\n", want: []string{"gateway.yaml:4: https.listen:", "its own port"}},
		{name: "any two ports", yaml: "sftp:\n  listen: ':0'\nhttps:\n  listen: ':0'\n"},
		{name: "one port, sftp off", yaml: "sftp:\n  listen: ':2022'\n  off: true\nhttps:\n  listen: ':2022'\n"},
		{name: "too large", yaml: strings.Repeat("#", MaxFile+1), want: []string{"larger than"}},
		{name: "two mistakes", yaml: "log:\n  level: loud\n  format: xml\n", want: []string{":2: log.level", ":3: log.format"}},
		{name: "two documents", yaml: "data: a\n---\ndata: b\n", want: []string{"more than one YAML document"}},
		{name: "source", yaml: "sources:\n  old: {url: 'ftp://u@h/p', to: 'default:old', every: 15m, after: 'move:done', delete_extra: 50}\n  night: {url: 'ftp://u@h/p', to: new, cron: '15 3 * * 1-5'}\n"},
		{name: "source without anything", yaml: "sources:\n  old: {}\n", want: []string{":2: sources.old: url is missing", "to is missing"}},
		{name: "source name", yaml: "sources:\n  ftp://h: {url: 'ftp://h', to: x}\n", want: []string{"a source name has"}},
		{name: "password in a url", yaml: "sources:\n  old:\n    url: ftp://u:hush@h\n    to: x\n", want: []string{":3: sources.old.url: leave the password out"}},
		{name: "no url", yaml: "sources:\n  old:\n    url: 'ftp://u:hush@h/%zz'\n    to: x\n", want: []string{":3: sources.old.url: it is not a URL"}},
		{name: "two passwords", yaml: "sources:\n  old: {url: 'ftp://h', to: x, password_file: a, password_env: B}\n", want: []string{"give one of them"}},
		{name: "unknown storage", yaml: "sources:\n  old:\n    url: ftp://h\n    to: s3:x\n", want: []string{":4: sources.old.to: there is no storage \"s3\"; there are: default"}},
		{name: "two schedules", yaml: "sources:\n  old: {url: 'ftp://h', to: x, every: 1h, cron: '0 0 * * *'}\n", want: []string{"every is given too"}},
		{name: "too often", yaml: "sources:\n  old:\n    url: ftp://h\n    to: x\n    every: 1s\n", want: []string{":5: sources.old.every: must be 10s or longer"}},
		{name: "cron", yaml: "sources:\n  old:\n    url: ftp://h\n    to: x\n    cron: hourly\n", want: []string{":5: sources.old.cron:", "five fields"}},
		{name: "cron with seconds", yaml: "sources:\n  old: {url: 'ftp://h', to: x, cron: '0 0 0 * * *'}\n", want: []string{"five fields"}},
		{name: "cron with a zone", yaml: "sources:\n  old: {url: 'ftp://h', to: x, cron: 'TZ='}\n", want: []string{"a zone cannot be given"}},
		{name: "cron that never comes", yaml: "sources:\n  old: {url: 'ftp://h', to: x, cron: '0 0 30 2 *'}\n", want: []string{"never comes"}},
		{name: "one job twice", yaml: "sources:\n  a: {url: 'ftp://h', to: x}\n  b: {url: 'ftp://h', to: 'default:x/'}\n", want: []string{":3: sources.b: a has the same url and destination"}},
		{name: "zone of a source", yaml: "sources:\n  old: {url: 'ftp://h', to: x, timezone: Mars}\n", want: []string{"sources.old.timezone"}},
		{name: "proxy with a password", yaml: "sources:\n  old:\n    url: ftp://h\n    to: x\n    proxy: socks5://u:hush@p:1080\n", want: []string{":5: sources.old.proxy: a user or password"}},
		{name: "choice and removal", yaml: "sources:\n  old:\n    url: ftp://h\n    to: x\n    delete_extra: 5\n    exclude: ['*.tmp']\n", want: []string{":5: sources.old.delete_extra: files that include"}},
		{name: "reports among keys", yaml: "data: d\nsources:\n  old: {url: 'ftp://h', to: x, reports: d/keys}\n", want: []string{"sources.old.reports"}},
		{name: "push", yaml: "pushes:\n  out: {from: outbox, to: 'sftp://u@h/in', key_file: k, known_hosts: n, after: delete, every: 30s}\n  two: {from: 'default:outbox', to: 'ftps://h'}\n"},
		{name: "push of nothing", yaml: "pushes:\n  out: {}\n", want: []string{":2: pushes.out: from is missing", "to is missing: the server to send to"}},
		{name: "push from a mount", yaml: "storages:\n  old: {source: a}\nsources:\n  a: {url: 'ftp://h'}\npushes:\n  out:\n    from: old:x\n    to: ftp://h\n", want: []string{":7: pushes.out.from: storage old is a mount of the source a; a push needs"}},
		{name: "push with a password", yaml: "pushes:\n  out:\n    from: x\n    to: ftp://u:hush@h\n", want: []string{":4: pushes.out.to: leave the password out"}},
		{name: "push that moves", yaml: "pushes:\n  out:\n    from: x\n    to: ftp://h\n    after: move:done\n", want: []string{":5: pushes.out.after: \"move:done\" is not one of keep, delete"}},
		{name: "one push twice", yaml: "pushes:\n  a: {from: x, to: 'ftp://h'}\n  b: {from: 'default:x/', to: 'ftp://h'}\n", want: []string{":3: pushes.b: a has the same folder and url"}},
		{name: "segments", yaml: "sources:\n  old: {url: 'ftp://h', to: x, segments: 17}\n", want: []string{"sources.old.segments: must be 1"}},
		{name: "bucket", yaml: "storages:\n  default:\n    s3: {endpoint: 'https://h:9000', bucket: b, access_key_env: A, secret_key_file: s, memory: 64MiB, part_size: 8MiB}\n"},
		{name: "bucket of this machine", yaml: "storages:\n  default:\n    s3: {endpoint: 'http://127.0.0.1:9000', bucket: b, access_key_env: A, secret_key_env: S}\n"},
		{name: "bucket without all", yaml: "storages:\n  a:\n    s3: {}\n", want: []string{"a.s3.endpoint: is missing", "a.s3.bucket: is missing", "a.s3.access_key_file:", "a.s3.secret_key_file:"}},
		{name: "bucket unprotected", yaml: "storages:\n  a:\n    s3:\n      endpoint: http://h\n      bucket: b\n      access_key_env: A\n      secret_key_env: S\n", want: []string{":4: storages.a.s3.endpoint: http:// would send"}},
		{name: "bucket in the endpoint", yaml: "storages:\n  a:\n    s3:\n      endpoint: https://h/b\n      bucket: b\n      access_key_env: A\n      secret_key_env: S\n", want: []string{":4: storages.a.s3.endpoint: write only"}},
		{name: "one bucket twice", yaml: "storages:\n  a:\n    s3: {endpoint: 'https://h', bucket: b, prefix: x, access_key_env: A, secret_key_env: S}\n  b:\n    s3: {endpoint: 'https://h', bucket: b, prefix: x/y/, access_key_env: A, secret_key_env: S}\n", want: []string{":5: storages.b.s3.prefix: storage a has the same bucket"}},
		{name: "one bucket, written in two ways", yaml: "storages:\n  a:\n    s3: {endpoint: 'https://h/', bucket: b, access_key_env: A, secret_key_env: S}\n  b:\n    s3: {endpoint: 'https://h', bucket: b, prefix: x, access_key_env: A, secret_key_env: S}\n", want: []string{"storage a has the same bucket"}},
		{name: "the whole of a bucket and a part", yaml: "storages:\n  a:\n    s3: {endpoint: 'https://h', bucket: b, prefix: x, access_key_env: A, secret_key_env: S}\n  b:\n    s3: {endpoint: 'https://h', bucket: b, access_key_env: A, secret_key_env: S}\n", want: []string{"storage a has the same bucket"}},
		{name: "two parts of a bucket", yaml: "storages:\n  default:\n    s3: {endpoint: 'https://h', bucket: b, prefix: x, access_key_env: A, secret_key_env: S}\n  b:\n    s3: {endpoint: 'https://h', bucket: b, prefix: xy, access_key_env: A, secret_key_env: S}\n"},
		{name: "bucket and path", yaml: "storages:\n  a:\n    path: x\n    s3: {endpoint: 'https://h', bucket: b, access_key_env: A, secret_key_env: S}\n", want: []string{":4: storages.a.s3: path is given too"}},
		{name: "mount", yaml: "storages:\n  old: {source: a, read_only: true, listing_ttl: 1m, cache: 1GiB}\nsources:\n  a: {url: 'ftp://h'}\n"},
		{name: "mount of nothing", yaml: "storages:\n  old:\n    source: b\nsources:\n  a: {url: 'ftp://h', to: x}\n", want: []string{":3: storages.old.source: there is no source \"b\"; there are: a"}},
		{name: "mount with a path", yaml: "storages:\n  old:\n    path: x\n    source: a\nsources:\n  a: {url: 'ftp://h'}\n", want: []string{":4: storages.old.source: path is given too"}},
		{name: "folder with a cache", yaml: "storages:\n  old: {path: x, cache: 1GB}\n", want: []string{":2: storages.old: read_only, listing_ttl and cache are for"}},
		{name: "mount that forgets", yaml: "storages:\n  old:\n    source: a\n    listing_ttl: -1s\nsources:\n  a: {url: 'ftp://h'}\n", want: []string{":4: storages.old.listing_ttl: must be longer"}},
		{name: "migration into a mount", yaml: "storages:\n  old: {source: a}\nsources:\n  a: {url: 'ftp://h'}\n  b:\n    url: ftp://i\n    to: old:x\n", want: []string{":7: sources.b.to: storage old is a mount of the source a"}},
		{name: "mount by schedule", yaml: "storages:\n  old: {source: a}\nsources:\n  a: {url: 'ftp://h', every: 1h}\n", want: []string{":4: sources.a: to is missing"}},
		{name: "storage among mounts", yaml: "data: d\nstorages:\n  a: {path: d/mounts/a/spool}\n", want: []string{"storages.a:", "lies among them"}},
		{name: "shared state", yaml: "state: {url: 'postgres://gateway@db/gateway?sslmode=verify-full', password_env: DB, lease: 10s, connections: 4}\n"},
		{name: "state on several hosts", yaml: "state: {url: 'postgres://gateway@a:5432,b:5433/gateway?target_session_attrs=read-write'}\n"},
		{name: "state with a password on several hosts", yaml: "state: {url: 'postgres://u:hush@a:1,b:2/x'}\n", want: []string{"leave the password out"}},
		{name: "state without a url", yaml: "state:\n  lease: 10s\n", want: []string{":1: state: url is missing"}},
		{name: "state with a password", yaml: "state:\n  url: postgres://u:hush@db/x\n", want: []string{":2: state.url: leave the password out"}},
		{name: "state with a hidden password", yaml: "state:\n  url: postgres://u@db/x?password=hush\n", want: []string{":2: state.url: leave the password out"}},
		{name: "state elsewhere", yaml: "state:\n  url: mysql://u@db/x\n", want: []string{":2: state.url: it begins with \"mysql://\""}},
		{name: "state of no url", yaml: "state:\n  url: 'postgres://u:hush@db/%zz'\n", want: []string{":2: state.url: it is not a URL"}},
		{name: "state limits", yaml: "state:\n  url: postgres://u@db/x\n  lease: 1ms\n  connections: -1\n  password_file: a\n  password_env: B\n", want: []string{":3: state.lease", ":4: state.connections", ":6: state.password_env"}},
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

func TestSourcePassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CONFIG_TEST_PASSWORD", "from the environment")
	for want, s := range map[string]Server{
		"from a file": {PasswordFile: file}, "from the environment": {PasswordEnv: "CONFIG_TEST_PASSWORD"}, "": {},
	} {
		if got, err := s.Password(); err != nil || got != want {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	for _, s := range []Server{{PasswordFile: file + "x"}, {PasswordEnv: "CONFIG_TEST_NO_PASSWORD"}} {
		if _, err := s.Password(); err == nil {
			t.Errorf("%+v: no error", s)
		}
	}
}
