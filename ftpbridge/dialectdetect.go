package ftpbridge

import (
	"regexp"
	"strings"
)

// detectDialect goes by SYST (RFC 959 section 4.1.3) and by greetings that only
// one system has. sure is false where nothing speaks for the answer.
func detectDialect(greeting, syst string) (d dialect, sure bool) {
	low := strings.ToLower(syst)
	switch {
	case strings.Contains(low, "windows_nt"), strings.HasPrefix(low, "windows"):
		return dosDialect{}, true
	case strings.HasPrefix(low, "mvs"), strings.Contains(low, "z/os"), strings.Contains(greeting, "IBM FTP CS"):
		return mvsDialect{}, true
	case strings.Contains(low, "os/400"), strings.Contains(greeting, "QTCP at "):
		return os400Dialect{}, true
	case strings.HasPrefix(low, "vm "), strings.Contains(low, "z/vm"), strings.Contains(low, "vm/esa"),
		strings.Contains(low, "vm is the operating system"), strings.Contains(greeting, "IBM VM "):
		return cmsDialect{}, true
	case strings.Contains(low, "nonstop"), strings.Contains(low, "tandem"), strings.Contains(low, "guardian"),
		strings.Contains(greeting, "FTP SERVER ") && strings.Contains(greeting, " TANDEM "):
		return nonstopDialect{}, true
	case strings.HasPrefix(low, "vms"), strings.Contains(low, "openvms"), strings.Contains(low, "vax/vms"),
		strings.Contains(greeting, "OpenVMS"):
		return vmsDialect{}, true
	case syst == "" && strings.Contains(greeting, "Microsoft FTP Service"):
		return dosDialect{}, true
	}
	return unixDialect{}, false
}

// What the folder of a login looks like on systems that do not say what they are.
var (
	vmsHome     = regexp.MustCompile(`^[^/ ]*[\[<][^/ ]*[\]>]$`)
	mvsHome     = regexp.MustCompile(`^'[^/']*'$`)
	nonstopHome = regexp.MustCompile(`^(\\[A-Za-z0-9]{1,7}\.)?\$[A-Za-z0-9]{1,7}(\.[A-Za-z0-9]{1,8})?$`)
	cmsHome     = regexp.MustCompile(`^[A-Z0-9$#@+_-]{1,8}\.([0-9A-F]{3,4}|RDR)$`)
	dosHome     = regexp.MustCompile(`^[A-Za-z]:[\\/]`)
)

// dialectOfHome goes by the path in a reply to PWD and by the words around it.
func dialectOfHome(path, reply string) (d dialect, sure bool) {
	switch {
	case strings.HasPrefix(path, "/"):
		return unixDialect{}, false
	case mvsHome.MatchString(path):
		return mvsDialect{}, true
	case vmsHome.MatchString(path):
		return vmsDialect{}, true
	case nonstopHome.MatchString(path):
		return nonstopDialect{}, true
	case cmsHome.MatchString(path):
		return cmsDialect{}, true
	case dosHome.MatchString(path):
		return dosDialect{}, true
	case strings.Contains(reply, "is current library"):
		return os400Dialect{}, true
	}
	return unixDialect{}, false
}

// software guesses the server's name from what it says of itself.
func software(greeting, syst string) string {
	all := greeting + "\n" + syst
	for _, s := range []struct{ mark, name string }{
		{"vsFTPd", "vsftpd"}, {"Pure-FTPd", "Pure-FTPd"}, {"ProFTPD", "ProFTPD"},
		{"pyftpdlib", "pyftpdlib"}, {"GNU inetutils", "GNU inetutils"}, {"Linux-ftpd", "linux-ftpd"},
		{"FileZilla Server", "FileZilla Server"}, {"Microsoft FTP Service", "Microsoft IIS"},
		{"Windows_NT", "Microsoft IIS"}, {"Serv-U", "Serv-U"}, {"wu-", "WU-FTPD"},
		{"IBM FTP CS", "IBM z/OS FTP"}, {"z/OS", "IBM z/OS FTP"}, {"MVS is the operating system", "IBM z/OS FTP"},
		{"QTCP at ", "IBM i FTP"}, {"OS/400", "IBM i FTP"},
		{"IBM VM ", "IBM z/VM FTP"}, {"VM is the operating system", "IBM z/VM FTP"},
		{" TANDEM ", "HP NonStop FTP"}, {"NonStop", "HP NonStop FTP"},
		{"MultiNet", "MultiNet"}, {"TCPware", "TCPware"}, {"MadGoat", "MadGoat FTP"}, {"HGFTP", "HGFTP"},
		{"UCX", "TCP/IP Services for OpenVMS"}, {"OpenVMS", "OpenVMS FTP"}, {"VMS", "OpenVMS FTP"},
	} {
		if strings.Contains(all, s.mark) {
			return s.name
		}
	}
	return ""
}
