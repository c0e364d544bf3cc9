package ftpbridge

import (
	"strings"
	"testing"
)

// dialectCase is a whole tree on one kind of system.
type dialectCase struct {
	name    string
	server  func() *legacy
	path    string // of the URL
	dialect string // that is found
	root    string
	lists   map[string]string
	bodies  map[string]string // native file to content
	files   map[string]string // below the root to content; folders end in a slash
	skipped map[string]string // reasons of what is left out
	unread  map[string]string
	again   int64 // files of which the listing does not tell whether they changed
}

func dialectCases() []dialectCase {
	fresh := strings.Repeat("newest ", 100)
	return []dialectCase{{
		name: "VMS", server: vmsServer, dialect: "vms", root: "DKA100:[ANNA]",
		lists: map[string]string{
			"DKA100:[ANNA]": vmsList("DKA100:[ANNA]", vmsLine("SUB.DIR;1"), vmsLine("LOGIN.COM;3"), vmsLine("LOGIN.COM;2"), vmsLine("LOGIN.COM;1"),
				vmsLine("A_NAME_THAT_FILLS_ITS_COLUMN.TXT;12"), vmsLine("NODOT.;1"), vmsLine("EMPTY.DIR;1")),
			"DKA100:[ANNA.SUB]":         vmsList("DKA100:[ANNA.SUB]", vmsLine("dots^.in^_name.txt;1"), vmsLine("x^.y.DIR;1"), vmsLine("two.dots.3;1")),
			"DKA100:[ANNA.SUB.x^.y]":    vmsList("DKA100:[ANNA.SUB.x^.y]", vmsLine("DEEP.DAT;7")),
			"DKA100:[ANNA.EMPTY]":       "",
			"DKA100:[000000]":           vmsList("DKA100:[000000]", vmsLine("OTHER.DIR;1")),
			"DKA100:[000000.UNRELATED]": "",
		},
		bodies: map[string]string{
			"DKA100:[ANNA]LOGIN.COM;3": fresh, "DKA100:[ANNA]LOGIN.COM;2": "older", "DKA100:[ANNA]LOGIN.COM;1": "oldest",
			"DKA100:[ANNA]A_NAME_THAT_FILLS_ITS_COLUMN.TXT;9": "long", "DKA100:[ANNA]NODOT.;1": "no dot",
			"DKA100:[ANNA.SUB]dots^.in^_name.txt;1": "dots", "DKA100:[ANNA.SUB.x^.y]DEEP.DAT;7": "deep", "DKA100:[ANNA.SUB]two.dots.3;1": "3",
		},
		files: map[string]string{
			"LOGIN.COM": fresh, "A_NAME_THAT_FILLS_ITS_COLUMN.TXT": "long", "NODOT.": "no dot", "SUB/": "", "EMPTY/": "",
			"SUB/dots^.in^_name.txt": "dots", "SUB/x^.y/": "", "SUB/x^.y/DEEP.DAT": "deep", "SUB/two.dots.3": "3",
		},
		skipped: map[string]string{"LOGIN.COM;2": "an older version; the newest is 3", "LOGIN.COM;1": "older"},
	}, {
		name: "VMS root", server: vmsServer, path: "DKB0:[000000]", dialect: "vms", root: "DKB0:[000000]",
		lists: map[string]string{
			"DKA100:[ANNA]": "",
			"DKB0:[000000]": vmsList("DKB0:[000000]", vmsLine("000000.DIR;1"), vmsLine("A.DIR;1"), vmsLine("F.;1")),
			"DKB0:[A]":      vmsList("DKB0:[A]", vmsLine("B.DIR;1")),
			"DKB0:[A.B]":    vmsList("DKB0:[A.B]", vmsLine("G.TXT;2")),
		},
		bodies: map[string]string{"DKB0:[000000]F.;1": "f", "DKB0:[A.B]G.TXT;2": "g"},
		files:  map[string]string{"A/": "", "A/B/": "", "F.": "f", "A/B/G.TXT": "g"},
	}, {
		name: "VMS logical name", server: vmsServer, path: "SYS$LOGIN:", dialect: "vms", root: "DKA100:[ANNA]",
		lists:  map[string]string{"DKA100:[ANNA]": vmsList("DKA100:[ANNA]", vmsLine("F.TXT;1"))},
		bodies: map[string]string{"DKA100:[ANNA]F.TXT;1": "f"},
		files:  map[string]string{"F.TXT": "f"},
	}, {
		name: "z/OS", server: mvsServer, dialect: "mvs", root: "'ANNA.'",
		lists: map[string]string{
			"'ANNA.'": mvsHead + mvsLine("PO", "JCL.CNTL") + mvsLine("PO-E", "NO.MEMBERS") + mvsLine("PS", "REPORT.D240530") +
				"Migrated                                                OLD.DATA\r\n" +
				"PROD03 3390                                        VSAM CUSTOMER.DATA\r\n" +
				"                                                    GDG MONTHLY\r\n" +
				"Pseudo Directory                                        ISPF\r\n",
			"'ANNA.JCL.CNTL'":   pdsHead + pdsLine("PAYROLL") + "NOSTATS\r\n" + pdsLine("#1@$"),
			"'ANNA.NO.MEMBERS'": "",
		},
		bodies: map[string]string{
			"'ANNA.REPORT.D240530'": "\xc8\xc5\xd3\xd3\xd6", "'ANNA.OLD.DATA'": "recalled", "'ANNA.JCL.CNTL(PAYROLL)'": strings.Repeat("\x61\x61\x40", 100),
			"'ANNA.JCL.CNTL(NOSTATS)'": "n", "'ANNA.JCL.CNTL(#1@$)'": "national",
		},
		files: map[string]string{
			"JCL.CNTL/": "", "NO.MEMBERS/": "", "REPORT.D240530": "\xc8\xc5\xd3\xd3\xd6", "OLD.DATA": "recalled",
			"JCL.CNTL/PAYROLL": strings.Repeat("\x61\x61\x40", 100), "JCL.CNTL/NOSTATS": "n", "JCL.CNTL/#1@$": "national",
		},
		skipped: map[string]string{"MONTHLY": "generation data group"},
		unread:  map[string]string{"/": "pseudo directory"},
		again:   3,
	}, {
		name: "z/OS library", server: mvsServer, path: "JCL.CNTL", dialect: "mvs", root: "'ANNA.JCL.CNTL'",
		lists:  map[string]string{"'ANNA.'": "", "'ANNA.JCL.CNTL'": "BARE    \r\nNAMES\r\n"},
		bodies: map[string]string{"'ANNA.JCL.CNTL(BARE)'": "b", "'ANNA.JCL.CNTL(NAMES)'": "n"},
		files:  map[string]string{"BARE": "b", "NAMES": "n"}, again: 2,
	}, {
		name: "z/OS prefix", server: mvsServer, path: "'PROD.X'", dialect: "mvs", root: "'PROD.X.'",
		lists:  map[string]string{"'PROD.X.'": mvsHead + mvsLine("PS", "A")},
		bodies: map[string]string{"'PROD.X.A'": "a"},
		files:  map[string]string{"A": "a"}, again: 1,
	}, {
		name: "z/OS Unix files", server: mvsServer, path: "/u/anna", dialect: "mvs", root: "/u/anna",
		lists:  map[string]string{"/u/anna": unixDir("sub") + unixLine(".profile", 1), "/u/anna/sub": unixLine("it's(1)", 2)},
		bodies: map[string]string{"/u/anna/.profile": "p", "/u/anna/sub/it's(1)": "22"},
		files:  map[string]string{"sub/": "", ".profile": "p", "sub/it's(1)": "22"},
	}, {
		name: "IBM i library", server: os400Server, dialect: "os400", root: "/QSYS.LIB/QGPL.LIB",
		lists: map[string]string{
			"/QSYS.LIB/QGPL.LIB": "QPGMR          135168 29.06.13 15:45:09 *FILE      ORDERS.FILE\r\n" +
				"QPGMR                                   *MEM       ORDERS.FILE/MAY.MBR\r\n" +
				"QPGMR                                   *MEM       ORDERS.FILE/JUNE.MBR\r\n" +
				"QPGMR          135168 29.06.13 15:45:09 *FILE      LOCKED.FILE\r\n" +
				"QPGMR                                   *MEM       LOCKED.FILE/ONLY.MBR\r\n" +
				"QPGMR        16347136 29.06.13 15:45:09 *FILE      BACKUP.SAVF\r\n" +
				"QPGMR           16347 29.06.13 15:45:09 *PGM       PAYROLL.PGM\r\n",
			"/QSYS.LIB/QGPL.LIB/ORDERS.FILE": "QPGMR          135168 29.06.13 15:45:09 *FILE      ORDERS.FILE\r\n" +
				"QPGMR                                   *MEM       ORDERS.FILE/MAY.MBR\r\n" +
				"QPGMR                                   *MEM       ORDERS.FILE/JUNE.MBR\r\n",
		},
		bodies: map[string]string{
			"/QSYS.LIB/QGPL.LIB/ORDERS.FILE/MAY.MBR": "may", "/QSYS.LIB/QGPL.LIB/ORDERS.FILE/JUNE.MBR": "june",
			"/QSYS.LIB/QGPL.LIB/LOCKED.FILE/ONLY.MBR": "only", "/QSYS.LIB/QGPL.LIB/BACKUP.SAVF": "saved",
		},
		files: map[string]string{
			"ORDERS.FILE/": "", "ORDERS.FILE/MAY.MBR": "may", "ORDERS.FILE/JUNE.MBR": "june", "BACKUP.SAVF": "saved",
			"LOCKED.FILE/": "", "LOCKED.FILE/ONLY.MBR": "only",
		},
		skipped: map[string]string{"PAYROLL.PGM": "no file"},
		again:   3,
	}, {
		name: "IBM i stream files", server: os400Server, path: "/home/anna", dialect: "os400", root: "/home/anna",
		lists: map[string]string{
			"/home/anna": "ANNA            8192 04/03/31 14:06:34 *DIR       invoices/\r\n" +
				"ANNA               5 04/03/18 18:58:16 *STMF      price list.txt\r\n",
			"/home/anna/invoices": "ANNA               3 04/03/18 18:58:16 *STMF      a.pgm\r\n",
		},
		bodies: map[string]string{"/home/anna/price list.txt": "12345", "/home/anna/invoices/a.pgm": "abc"},
		files:  map[string]string{"invoices/": "", "price list.txt": "12345", "invoices/a.pgm": "abc"},
	}, {
		name: "NonStop", server: nonstopServer, dialect: "nonstop", root: "$DATA.ANNA",
		lists:  map[string]string{"$DATA.ANNA": guardianHead + guardianLine("ACCTS", 2522) + guardianLine("TACLCSTM", 3)},
		bodies: map[string]string{"$DATA.ANNA.ACCTS": "sent otherwise", "$DATA.ANNA.TACLCSTM": "abc"},
		files:  map[string]string{"ACCTS": "sent otherwise", "TACLCSTM": "abc"},
	}, {
		name: "NonStop volume", server: nonstopServer, path: "$DATA", dialect: "nonstop", root: "$DATA",
		lists: map[string]string{
			"$DATA":      "*** Sub-volumes\r\nANNA\r\nBERTA\r\n",
			"$DATA.ANNA": guardianHead + guardianLine("ACCTS", 4), "$DATA.BERTA": "",
		},
		bodies: map[string]string{"$DATA.ANNA.ACCTS": "four"},
		files:  map[string]string{"ANNA/": "", "BERTA/": "", "ANNA/ACCTS": "four"},
	}, {
		name: "NonStop Unix files", server: nonstopServer, path: "/home/anna/x", dialect: "nonstop", root: "/home/anna/x",
		lists:  map[string]string{"$DATA.ANNA": "", "/home/anna/x": unixDir("d") + unixLine("$f", 1), "/home/anna/x/d": unixLine("g.h.i", 2)},
		bodies: map[string]string{"/home/anna/x/$f": "f", "/home/anna/x/d/g.h.i": "gg"},
		files:  map[string]string{"d/": "", "$f": "f", "d/g.h.i": "gg"},
	}, {
		name: "z/VM mini disk", server: cmsServer, dialect: "vm", root: "ANNA.191",
		lists:  map[string]string{"ANNA.191": cmsLine("PROFILE", "EXEC") + cmsLine("ANNA", "191")},
		bodies: map[string]string{"ANNA.191/PROFILE.EXEC": "exec", "ANNA.191/ANNA.191": "not a disk"},
		files:  map[string]string{"PROFILE.EXEC": "exec", "ANNA.191": "not a disk"},
	}, {
		name: "z/VM shared files", server: cmsServer, path: "POOL1:ANNA.", dialect: "vm", root: "POOL1:ANNA.",
		lists: map[string]string{
			"ANNA.191": "", "POOL1:ANNA.": cmsDir("TOOLS") + cmsDir("VOID") + cmsLine("A", "TEXT"), "POOL1:ANNA.VOID": "",
			"POOL1:ANNA.TOOLS": cmsDir("OLD") + cmsLine("B", "TEXT"), "POOL1:ANNA.TOOLS.OLD": cmsLine("C", "TEXT"),
		},
		bodies: map[string]string{"POOL1:ANNA./A.TEXT": "a", "POOL1:ANNA.TOOLS/B.TEXT": "b", "POOL1:ANNA.TOOLS.OLD/C.TEXT": "c"},
		files:  map[string]string{"TOOLS/": "", "VOID/": "", "TOOLS/OLD/": "", "A.TEXT": "a", "TOOLS/B.TEXT": "b", "TOOLS/OLD/C.TEXT": "c"},
	}, {
		name: "IIS", server: iisServer, dialect: "dos", root: "/",
		lists: map[string]string{
			"/": iisDir("sub") + iisLine("a b.txt", 3), "/sub": iisDir("deep") + iisLine("c", 1), "/sub/deep": iisLine("d", 2),
		},
		bodies: map[string]string{"/a b.txt": "abc", "/sub/c": "c", "/sub/deep/d": "dd"},
		files:  map[string]string{"sub/": "", "sub/deep/": "", "a b.txt": "abc", "sub/c": "c", "sub/deep/d": "dd"},
	}}
}

func (tc dialectCase) begun(t *testing.T) *legacy {
	t.Helper()
	srv := tc.server()
	srv.lists, srv.bodies = tc.lists, tc.bodies
	return srv.begun(t)
}

// Every tree is walked, fetched file by file, and migrated whole.
func TestDialects(t *testing.T) {
	for _, tc := range dialectCases() {
		t.Run(tc.name, func(t *testing.T) {
			srv := tc.begun(t)
			src := srv.source(t, "")
			src.URL.Path = "/" + tc.path
			s := mustDial(t, src)
			equal(t, s.Info().Dialect, tc.dialect)
			equal(t, s.Root(), tc.root)
			found := map[string]bool{}
			err := Walk(testContext(t), s, "", WalkOptions{}, func(f Found) error {
				if f.Err == nil {
					found[f.Rel] = true
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for rel, content := range tc.files {
				dir, isDir := strings.CutSuffix(rel, "/")
				if !found[dir] {
					t.Errorf("%s was not found", rel)
				}
				if isDir {
					continue
				}
				if got, err := fetchAll(testContext(t), s, rel, 0); err != nil || got != content {
					t.Errorf("%s: %q, %v", rel, got, err)
				}
			}
			equal(t, len(found), len(tc.files))

			m := newMove(t, src)
			rep := m.run()
			equal(t, m.files(), tc.files)
			reasons(t, rep.Skipped, nonNil(tc.skipped))
			reasons(t, rep.Unread, nonNil(tc.unread))
			equal(t, rep.Failed.Total, int64(0))
			equal(t, rep.Complete(), tc.unread == nil)
			before := srv.count("RETR")
			equal(t, m.run().Published.Files, tc.again)
			equal(t, srv.count("RETR"), before+int(tc.again))
		})
	}
}

func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}
