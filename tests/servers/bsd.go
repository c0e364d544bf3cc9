package servers

import (
	"fmt"
	"strings"
)

// InetUtils and LinuxFTPD descend from the ftpd of 4.3BSD and are alike: inetd starts one process
// for each session, since alone they listen on all addresses; listings come from /bin/ls, which would
// have to be in a jail, so there is none; they log to syslog only and have no TLS that works.

func (j *job) inetutilsFTPD() launch {
	return launch{
		argv: j.inetd("inetutils-ftpd", "usr/sbin/ftpd", "--auth=default"),
		env:  append(j.namesOnly(), libraries(j.t, "inetutils-ftpd")),
	}
}

// pamFTP is for linux-ftpd: pam_ftp asks for the password, without which the server answers USER with
// 550, and pam_unix checks it.
const pamFTP = "auth sufficient pam_ftp.so\nauth required pam_unix.so\n" +
	"account required pam_permit.so\nsession required pam_permit.so\n"

// linuxFTPD writes over its environment to show in ps what it does and crashes under libpam_wrapper,
// which has moved it. So it gets a mount namespace of its own, where its PAM files cover those in /etc.
func (j *job) linuxFTPD() launch {
	env := j.namesOnly()
	j.write("pam-ftp/ftp", pamFTP, 0o644)
	argv := []string{
		"unshare", "--mount", "/bin/sh", "-c", `mount --bind "$1" /etc/pam.d; shift; exec "$@"`, "sh", j.dir("pam-ftp"),
	}
	return launch{
		argv: append(argv, j.inetd("linux-ftpd", "usr/sbin/in.ftpd", "-n", "-u", "022")...),
		env:  append(env, libraries(j.t, "linux-ftpd")),
	}
}

// inetd returns the command line of an inetd that runs program, of an unpacked folder, for each
// connection. It does not cleanse the environment and bounds no rate.
func (j *job) inetd(folder, program string, flags ...string) []string {
	if j.TLS != NoTLS {
		j.unsupported("TLS")
	}
	path := debs(j.t, folder+"/"+program)
	if strings.ContainsAny(path, " \t") {
		j.t.Fatalf("servers: inetd.conf cannot name %q, with its blanks", path)
	}
	address, network := "127.0.0.1", "tcp"
	if j.IPv6 {
		address, network = "[::1]", "tcp6"
	}
	line := fmt.Sprintf("%s:%d stream %s nowait root %s ftpd %s\n", address, j.port, network, path,
		strings.Join(append(flags, j.Extra...), " "))
	return []string{debs(j.t, folder+"/usr/sbin/inetd"), "-i", "-E", "-R", "1000000", j.write("inetd.conf", line, 0o600)}
}

// namesOnly is accounts without PAM.
func (j *job) namesOnly() []string {
	var env []string
	for _, v := range j.accounts() {
		switch {
		case strings.HasPrefix(v, "LD_PRELOAD="):
			env = append(env, "LD_PRELOAD="+library(j.t, "wrappers", "libnss_wrapper.so"))
		case strings.HasPrefix(v, "NSS_"):
			env = append(env, v)
		}
	}
	return env
}
