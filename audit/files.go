package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"gateway/internal/durable"
)

// The names in the folder of a log. A file has the number of its first line in its name, so that the order
// of names is that of lines.
const (
	lockFile = "lock"
	headFile = "head" // the last head that was signed, as a first help against a cut end
)

var logFile = regexp.MustCompile(`^audit-\d{16}\.jsonl$`)

func fileName(first uint64) string { return fmt.Sprintf("audit-%016d.jsonl", first) }

// Files are the paths of a folder's files, the oldest first.
func Files(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		if logFile.MatchString(e.Name()) {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(files)
	return files, nil
}

// lock takes the operating system's lock on the folder, which the process that writes holds while it does.
// It ends with the process. The file stays: removing it would let two hold two files of one name.
func lock(ctx context.Context, f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EWOULDBLOCK):
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("lock %s, which another process holds: %w", f.Name(), ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}

func unlock(f *os.File) { _ = unix.Flock(int(f.Fd()), unix.LOCK_UN) } // of an open file it does not fail

// tail is where a log ends.
type tail struct {
	seq  uint64 // of its last line; 0: it has none
	sum  hash
	over bool      // the last line says that another file follows
	file string    // the last file, "" if there is none
	size int64     // of it
	born time.Time // when its first line was written; the zero time if it has none
	torn []byte    // what was behind its last line and was no line
}

// readTail finds where a log ends. A file that ends in no line, or in nothing at all, was being written by a
// process that was killed, or when the power failed.
func readTail(dir string) (tail, error) {
	files, err := Files(dir)
	if err != nil || len(files) == 0 {
		return tail{}, err
	}
	t := tail{file: files[len(files)-1]}
	for i := len(files) - 1; i >= 0; i-- {
		l, end, torn, err := lastLine(files[i])
		if err != nil {
			return t, err
		}
		if i == len(files)-1 {
			t.size, t.torn = end, torn
			if l != nil {
				if t.born, err = firstTime(files[i]); err != nil {
					return t, err
				}
			}
		}
		if l != nil {
			t.seq, t.sum, t.over = l.Seq, l.sum, l.Verb == Rotate && i == len(files)-1
			return t, nil
		}
	}
	return t, nil
}

// lastLine reads a file from its end. end is where the last line ends, torn what is behind it.
func lastLine(file string) (last *line, end int64, torn []byte, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, nil, err
	}
	return lastLineIn(f, info.Size())
}

func lastLineIn(f io.ReaderAt, size int64) (last *line, end int64, torn []byte, err error) {
	for chunk := int64(64 << 10); ; chunk *= 4 {
		from := max(0, size-chunk)
		data := make([]byte, size-from)
		if _, err := f.ReadAt(data, from); err != nil && len(data) > 0 {
			return nil, 0, nil, err
		}
		for end := len(data); end > 0; {
			stop := bytes.LastIndexByte(data[:end], '\n')
			if stop < 0 {
				break
			}
			start := bytes.LastIndexByte(data[:stop], '\n') + 1
			if start == 0 && from > 0 {
				break // its beginning may be further up
			}
			if l, err := parseLine(data[start:stop]); err == nil {
				return &l, from + int64(stop) + 1, data[stop+1:], nil
			}
			end = start
		}
		if from == 0 {
			return nil, 0, data, nil
		}
	}
}

func firstTime(file string) (time.Time, error) {
	f, err := os.Open(file)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	r := newReader(f)
	raw, err := r.next()
	if err != nil {
		return time.Time{}, nil // a file whose beginning is no line is as old as its end
	}
	l, _ := parseLine(raw)
	return l.Time, nil
}

// writeHead keeps a head beside the log.
func writeHead(dir string, h Head) error {
	return durable.WriteFile(filepath.Join(dir, headFile), []byte(h.String()+"\n"))
}

// readHead is the zero Head if there is none.
func readHead(dir string) (Head, error) {
	data, err := os.ReadFile(filepath.Join(dir, headFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Head{}, nil
	}
	if err != nil {
		return Head{}, err
	}
	h, err := ParseHead(string(data))
	if err != nil {
		return h, fmt.Errorf("%s: %w; remove it", filepath.Join(dir, headFile), err)
	}
	return h, nil
}
