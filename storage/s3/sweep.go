package s3

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"gateway/storage/internal/uploadid"
)

// Sweep removes what dead processes left in the bucket, by age (Options.Abandon), and suspended uploads
// whose time has passed. A long-lived process should do it every hour or so; several may at once. It goes
// on past what it cannot remove and returns all those errors.
func (s *Store) Sweep(ctx context.Context) error {
	known, err := s.sweepSuspended(ctx)
	if err == nil {
		err = errors.Join(s.sweepParts(ctx, known), s.sweepMultiparts(ctx, known))
	}
	if err = errors.Join(err, s.Recover(ctx)); err != nil {
		return fmt.Errorf("storage/s3: sweep: %w", cause(err))
	}
	return nil
}

// sweepSuspended discards what has expired, and returns the ids of the uploads, and of their
// multipart uploads, that are to stay.
func (s *Store) sweepSuspended(ctx context.Context) (known map[string]bool, err error) {
	known = map[string]bool{}
	for _, u := range s.opened() {
		known[u.id] = true
		known[u.multi.started()] = true
	}
	prefix := s.own + "uploads/"
	for object, err := range s.keys(ctx, prefix, "", wholeTree) {
		if err != nil {
			return nil, err
		}
		_, id, _ := strings.Cut(strings.TrimSuffix(object.Key[len(prefix):], ".json"), "/")
		data, _, err := s.readOwn(ctx, object.Key)
		if isMissing(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var side sidecar
		if json.Unmarshal(data, &side) == nil && side.valid() && side.expired() && !known[id] && !side.Lease.After(time.Now()) {
			if err := s.discardSidecar(ctx, object.Key, id, side); err != nil {
				return nil, err
			}
			continue
		}
		known[id], known[side.Upload] = true, true
		for _, upload := range side.Bigs {
			known[upload] = true
		}
	}
	return known, nil
}

// sweepParts removes the staged parts of uploads that nobody knows.
func (s *Store) sweepParts(ctx context.Context, known map[string]bool) error {
	prefix, old := s.own+"parts/", time.Now().Add(-s.o.Abandon)
	var errs []error
	for object, err := range s.keys(ctx, prefix, "", oneLevel) {
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		id := strings.TrimSuffix(object.Key[len(prefix):], "/")
		if known[id] || !uploadid.Valid(id) {
			continue
		}
		newest := time.Time{}
		for unit, err := range s.keys(ctx, object.Key, "", wholeTree) {
			if err != nil {
				return errors.Join(append(errs, err)...)
			}
			if unit.LastModified.After(newest) {
				newest = unit.LastModified
			}
		}
		if newest.Before(old) {
			errs = append(errs, s.removePrefix(ctx, object.Key))
		}
	}
	return errors.Join(errs...)
}

// sweepMultiparts aborts the multipart uploads that nobody knows.
func (s *Store) sweepMultiparts(ctx context.Context, known map[string]bool) error {
	old := time.Now().Add(-s.o.Abandon)
	var errs []error
	for key, id, more := "", "", true; more; {
		var page minio.ListMultipartUploadsResult
		err := s.try(ctx, func() (err error) {
			page, err = s.core.ListMultipartUploads(ctx, s.o.Bucket, s.base, key, id, "", listPage)
			return err
		})
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		for _, m := range page.Uploads {
			if strings.HasPrefix(m.Key, s.base) && !known[m.UploadID] && m.Initiated.Before(old) {
				errs = append(errs, s.abortMultipart(ctx, m.Key, m.UploadID))
			}
		}
		more = page.IsTruncated && (page.NextKeyMarker != key || page.NextUploadIDMarker != id)
		key, id = page.NextKeyMarker, page.NextUploadIDMarker
	}
	return errors.Join(errs...)
}

// removePrefix removes all objects whose keys begin with prefix, a page at a time.
func (s *Store) removePrefix(ctx context.Context, prefix string) error {
	return s.batches(ctx, prefix, func(keys []string) error { return s.removeKeys(ctx, keys) })
}

// batches hands over the keys that begin with prefix, listPage at a time.
func (s *Store) batches(ctx context.Context, prefix string, do func(keys []string) error) error {
	batch := make([]string, 0, listPage)
	for object, err := range s.keys(ctx, prefix, "", wholeTree) {
		if err != nil {
			return err
		}
		if batch = append(batch, object.Key); len(batch) < listPage {
			continue
		}
		if err := do(batch); err != nil {
			return err
		}
		batch = batch[:0]
	}
	if len(batch) == 0 {
		return nil
	}
	return do(batch)
}

// removeKeys removes up to listPage objects in one request.
func (s *Store) removeKeys(ctx context.Context, keys []string) error {
	switch len(keys) {
	case 0:
		return nil
	case 1:
		return s.remove(ctx, keys[0])
	}
	return s.try(ctx, func() error {
		results, err := s.core.RemoveObjectsWithIter(ctx, s.o.Bucket, func(yield func(minio.ObjectInfo) bool) {
			for _, key := range keys {
				if !yield(minio.ObjectInfo{Key: key}) {
					return
				}
			}
		}, minio.RemoveObjectsOptions{})
		if err != nil {
			return err
		}
		for r := range results {
			if r.Err != nil && !isMissing(r.Err) {
				err = r.Err
			}
		}
		return err
	})
}
