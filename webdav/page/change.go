package page

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"strings"

	"gateway/storage"
	"gateway/webdav"
)

const (
	maxCounted = 10_000 // files that the question before a deletion counts
	maxParts   = 1000   // of one form with files
	copyBuffer = 256 << 10
)

// element is a name that somebody typed for one file or folder.
func element(typed string) (string, error) {
	typed = strings.TrimSpace(typed)
	if strings.Contains(typed, "/") {
		return "", refuse(http.StatusBadRequest, "A name cannot have a slash in it.")
	}
	name, err := storage.CleanName(typed)
	if err == nil && name == "" {
		err = refuse(http.StatusBadRequest, "Type a name first.")
	}
	if errors.Is(err, storage.ErrName) {
		err = refuse(http.StatusBadRequest, "This name is not allowed. Choose another.")
	}
	return name, err
}

func (q *request) mkdir(ctx context.Context, folder string) error {
	last, err := element(q.PostFormValue("name"))
	if err != nil {
		return err
	}
	name := storage.Join(folder, last)
	err = q.fs.Mkdir(ctx, name)
	if errors.Is(err, fs.ErrExist) {
		return refuse(http.StatusConflict, "There is something with this name already. Choose another.")
	}
	if err != nil {
		return err
	}
	q.changed("folder made", name)
	return q.redirect(webdav.Href(name, true), "made")
}

func (q *request) rename(ctx context.Context, from string) error {
	last, err := element(q.PostFormValue("name"))
	if err != nil {
		return q.fault(ctx, from, err)
	}
	folder, _ := storage.Split(from)
	to := storage.Join(folder, last)
	if to != from {
		err = q.fs.Rename(ctx, from, to, storage.RenameOptions{})
	}
	if errors.Is(err, fs.ErrExist) {
		err = refuse(http.StatusConflict, "There is something with this name already. Choose another.")
	}
	if err != nil {
		return q.fault(ctx, from, err)
	}
	q.changed("renamed", from, "to", to)
	return q.redirect(at("file", to), "renamed")
}

// fault shows what went wrong where it was tried; elsewhere if that is no more.
func (q *request) fault(ctx context.Context, name string, err error) error {
	status, text := q.explain(err)
	if !wantsHTML(q.Request) || q.showFile(ctx, name, status, text) != nil {
		return err
	}
	return nil
}

type deletePage struct {
	base
	Name, Back   string
	Crumbs       []crumb
	Dir          bool
	Files        int
	Bytes        int64
	More         bool // there are more than were counted
	Unknown      bool // they cannot be counted
	Last, Folder string
}

// askDelete asks before a deletion, and says how much it is.
func (q *request) askDelete(ctx context.Context, name string) error {
	info, err := q.fs.Stat(ctx, name)
	if err != nil {
		return err
	}
	folder, last := storage.Split(name)
	p := &deletePage{base: q.base("Delete " + last), Name: name, Back: at("file", name), Crumbs: crumbs(folder), Dir: info.IsDir(), Last: last, Bytes: info.Size}
	if p.Dir {
		p.Bytes = 0
		for e, err := range storage.Walk(ctx, q.fs, name) {
			if p.Unknown = err != nil; p.Unknown {
				break
			}
			if e.IsDir() {
				continue
			}
			if p.More = p.Files == maxCounted; p.More {
				break
			}
			p.Files++
			p.Bytes += e.Size
		}
	}
	q.render(http.StatusOK, "delete", p)
	return nil
}

func (q *request) delete(ctx context.Context, name string) error {
	if name == "" {
		return refuse(http.StatusForbidden, "This folder cannot be deleted.")
	}
	info, err := q.fs.Stat(ctx, name)
	if err != nil {
		return err
	}
	if info.IsDir() && !info.Link {
		err = storage.RemoveAll(ctx, q.fs, name)
	} else {
		err = q.fs.Remove(ctx, name)
	}
	if err != nil {
		return err
	}
	q.changed("deleted", name)
	folder, _ := storage.Split(name)
	return q.redirect(webdav.Href(folder, true), "deleted")
}

// upload takes the files of a form, one after the other, each published when it is whole. The token is
// the first part, so that nothing is read for a page of somebody else.
func (q *request) upload(ctx context.Context, folder string) error {
	parts, err := q.MultipartReader()
	if err != nil {
		return refuse(http.StatusBadRequest, "No files came. Choose some first.")
	}
	checked := q.Header.Get("X-Gateway-Token") != ""
	sent := 0
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		switch {
		case errors.Is(err, io.EOF) && sent == 0:
			return refuse(http.StatusBadRequest, "No files came. Choose some first.")
		case errors.Is(err, io.EOF):
			return q.redirect(webdav.Href(folder, true), "sent")
		case err != nil:
			return brokenOff(err)
		case n == maxParts:
			return refuse(http.StatusRequestEntityTooLarge, "These are too many files for one form. Upload them in smaller lots.")
		}
		if part.FormName() == "token" {
			token, err := io.ReadAll(io.LimitReader(part, 1<<10))
			if err != nil {
				return brokenOff(err)
			}
			checked = q.goodToken(string(token))
			continue
		}
		if !checked {
			return errToken
		}
		if part.FormName() != "files" || part.FileName() == "" {
			continue
		}
		if err := q.receive(ctx, folder, part); err != nil {
			return err
		}
		sent++
	}
}

func (q *request) receive(ctx context.Context, folder string, part *multipart.Part) error {
	last, err := element(part.FileName()) // without folders: multipart cuts them off
	if err != nil {
		return err
	}
	name := storage.Join(folder, last)
	body := &bodyReader{r: part}
	info, err := storage.Put(ctx, q.fs, name, body, storage.CreateOptions{Size: -1}, storage.CommitOptions{})
	if body.err != nil {
		return brokenOff(body.err)
	}
	if err != nil {
		return uploadError(err)
	}
	q.changed("uploaded", name, "bytes", info.Size)
	return nil
}

// bodyReader tells a failure of the connection from one of the storage.
type bodyReader struct {
	r   io.Reader
	err error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

func brokenOff(err error) error {
	if errors.As(err, new(*http.MaxBytesError)) {
		return err
	}
	return refuse(http.StatusBadRequest, "The upload broke off. The file that was under way was not stored; send it again.")
}

// uploadError says what an error means to somebody who uploads.
func uploadError(err error) error {
	switch {
	case errors.Is(err, fs.ErrExist):
		return refuse(http.StatusConflict, "There is a file with this name already, and it may not be replaced.")
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, storage.ErrNotDir):
		return refuse(http.StatusConflict, "The folder is not there any more. Load the page again.")
	case errors.Is(err, storage.ErrIsDir):
		return refuse(http.StatusConflict, "There is a folder with this name. Rename the file first.")
	}
	return err
}
