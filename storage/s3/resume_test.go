package s3

import (
	"bytes"
	"crypto/sha256"
	"io/fs"
	"testing"
	"time"

	"gateway/storage"
	"gateway/tests/servers"
)

// restart opens the same bucket as another process would.
func restart(t *testing.T, o Options) *Store {
	t.Helper()
	return openStore(t, o)
}

// TestRealResume takes an upload up in another process: after a suspension, and after the death of the first, when its
// lease is over. What was sent is not sent again.
func TestRealResume(t *testing.T) {
	server := servers.StartS3(t, serverKind())
	data := random(4, 6*MinPartSize+99)
	sum := sha256.Sum256(data)
	const first = 3*MinPartSize + 1234
	for name, c := range map[string]storage.CreateOptions{
		"in order":  {Size: -1, Owner: "ann", Sequential: true},
		"any order": {Size: -1, Owner: "ann"},
	} {
		for _, killed := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				o := small(server)
				o.lease = 300 * time.Millisecond
				calls := record(&o)
				s := openStore(t, o)
				u := begin(t, s, "f", c, data[:first])
				var token storage.Token
				var err error
				if killed {
					token, err = u.Checkpoint(t.Context())
					noErr(t, "checkpoint", err)
					writeAll(t, u, data[first:first+2*MinPartSize], first) // nobody will know of it
					_, err = restart(t, o).Resume(t.Context(), token)
					wantErr(t, "resume what is open elsewhere", err, storage.ErrBusy)
					for u := range s.Suspended(t.Context(), "ann") {
						if !u.Claimed {
							t.Error("what is open is not said to be")
						}
					}
					kill(s)
					time.Sleep(2 * o.lease)
				} else {
					token, err = u.Suspend(t.Context(), storage.SuspendOptions{Until: time.Now().Add(time.Hour)})
					noErr(t, "suspend", err)
				}
				calls.reset()
				s = restart(t, o)
				for u := range s.Suspended(t.Context(), "ann") {
					if u.Claimed {
						t.Error("what nobody has open is said to be")
					}
				}
				if got := suspendedTokens(t, s, "ann"); len(got) != 1 || got[0] != token {
					t.Fatalf("suspended are %v, want %v", got, token)
				}
				u, err = s.Resume(t.Context(), token)
				noErr(t, "resume", err)
				if u.Size() != first {
					t.Fatalf("it goes on at %d, want %d", u.Size(), first)
				}
				if calls.count("GET", "uploadId=") == 0 {
					t.Error("nobody asked for the parts that are there")
				}
				if !c.Sequential {
					got := make([]byte, first)
					if _, err := u.ReadAt(got, 0); err != nil || !bytes.Equal(got, data[:first]) {
						t.Fatalf("what was sent reads as something else: %v", err)
					}
				}
				writeAll(t, u, data[first:], first)
				_, err = u.Commit(t.Context(), storage.CommitOptions{SHA256: sum[:]})
				noErr(t, "commit", err)
				want(t, s, "f", data)
				if most := int64(len(data)) - 3*MinPartSize + 100_000; calls.sent > most {
					t.Errorf("%d bytes were sent after the restart, want %d at most", calls.sent, most)
				}
				wantNothingStaged(t, s)
			})
		}
	}
}

// begin makes an upload that has these bytes.
func begin(t *testing.T, s *Store, name string, c storage.CreateOptions, data []byte) storage.Upload {
	t.Helper()
	u, err := s.Create(t.Context(), name, c)
	noErr(t, "create", err)
	writeAll(t, u, data, 0)
	return u
}

// suspendAndResume has an upload let go and taken up again.
func suspendAndResume(t *testing.T, s storage.Resumer, u storage.Upload) storage.Upload {
	t.Helper()
	token, err := u.Suspend(t.Context(), storage.SuspendOptions{})
	noErr(t, "suspend", err)
	u, err = s.Resume(t.Context(), token)
	noErr(t, "resume", err)
	return u
}

// settled waits until nothing is being sent.
func settled(u storage.Upload) {
	up := u.(*upload)
	up.mu.Lock()
	defer up.mu.Unlock()
	up.settle()
}

// kill ends a store as the death of its process does: nothing is told to anybody.
func kill(s *Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open = map[string]*upload{}
}

func suspendedTokens(t *testing.T, s *Store, owner string) (list []storage.Token) {
	t.Helper()
	for u, err := range s.Suspended(t.Context(), owner) {
		noErr(t, "list suspended uploads", err)
		list = append(list, u.Token)
	}
	return list
}

// TestRealTakenOver has the first process come back after another took its upload over: it can do no harm.
func TestRealTakenOver(t *testing.T) {
	o := small(servers.StartS3(t, serverKind()))
	o.lease = 50 * time.Millisecond
	a, b := openStore(t, o), openStore(t, o)
	data := random(4, MinPartSize+99)
	ua := begin(t, a, "f", storage.CreateOptions{Size: -1}, data)
	token, err := ua.Checkpoint(t.Context())
	noErr(t, "checkpoint", err)
	noErr(t, "close", a.Close()) // nobody renews the claim
	time.Sleep(2 * o.lease)
	ub, err := b.Resume(t.Context(), token)
	noErr(t, "resume", err)
	_, err = ua.Commit(t.Context(), storage.CommitOptions{})
	wantErr(t, "commit what another has", err, storage.ErrBusy)
	_, err = ub.Commit(t.Context(), storage.CommitOptions{})
	noErr(t, "commit", err)
	want(t, b, "f", data)
	wantNothingStaged(t, b)
}

// TestRealStoreForgets goes on with an upload of which the store has swept the parts, as some do by themselves.
func TestRealStoreForgets(t *testing.T) {
	o := small(servers.StartS3(t, serverKind()))
	s := openStore(t, o)
	data := random(4, 3*MinPartSize)
	for _, inOrder := range []bool{false, true} {
		u := begin(t, s, "f", storage.CreateOptions{Size: -1, Sequential: inOrder}, data[:2*MinPartSize+1])
		token, err := u.Suspend(t.Context(), storage.SuspendOptions{})
		noErr(t, "suspend", err)
		noErr(t, "abort", s.abortMultipart(t.Context(), s.fileKey("f"), u.(*upload).multi.id))
		u, err = s.Resume(t.Context(), token)
		if inOrder {
			if err == nil {
				t.Error("what is lost was taken up again")
			}
			noErr(t, "discard", s.Discard(t.Context(), token))
			continue
		}
		noErr(t, "resume", err)
		writeAll(t, u, data[2*MinPartSize+1:], 2*MinPartSize+1)
		_, err = u.Commit(t.Context(), storage.CommitOptions{})
		noErr(t, "commit", err)
		want(t, s, "f", data)
	}
	wantNothingStaged(t, s)
}

// TestRealRefused keeps an upload whose publish was refused, and publishes it later.
func TestRealRefused(t *testing.T) {
	o := small(servers.StartS3(t, serverKind()))
	s := openStore(t, o)
	data := random(4, 2*MinPartSize+77)
	for _, inOrder := range []bool{false, true} {
		put(t, s, "f", []byte("old"), storage.CommitOptions{})
		// Taken between the look and the publish: the store itself has to refuse.
		u := begin(t, s, "f", storage.CreateOptions{Size: -1, Sequential: inOrder}, data)
		up := u.(*upload)
		up.mu.Lock()
		publish, err := up.prepare(t.Context(), nil)
		up.mu.Unlock()
		noErr(t, "prepare", err)
		_, err = publish(t.Context(), publishing(storage.CommitOptions{IfNoneMatch: true}))
		wantErr(t, "publish", conflict(err, storage.CommitOptions{IfNoneMatch: true}), fs.ErrExist)
		_, err = u.Commit(t.Context(), storage.CommitOptions{IfNoneMatch: true})
		wantErr(t, "commit", err, fs.ErrExist)
		u = suspendAndResume(t, s, u)
		if u.Size() != int64(len(data)) {
			t.Fatalf("it has %d bytes, want %d", u.Size(), len(data))
		}
		sum := sha256.Sum256(data)
		_, err = u.Commit(t.Context(), storage.CommitOptions{SHA256: sum[:]})
		noErr(t, "commit", err)
		want(t, s, "f", data)
		wantNothingStaged(t, s)
	}
}

// TestRealSweep leaves uploads behind as dead processes do. They go when they are old enough, and what is suspended or open
// stays.
func TestRealSweep(t *testing.T) {
	o := small(servers.StartS3(t, serverKind()))
	dead := openStore(t, o)
	data := random(4, MinPartSize+99)
	for _, inOrder := range []bool{true, false} {
		settled(begin(t, dead, "dead", storage.CreateOptions{Size: -1, Sequential: inOrder}, data))
	}
	kill(dead)
	kept := begin(t, dead, "kept", storage.CreateOptions{Size: -1}, data)
	token, err := kept.Suspend(t.Context(), storage.SuspendOptions{})
	noErr(t, "suspend", err)
	old := begin(t, dead, "old", storage.CreateOptions{Size: -1}, data)
	_, err = old.Suspend(t.Context(), storage.SuspendOptions{Until: time.Now().Add(-time.Second)})
	noErr(t, "suspend", err)
	open := begin(t, dead, "open", storage.CreateOptions{Size: -1}, data)
	settled(open)

	noErr(t, "sweep", dead.Sweep(t.Context()))                                 // nothing is old
	if n := len(multiparts(t, dead)); n < 4 && serverKind() != servers.MinIO { // which lists them only by their whole keys, and sweeps by itself
		t.Fatalf("%d multipart uploads are there after a sweep, want the 4 that are young", n)
	}
	dead.o.Abandon = time.Millisecond
	time.Sleep(1100 * time.Millisecond) // the store tells the time in seconds
	noErr(t, "sweep", dead.Sweep(t.Context()))
	_, err = open.Commit(t.Context(), storage.CommitOptions{})
	noErr(t, "commit what was open", err)
	want(t, dead, "open", data)
	kept, err = dead.Resume(t.Context(), token)
	noErr(t, "resume what was kept", err)
	_, err = kept.Commit(t.Context(), storage.CommitOptions{})
	noErr(t, "commit what was kept", err)
	want(t, dead, "kept", data)
	wantNothingStaged(t, dead)
}
