package ftpbridge

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"gateway/listing"
)

// below says whether a native path lies at or below a root, by the rules of the
// system, read afresh from its manuals and not from the dialects.
var below = map[string]func(root, path string) bool{
	"unix": slashBelow, "dos": func(root, path string) bool {
		for name := range strings.SplitSeq(path[1:], "/") {
			if strings.TrimRight(name, ". ") == "" { // what Windows makes of it
				return false
			}
		}
		return slashBelow(root, path) && !strings.ContainsAny(path, `\:`)
	}, "os400": slashBelow,
	"vms": func(root, path string) bool {
		rest, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "]"))
		if !ok || rest == "" || rest[0] != ']' && rest[0] != '.' {
			return false
		}
		plain := unescape(rest)
		dirs, file, closed := strings.Cut(plain, "]")
		if !closed || strings.ContainsAny(dirs+file, "[]<>:*%?\"/ ,") || strings.Contains(dirs, "..") || strings.HasSuffix(dirs, ".") {
			return false
		}
		for name := range strings.SplitSeq(strings.TrimPrefix(dirs, "."), ".") {
			if name == "000000" || name != "" && strings.Trim(name, "-") == "" {
				return false
			}
		}
		return true
	},
	"mvs": func(root, path string) bool {
		rest, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "'"))
		name, closed := strings.CutSuffix(rest, "'")
		if !ok || !closed || strings.ContainsAny(name, "'/*%, ") {
			return false
		}
		if open := strings.IndexByte(name, '('); open >= 0 {
			return strings.Count(name, "(") == 1 && strings.Index(name, ")") == len(name)-1
		}
		return !strings.Contains(name, ")") && !strings.Contains(name, "..")
	},
	"nonstop": func(root, path string) bool {
		rest, ok := strings.CutPrefix(path, root)
		return ok && !strings.ContainsAny(rest, `\$/*?:,`) && !strings.Contains(rest, "..") && !strings.HasSuffix(rest, ".")
	},
	"vm": func(root, path string) bool {
		if strings.ContainsAny(strings.TrimPrefix(path, root), ":/*=() ") {
			return false
		}
		return strings.HasPrefix(path, strings.TrimSuffix(root, ".")) || strings.Count(path, ".") <= 1 && path[0] != '.'
	},
}

func slashBelow(root, path string) bool {
	if path != root && !strings.HasPrefix(path, strings.TrimSuffix(root, "/")+"/") {
		return false
	}
	for name := range strings.SplitSeq(path, "/") {
		if name == ".." || name == "." {
			return false
		}
	}
	return true
}

// unescape drops what ODS-5 escapes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '^' {
			i++
			b.WriteByte('x')
			continue
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

var hostileRoots = map[string]string{
	"unix": "/srv/ftp", "dos": "/ftp", "os400": "/QSYS.LIB/QGPL.LIB", "vms": "DKA100:[ANNA]", "mvs": "'ANNA.'", "nonstop": "$DATA", "vm": "POOL:ANNA.",
}

var hostileNames = []string{
	"[-]", "[000000]", "000000", "-", "--", "]", "[", "<", ">", "A]B", "A][000000", "[.A]", "DKA0:", "DKA0:[SYS]F", "SYS$SYSTEM", "SYS$SYSTEM:", "X::Y", "...", "A...",
	"A^", "^]", "A^]B", "^^]", "^^^]", "^", "A;1", "A;*", "*", "%", "*.*", "A^.B",
	"'", "'SYS1.PARMLIB'", "SYS1.PARMLIB(X)", "A'", "'A", ")", "(", "A(B)", "A)'", "A.", ".A", "A..B", "'.'", "//SYS1.X",
	"..", ".", "../etc", "/etc/passwd", "a/../..", "...", ". ", ".. ", `..\..`, `\`, `C:\x`, "C:", "a:b", "x::$DATA",
	"$SYSTEM", "$VOL.SUB.F", `\OTHER.$V`, "#1", "SUB.F", "TOOLONGNAME", "A.B.C.D", ".A.B", "POOL2:BERTA.", "BERTA.191", "/../VMBFS:X:Y/", "A.B.C",
	"a\rDELE x", "a\nDELE x", "a\r\nDELE x", "a\x00b", "", " ", " a", "-a", "-la", "~", "~root", "|id", "a\xffb", "a\tb", "%2e%2e", "a;DELE b", "\x1b[2J",
}

// A name that is let pass names something below the folder, whatever it is.
func TestHostileNames(t *testing.T) {
	alphabet := "aZ09.-^[]<>:;'()*%?\\/$#@~ ,\"\r\n\x00_"
	names := append([]string(nil), hostileNames...)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5_000 {
		var b strings.Builder
		for range 1 + rng.IntN(6) {
			b.WriteByte(alphabet[rng.IntN(len(alphabet))])
		}
		names = append(names, b.String())
	}
	for system, root := range hostileRoots {
		d, _ := dialectNamed(system)
		passed := 0
		for _, name := range names {
			for _, folder := range []bool{false, true} {
				if name == "." || name == ".." || d.unsafe(name, folder) != "" {
					continue
				}
				passed++
				if d.absolute(name) || d.absolute(name+"/x") {
					t.Errorf("%s: %q counts as absolute", system, name)
				}
				paths := []string{}
				if p, err := d.file(root, name); err == nil && !folder {
					paths = append(paths, p)
				}
				if p, err := d.folder(root, name); err == nil && folder {
					paths = append(paths, p)
					if p, err := d.file(root, name+"/"+"FILE"); err == nil {
						paths = append(paths, p)
					}
				}
				for _, p := range paths {
					if !below[system](root, p) || strings.ContainsAny(p, "\r\n\x00") {
						t.Errorf("%s: %q (folder: %v) leads to %q", system, name, folder, p)
					}
				}
			}
		}
		if passed < 100 {
			t.Errorf("%s: only %d names pass", system, passed)
		}
	}
}

// A server of each kind lists names that lead out of the folder; whatever is
// listed is entered, fetched and asked about.
func TestHostileListings(t *testing.T) {
	for _, tc := range []struct {
		system string
		server func() *legacy
		root   string // in the URL
		list   func(name string, dir bool) string
		head   string
	}{
		{"vms", vmsServer, "", func(n string, dir bool) string { return vmsLine(when(dir, n+".DIR;1", n+";1")) + "\r\n" }, "\r\nDirectory DKA100:[ANNA]\r\n\r\n"},
		{"mvs", mvsServer, "", func(n string, dir bool) string { return mvsLine(when(dir, "PO", "PS"), n) }, mvsHead},
		{"os400", os400Server, "", func(n string, dir bool) string {
			return "ANNA                5 04/03/18 18:58:16 " + when(dir, "*DIR       ", "*FILE      ") + n + "\r\n"
		}, ""},
		{"nonstop", nonstopServer, "", func(n string, _ bool) string { return guardianLine(n, 3) }, guardianHead},
		{"vm", cmsServer, "POOL:ANNA.", func(n string, dir bool) string { return when(dir, cmsDir(n), cmsLine(n, "TXT")) }, ""},
		{"dos", iisServer, "", func(n string, dir bool) string { return when(dir, iisDir(n), iisLine(n, 3)) }, ""},
	} {
		t.Run(tc.system, func(t *testing.T) {
			srv := tc.server()
			if tc.root != "" {
				srv.home = tc.root
			}
			body := tc.head + tc.list("GOOD", false) + tc.list("GOODDIR", true)
			for _, n := range hostileNames {
				body += tc.list(n, false) + tc.list(n, true)
			}
			srv.lists = map[string]string{srv.home: body, "/QSYS.LIB/QGPL.LIB": body}
			srv.begun(t)
			s := srv.dial(t)
			root := s.Root()
			seen := 0
			err := Walk(testContext(t), s, "", WalkOptions{}, func(f Found) error {
				if f.Err != nil {
					return nil //nolint:nilerr // refused, as it should be
				}
				seen++
				_, err := fetchAll(testContext(t), s, f.Rel, 0)
				_, serr := s.Size(testContext(t), f.Rel)
				_, lerr := s.List(testContext(t), f.Rel)
				if s.Broken() || errors.Is(errors.Join(err, serr, lerr), ErrListing) {
					t.Errorf("%q: %v, %v, %v", f.Rel, err, serr, lerr)
				}
				return nil
			})
			if err != nil || seen == 0 {
				t.Fatalf("%d entries, %v", seen, err)
			}
			// What a caller hands in is no better than what a server lists.
			for _, n := range hostileNames {
				if n != "" && !s.dialect.absolute(n) && n != "." && n != ".." && !strings.Contains(n, "/") {
					_, _ = s.List(testContext(t), "GOODDIR/"+n)
					_, _ = s.Size(testContext(t), "GOODDIR/"+n)
				}
			}
			equal(t, srv.count("MLSD"), 0)
			known := " USER PASS FEAT SYST PWD SITE CLNT OPTS TYPE CWD EPSV PASV LIST MLSD RETR SIZE REST "
			for _, line := range srv.heard() {
				verb, arg, _ := strings.Cut(line, " ")
				if !strings.Contains(known, " "+verb+" ") {
					t.Errorf("%q was sent", line)
				}
				if verb != "CWD" && verb != "RETR" && verb != "SIZE" {
					continue
				}
				if !below[tc.system](root, arg) {
					if tc.system == "dos" || tc.system == "os400" {
						// Names are checked when they are listed; a caller's are not.
						if strings.Contains(arg, "GOODDIR/") {
							continue
						}
					}
					t.Errorf("%q leads out of %q", line, root)
				}
			}
		})
	}
}

func when(is bool, a, b string) string {
	if is {
		return a
	}
	return b
}

// What cannot be found out is asked of the user.
func TestDialectFallbacks(t *testing.T) {
	t.Run("NAMEFMT refused", func(t *testing.T) {
		srv := os400Server()
		srv.home = "QGPL"
		srv.lists = map[string]string{"QGPL": "QPGMR          135168 29.06.13 15:45:09 *FILE      ORDERS\r\n" +
			"QPGMR                                   *MEM       QGPL/ORDERS.MAY\r\n"}
		srv.bodies = map[string]string{"QGPL/ORDERS.MAY": "may"}
		srv.file = func(_, arg string) string { return arg }
		srv.more["SITE"] = func(c *talk, _ string) { c.say("500 Subcommand not valid.") }
		var log strings.Builder
		src := srv.begun(t).source(t, "")
		src.Logger = logTo(&log)
		m := newMove(t, src)
		m.run()
		equal(t, m.files(), map[string]string{"ORDERS.MAY": "may"})
		if !strings.Contains(log.String(), "set another dialect") || !strings.Contains(log.String(), "SITE NAMEFMT 1") {
			t.Error(log.String())
		}
	})
	t.Run("PWD torn", func(t *testing.T) {
		srv := vmsServer()
		srv.pwd = func(string) string { return "257 somewhere" }
		srv.lists = map[string]string{"DKA100:[ANNA]": vmsList("DKA100:[ANNA]", vmsLine("F.TXT;1"))}
		src := srv.begun(t).source(t, "")
		_, err := Dial(testContext(t), src)
		want(t, err, []error{ErrProtocol}, "full path", "if the server is not vms, set the dialect (unix, dos")
		src.URL.Path = "/DKA100:[ANNA]"
		s := mustDial(t, src)
		res, err := s.List(testContext(t), "")
		if err != nil || len(res.Entries) != 1 || s.Root() != "DKA100:[ANNA]" {
			t.Errorf("%v, %v, %s", res, err, s.Root())
		}
	})
	t.Run("nothing but the URL tells", func(t *testing.T) {
		srv := vmsServer()
		srv.greeting = "220 hello\r\n"
		srv.more["SYST"] = func(c *talk, _ string) { c.say("502 no") }
		srv.more["PWD"] = func(c *talk, _ string) { c.say("502 no") }
		srv.lists = map[string]string{"DKA100:[ANNA]": vmsList("DKA100:[ANNA]", vmsLine("F.TXT;1"))}
		src := srv.begun(t).source(t, "")
		src.URL.Path = "/DKA100:[ANNA]"
		equal(t, mustDial(t, src).Info().Dialect, "vms")
	})
	t.Run("only the listing tells", func(t *testing.T) {
		srv := os400Server()
		srv.greeting, srv.syst, srv.home = "220 hello\r\n", "something", "/"
		srv.pwd = func(cwd string) string { return `257 "` + cwd + `" is current` }
		srv.lists = map[string]string{"/": "ANNA            8192 04/03/31 14:06:34 *DIR       locked/\r\n"}
		s := srv.begun(t).dial(t)
		if _, err := s.List(testContext(t), ""); err != nil {
			t.Fatal(err)
		}
		_, err := s.List(testContext(t), "locked")
		want(t, err, nil, "no such folder", "os400", "set the dialect")
	})
	t.Run("not found in a folder that was entered", func(t *testing.T) {
		srv := vmsServer()
		srv.lists = map[string]string{"DKA100:[ANNA]": ""}
		srv.empty = func(string) string { return "550 %RMS-E-FNF, file not found" }
		if res, err := srv.begun(t).dial(t).List(testContext(t), ""); err != nil || len(res.Entries) > 0 {
			t.Errorf("%v, %v", res, err)
		}
	})
	t.Run("PWD without quotes", func(t *testing.T) {
		srv := vmsServer()
		srv.pwd = func(cwd string) string { return "257 " + cwd + " is current directory" }
		srv.lists = map[string]string{"DKA100:[ANNA]": ""}
		equal(t, srv.begun(t).dial(t).Root(), "DKA100:[ANNA]")
	})
	t.Run("SYST refused", func(t *testing.T) {
		for home, dialect := range map[string]string{
			"DKA100:[ANNA]": "vms", "'ANNA.'": "mvs", `\N.$D.A`: "nonstop", "ANNA.191": "vm", "/home": "unix", `C:\ftp`: "dos", "what": "unix",
		} {
			srv := vmsServer()
			srv.greeting, srv.home = "220 hello\r\n", home
			srv.more["SYST"] = func(c *talk, _ string) { c.say("502 no") }
			srv.more["SITE"] = func(c *talk, _ string) { c.say("200 yes") }
			equal(t, srv.begun(t).dial(t).Info().Dialect, dialect)
		}
	})
	t.Run("set", func(t *testing.T) {
		srv := mvsServer()
		srv.greeting, srv.syst = "220 hello\r\n", "UNIX Type: L8"
		srv.home = "ANNA."
		srv.lists = map[string]string{"ANNA.": mvsHead + mvsLine("PS", "X")}
		src := srv.begun(t).source(t, "")
		src.Dialect = "zos"
		s := mustDial(t, src)
		equal(t, s.Info().Dialect, "mvs")
		equal(t, s.Root(), "'ANNA.'")
		src.Dialect = "klingon"
		_, err := Dial(testContext(t), src)
		want(t, err, []error{ErrSource}, `dialect "klingon" is not known`, "unix, dos, vms, mvs, zos, os400, nonstop, vm")
	})
	t.Run("Windows that says it is Unix", func(t *testing.T) {
		srv := iisServer()
		srv.greeting, srv.syst = "220 hello\r\n", "UNIX emulated"
		srv.lists = map[string]string{"/": iisDir("d") + iisLine(`..\up`, 1), "/d": ""}
		s := srv.begun(t).dial(t)
		res, err := s.List(testContext(t), "")
		if err != nil || len(res.Entries) != 1 || s.Info().Dialect != "dos" {
			t.Errorf("%v, %v, %s", res, err, s.Info().Dialect)
		}
	})
}

func TestDetectDialect(t *testing.T) {
	for _, tc := range []struct{ greeting, syst, dialect, software string }{
		{"", "UNIX Type: L8", "unix", ""},
		{"", "Windows_NT", "dos", "Microsoft IIS"},
		{"Microsoft FTP Service", "", "dos", "Microsoft IIS"},
		{"", "VMS OpenVMS V8.4 on node X", "vms", "OpenVMS FTP"},
		{"ftp.example FTP-OpenVMS FTPD V5.5-3 (c) 2001 Process Software", "", "vms", "OpenVMS FTP"},
		{"x MultiNet FTP Server Process V5.5(16)", "VMS OpenVMS V8.4", "vms", "MultiNet"},
		{"FTPD1 IBM FTP CS V2R3 at mysite.gov, 16:51:54 on 2019-12-12.", "UNIX is the operating system of this server. FTP Server is running on z/OS.", "mvs", "IBM z/OS FTP"},
		{"", "MVS is the operating system of this server. FTP Server is running on z/OS.", "mvs", "IBM z/OS FTP"},
		{"QTCP at H.", ` OS/400 is the remote operating system. The TCP/IP version is "V7R1M0".`, "os400", "IBM i FTP"},
		{"h FTP SERVER T9552H02 (Version H02 TANDEM 11SEP2008) ready.", "", "nonstop", "HP NonStop FTP"},
		{"FTPSERVE IBM VM V2R4 at VM.KSU.EDU", "VM/ESA Version 2 Release 2.0\nVM is the operating system of this server.", "vm", "IBM z/VM FTP"},
	} {
		d, _ := detectDialect(tc.greeting, tc.syst)
		if d.name() != tc.dialect || software(tc.greeting, tc.syst) != tc.software {
			t.Errorf("%q %q: %s, %q", tc.greeting, tc.syst, d.name(), software(tc.greeting, tc.syst))
		}
	}
	for _, name := range Dialects() {
		if d, ok := dialectNamed(name); !ok || d.name() != name && name != "zos" {
			t.Errorf("%s is not known", name)
		}
	}
}

// Absolute paths go where names go, and names may follow them.
func TestNativePaths(t *testing.T) {
	for _, tc := range []struct{ system, base, rel, folder, file string }{
		{"unix", "/a", "b/c", "/a/b/c", "/a/b/c"},
		{"unix", "/", "b", "/b", "/b"},
		{"dos", `C:\ftp`, "b", `C:\ftp/b`, `C:\ftp/b`},
		{"vms", "D:[A]", "B/C", "D:[A.B.C]", "D:[A.B]C"},
		{"vms", "D:[000000]", "B", "D:[B]", "D:[000000]B"},
		{"vms", "D:[R.]", "B/C", "D:[R.][B.C]", "D:[R.][B]C"},
		{"vms", "D:[R.][000000]", "B", "D:[R.][B]", "D:[R.][000000]B"},
		{"vms", "D:<A>", "B/C", "D:<A.B.C>", "D:<A.B>C"},
		{"vms", "D:[A^[^].B]", "C/D", "D:[A^[^].B.C.D]", "D:[A^[^].B.C]D"},
		{"vms", "D:[A]", "B.TXT.3", "", "D:[A]B.TXT.3;"},
		{"vms", "D:", "B", "", "D:B"},
		{"vms", "nonsense", "B", "", ""},
		{"mvs", "'A.'", "B.C", "'A.B.C'", "'A.B.C'"},
		{"mvs", "'A.'", "B.C/M", "", "'A.B.C(M)'"},
		{"mvs", "'A.B'", "M", "", "'A.B(M)'"},
		{"mvs", "'A.B'", "M/N", "", ""},
		{"mvs", "A.B", "M", "", ""},
		{"mvs", "''", "A.B", "'A.B'", "'A.B'"},
		{"nonstop", "$D", "S", "$D.S", ""},
		{"nonstop", "$D", "S/F", "", "$D.S.F"},
		{"nonstop", `\N.$D.S`, "F", "", `\N.$D.S.F`},
		{"nonstop", `\N`, "F", "", ""},
		{"vm", "P:A.", "B/C", "P:A.B.C", "C"},
		{"vm", "P:A.B", "C.D", "", "C.D"},
		{"vm", "A.191", "C", "", "C"},
		{"os400", "/QSYS.LIB", "A.LIB/B.FILE/M.MBR", "/QSYS.LIB/A.LIB/B.FILE/M.MBR", "/QSYS.LIB/A.LIB/B.FILE/M.MBR"},
	} {
		d, _ := dialectNamed(tc.system)
		folder, err := d.folder(tc.base, tc.rel)
		if err != nil && (!errors.Is(err, ErrName) || tc.folder != "") || err == nil && folder != tc.folder {
			t.Errorf("%s: folder %s of %s: %q, %v", tc.system, tc.rel, tc.base, folder, err)
		}
		file, err := d.file(tc.base, tc.rel)
		if err != nil && (!errors.Is(err, ErrName) || tc.file != "") || err == nil && file != tc.file {
			t.Errorf("%s: file %s of %s: %q, %v", tc.system, tc.rel, tc.base, file, err)
		}
	}
	srv := vmsServer()
	srv.lists = map[string]string{"DKA100:[ANNA]": "", "DKB0:[X.Y]": vmsList("DKB0:[X.Y]", vmsLine("F.;1"))}
	srv.bodies = map[string]string{"DKB0:[X.Y]F.;1": "f"}
	s := srv.begun(t).dial(t)
	for _, path := range []string{"DKB0:[X.Y]F.;1", "DKB0:[X.Y]/F.", "DKB0:[X]/Y/F."} {
		if got, err := fetchAll(testContext(t), s, path, 0); err != nil || got != "f" {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	got, err := walked(t, s, "DKB0:[X]/Y", WalkOptions{})
	if err != nil || len(got) != 1 || got[0] != "F." {
		t.Errorf("%q, %v", got, err)
	}
}

// SIZE and MDTM are asked where the system has them for the file.
func TestSizesOfNativeFiles(t *testing.T) {
	srv := mvsServer()
	srv.lists = map[string]string{"'ANNA.'": ""}
	s := srv.begun(t).dial(t)
	_, err := s.Size(testContext(t), "X")
	want(t, err, []error{ErrUnsupported})
	_, err = s.ModTime(testContext(t), "X")
	want(t, err, []error{ErrUnsupported})
	if srv.count("SIZE")+srv.count("MDTM") > 0 {
		t.Error("asked z/OS for the size of a data set")
	}
	vms := vmsServer()
	vms.lists = map[string]string{"DKA100:[ANNA]": ""}
	vms.more["SIZE"] = func(c *talk, arg string) {
		c.say(when(strings.HasSuffix(arg, "GONE."), "550 %%RMS-E-FNF, file not found", "550 size is not known for this file organization"))
	}
	s = vms.begun(t).dial(t)
	_, err = s.Size(testContext(t), "INDEXED.DAT")
	want(t, err, []error{ErrUnsupported}, "organization")
	if _, err = s.Size(testContext(t), "GONE."); errors.Is(err, ErrUnsupported) {
		t.Error(err)
	}
}

// Many versions of many files are no reason to call a folder unread.
func TestManyVersions(t *testing.T) {
	var lines []string
	for i := range listing.MaxSkipped + 500 {
		name := "F" + strings.Repeat("X", i%7) + "_" + string(rune('A'+i%26)) + strings.Repeat("Y", i/200)
		lines = append(lines, vmsLine(name+".TXT;2"), vmsLine(name+".TXT;1"))
	}
	srv := vmsServer()
	srv.lists = map[string]string{"DKA100:[ANNA]": vmsList("DKA100:[ANNA]", lines...)}
	s := srv.begun(t).dial(t)
	problems := 0
	err := Walk(testContext(t), s, "", WalkOptions{}, func(f Found) error {
		if f.Err != nil && !errors.Is(f.Err, ErrLeftOut) && !strings.Contains(f.Err.Error(), "listed before") {
			t.Error(f.Err)
		}
		if errors.Is(f.Err, ErrLeftOut) {
			problems++
		}
		return nil
	})
	if err != nil || problems <= listing.MaxSkipped {
		t.Errorf("%d versions, %v", problems, err)
	}
}
