package servers

import (
	_ "embed" // pyftpd.py
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// vsftpd has one process group per server and two processes per session. PAM and the account come
// from files of ours by way of libpam_wrapper and libnss_wrapper.
func (j *job) vsftpd() launch {
	conf := []string{
		fmt.Sprintf("listen_port=%d", j.port),
		"background=NO", "connect_from_port_20=NO",
		"anonymous_enable=NO", "local_enable=YES", "write_enable=YES", "pam_service_name=vsftpd",
		"nopriv_user=nobody", "secure_chroot_dir=" + j.dir("empty"), "seccomp_sandbox=NO",
		"chroot_local_user=YES", "allow_writeable_chroot=YES", "mdtm_write=YES",
		"xferlog_enable=YES", "dual_log_enable=NO", "log_ftp_protocol=YES",
		"vsftpd_log_file=" + j.logPath,
	}
	if j.IPv6 {
		conf = append(conf, "listen=NO", "listen_ipv6=YES", "listen_address6=::1")
	} else {
		conf = append(conf, "listen=YES", "listen_address=127.0.0.1")
	}
	if j.TLS != NoTLS {
		conf = append(conf, "ssl_enable=YES", "ssl_tlsv1=YES", "ssl_ciphers=HIGH",
			"rsa_cert_file="+j.cert, "rsa_private_key_file="+j.key,
			"require_ssl_reuse="+yesNo(j.ReuseTLS))
	}
	if j.TLS == ImplicitTLS {
		conf = append(conf, "implicit_ssl=YES")
	}
	conf = append(conf, j.Extra...)
	path := j.write("vsftpd.conf", strings.Join(conf, "\n")+"\n", 0o600)
	return launch{
		argv: []string{debs(j.t, "vsftpd/usr/sbin/vsftpd"), path},
		env:  append(j.accounts(), libraries(j.t, "vsftpd")),
	}
}

// pureFTPD logs to syslog only, but for the transfers, which it writes in the W3C format.
func (j *job) pureFTPD() launch {
	// A crypt hash of our own: pure-pw's takes seconds to make and seconds at every login.
	entry := fmt.Sprintf("%s:%s:%d:%d::%s/./::::::::::::\n", j.User, j.hash(), j.uid, j.uid, j.Root)
	db := filepath.Join(j.run, "users.pdb")
	j.mustRun(exec.Command(Tool(j.t, "pure-pw"), "mkdb", db, "-f", j.write("users", entry, 0o600)))
	argv := []string{
		debs(j.t, "pure-ftpd/usr/sbin/pure-ftpd"), "-S", fmt.Sprintf("%s,%d", j.host(), j.port),
		"-l", "puredb:" + db, "-A", "-E", "-H", "-u", "1",
		"-g", filepath.Join(j.run, "pure-ftpd.pid"), "-O", "w3c:" + j.logPath,
	}
	if !j.HideDots {
		argv = append(argv, "-D")
	}
	if j.IPv6 {
		argv = append(argv, "-6")
	} else {
		argv = append(argv, "-4")
	}
	switch j.TLS {
	case NoTLS:
		argv = append(argv, "-Y", "0")
	case ExplicitTLS:
		argv = append(argv, "-Y", "3", "-2", j.both)
	case ImplicitTLS:
		j.unsupported("implicit TLS")
	}
	return launch{argv: append(argv, j.Extra...), env: []string{libraries(j.t, "pure-ftpd")}}
}

//go:embed pyftpd.py
var pyftpd string

// pyftpdlib runs as the test's own user, also as root: it is one process without privileges to drop.
func (j *job) pyftpdlib() launch {
	mode := map[TLS]string{NoTLS: "none", ExplicitTLS: "explicit", ImplicitTLS: "implicit"}[j.TLS]
	script := j.write("pyftpd.py", pyftpd, 0o600)
	return launch{
		argv: []string{Tool(j.t, "python3"), script},
		env: []string{
			"FTP_HOST=" + j.host(), "FTP_PORT=" + strconv.Itoa(j.port), "FTP_USER=" + j.User, "FTP_PASS=" + j.Pass,
			"FTP_ROOT=" + j.Root, "FTP_TLS=" + mode, "FTP_CERT=" + j.both, "FTP_LOG=" + j.logPath,
			"FTP_EXTRA=" + strings.Join(j.Extra, "\n"),
		},
	}
}

// proFTPD has every hash command that exists (mod_digest).
func (j *job) proFTPD() launch {
	entry := fmt.Sprintf("%s:%s:%d:%d::%s:/bin/sh\n", j.User, j.hash(), j.uid, j.uid, j.Root)
	conf := []string{
		"ModulePath " + debs(j.t, "proftpd/usr/lib/proftpd"), "LoadModule mod_digest.c",
		`ServerName "test"`, "ServerType standalone", "DefaultServer on", "UseIPv6 " + onOff(j.IPv6),
		"DefaultAddress " + j.host(), "SocketBindTight on", fmt.Sprintf("Port %d", j.port),
		"User nobody", "Group nogroup", "WtmpLog off", "DelayEngine off",
		"PidFile " + filepath.Join(j.run, "proftpd.pid"),
		"ScoreboardFile " + filepath.Join(j.run, "scoreboard"),
		"SystemLog " + filepath.Join(j.run, "system.log"), "TransferLog none",
		"AuthUserFile " + j.write("passwd", entry, 0o600),
		"AuthGroupFile " + j.write("group", fmt.Sprintf("%s:x:%d:\n", j.User, j.uid), 0o600),
		"AuthOrder mod_auth_file.c", "RequireValidShell off", "UseFtpUsers off", "DefaultRoot ~",
		"AllowOverwrite on", "AllowRetrieveRestart on", "AllowStoreRestart on", "UseReverseDNS off",
		"DigestEngine on", "DigestAlgorithms all",
		`LogFormat transfer "%m %{file-offset} %b %F"`,
		"ExtendedLog " + j.logPath + " READ,WRITE transfer",
	}
	if j.TLS != NoTLS {
		conf = append(conf, j.proFTPDTLS()...)
	}
	path := j.write("proftpd.conf", strings.Join(append(conf, j.Extra...), "\n")+"\n", 0o600)
	return launch{
		argv: []string{debs(j.t, "proftpd/usr/sbin/proftpd"), "-n", "-q", "-c", path},
		env:  []string{libraries(j.t, "proftpd")},
	}
}

func (j *job) proFTPDTLS() []string {
	conf := []string{
		"LoadModule mod_tls.c", "TLSEngine on", "TLSLog " + filepath.Join(j.run, "tls.log"),
		"TLSRSACertificateFile " + j.cert,
		"TLSRSACertificateKeyFile " + j.key, "TLSVerifyClient off", "TLSRequired on",
	}
	if !slices.ContainsFunc(j.Extra, func(line string) bool { return strings.HasPrefix(line, "TLSProtocol ") }) {
		conf = append(conf, "TLSProtocol TLSv1.2 TLSv1.3") // the first such line counts
	}
	var options []string
	if !j.ReuseTLS {
		options = append(options, "NoSessionReuseRequired")
	}
	if j.TLS == ImplicitTLS {
		options = append(options, "UseImplicitSSL")
	}
	if len(options) > 0 {
		conf = append(conf, "TLSOptions "+strings.Join(options, " "))
	}
	return conf
}

// accounts makes passwd, group and PAM files of our own and returns the environment that has a
// daemon use them in place of those in /etc.
func (j *job) accounts() []string {
	passwd := fmt.Sprintf("root:x:0:0:root:/root:/bin/sh\nsshd:x:65533:65534:sshd:/run/sshd:/bin/false\nnobody:x:65534:65534:nobody:/nonexistent:/bin/sh\n%s:%s:%d:%d::%s:/bin/sh\n",
		j.User, j.hash(), j.uid, j.uid, j.Root)
	group := fmt.Sprintf("root:x:0:\nnogroup:x:65534:\n%s:x:%d:\n", j.User, j.uid)
	pam := "auth required pam_unix.so\naccount required pam_permit.so\n" +
		"session required pam_permit.so\npassword required pam_deny.so\n"
	for _, service := range []string{"vsftpd", "other"} {
		j.write("pam/"+service, pam, 0o644)
	}
	return []string{
		"NSS_WRAPPER_PASSWD=" + j.write("passwd", passwd, 0o644),
		"NSS_WRAPPER_GROUP=" + j.write("group", group, 0o644),
		"PAM_WRAPPER=1", "PAM_WRAPPER_SERVICE_DIR=" + filepath.Join(j.run, "pam"),
		"LD_PRELOAD=" + library(j.t, "wrappers", "libnss_wrapper.so") + ":" +
			library(j.t, "wrappers", "libpam_wrapper.so"),
	}
}

// hash returns the password in crypt(5)'s SHA-512 form.
func (j *job) hash() string {
	cmd := exec.Command(Tool(j.t, "openssl"), "passwd", "-6", "-stdin")
	cmd.Stdin = strings.NewReader(j.Pass + "\n")
	out, err := cmd.Output()
	if err != nil {
		j.t.Fatalf("servers: openssl passwd: %v", err)
	}
	return strings.TrimSpace(string(out))
}

func (j *job) dir(name string) string {
	path := filepath.Join(j.run, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		j.t.Fatal(err)
	}
	return path
}

func (j *job) mustRun(cmd *exec.Cmd) {
	j.t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		j.t.Fatalf("servers: %s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
}

func onOff(b bool) string {
	if b {
		return "on"
	}
	return "off"
}

func yesNo(b bool) string {
	if b {
		return "YES"
	}
	return "NO"
}

// sweepPAM removes what libpam_wrapper leaves of a process that was killed: a folder /tmp/pam.X. It
// takes those of the given processes only, which must have ended: another test may run a server too.
func sweepPAM(ended map[int]bool) {
	dirs, _ := filepath.Glob("/tmp/pam.?") // the pattern is well formed
	for _, dir := range dirs {
		data, err := os.ReadFile(filepath.Join(dir, "pid"))
		if err != nil {
			continue
		}
		if pid, err := strconv.Atoi(strings.Trim(string(data), "\x00 \n")); err == nil && ended[pid] {
			os.RemoveAll(dir)
		}
	}
}
