package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"gateway/listing"
)

// settle finds out by which dialect the server names things, tells it what that
// needs, and finds the folder of the login and that of the URL.
func (s *Session) settle() error {
	d, sure := detectDialect(s.info.Greeting, s.info.Syst)
	if s.src.Dialect != "" {
		d, sure = dialectNamed(s.src.Dialect)
	}
	reply, home, homeErr, err := s.pwd()
	if err != nil {
		return err
	}
	if !sure {
		d, sure = dialectOfHome(home, reply)
	}
	if !sure && homeErr != nil {
		d, _ = dialectOfHome(s.src.path(), "")
	}
	if asked, err := s.setUp(d, home); err != nil {
		return err
	} else if asked {
		if reply, home, homeErr, err = s.pwd(); err != nil {
			return err
		}
	}
	n, native := d.(nativeDialect)
	switch {
	case native && homeErr != nil:
		if word := nativeWord(n, reply); word != "" {
			home, homeErr = word, nil
		}
	case native:
		home = n.home(home)
	}
	s.dialect = d
	s.info.Dialect, s.info.Home, s.cwd = d.name(), home, home
	return s.findRoot(homeErr)
}

// pwd asks for the current directory. homeErr is why the answer names none.
func (s *Session) pwd() (text, home string, homeErr, err error) {
	r, err := s.ctl.exchange("PWD")
	if err != nil {
		return "", "", nil, err
	}
	if r.code != 257 && r.code != 250 {
		return r.text(), "", r.err("PWD"), nil
	}
	home, homeErr = parsePWD(r.text())
	return r.text(), home, homeErr, nil
}

// nativeWord is the first word of a reply to PWD that is an absolute native path:
// not every server puts it in quotes.
func nativeWord(d dialect, reply string) string {
	for word := range strings.FieldsSeq(reply) {
		if word = strings.TrimRight(word, ".,;"); d.absolute(word) && len(word) <= maxPathLength {
			return word
		}
	}
	return ""
}

// setUp sends what a dialect depends on, and reports whether it may have changed
// the form of paths. A refusal is no error: the listings will tell.
func (s *Session) setUp(d dialect, home string) (changed bool, err error) {
	var commands []string
	switch d.(type) {
	case mvsDialect:
		// Whole data set names instead of one qualifier a level, and a path in
		// quotes counts from the top: both may have been set otherwise.
		commands = []string{"SITE DATASETMODE", "SITE QUOTESOVERRIDE"}
	case os400Dialect:
		commands, changed = []string{"SITE NAMEFMT 1"}, true
	case nonstopDialect:
		// Its two file systems are one at a time (OSS Shell and Utilities
		// Reference Manual, ftpserver).
		unix, path := strings.HasPrefix(home, "/"), s.src.path()
		switch {
		case !unix && strings.HasPrefix(path, "/"):
			commands, changed = []string{"OSS"}, true
		case unix && d.absolute(path) && path[0] != '/':
			commands, changed = []string{"GUARDIAN"}, true
		}
	}
	for _, c := range commands {
		r, err := s.ctl.exchange(c)
		if err != nil {
			return false, err
		}
		if !r.ok() {
			s.src.logger().Warn("the server refused a setting that its paths may depend on; if listings or files cannot be read, set another dialect",
				"source", s.src, "command", c, "reply", quoteReply(r.code, r.text()), "dialect", d.name())
		}
	}
	return changed, nil
}

// findRoot makes the path of the URL absolute. homeErr is why the folder of the
// login is not known.
func (s *Session) findRoot(homeErr error) error {
	path := s.src.path()
	from := s.info.Home
	if s.dialect.absolute(path) {
		from = path
	}
	s.dialect = at(s.dialect, from)
	n, native := s.dialect.(nativeDialect)
	switch {
	case s.dialect.absolute(path) && !native:
		s.root = path
		return nil
	case homeErr != nil && !s.dialect.absolute(path):
		return fmt.Errorf("%w; name the folder by its full path (ftp://host//full/path), or, if the server is not %s, set the dialect (%s)",
			homeErr, s.dialect.name(), strings.Join(Dialects(), ", "))
	case !native:
		s.root = joinPath(s.info.Home, path)
		return nil
	}
	var err error
	if s.root, err = n.root(s.info.Home, path); err != nil {
		return err
	}
	return s.canonicalRoot(n)
}

// canonicalRoot enters the root and takes its name from the server: only it knows
// whether 'A.B' is a prefix or a library, and where a logical name leads to.
// What fails here fails again, with the reason, when the root is listed.
func (s *Session) canonicalRoot(n nativeDialect) error {
	if s.root == s.info.Home {
		return nil
	}
	if _, err := s.sendable(s.root, nil); err != nil {
		return err
	}
	err := s.enter(s.root)
	var refusal *ReplyError
	switch {
	case errors.As(err, &refusal) && !s.Broken():
		return nil
	case err != nil:
		return err
	}
	_, home, homeErr, err := s.pwd()
	if err != nil {
		return err
	}
	if homeErr == nil {
		s.root = n.home(home)
		s.cwd = s.root
	}
	return nil
}

// full makes the path of a file native and checks that a command can carry it.
// Where a dialect has no path for a file, its folder is entered.
func (s *Session) full(path string) (string, error) {
	base, rel, err := s.locate(path)
	if err != nil {
		return "", err
	}
	if _, ok := s.dialect.(cmsDialect); ok && rel != "" {
		folder, err := s.dialect.folder(base, parentPath(rel))
		if err == nil {
			err = s.enter(folder)
		}
		if err != nil {
			return "", err
		}
	}
	return s.sendable(s.dialect.file(base, rel))
}

// fullBeside is full for the new name of from. Where files have no path but in
// their folder, both must be in the same one.
func (s *Session) fullBeside(from, to string) (string, error) {
	if _, ok := s.dialect.(cmsDialect); ok && parentPath(from) != parentPath(to) {
		return "", fmt.Errorf("from another folder: %w", ErrUnsupported)
	}
	return s.full(to)
}

// oneVersion is full for DELE: VMS deletes nothing without a version, and 0 is the
// highest (DCL Dictionary, DELETE).
func (s *Session) oneVersion(full string) string {
	if _, vms := s.dialect.(vmsDialect); !vms || vmsUnescaped(strings.TrimSuffix(full, ";"), ";") >= 0 {
		return full
	}
	return strings.TrimSuffix(full, ";") + ";0"
}

// fullFolder makes the path of a folder native and checks that a command can
// carry it.
func (s *Session) fullFolder(path string) (string, error) {
	base, rel, err := s.locate(path)
	if err != nil {
		return "", err
	}
	return s.sendable(s.dialect.folder(base, rel))
}

// locate splits a path into the native folder that it counts from and the names
// below that.
func (s *Session) locate(path string) (base, rel string, err error) {
	if s.dialect.absolute(path) {
		base, rel = splitAbsolute(s.dialect, path)
		return base, rel, nil
	}
	return s.root, path, nil
}

func (s *Session) sendable(native string, err error) (string, error) {
	switch {
	case err != nil:
		return "", err
	case strings.ContainsAny(native, "\r\n\x00"):
		return "", fmt.Errorf("%w: it has a line break or NUL; rename it on the server", ErrName)
	case len(native) > maxPathLength:
		return "", fmt.Errorf("%w: it is longer than %d bytes", ErrName, maxPathLength)
	}
	return native, nil
}

// parentPath is the path of the folder that path lies in.
func parentPath(path string) string {
	return path[:max(strings.LastIndexByte(path, '/'), 0)]
}

// knowsBytes reports whether the server can tell how many bytes a file has and
// when it was changed: z/OS can for its Unix files only.
func (s *Session) knowsBytes() bool {
	_, mvs := s.dialect.(mvsDialect)
	return !mvs
}

// cannotTell makes the refusal of a native system to tell the size or time of a
// file ErrUnsupported: it has them for some organizations of files only.
func (s *Session) cannotTell(err error) error {
	_, native := s.dialect.(nativeDialect)
	var re *ReplyError
	if !native || !errors.As(err, &re) || re.Code/100 != 5 || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnsupported, err)
}

// emptyFolder reports whether a refusal to list the current directory means that
// nothing is in it: it was entered, so it is there.
func (s *Session) emptyFolder(r *ReplyError) bool {
	switch s.dialect.(type) {
	case nativeDialect, os400Dialect:
		return errors.Is(r, fs.ErrNotExist)
	}
	return false
}

// withAdvice adds to a refusal what a listing made likely: that the server is
// of another kind than it was taken for.
func (s *Session) withAdvice(err error) error {
	var re *ReplyError
	if s.foreign == "" || !errors.As(err, &re) || re.Code/100 != 5 {
		return err
	}
	return fmt.Errorf("%w; its listings look like %s: if it names files in another way than %s, set the dialect (%s)",
		err, s.foreign, s.dialect.name(), strings.Join(Dialects(), ", "))
}

// systForListing is what helps to read a listing: on z/OS, SYST may speak of its
// Unix side.
func (s *Session) systForListing() string {
	if _, mvs := s.dialect.(mvsDialect); mvs {
		return "MVS"
	}
	return s.info.Syst
}

// isDatabaseFile reports whether a folder that could not be entered is a database
// file of IBM i, whose members its library lists too.
func (s *Session) isDatabaseFile(full string, err error) bool {
	var re *ReplyError
	_, os400 := s.dialect.(os400Dialect)
	_, file := databaseFile(full)
	return os400 && file && errors.As(err, &re) && !s.Broken()
}

// listMembers finds the members of a database file in the listing of its library.
func (s *Session) listMembers(ctx context.Context, full string) (listing.Result, error) {
	if err := s.enter(parentPath(full)); err != nil {
		return listing.Result{}, err
	}
	return s.listHere(ctx)
}
