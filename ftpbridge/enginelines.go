package ftpbridge

import (
	"context"
	"errors"
	"fmt"
)

// errTranslated is for bytes that went through a change of line ends (TYPE A, RFC
// 959 section 3.1.1.1), although TYPE I was asked for.
var errTranslated = errors.New("the server changes line ends (ASCII mode) although binary was asked for")

const (
	// lineSample is how much of a file of unknown size is looked at, in bytes.
	lineSample = 1 << 20
	// fewLines is how many line ends of one kind say nothing yet.
	fewLines = 16
)

// lineEnds counts what a change of line ends leaves.
type lineEnds struct {
	lf   int64 // without CR before them
	crlf int64
	nul  int64
	cr   bool // the last byte was one
}

func (l *lineEnds) Write(p []byte) (int, error) {
	for _, b := range p {
		switch {
		case b == '\n' && l.cr:
			l.crlf++
		case b == '\n':
			l.lf++
		case b == 0:
			l.nul++
		}
		l.cr = b == '\r'
	}
	return len(p), nil
}

// explain says more of a file of which another number of bytes came than the
// server has, where its line ends make up the difference. more came behind what
// is staged.
func (t *transferState) explain(ctx context.Context, err error, more []byte) error {
	var l lineEnds
	if herr := hashInto(ctx, &l, t.up, t.off); herr != nil {
		return errors.Join(err, herr)
	}
	_, _ = l.Write(more)
	missing := t.f.Size - t.off - int64(len(more))
	switch {
	case missing > 0 && missing == l.lf && l.crlf == 0:
		return fmt.Errorf("%w: %d bytes came of %d, and it has %d line ends without CR", errTranslated, t.off, t.f.Size, l.lf)
	case missing <= 0 && l.crlf > 0 && l.lf == 0:
		// It is not known how much more would have come. A text that grows looks the same.
		return fmt.Errorf("%w; all its line ends are CR LF: if it does not grow, %w", err, errTranslated)
	}
	return err
}

// suspectLines warns of a file of unknown size that has the bytes of no text and
// the line ends of one that was translated. In other files one LF in 256 has a CR
// before it.
func (t *transferState) suspectLines(ctx context.Context) error {
	var l lineEnds
	if err := hashInto(ctx, &l, t.up, min(t.off, lineSample)); err != nil {
		return err
	}
	if l.nul == 0 || l.crlf < fewLines || l.lf > 0 {
		return nil
	}
	t.progress.update(func(r *Report) {
		if t.linesWarned {
			return
		}
		t.linesWarned = true
		r.Warnings = append(r.Warnings, fmt.Sprintf(
			"%s, perhaps others too: every line end of a binary file is CR LF; the server may change line ends (ASCII mode), and does not tell sizes by which that could be seen",
			t.pathOf(*t.f)))
	})
	return nil
}
