package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/minio/minio-go/v7"

	"gateway/internal/pause"
	"gateway/storage"
)

// Retries: tries of one request and the longest pause between two.
const (
	maxTries   = 8
	maxPause   = 5 * time.Second
	listPage   = 1000 // keys in one page of a listing, S3's most
	maxPerHost = 256  // idle connections kept
)

// newTransport is the transport of a Store. A connection on which nothing moves for Options.Timeout
// is broken off.
func newTransport(o Options) *http.Transport {
	dialer := &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &watched{c, o.Timeout}, nil
		},
		TLSClientConfig:       &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   30 * time.Second,
		ResponseHeaderTimeout: o.Timeout,
		MaxIdleConnsPerHost:   maxPerHost,
		IdleConnTimeout:       time.Minute,
		DisableCompression:    true,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
		// HTTP/1.1 only: one connection for all transfers would have them wait for each other.
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
}

// watched is a connection whose reads and writes each have a deadline.
type watched struct {
	net.Conn
	timeout time.Duration
}

func (c *watched) Read(p []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *watched) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// try does a request that may be repeated, until it succeeds, fails for good, or has failed maxTries
// times.
func (s *Store) try(ctx context.Context, request func() error) error {
	wait := s.pauses()
	for n := 1; ; n++ {
		err := request()
		if err == nil || n == maxTries || !temporary(err) || ctx.Err() != nil {
			return ended(ctx, err)
		}
		if err := pause.For(ctx, wait.NextBackOff()); err != nil {
			return err
		}
	}
}

func (s *Store) pauses() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.Multiplier, b.MaxInterval = s.o.retryPause, 2, maxPause
	b.Reset()
	return b
}

// ended is the error of ctx if that is why a request failed: the library hides it.
func ended(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// temporary reports whether err says that the same request may succeed a little later.
func temporary(err error) bool {
	var response minio.ErrorResponse
	if !errors.As(err, &response) {
		var unknown x509.UnknownAuthorityError
		var certificate *tls.CertificateVerificationError
		return err != nil && !errors.As(err, &unknown) && !errors.As(err, &certificate) && !isOurs(err)
	}
	switch response.Code {
	case "SlowDown", "SlowDownRead", "SlowDownWrite", "RequestTimeout", "InternalError", "ServiceUnavailable",
		"Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestThrottled", "OperationAborted",
		"ConditionalRequestConflict", "BadDigest", "IncompleteBody",
		"ExistingObjectIsDirectory": // so versitygw says, too, when a folder vanishes that it is about to write into
		return true
	}
	switch response.StatusCode {
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable,
		http.StatusGatewayTimeout, http.StatusTooManyRequests, http.StatusRequestTimeout:
		return true
	}
	return false
}

// isOurs reports whether an error is an answer of this package and not of the network.
func isOurs(err error) bool {
	for _, own := range []error{
		fs.ErrNotExist, fs.ErrExist, fs.ErrClosed, fs.ErrInvalid, fs.ErrPermission, storage.ErrPrecondition,
		storage.ErrDigest, storage.ErrBusy, context.Canceled,
	} {
		if errors.Is(err, own) {
			return true
		}
	}
	return false
}

// cause strips what the network's errors say of URLs and addresses.
func cause(err error) error {
	for {
		var u *url.Error
		if !errors.As(err, &u) {
			return err
		}
		err = u.Err
	}
}

// code is the error code of the store's answer, "" if it is none.
func code(err error) string {
	var response minio.ErrorResponse
	if errors.As(err, &response) {
		return response.Code
	}
	return ""
}

// isMissing reports whether err says that there is no object, and not that there is no bucket.
func isMissing(err error) bool {
	switch code(err) {
	case "NoSuchKey", "NotFound", "NoSuchVersion", minio.NoSuchUpload:
		return true
	}
	return errors.Is(err, fs.ErrNotExist)
}

// isCondition reports whether err says that the condition of a request did not hold.
func isCondition(err error) bool {
	var response minio.ErrorResponse
	return errors.As(err, &response) && (response.Code == "PreconditionFailed" || response.StatusCode == http.StatusPreconditionFailed)
}

// sentinel says what an answer of the store means in the contract.
func sentinel(err error) error {
	if isMissing(err) {
		return fs.ErrNotExist
	}
	if isCondition(err) {
		return storage.ErrPrecondition
	}
	switch code(err) {
	case "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AllAccessDisabled", "MethodNotAllowed":
		return &wrapped{fs.ErrPermission, err}
	case "KeyTooLongError", "XMinioInvalidObjectName":
		return &wrapped{storage.ErrName, err}
	case "EntityTooLarge":
		return &wrapped{storage.ErrTooLarge, err}
	case "QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage":
		return &wrapped{storage.ErrNoSpace, err}
	case "ExistingObjectIsDirectory", "ObjectExistsAsDirectory", "XMinioObjectExistsAsDirectory":
		return storage.ErrIsDir
	case "ObjectParentIsFile", "XMinioParentIsObject":
		return storage.ErrNotDir
	}
	return err
}

// wrapped is a sentinel with the store's own words.
type wrapped struct{ is, err error }

func (w *wrapped) Error() string { return w.is.Error() + ": the store says: " + w.err.Error() }
func (w *wrapped) Unwrap() error { return w.is }

// fail translates err and wraps it with the name inside the tree.
func (s *Store) fail(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return storage.PathError(op, name, sentinel(cause(err)))
}

// failIO is fail for reads and writes, where io.EOF is no failure.
func (s *Store) failIO(op, name string, err error) error {
	if err == io.EOF { //nolint:errorlint // io.ReaderAt returns it bare
		return err
	}
	return s.fail(op, name, err)
}

// keys yields the objects whose keys begin with prefix and come after another, in order and page by page.
// With by, those with a slash in the rest come as that prefix alone, after the objects of their page.
func (s *Store) keys(ctx context.Context, prefix, after string, by delimiter) iter.Seq2[minio.ObjectInfo, error] {
	return func(yield func(minio.ObjectInfo, error) bool) {
		wait, tries := s.pauses(), 1
		for {
			var failed error
			o := minio.ListObjectsOptions{Prefix: prefix, StartAfter: after, Recursive: by == wholeTree, MaxKeys: listPage, FetchOwner: new(bool)}
			last := after
			for object := range s.core.ListObjectsIter(ctx, s.o.Bucket, o) {
				if failed = object.Err; failed != nil {
					break
				}
				if object.Key <= after && after != "" {
					continue // a prefix that a page before a failure had
				}
				last, tries = max(last, object.Key), 1
				if !yield(object, nil) {
					return
				}
			}
			if err := ctx.Err(); err != nil { // the library ends the listing without a word
				failed = err
			}
			if failed == nil {
				return
			}
			if tries++; tries > maxTries || !temporary(failed) || ctx.Err() != nil {
				yield(minio.ObjectInfo{}, ended(ctx, failed))
				return
			}
			after = last
			if err := pause.For(ctx, wait.NextBackOff()); err != nil {
				yield(minio.ObjectInfo{}, err)
				return
			}
		}
	}
}

// delimiter says how deep a listing goes.
type delimiter bool

const (
	wholeTree delimiter = false
	oneLevel  delimiter = true
)

// any reports whether there is any key that begins with prefix.
func (s *Store) any(ctx context.Context, prefix string) (bool, error) {
	found := false
	err := s.try(ctx, func() error {
		o := minio.ListObjectsOptions{Prefix: prefix, Recursive: true, MaxKeys: 1, FetchOwner: new(bool)}
		for object := range s.core.ListObjectsIter(ctx, s.o.Bucket, o) {
			found = object.Err == nil
			return object.Err
		}
		return ctx.Err()
	})
	return found, err
}

// remove removes an object; that it is not there is no error.
func (s *Store) remove(ctx context.Context, key string) error {
	err := s.try(ctx, func() error {
		return s.core.RemoveObject(ctx, s.o.Bucket, key, minio.RemoveObjectOptions{})
	})
	if isMissing(err) {
		return nil
	}
	return err
}

// head describes the object at key.
func (s *Store) head(ctx context.Context, key string) (minio.ObjectInfo, error) {
	var o minio.ObjectInfo
	err := s.try(ctx, func() (err error) {
		o, err = s.core.StatObject(ctx, s.o.Bucket, key, minio.StatObjectOptions{})
		return err
	})
	return o, err
}
