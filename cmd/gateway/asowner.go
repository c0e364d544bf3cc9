package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// asOwner goes on as the user to whom the data folder belongs, where root runs a command: what
// root made there, the gateway could not read. A unit with DynamicUser= has a user of its own,
// whom sudo does not know, and a folder in which only root can look for it; so the process keeps
// the one capability to enter and read what it may not (CAP_DAC_READ_SEARCH). It returns only if there is nothing to
// do, or with an error.
//
// serve stays as it was started: that is its unit's matter. Others read at most.
func (e *env) asOwner(command string, args []string) error {
	name, _, _ := strings.Cut(command, " ")
	if os.Geteuid() != 0 || slices.Contains([]string{"serve", "complete", "completion", "man", "version"}, name) {
		return nil
	}
	c, err := e.config()
	if err != nil {
		return nil //nolint:nilerr // the command tells
	}
	uid, gid, err := ownerOf(c.Data)
	if err != nil || uid == 0 {
		return err
	}
	self, err := os.Executable()
	if err == nil {
		runtime.LockOSThread() // what is done now is done to this thread, which becomes the process
		if err = become(uid, gid); err == nil {
			err = syscall.Exec(self, append([]string{os.Args[0]}, args...), os.Environ())
		}
	}
	return fmt.Errorf("the data folder %s belongs to the user with id %d, who could not read what root makes in it; to go on as that user failed: %w; run the command as that user", c.Data, uid, err)
}

// ownerOf are the ids of a folder, 0 if it is not there.
func ownerOf(dir string) (uid, gid uint32, err error) {
	info, err := os.Stat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("data folder: %w", err)
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		uid, gid = s.Uid, s.Gid
	}
	return uid, gid, nil
}

// become changes this thread's user and groups, and what it may (capabilities(7)), so that a
// program that it executes has CAP_DAC_READ_SEARCH and nothing else. The package's own functions
// would change all threads, or know no capabilities.
func become(uid, gid uint32) error {
	if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("keep capabilities: %w", err)
	}
	for _, c := range []struct {
		name          string
		trap, a, b, c uintptr
	}{
		{"groups", unix.SYS_SETGROUPS, 1, uintptr(unsafe.Pointer(&gid)), 0},
		{"group", unix.SYS_SETRESGID, uintptr(gid), uintptr(gid), uintptr(gid)},
		{"user", unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)},
	} {
		if _, _, errno := unix.RawSyscall(c.trap, c.a, c.b, c.c); errno != 0 {
			return fmt.Errorf("set the %s: %w", c.name, errno)
		}
	}
	runtime.KeepAlive(&gid)
	const readAll = 1 << unix.CAP_DAC_READ_SEARCH
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: readAll, Permitted: readAll, Inheritable: readAll}}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("set capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, unix.CAP_DAC_READ_SEARCH, 0, 0); err != nil {
		return fmt.Errorf("pass capabilities on: %w", err)
	}
	return nil
}
