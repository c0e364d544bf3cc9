package report

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gateway/ftpbridge"
	"gateway/integrity"
	"gateway/state"
	"gateway/state/sqlite"
)

// catalogue is a state in which files were published, by content, by two jobs.
func catalogue(t *testing.T, mine, others map[string]string) (store state.Store, job int64) {
	t.Helper()
	store, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	for i, files := range []map[string]string{others, mine} {
		j, err := store.OpenJob(t.Context(), fmt.Sprintf("ftp://host%d/", i), "disk:old")
		if err != nil {
			t.Fatal(err)
		}
		job = j.ID
		for target, content := range files {
			sum := sha256.Sum256([]byte(content))
			f := state.File{Job: job, Path: target, Target: target, Phase: state.Published, Size: int64(len(content)), SHA256: sum[:]}
			p := state.Publication{Target: "disk:" + target, Job: job, Source: "ftp://x/" + target, Size: f.Size, SHA256: sum[:], Verdict: "intact", Provenance: []byte("{}")}
			if err := store.Publish(t.Context(), f, p); err != nil {
				t.Fatal(err)
			}
		}
	}
	return store, job
}

func readAll(lines iter.Seq2[Digest, error]) (names []string, err error) {
	for d, err := range lines {
		if err != nil {
			return names, err
		}
		names = append(names, d.Name)
	}
	return names, nil
}

func TestDigests(t *testing.T) {
	mine := map[string]string{"old/a": "1", `old/back\slash`: "22", "old/sub/b c": "333", "old/ü ": "4"}
	store, job := catalogue(t, mine, map[string]string{"old/theirs": "x", "older/a": "x", "old": "x"})
	var b bytes.Buffer
	d, err := WriteDigests(t.Context(), &b, store, job, "disk:old")
	if err != nil || d.Files != 4 || d.Bytes != 7 || d.Verdicts["intact"] != 4 || len(d.First) != 4 {
		t.Errorf("%+v, %v", d, err)
	}
	names, err := readAll(ReadDigests(bytes.NewReader(b.Bytes())))
	if got, want := strings.Join(names, "|"), `a|back\slash|sub/b c|ü `; got != want || err != nil {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
	// The tool that everybody has reads it.
	dir := t.TempDir()
	for name, content := range mine {
		file := filepath.Join(dir, strings.TrimPrefix(name, "old/"))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(content), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "-")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(b.Bytes())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
	// A storage's root has no slash after its colon.
	store, job = catalogue(t, map[string]string{"a": "1", "sub/b": "2"}, nil)
	b.Reset()
	if d, err := WriteDigests(t.Context(), &b, store, job, "disk:"); err != nil || d.Files != 2 || !strings.HasSuffix(b.String(), "  sub/b\n") {
		t.Errorf("%+v, %v, %s", d, err, b.String())
	}
}

func TestDigestLines(t *testing.T) {
	for _, name := range []string{"a", " a", "a\nb", "a\rb", `a\`, `\n`, `\\n`, "*a", "-"} {
		d := Digest{Name: name, SHA256: make([]byte, 32)}
		got, err := readAll(ReadDigests(strings.NewReader(d.line())))
		if err != nil || len(got) != 1 || got[0] != name {
			t.Errorf("%q came back as %q, %v", name, got, err)
		}
	}
	zeros := strings.Repeat("0", 64)
	for _, bad := range []string{
		"x\n", zeros + "  \n", zeros + " *a\n", zeros + "  a", "\\" + zeros + "  a\n", "\\" + zeros + `  a\x` + "\n",
		strings.Repeat("AB", 32) + "  a\n", zeros[1:] + "  a\n", zeros + `  a\b` + "\n", "\n", zeros + "  " + strings.Repeat("a", maxDigestLine) + "\n",
	} {
		if names, err := readAll(ReadDigests(strings.NewReader(bad))); !errors.Is(err, ErrDigests) {
			t.Errorf("%.100q was read as %.100q, %v", bad, names, err)
		}
	}
}

// many is a catalogue of more files than fit into memory.
type many struct {
	state.Catalogue
	n int
}

func (m many) Publications(context.Context, string) iter.Seq2[state.Publication, error] {
	return func(yield func(state.Publication, error) bool) {
		sum := make([]byte, 32)
		for i := range m.n {
			if !yield(state.Publication{Target: fmt.Sprintf("disk:old/%09d", i), Job: 1, SHA256: sum, Verdict: "intact"}, nil) {
				return
			}
		}
	}
}

// failing ends with an error.
type failing struct{ many }

func (f failing) Publications(ctx context.Context, prefix string) iter.Seq2[state.Publication, error] {
	return func(yield func(state.Publication, error) bool) {
		for p, err := range f.many.Publications(ctx, prefix) {
			if !yield(p, err) {
				return
			}
		}
		yield(state.Publication{}, errors.New("the disk is gone"))
	}
}

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

func TestDigestsAreStreamed(t *testing.T) {
	const n = 300_000
	var size counter
	d, err := WriteDigests(t.Context(), &size, many{n: n}, 1, "disk:old")
	if err != nil || d.Files != n || len(d.First) != MaxHTMLDigests || size != n*(64+2+9+1) {
		t.Errorf("%d files, %d kept, %d bytes, %v", d.Files, len(d.First), size, err)
	}
}

func signer(t *testing.T) (*integrity.ProvenanceSigner, *integrity.ProvenanceKeys) {
	t.Helper()
	s, err := integrity.NewProvenanceSigner(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	keys := &integrity.ProvenanceKeys{}
	if err := keys.Add(s.PublicKey()); err != nil {
		t.Fatal(err)
	}
	return s, keys
}

func TestWrite(t *testing.T) {
	store, job := catalogue(t, map[string]string{"old/a": "1", "old/b": "22"}, nil)
	r, _ := sample()
	r.Job, r.Destination = job, "disk:old"
	dir := filepath.Join(t.TempDir(), "new", "folder")
	s, keys := signer(t)
	o := Options{Dir: dir, Report: r, Store: store, Signer: s}
	for range 2 { // the second over the first
		if err := Prepare(dir, r.Source, r.Destination); err != nil {
			t.Fatal(err)
		}
		if err := Write(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	run, files, err := Verify(dir, keys)
	if err != nil || len(files) != 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		if f.Err != nil {
			t.Errorf("%s: %v", f.Name, f.Err)
		}
	}
	p := run.Predicate
	if p.Source != r.Source || p.Complete || p.Policy["sha256"] != strings.Repeat("4f", 32) || p.Digests != (integrity.RunCount{Files: 2, Bytes: 3}) ||
		p.Failed.Files != 2 || p.Verdicts["authentic"] != 15000 || p.Verifier.ID != ftpbridge.DefaultVerifier || p.Started != "2026-03-14T09:26:53Z" {
		t.Errorf("%+v", p)
	}
	if names, err := readAll(SignedDigests(dir, run.RunStatement)); err != nil || len(names) != 2 {
		t.Errorf("%q, %v", names, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, JSONFile))
	var back ftpbridge.Report
	if err == nil {
		err = json.Unmarshal(data, &back)
	}
	if err != nil || back.Job != job || len(back.Timeline.Buckets) != 75 || back.Slowest[0] != r.Slowest[0] {
		t.Errorf("%+v, %v", back, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 4 {
		t.Errorf("%v, %v", entries, err)
	}

	// A line that is put in later is not one of the signed ones.
	list := filepath.Join(dir, DigestsFile)
	if data, err = os.ReadFile(list); err == nil {
		err = os.WriteFile(list, append(data, strings.Repeat("0", 64)+"  c\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readAll(SignedDigests(dir, run.RunStatement)); !errors.Is(err, ErrChanged) {
		t.Errorf("a line more: %v", err)
	}
	// What cannot be finished leaves no statement that speaks of other files.
	o.Store = failing{many{n: 2}}
	o.Report.Job = 1
	if err := Write(t.Context(), o); err == nil || !strings.Contains(err.Error(), "the disk is gone") {
		t.Error(err)
	}
	if _, _, err := Verify(dir, keys); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there still is a statement: %v", err)
	}
	if err := Prepare(dir, r.Source, r.Destination); err != nil {
		t.Errorf("the next run is refused: %v", err)
	}
}

func TestPrepareRefuses(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string // a name with a slash at its end is a folder
		want  string
	}{
		{"nothing there", nil, ""},
		{"other files", map[string]string{"letter.txt": "x"}, ""},
		{"this migration's", map[string]string{JSONFile: `{"job": 1, "source": "ftp://a/", "destination": "disk:old", "started": `, DigestsFile: ""}, ""},
		{"somebody's list", map[string]string{DigestsFile: "x"}, "no report"},
		{"another migration's", map[string]string{JSONFile: `{"source": "ftp://b/\u001b[2J", "destination": "disk:old"}`}, `ftp://b/\x1b[2J`},
		{"another file of that name", map[string]string{JSONFile: `{"source": 1}`}, "not the report"},
		{"no JSON", map[string]string{JSONFile: `hello`}, "not the report"},
		{"an empty file", map[string]string{JSONFile: ``}, "not the report"},
		{"a list of values", map[string]string{JSONFile: `["source", "ftp://a/", "destination", "disk:old"]`}, "not the report"},
		{"a folder in the way", map[string]string{HTMLFile + "/": ""}, "is not a file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range tt.files {
				file := filepath.Join(dir, name)
				if strings.HasSuffix(name, "/") {
					if err := os.Mkdir(file, 0o700); err != nil {
						t.Fatal(err)
					}
				} else if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := Prepare(dir, "ftp://a/", "disk:old")
			if tt.want == "" && err != nil || tt.want != "" && (!errors.Is(err, ErrFolder) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != len(tt.files) {
				t.Errorf("left %v, %v", entries, err)
			}
		})
	}
}
