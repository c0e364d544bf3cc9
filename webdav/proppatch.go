package webdav

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strconv"
	"time"

	"gateway/state"
	"gateway/storage"
)

// patch is one instruction of a propertyupdate element.
type patch struct {
	*element // the property
	remove   bool

	status    int // what has become of it; 0: nothing yet
	condition string
}

// parsePatches reads a propertyupdate element (RFC 4918 section 14.19), in order.
func parsePatches(root *element) ([]patch, error) {
	bad := refuse(http.StatusBadRequest, "the propertyupdate element is not one")
	if root == nil || root.xmlName != dav("propertyupdate") {
		return nil, bad
	}
	var patches []patch
	for _, instruction := range root.children() {
		remove := instruction.xmlName == dav("remove")
		if !remove && instruction.xmlName != dav("set") {
			continue
		}
		prop := instruction.child(dav("prop"))
		if prop == nil {
			return nil, bad
		}
		for _, c := range prop.children() {
			// The language of what a property says is part of it (RFC 4918 section 4.3).
			c.inheritLang(prop, instruction, root)
			patches = append(patches, patch{element: c, remove: remove})
			if len(patches) > maxProperties {
				return nil, refuse(http.StatusBadRequest, "too many properties are changed")
			}
		}
	}
	if len(patches) == 0 {
		return nil, bad
	}
	return patches, nil
}

// modTime is the time that the instruction sets; ok is false where it is none that can be kept.
func (p patch) modTime() (t time.Time, ok bool) {
	t, err := http.ParseTime(p.text())
	if p.xmlName == dav("lastmodified") {
		var n int64
		n, err = strconv.ParseInt(p.text(), 10, 64)
		t = time.Unix(n, 0)
	}
	return t, err == nil && storage.ValidModTime(t)
}

// proppatch serves PROPPATCH (RFC 4918 section 9.2): all instructions or none.
func (q *request) proppatch(ctx context.Context) error {
	root, err := q.body()
	if err != nil {
		return err
	}
	patches, err := parsePatches(root)
	if err != nil {
		return err
	}
	info, err := q.fs.Stat(ctx, q.name)
	if err != nil {
		return as(err, http.StatusNotFound, "there is nothing here", storage.ErrNotDir)
	}
	if err := q.confirm(ctx, effect{name: q.name}); err != nil {
		return err
	}
	change := q.judge(patches)
	failed := false
	for _, p := range patches {
		failed = failed || p.status != 0
	}
	done := http.StatusFailedDependency
	if !failed {
		if done, err = q.patch(ctx, info, patches, change); err != nil {
			return err
		}
	}
	for i := range patches {
		if patches[i].status == 0 {
			patches[i].status = done
		}
	}
	return q.writePatched(info, patches)
}

// propertyChange is what instructions come to.
type propertyChange struct {
	modTime time.Time // zero: none
	dead    []state.PropertyChange
}

// judge gives instructions that cannot be carried out their status.
func (q *request) judge(patches []patch) (change propertyChange) {
	allowed := q.may(q.name, storage.PermSetTime)
	for i := range patches {
		p := &patches[i]
		dead := mayBeDead(p.xmlName) && q.h.cfg.Properties != nil
		switch {
		case !allowed:
			p.status = http.StatusForbidden
		case dead:
			d := p.dead()
			if d.Valid() != nil {
				p.status = http.StatusInsufficientStorage
			}
			change.dead = append(change.dead, d)
		case !isModTime(p.xmlName) || p.remove:
			p.status, p.condition = http.StatusForbidden, "cannot-modify-protected-property"
		default:
			t, ok := p.modTime()
			if !ok {
				p.status = http.StatusConflict
			}
			change.modTime = t
		}
	}
	return change
}

// patch carries the change out, and returns the status of what it did. Where only a part of it is
// to blame, that has its status and the rest of the instructions is to have the one returned. The
// time can be set back, so it goes first.
func (q *request) patch(ctx context.Context, info storage.Info, patches []patch, change propertyChange) (int, error) {
	if !change.modTime.IsZero() {
		if err := q.fs.SetModTime(ctx, q.name, change.modTime); err != nil {
			status, _ := statusOf(err)
			if errors.Is(err, storage.ErrLocked) || status >= http.StatusInternalServerError {
				return 0, err
			}
			blame(patches, status, func(p patch) bool { return isModTime(p.xmlName) })
			return http.StatusFailedDependency, nil
		}
	}
	if len(change.dead) == 0 {
		return http.StatusOK, nil
	}
	err := q.h.cfg.Properties.PatchProperties(ctx, q.lockKey(q.name), q.id.User.Name, change.dead...)
	if err == nil {
		return http.StatusOK, nil
	}
	if !change.modTime.IsZero() {
		undo := q.fs.SetModTime(context.WithoutCancel(ctx), q.name, info.ModTime)
		if undo != nil && !errors.Is(undo, fs.ErrNotExist) {
			q.h.log.Error("webdav: could not set a time back", "name", q.name, "err", undo)
		}
	}
	if !errors.Is(err, state.ErrLimit) {
		return 0, err
	}
	blame(patches, http.StatusInsufficientStorage, func(p patch) bool { return mayBeDead(p.xmlName) && !p.remove })
	return http.StatusFailedDependency, nil
}

func blame(patches []patch, status int, is func(patch) bool) {
	for i, p := range patches {
		if is(p) {
			patches[i].status = status
		}
	}
}

func (q *request) writePatched(info storage.Info, patches []patch) error {
	m := q.multistatus()
	m.open(href(q.name, info.IsDir()))
	for _, p := range patches {
		open, _ := p.tags()
		m.propstat(p.status, []byte("<"+open+"/>"), p.condition)
	}
	if err := m.shut(); err != nil {
		return err
	}
	return m.close()
}
