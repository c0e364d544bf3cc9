package servers

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
)

// Names in a Tree that tests ask for.
const (
	TreeBig       = "big.bin"        // the big file
	TreeTampered  = "tampered.bin"   // changed after it was signed for; size and time are as before
	TreeUnlisted  = "unlisted.txt"   // added after the manifest was made
	TreeManifest  = "SHA256SUMS"     // written by sha256sum
	TreeSignature = "SHA256SUMS.asc" // its detached OpenPGP signature
	TreeLink      = "latest.txt"     // symlink to a file
	TreeDirLink   = "current"        // symlink to a folder
)

// TreeOptions of MakeTree.
type TreeOptions struct {
	// BigSize is the size of TreeBig in bytes: 0 = 300 MiB, negative = no such file.
	BigSize int64
}

// TreeFile is one regular file of a Tree.
type TreeFile struct {
	Name    string // as people should read it, UTF-8; differs from the key where Charset is set
	Charset string // "ISO-8859-1" or "Shift_JIS" where the key is bytes in it, else ""
	Size    int64
	ModTime time.Time // whole seconds, UTC
	SHA256  string    // of what the file holds now, lower-case hex
	Listed  bool      // the manifest has a line for it
}

// Tree is what MakeTree made.
type Tree struct {
	Root string
	// Files has every regular file by its path below Root: the raw bytes on the disk, with slashes.
	// The manifest, its signature, TreeTampered and TreeUnlisted are among them.
	Files map[string]TreeFile
	// Dirs has every folder below Root, as raw bytes, sorted.
	Dirs []string
	// Links has the targets of the symlinks.
	Links map[string]string
	// Signer made TreeSignature.
	Signer *Signer
}

// Good returns, sorted, the raw names of the files that the manifest names and that match it: those
// that a policy which requires the signed manifest lets through.
func (tr *Tree) Good() []string {
	var names []string
	for name, f := range tr.Files {
		if f.Listed && name != TreeTampered {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// MakeTree writes a tree of awkward files below dir, which need not exist: nested folders, names with
// blanks and quotes, a folder of Latin-1 and one of Shift_JIS names (some with the trail byte 0x5C,
// a backslash), an empty file, symlinks, a big file of random bytes, dates older and younger than
// half a year. A manifest over all files is signed by a fresh key; then one file is changed and one
// added.
func MakeTree(t testing.TB, dir string, o TreeOptions) *Tree {
	t.Helper()
	if o.BigSize == 0 {
		o.BigSize = 300 << 20
	}
	tr := &Tree{
		Root:  dir,
		Files: map[string]TreeFile{},
		Links: map[string]string{TreeLink: "nested/one/report 2019.txt", TreeDirLink: "nested/one"},
	}
	w := &treeWriter{t: t, tree: tr, now: time.Now().UTC().Truncate(time.Second)}
	w.writeAll(o)
	for name, target := range tr.Links {
		w.must(os.Symlink(target, filepath.Join(dir, name)))
	}
	w.sign()
	w.tamper()
	w.datesOfDirs()
	return tr
}

type treeWriter struct {
	t    testing.TB
	tree *Tree
	now  time.Time
	n    int // files written, which chooses the date
}

func (w *treeWriter) must(err error) {
	if err != nil {
		w.t.Helper()
		w.t.Fatalf("servers: make tree: %v", err)
	}
}

func (w *treeWriter) writeAll(o TreeOptions) {
	for _, name := range []string{
		"readme.txt", TreeTampered,
		"nested/one/report 2019.txt", "nested/one/two/three/deep.txt", "nested/other/data.csv",
		"names/one blank.txt", "names/two  blanks.txt", "names/ leading blank.txt",
		"names/it's quoted.txt", `names/a "double" quote.txt`, "names/semi;colon=x y.txt",
		"names/percent%41 #hash & more?.txt", "names/-dash.txt", "names/arrow - to.txt",
		"names/caf\u00e9 in UTF-8.txt", "folder with blanks/inner file.txt",
	} {
		w.write(name, "", "", w.text(name))
	}
	w.write("empty.dat", "", "", strings.NewReader(""))
	if o.BigSize > 0 {
		random := rand.NewChaCha8([32]byte([]byte("the big file of the servers tree")))
		w.write(TreeBig, "", "", io.LimitReader(random, o.BigSize))
	}
	w.encoded("latin1", "ISO-8859-1", charmap.ISO8859_1, []string{
		"café.txt", "Ärger und Übermut.txt", "garçon.txt", "señor núñez.txt", "smörgåsbord.txt",
		"Straße.txt", "été à la plage.txt", "Größe/Maße.txt",
	})
	w.encoded("shift_jis", "Shift_JIS", japanese.ShiftJIS, []string{
		"ソフト.txt", "表示.txt", "能力テスト.txt", "日本語のファイル.txt", "予定表.txt",
		"東京都.txt", "貼り付け.txt", "資料/十月の報告書.txt",
	})
}

// encoded writes files whose names are bytes in a charset, below an ASCII folder.
func (w *treeWriter) encoded(folder, charset string, e encoding.Encoding, names []string) {
	for _, name := range names {
		raw, err := e.NewEncoder().String(name)
		w.must(err)
		w.write(folder+"/"+raw, folder+"/"+name, charset, w.text(name))
	}
}

func (w *treeWriter) text(name string) io.Reader {
	return strings.NewReader(strings.Repeat("This is "+name+".\r\n", 1+len(name)%40))
}

// dates go round: some within half a year, where listings show the time of day, some before.
func (w *treeWriter) date() time.Time {
	dates := []time.Time{
		time.Date(2019, 3, 4, 5, 6, 7, 0, time.UTC),
		w.now.AddDate(0, 0, -10),
		time.Date(2008, 2, 29, 12, 34, 56, 0, time.UTC),
		w.now.AddDate(0, 0, -100),
		w.now.AddDate(0, 0, -200),
		time.Date(1999, 12, 31, 23, 59, 58, 0, time.UTC),
	}
	return dates[w.n%len(dates)]
}

// write makes one file and notes it; name is "" where raw is it.
func (w *treeWriter) write(raw, name, charset string, content io.Reader) {
	w.t.Helper()
	if name == "" {
		name = raw
	}
	path := filepath.Join(w.tree.Root, raw)
	w.must(os.MkdirAll(filepath.Dir(path), 0o755))
	f, err := os.Create(path)
	w.must(err)
	hash := sha256.New()
	size, err := io.Copy(io.MultiWriter(f, hash), content)
	w.must(err)
	w.must(f.Close())
	date := w.date()
	w.n++
	w.must(os.Chtimes(path, date, date))
	w.tree.Files[raw] = TreeFile{Name: name, Charset: charset, Size: size, ModTime: date,
		SHA256: hex.EncodeToString(hash.Sum(nil))}
}

// sign writes the manifest, as an administrator would, and its signature.
func (w *treeWriter) sign() {
	cmd := exec.Command("/bin/sh", "-c", `find . -type f -printf '%P\0' | sort -z | xargs -0 sha256sum --`)
	cmd.Dir = w.tree.Root
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	manifest, err := cmd.Output()
	w.must(err)
	for name, f := range w.tree.Files {
		f.Listed = true
		w.tree.Files[name] = f
	}
	w.tree.Signer = NewSigner(w.t)
	w.write(TreeManifest, "", "", bytes.NewReader(manifest))
	signature := w.tree.Signer.Detached(w.t, filepath.Join(w.tree.Root, TreeManifest))
	w.write(TreeSignature, "", "", bytes.NewReader(signature))
}

// tamper changes a file behind the manifest's back, keeping its size and time, and adds another.
func (w *treeWriter) tamper() {
	path := filepath.Join(w.tree.Root, TreeTampered)
	before := w.tree.Files[TreeTampered]
	data, err := os.ReadFile(path)
	w.must(err)
	data[len(data)/2] ^= 0x20
	w.must(os.WriteFile(path, data, 0o644))
	w.must(os.Chtimes(path, before.ModTime, before.ModTime))
	sum := sha256.Sum256(data)
	before.SHA256 = hex.EncodeToString(sum[:])
	w.tree.Files[TreeTampered] = before
	w.write(TreeUnlisted, "", "", w.text(TreeUnlisted))
}

// datesOfDirs comes last: making a file in a folder changes the folder's date.
func (w *treeWriter) datesOfDirs() {
	old := time.Date(2015, 7, 8, 9, 10, 11, 0, time.UTC)
	dirs := map[string]bool{}
	w.must(filepath.WalkDir(w.tree.Root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && path != w.tree.Root {
			dirs[path[len(w.tree.Root)+1:]] = true
		}
		return err
	}))
	w.tree.Dirs = slices.Sorted(maps.Keys(dirs))
	for _, dir := range w.tree.Dirs {
		w.must(os.Chtimes(filepath.Join(w.tree.Root, dir), old, old))
	}
}
