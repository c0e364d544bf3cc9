package webdav

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"time"

	"gateway/storage"
)

// patch is one instruction of a propertyupdate element.
type patch struct {
	name   xmlName
	value  string
	remove bool
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
			patches = append(patches, patch{c.xmlName, c.text(), remove})
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

// modTime is the time that the instruction sets; ok is false where it is
// something that cannot be done.
func (p patch) modTime() (t time.Time, ok bool) {
	if p.remove || p.name != dav("getlastmodified") && p.name != (xmlName{microsoft, "Win32LastModifiedTime"}) {
		return time.Time{}, false
	}
	t, err := http.ParseTime(p.value)
	return t, err == nil && storage.ValidModTime(t)
}

// proppatch serves PROPPATCH (RFC 4918 section 9.2): all instructions or none.
// The modification time is the only property that a client can set.
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
	var (
		mtime    time.Time
		statuses = make([]int, len(patches))
		failed   bool
	)
	for i, p := range patches {
		t, ok := p.modTime()
		if !ok {
			statuses[i], failed = http.StatusForbidden, true
			continue
		}
		mtime = t
	}
	done := http.StatusOK
	if failed {
		done = http.StatusFailedDependency
	} else if err := q.fs.SetModTime(ctx, q.name, mtime); err != nil {
		if errors.Is(err, storage.ErrLocked) {
			return err
		}
		if done, _ = statusOf(err); done >= http.StatusInternalServerError {
			return err
		}
	}
	for i := range statuses {
		if statuses[i] == 0 {
			statuses[i] = done
		}
	}
	return q.writePatched(info, patches, statuses)
}

func (q *request) writePatched(info storage.Info, patches []patch, statuses []int) error {
	m := q.multistatus()
	m.open(href(q.name, info.IsDir()))
	for i, p := range patches {
		var b bytes.Buffer
		open, _ := p.name.tags()
		b.WriteString("<" + open + "/>")
		condition := ""
		if statuses[i] == http.StatusForbidden {
			condition = "cannot-modify-protected-property"
		}
		m.propstat(statuses[i], b.Bytes(), condition)
	}
	if err := m.shut(); err != nil {
		return err
	}
	return m.close()
}
