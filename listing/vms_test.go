package listing_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"gateway/listing"
)

func TestVMS(t *testing.T) {
	runLines(t, listing.VMS, []lineTest{
		// the servers: UCX, MultiNet, TCPware, CMU, Wollongong, MadGoat
		{"A.TXT;1  3/16  21-MAR-1999 10:20:30  [STAFF,ANNA]  (RWED,RWED,RE,)", []string{`file 1536~ 1999-03-21T10:20:30 second "A.TXT" {(RWED,RWED,RE,),ANNA,STAFF}`}},
		{"A.TXT;1    3   1-mar-1999 10:20 [ANNA] (RWED,RWED,,)", []string{`file 1536~ 1999-03-01T10:20:00 minute "A.TXT" {(RWED,RWED,,),ANNA,}`}},
		{"A.TXT;1    0  21-MAR-1999 10:20:30.22", []string{`file 0~ 1999-03-21T10:20:30 second "A.TXT"`}},
		{"[.B]A.TXT;1 3/3 5-MAR-1993 18:09", []string{`file 1536~ 1993-03-05T18:09:00 minute "A.TXT"`}},
		{"A.TXT;1   17-JUN-1994 17:25:37   6200/13   (RWED,RWED,R,)", []string{`file 6200~ 1994-06-17T17:25:37 second "A.TXT" {(RWED,RWED,R,),,}`}},
		{"A.TXT;1   17-JUN-1994 17:25:37   13/14   (RWED,RWED,R,)", []string{`file 6656~ 1994-06-17T17:25:37 second "A.TXT" {(RWED,RWED,R,),,}`}},
		{"A.TXT;1  [SALES]  1/3  2-AUG-2006 13:05  (RWE,RWE,RE,)", []string{`file 512~ 2006-08-02T13:05:00 minute "A.TXT" {(RWE,RWE,RE,),SALES,}`}},
		{"a.txt;2   MAR 22 16:04 1993   24064 (,RWE,RE,RE)", []string{`file 24064 1993-03-22T16:04:00 minute "a.txt" {(,RWE,RE,RE),,}`}},
		{"A.TXT;1\t7\t21-MAR-1999 10:20:30.22", []string{`file 3584~ 1999-03-21T10:20:30 second "A.TXT"`}},
		// dates
		{"A.TXT;1  3/4  7-JAN-2000  [ANNA]  (RWED,RWED,RE,)", []string{`file 1536~ 2000-01-07T00:00:00 day "A.TXT" {(RWED,RWED,RE,),ANNA,}`}},
		{"A.TXT;1  3/4  7-JAN-99 08:05  [ANNA]  (RWED,RWED,RE,)", []string{`file 1536~ 1999-01-07T08:05:00 minute "A.TXT" {(RWED,RWED,RE,),ANNA,}`}},
		{"A.TXT;1  3/4  7-JAN-1999:08:05:06.07", []string{`file 1536~ 1999-01-07T08:05:06 second "A.TXT"`}},
		{"A.TXT;1  3/4  15-JUI-2002  ANNA  (RWED,RWED,RE,)", []string{`file 1536~ 2002-07-15T00:00:00 day "A.TXT" {(RWED,RWED,RE,),ANNA,}`}},
		{"A.TXT;1  3/4  15-D\xc9C-2002  [ANNA]  (RWED,RWED,RE,)", []string{`file 1536~ 2002-12-15T00:00:00 day "A.TXT" {(RWED,RWED,RE,),ANNA,}`}},
		{"A.TXT;1  3/4  15-XYZ-2002 10:00  [ANNA]  (RWED,RWED,RE,)", []string{`file 1536~ - "A.TXT" {(RWED,RWED,RE,),ANNA,}`}},
		{"A.TXT;1  3/4  17-NOV-1858 00:00  [ANNA]  (RWED,RWED,RE,)", []string{`file 1536~ - "A.TXT" {(RWED,RWED,RE,),ANNA,}`}},
		{"libc.so.6 3/4 [A] (,,,)", []string{`file 1536~ - "libc.so" {(,,,),A,}`}},
		{"A.TXT;1  3/4  <No date recorded>", []string{`file 1536~ - "A.TXT"`}},
		// sizes
		{"A.TXT;1  9KB  21-MAR-1999 10:20", []string{`file 9216~ 1999-03-21T10:20:00 minute "A.TXT"`}},
		{"A.TXT;1  1.5MB/2MB  21-MAR-1999 10:20", []string{`file 1572864~ 1999-03-21T10:20:00 minute "A.TXT"`}},
		{"A.TXT;1  512B/8KB  21-MAR-1999 10:20", []string{`file 512~ 1999-03-21T10:20:00 minute "A.TXT"`}},
		{"A.TXT;1  ******  6-MAY-2008 09:29 [ANNA] (RE,RWED,RE,RE)", []string{`file -1 2008-05-06T09:29:00 minute "A.TXT" {(RE,RWED,RE,RE),ANNA,}`}},
		{"A.TXT;1  99999999999999999  6-MAY-2008 09:29", []string{`file -1 2008-05-06T09:29:00 minute "A.TXT"`}},
		{"A.TXT;1  700  6-MAY-2008 09:29\nTotal of 1 file, 700 bytes.\n", []string{`file 700 2008-05-06T09:29:00 minute "A.TXT"`}},
		{"A.TXT;1  12", []string{`file 6144~ - "A.TXT"`}},
		// owners
		{"A.TXT;1  3  6-MAY-2008 09:29 [500,12] (,,,)", []string{`file 1536~ 2008-05-06T09:29:00 minute "A.TXT" {(,,,),12,500}`}},
		{"A.TXT;1  3  6-MAY-2008 09:29 [ 500 , AN NA ] (,,,)", []string{`file 1536~ 2008-05-06T09:29:00 minute "A.TXT" {(,,,),AN NA,500}`}},
		{"A.TXT;1  3/4  6-MAY-2008 09:29:10 [STAFF,CUTOFFOW     (,,,)", []string{`file 1536~ 2008-05-06T09:29:10 second "A.TXT" {(,,,),CUTOFFOW,STAFF}`}},
		{"A.TXT;1  [1,4]  (RWED,RWED,RE,R)", []string{`file -1 - "A.TXT" {(RWED,RWED,RE,R),4,1}`}},
		// names
		{"mixed^.Case_^_x.tar-gz;1  3  6-MAY-2008 09:29", []string{`file 1536~ 2008-05-06T09:29:00 minute "mixed^.Case_^_x.tar-gz"`}},
		{"NODOT.;1  3  6-MAY-2008 09:29\n.LOGIN;1  3  6-MAY-2008 09:29", []string{`file 1536~ 2008-05-06T09:29:00 minute "NODOT."`, `file 1536~ 2008-05-06T09:29:00 minute ".LOGIN"`}},
		{"Sub.Dir;1  3  6-MAY-2008 09:29", []string{`dir -1 2008-05-06T09:29:00 minute "Sub"`}},
		{".DIR;1  3  6-MAY-2008 09:29", []string{`file 1536~ 2008-05-06T09:29:00 minute ".DIR"`}},
		{"A^[1^].TXT;1  3  6-MAY-2008 09:29", []string{`file 1536~ 2008-05-06T09:29:00 minute "A^[1^].TXT"`}},
		{"NODE::DISK$A:[B.C]A.TXT;1  3/4  6-MAY-2008 09:29", []string{`file 1536~ 2008-05-06T09:29:00 minute "A.TXT"`}},
		{"A.TXT  3/4  6-MAY-2008 09:29", []string{`file 1536~ 2008-05-06T09:29:00 minute "A.TXT"`}},
		{"nodot;1  3/4  6-MAY-2008 09:29", []string{`file 1536~ 2008-05-06T09:29:00 minute "nodot"`}},
		{"A.TXT;2\nDISK:[B]C.TXT;1\n", []string{`file -1 - "A.TXT"`, `file -1 - "C.TXT"`}},
		// errors in place of the fields
		{"A.TXT;1   %RMS-E-PRV, insufficient privilege or file protection violation\nB.TXT;1  3  6-MAY-2008 09:29",
			[]string{`file 1536~ 2008-05-06T09:29:00 minute "B.TXT"`, "skipped 1: the server could not read the file's attributes"}},
		{"A.DIR;1\tNo privilege for attempted operation\nB.TXT;1  3  6-MAY-2008 09:29",
			[]string{`file 1536~ 2008-05-06T09:29:00 minute "B.TXT"`, "skipped 1: the server could not read the file's attributes"}},
		{"A.TXT;1\n      <%SYSTEM-F-NOPRIV, insufficient privilege or object protection violation>\nB.TXT;1  3  6-MAY-2008 09:29",
			[]string{`file 1536~ 2008-05-06T09:29:00 minute "B.TXT"`, "skipped 1: the line after it says that it cannot be read",
				"skipped 2: the server could not read the file's attributes"}},
		{"*.*;0      <%RMS-E-FNF, file not found>", nil},
		{"%DIRECT-W-NOFILES, no files found", nil},
	})
}

func TestVMSWrapped(t *testing.T) {
	const rest = `file 1536~ 1999-03-21T10:20:30 second "LONG_NAME.TXT" {(RWED,RWED,RE,),ANNA,STAFF}`
	runLines(t, listing.VMS, []lineTest{
		{"LONG_NAME.TXT;12\n     3/16  21-MAR-1999 10:20:30  [STAFF,ANNA]  (RWED,RWED,RE,)\n", []string{rest}},
		{"LONG_NAME.TXT;12\r\n3/16  21-MAR-1999 10:20:30  [STAFF,ANNA]  (RWED,RWED,RE,)\r\n", []string{rest}},
		{"LONG_NAME.TXT;12 \r     3/16  21-MAR-1999 10:20:30  [STAFF,ANNA]  (RWED,RWED,RE,)\n", []string{rest}},
		{"LONG_NAME.TXT;12\n\n     3/16  21-MAR-1999 10:20:30  [STAFF,ANNA]  (RWED,RWED,RE,)\n", []string{rest}},
		{"LONG_NAME.TXT\n     3/16  21-MAR-1999 10:20:30  [STAFF,ANNA]  (RWED,RWED,RE,)\n", []string{rest}},
		{"LONG_NAME.TXT;12\n     3/16  21-MAR-1999 10:20:30  [STAFF,ANNA]\n    (RWED,RWED,RE,)\n", []string{rest}},
		{"LONG_NAME.TXT;12\n     3  21-MAR-1999 10:20:30  [STAFF,ANNA]\n    (RWED,RWED,RE,)\n", []string{rest}},
		{"LONG_NAME.TXT;12  3  21-MAR-1999 10:20:30  [STAFF,ANNA]\n    (RWED,RWED,RE,)\n", []string{rest}},
		// what completes the entry is missing
		{"ALONE.TXT;1\nLONG_NAME.TXT;12\n     3/16  21-MAR-1999 10:20:30  [STAFF,ANNA]  (RWED,RWED,RE,)\nLAST.TXT;1",
			[]string{`file -1 - "ALONE.TXT"`, rest, `file -1 - "LAST.TXT"`}},
		{"ALONE.TXT;1\n     3/16  21-MAR-1999 10:20:30  [STAFF,ANNA]\nB.TXT;1  12\n",
			[]string{`file 1536~ 1999-03-21T10:20:30 second "ALONE.TXT" {,ANNA,STAFF}`, `file 6144~ - "B.TXT"`}},
		{"B.TXT;1  12\nNO_VERSION.TXT\nTotal of 2 files.\n", []string{`file 6144~ - "B.TXT"`, `skipped 2: the line that should complete the entry is missing`}},
		{"B.TXT;1  12\n   3/16  21-MAR-1999 10:20:30\n", []string{`file 6144~ - "B.TXT"`, `skipped 2: no VMS file name with a version`}},
	})
}

func TestVMSVersions(t *testing.T) {
	raw := "A.TXT;32767  1  6-MAY-2008 09:29\nB.TXT.12  1/3  6-MAY-2008 09:29\nC^.TXT.7  1/3  6-MAY-2008 09:29\nD.DIR;1  1  6-MAY-2008 09:29\nE.TXT;4\n"
	r, err := listing.Parse([]byte(raw), listing.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range r.Entries {
		got = append(got, e.RawName+" "+e.Version)
	}
	if diff := cmp.Diff([]string{"A.TXT 32767", "B.TXT 12", "C^.TXT.7 ", "D 1", "E.TXT 4"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A directory below the first is a prefix with "/"; another is its whole specification.
func TestVMSDirectories(t *testing.T) {
	file := "A.TXT;1  3  6-MAY-2008 09:29\n\nTotal of 1 file, 3 blocks.\n\n"
	raw := "\nDirectory D:[ANNA]\n\n" + file + "Directory D:[ANNA.X.Y^.Z]\n\n" + file + "Directory D:[ANNABEL]\n\n" + file +
		"Directory E:[ANNA.X]\n\n" + file + "Directory D:[ANNA]\n\n" + file + "Grand total of 5 directories, 5 files, 15 blocks.\n"
	checkNames(t, raw, "A.TXT", "X/Y^.Z/A.TXT", "D:[ANNABEL]A.TXT", "E:[ANNA.X]A.TXT", "A.TXT")
	checkNames(t, "Directory D:[000000]\n"+file+"Directory D:[X]\n"+file+"Directory D:[000000.X.Y]\n"+file, "A.TXT", "X/A.TXT", "X/Y/A.TXT")
	checkNames(t, "Directory D:[R.][000000]\n"+file+"Directory D:[R.][Q]\n"+file, "A.TXT", "Q/A.TXT")
	checkNames(t, "Directory LOGICAL:[X]\nDISK$VOL:\nE:[ANNA]\n"+file, "A.TXT")
}

func checkNames(t *testing.T, raw string, want ...string) {
	t.Helper()
	r, err := listing.Parse([]byte(raw), listing.Options{})
	if err != nil || r.Format != listing.VMS || r.SkippedTotal > 0 {
		t.Fatalf("%v, format %q, skipped %v", err, r.Format, r.Skipped)
	}
	var got []string
	for _, e := range r.Entries {
		got = append(got, e.RawName)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// What is not quite a line of VMS is skipped, with a reason, and does not cost the others.
func TestVMSSkips(t *testing.T) {
	good := "GOOD.TXT;1  3  6-MAY-2008 09:29\n"
	for _, bad := range []string{
		"garbage", "two words", "226 Transfer complete.", "A.TXT 3 6-MAY-2008 09:29:10", "nodot;1 3 6-MAY-2008 09:29:10",
		"A.TXT;1 x 6-MAY-2008 09:29", "A.TXT;1 -3 6-MAY-2008 09:29", "A.TXT;1 3 MAY-2008 09:29", "A.TXT;1 3 6-MAY 09:29",
		"A.TXT;1 3 6-MAY-2008 09", "A.TXT;1 3 6-MAY-2008 09:29.11", "A.TXT;1 3 31-APR-2008", "A.TXT;1 3 6-MAY-2008 25:00",
		"A.TXT;1 3 6-MAY-2008 09:29:10 (RWED,RWED,,)", "A.TXT;1 3 6-MAY-2008 09:29 [A] (RWED)", "A.TXT;1 3 6-MAY-2008 09:29 [A] (RWED,RWED,,,)",
		"A.TXT;1 3 6-MAY-2008 09:29 [A] (DEWR,,,)", "A.TXT;1 3 6-MAY-2008 09:29 [A] [B]", "A.TXT;1 3 6-MAY-2008 09:29 [A (,,,",
		"A.TXT;123456 3 6-MAY-2008 09:29", "A.TXT; 1 3 6-MAY-2008 09:29", ";1 3 6-MAY-2008 09:29", "D:[X];1 3 6-MAY-2008 09:29",
		"A.TXT;1 3 3", "A.TXT;1 3/ 6-MAY-2008", "A.TXT;1 3XB 6-MAY-2008", "A.TXT;1 6-MAY-2008 6-MAY-2008", "*.TXT;1 3 6-MAY-2008 09:29",
		"A.TXT;1   B.TXT;1   C.TXT;1", "%SYSTEM-F-NOPRIV, insufficient privilege or object protection violation", "Directory of everything",
	} {
		r, err := listing.Parse([]byte(good+bad+"\n"+good), listing.Options{})
		if err != nil || len(r.Entries) != 2 || r.SkippedTotal != 1 || r.Skipped[0].Line != 2 || r.Skipped[0].Reason == "" {
			t.Errorf("%q: %v, %v", bad, err, showAll(r))
		}
	}
}

// vmsSample has every kind of line.
const vmsSample = "\r\nDirectory DISK$USER:[ANNA]\r\n\r\n" +
	"LOGIN.COM;3              2/16        21-MAR-1999 10:20:30  [STAFF,ANNA]  (RWED,RWED,RE,)\r\n" +
	"A_NAME_THAT_FILLS_ITS_COLUMN.TXT;12\r\n                         7/16        1-APR-1999 08:00:01  [STAFF,ANNA]\r\n" +
	"                                                              (RWED,RWED,,)\r\n" +
	"MAIL.DIR;1  %RMS-E-PRV, insufficient privilege or file protection violation\r\n" +
	"W.TXT;1  17-JUN-1994 17:25:37.11  6200/13 (RWED,RWED,R,)\r\n" +
	"\r\nTotal of 4 files, 23/64 blocks.\r\n\r\nDirectory DISK$USER:[ANNA.MAIL]\r\n\r\nX.MAI;1  9KB  1-APR-99 [ANNA] (,,,)\r\n"

func TestVMSCut(t *testing.T) { checkCut(t, vmsSample, listing.VMS) }

// checkCut parses every beginning and every end of a sample, and the sample with every byte changed.
func checkCut(t *testing.T, sample string, f listing.Format) {
	t.Helper()
	whole, err := listing.Parse([]byte(sample), listing.Options{Now: now})
	if err != nil || whole.Format != f {
		t.Fatalf("%v, format %q, want %q", err, whole.Format, f)
	}
	check := func(raw string) {
		for _, o := range []listing.Options{{Now: now}, {Now: now, Format: f}} {
			r, _ := listing.Parse([]byte(raw), o)
			for _, e := range r.Entries {
				if e.Name == "" || e.RawName == "" || e.Line < 1 || e.Size < -1 {
					t.Errorf("%q: bad entry %+v", raw, e)
				}
			}
			if o.Format == f && len(r.Entries) > len(whole.Entries)+1 {
				t.Errorf("%q: %d entries", raw, len(r.Entries))
			}
		}
	}
	for i := range len(sample) {
		check(sample[:i])
		check(sample[i:])
		check(sample[:i] + "<")
		check(sample[:i] + "%")
		for _, c := range []string{" ", ";", "[", "]", "(", "<", "%", "/", "-", "^", "\n", "\r", "\x00", "\xff", "9", "A", "+", ","} {
			b := sample[:i] + c + sample[i+1:]
			r, _ := listing.Parse([]byte(b), listing.Options{Now: now, Format: f})
			for _, e := range r.Entries {
				if e.Name == "" || e.RawName == "" {
					t.Errorf("%q: bad entry %+v", b, e)
				}
			}
		}
	}
}

// The parts of an entry may be in two windows of a Reader.
func TestVMSReader(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("Directory D:[X]\r\n\r\n")
	for i := 0; b.Len() < 4*listing.Window; i++ {
		fmt.Fprintf(&b, "NAME_%s.TXT;%d\r\n%s1/3  6-MAY-2008 09:29:10\r\n  [STAFF,ANNA]\r\n(RWED,,,)\r\nALONE.TXT;%d\r\n", strings.Repeat("A", i%50), i%100, strings.Repeat("\r\n", i%3), i%10)
	}
	want, err := listing.Parse(b.Bytes(), listing.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	rd := listing.NewReader(iotest.HalfReader(bytes.NewReader(b.Bytes())), listing.Options{Now: now})
	i := 0
	for e, err := range rd.All() {
		if err != nil {
			t.Fatal(err)
		}
		if i < len(want.Entries) && (show(e) != show(want.Entries[i]) || e.Line != want.Entries[i].Line) {
			t.Fatalf("entry %d: %s in line %d, want %s in line %d", i, show(e), e.Line, show(want.Entries[i]), want.Entries[i].Line)
		}
		i++
	}
	if q := rd.Quality(); i != len(want.Entries) || q.SkippedTotal != want.SkippedTotal {
		t.Errorf("%d entries, want %d; skipped %d, want %d", i, len(want.Entries), q.SkippedTotal, want.SkippedTotal)
	}
}

// A line that waits must not cost more than the listing is long.
func TestVMSHostile(t *testing.T) {
	for _, unit := range []string{"A.B;1\n", "A.B\n", "A.B;1\n\n", ";1", "A.B;1 [", "^;", "A.B;1 1 1-MAY-2008 [A]\n", "A.B;1\n1/1 [A]\n(", "D:[A]\n"} {
		for _, blank := range []string{"", strings.Repeat("\n", 100_000), strings.Repeat(" ", 60_000)} {
			raw := "GOOD.TXT;1  3  6-MAY-2008 09:29\nA.B;1\n" + blank + strings.Repeat(unit, 200_000/len(unit))
			r, err := listing.Parse([]byte(raw), listing.Options{Now: now})
			if err != nil || len(r.Entries) == 0 || r.Entries[0].RawName != "GOOD.TXT" {
				t.Errorf("%q: %v, %d entries", unit, err, len(r.Entries))
			}
		}
	}
}
