// Package s3 is the storage backend for a bucket of an S3-compatible object store.
//
// # What it promises
//
// A file is an object under its own name. What is published is published by one request of the store:
// a PUT for what fits into one part, the completion of a multipart upload for what does not, with the
// condition (If-Match, If-None-Match) in that very request, so that any number of gateways may share a
// bucket and of several writers racing for one name one wins. A reader keeps to the version that it
// opened (If-Match on every GET, and the version id where the bucket keeps versions); if that one is
// gone the read fails, it never goes on in another.
//
// What a store cannot do in one request (to rename) is journaled in the bucket and finished by
// whichever gateway finds it, so that a crash leaves each file under one of the two names.
//
// # How an upload is staged
//
// The file is divided into parts. Those being written are held in memory, Options.Memory at most.
// Writers that promise to write in order (storage.CreateOptions.Sequential) have each part sent into
// the multipart upload when it is full. For all others a part is sent as an object of its own under
// [storage.StagingName] and copied into the multipart upload by the store, because a part of a multipart
// upload cannot be read again: so a write behind what was sent, in whatever order, takes the part back,
// changes it and sends it once more. Nothing is kept on a disk of this machine.
//
// # What is kept beside the files
//
// The store stamps objects with the time at which they came, and a listing shows nothing else. A
// modification time that was asked for is kept as the name of an empty object under
// [storage.StagingName], bound to the ETag of the file, in the order of the listing. The SHA-256 of a file
// is in its metadata, or, since metadata is fixed when a multipart upload begins, in that of the
// object with its time.
//
// A directory is a key that ends in a slash, or whatever has keys below it. The time of one that has
// no such key is 1970.
//
// # What it does not do
//
// There are no permission bits, links or owners. A directory's rename is not one step: while it runs,
// both trees can be seen. Two gateways that make a file and a directory of one name in the same moment
// both succeed; the file is what is seen.
//
// # Where things are
//
// Store and Options are in s3.go, the connection, retries and errors in client.go. Reading is in file.go
// (Open) and look.go (Stat, List), with the times beside the files in times.go. Writing begins in upload.go
// (Create, WriteAt); pages.go holds what is in memory, parts.go divides it into the parts of a multipart.go, and
// commit.go publishes. Checkpoint, Suspend and Resume are in staging.go, and who has an upload open in claim.go.
// tree.go changes names in one step, rename.go those that need the journal; sweep.go removes what the dead left.
package s3

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"gateway/storage"
	"gateway/storage/internal/keylock"
)

// Defaults and bounds of Options.
const (
	DefaultRegion   = "us-east-1"
	DefaultMemory   = 64 << 20
	DefaultPartSize = 16 << 20
	DefaultTimeout  = 2 * time.Minute
	DefaultKeep     = 30 * 24 * time.Hour
	DefaultAbandon  = 7 * 24 * time.Hour

	MinPartSize = 5 << 20   // what S3 demands of every part but the last
	MaxPartSize = 512 << 20 // of this backend
	MaxPrefix   = 128       // bytes
	MaxKey      = 1024      // bytes; S3's own
)

// Options say where the bucket is and what a transfer may take. Endpoint and Bucket are needed.
type Options struct {
	Endpoint string // host or host:port, without a scheme
	Insecure bool   // plain HTTP: for a store on this machine only
	Bucket   string
	Prefix   string // folder of the bucket that is the root; "" is the bucket
	Region   string // "" means DefaultRegion

	AccessKey, SecretKey string
	RootCAs              *x509.CertPool // nil: those of the system

	// Memory bounds the bytes that one transfer holds; 0 means DefaultMemory. It must hold two parts.
	Memory int64
	// PartSize is how many bytes one part has, from MinPartSize to MaxPartSize; 0 means
	// DefaultPartSize. Files too long for the 10,000 parts of a multipart upload get larger ones,
	// put together in the store.
	PartSize int64
	// Timeout is for how long the store may be silent; 0 means DefaultTimeout.
	Timeout time.Duration
	// Keep is for how long an upload that was checkpointed, and neither finished nor suspended with a
	// time of its own, can be resumed; 0 means DefaultKeep.
	Keep time.Duration
	// Abandon is the age from which a multipart upload or a staged part that no upload knows is taken
	// for what a dead process left; 0 means DefaultAbandon. No upload may take longer.
	Abandon time.Duration

	// Transport carries the requests; nil means one of the package's own. RootCAs and Timeout are
	// only for that one.
	Transport http.RoundTripper

	retryPause time.Duration // before the second try; it doubles
	lease      time.Duration // for how long a claim is believed that nobody renews
	limits     limits        // of a multipart upload; smaller in tests
	step       func(string)  // told the steps of a rename, by tests
}

// limits are those of a multipart upload.
type limits struct {
	parts    int   // in one upload; S3: 10,000
	plain    int   // the first of them have Options.PartSize
	bigParts int64 // how many times as large the others are
}

// Validate finds mistakes in options, the keys apart, without asking the store.
func (o Options) Validate() error { return o.complete() }

func (o *Options) complete() error {
	set := func(v *int64, def int64) {
		if *v == 0 {
			*v = def
		}
	}
	set(&o.Memory, DefaultMemory)
	set(&o.PartSize, DefaultPartSize)
	set((*int64)(&o.Timeout), int64(DefaultTimeout))
	set((*int64)(&o.Keep), int64(DefaultKeep))
	set((*int64)(&o.Abandon), int64(DefaultAbandon))
	set((*int64)(&o.retryPause), int64(100*time.Millisecond))
	set((*int64)(&o.lease), int64(defaultLease))
	if o.Region == "" {
		o.Region = DefaultRegion
	}
	if o.limits == (limits{}) {
		o.limits = limitsFor(o.PartSize)
	}
	if o.step == nil {
		o.step = func(string) {}
	}
	prefix, err := storage.CleanName(o.Prefix)
	switch {
	case o.Endpoint == "" || o.Bucket == "":
		return errors.New("endpoint and bucket are needed")
	case err != nil:
		return fmt.Errorf("prefix: %w", err)
	case len(prefix) > MaxPrefix:
		return fmt.Errorf("prefix: %d bytes are more than %d", len(prefix), MaxPrefix)
	case o.PartSize < MinPartSize || o.PartSize > MaxPartSize:
		return fmt.Errorf("part size: %d bytes are not between %d and %d", o.PartSize, MinPartSize, MaxPartSize)
	case o.Memory < 2*o.PartSize:
		return fmt.Errorf("memory: %d bytes do not hold two parts of %d", o.Memory, o.PartSize)
	}
	o.Prefix = prefix
	return nil
}

// Store is a bucket, or a folder of one. It implements storage.FS, storage.Resumer, storage.Copier and
// storage.TreeRemover.
type Store struct {
	o    Options
	core minio.Core
	base string // what every key begins with: "" or "folder/"
	own  string // what the keys that are not files begin with

	names keylock.Locks[string] // of names, among the users of this process
	idle  func()                // closes connections that nobody uses

	mu     sync.Mutex
	open   map[string]*upload // by id: those of this process
	ending context.CancelFunc // ends the renewal of claims
	ended  chan struct{}      // closed when it has ended; nil before it begins
	closed bool
}

var (
	_ storage.Resumer     = (*Store)(nil)
	_ storage.Copier      = (*Store)(nil)
	_ storage.TreeRemover = (*Store)(nil)
)

// Open asks the store for the bucket, which must exist, and finishes the renames that a crash
// interrupted. Its errors name the endpoint and the bucket: they are for the operator.
func Open(ctx context.Context, o Options) (*Store, error) {
	s, err := open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("storage/s3: open bucket %s at %s: %w", o.Bucket, o.Endpoint, err)
	}
	return s, nil
}

func open(ctx context.Context, o Options) (*Store, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	s := &Store{o: o, open: map[string]*upload{}, idle: func() {}}
	transport := o.Transport
	if transport == nil {
		t := newTransport(o)
		transport, s.idle = t, t.CloseIdleConnections
	}
	core, err := minio.NewCore(o.Endpoint, &minio.Options{
		Creds:      credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""),
		Secure:     !o.Insecure,
		Transport:  transport,
		Region:     o.Region, // given, so that nobody has to be asked for it
		MaxRetries: 1,        // see Store.try
	})
	if err != nil {
		return nil, err
	}
	s.core = *core
	if o.Prefix != "" {
		s.base = o.Prefix + "/"
	}
	s.own = s.base + storage.StagingName + "/"
	exists := false
	var last error
	err = s.try(ctx, func() (err error) {
		exists, err = s.core.BucketExists(ctx, o.Bucket)
		if err != nil && ctx.Err() == nil {
			last = err
		}
		return err
	})
	if err != nil && ctx.Err() != nil && last != nil {
		err = fmt.Errorf("%w while it was tried again, after: %w", err, advise(cause(last)))
	}
	if err == nil && !exists {
		// An answer to HEAD has no words, and stores say there that they know nobody.
		err = s.try(ctx, func() error {
			_, err := s.core.ListObjectsV2(o.Bucket, s.base, "", "", "", 1)
			return err
		})
		if err == nil {
			err = errors.New("the store says that there is no such bucket, and lists it")
		}
	}
	if err != nil {
		s.idle()
		return nil, advise(cause(err))
	}
	// What cannot be finished now is tried again, and reported, by the next Recover.
	_ = s.Recover(ctx)
	return s, nil
}

// advise adds to the store's words what to do.
func advise(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch code(err) {
	case "NoSuchBucket":
		return fmt.Errorf("there is no such bucket: make it first (%w)", err)
	case "InvalidAccessKeyId", "XAdminUserNotFound":
		return fmt.Errorf("%w; see the access key", err)
	case "SignatureDoesNotMatch":
		return fmt.Errorf("%w; see the secret key, and the clock of this machine", err)
	case "AccessDenied":
		return fmt.Errorf("%w; see the access key and the secret key, and what they may do in the bucket", err)
	case "AuthorizationHeaderMalformed", "BadRequest", "400 Bad Request":
		return fmt.Errorf("%w; see the region", err)
	}
	switch {
	case errors.As(err, &unknown):
		return fmt.Errorf("%w; name the file with its authority (ca_file)", err)
	case errors.As(err, &name):
		return fmt.Errorf("%w; write the endpoint as it is in the store's certificate", err)
	}
	return err
}

// Close ends what runs in the background. Uploads that are open can only be resumed after that.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	ending, ended := s.ending, s.ended
	s.mu.Unlock()
	if ended != nil {
		ending()
		<-ended
	}
	s.idle()
	return nil
}

// Properties implements storage.FS.
func (s *Store) Properties() storage.Properties {
	return storage.Properties{CaseSensitive: true, TrueDirectories: true, ModTimes: true, Resume: true}
}

// fileKey is the key of the file at name.
func (s *Store) fileKey(name string) string { return s.base + name }

// dirKey is the key of the directory at name, and what the keys below it begin with.
func (s *Store) dirKey(name string) string {
	if name == "" {
		return s.base
	}
	return s.base + name + "/"
}

// check refuses names that are not clean, once more, and those that S3 has no key for.
func (s *Store) check(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if clean, err := storage.CleanName(name); err != nil || clean != name {
		return storage.ErrName
	}
	if n := len(s.dirKey(name)); n > MaxKey {
		return fmt.Errorf("%w: its key would be %d bytes, S3 has %d", storage.ErrName, n, MaxKey)
	}
	return nil
}

// changing is check for what changes something, the root excepted.
func (s *Store) changing(ctx context.Context, name string) error {
	if name == "" {
		return fs.ErrPermission
	}
	return s.check(ctx, name)
}
