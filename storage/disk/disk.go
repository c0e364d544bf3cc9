// Package disk is the storage backend for a folder of the local disk.
//
// # What it promises
//
// Nothing outside the folder can be named, read, changed or seen: every path goes
// through [os.Root]. An upload is staged in a reserved folder of the same file system,
// synced, moved into place in one step, and the directory is synced too; what was
// acknowledged survives SIGKILL and the loss of power, what was not is
// swept. A process killed anywhere leaves the old file or the new one.
//
// Where an upload is published with a digest, no other process can change the staged
// bytes between the check and the publish: see the type seal for how, and for the file
// systems on which less holds.
//
// # What is seen
//
// Regular files and directories. A symbolic link that stays inside the folder
// is followed and shown as what it leads to; an upload to it replaces that target,
// Remove and Rename act on the link. What is not shown does not exist for reading, and
// refuses with fs.ErrPermission to be replaced, moved or removed alone: links that leave
// the folder (an absolute link always does), dangling links, devices, sockets and pipes.
// Entries whose names no client could send (see storage.CleanName) are not listed.
//
// # What it does not do
//
// It follows no move of the folder's parents and takes the folder's other writers, if
// any, as they come: only what goes through this package is replaced atomically.
// A folder on another file system below the root cannot be written to (its files could not be
// moved there in one step): storage.ErrCrossMount. Mount it by itself.
// It needs Linux.
package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gateway/storage"
	"gateway/storage/internal/keylock"
)

// Defaults of Options.
const (
	DefaultFileMode = 0o640
	DefaultDirMode  = 0o750
	DefaultKeep     = 30 * 24 * time.Hour
)

// Options say how a folder is kept. The zero value is good.
type Options struct {
	// FileMode and DirMode are the permission bits of new files and directories,
	// whatever the umask; 0 means DefaultFileMode and DefaultDirMode.
	FileMode, DirMode fs.FileMode
	// Keep is for how long an upload that was checkpointed, and neither finished
	// nor suspended with a time of its own, can be resumed; 0 means DefaultKeep.
	Keep time.Duration
	// Case says whether names that differ only in case are different files.
	Case Case

	step        func(string) // told each step of a change, by tests
	noRenameat2 bool         // take the way for file systems without it
	noLease     bool         // and without leases
	noOpenat2   bool         // and on kernels without that call
}

// Case is the case sensitivity of a folder.
type Case int

// ProbeCase looks at the root once, when it is opened; the others declare it.
const (
	ProbeCase Case = iota
	CaseSensitive
	CaseInsensitive
)

// Disk is a folder. It implements storage.FS, storage.Resumer, storage.Copier,
// storage.TreeRemover and storage.SpaceReporter.
type Disk struct {
	o           Options
	root        *os.Root
	top         *os.File // the same as an open file
	staging     *os.Root
	stagingDir  *os.File // the same as an open file, for renaming and syncing
	lockFile    *os.File
	device      uint64
	insensitive bool
	escapes     error // what os.Root says when a path leaves it
	names       keylock.Locks[int64]
	syncs       syncer
}

var (
	_ storage.Resumer       = (*Disk)(nil)
	_ storage.Copier        = (*Disk)(nil)
	_ storage.TreeRemover   = (*Disk)(nil)
	_ storage.SpaceReporter = (*Disk)(nil)
)

// Open opens the folder dir, which must exist, and sweeps what crashed processes
// left in its staging folder. Several processes may have one folder open.
// Its errors name the path on the machine: they are for the operator.
func Open(dir string, o Options) (*Disk, error) {
	if o.FileMode == 0 {
		o.FileMode = DefaultFileMode
	}
	if o.DirMode == 0 {
		o.DirMode = DefaultDirMode
	}
	if o.Keep == 0 {
		o.Keep = DefaultKeep
	}
	if o.step == nil {
		o.step = func(string) {}
	}
	d := &Disk{o: o}
	if err := d.open(dir); err != nil {
		_ = d.Close() // what failed is reported
		return nil, fmt.Errorf("storage/disk: open %s: %w", filepath.Clean(dir), err)
	}
	// What cannot be removed now is tried again, and reported, by the next Sweep.
	_ = d.Sweep(context.Background())
	return d, nil
}

func (d *Disk) open(dir string) error {
	var err error
	if d.root, err = os.OpenRoot(dir); err != nil {
		return err
	}
	if d.top, err = d.root.Open("."); err != nil {
		return err
	}
	_, d.escapes = d.root.Lstat("..")
	d.escapes = cause(d.escapes)
	info, err := d.root.Stat(".")
	if err != nil {
		return err
	}
	d.device = inode(info).device
	if err := d.openStaging(); err != nil {
		return fmt.Errorf("staging folder %s: %w", storage.StagingName, err)
	}
	d.insensitive = d.o.Case == CaseInsensitive || d.o.Case == ProbeCase && d.foldsCase()
	return nil
}

// Close closes the folder. Uploads that are open can only be resumed or swept
// after that.
func (d *Disk) Close() error {
	var errs []error
	if d.root != nil {
		errs = append(errs, d.root.Close())
	}
	if d.staging != nil {
		errs = append(errs, d.staging.Close())
	}
	for _, f := range []*os.File{d.top, d.stagingDir, d.lockFile} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// Properties implements storage.FS.
func (d *Disk) Properties() storage.Properties {
	return storage.Properties{
		CaseSensitive:   !d.insensitive,
		TrueDirectories: true,
		AtomicRename:    true,
		ModTimes:        true,
		Resume:          true,
	}
}

// path is a name as os.Root takes it. Names are clean when they come; what
// is not is refused here once more, since the cost is small and the prize is staging.
func (d *Disk) path(name string) (string, error) {
	if name == "" {
		return ".", nil
	}
	if clean, err := storage.CleanName(name); err != nil || clean != name {
		return "", storage.ErrName
	}
	return name, nil
}

// entry is what is at a name: what is shown, and whether it was reached by a link.
type entry struct {
	fs.FileInfo
	link bool
}

// errHidden says that something is there which is not shown.
var errHidden = fmt.Errorf("a special file, or a link that leads nowhere or out of the tree, is in the way: %w", fs.ErrPermission)

// look describes what is at path: fs.ErrNotExist, or errHidden.
func (d *Disk) look(path string) (entry, error) {
	info, err := d.lstat(path)
	if err != nil {
		return entry{}, err
	}
	return d.show(info, path)
}

// show finds what info, an Lstat of path, is shown as.
func (d *Disk) show(info fs.FileInfo, path string) (entry, error) {
	e := entry{info, false}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := d.root.Stat(path)
		if err != nil {
			if d.isNothing(err) {
				err = errHidden
			}
			return entry{}, err
		}
		e = entry{target, true}
	}
	if !e.IsDir() && !e.Mode().IsRegular() {
		return entry{}, errHidden
	}
	return e, nil
}

// isNothing reports whether err says that a path leads to nothing that is shown.
func (d *Disk) isNothing(err error) bool {
	err = cause(err)
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errHidden) || errors.Is(err, d.escapes) ||
		errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// Stat implements storage.FS.
func (d *Disk) Stat(ctx context.Context, name string) (storage.Info, error) {
	path, err := d.reading(ctx, name)
	if err != nil {
		return storage.Info{}, d.fail("stat", name, err)
	}
	e, err := d.look(path)
	if err != nil {
		return storage.Info{}, d.failReading("stat", name, err)
	}
	return describe(name, e), nil
}

func (d *Disk) reading(ctx context.Context, name string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	return d.path(name)
}

// Open implements storage.FS. The file is looked at before it is opened: to
// open a device or a pipe can have effects of its own.
func (d *Disk) Open(ctx context.Context, name string) (storage.File, error) {
	path, err := d.reading(ctx, name)
	if err != nil {
		return nil, d.fail("open", name, err)
	}
	e, err := d.look(path)
	if err != nil {
		return nil, d.failReading("open", name, err)
	}
	if e.IsDir() {
		return nil, d.fail("open", name, storage.ErrIsDir)
	}
	f, stat, err := d.openFile(path)
	if err == nil && !stat.Mode().IsRegular() { // replaced since we looked
		_ = f.Close()
		err = errHidden
	}
	if err != nil {
		return nil, d.failReading("open", name, err)
	}
	f.info = describe(name, entry{stat, e.link})
	return f, nil
}
