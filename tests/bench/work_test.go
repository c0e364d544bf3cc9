package bench

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// work is one row of measurements: a tree to move over a way.
type work struct {
	name  string // as in the table and in -work
	title string
	files int
	size  int64         // of each file
	delay time.Duration // one way
	by    []contender
}

// unit is what the speed of this work is counted in.
func (w work) unit() string {
	if w.files > 1 {
		return "files/s"
	}
	return "MB/s"
}

// speed in unit.
func (w work) speed(d time.Duration) float64 {
	if w.files > 1 {
		return float64(w.files) / d.Seconds()
	}
	return float64(w.size) / 1e6 / d.Seconds()
}

// filesInFolder is how many files a folder of a tree has at most.
const filesInFolder = 500

// writeTree writes the files of a work below dir: random bytes, a fifth of the files younger than half
// a year, whose times a listing has to the minute.
func (w work) writeTree(t testing.TB, dir string) {
	t.Helper()
	random := rand.NewChaCha8([32]byte([]byte("the same bytes in each benchmark")))
	now := time.Now()
	for i := range w.files {
		folder := filepath.Join(dir, fmt.Sprintf("folder%02d", i/filesInFolder))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(folder, fmt.Sprintf("file%05d.bin", i))
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.CopyN(f, random, w.size)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		date := now.AddDate(-1, 0, -i%1000)
		if i%5 == 0 {
			date = now.AddDate(0, 0, -3-i%100)
		}
		if err := os.Chtimes(path, date, date); err != nil {
			t.Fatal(err)
		}
	}
}

// sameTree says how got differs from want in names and bytes; nil if it does not.
func sameTree(got, want string) error {
	n, err := compareFiles(got, want)
	if err != nil {
		return err
	}
	return filepath.WalkDir(got, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if n--; n < 0 {
				return fmt.Errorf("more files than are served, such as %s", path)
			}
		}
		return err
	})
}

func compareFiles(got, want string) (n int, err error) {
	err = filepath.WalkDir(want, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		name, err := filepath.Rel(want, path)
		if err != nil {
			return err
		}
		return sameFile(filepath.Join(got, name), path)
	})
	return n, err
}

func sameFile(got, want string) error {
	a, err := os.Open(got)
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := os.Open(want)
	if err != nil {
		return err
	}
	defer b.Close()
	x, y := make([]byte, 1<<20), make([]byte, 1<<20)
	for {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		switch {
		case n != m || !bytes.Equal(x[:n], y[:m]):
			return fmt.Errorf("%s is not as it is served", got)
		case isEOF(errA) && isEOF(errB):
			return nil
		case errA != nil || errB != nil:
			return errors.Join(errA, errB)
		}
	}
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
