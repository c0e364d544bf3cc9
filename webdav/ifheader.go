package webdav

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"strings"

	"gateway/storage"
)

// maxConditions bounds the conditions of one If header.
const maxConditions = 64

// ifList is one list of an If header: it holds if all its conditions do.
type ifList struct {
	resource string // URI of a tagged list; "" means that of the request
	conds    []ifCondition
}

// ifCondition has either a state token or an entity tag, the latter as it was
// written, with its quotes.
type ifCondition struct {
	not         bool
	token, etag string
}

var errIf = &statusError{status: http.StatusBadRequest, text: "the If header is malformed"}

// parseIf parses an If header (RFC 4918 section 10.4.2).
func parseIf(s string) ([]ifList, error) {
	var (
		lists    []ifList
		resource string
		total    int
		tagged   = strings.HasPrefix(strings.TrimLeft(s, " \t"), "<")
		pending  = false // a tag that has no list yet
	)
	for {
		s = strings.TrimLeft(s, " \t")
		if s == "" {
			break
		}
		if tagged && s[0] == '<' && !pending {
			uri, rest, ok := strings.Cut(s[1:], ">")
			if !ok || uri == "" {
				return nil, errIf
			}
			resource, s, pending = uri, rest, true
			continue
		}
		conds, rest, err := parseIfList(s)
		if err != nil {
			return nil, err
		}
		if total += len(conds); total > maxConditions {
			return nil, errIf
		}
		lists = append(lists, ifList{resource, conds})
		s, pending = rest, false
	}
	if len(lists) == 0 || pending {
		return nil, errIf
	}
	return lists, nil
}

// parseIfList parses one parenthesised list at the start of s.
func parseIfList(s string) (conds []ifCondition, rest string, err error) {
	s, ok := strings.CutPrefix(s, "(")
	if !ok {
		return nil, "", errIf
	}
	for {
		s = strings.TrimLeft(s, " \t")
		if strings.HasPrefix(s, ")") && len(conds) > 0 {
			return conds, s[1:], nil
		}
		var c ifCondition
		if len(s) >= 3 && strings.EqualFold(s[:3], "not") {
			c.not, s = true, strings.TrimLeft(s[3:], " \t")
		}
		switch {
		case strings.HasPrefix(s, "<"):
			c.token, s, ok = strings.Cut(s[1:], ">")
		case strings.HasPrefix(s, "["):
			c.etag, s, ok = strings.Cut(s[1:], "]")
		default:
			return nil, "", errIf
		}
		if !ok || c.token == "" && c.etag == "" || len(conds) >= maxConditions {
			return nil, "", errIf
		}
		conds = append(conds, c)
	}
}

// checkIf evaluates the If header: 412 unless one of its lists holds. Each list
// is judged by the state of the resource it names. All tokens count as submitted
// then; whether they open what the method is about to change is another question,
// which confirm answers from the locks themselves.
func (q *request) checkIf(ctx context.Context) error {
	values := q.Header.Values("If")
	if len(values) == 0 {
		return nil
	}
	if len(values) > 1 {
		return errIf
	}
	lists, err := parseIf(values[0])
	if err != nil {
		return err
	}
	held := false
	for _, l := range lists {
		for _, c := range l.conds {
			if c.token != "" {
				q.tokens = append(q.tokens, c.token)
			}
		}
		if held {
			continue
		}
		if held, err = q.holds(ctx, l); err != nil {
			return err
		}
	}
	// LOCK refreshes by a token of this header and answers itself.
	if !held {
		return refuse(http.StatusPreconditionFailed, "the If header does not hold")
	}
	return nil
}

// holds evaluates one list against the resource it names. On another server
// there is nothing that could match.
func (q *request) holds(ctx context.Context, l ifList) (bool, error) {
	name, local := q.name, true
	if l.resource != "" {
		var err error
		if name, local, err = q.resolve(l.resource); err != nil {
			return false, err
		}
	}
	var (
		tokens []string
		etag   string
	)
	if local {
		locks, err := q.h.locks.LocksCovering(ctx, q.lockKey(name))
		if err != nil {
			return false, err
		}
		for _, k := range locks {
			tokens = append(tokens, k.Token)
		}
		info, err := q.fs.Stat(ctx, name)
		if err != nil && !absent(err) {
			return false, err
		}
		if err == nil && info.ETag != "" {
			etag = quoteETag(info)
		}
	}
	for _, c := range l.conds {
		match := c.token != "" && slices.Contains(tokens, c.token) ||
			c.etag != "" && c.etag == etag
		if match == c.not {
			return false, nil
		}
	}
	return true, nil
}

// absent reports whether an error says that there is nothing at a name.
func absent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, storage.ErrNotDir)
}

func quoteETag(i storage.Info) string { return `"` + i.ETag + `"` }
