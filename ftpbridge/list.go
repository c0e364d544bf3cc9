package ftpbridge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"gateway/listing"
)

// hiddenFiles is what LIST -a does on a server.
type hiddenFiles int8

const (
	hiddenUnknown hiddenFiles = iota
	hiddenShown               // LIST -a lists names that begin with a dot
	hiddenPlain               // it is refused or makes no difference: LIST alone
)

// List reads one directory: MLSD where the server offers it (RFC 3659 section
// 7), else LIST, with -a where that shows hidden files. The directory is
// entered first, since a path after LIST is taken for options or patterns.
//
// "." and ".." are left out. Names that cannot be part of a path are moved to
// Skipped, with the reason. ErrListing comes when bytes arrived and none could
// be read as an entry; the Result then has the lines in Skipped. A listing of
// more than MaxListing bytes is ErrTooLarge and breaks the session.
func (s *Session) List(ctx context.Context, dir string) (listing.Result, error) {
	var res listing.Result
	err := s.callAt(ctx, "list", dir, s.fullFolder, func(full string) error {
		s.listed = full
		err := s.enter(full)
		if err == nil {
			res, err = s.listHere(ctx)
		} else if s.isDatabaseFile(full, err) {
			res, err = s.listMembers(ctx, full)
		}
		return err
	})
	return res, err
}

// enter makes dir the current directory. Some servers answer 200 to CWD.
func (s *Session) enter(dir string) error {
	// A directory that was renamed is still the current one, under another name.
	moves := s.know.moves.Load()
	if dir == s.cwd && s.cwdSince == moves || dir == "" {
		return nil
	}
	if _, err := s.command("CWD", dir, func(code int) bool { return code/100 == 2 }); err != nil {
		return err
	}
	s.cwd, s.cwdSince = dir, moves
	return nil
}

func (s *Session) listHere(ctx context.Context) (listing.Result, error) {
	if s.offersMLSD() {
		raw, err := s.listBytes(ctx, "MLSD")
		if err == nil {
			res, err := s.parse(raw, listing.MLSD)
			if err == nil && s.mlsdHides(ctx, dotted(res)) {
				return s.listHere(ctx)
			}
			return res, err
		}
		if s.Broken() || !errors.Is(err, ErrUnsupported) {
			return listing.Result{}, err
		}
		s.know.mu.Lock()
		s.know.noMLSD = true
		s.know.mu.Unlock()
	}
	s.know.mu.Lock()
	hidden := s.know.hidden
	s.know.mu.Unlock()
	if !s.dialect.showsHidden() {
		hidden = hiddenPlain
	}
	if hidden == hiddenUnknown {
		return s.probeHidden(ctx)
	}
	verb := "LIST"
	if hidden == hiddenShown {
		verb = "LIST -a"
	}
	raw, err := s.listBytes(ctx, verb)
	if err != nil {
		return listing.Result{}, err
	}
	return s.parse(raw, "")
}

// dotted counts the names with a dot in front.
func dotted(res listing.Result) int {
	n := 0
	for _, e := range res.Entries {
		if strings.HasPrefix(e.RawName, ".") {
			n++
		}
	}
	return n
}

func (s *Session) offersMLSD() bool {
	if _, native := s.dialect.(nativeDialect); native {
		return false // what MLSD makes of their names, no document says
	}
	s.know.mu.Lock()
	defer s.know.mu.Unlock()
	return !s.know.noMLSD && s.src.Format == "" && (s.info.Has("MLST") || s.info.Has("MLSD"))
}

// probeHidden lists with -a and, unless "." and ".." prove that it was
// understood, once more without. It decides for all sessions as soon as a
// directory shows the difference.
func (s *Session) probeHidden(ctx context.Context) (listing.Result, error) {
	rawAll, errAll := s.listBytes(ctx, "LIST -a")
	if s.Broken() {
		return listing.Result{}, errAll
	}
	var all listing.Result
	if errAll == nil {
		all, errAll = s.parse(rawAll, "")
	}
	if errAll == nil && hasDots(rawAll) {
		s.setHidden(hiddenShown)
		return all, nil
	}
	raw, err := s.listBytes(ctx, "LIST")
	if err != nil {
		return listing.Result{}, err
	}
	res, err := s.parse(raw, "")
	switch {
	case errAll == nil && holds(all, res) && len(all.Entries) > len(res.Entries):
		s.setHidden(hiddenShown)
		return all, nil
	case err == nil && len(res.Entries) > 0:
		s.setHidden(hiddenPlain)
	}
	return res, err
}

func (s *Session) setHidden(h hiddenFiles) {
	s.know.mu.Lock()
	s.know.hidden = h
	s.know.mu.Unlock()
	s.debug("ftp: hidden files", "LIST -a", h == hiddenShown)
}

// hasDots looks for the lines of "." and "..".
func hasDots(raw []byte) bool {
	dots := 0
	for line := range bytes.Lines(raw) {
		line = bytes.TrimRight(line, "\r\n")
		if bytes.HasSuffix(line, []byte(" .")) || bytes.HasSuffix(line, []byte(" ..")) {
			dots++
		}
	}
	return dots >= 2
}

// holds reports whether every name of b is in a.
func holds(a, b listing.Result) bool {
	names := make(map[string]bool, len(a.Entries))
	for _, e := range a.Entries {
		names[e.RawName] = true
	}
	for _, e := range b.Entries {
		if !names[e.RawName] {
			return false
		}
	}
	return true
}

// listBytes is the raw listing of the current directory. Refusals that say
// "nothing here" are an empty listing: 450 and 550 with such words, or a final
// reply without any data connection.
func (s *Session) listBytes(ctx context.Context, verb string) ([]byte, error) {
	t, err := s.transfer(ctx, verb, listToken, 0)
	if err != nil {
		var re *ReplyError
		if errors.As(err, &re) && !s.Broken() && (emptyReply(re) || s.emptyFolder(re)) {
			return nil, nil
		}
		return nil, err
	}
	t.op, t.path = "list", s.cwd
	t.end = func() {} // List's own call ends the session's turn
	raw, err := io.ReadAll(io.LimitReader(t, MaxListing+1))
	if int64(len(raw)) > MaxListing {
		_ = t.Close()
		return nil, fmt.Errorf("%w: a listing of more than %d bytes", ErrTooLarge, MaxListing)
	}
	if cerr := t.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, t.cause
	}
	return raw, nil
}

func emptyReply(r *ReplyError) bool {
	if r.Code == 226 || r.Code == 250 {
		return true
	}
	text := strings.ToLower(r.Text)
	return (r.Code == 450 || r.Code == 550) &&
		(strings.Contains(text, "no files found") || strings.Contains(text, "no data sets found") ||
			strings.Contains(text, "directory is empty") || strings.Contains(text, "no members found"))
}

// parse reads the bytes of a listing; format is what the command promises, and
// what the source says comes before it.
func (s *Session) parse(raw []byte, format listing.Format) (listing.Result, error) {
	if s.src.Format != "" {
		format = s.src.format()
	}
	res, err := collect(raw, listing.Options{
		Format: format, Charset: s.src.Charset, Location: s.src.Location,
		Syst: s.systForListing(), Detector: s.know.detector,
	})
	if errors.Is(err, listing.ErrFormat) || errors.Is(err, listing.ErrCharset) {
		return res, fmt.Errorf("%w: %w", ErrSource, err)
	}
	if errors.Is(err, ErrTooLarge) {
		return res, err
	}
	// Any line is a name to a parser of bare names, an error message too:
	// nobody asked for names with LIST.
	guessed := (res.Format == listing.Names || res.Format == listing.Table) && format == ""
	if err != nil || guessed || len(res.Entries) == 0 && len(res.Skipped) > 0 {
		return res, fmt.Errorf("%w: it begins with %s; no format of listings that is known", ErrListing, firstLines(raw))
	}
	s.sift(&res, raw)
	s.clean(&res)
	return res, nil
}

// collect reads a listing of MaxFolder entries at most: a flood of tiny lines
// must not become a hundred times as many bytes of entries.
func collect(raw []byte, o listing.Options) (listing.Result, error) {
	var res listing.Result
	r := listing.NewReader(bytes.NewReader(raw), o)
	for e, err := range r.All() {
		if err != nil {
			res.Quality = r.Quality()
			return res, err
		}
		if len(res.Entries) == MaxFolder {
			return res, fmt.Errorf("%w: a listing of more than %d entries", ErrTooLarge, MaxFolder)
		}
		res.Entries = append(res.Entries, e)
	}
	res.Quality = r.Quality()
	return res, nil
}

// firstLines quotes the beginning of a listing.
func firstLines(raw []byte) string {
	raw = bytes.TrimSpace(raw[:min(len(raw), 4*maxQuoted)])
	lines := bytes.SplitN(raw, []byte("\n"), 4)
	var quoted []string
	for _, l := range lines[:min(len(lines), 3)] {
		quoted = append(quoted, quoteLine(strings.TrimRight(string(l), "\r")))
	}
	return strings.Join(quoted, ", ")
}

// clean drops "." and "..", MLSD's cdir and pdir (RFC 3659 section 7.5.1), and
// moves what cannot be walked to Skipped.
func (s *Session) clean(res *listing.Result) {
	kept := res.Entries[:0]
	for _, e := range res.Entries {
		kind, _ := e.Fact("type")
		if n := e.RawName; n == "." || n == ".." || strings.EqualFold(kind, "cdir") || strings.EqualFold(kind, "pdir") {
			continue
		}
		if why := s.dialect.unsafe(e.RawName, e.Type == listing.Dir); why != "" {
			res.SkippedTotal++
			if len(res.Skipped) < listing.MaxSkipped {
				res.Skipped = append(res.Skipped, listing.Skipped{
					Line: e.Line, Raw: []byte(e.RawName[:min(len(e.RawName), listing.MaxSkippedRaw)]), Reason: why,
				})
			}
			continue
		}
		kept = append(kept, e)
	}
	clear(res.Entries[len(kept):])
	res.Entries = kept
}
