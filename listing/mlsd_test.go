package listing_test

import (
	"testing"

	"gateway/listing"
)

func TestMLSDShapes(t *testing.T) {
	runLines(t, listing.MLSD, []lineTest{
		// times
		{"type=file;modify=20140302151307; s", []string{`file -1 2014-03-02T15:13:07Z second "s"`}},
		{"type=file;modify=20140302151307.999; s", []string{`file -1 2014-03-02T15:13:07Z second "s"`}},
		{"type=file;modify=20140302151307Z; s", []string{`file -1 2014-03-02T15:13:07Z second "s"`}},
		{"type=file;modify=201403021513; m", []string{`file -1 2014-03-02T15:13:00Z minute "m"`}},
		{"type=file;modify=20140302; d", []string{`file -1 2014-03-02T00:00:00Z day "d"`}},
		{"type=file;modify=191140302151307; y2k", []string{`file -1 2014-03-02T15:13:07Z second "y2k"`}},
		{"type=file;modify=19680302151307; old", []string{`file -1 1968-03-02T15:13:07Z second "old"`}},
		{"type=file;modify=00010101000000; first", []string{`file -1 0001-01-01T00:00:00Z second "first"`}},
		{"type=file;modify=99991231235959; last", []string{`file -1 9999-12-31T23:59:59Z second "last"`}},
		{"type=file;modify=20140230151307; no day", []string{`file -1 - "no day"`}},
		{"type=file;modify=20140302 x", []string{`file -1 2014-03-02T00:00:00Z day "x"`}},
		{"type=file;modify=; none", []string{`file -1 - "none"`}},
		// sizes
		{"TYPE=FILE;SIZE=7; upper", []string{`file 7 - "upper"`}},
		{"size=7;type=file; late type", []string{`file 7 - "late type"`}},
		{"size=7;type=dir; dir", []string{`dir -1 - "dir"`}},
		{"type=file;size=-1; negative", []string{`file -1 - "negative"`}},
		{"type=file;size=99999999999999999999; much", []string{`file -1 - "much"`}},
		{"sizd=4096;modify=20140302151307; dir", []string{`dir -1 2014-03-02T15:13:07Z second "dir"`}},
		{"sizd=4096;type=file; file", []string{`file -1 - "file"`}},
		// where the facts end
		{"type=file;size=7 draft six", []string{`file 7 - "draft six"`}},
		{"type=file;size=7;\ttab 2014-03-02", []string{`file 7 - "tab 2014-03-02"`}},
		{"type=file;size=7;  two", []string{`file 7 - " two"`}},
		{"type=file;size=7; \t tab ", []string{`file 7 - "\uef09 tab "`}},
		{"type=file;size=7;none", []string{`file 7 - "none"`}},
		{"type=file;size=7; a; b=c; d", []string{`file 7 - "a; b=c; d"`}},
		{"   type=file;size=7; indented", []string{`file 7 - "indented"`}},
		{" type=file;size=7; a\n type=dir; b\n", []string{`file 7 - "a"`, `dir -1 - "b"`}},
		// users with blanks
		{"type=file;UNIX.ownername=Ada L;UNIX.groupname=Domain Users;UNIX.mode=0644; x", []string{`file -1 - "x" {0644,Ada L,Domain Users}`}},
		{"type=file;UNIX.uid=7;UNIX.ownername=ada;UNIX.owner=8;UNIX.gid=9; x", []string{`file -1 - "x" {,ada,9}`}},
		// links and what else there is
		{"type=OS.unix=slink:/a b; l", []string{`link -1 - "l" -> "/a b"`}},
		{"type=OS.UNIX=symlink:../c;size=3; l", []string{`link -1 - "l" -> "../c"`}},
		{"type=OS.unix=slink:;size=11; www", []string{`link -1 - "www"`}},
		{"type=link; l", []string{`link -1 - "l"`}},
		{"type=OS.unix=blk-11/108;perm=; block", []string{`other -1 - "block"`}},
		{"type=file;win32.ea=0x20;x.hidden=1;media-type=text/plain; w", []string{`file -1 - "w"`}},
		{"type=pdir; ..\ntype=file; f\ntype=cdir; /pub\n", []string{`file -1 - "f"`}},
	})
}

// TestMLSDIsNoName has lines with "=" that are no facts.
func TestMLSDIsNoName(t *testing.T) {
	for _, raw := range []string{"a=b.txt\nc=d.txt\n", "-rw-r--r-- 1 a b 1 Feb 25  2009 type=file;size=7; x\n"} {
		if r, _ := listing.Parse([]byte(raw), listing.Options{Now: now}); r.Format == listing.MLSD {
			t.Errorf("%q: %v", raw, showAll(r))
		}
	}
}
