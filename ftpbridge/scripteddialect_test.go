package ftpbridge

import (
	"fmt"
	"strings"
	"testing"
)

// legacy is a scripted server with the file system of another operating system.
// Its native paths are what those functions make of an argument and the current
// folder; replies are those of the system's own server.
type legacy struct {
	scripted
	home   string
	lists  map[string]string // native folder to the body of LIST
	bodies map[string]string // native file to content

	folder func(cwd, arg string) string
	file   func(cwd, arg string) string
	pwd    func(cwd string) string // the reply, whole
	cwd    func(cwd string) string // the same after CWD
	empty  func(cwd string) string // reply to LIST where nothing is; nil lists nothing
	begin  string
	end    string
	more   map[string]func(c *talk, arg string)
}

func (l *legacy) begun(t *testing.T) *legacy {
	t.Helper()
	l.handlers = map[string]func(*talk, string){
		"PASS": func(c *talk, _ string) { c.cwd = l.home; c.say("230 logged on.") },
		"PWD":  func(c *talk, _ string) { c.say("%s", l.pwd(c.cwd)) },
		"CWD": func(c *talk, arg string) {
			to := l.folder(c.cwd, arg)
			if _, ok := l.lists[to]; !ok {
				c.say("550 %s: no such folder", arg)
				return
			}
			c.cwd = to
			c.say("%s", l.cwd(to))
		},
		"LIST": func(c *talk, arg string) {
			body, ok := l.lists[c.cwd]
			switch {
			case arg != "" || !ok:
				c.say("501 unknown parameter %s", arg)
			case body == "" && l.empty != nil:
				c.say("%s", l.empty(c.cwd))
			default:
				l.sendBody(c, body)
			}
		},
		"RETR": func(c *talk, arg string) {
			body, ok := l.bodies[l.file(c.cwd, arg)]
			if !ok {
				c.say("550 %s: not found", arg)
				return
			}
			rest := c.rest
			c.rest = 0
			l.sendBody(c, body[min(int(rest), len(body)):])
		},
		"SIZE": func(c *talk, arg string) {
			if body, ok := l.bodies[l.file(c.cwd, arg)]; ok {
				c.say("213 %d", len(body))
				return
			}
			c.say("550 %s: not found", arg)
		},
		"MDTM": func(c *talk, arg string) {
			if _, ok := l.bodies[l.file(c.cwd, arg)]; ok {
				c.say("213 20200102030405")
				return
			}
			c.say("550 %s: not found", arg)
		},
		"FEAT": func(c *talk, _ string) { c.say("500 FEAT: unknown command") },
		"OPTS": func(c *talk, _ string) { c.say("502 OPTS: unknown command") },
	}
	for verb, h := range l.more {
		l.handlers[verb] = h
	}
	l.start(t)
	return l
}

func (l *legacy) sendBody(c *talk, body string) {
	c.say("%s", l.begin)
	d := c.accept()
	if d == nil {
		c.say("425 nobody came")
		return
	}
	fmt.Fprint(d, body)
	d.Close()
	c.say("%s", l.end)
}

// The dialog of TCP/IP Services for OpenVMS (User's Guide, chapter FTP; Management
// Guide, "FTP server") and of MultiNet (User's Guide, "FTP"): SYST is answered
// with 200 by some releases, FEAT lines end in dots, an empty directory is an error
// of DIRECTORY, a file without a version means the highest.
func vmsServer() *legacy {
	spec := func(cwd, dir string) string {
		device, root, _ := strings.Cut(strings.TrimSuffix(cwd, "]"), "[")
		switch {
		case strings.HasPrefix(dir, "[."):
			return device + "[" + strings.TrimPrefix(root+".", "000000.") + dir[2:]
		case strings.HasPrefix(dir, "["):
			return device + dir
		case dir == "[-]":
			return "outside"
		case strings.HasPrefix(dir, "SYS$LOGIN:"):
			return "DKA100:[ANNA]" + strings.TrimPrefix(dir, "SYS$LOGIN:")
		case dir == "":
			return cwd
		}
		return dir
	}
	l := &legacy{home: "DKA100:[ANNA]", begin: "150 Opening data connection.", end: "226 Transfer complete."}
	l.greeting = "220 vms.example FTP Server (Version 5.7) Ready.\r\n"
	l.folder = spec
	l.file = func(cwd, arg string) string {
		i := strings.LastIndexAny(arg, "]:") + 1
		name, version, _ := strings.Cut(arg[i:], ";")
		best := spec(cwd, arg[:i]) + name + ";"
		if version != "" {
			return best + version
		}
		for v := 9; v > 0; v-- {
			if _, ok := l.bodies[fmt.Sprint(best, v)]; ok {
				return fmt.Sprint(best, v)
			}
		}
		return best
	}
	l.pwd = func(cwd string) string { return `257 "` + cwd + `" is current directory.` }
	l.cwd = func(cwd string) string { return "250 CWD command succeeded." }
	l.empty = func(string) string { return "550-Unable to list\r\n550 %DIRECT-W-NOFILES, no files found" }
	l.more = map[string]func(*talk, string){
		"SYST": func(c *talk, _ string) { c.say("200 VMS OpenVMS V8.4 on node VMS.") },
		"FEAT": func(c *talk, _ string) {
			c.say("211-The following features are supported\r\n SIZE...\r\n MDTM...\r\n REST STREAM...\r\n UTF8...\r\n MLST Type*;Size*;Modify*;\r\n211 end")
		},
	}
	return l
}

func vmsList(dir string, lines ...string) string {
	return "\r\nDirectory " + dir + "\r\n\r\n" + strings.Join(lines, "\r\n") + fmt.Sprintf("\r\n\r\nTotal of %d files, 9/32 blocks.\r\n", len(lines))
}

func vmsLine(name string) string {
	attributes := "2/16  21-MAR-1999 10:20:30  [STAFF,ANNA]  (RWED,RWED,RE,)"
	if len(name) > 20 {
		return name + "\r\n                     " + attributes
	}
	return fmt.Sprintf("%-20s %s", name, attributes)
}

// The dialog of z/OS (Communications Server, IP User's Guide and Commands: "Naming
// MVS data sets", "Examples of DIR and LS", "DIRECTORYMODE"): CWD to a partitioned
// data set makes it the folder, to anything else a prefix that need not exist; 125 and 250
// around transfers, 550 where nothing is listed.
func mvsServer() *legacy {
	l := &legacy{home: "'ANNA.'", begin: "125 List started OK", end: "250 List completed successfully."}
	l.greeting = "220-FTPD1 IBM FTP CS V2R3 at MVS164, 20:12:38 on 2020-01-02.\r\n220 Connection will not timeout.\r\n"
	l.syst = "MVS is the operating system of this server. FTP Server is running on z/OS."
	name := func(cwd, arg string) string {
		switch {
		case strings.HasPrefix(arg, "'"):
			return strings.Trim(arg, "'")
		case strings.HasSuffix(cwd, ".'"):
			return strings.Trim(cwd, "'") + arg
		}
		return strings.Trim(cwd, "'") + "(" + arg + ")"
	}
	l.folder = func(cwd, arg string) string {
		if strings.HasPrefix(arg, "/") {
			return arg
		}
		n := strings.TrimSuffix(name(cwd, arg), ".")
		if _, pds := l.lists["'"+n+"'"]; pds {
			return "'" + n + "'"
		}
		return "'" + n + ".'"
	}
	l.file = func(cwd, arg string) string {
		if strings.HasPrefix(arg, "/") {
			return arg
		}
		return "'" + name(cwd, arg) + "'"
	}
	l.pwd = func(cwd string) string {
		switch {
		case strings.HasPrefix(cwd, "/"):
			return `257 "` + cwd + `" is the HFS working directory.`
		case strings.HasSuffix(cwd, ".'"):
			return `257 "` + cwd + `" is working directory.`
		}
		return `257 "` + cwd + `" is partitioned data set.`
	}
	l.cwd = func(cwd string) string {
		if strings.HasSuffix(cwd, ".'") {
			return `257 "` + cwd + `" is working directory name prefix.`
		}
		return `250 The working directory "` + strings.Trim(cwd, "'") + `" is a partitioned data set`
	}
	l.empty = func(cwd string) string {
		if strings.HasSuffix(cwd, ".'") {
			return "550 No data sets found."
		}
		return "550 No members found."
	}
	dataSetsOnly := func(verb string, otherwise func(*talk, string)) func(*talk, string) {
		return func(c *talk, arg string) {
			if !strings.HasPrefix(arg, "/") {
				c.say("550 %s is not supported for MVS data sets", verb)
				return
			}
			otherwise(c, arg)
		}
	}
	l.more = map[string]func(*talk, string){
		"SITE": func(c *talk, _ string) { c.say("200 SITE command was accepted") },
		"REST": func(c *talk, _ string) { c.say("504 REST not supported") },
		"SIZE": dataSetsOnly("SIZE", func(c *talk, arg string) { c.say("213 %d", len(l.bodies[arg])) }),
		"MDTM": dataSetsOnly("MDTM", func(c *talk, arg string) { c.say("213 20200102030405") }),
		"FEAT": func(c *talk, _ string) {
			c.say("211- Extensions supported\r\n SIZE\r\n MDTM\r\n REST STREAM\r\n UTF8\r\n211 End")
		},
	}
	return l
}

const (
	mvsHead = "Volume Unit    Referred Ext Used Recfm Lrecl BlkSz Dsorg Dsname\r\n"
	pdsHead = " Name     VV.MM   Created       Changed      Size  Init   Mod   Id\r\n"
)

func mvsLine(org, name string) string {
	return fmt.Sprintf("PROD01 3390   2024/05/30  1   15  FB      80 27920  %-4s %s\r\n", org, name)
}

func pdsLine(name string) string {
	return fmt.Sprintf("%-9s 01.03 2012/09/12 2024/05/30 09:37    11    11     0 ANNA\r\n", name)
}

// The dialog of IBM i (Networking: File Transfer Protocol: "FTP server
// subcommands", "File systems and naming conventions", "FTP status replies"):
// until SITE NAMEFMT 1 the current library has a name of its own kind; libraries
// list their files and the members of those.
func os400Server() *legacy {
	l := &legacy{home: "QGPL", begin: "125 List started.", end: "250 List completed."}
	l.greeting = "220-QTCP at AS400.EXAMPLE.\r\n220 Connection will close if idle more than 5 minutes.\r\n"
	l.syst = ` OS/400 is the remote operating system. The TCP/IP version is "V7R1M0".`
	join := func(cwd, arg string) string {
		if strings.HasPrefix(arg, "/") {
			return strings.TrimSuffix(arg, "/")
		}
		return cwd + "/" + arg
	}
	l.folder, l.file = join, join
	l.pwd = func(cwd string) string {
		if cwd == "QGPL" {
			return `257 "QGPL" is current library.`
		}
		return `257 "` + cwd + `" is current directory.`
	}
	l.cwd = func(cwd string) string { return `250 "` + cwd + `" is current directory.` }
	l.more = map[string]func(*talk, string){
		"SITE": func(c *talk, arg string) {
			if arg != "NAMEFMT 1" {
				c.say("500 SITE %s not valid.", arg)
				return
			}
			if c.cwd == "QGPL" {
				c.cwd = "/QSYS.LIB/QGPL.LIB"
			}
			c.say(`250  Now using naming format "1".`)
		},
	}
	return l
}

// The dialog of the FTP server of HP NonStop (TCP/IP Applications and Utilities
// User Guide, "Communicating With the FTP Server": CWD takes [$volume.]subvolume,
// SIZE is not among the commands; OSS Shell and Utilities Reference Manual, ftpserver:
// OSS and GUARDIAN change the file system, PWD shows which one it is).
func nonstopServer() *legacy {
	l := &legacy{home: "$DATA.ANNA", begin: "150 Opening data connection.", end: "226 Transfer complete."}
	l.greeting = "220 tdm.example FTP SERVER T9552H02 (Version H02 TANDEM 11SEP2008) ready.\r\n"
	l.file = func(cwd, arg string) string {
		switch {
		case strings.HasPrefix(arg, "$"), strings.HasPrefix(arg, "/"):
			return arg
		case strings.HasPrefix(cwd, "/"):
			return cwd + "/" + arg
		}
		return cwd + "." + arg
	}
	l.folder = func(cwd, arg string) string {
		if strings.HasPrefix(arg, "$") || strings.HasPrefix(arg, "/") {
			return arg
		}
		return cwd[:strings.LastIndexByte(cwd, '.')+1] + arg // another subvolume
	}
	l.pwd = func(cwd string) string { return `257 "` + cwd + `" is current directory.` }
	l.cwd = func(cwd string) string { return "250 CWD command successful." }
	refuse := func(c *talk, _ string) { c.say("500 command not understood") }
	l.more = map[string]func(*talk, string){
		"SYST": refuse, "SIZE": refuse, "MDTM": refuse, "REST": refuse,
		"OSS":      func(c *talk, _ string) { c.cwd = "/home/anna"; c.say("257 OSS API enabled.") },
		"GUARDIAN": func(c *talk, _ string) { c.cwd = "$DATA.ANNA"; c.say("257 GUARDIAN API enabled.") },
	}
	return l
}

const guardianHead = "File         Code             EOF  Last Modification    Owner  RWEP\r\n"

func guardianLine(name string, eof int) string {
	return fmt.Sprintf("%-9s     101 %16d 27-Aug-02 13:57:10 155, 76 \"nunu\"\r\n", name, eof)
}

// The dialog of z/VM (TCP/IP User's Guide: "CD", "DIR", "File name formats",
// "Fully-Qualified Pathnames"): a mini disk is ANNA.191, a directory of the shared
// file system POOL:ANNA.SUB, and a file is NAME.TYPE in the current one.
func cmsServer() *legacy {
	l := &legacy{home: "ANNA.191", begin: "125 List started OK", end: "250 List completed successfully."}
	l.greeting = "220-FTPSERVE IBM VM Level 640 at VM.EXAMPLE, 04:58:12 EDT WEDNESDAY 2020-07-10\r\n220 Connection will close if idle for more than 5 minutes.\r\n"
	l.folder = func(_, arg string) string { return arg }
	l.file = func(cwd, arg string) string { return cwd + "/" + arg }
	l.pwd = func(cwd string) string { return `257 "` + cwd + `" is working directory` }
	l.cwd = func(cwd string) string { return "250 Working directory is " + cwd + " (ReadOnly)" }
	l.empty = func(string) string { return "550 No files found." }
	l.more = map[string]func(*talk, string){
		"SYST": func(c *talk, _ string) {
			c.say("215-z/VM Version 6 Release 4.0, service level 1701 (64-bit)\r\n    VM/CMS Level 28, Service Level 701\r\n215 VM is the operating system of this server.")
		},
	}
	return l
}

func cmsLine(name, kind string) string {
	return fmt.Sprintf("%-8s %-8s V         72          9          1 1999-09-20 17:16:18 ANNA\r\n", name, kind)
}

func cmsDir(name string) string {
	return fmt.Sprintf("%-8s          DIR        -          -          - 1999-09-20 10:31:11 -\r\n", name)
}

// The dialog of Microsoft's FTP service (IIS 10): SYST, the MS-DOS listing with
// years of two digits, and UTF-8 by OPTS, as its documentation of the
// ftpServer/directoryBrowse and UTF8 settings has them.
func iisServer() *legacy {
	l := &legacy{home: "/", begin: "125 Data connection already open; Transfer starting.", end: "226 Transfer complete."}
	l.greeting = "220 Microsoft FTP Service\r\n"
	l.syst = "Windows_NT"
	join := func(cwd, arg string) string {
		arg = strings.ReplaceAll(arg, `\`, "/")
		if !strings.HasPrefix(arg, "/") {
			arg = strings.TrimSuffix(cwd, "/") + "/" + arg
		}
		return arg
	}
	l.folder, l.file = join, join
	l.pwd = func(cwd string) string { return `257 "` + cwd + `" is current directory.` }
	l.cwd = func(cwd string) string { return "250 CWD command successful." }
	l.more = map[string]func(*talk, string){
		"FEAT": func(c *talk, _ string) {
			c.say("211-Extended features supported:\r\n LANG EN*\r\n UTF8\r\n AUTH TLS;TLS-C;SSL;TLS-P;\r\n SIZE\r\n MDTM\r\n REST STREAM\r\n211 END")
		},
		"OPTS": func(c *talk, _ string) { c.say("200 OPTS UTF8 command successful - UTF8 encoding now ON.") },
		"MLSD": func(c *talk, _ string) { c.say("500 command not understood") },
	}
	return l
}

func iisLine(name string, size int) string {
	return fmt.Sprintf("02-24-20  10:30AM %20d %s\r\n", size, name)
}

func iisDir(name string) string { return "02-24-20  10:30AM       <DIR>          " + name + "\r\n" }
