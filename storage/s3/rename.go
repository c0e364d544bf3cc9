package s3

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gateway/storage"
	"gateway/storage/internal/uploadid"
)

// journal is an object renames/HASH.json below Store.own, by the name that is left, so that of two who
// rename one thing one does. It is there from before the first copy of a rename until
// after the last removal. While Moving is not set everything is still under its old name, and a rename
// that was interrupted is undone; from then on everything is under its new name too, and it is
// finished. The copies are known by the id in their metadata.
type journal struct {
	ID      string    `json:"id"`
	From    string    `json:"from"`
	To      string    `json:"to"`
	Dir     bool      `json:"dir,omitempty"`
	Replace bool      `json:"replace,omitempty"`
	Moving  bool      `json:"moving,omitempty"`
	Lease   time.Time `json:"lease"` // until when somebody is at it
}

// renaming is a rename that is being done here.
type renaming struct {
	s   *Store
	mu  sync.Mutex
	j   journal
	key string

	etag string
	lost bool // somebody else has the journal
}

func (r *renaming) isLost() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}

// atOnce is how many objects of a tree are copied or removed at once.
const atOnce = 8

// Rename implements storage.FS. The store copies, and what was copied is removed under its old name. If it
// fails while it copies, nothing has happened; if it fails later, whoever calls Recover finishes it.
func (s *Store) Rename(ctx context.Context, from, to string, o storage.RenameOptions) error {
	return s.fail("rename", from, s.rename(ctx, from, to, o))
}

func (s *Store) rename(ctx context.Context, from, to string, o storage.RenameOptions) error {
	if err := s.changing(ctx, from); err != nil {
		return err
	}
	if err := s.changing(ctx, to); err != nil {
		return err
	}
	names := []string{from, to}
	slices.Sort(names) // everybody in one order
	for _, name := range slices.Compact(names) {
		unlock, err := s.names.Lock(ctx, name)
		if err != nil {
			return err
		}
		defer unlock()
	}
	e, err := s.exists(ctx, from)
	if err != nil {
		return err
	}
	switch {
	case from == to && o.Replace:
		return nil
	case from == to:
		return fs.ErrExist
	case storage.Within(to, from):
		return storage.ErrInvalidMove
	}
	if err := s.parent(ctx, to); err != nil {
		return err
	}
	if err := s.mayReplace(ctx, e, to, o.Replace); err != nil {
		return err
	}
	r := &renaming{s: s, j: journal{ID: uploadid.New(), From: from, To: to, Dir: e.isDir, Replace: o.Replace}}
	r.key = fmt.Sprintf("%srenames/%x.json", s.own, sha256.Sum256([]byte(from)))
	return r.run(ctx)
}

// mayReplace looks at what a rename would replace.
func (s *Store) mayReplace(ctx context.Context, e entry, to string, replace bool) error {
	there, err := s.exists(ctx, to)
	switch {
	case isMissing(err):
		return nil
	case err != nil:
		return err
	case !replace:
		return fs.ErrExist
	case there.isDir && !e.isDir:
		return storage.ErrIsDir
	case !there.isDir && e.isDir:
		return storage.ErrNotDir
	case !there.isDir:
		return nil
	}
	return s.empty(ctx, to)
}

// run does a rename from the beginning.
func (r *renaming) run(ctx context.Context) error {
	if err := r.write(ctx, false); err != nil {
		return err
	}
	ctx, stop := r.renewing(ctx)
	defer stop()
	r.s.o.step("journaled")
	_, err := r.s.exists(ctx, r.j.From) // somebody may have renamed it until now
	if err == nil {
		err = r.copyAll(ctx)
	}
	if err == nil {
		r.s.o.step("copied")
		err = r.write(ctx, true)
	}
	if err != nil {
		if undoErr := r.undo(context.WithoutCancel(ctx)); undoErr != nil {
			err = errors.Join(err, fmt.Errorf("undo: %w", undoErr)) // else Recover does
		}
		return err
	}
	r.s.o.step("moving")
	return r.finish(context.WithoutCancel(ctx))
}

// write puts the journal, and holds it for a lease.
func (r *renaming) write(ctx context.Context, moving bool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if moving {
		r.j.Moving = true
	}
	r.j.Lease = time.Now().Add(r.s.o.lease).UTC()
	etag, err := r.s.putJSON(ctx, r.key, r.etag, r.j)
	if isCondition(err) && r.etag == "" {
		return fmt.Errorf("%w: somebody is renaming it, or was, and a gateway will set that right within a minute or so", storage.ErrBusy)
	}
	if isCondition(err) || isMissing(err) {
		r.lost = true
		return fmt.Errorf("%w: another gateway took the rename for interrupted, and goes on with it", storage.ErrBusy)
	}
	if err == nil {
		r.etag = etag
	}
	return err
}

// renewing holds the journal until stop is called; the context ends when it is lost.
func (r *renaming) renewing(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	renewal, quit := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		defer close(ended)
		r.s.inLease(renewal, func() (more bool) {
			if err := r.write(renewal, false); errors.Is(err, storage.ErrBusy) {
				cancel()
				return false
			}
			return true
		})
	}()
	return ctx, func() {
		quit()
		<-ended
		cancel()
	}
}

// copyAll copies everything to its new name.
func (r *renaming) copyAll(ctx context.Context) error {
	if !r.j.Dir {
		return r.copyOne(ctx, r.s.fileKey(r.j.From), storage.CommitOptions{IfNoneMatch: !r.j.Replace})
	}
	// The new directory first: it is what two who rename to one name race for.
	if err := r.copyDir(ctx, r.j.From, r.j.To, storage.CommitOptions{IfNoneMatch: !r.j.Replace}); err != nil {
		return err
	}
	return r.each(ctx, r.s.dirKey(r.j.From), func(ctx context.Context, key string) error {
		if key == r.s.dirKey(r.j.From) {
			return nil // that was the first
		}
		return r.copyOne(ctx, key, storage.CommitOptions{})
	})
}

// copyDir makes the directory to, with the time of from if that has one.
func (r *renaming) copyDir(ctx context.Context, from, to string, o storage.CommitOptions) error {
	if _, err := r.s.putFile(ctx, r.s.dirKey(to), r.j.ID, nil, nil, publishing(o)); err != nil {
		return conflict(err, o)
	}
	stamps, err := r.s.stamps(ctx, ofDir, from)
	if err != nil {
		return err
	}
	st, _ := current(stamps, bindDir)
	return r.s.setTime(ctx, ofDir, to, bindDir, st.time, nil)
}

// each does something with every key below prefix, several at once.
func (r *renaming) each(ctx context.Context, prefix string, do func(ctx context.Context, key string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for object, err := range r.s.keys(ctx, prefix, "", wholeTree) {
		if err != nil {
			if waitErr := group.Wait(); waitErr != nil {
				err = waitErr
			}
			return err
		}
		group.Go(func() error { return do(ctx, object.Key) })
	}
	return group.Wait()
}

// moved is the new key of an old one.
func (r *renaming) moved(key string) string { return r.rebase(key, r.j.From, r.j.To) }

// back is the old key of a new one.
func (r *renaming) back(key string) string { return r.rebase(key, r.j.To, r.j.From) }

func (r *renaming) rebase(key, from, to string) string {
	if !r.j.Dir {
		return r.s.fileKey(to)
	}
	return r.s.dirKey(to) + strings.TrimPrefix(key, r.s.dirKey(from))
}

// copyTries is how often a file may be replaced while it is copied.
const copyTries = 5

// copyOne copies a file or the key of a directory, with its time and digest. One that vanishes meanwhile is
// left out.
func (r *renaming) copyOne(ctx context.Context, key string, o storage.CommitOptions) error {
	for n := 1; ; n++ {
		object, err := r.s.head(ctx, key)
		if isMissing(err) {
			return nil
		}
		if err != nil {
			return err
		}
		v := &version{s: r.s, key: key, object: object}
		name, isDir := strings.CutSuffix(key[len(r.s.base):], "/")
		to := strings.TrimSuffix(r.moved(key)[len(r.s.base):], "/")
		if isDir {
			return r.copyDir(ctx, name, to, o)
		}
		stamps, err := r.s.stamps(ctx, ofFile, name)
		if err != nil {
			return err
		}
		sum, err := r.s.recordedSum(ctx, entry{object: object, stamps: stamps})
		if err != nil {
			return err
		}
		etag, err := r.s.copyObject(ctx, v, r.moved(key), r.j.ID, sum, o)
		if (errors.Is(err, storage.ErrPrecondition) || isMissing(err)) && n < copyTries {
			continue // it was replaced since
		}
		if err != nil {
			return err
		}
		return r.s.setTime(ctx, ofFile, to, bindOf(etag), fileInfo("", object, stamps).ModTime, nil)
	}
}

// undo removes the copies.
func (r *renaming) undo(ctx context.Context) error {
	remove := func(ctx context.Context, key string) error {
		there, err := r.s.head(ctx, key)
		if isMissing(err) || err == nil && there.UserMetadata[metaObject] != r.j.ID {
			return nil // not ours
		}
		if err != nil {
			return err
		}
		if _, err := r.s.head(ctx, r.back(key)); err != nil && !isMissing(err) {
			return err
		} else if err != nil && !strings.HasSuffix(key, "/") {
			return nil // somebody removed the original: this is all there is
		}
		return r.removeKey(ctx, key)
	}
	var err error
	if r.j.Dir {
		err = r.each(ctx, r.s.dirKey(r.j.To), func(ctx context.Context, key string) error {
			if strings.HasSuffix(key, "/") {
				return nil
			}
			return remove(ctx, key)
		})
		if err == nil {
			err = r.removeDirs(ctx, r.j.To, remove)
		}
	} else {
		err = remove(ctx, r.s.fileKey(r.j.To))
	}
	if err != nil {
		return err
	}
	return r.s.remove(ctx, r.key)
}

// removeDirs removes the keys of directories, those inside first.
func (r *renaming) removeDirs(ctx context.Context, name string, remove func(context.Context, string) error) error {
	for range storage.MaxDepth + 1 {
		again := false
		err := r.s.pages(ctx, name, func(keys []string) error {
			for i := len(keys) - 1; i >= 0; i-- {
				if strings.HasSuffix(keys[i], "/") {
					if err := remove(ctx, keys[i]); err != nil {
						again = true // a store that keeps folders: what is inside comes later
					}
				}
			}
			return ctx.Err()
		})
		if err != nil || !again {
			return err
		}
	}
	return nil
}

// removeKey removes a file or the key of a directory, and its time.
func (r *renaming) removeKey(ctx context.Context, key string) error {
	if err := r.s.remove(ctx, key); err != nil {
		return err
	}
	name, isDir := strings.CutSuffix(key[len(r.s.base):], "/")
	return r.s.setTime(ctx, kindOf(isDir), name, "", time.Time{}, nil)
}

// finish removes what was copied under its old name. What came or changed since it was copied is
// copied first.
func (r *renaming) finish(ctx context.Context) error {
	dir, _ := storage.Split(r.j.From)
	if err := r.s.keepDir(ctx, dir); err != nil {
		return err
	}
	if !r.j.Dir {
		if err := r.move(ctx, r.s.fileKey(r.j.From)); err != nil {
			return err
		}
		return r.s.remove(ctx, r.key)
	}
	err := r.each(ctx, r.s.dirKey(r.j.From), func(ctx context.Context, key string) error {
		if strings.HasSuffix(key, "/") {
			return nil
		}
		return r.move(ctx, key)
	})
	if err == nil {
		err = r.removeDirs(ctx, r.j.From, r.move)
	}
	if err != nil {
		return err
	}
	if err := r.removeKey(ctx, r.s.dirKey(r.j.From)); err != nil {
		return err
	}
	return r.s.remove(ctx, r.key)
}

// move removes a key that was copied, and copies it first if it was not.
func (r *renaming) move(ctx context.Context, key string) error {
	object, err := r.s.head(ctx, key)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	there, err := r.s.head(ctx, r.moved(key))
	if err != nil && !isMissing(err) {
		return err
	}
	// A copy of another version is an old one; what somebody else put there is newer than this.
	stale := there.UserMetadata[metaObject] == r.j.ID && there.UserMetadata[metaSource] != object.ETag
	if (err != nil || stale) && !strings.HasSuffix(key, "/") {
		if err := r.copyOne(ctx, key, storage.CommitOptions{}); err != nil {
			return err
		}
	}
	r.s.o.step("remove")
	return r.removeKey(ctx, key)
}

// Recover finishes or undoes the renames that a crash interrupted. Open does it once; a long-lived process
// should do it every minute or so: it costs one request when there are none.
func (s *Store) Recover(ctx context.Context) error {
	var errs []error
	for object, err := range s.keys(ctx, s.own+"renames/", "", wholeTree) {
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		if err := s.recover(ctx, object.Key); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *Store) recover(ctx context.Context, key string) error {
	data, etag, err := s.readOwn(ctx, key)
	if isMissing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	r := &renaming{s: s, key: key, etag: etag}
	if err := json.Unmarshal(data, &r.j); err != nil {
		return fmt.Errorf("journal %s: %w", key, err)
	}
	for _, name := range []string{r.j.From, r.j.To} {
		if clean, err := storage.CleanName(name); err != nil || clean != name || name == "" || !uploadid.Valid(r.j.ID) {
			return fmt.Errorf("journal %s: it is damaged", key)
		}
	}
	if r.j.Lease.After(time.Now()) {
		return nil // somebody is at it
	}
	err = r.write(ctx, false)
	if errors.Is(err, storage.ErrBusy) {
		return nil
	}
	if err != nil {
		return err
	}
	moving := r.j.Moving
	ctx, stop := r.renewing(ctx)
	defer stop()
	if moving {
		err = r.finish(ctx)
	} else {
		err = r.undo(ctx)
	}
	if r.isLost() {
		return nil // somebody else is at it
	}
	if err != nil {
		return fmt.Errorf("rename %q to %q: %w", r.j.From, r.j.To, err)
	}
	return nil
}
