package ftpbridge

import (
	"bytes"
	"errors"
	"strconv"
	"strings"

	"gateway/listing"
)

// ErrLeftOut is for a [SkippedError] about something that is not meant to be
// moved, such as an older version of a file: nothing is wrong with it.
var ErrLeftOut = errors.New("left out")

// leftOut begins the reasons of what ErrLeftOut is for.
const leftOut = "left out: "

// sifts reports whether sift does anything with listings of a format, on a server
// that seems to be Unix or Windows.
func (s *Session) sifts(f listing.Format) bool {
	switch f {
	case listing.MSDOS:
		_, unix := s.dialect.(unixDialect)
		return unix && s.src.Dialect == ""
	case listing.VMS, listing.MVS, listing.PDS, listing.NonStop:
		return true
	}
	return false
}

// sift goes through the entries of a listing, given its bytes, before their names
// are looked at: what is no file to FTP is moved to Skipped, and what the format
// has in a form of its own becomes one name.
func (s *Session) sift(res *listing.Result, raw []byte) {
	s.noteForeign(res.Format)
	var verdict func(e *listing.Entry) (keep bool, reason string)
	switch res.Format {
	case listing.MSDOS:
		// A server may say that it is Unix and have the paths of Windows.
		if _, unix := s.dialect.(unixDialect); unix && s.src.Dialect == "" {
			s.dialect = dosDialect{}
			s.info.Dialect = s.dialect.name()
		}
		return
	case listing.VMS:
		verdict = newestVersions(res.Entries)
	case listing.MVS:
		verdict = dataSets(raw)
	case listing.OS400, listing.Unix:
		if _, os400 := s.dialect.(os400Dialect); !os400 {
			return
		}
		verdict = libraryObjects(s.listed, res.Entries)
	case listing.NonStop, listing.PDS:
		verdict = estimatedSizes
	default:
		return
	}
	kept := res.Entries[:0]
	for _, e := range res.Entries {
		keep, reason := verdict(&e)
		if keep {
			kept = append(kept, e)
			continue
		}
		if reason != "" {
			// Not bounded by listing.MaxSkipped: it was an entry, and those are.
			res.SkippedTotal++
			res.Skipped = append(res.Skipped, listing.Skipped{Line: e.Line, Raw: []byte(versioned(&e)), Reason: reason})
		}
	}
	clear(res.Entries[len(kept):])
	res.Entries = kept
}

// noteForeign remembers a format that does not go with Unix paths.
func (s *Session) noteForeign(f listing.Format) {
	if _, unix := s.dialect.(unixDialect); !unix || s.src.Dialect != "" {
		return
	}
	switch f {
	case listing.VMS, listing.MVS, listing.PDS, listing.OS400, listing.NonStop, listing.CMS:
		s.foreign = f
	}
}

// versioned is the name of an entry with its version.
func versioned(e *listing.Entry) string {
	if e.Version == "" {
		return e.RawName
	}
	return e.RawName + ";" + e.Version
}

// newestVersions keeps the highest version of each file of VMS, which is the one
// that its name without a version means, and drops the entry by which the root of
// a volume lists itself.
func newestVersions(entries []listing.Entry) func(*listing.Entry) (bool, string) {
	type key struct {
		name string
		kind listing.Type
	}
	newest := make(map[key]int, len(entries))
	number := func(e *listing.Entry) int {
		n, err := strconv.Atoi(e.Version)
		if err != nil {
			return -1
		}
		return n
	}
	for i := range entries {
		e := &entries[i]
		k := key{e.RawName, e.Type}
		if n, ok := newest[k]; !ok || number(e) > n {
			newest[k] = number(e)
		}
	}
	return func(e *listing.Entry) (bool, string) {
		if e.Type == listing.Dir && e.RawName == "000000" {
			return false, ""
		}
		if n := newest[key{e.RawName, e.Type}]; number(e) < n {
			return false, leftOut + "an older version; the newest is " + strconv.Itoa(n)
		}
		return true, ""
	}
}

// dataSets says which data sets of z/OS cannot be fetched, by what stands before
// their names. Migrated ones and those on tape can: the server recalls or mounts
// them, as long as that takes, unless it was set up not to.
func dataSets(raw []byte) func(*listing.Entry) (bool, string) {
	lines := bytes.Split(raw, []byte("\n"))
	return func(e *listing.Entry) (bool, string) {
		if e.Type == listing.File && e.Size >= 0 || e.Line < 1 || e.Line > len(lines) {
			return true, ""
		}
		before, ok := bytes.CutSuffix(bytes.TrimRight(lines[e.Line-1], " \t\r"), []byte(e.RawName))
		if !ok {
			return true, ""
		}
		words := string(bytes.TrimRight(before, " \t"))
		for _, is := range []struct{ words, reason string }{
			{"Pseudo Directory", "a pseudo directory: the server did not take SITE DATASETMODE"},
			{"VSAM", "FTP cannot send VSAM; copy it to a sequential data set (IDCAMS REPRO) and move that"},
			{" VS", "FTP cannot send VSAM; copy it to a sequential data set (IDCAMS REPRO) and move that"},
			{"AIX", leftOut + "an alternate index, which is made of its VSAM cluster"},
			{"PATH", leftOut + "a path to a VSAM cluster, with no data of its own"},
			{"GDG", leftOut + "the base of a generation data group; its generations are listed beside it"},
			{"User catalog connector", leftOut + "a catalog, not data"},
		} {
			if strings.HasSuffix(words, is.words) {
				return false, is.reason
			}
		}
		return true, ""
	}
}

// libraryObjects makes folders of the database files of IBM i, which have members
// (ORDERS.FILE/MAY.MBR), gives members their own name, and leaves out what is no
// file. dir is the folder that is listed: a library, or a database file.
func libraryObjects(dir string, entries []listing.Entry) func(*listing.Entry) (bool, string) {
	within, inFile := databaseFile(strings.TrimSuffix(dir, "/"))
	withMembers := make(map[string]bool)
	for _, e := range entries {
		if file, _, ok := memberOf(e.RawName); ok {
			withMembers[file] = true
		}
	}
	if !strings.HasPrefix(dir, "/") {
		return libraryFiles(dir, entries)
	}
	return func(e *listing.Entry) (bool, string) {
		file, member, ok := memberOf(e.RawName)
		switch {
		case !inLibrary(dir):
			return true, ""
		case inFile && ok && strings.EqualFold(file, within):
			e.RawName = member
			e.Name = e.Name[strings.LastIndexByte(e.Name, '/')+1:]
			return true, ""
		case inFile:
			return len(withMembers) == 0 && hasSuffixFold(e.RawName, ".MBR"), ""
		case ok:
			return false, "" // found when its file is entered
		case withMembers[e.RawName]:
			e.Type, e.Size, e.SizeEstimated = listing.Dir, -1, false
			return true, ""
		case e.Type != listing.File || hasSuffixFold(e.RawName, ".FILE") || hasSuffixFold(e.RawName, ".SAVF") || hasSuffixFold(e.RawName, ".MBR"):
			return true, ""
		}
		return false, leftOut + "an object of a library that is no file; save it to a save file (SAVOBJ) and move that"
	}
}

// libraryFiles is for servers that keep to NAMEFMT 0: files are listed as FILE and
// their members as LIBRARY/FILE.MEMBER. dir is the library.
func libraryFiles(dir string, entries []listing.Entry) func(*listing.Entry) (bool, string) {
	own := func(name string) string {
		if library, rest, ok := strings.Cut(name, "/"); ok && strings.EqualFold(library, dir) {
			return rest
		}
		return name
	}
	withMembers := make(map[string]bool)
	for _, e := range entries {
		if file, _, ok := strings.Cut(own(e.RawName), "."); ok {
			withMembers[file] = true
		}
	}
	return func(e *listing.Entry) (bool, string) {
		e.RawName, e.Name = own(e.RawName), own(e.Name)
		return !withMembers[e.RawName], "" // its members are files of their own
	}
}

// memberOf takes [LIBRARY.LIB/]FILE.FILE/MEMBER.MBR apart.
func memberOf(name string) (file, member string, ok bool) {
	i := strings.LastIndexByte(name, '/')
	if i < 0 {
		return "", "", false
	}
	file, member = name[:i], name[i+1:]
	file = file[strings.LastIndexByte(file, '/')+1:]
	return file, member, hasSuffixFold(file, ".FILE")
}

// estimatedSizes is for sizes that are not the number of bytes that are sent. EOF
// of NonStop counts what a file holds on the disk, which is what is sent of
// unstructured files only, and nothing says which files those are. The size of a
// load module of z/OS is that in memory.
func estimatedSizes(e *listing.Entry) (bool, string) {
	e.SizeEstimated = e.Size >= 0
	return true, ""
}
