package webdav

import (
	"context"
	"net/http"
	"slices"

	"gateway/storage"
)

const (
	maxProperties = 100    // that one request may name
	maxInfinity   = 10_000 // resources that a PROPFIND with Depth infinity may find
)

// query says which properties are wanted (RFC 4918 section 14.20).
type query struct {
	namesOnly bool
	all       bool
	names     []xmlName // asked for by name; with all, besides
}

// parseQuery reads a propfind element; nil means everything.
func parseQuery(root *element) (query, error) {
	if root == nil {
		return query{all: true}, nil
	}
	bad := refuse(http.StatusBadRequest, "the propfind element is not one")
	if root.xmlName != dav("propfind") {
		return query{}, bad
	}
	prop, include := root.child(dav("prop")), root.child(dav("include"))
	q := query{
		all:       root.child(dav("allprop")) != nil,
		namesOnly: root.child(dav("propname")) != nil,
	}
	kinds := 0
	for _, is := range []bool{q.all, q.namesOnly, prop != nil} {
		if is {
			kinds++
		}
	}
	if kinds != 1 || include != nil && !q.all {
		return query{}, bad
	}
	for _, list := range []*element{prop, include} {
		if list == nil {
			continue
		}
		for _, c := range list.children() {
			if !slices.Contains(q.names, c.xmlName) {
				q.names = append(q.names, c.xmlName)
			}
			if len(q.names) > maxProperties {
				return query{}, refuse(http.StatusBadRequest, "too many properties are asked for")
			}
		}
	}
	return q, nil
}

// propfind serves PROPFIND (RFC 4918 section 9.1). The answer is streamed from
// the listing; no file is opened.
func (q *request) propfind(ctx context.Context) error {
	depth, err := q.depth(depthInfinity)
	if err != nil {
		return err
	}
	root, err := q.body()
	if err != nil {
		return err
	}
	want, err := parseQuery(root)
	if err != nil {
		return err
	}
	info, err := q.fs.Stat(ctx, q.name)
	if err != nil {
		return as(err, http.StatusNotFound, "there is nothing here", storage.ErrNotDir)
	}
	p, err := q.newProperties(ctx, want)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		depth = depthZero
	}
	if depth == depthInfinity {
		return q.propfindInfinity(ctx, p)
	}
	m := q.multistatus()
	if err := p.add(m, q.name, info); err != nil || depth == depthZero {
		return firstError(err, func() error { return p.close(m) })
	}
	for info, err := range q.fs.List(ctx, q.name) {
		if err != nil {
			return err
		}
		if err := p.add(m, storage.Join(q.name, info.Name), info); err != nil {
			return err
		}
	}
	return p.close(m)
}

// propfindInfinity collects before it answers, since the refusal of a large tree
// is a status of its own (RFC 4918 section 9.1, propfind-finite-depth).
func (q *request) propfindInfinity(ctx context.Context, p *properties) error {
	var found []storage.Entry
	for e, err := range storage.Walk(ctx, q.fs, q.name) {
		if err != nil {
			return err
		}
		if len(found) == maxInfinity {
			return &statusError{status: http.StatusForbidden, condition: "propfind-finite-depth"}
		}
		found = append(found, e)
	}
	m := q.multistatus()
	for _, e := range found {
		if err := p.add(m, e.Name, e.Info); err != nil {
			return err
		}
	}
	return p.close(m)
}

func firstError(err error, next func() error) error {
	if err != nil {
		return err
	}
	return next()
}
