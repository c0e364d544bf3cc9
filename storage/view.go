package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
)

// Permission is a set of rights on a mount.
type Permission uint16

// The rights. Every verb of every front end needs one of them.
const (
	PermList      Permission = 1 << iota // see names and attributes
	PermRead                             // read files
	PermCreate                           // upload under a new name
	PermOverwrite                        // replace a file, or write into one
	PermMkdir                            // make directories
	PermRename                           // move and rename
	PermDelete                           // remove files and directories
	PermSetTime                          // set modification times

	PermReadOnly  = PermList | PermRead
	PermReadWrite = PermReadOnly | PermCreate | PermOverwrite | PermMkdir | PermRename | PermDelete | PermSetTime
	// PermDropBox lets people leave files without seeing what others left.
	PermDropBox = PermCreate | PermMkdir | PermSetTime
)

// writes reports whether the permissions let anything be uploaded.
func (p Permission) writes() bool { return p&(PermCreate|PermOverwrite) != 0 }

// sees reports whether they let names be learned: by listing, or by opening.
func (p Permission) sees() bool { return p&(PermList|PermRead) != 0 }

// Mount puts a folder of a tree into a user's view.
type Mount struct {
	Path        string // where the user sees it; "" is the root of the view
	FS          FS
	Root        string // folder inside FS, "" for all of it
	Permissions Permission
	// Key names the backend in what a Guard is told: no two backends may have one, and one backend
	// has one for all users and nodes.
	Key string
	// Uncounted leaves the files out of the quota, for a backend whose files are kept
	// elsewhere and cannot be walked for each upload. Uploads on their way do count.
	Uncounted bool
}

// DefaultMaxSuspended is ViewOptions.MaxSuspended where none is set.
const DefaultMaxSuspended = 100

// ViewOptions say whose view it is and what bounds it.
type ViewOptions struct {
	User  string
	Quota *Quota // shared by all views of the user; nil: none
	Guard Guard  // of locks and properties; nil: there are none
	// MaxSuspended is how many interrupted uploads are kept for the user on each
	// mount; one more, and the oldest is discarded. 0 means DefaultMaxSuspended.
	MaxSuspended int
}

// View is what one user sees: mounts, each with its permissions. It is the only
// place where access is decided; every verb of every front end goes through one.
//
//	verb                 needs
//	Stat                 nothing for directories; List or Read for files, or to have
//	                     uploaded the file through this view
//	List                 List
//	Open                 Read
//	Create, Copy to      Create under a new name, Overwrite in place of a file
//	Create with Edit     Overwrite and Read
//	Mkdir                Mkdir
//	Remove, RemoveAll    Delete
//	Rename               Rename, and Overwrite in place of a file
//	SetModTime           SetTime, and to be allowed to Stat
//	Resume, Suspended,   to be the user who uploaded
//	Discard
//
// What is denied is fs.ErrPermission, except Stat and SetModTime of a file whose name the
// user may not learn: that is fs.ErrNotExist, whether or not it is there, so that
// clients that look before they upload can use a drop box and nobody can probe it.
// Whether an upload creates or overwrites is decided by the backend in the step
// that publishes it.
//
// What another client has locked is ErrLocked, for every verb that changes it; an upload is refused when
// it begins and when it is published, and a lock that comes in between counts. Properties go where
// their file or folder goes.
//
// Mounts may be nested. A mount point is a directory that hides what its parent
// has at that name and below, and that can be neither removed nor moved nor replaced;
// the same holds for the directories above it, which exist even where no backend has
// them. Nothing is renamed from one mount to another (ErrCrossMount).
// On a backend that does not tell case, a mount point hides all spellings of its name.
// Two mounts of one folder under different permissions are two doors to one
// room: the view decides at each door.
//
// Names go through [CleanName] once more. A View implements [Resumer], [Copier],
// [TreeRemover] and [SpaceReporter]; where the mounted backend does not, the
// methods fail with errors.ErrUnsupported, and the functions of this package fall back.
type View struct {
	user         string
	quota        *Quota
	guard        Guard
	maxSuspended int
	mounts       []*mount
	root         *node
	own          recent
}

var (
	_ Resumer       = (*View)(nil)
	_ Copier        = (*View)(nil)
	_ TreeRemover   = (*View)(nil)
	_ SpaceReporter = (*View)(nil)
)

type mount struct {
	Mount
	fold bool // the backend does not tell case
}

// node is a mount point, a directory above one, or the root.
type node struct {
	mount    *mount // nil above mount points
	children map[string]*node
}

// NewView composes mounts. It fails on a path that is not clean or taken twice,
// and on a mount without a backend. It does no I/O: the folders need not exist yet.
func NewView(mounts []Mount, o ViewOptions) (*View, error) {
	v := &View{user: o.User, quota: o.Quota, guard: o.Guard, maxSuspended: o.MaxSuspended, root: &node{}}
	if v.maxSuspended <= 0 {
		v.maxSuspended = DefaultMaxSuspended
	}
	for _, m := range mounts {
		if err := v.add(m); err != nil {
			return nil, fmt.Errorf("storage: mount %q of user %q: %w", m.Path, o.User, err)
		}
	}
	return v, nil
}

func (v *View) add(m Mount) (err error) {
	if m.FS == nil {
		return errors.New("there is no backend")
	}
	if m.Path, err = CleanName(m.Path); err != nil {
		return err
	}
	if m.Root, err = CleanName(m.Root); err != nil {
		return err
	}
	n := v.root
	for element := range elements(m.Path) {
		child := n.children[element]
		if child == nil {
			child = &node{}
			if n.children == nil {
				n.children = make(map[string]*node)
			}
			n.children[element] = child
		}
		n = child
	}
	if n.mount != nil {
		return fs.ErrExist
	}
	n.mount = &mount{Mount: m, fold: !m.FS.Properties().CaseSensitive}
	v.mounts = append(v.mounts, n.mount)
	return nil
}

func elements(name string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for name != "" {
			element, rest, _ := strings.Cut(name, "/")
			if !yield(element) {
				return
			}
			name = rest
		}
	}
}

// spot is where a name of the view lies.
type spot struct {
	name  string
	mount *mount // nil: in no mount
	inner string // the name inside mount.FS
	node  *node  // nil unless this is a mount point, above one, or the root
}

// fixed reports whether the view itself needs the name to be a directory.
func (s spot) fixed() bool { return s.node != nil }

func (s spot) may(p Permission) bool { return s.mount != nil && s.mount.Permissions&p == p }

func (s spot) sees() bool { return s.mount != nil && s.mount.Permissions.sees() }

// find places a name as a protocol sent it.
func (v *View) find(name string) (spot, error) {
	clean, err := CleanName(name)
	if err != nil {
		return spot{}, err
	}
	s := spot{name: clean, mount: v.root.mount, node: v.root}
	if s.mount != nil {
		s.inner = s.mount.Root
	}
	for element := range elements(clean) {
		s.inner = Join(s.inner, element)
		if s.node == nil {
			continue
		}
		s.node = s.node.child(element, s.mount != nil && s.mount.fold)
		if s.node != nil && s.node.mount != nil {
			s.mount, s.inner = s.node.mount, s.node.mount.Root
		}
	}
	return s, nil
}

func (n *node) child(element string, fold bool) *node {
	if c := n.children[element]; c != nil || !fold {
		return c
	}
	for name, c := range n.children {
		if strings.EqualFold(name, element) {
			return c
		}
	}
	return nil
}

// outer is the name in the view of inner in m; false where it is not to be seen:
// outside the mounted folder, or hidden by another mount.
func (v *View) outer(m *mount, inner string) (string, bool) {
	if !Within(inner, m.Root) {
		return "", false
	}
	name := Join(m.Path, strings.TrimPrefix(strings.TrimPrefix(inner, m.Root), "/"))
	s, err := v.find(name)
	return name, err == nil && s.mount == m && s.inner == inner
}

// absent is the error for a name that lies in no mount: where the view itself has the
// directory above, nothing can be put there; else there is nothing.
func (v *View) absent(s spot) error {
	parent, _ := Split(s.name)
	if p, err := v.find(parent); err == nil && p.fixed() {
		return fs.ErrPermission
	}
	return fs.ErrNotExist
}

// Properties implements FS: what holds on every mount.
func (v *View) Properties() Properties {
	all := Properties{CaseSensitive: true, TrueDirectories: true, AtomicRename: true, ModTimes: true, Resume: true}
	for _, m := range v.mounts {
		p := m.FS.Properties()
		all.CaseSensitive = all.CaseSensitive && p.CaseSensitive
		all.TrueDirectories = all.TrueDirectories && p.TrueDirectories
		all.AtomicRename = all.AtomicRename && p.AtomicRename
		all.ModTimes = all.ModTimes && p.ModTimes
		all.Resume = all.Resume && p.Resume
	}
	return all
}

// Permissions tells what the user may do at name, for front ends that show it.
// It is 0 where there is no mount.
func (v *View) Permissions(name string) Permission {
	s, err := v.find(name)
	if err != nil || s.mount == nil {
		return 0
	}
	return s.mount.Permissions
}

// User is whose view it is.
func (v *View) User() string { return v.user }

// maxRecent bounds how many of its uploads a view remembers.
const maxRecent = 1000

// recent is the names that were last uploaded through a view: somebody who may not
// see a folder may still see what they just put there.
type recent struct {
	mu    sync.Mutex
	names []string
}

func (r *recent) add(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slices.Contains(r.names, name) {
		return
	}
	if len(r.names) == maxRecent {
		r.names = slices.Delete(r.names, 0, 1)
	}
	r.names = append(r.names, name)
}

func (r *recent) remove(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.names = slices.DeleteFunc(r.names, func(n string) bool { return Within(n, name) })
}

func (r *recent) has(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.names, name)
}
