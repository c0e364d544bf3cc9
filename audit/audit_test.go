package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func testKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	key, err := LoadKey(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func openLog(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func write(t testing.TB, l *Log, e Entry) {
	t.Helper()
	if err := l.Write(e); err != nil {
		t.Fatal(err)
	}
}

func closeLog(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func public(key ed25519.PrivateKey) []ed25519.PublicKey {
	return []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}
}

func verifyDir(t testing.TB, dir string, o VerifyOptions) Report {
	t.Helper()
	files, limit, err := Snapshot(dir)
	if err != nil {
		t.Fatal(err)
	}
	o.Limit = limit
	r, err := Verify(files, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantGood(t testing.TB, r Report) {
	t.Helper()
	for _, f := range r.Faults {
		t.Errorf("a fault of a log that has none: %s", f)
	}
}

// TestLines holds lines to what is promised of them, whatever a client chose.
func TestLines(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
			rapid.SampledFrom([]string{"\n", "a\nb", "\u202egnp.exe", "\x1b]0;x\a", "\u009b31m", "\u2028", "\U000e0001", `"},{`, "\\", "\x7f", "\ufeff", "é"}))
		e := Entry{
			Time: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "time"), 5).UTC(), Verb: Verb("upload"), Result: OK,
			User: text.Draw(t, "user"), Path: text.Draw(t, "path"), Reason: text.Draw(t, "reason"), Bytes: rapid.Int64().Draw(t, "bytes"),
			Address: netip.MustParseAddr("2001:db8::1"), Through: 7, Signature: []byte{1, 2},
		}
		seq := rapid.Uint64Range(1, 1<<62).Draw(t, "seq")
		raw, sum := appendLine(nil, seq, hash{1}, appendEntry(nil, &e))
		body, ok := bytes.CutSuffix(raw, []byte("\n"))
		if !ok || !json.Valid(body) || !utf8.Valid(body) {
			t.Fatalf("no line of JSON: %q", raw)
		}
		for _, r := range string(body) {
			if !unicode.IsPrint(r) {
				t.Fatalf("%U is in the line as it is: %q", r, body)
			}
		}
		l, err := parseLine(body)
		if err != nil {
			t.Fatal(err)
		}
		if l.Seq != seq || l.prev != (hash{1}) || l.sum != sum {
			t.Errorf("number and hashes %d, %s, %s", l.Seq, l.prev, l.sum)
		}
		e.User, e.Path, e.Reason = replaced(e.User), replaced(e.Path), replaced(e.Reason)
		if diff := cmp.Diff(e, l.Entry, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("read back otherwise: %s", diff)
		}
	})
}

// replaced is s with U+FFFD for each byte that is not of UTF-8.
func replaced(s string) string { return string([]rune(s)) }

func TestLongText(t *testing.T) {
	for _, s := range []string{strings.Repeat("a", MaxText), strings.Repeat("a", MaxText+1), strings.Repeat("é", MaxText), "x" + strings.Repeat("€", MaxText), strings.Repeat("\x00", 2*MaxText)} {
		var got string
		if err := json.Unmarshal(appendText(nil, s), &got); err != nil {
			t.Fatal(err)
		}
		kept, cut := strings.CutSuffix(got, "…")
		if !strings.HasPrefix(s, kept) || cut != (len(s) > MaxText) || len(kept) > MaxText || len(kept) < MaxText-3 {
			t.Errorf("%.10q… of %d bytes: %d are kept, cut %v", s, len(s), len(kept), cut)
		}
	}
	e := Entry{Time: time.Now(), Node: strings.Repeat("\x01", MaxText), Verb: Verb(strings.Repeat("\x01", MaxText)), User: strings.Repeat("\x01", MaxText)}
	e.By, e.Protocol, e.Session, e.Path, e.Key, e.To, e.ToKey, e.Ref, e.Reason = e.User, e.User, e.User, e.User, e.User, e.User, e.User, e.User, e.User
	raw, _ := appendLine(nil, 1, hash{}, appendEntry(nil, &e))
	if len(raw) > MaxLine {
		t.Errorf("a line can have %d bytes, more than MaxLine", len(raw))
	}
}

// TestChain writes from several logs at once, as several processes do, over rotations and restarts.
func TestChain(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	const restarts, logs, each = 3, 3, 200
	for range restarts {
		var wg sync.WaitGroup
		for i := range logs {
			l := openLog(t, Options{Dir: dir, Node: fmt.Sprint("node", i), Key: key, RotateSize: 20_000})
			wg.Go(func() {
				for n := range each {
					if err := l.Write(Entry{Verb: Login, User: fmt.Sprint(i), Ref: fmt.Sprint(n)}); err != nil {
						t.Error(err)
					}
					l.Note(Entry{Verb: "download", Path: "/a"})
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	r := verifyDir(t, dir, VerifyOptions{Keys: public(key)})
	wantGood(t, r)
	files, _ := Files(dir)
	logins := map[string]int{}
	for e, err := range Entries(files) {
		if err != nil {
			t.Fatal(err)
		}
		switch e.Verb {
		case Login:
			if logins[e.User]++; e.Ref != fmt.Sprint((logins[e.User]-1)%each) {
				t.Fatalf("login %s of %s is in the place of another", e.Ref, e.User)
			}
		case "download":
			logins["downloads"]++
		}
	}
	want := map[string]int{"downloads": restarts * logs * each}
	for i := range logs {
		want[fmt.Sprint(i)] = restarts * each
	}
	if diff := cmp.Diff(want, logins); diff != "" {
		t.Error(diff)
	}
	if r.Files < 5 || r.First != 1 || int(r.Last) != r.Lines || r.Unsigned != 0 {
		t.Errorf("%+v", r)
	}
	if h, err := LastHead(dir); err != nil || h != r.Signed || h != r.Head {
		t.Errorf("the head beside the log is %v (%v), its last line %v", h, err, r.Head)
	}
}

func TestPruned(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	l := openLog(t, Options{Dir: dir, Key: key, RotateSize: 1000, Keep: 2})
	for range 50 {
		write(t, l, Entry{Verb: Login, User: "anna"})
	}
	closeLog(t, l)
	r := verifyDir(t, dir, VerifyOptions{Keys: public(key)})
	wantGood(t, r)
	if r.Files != 3 || r.First == 1 {
		t.Errorf("%d files from line %d; want 3, from a later line than 1", r.Files, r.First)
	}
	files, _ := Files(dir)
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if r = verifyDir(t, dir, VerifyOptions{}); r.Total != 1 || !strings.Contains(r.Faults[0].What, "files were removed, and not by the gateway") {
		t.Errorf("a file was removed by hand: %v", r.Faults)
	}
}

// TestTorn ends a file in what a killed process or a loss of power can leave.
func TestTorn(t *testing.T) {
	for _, torn := range []string{`{"seq":3,"prev":"`, "\x00\x00\x00\x00", strings.Repeat("\x00", 200_000), "{\n", "\x1b[2J"} {
		dir := t.TempDir()
		l := openLog(t, Options{Dir: dir})
		write(t, l, Entry{Verb: Start})
		write(t, l, Entry{Verb: Login})
		closeLog(t, l)
		files, _ := Files(dir)
		f, err := os.OpenFile(files[0], os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(torn); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if r := verifyDir(t, dir, VerifyOptions{}); r.Total == 0 {
			t.Errorf("%.20q at the end is not seen", torn)
		}
		l = openLog(t, Options{Dir: dir})
		write(t, l, Entry{Verb: Logout})
		closeLog(t, l)
		r := verifyDir(t, dir, VerifyOptions{})
		wantGood(t, r)
		if r.Lines != 4 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0].What, "not whole") {
			t.Errorf("%.20q: %d lines, notes %v", torn, r.Lines, r.Notes)
		}
	}
}

// TestTornFirst: nothing in the file is a line yet.
func TestTornFirst(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName(1)), []byte(`{"seq":1,`), 0o600); err != nil {
		t.Fatal(err)
	}
	l := openLog(t, Options{Dir: dir})
	write(t, l, Entry{Verb: Start})
	closeLog(t, l)
	if r := verifyDir(t, dir, VerifyOptions{}); r.Total != 0 || r.Lines != 2 {
		t.Errorf("%+v", r)
	}
}

// TestKilledAtRotation is the end of a process between the last line of a file and the first of the next.
func TestKilledAtRotation(t *testing.T) {
	for _, empty := range []bool{false, true} {
		dir, key := t.TempDir(), testKey(t)
		l := openLog(t, Options{Dir: dir, Key: key, RotateSize: 1000})
		for range 3 {
			write(t, l, Entry{Verb: Login, Reason: strings.Repeat("x", 500)})
		}
		files, _ := Files(dir)
		if len(files) != 2 {
			t.Fatalf("%d files", len(files))
		}
		l.w.use(nil) // dies
		if err := os.Truncate(files[1], 0); err != nil {
			t.Fatal(err)
		}
		if !empty {
			if err := os.Remove(files[1]); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(filepath.Join(dir, headFile)); err != nil {
			t.Fatal(err)
		}
		next := openLog(t, Options{Dir: dir, Key: key})
		write(t, next, Entry{Verb: Start})
		closeLog(t, next)
		r := verifyDir(t, dir, VerifyOptions{Keys: public(key)})
		wantGood(t, r)
		if r.Files != 2 {
			t.Errorf("%d files, want 2", r.Files)
		}
	}
}

// TestTamperedWhileOpen takes the file away from a process that writes to it.
func TestTamperedWhileOpen(t *testing.T) {
	for name, tamper := range map[string]func(file string) error{
		"shortened": func(file string) error {
			data, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			return os.Truncate(file, int64(bytes.IndexByte(data, '\n')+1))
		},
		"emptied":  func(file string) error { return os.Truncate(file, 0) },
		"removed":  os.Remove,
		"replaced": func(file string) error { _ = os.Remove(file); return os.WriteFile(file, nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			l := openLog(t, Options{Dir: dir})
			for range 5 {
				write(t, l, Entry{Verb: Login})
			}
			files, _ := Files(dir)
			if err := tamper(files[0]); err != nil {
				t.Fatal(err)
			}
			write(t, l, Entry{Verb: Logout})
			closeLog(t, l)
			r := verifyDir(t, dir, VerifyOptions{})
			if r.Total != 1 || !strings.Contains(r.Faults[0].What, "missing") || len(r.Notes) != 1 {
				t.Errorf("faults %v, notes %v", r.Faults, r.Notes)
			}
			if r.Last != 7 { // with the line that says what was missing
				t.Errorf("the numbers go on to %d, want 7", r.Last)
			}
		})
	}
}

// TestCutWhileStopped cuts the end off between two processes: the head beside the log tells.
func TestCutWhileStopped(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	l := openLog(t, Options{Dir: dir, Key: key})
	for range 5 {
		write(t, l, Entry{Verb: Login})
	}
	closeLog(t, l)
	files, _ := Files(dir)
	data, _ := os.ReadFile(files[0])
	if err := os.Truncate(files[0], int64(bytes.IndexByte(data, '\n')+1)); err != nil {
		t.Fatal(err)
	}
	l = openLog(t, Options{Dir: dir, Key: key})
	write(t, l, Entry{Verb: Start})
	closeLog(t, l)
	r := verifyDir(t, dir, VerifyOptions{Keys: public(key)})
	if r.Total != 1 || !strings.Contains(r.Faults[0].What, "lines 2 to 7 are missing") || len(r.Notes) != 1 {
		t.Errorf("faults %v, notes %v", r.Faults, r.Notes)
	}
}

// TestCannotBeWritten takes away the room in files, until more waits than is kept in memory, and gives it back: the
// lines are in their order, none twice, and one says how many are lost.
func TestCannotBeWritten(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	dir, key := t.TempDir(), testKey(t)
	l := openLog(t, Options{Dir: dir, Key: key})
	write(t, l, Entry{Verb: Start})
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 10_000, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	var failed, refused int
	const n = 3000
	for i := range n {
		if err := l.Write(Entry{Verb: Login, Ref: fmt.Sprint(i), Reason: strings.Repeat("x", 4000)}); err != nil {
			failed++
		}
	}
	_, lost := l.Counts()
	refused = int(lost)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if l.Err() == nil || failed < n-5 || refused == 0 || refused > n/2 {
		t.Errorf("%d of %d writes failed, %d are lost; the log says %v", failed, n, refused, l.Err())
	}
	for deadline := time.Now().Add(time.Minute); l.Err() != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the log is not written though it can be")
		}
	}
	write(t, l, Entry{Verb: Stop})
	closeLog(t, l)
	r := verifyDir(t, dir, VerifyOptions{Keys: public(key)})
	wantGood(t, r)
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0].What, fmt.Sprintf("%d lines could not be written", refused)) {
		t.Errorf("notes %v, want that %d are lost", r.Notes, refused)
	}
	files, _ := Files(dir)
	last, count := -1, 0
	for e, err := range Entries(files) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Verb != Login {
			continue
		}
		i, err := strconv.Atoi(e.Ref)
		if err != nil || i <= last {
			t.Fatalf("entry %s comes behind %d", e.Ref, last)
		}
		last = i
		count++
	}
	if count != n-refused {
		t.Errorf("%d lines, want %d", count, n-refused)
	}
}
