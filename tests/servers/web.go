package servers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// WebKind is a web server that can do WebDAV.
type WebKind string

// The web servers of Debian 12.
const (
	Nginx  WebKind = "nginx"   // with its own dav module and the one that adds PROPFIND
	Apache WebKind = "apache2" // the event module, mod_dav and mod_dav_fs
)

// Web is a running web server that serves a folder over HTTPS, to everybody, for reading and writing.
type Web struct {
	Addr     string // "127.0.0.1:port"
	Root     string
	CertFile string // its certificate, in PEM

	kind WebKind
	run  string
	proc *process
}

// StartWeb runs a web server over root until the test ends. For root, the folder is given to another user.
func StartWeb(t testing.TB, kind WebKind, root string) *Web {
	t.Helper()
	NeedRoot(t)
	Fetch(t, string(kind), "wrappers", "openssl")
	w := &Web{Root: root, kind: kind, run: scratch(t, string(kind))}
	if err := handOver(root, ftpUID); err != nil {
		t.Fatalf("servers: cannot give %s to user %d: %v", root, ftpUID, err)
	}
	j := &job{Options: Options{User: "web", Pass: "web", Root: root}, t: t, uid: ftpUID, run: w.run}
	j.makeCertificate()
	w.CertFile = j.cert
	for _, dir := range []string{"temp", "locks"} {
		made := j.dir(dir)
		if err := handOver(made, ftpUID); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for range 4 { // a free port can be taken between asking for it and listening on it
		j.port = freePort(t, "127.0.0.1")
		w.Addr = fmt.Sprintf("127.0.0.1:%d", j.port)
		l := w.nginx(j)
		if kind == Apache {
			l = w.apache(j)
		}
		if w.proc, err = startProcess(l, filepath.Join(w.run, "output.log")); err == nil {
			err = w.proc.awaitPort(w.Addr, 20*time.Second)
		}
		if err == nil || !errors.Is(err, errEndedEarly) {
			break
		}
	}
	if err != nil {
		t.Fatalf("servers: %s: %v\n%s", kind, err, output(w.run))
	}
	t.Cleanup(func() {
		w.proc.stop()
		stopped(t, string(kind), w.Addr, w.run, w.proc)
	})
	return w
}

// PID is the process above all of the server's.
func (w *Web) PID() int { return w.proc.cmd.Process.Pid }

func (w *Web) nginx(j *job) launch {
	module, err := filepath.Glob(debs(j.t, "nginx/usr/lib/nginx/modules") + "/ngx_http_dav_ext_module.so")
	if err != nil || len(module) != 1 {
		j.t.Fatalf("servers: nginx's dav-ext module is not there: %v", err)
	}
	temp := filepath.Join(w.run, "temp")
	conf := fmt.Sprintf(`load_module %s;
daemon off;
worker_processes auto;
pid %s/pid;
error_log stderr;
events { worker_connections 1024; }
http {
	access_log off;
	sendfile on;
	keepalive_requests 1000000;
	client_max_body_size 0;
	client_body_temp_path %s/body; proxy_temp_path %s/proxy; fastcgi_temp_path %s/fastcgi;
	uwsgi_temp_path %s/uwsgi; scgi_temp_path %s/scgi;
	server {
		listen 127.0.0.1:%d ssl http2;
		ssl_certificate %s; ssl_certificate_key %s;
		root %s;
		dav_methods PUT DELETE MKCOL COPY MOVE;
		dav_ext_methods PROPFIND OPTIONS;
		dav_access user:rw;
	}
}
`, module[0], temp, temp, temp, temp, temp, temp, j.port, j.cert, j.key, w.Root)
	path := j.write("nginx.conf", "user "+j.User+";\n"+conf, 0o644)
	return launch{
		argv: []string{debs(j.t, "nginx/usr/sbin/nginx"), "-p", w.run, "-c", path},
		env:  append(j.accounts(), libraries(j.t, "nginx")),
	}
}

func (w *Web) apache(j *job) launch {
	modules := debs(j.t, "apache2/usr/lib/apache2/modules")
	var conf strings.Builder
	for _, m := range []string{"mpm_event", "authz_core", "dav", "dav_fs", "dav_lock", "ssl", "http2"} {
		fmt.Fprintf(&conf, "LoadModule %s_module %s/mod_%s.so\n", m, modules, m)
	}
	fmt.Fprintf(&conf, `ServerName localhost
ServerRoot %s
PidFile %s/pid
ErrorLog /dev/stderr
User #%d
Group #%d
Listen 127.0.0.1:%d
KeepAlive On
MaxKeepAliveRequests 0
DavLockDB %s/locks/db
DocumentRoot %s
SSLEngine on
SSLCertificateFile %s
SSLCertificateKeyFile %s
Protocols h2 http/1.1
<Directory %s>
	Require all granted
	Dav On
	AllowOverride None
</Directory>
`, w.run, w.run, ftpUID, ftpUID, j.port, w.run, w.Root, j.cert, j.key, w.Root)
	path := j.write("apache.conf", conf.String(), 0o644)
	return launch{
		argv: []string{debs(j.t, "apache2/usr/sbin/apache2"), "-D", "FOREGROUND", "-f", path},
		env:  append(j.accounts(), libraries(j.t, "apache2"), "TMPDIR="+os.TempDir()),
	}
}
