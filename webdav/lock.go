package webdav

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gateway/state"
	"gateway/storage"
)

const (
	// maxLockTimeout is granted at most, and where the client names no time;
	// clients that live refresh, and a lock of one that died should not last.
	maxLockTimeout = time.Hour
	minLockTimeout = time.Second
)

// effect is a change that a method is about to make.
type effect struct {
	name   string
	tree   bool // all below as well
	member bool // the name appears in or disappears from its directory
}

// confirm fails with 423 unless the tokens of the request open every lock that
// covers the effects (RFC 4918 section 7). Of shared locks one is enough.
func (q *request) confirm(ctx context.Context, effects ...effect) error {
	changes := make([]state.Change, len(effects))
	for i, e := range effects {
		changes[i] = state.Change{Key: q.lockKey(e.name), Tree: e.tree, Member: e.member}
	}
	keys, err := state.Blocked(ctx, q.h.locks, q.opens, changes...)
	if err != nil || len(keys) == 0 {
		return err
	}
	var blocked []string
	for _, key := range keys {
		for _, e := range effects {
			if ref, ok := hrefOf(key, e.name, q.lockKey(e.name)); ok {
				blocked = append(blocked, ref)
				break
			}
		}
	}
	slices.Sort(blocked)
	return &statusError{status: http.StatusLocked, condition: "lock-token-submitted", hrefs: slices.Compact(blocked)}
}

// hrefOf is how the user sees a key that is that of a name, below it, or that of its folder.
func hrefOf(key, name, nameKey string) (string, bool) {
	if rest, ok := strings.CutPrefix(key, nameKey); ok && (rest == "" || rest[0] == '/') {
		return href(name+rest, false), true
	}
	dir, _ := storage.Split(name)
	i := strings.LastIndexByte(nameKey, '/')
	return href(dir, true), i >= 0 && nameKey[:i] == key
}

// opens reports whether the request may use the lock: the token was submitted,
// and by the user who made the lock.
func (q *request) opens(l state.Lock) bool {
	return l.User == q.id.User.Name && slices.Contains(q.tokens, l.Token)
}

// lock serves LOCK (RFC 4918 section 9.10).
func (q *request) lock(ctx context.Context) error {
	depth, err := q.depth(depthInfinity)
	if err != nil {
		return err
	}
	if depth == depthOne {
		return refuse(http.StatusBadRequest, "a lock has Depth 0 or infinity")
	}
	root, err := q.body()
	if err != nil {
		return err
	}
	timeout := lockTimeout(q.Header.Get("Timeout"))
	if root == nil {
		return q.refreshLock(ctx, timeout)
	}
	l, err := parseLockInfo(root)
	if err != nil {
		return err
	}
	l.Root, l.Infinite = q.lockKey(q.name), depth == depthInfinity
	l.Token, l.User, l.Timeout = newToken(), q.id.User.Name, timeout
	_, err = q.fs.Stat(ctx, q.name)
	unmapped := absent(err)
	if err != nil && !unmapped {
		return err
	}
	if err := q.mayLock(ctx, l, unmapped); err != nil {
		return err
	}
	l, err = q.h.locks.CreateLock(ctx, l)
	switch {
	case errors.Is(err, state.ErrLocked):
		return q.refuseLock(l)
	case errors.Is(err, state.ErrLimit):
		return refuse(http.StatusInsufficientStorage, "too many locks are held")
	case err != nil:
		return err
	}
	status := http.StatusOK
	if unmapped {
		status = http.StatusCreated
		ctx := storage.WithLockTokens(ctx, append(q.tokens, l.Token))
		if err := q.createLocked(ctx); err != nil {
			_ = q.h.locks.RemoveLock(context.WithoutCancel(ctx), l.Token)
			return err
		}
	}
	q.w.Header().Set("Lock-Token", "<"+l.Token+">")
	return q.writeLock(status, l)
}

// refuseLock names the lock that is in the way. One below the folder is a failure of the member, by
// which the folder is not locked either (RFC 4918 section 9.10.3).
func (q *request) refuseLock(held state.Lock) error {
	ref := q.lockRoot(q.name, held)
	if !strings.HasPrefix(held.Root, q.lockKey(q.name)+"/") {
		return &statusError{status: http.StatusLocked, condition: "no-conflicting-lock", hrefs: []string{ref}}
	}
	m := q.multistatus()
	m.status(ref, http.StatusLocked, "")
	m.status(href(q.name, true), http.StatusFailedDependency, "")
	return m.close()
}

// mayLock decides who may lock what. A lock keeps others from writing, so it
// takes the right to write.
func (q *request) mayLock(ctx context.Context, l state.Lock, unmapped bool) error {
	if unmapped {
		return q.confirm(ctx, effect{name: q.name, member: true})
	}
	if !q.may(q.name, storage.PermOverwrite) {
		return fs.ErrPermission
	}
	if l.Infinite && len(q.mountsBelow(q.name)) > 0 {
		return refuse(http.StatusForbidden, "this folder has mounts below it; lock one of those, or with Depth 0")
	}
	return nil
}

// createLocked makes the empty file that locking an unmapped URL stands for
// (RFC 4918 section 7.3).
func (q *request) createLocked(ctx context.Context) error {
	if q.slash {
		return refuse(http.StatusConflict, "make the folder before locking it")
	}
	up, err := q.fs.Create(ctx, q.name, storage.CreateOptions{Owner: q.id.User.Name, Exclusive: true})
	if err == nil {
		defer up.Abort(context.WithoutCancel(ctx))
		_, err = up.Commit(ctx, storage.CommitOptions{IfNoneMatch: true})
	}
	if errors.Is(err, fs.ErrExist) {
		// Somebody else was faster, and the lock holds all the same. Or the file was there all the time, and the
		// user may not know: then it takes what a lock of a file that they see takes.
		if !q.may(q.name, storage.PermOverwrite) {
			return fs.ErrPermission
		}
		return nil
	}
	return as(err, http.StatusConflict, "the folder does not exist", fs.ErrNotExist, storage.ErrNotDir)
}

// refreshLock serves a LOCK without a body (RFC 4918 section 9.10.2).
func (q *request) refreshLock(ctx context.Context, timeout time.Duration) error {
	if len(q.tokens) != 1 {
		return refuse(http.StatusBadRequest, "LOCK without a body needs an If header with one lock token")
	}
	if _, err := q.coveringLock(ctx, q.tokens[0], http.StatusPreconditionFailed); err != nil {
		return err
	}
	l, err := q.h.locks.RefreshLock(ctx, q.tokens[0], timeout)
	if err != nil {
		return as(err, http.StatusPreconditionFailed, "there is no such lock", state.ErrNotFound)
	}
	return q.writeLock(http.StatusOK, l)
}

// unlock serves UNLOCK (RFC 4918 section 9.11).
func (q *request) unlock(ctx context.Context) error {
	header := strings.TrimSpace(q.Header.Get("Lock-Token"))
	token := strings.TrimSuffix(strings.TrimPrefix(header, "<"), ">")
	if token == "" || header != "<"+token+">" {
		return refuse(http.StatusBadRequest, "UNLOCK needs a Lock-Token header with a token in angle brackets")
	}
	if _, err := q.coveringLock(ctx, token, http.StatusConflict); err != nil {
		return err
	}
	if err := q.h.locks.RemoveLock(ctx, token); err != nil && !errors.Is(err, state.ErrNotFound) {
		return err
	}
	q.w.WriteHeader(http.StatusNoContent)
	return nil
}

// coveringLock returns the lock with this token if it covers the target and
// belongs to the user. Where there is none the status is missing.
func (q *request) coveringLock(ctx context.Context, token string, missing int) (state.Lock, error) {
	locks, err := q.h.locks.LocksCovering(ctx, q.lockKey(q.name))
	if err != nil {
		return state.Lock{}, err
	}
	for _, l := range locks {
		if l.Token != token {
			continue
		}
		if l.User != q.id.User.Name {
			return state.Lock{}, refuse(http.StatusForbidden, "the lock is another user's")
		}
		return l, nil
	}
	return state.Lock{}, &statusError{status: missing, condition: "lock-token-matches-request-uri"}
}

// parseLockInfo reads a lockinfo element (RFC 4918 section 14.11).
func parseLockInfo(root *element) (state.Lock, error) {
	var l state.Lock
	bad := refuse(http.StatusBadRequest, "the lockinfo element is not one")
	if root.xmlName != dav("lockinfo") {
		return l, bad
	}
	scope, kind := root.child(dav("lockscope")), root.child(dav("locktype"))
	if scope == nil || kind == nil || kind.child(dav("write")) == nil {
		return l, bad
	}
	l.Shared = scope.child(dav("shared")) != nil
	if l.Shared == (scope.child(dav("exclusive")) != nil) {
		return l, bad
	}
	if owner := root.child(dav("owner")); owner != nil {
		var b strings.Builder
		writeContent(&b, owner)
		if l.Owner = b.String(); len(l.Owner) > state.MaxLockOwner {
			return l, refuse(http.StatusRequestEntityTooLarge, "the owner element is too large")
		}
	}
	return l, nil
}

// lockTimeout reads the Timeout header (RFC 4918 section 10.7): the first wish
// that is understood, within what is granted.
func lockTimeout(header string) time.Duration {
	for wish := range strings.SplitSeq(header, ",") {
		wish = strings.TrimSpace(wish)
		if len(wish) < 7 || !strings.EqualFold(wish[:7], "second-") {
			continue
		}
		if n, err := strconv.ParseUint(wish[7:], 10, 32); err == nil {
			return min(max(time.Duration(n)*time.Second, minLockTimeout), maxLockTimeout)
		}
	}
	return maxLockTimeout
}

func (q *request) writeLock(status int, l state.Lock) error {
	body := xml.Header + `<D:prop xmlns:D="DAV:"><D:lockdiscovery>` +
		q.activeLock(q.name, l) + "</D:lockdiscovery></D:prop>\n"
	hd := q.w.Header()
	hd.Set("Content-Type", contentTypeXML)
	hd.Set("Content-Length", strconv.Itoa(len(body)))
	q.w.WriteHeader(status)
	_, _ = q.w.Write([]byte(body))
	return nil
}

// activeLock is the activelock element of a lock that covers name. Only the
// user whose lock it is reads the token.
func (q *request) activeLock(name string, l state.Lock) string {
	scope, depth := "exclusive", "0"
	if l.Shared {
		scope = "shared"
	}
	if l.Infinite {
		depth = "infinity"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<D:activelock><D:locktype><D:write/></D:locktype><D:lockscope><D:%s/></D:lockscope><D:depth>%s</D:depth>",
		scope, depth)
	if l.Owner != "" {
		b.WriteString("<D:owner>" + l.Owner + "</D:owner>")
	}
	left := (max(l.Left, 0) + time.Second - 1) / time.Second
	fmt.Fprintf(&b, "<D:timeout>Second-%d</D:timeout>", left)
	if l.User == q.id.User.Name {
		b.WriteString("<D:locktoken><D:href>" + l.Token + "</D:href></D:locktoken>")
	}
	b.WriteString("<D:lockroot><D:href>" + escapeXML(q.lockRoot(name, l)) + "</D:href></D:lockroot></D:activelock>")
	return b.String()
}

// lockRoot is the path at which the user sees the root of a lock that conflicts
// with name or covers it: above it as many levels as the keys are apart.
func (q *request) lockRoot(name string, l state.Lock) string {
	key := q.lockKey(name)
	if storage.Within(l.Root, key) {
		return href(name+l.Root[len(key):], false)
	}
	for range strings.Count(key, "/") - strings.Count(l.Root, "/") {
		name, _ = storage.Split(name)
	}
	return href(name, false)
}
