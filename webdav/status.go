package webdav

import (
	"context"
	"encoding/xml"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"strings"

	"gateway/storage"
)

// statusError is an answer that is no success. The text goes to the client.
type statusError struct {
	status int
	text   string
	// condition is the element of RFC 4918 section 16 that tells a program what
	// was wrong, e.g. "lock-token-submitted"; hrefs are its content.
	condition string
	hrefs     []string
}

func (e *statusError) Error() string { return strconv.Itoa(e.status) + " " + e.text }

func refuse(status int, text string) error { return &statusError{status: status, text: text} }

// statusOf is the one table from errors to HTTP status (RFC 9110 section 15,
// RFC 4918 section 11). Methods that must answer otherwise say so with as.
func statusOf(err error) (status int, text string) {
	for _, row := range []struct {
		is     error
		status int
		text   string
	}{
		{storage.ErrName, http.StatusBadRequest, "this name is not allowed"},
		{storage.ErrPrecondition, http.StatusPreconditionFailed, "the file is not the expected version"},
		{storage.ErrDigest, http.StatusBadRequest, "the bytes do not match the expected digest"},
		{storage.ErrQuota, http.StatusInsufficientStorage, "the quota is used up"},
		{storage.ErrNoSpace, http.StatusInsufficientStorage, "there is no space left"},
		{storage.ErrTooLarge, http.StatusRequestEntityTooLarge, "the file is too large"},
		{storage.ErrLocked, http.StatusLocked, "locked by another client"},
		{storage.ErrBusy, http.StatusServiceUnavailable, "in use; try again"},
		{storage.ErrNotEmpty, http.StatusConflict, "the folder is not empty"},
		{storage.ErrIsDir, http.StatusMethodNotAllowed, "this is a folder"},
		{storage.ErrNotDir, http.StatusConflict, "a part of the path is not a folder"},
		{storage.ErrInvalidMove, http.StatusForbidden, "a folder cannot go into itself"},
		{storage.ErrCrossMount, http.StatusBadGateway, "cannot move a folder from one mount to another"},
		{fs.ErrNotExist, http.StatusNotFound, "there is nothing here"},
		{fs.ErrExist, http.StatusPreconditionFailed, "the name is taken"},
		{fs.ErrPermission, http.StatusForbidden, "you may not do this here"},
		{fs.ErrInvalid, http.StatusBadRequest, "a value is out of range"},
		{errors.ErrUnsupported, http.StatusNotImplemented, "this storage cannot do that"},
		{os.ErrDeadlineExceeded, http.StatusRequestTimeout, "the request came too slowly"},
		{context.DeadlineExceeded, http.StatusServiceUnavailable, "this took too long"},
		{context.Canceled, http.StatusServiceUnavailable, "the request was broken off"},
	} {
		if errors.Is(err, row.is) {
			return row.status, row.text
		}
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return http.StatusRequestEntityTooLarge, "the request is too large"
	}
	return http.StatusInternalServerError, "the server could not do this; its log says why"
}

// as answers with status where err is one of is, and leaves any other error alone.
func as(err error, status int, text string, is ...error) error {
	for _, target := range is {
		if errors.Is(err, target) {
			return refuse(status, text)
		}
	}
	return err
}

// fail answers with the status of err. What the client reads never holds the
// text of an error from below.
func (q *request) fail(err error) {
	if q.w.status != 0 {
		// Part of the answer is out; only a broken connection still says so.
		level := q.h.log.Warn
		if q.Context().Err() != nil { // the client has left
			level = q.h.log.Debug
		}
		level("webdav: response broken off", "method", q.Method, "path", q.URL.Path,
			"user", q.id.User.Name, "err", err)
		panic(http.ErrAbortHandler)
	}
	var e *statusError
	if !errors.As(err, &e) {
		e = &statusError{}
		e.status, e.text = statusOf(err)
		level := q.h.log.Debug
		left := errors.Is(err, context.Canceled) // the client has
		if e.status >= http.StatusInternalServerError && e.status != http.StatusInsufficientStorage && !left {
			level = q.h.log.Error
		}
		level("webdav: request failed", "method", q.Method, "path", q.URL.Path,
			"user", q.id.User.Name, "status", e.status, "err", err)
	}
	hd := q.w.Header()
	for _, k := range []string{"Content-Length", "ETag", "Last-Modified", "Content-Encoding", "Content-Disposition"} {
		hd.Del(k)
	}
	if e.status == http.StatusServiceUnavailable || e.status == http.StatusTooManyRequests {
		hd.Set("Retry-After", "10")
	}
	if e.status == http.StatusMethodNotAllowed {
		hd.Set("Allow", allow)
	}
	if e.condition != "" {
		q.writeCondition(e)
		return
	}
	text := e.text
	if text == "" {
		text = http.StatusText(e.status)
	}
	hd.Set("Content-Type", "text/plain; charset=utf-8")
	q.w.WriteHeader(e.status)
	_, _ = q.w.Write([]byte(text + "\n"))
}

// writeCondition writes the DAV:error body of RFC 4918 section 16.
func (q *request) writeCondition(e *statusError) {
	var b strings.Builder
	b.WriteString(xml.Header + `<D:error xmlns:D="DAV:"><D:` + e.condition)
	if len(e.hrefs) == 0 {
		b.WriteString("/>")
	} else {
		b.WriteString(">")
		for _, ref := range e.hrefs {
			b.WriteString("<D:href>" + escapeXML(ref) + "</D:href>")
		}
		b.WriteString("</D:" + e.condition + ">")
	}
	b.WriteString("</D:error>\n")
	q.w.Header().Set("Content-Type", contentTypeXML)
	q.w.WriteHeader(e.status)
	_, _ = q.w.Write([]byte(b.String()))
}
