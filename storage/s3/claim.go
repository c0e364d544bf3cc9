package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"gateway/storage"
	"gateway/storage/internal/uploadid"
)

// An upload that was checkpointed has an object uploads/OWNER/ID.json below Store.own, which says what Resume
// has to know. Whoever has the upload open renews it before its lease is over; whoever takes it over
// replaces it, on the condition that nobody else did. So it is claimed by one gateway at a time.
type sidecar struct {
	Name      string      `json:"name"`
	Owner     string      `json:"owner,omitempty"`
	Size      int64       `json:"size"` // bytes that are durable
	Exclusive bool        `json:"exclusive,omitempty"`
	ModePerm  fs.FileMode `json:"mode,omitempty"`
	Updated   time.Time   `json:"updated"`
	Until     time.Time   `json:"until,omitzero"` // zero: kept until discarded
	Lease     time.Time   `json:"lease,omitzero"` // until when it is open; zero: it is not

	PartSize int64            `json:"part_size"`
	Direct   bool             `json:"direct,omitempty"`
	Upload   string           `json:"upload,omitempty"` // the multipart upload
	Bigs     map[int64]string `json:"bigs,omitempty"`   // those of large parts
	Hashed   int64            `json:"hashed,omitempty"` // bytes that Hash is of
	Hash     []byte           `json:"hash,omitempty"`
	Base     *sidecarBase     `json:"base,omitempty"`
}

// sidecarBase is the file that an edit began with.
type sidecarBase struct {
	ETag    string `json:"etag"`
	Version string `json:"version,omitempty"`
	Size    int64  `json:"size"`
	Left    int64  `json:"left"`
}

// defaultLease is for how long a claim is believed that nobody renews: what a client has to wait whose
// gateway died.
const defaultLease = storage.ClaimTime

// maxSidecar bounds what is read of one, and of a journal, in bytes; it comes with one request (firstChunk).
const maxSidecar = 256 << 10

func (c sidecar) expired() bool { return !c.Until.IsZero() && !c.Until.After(time.Now()) }

func (c sidecar) valid() bool {
	clean, err := storage.CleanName(c.Name)
	return err == nil && clean == c.Name && clean != "" && c.Size >= 0 && c.Size <= MaxSize &&
		c.PartSize >= MinPartSize && c.PartSize <= MaxPartSize && c.Hashed >= 0 && c.Hashed <= c.Size
}

// ownerHash keeps the uploads of one owner together, whatever the owner is called.
func ownerHash(owner string) string {
	sum := sha256.Sum256([]byte(owner))
	return hex.EncodeToString(sum[:8])
}

// A token is the hash of the owner and the id.
func makeToken(owner, id string) storage.Token { return storage.Token(ownerHash(owner) + id) }

// sidecarKey is the key of the sidecar of a token, and the id; false if it is no token.
func (s *Store) sidecarKey(t storage.Token) (key, id string, ok bool) {
	b, err := hex.DecodeString(string(t))
	if err != nil || len(b) != 24 || hex.EncodeToString(b) != string(t) {
		return "", "", false
	}
	return s.own + "uploads/" + string(t[:16]) + "/" + string(t[16:]) + ".json", string(t[16:]), true
}

// claim is the sidecar of an upload that is open here.
type claim struct {
	mu   sync.Mutex
	key  string // "" while there is none
	etag string
	side sidecar
	lost bool
}

func (c *claim) isLost() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

func (c *claim) exists() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.key != ""
}

// write puts the sidecar in place of the one that this upload wrote last. If it is not there any more,
// somebody else has the upload.
func (c *claim) write(ctx context.Context, s *Store, key string, side sidecar) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost {
		return errLost
	}
	etag, err := s.putJSON(ctx, key, c.etag, side)
	if isCondition(err) || isMissing(err) {
		c.lost = true
		return errLost
	}
	if err == nil {
		c.key, c.etag, c.side = key, etag, side
	}
	return err
}

// renew makes the claim hold for another lease.
func (c *claim) renew(ctx context.Context, s *Store) error {
	c.mu.Lock()
	key, side := c.key, c.side
	c.mu.Unlock()
	if key == "" || side.Lease.IsZero() {
		return nil
	}
	side.Lease = time.Now().Add(s.o.lease).UTC()
	return c.write(ctx, s, key, side)
}

// putJSON writes a small object that is no file in place of the one with the ETag old, or of none.
func (s *Store) putJSON(ctx context.Context, key, old string, v any) (etag string, err error) {
	data, err := json.Marshal(v)
	if err != nil {
		return "", err
	}
	var o minio.PutObjectOptions
	if old == "" {
		o.SetMatchETagExcept("*")
	} else {
		o.SetMatchETag(old)
	}
	return s.putFile(ctx, key, uploadid.New(), data, nil, o)
}

// readOwn reads a small object that is no file, maxSidecar bytes at most.
func (s *Store) readOwn(ctx context.Context, key string) (data []byte, etag string, err error) {
	v := version{s: s, key: key}
	err = s.try(ctx, func() (err error) {
		data, err = v.open(ctx)
		return err
	})
	if err == nil && v.object.Size > maxSidecar {
		err = storage.ErrTooLarge
	}
	return data, v.object.ETag, err
}

// readSidecar fails with fs.ErrNotExist if there is none that is whole and in force.
func (s *Store) readSidecar(ctx context.Context, key string) (side sidecar, etag string, err error) {
	data, etag, err := s.readOwn(ctx, key)
	if err != nil {
		return sidecar{}, "", err
	}
	if json.Unmarshal(data, &side) != nil || !side.valid() {
		return sidecar{}, "", fs.ErrNotExist
	}
	if side.expired() {
		return side, etag, fs.ErrNotExist
	}
	return side, etag, nil
}

// own makes sure, before the publish, that nobody else took the upload over, and that nobody will.
func (u *upload) own(ctx context.Context) error { return u.kept.renew(ctx, u.s) }

// renewing renews the claims of this process until the store is closed. It begins with the first claim.
func (s *Store) renewing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended != nil || s.closed {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.ending, s.ended = cancel, make(chan struct{})
	go func() {
		defer close(s.ended)
		s.inLease(ctx, func() (more bool) {
			for _, u := range s.opened() {
				_ = u.kept.renew(ctx, s) // else it is lost, which its next use says, or tried again
			}
			return true
		})
	}()
}

// inLease calls renew three times in a lease, until it says that there is nothing more to renew or the context ends.
func (s *Store) inLease(ctx context.Context, renew func() (more bool)) {
	t := time.NewTicker(s.o.lease / 3)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if !renew() {
			return
		}
	}
}

// opened are the uploads that are open in this process.
func (s *Store) opened() []*upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]*upload, 0, len(s.open))
	for _, u := range s.open {
		list = append(list, u)
	}
	return list
}
