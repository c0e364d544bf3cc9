package s3

import (
	"crypto/sha256"
	"testing"
	"time"

	"gateway/storage"
	"gateway/tests/servers"
)

var s3Time = time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)

// TestLimits works out that the largest object fits into the parts that S3 allows.
func TestLimits(t *testing.T) {
	for _, size := range []int64{MinPartSize, 6_000_000, DefaultPartSize, 16 << 20, 64 << 20, 100_000_000, MaxPartSize} {
		l := limitsFor(size)
		if l.parts > 10_000 || l.plain >= l.parts {
			t.Errorf("%d: %+v", size, l)
		}
		if big := l.bigParts * size; big < 5<<20 || big > 5<<30 || l.bigParts > 10_000 {
			t.Errorf("%d: the large parts have %d bytes", size, big)
		}
		if most := int64(l.plain)*size + int64(l.parts-l.plain)*l.bigParts*size; most < MaxSize {
			t.Errorf("%d: %d bytes fit, not %d", size, most, int64(MaxSize))
		}
	}
}

// TestRealLargeParts puts parts together of several pages, as for files that are too long for 10,000 pages, in both
// ways of staging, with a restart in between.
func TestRealLargeParts(t *testing.T) {
	o := small(servers.StartS3(t, serverKind()))
	o.limits = limits{parts: 6, plain: 2, bigParts: 2}
	data := random(3, 7*MinPartSize+1000)
	sum := sha256.Sum256(data)
	for name, c := range map[string]struct {
		storage.CreateOptions
		first int64 // what is written before the restart
	}{
		"in order, within a large part":  {storage.CreateOptions{Size: -1, Sequential: true}, 3*MinPartSize + 500},
		"in order, after a large part":   {storage.CreateOptions{Size: -1, Sequential: true}, 4*MinPartSize + 500},
		"any order, within a large part": {storage.CreateOptions{Size: -1}, 3*MinPartSize + 500},
		"any order, after a large part":  {storage.CreateOptions{Size: -1}, 4*MinPartSize + 500},
	} {
		t.Run(name, func(t *testing.T) {
			s, first := openStore(t, o), c.first
			u := begin(t, s, "f", c.CreateOptions, data[:first])
			s = openStore(t, o)
			u = suspendAndResume(t, s, u)
			writeAll(t, u, data[first:], first)
			if !c.Sequential {
				for _, off := range []int64{6 * MinPartSize, 4*MinPartSize + 1, 10} { // behind what was sent
					writeAll(t, u, make([]byte, 1000), off)
					writeAll(t, u, data[off:off+1000], off)
				}
			}
			_, err := u.Commit(t.Context(), storage.CommitOptions{SHA256: sum[:]})
			noErr(t, "commit", err)
			want(t, s, "f", data)
			wantNothingStaged(t, s)
		})
	}
}

// TestRealHoles publishes files that are mostly holes.
func TestRealHoles(t *testing.T) {
	s := openStore(t, small(servers.StartS3(t, serverKind())))
	u, err := s.Create(t.Context(), "f", storage.CreateOptions{Size: -1})
	noErr(t, "create", err)
	writeAll(t, u, []byte("end"), 3*MinPartSize)
	noErr(t, "truncate", u.Truncate(4*MinPartSize+5))
	_, err = u.Commit(t.Context(), storage.CommitOptions{})
	noErr(t, "commit", err)
	data := make([]byte, 4*MinPartSize+5)
	copy(data[3*MinPartSize:], "end")
	want(t, s, "f", data)
	_, err = s.Create(t.Context(), "g", storage.CreateOptions{Size: MaxSize + 1})
	wantErr(t, "create what is too large", err, storage.ErrTooLarge)
	u, err = s.Create(t.Context(), "g", storage.CreateOptions{Size: -1})
	noErr(t, "create", err)
	_, err = u.WriteAt([]byte("x"), MaxSize)
	wantErr(t, "write too far", err, storage.ErrTooLarge)
	wantErr(t, "truncate too far", u.Truncate(MaxSize+1), storage.ErrTooLarge)
	noErr(t, "abort", u.Abort(t.Context()))
	wantNothingStaged(t, s)
}

// TestRealEdit changes a little of a large file: the store copies the rest. If the file is replaced meanwhile, that is a
// conflict and no mixture.
func TestRealEdit(t *testing.T) {
	o := small(servers.StartS3(t, serverKind()))
	calls := record(&o)
	s := openStore(t, o)
	data := random(5, 4*MinPartSize+77)
	put(t, s, "f", data, storage.CommitOptions{})
	calls.reset()
	edit := storage.CreateOptions{Size: -1, Edit: true}
	u, err := s.Create(t.Context(), "f", edit)
	noErr(t, "edit", err)
	writeAll(t, u, []byte("hello"), 2*MinPartSize+9)
	copy(data[2*MinPartSize+9:], "hello")
	writeAll(t, u, []byte("more"), int64(len(data)))
	data = append(data, "more"...)
	_, err = u.Commit(t.Context(), storage.CommitOptions{})
	noErr(t, "commit", err)
	want(t, s, "f", data)
	if calls.sent > 2*MinPartSize {
		t.Errorf("%d bytes were sent to change 9", calls.sent)
	}
	u, err = s.Create(t.Context(), "f", edit)
	noErr(t, "edit", err)
	writeAll(t, u, []byte("hello"), 0)
	other := random(6, len(data))
	put(t, s, "f", other, storage.CommitOptions{})
	_, err = u.Commit(t.Context(), storage.CommitOptions{})
	if err == nil {
		t.Error("an edit of what was replaced was published")
	}
	want(t, s, "f", other)
	noErr(t, "abort", u.Abort(t.Context()))
	wantNothingStaged(t, s)
}
