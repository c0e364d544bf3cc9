package page

import (
	"archive/zip"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"gateway/storage"
)

const (
	maxZips    = 8    // archives that are made at once
	maxLeftOut = 1000 // names that the note about what is missing has
	// maxZipped is how many files and folders an archive has at most: its directory, which comes last, is kept in memory, and
	// empty files cost those who made them nothing.
	maxZipped = 100_000
)

// zip sends a folder as an archive that is made on the way: of any size (Zip64), in bounded memory. What may not be read, and
// what is more than maxZipped, is left out, and a note in it says so. What fails in the middle breaks the connection: then the archive has no end
// and does not look whole.
func (q *request) zip(ctx context.Context, name string) error {
	info, err := q.fs.Stat(ctx, name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return q.redirect(at("download", name), "")
	}
	if may := q.rights(name); !may.List && name != "" {
		return fs.ErrPermission
	}
	select {
	case q.h.zips <- struct{}{}:
		defer func() { <-q.h.zips }()
	default:
		return refuse(http.StatusServiceUnavailable, "The server is making many archives. Try again in a moment.")
	}
	_, last := storage.Split(name)
	if last == "" {
		last = "files"
	}
	q.attach(last + ".zip")
	q.w.Header().Set("Content-Type", "application/zip")
	q.w.WriteHeader(http.StatusOK)
	if q.Method == http.MethodHead {
		return nil
	}
	a := &archive{q: q, ctx: ctx, w: zip.NewWriter(q.w), buf: make([]byte, copyBuffer)}
	a.deflate, _ = flate.NewWriter(nil, flate.BestSpeed) // the level is valid
	a.w.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) {
		a.deflate.Reset(w) // one file is written at a time; a new one for each costs more than small files do
		return a.deflate, nil
	})
	err = a.folder(name, safeElement(last)+"/", info.ModTime, 0)
	if err == nil || errors.Is(err, errFull) {
		err = a.note()
	}
	if err = errors.Join(err, a.w.Close()); err != nil {
		if ctx.Err() == nil {
			q.h.log.Warn("page: archive broken off", "folder", name, "user", q.User, "err", err)
		}
		panic(http.ErrAbortHandler)
	}
	q.h.log.Info("page: archive sent", "folder", name, "user", q.User, "remote", q.from.String())
	return nil
}

// archive is a zip on its way.
type archive struct {
	q       *request
	ctx     context.Context //nolint:containedctx // of one request, and no longer
	w       *zip.Writer
	deflate *flate.Writer
	buf     []byte
	leftOut []string
	missing int
	entries int
}

// errFull ends an archive that has as much as it can have.
var errFull = refuse(http.StatusOK, "An archive has no more files and folders than are in this one: what came behind this name is not in it either. Download folders one by one.")

// begin begins a file or folder of the archive.
func (a *archive) begin(h *zip.FileHeader) (io.Writer, error) {
	if a.entries == a.q.h.zipped {
		a.missing++
		a.leftOut = slices.Insert(a.leftOut, 0, h.Name+": "+errFull.Error()) // first, and however many there are
		return nil, errFull
	}
	a.entries++
	return a.w.CreateHeader(h)
}

func (a *archive) omit(name string, err error) {
	if a.missing++; len(a.leftOut) < maxLeftOut {
		_, text := a.q.explain(err)
		a.leftOut = append(a.leftOut, name+": "+text)
	}
}

// passable reports whether an archive without the file is better than none: it was removed meanwhile, or may not be read.
func passable(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, storage.ErrNotDir) || errors.Is(err, storage.ErrIsDir)
}

// folder adds a folder and what is in it, under a path in the archive that ends in a slash.
func (a *archive) folder(name, path string, changed time.Time, depth int) error {
	h := &zip.FileHeader{Name: path, Modified: changed}
	h.SetMode(fs.ModeDir | 0o755)
	if _, err := a.begin(h); err != nil {
		return err
	}
	for info, err := range a.q.fs.List(a.ctx, name) {
		if ctxErr := a.ctx.Err(); ctxErr != nil {
			return ctxErr
		}
		if err != nil && passable(err) {
			a.omit(path, err)
			return nil
		}
		if err != nil {
			return err
		}
		inner, to := storage.Join(name, info.Name), path+safeElement(info.Name)
		switch {
		case info.IsDir() && (info.Link || depth == storage.MaxDepth):
			a.omit(to, errLink)
		case info.IsDir():
			err = a.folder(inner, to+"/", info.ModTime, depth+1)
		default:
			err = a.file(inner, to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var errLink = refuse(http.StatusOK, "It is a link to a folder.")

func (a *archive) file(name, path string) error {
	f, err := a.q.fs.Open(a.ctx, name)
	if err != nil && passable(err) {
		a.omit(path, err)
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info := f.Info()
	h := &zip.FileHeader{Name: path, Method: zip.Deflate, Modified: info.ModTime}
	h.SetMode(0o644)
	w, err := a.begin(h)
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(storage.Reader(a.ctx, f), info.Size), a.buf)
	if err == nil && n != info.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return fmt.Errorf("%q: %w", name, err)
	}
	return nil
}

// note says in the archive what is not in it.
func (a *archive) note() error {
	if a.missing == 0 {
		return nil
	}
	w, err := a.w.Create("NOT-IN-THIS-ARCHIVE.txt")
	if err != nil {
		return err
	}
	text := strings.Join(a.leftOut, "\r\n") + "\r\n"
	if more := a.missing - len(a.leftOut); more > 0 {
		text += fmt.Sprintf("and %d more\r\n", more)
	}
	_, err = io.WriteString(w, text)
	return err
}

// safeElement is a name that no system takes for a path, a device or a stream. One that had to be changed gets a hash of what
// it was, so that no two become one.
func safeElement(name string) string {
	safe := strings.Map(func(r rune) rune {
		if strings.ContainsRune(`\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, name)
	safe = strings.TrimRight(safe, ". ")
	stem, _, _ := strings.Cut(strings.ToUpper(safe), ".")
	stem = strings.TrimRight(stem, " ")
	switch {
	case safe == "", stem == "CON", stem == "PRN", stem == "AUX", stem == "NUL",
		len(stem) == 4 && (strings.HasPrefix(stem, "COM") || strings.HasPrefix(stem, "LPT")):
		safe = "_" + safe
	case safe == name:
		return name
	}
	sum := sha256.Sum256([]byte(name))
	ext := extension(safe)
	return strings.TrimSuffix(safe, ext) + "~" + hex.EncodeToString(sum[:4]) + ext
}
