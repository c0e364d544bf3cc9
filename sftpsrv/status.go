package sftpsrv

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"gateway/storage"
)

// Status codes of SSH_FXP_STATUS, section 7.
const (
	statusOK               = 0
	statusEOF              = 1
	statusNoSuchFile       = 2
	statusPermissionDenied = 3
	statusFailure          = 4
	statusBadMessage       = 5
	statusNoConnection     = 6
	statusConnectionLost   = 7
	statusOpUnsupported    = 8
)

// Errors of this front end.
var (
	errHandle         = errors.New("no such handle")
	errTooManyHandles = errors.New("too many open handles")
	errIncomplete     = errors.New("the suspended upload was not continued")
	errGone           = errors.New("the suspended upload is gone")
	errPanic          = errors.New("internal error")
	errOffset         = errors.New("offset out of range")
)

// statuses translates errors to what clients act on. The first match counts. Codes
// are those that OpenSSH's sftp-server gives for the same errno, texts those of
// strerror, which clients show to people.
var statuses = []struct {
	err  error
	code uint32
	text string
}{
	{io.EOF, statusEOF, "End of file"},
	{fs.ErrNotExist, statusNoSuchFile, "No such file or directory"},
	{storage.ErrNotDir, statusNoSuchFile, "Not a directory"},
	{fs.ErrPermission, statusPermissionDenied, "Permission denied"},
	{errors.ErrUnsupported, statusOpUnsupported, "Operation unsupported"},
	{errBadMessage, statusBadMessage, "Bad message"},
	{errHandle, statusFailure, "Invalid handle"},
	{errTooManyHandles, statusFailure, "Too many open files"},
	{errOffset, statusBadMessage, "Offset out of range"},
	{errIncomplete, statusFailure, "Upload is not complete"},
	{errGone, statusFailure, "Interrupted upload is gone, send the file anew"},
	{storage.ErrName, statusBadMessage, "Invalid file name"},
	{fs.ErrExist, statusFailure, "File exists"},
	{storage.ErrNotEmpty, statusFailure, "Directory not empty"},
	{storage.ErrIsDir, statusFailure, "Is a directory"},
	{storage.ErrInvalidMove, statusBadMessage, "Invalid argument"},
	{storage.ErrCrossMount, statusFailure, "Invalid cross-device link"},
	{storage.ErrPrecondition, statusFailure, "File was changed by somebody else"},
	{storage.ErrDigest, statusFailure, "Digest does not match"},
	{storage.ErrNoSpace, statusFailure, "No space left on device"},
	{storage.ErrQuota, statusFailure, "Disk quota exceeded"},
	{storage.ErrTooLarge, statusFailure, "File too large"},
	{storage.ErrLocked, statusFailure, "File is locked"},
	{storage.ErrBusy, statusFailure, "Device or resource busy"},
	{fs.ErrInvalid, statusBadMessage, "Invalid argument"},
	{fs.ErrClosed, statusFailure, "Invalid handle"},
	{context.Canceled, statusFailure, "Connection is closing"},
	{context.DeadlineExceeded, statusFailure, "Connection timed out"},
}

// statusOf is the code and text for an error. known is false for errors that the
// table does not have: they read "Failure", since their own text may name
// things of the machine, and belong in the log.
func statusOf(err error) (code uint32, text string, known bool) {
	if err == nil {
		return statusOK, "Success", true
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.code, s.text, true
		}
	}
	return statusFailure, "Failure", false
}

func (p *bufferPool) status(id uint32, code uint32, text string) *buffer {
	buf := p.newReply(fxpStatus, id, 12+len(text))
	buf.uint32(code)
	buf.string(text)
	buf.string("") // language tag
	return buf
}
