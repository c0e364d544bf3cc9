package audit

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestTampered changes a good log of ten lines in two files in each way, and wants to be told which.
func TestTampered(t *testing.T) {
	key := testKey(t)
	forged := func(seq uint64, prev hash) string {
		b, _ := appendLine(nil, seq, prev, appendEntry(nil, &Entry{Verb: Login, User: "mallory"}))
		return string(b)
	}
	sumOf := func(t *testing.T, s string) (uint64, hash) {
		l, err := parseLine([]byte(strings.TrimSuffix(s, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		return l.Seq, l.sum
	}
	// The lines of the log are: 1 to 4 logins, 5 a head, 6 rotate in the first file; 7 to 9 logins and 10 a head in the second.
	for name, tt := range map[string]struct {
		do   func(t *testing.T, a, b []string) ([]string, []string)
		want []string
	}{
		"untouched": {func(t *testing.T, a, b []string) ([]string, []string) { return a, b }, nil},
		"one line removed": {
			func(t *testing.T, a, b []string) ([]string, []string) { return slices.Delete(a, 1, 2), b },
			[]string{"A:2: line 2 is missing"},
		},
		"three lines removed": {
			func(t *testing.T, a, b []string) ([]string, []string) { return slices.Delete(a, 1, 4), b },
			[]string{"A:2: lines 2 to 4 are missing"},
		},
		"first line removed": {
			func(t *testing.T, a, b []string) ([]string, []string) { return a[1:], b },
			[]string{"lines 1 to 1 are missing: files were removed, and not by the gateway"},
		},
		"line changed": {
			func(t *testing.T, a, b []string) ([]string, []string) {
				a[2] = strings.Replace(a[2], "user2", "userX", 1)
				return a, b
			},
			[]string{"A:3: line 3 was changed: line 4 has the SHA-256 of another"},
		},
		"line and its hash changed": {
			func(t *testing.T, a, b []string) ([]string, []string) { a[2] = forged(3, hash{9}); return a, b },
			[]string{"A:3: line 3 was changed"},
		},
		"number changed": {
			func(t *testing.T, a, b []string) ([]string, []string) {
				a[2] = strings.Replace(a[2], `"seq":3`, `"seq":33`, 1)
				return a, b
			},
			[]string{"A:3: the number of line 3 was changed, to 33"},
		},
		"line replaced with one that fits to the one before": {
			func(t *testing.T, a, b []string) ([]string, []string) {
				seq, sum := sumOf(t, a[1])
				a[2] = forged(seq+1, sum)
				return a, b
			},
			[]string{"A:3: line 3 was changed: line 4 has the SHA-256 of another"},
		},
		"line put in": {
			func(t *testing.T, a, b []string) ([]string, []string) {
				return slices.Insert(a, 2, forged(3, hash{})), b
			},
			[]string{"A:3: a line was put in"},
		},
		"line put in that fits to the one before": {
			func(t *testing.T, a, b []string) ([]string, []string) {
				seq, sum := sumOf(t, a[1])
				return slices.Insert(a, 2, forged(seq+1, sum)), b
			},
			// It fits to the one before, and so what tells is that a line of its number follows.
			[]string{"A:4: line 3 comes behind line 3"},
		},
		"junk put in": {
			func(t *testing.T, a, b []string) ([]string, []string) {
				return slices.Insert(a, 2, "\x1b[2Jnothing happened\n"), b
			},
			[]string{"A:3: a line was put in", "never written as it is"},
		},
		"line made junk": {
			func(t *testing.T, a, b []string) ([]string, []string) { a[2] = "{}\n"; return a, b },
			[]string{"A:3: not a line of the audit log: it has no number"},
		},
		"two lines swapped": {
			func(t *testing.T, a, b []string) ([]string, []string) { a[1], a[2] = a[2], a[1]; return a, b },
			[]string{"A:2: a line was put in", "A:4: line 3 is missing"},
		},
		"end cut off": {
			func(t *testing.T, a, b []string) ([]string, []string) { return a, b[:2] },
			[]string{"the log ends at line 8, and a head is of line 10: the end was cut off"},
		},
		"end torn off": {
			func(t *testing.T, a, b []string) ([]string, []string) { b[3] = b[3][:30]; return a, b },
			[]string{"B:4: the file ends within a line", "the log ends at line 9"},
		},
		"last file removed": {
			func(t *testing.T, a, b []string) ([]string, []string) { return a, nil },
			[]string{"the log ends at line 6, and a head is of line 10"},
		},
		"first file removed": {
			func(t *testing.T, a, b []string) ([]string, []string) { return nil, b },
			[]string{"lines 1 to 6 are missing"},
		},
		"last line changed": {
			func(t *testing.T, a, b []string) ([]string, []string) {
				b[3] = strings.Replace(b[3], `"node":"n"`, `"node":"m"`, 1)
				return a, b
			},
			[]string{"B:4: line 10 is not the one that the head", "B:4: the signature of the head is wrong"},
		},
		"all written anew without the key": {
			func(t *testing.T, a, b []string) ([]string, []string) { return anew(t, a), nil },
			[]string{"A:5: the signature of the head is wrong", "the log ends at line 6, and a head is of line 10"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			head := goodLog(t, dir, Options{Dir: dir, Node: "n", Key: key})
			files, err := Files(dir)
			if err != nil || len(files) != 2 {
				t.Fatalf("%v, %v", files, err)
			}
			a, b := tt.do(t, linesOf(t, files[0]), linesOf(t, files[1]))
			for i, lines := range [][]string{a, b} {
				if lines == nil {
					err = os.Remove(files[i])
				} else {
					err = os.WriteFile(files[i], []byte(strings.Join(lines, "")), 0o600)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			r := verifyDir(t, dir, VerifyOptions{Keys: public(key), Heads: []Head{head}})
			var said []string
			names := strings.NewReplacer(filepath.Base(files[0]), "A", filepath.Base(files[1]), "B")
			for _, f := range r.Faults {
				said = append(said, names.Replace(f.String()))
			}
			all := strings.Join(said, "\n")
			for _, want := range tt.want {
				if !strings.Contains(all, want) {
					t.Errorf("not said: %s", want)
				}
			}
			if len(tt.want) == 0 && r.Total > 0 || len(tt.want) > 0 && r.Total > len(tt.want) {
				t.Errorf("more is said than is wrong")
			}
			if t.Failed() {
				t.Logf("said:\n%s", all)
			}
		})
	}
}

// goodLog writes the log of TestTampered, and returns its head.
func goodLog(t *testing.T, dir string, o Options) Head {
	t.Helper()
	l := openLog(t, o)
	l.w.sinceHead = 0
	for i := range 4 {
		write(t, l, Entry{Verb: Login, User: fmt.Sprint("user", i)})
	}
	closeLog(t, l)
	o.RotateSize = 1
	l = openLog(t, o)
	l.w.sinceHead = 0
	// Only the first write ends the file, which has its head already.
	if err := l.w.locked(func() error {
		if err := l.w.append([]item{{body: l.w.body(Entry{Verb: Rotate, Path: fileName(7)})}}, false); err != nil {
			return err
		}
		l.w.use(nil)
		l.w.t.over = true
		return l.w.create()
	}); err != nil {
		t.Fatal(err)
	}
	l.o.RotateSize = 0
	for i := range 3 {
		write(t, l, Entry{Verb: Login, User: fmt.Sprint("user", 4+i)})
	}
	closeLog(t, l)
	h, err := LastHead(dir)
	if err != nil || h.Seq != 10 {
		t.Fatalf("head %v, %v", h, err)
	}
	return h
}

func linesOf(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(strings.Lines(string(data)))
}

// anew is the chain of lines with another user, made to fit.
func anew(t *testing.T, lines []string) []string {
	t.Helper()
	var out []string
	var sum hash
	for i, l := range lines {
		_, body, ok := strings.Cut(l, `","`)
		if !ok {
			t.Fatal(l)
		}
		body = `"` + strings.TrimSuffix(strings.Replace(body, "user1", "userX", 1), "\n")
		var b []byte
		b, sum = appendLine(nil, uint64(i+1), sum, []byte(body))
		out = append(out, string(b))
	}
	return out
}

// TestHeads keeps the head of each line elsewhere, in both ways of writing it.
func TestHeads(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	l := openLog(t, Options{Dir: dir, Key: key})
	for range 5 {
		write(t, l, Entry{Verb: Login})
	}
	closeLog(t, l)
	files, _ := Files(dir)
	for i, text := range linesOf(t, files[0]) {
		p, err := parseLine([]byte(strings.TrimSuffix(text, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		for _, kept := range []string{Head{p.Seq, p.sum}.String(), p.sum.String()} {
			h, err := ParseHead(kept + "\n")
			if err != nil {
				t.Fatal(err)
			}
			wantGood(t, verifyDir(t, dir, VerifyOptions{Heads: []Head{h}}))
			h.sum[0] ^= 1
			if r := verifyDir(t, dir, VerifyOptions{Heads: []Head{h}}); r.Total != 1 {
				t.Errorf("a head that line %d has not: %v", i+1, r.Faults)
			}
		}
	}
	for _, bad := range []string{"", "1:", "x:" + hash{}.String(), hash{}.String()[1:], "-1:" + hash{}.String()} {
		if h, err := ParseHead(bad); err == nil {
			t.Errorf("%q was read as %v", bad, h)
		}
	}
	other := testKey(t)
	if r := verifyDir(t, dir, VerifyOptions{Keys: public(other)}); r.Total != 2 || !strings.Contains(r.Faults[0].What, "none of the keys") {
		t.Errorf("with another key: %v", r.Faults)
	}
}

// TestNoHeads leaves all heads out of a long log that fits together.
func TestNoHeads(t *testing.T) {
	dir, key := t.TempDir(), testKey(t)
	var b []byte
	var sum hash
	for i := range 4 * headLines {
		b, sum = appendLine(b, uint64(i+1), sum, appendEntry(nil, &Entry{Verb: Login}))
	}
	if err := os.WriteFile(filepath.Join(dir, fileName(1)), b, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := verifyDir(t, dir, VerifyOptions{Keys: public(key)}); r.Total != 1 || !strings.Contains(r.Faults[0].What, "there is no head") {
		t.Errorf("%v", r.Faults)
	}
}

func FuzzVerify(f *testing.F) {
	var b []byte
	var sum hash
	for i := range 3 {
		b, sum = appendLine(b, uint64(i+1), sum, appendEntry(nil, &Entry{Verb: Login, User: "anna"}))
	}
	f.Add(b)
	f.Add([]byte(`{"seq":1,"prev":"` + hash{}.String() + `","verb":"head","time":"2026-01-01T00:00:00Z"}` + "\n"))
	f.Add(bytes.Repeat([]byte("{}\n"), 100))
	key := testKey(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		c := newChecker(VerifyOptions{Keys: public(key), Heads: []Head{{5, hash{}}}})
		if err := c.read("fuzz", bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		if c.end(); c.r.Total == 0 {
			t.Error("a log without a head of line 5 is good")
		}
		last, end, torn, err := lastLineIn(bytes.NewReader(data), int64(len(data)))
		if err != nil || end+int64(len(torn)) != int64(len(data)) || last == nil && end > 0 {
			t.Errorf("the last line %v ends at %d of %d, %d are torn: %v", last, end, len(data), len(torn), err)
		}
	})
}
