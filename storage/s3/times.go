package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"gateway/storage"
)

// A stamp is an empty object whose key says which modification time a file or directory was given:
//
//	times/HASH/f/NAME/!MADE,TIME,BIND     of the file NAME in the directory whose name hashes to HASH
//	times/HASH/d/NAME/!MADE,TIME,BIND     of the directory NAME in it
//
// below Store.own. MADE and TIME are nanoseconds since 1970 in base 36. BIND is a hash of the ETag of the
// file that it is the time of, so that it counts no more once the file is replaced; of several with
// the right one the last made counts. NAME of a file is escaped (see escapeName) so that the order
// of the stamps is that of the files in a listing, which reads both side by side.
type stamp struct {
	key  string
	made int64
	time time.Time
	bind string
}

// kind is what a stamp belongs to.
type kind string

const (
	ofFile kind = "f"
	ofDir  kind = "d"
)

func kindOf(isDir bool) kind {
	if isDir {
		return ofDir
	}
	return ofFile
}

// bindDir takes the place of BIND for directories, which have no versions.
const bindDir = "d"

// metaSHA256 is the metadata key of the SHA-256 of a file, in hex.
const metaSHA256 = "Gateway-Sha256"

func bindOf(etag string) string {
	sum := sha256.Sum256([]byte(etag))
	return base64.RawURLEncoding.EncodeToString(sum[:9])
}

// stampsOf is what the keys of all stamps in a directory begin with.
func (s *Store) stampsOf(k kind, dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return s.own + "times/" + base64.RawURLEncoding.EncodeToString(sum[:16]) + "/" + string(k) + "/"
}

// stampOf is what the keys of the stamps of one name begin with.
func (s *Store) stampOf(k kind, name string) string {
	dir, base := storage.Split(name)
	return s.stampsOf(k, dir) + stampName(k, base) + "/!"
}

func stampName(k kind, base string) string {
	if k == ofDir {
		return base
	}
	return escapeName(base)
}

// escapeChunk is how many bytes an element of an escaped name has: stores that keep objects as
// files cannot have longer ones.
const escapeChunk = 250

// escapeName spells a name in bytes that are all greater than the slash which ends it, so that names
// with the slash sort as they do without: the bytes to '0' as '0' and a capital, '~' as "~0", those
// from 0x80 on as '~' and two letters.
func escapeName(name string) string {
	b := make([]byte, 0, len(name)+8)
	for i := range len(name) {
		switch c := name[i]; {
		case c <= '0':
			b = append(b, '0', 'A'+c-' ')
		case c == '~':
			b = append(b, '~', '0')
		case c >= 0x80:
			b = append(b, '~', 'a'+c>>4, 'a'+c&15)
		default:
			b = append(b, c)
		}
	}
	var parts []string
	for ; len(b) > escapeChunk; b = b[escapeChunk:] {
		parts = append(parts, string(b[:escapeChunk]))
	}
	return strings.Join(append(parts, string(b)), "/")
}

func parseStamp(key string) (stamp, bool) {
	fields := strings.Split(key[strings.LastIndex(key, "/!")+len("/!"):], ",")
	if len(fields) != 3 {
		return stamp{}, false
	}
	made, err1 := strconv.ParseInt(fields[0], 36, 64)
	t, err2 := strconv.ParseInt(fields[1], 36, 64)
	return stamp{key, made, time.Unix(0, t).UTC(), fields[2]}, err1 == nil && err2 == nil
}

// stamps lists the stamps of a name. There is one, or a few where somebody was interrupted.
func (s *Store) stamps(ctx context.Context, k kind, name string) ([]stamp, error) {
	var list []stamp
	for object, err := range s.keys(ctx, s.stampOf(k, name), "", wholeTree) {
		if err != nil {
			return nil, err
		}
		if st, ok := parseStamp(object.Key); ok && len(list) < listPage {
			list = append(list, st)
		}
	}
	return list, nil
}

// current is the time that stamps give to the version that bind stands for.
func current(list []stamp, bind string) (best stamp, ok bool) {
	for _, st := range list {
		if st.bind == bind && (!ok || st.made > best.made) {
			best, ok = st, true
		}
	}
	return best, ok
}

// setTime gives a name a time, and a file that has none in its metadata its SHA-256; then it removes the
// stamps that were there. A zero time only does the latter.
func (s *Store) setTime(ctx context.Context, k kind, name, bind string, t time.Time, sum []byte) error {
	made := ""
	if !t.IsZero() {
		now := strconv.FormatInt(time.Now().UnixNano(), 36)
		made = fmt.Sprintf("%s%s,%s,%s", s.stampOf(k, name), now, strconv.FormatInt(t.UnixNano(), 36), bind)
		var meta map[string]string
		if sum != nil {
			meta = map[string]string{metaSHA256: hex.EncodeToString(sum)}
		}
		if err := s.putOwn(ctx, made, nil, meta); err != nil {
			return err
		}
	}
	old, err := s.stamps(ctx, k, name)
	if err != nil {
		return err
	}
	for _, st := range old {
		if st.key == made {
			continue
		}
		if err := s.remove(ctx, st.key); err != nil {
			return err
		}
	}
	return nil
}

// putOwn writes a small object that is no file.
func (s *Store) putOwn(ctx context.Context, key string, data []byte, meta map[string]string) error {
	return s.try(ctx, func() error {
		_, err := s.core.PutObject(ctx, s.o.Bucket, key, bytes.NewReader(data), int64(len(data)), "", "",
			minio.PutObjectOptions{UserMetadata: meta})
		return err
	})
}

// stampReader reads the stamps of a directory beside a listing of it, a page at a time.
type stampReader struct {
	prefix string
	k      kind
	next   func() (minio.ObjectInfo, error, bool)
	stop   func()
	ahead  string // the key that was read last
	done   bool
}

func (s *Store) readStamps(ctx context.Context, k kind, dir string) *stampReader {
	r := &stampReader{prefix: s.stampsOf(k, dir), k: k}
	r.next, r.stop = iter.Pull2(s.keys(ctx, r.prefix, "", wholeTree))
	return r
}

// of returns the stamps of a name. Names must come in the order of a listing.
func (r *stampReader) of(base string) ([]stamp, error) {
	var list []stamp
	own := r.prefix + stampName(r.k, base) + "/!"
	for {
		if r.ahead == "" && !r.done {
			object, err, ok := r.next()
			if err != nil {
				return nil, err
			}
			r.ahead, r.done = object.Key, !ok
		}
		switch {
		case r.done:
			return list, nil
		case strings.HasPrefix(r.ahead, own):
			if st, ok := parseStamp(r.ahead); ok && len(list) < listPage {
				list = append(list, st)
			}
		case r.ahead > own:
			return list, nil
		}
		r.ahead = ""
	}
}
