package ftpbridge

import (
	"errors"
	"strings"
	"testing"
)

// What changes the server has its native form too.
func TestChangesOfNativeFiles(t *testing.T) {
	done := func(c *talk, _ string) { c.say("250 done") }
	changing := func(l *legacy) *legacy {
		for _, verb := range []string{"DELE", "MKD", "RMD", "RNTO"} {
			l.more[verb] = done
		}
		l.more["RNFR"] = func(c *talk, _ string) { c.say("350 go on") }
		return l
	}
	for _, tc := range []struct {
		server *legacy
		bad    []string
		heard  []string
	}{
		{vmsServer(), []string{"[-]X", "[.A]X", "A/[-]/X", "A/-/X", "*.*", "F.TXT;1"}, []string{"DELE DKA100:[ANNA.A]B.C;0", "MKD DKA100:[ANNA.A.N]", "RMD DKA100:[ANNA.A.N]", "RNFR DKA100:[ANNA.A]B.C", "RNTO DKA100:[ANNA.A]D.E"}},
		{mvsServer(), []string{"'", "'A", "'A'B'", "A'", "A(B)", "A/B/C", "A*"}, []string{"DELE 'ANNA.A(B)'", "RNFR 'ANNA.A(B)'", "RNTO 'ANNA.A(D)'"}},
		{cmsServer(), []string{"A.B.C", "A.B/C", "=", "X=Y", "*"}, []string{"CWD P:ANNA.A", "DELE B.C", "MKD P:ANNA.A.N", "RNFR B.C", "RNTO D.E"}},
		{nonstopServer(), []string{"$X.Y.Z:", "$X.Y.*", "A.B", "A/B", "*"}, []string{"DELE $DATA.ANNA.B", "RNFR $DATA.ANNA.B", "RNTO $DATA.ANNA.D"}},
	} {
		srv := changing(tc.server)
		srv.lists = map[string]string{srv.home: "", "P:ANNA.A": "", "P:ANNA.": ""}
		file, renamed := "A/B.C", "A/D.E"
		switch srv.home {
		case "ANNA.191":
			srv.home = "P:ANNA."
		case "'ANNA.'":
			file, renamed = "A/B", "A/D"
		case "$DATA.ANNA":
			file, renamed = "B", "D"
		}
		srv.lists[srv.home] = ""
		s := srv.begun(t).dial(t)
		ctx := testContext(t)
		if err := errors.Join(s.Remove(ctx, file), s.Rename(ctx, file, renamed)); err != nil {
			t.Error(err)
		}
		_ = s.MakeDir(ctx, "A/N") // z/OS and NonStop have no such folders
		_ = s.RemoveDir(ctx, "A/N")
		all := strings.Join(srv.heard(), "\n") + "\n"
		for _, h := range tc.heard {
			if !strings.Contains(all, h+"\n") {
				t.Errorf("%s: %q was not sent:\n%s", srv.home, h, all)
			}
		}
		if s.Info().Dialect == "vm" {
			want(t, s.Rename(ctx, file, "X.Y"), []error{ErrUnsupported}, "another folder")
		}
		for _, bad := range append([]string{"A\r\nDELE X", "A//B", "../X", "A/../X", "A/"}, tc.bad...) {
			if err := s.Remove(ctx, bad); err == nil {
				t.Errorf("%s: %q was removed", srv.home, bad)
			}
		}
		equal(t, srv.count("DELE"), 1)
	}
}

// On OpenVMS nothing is taken off the source after a migration: an older version
// would come to light, and the next run would publish it over the newer one.
func TestAfterOnVMS(t *testing.T) {
	for _, tc := range dialectCases() {
		if tc.dialect != "vms" {
			continue
		}
		srv := tc.begun(t)
		src := srv.source(t, "")
		src.URL.Path = "/" + tc.path
		m := newMove(t, src)
		m.o.After = After{Action: DeleteSource}
		rep := m.run()
		if rep.Published.Files == 0 || rep.NotDisposed.Total != rep.Published.Files || rep.Complete() {
			t.Errorf("%s: %s", tc.name, text(rep))
		}
		if n := srv.count("DELE") + srv.count("RNFR"); n > 0 {
			t.Errorf("%s: the server was asked %d times", tc.name, n)
		}
	}
}
