package audit

import (
	"bufio"
	"errors"
	"io"
)

// reader reads lines, none of them longer than MaxLine into memory.
type reader struct {
	b      *bufio.Reader
	number int  // of the line that next gave last
	whole  bool // it had a newline
}

func newReader(r io.Reader) *reader { return &reader{b: bufio.NewReaderSize(r, MaxLine+1)} }

// next is the next line without its newline, good until the next call; io.EOF after the last. Of one that
// is too long it is the first MaxLine+1 bytes, which parseLine refuses.
func (r *reader) next() ([]byte, error) {
	raw, err := r.b.ReadSlice('\n')
	switch {
	case err == nil:
		r.number++
		r.whole = true
		return raw[:len(raw)-1], nil
	case errors.Is(err, io.EOF) && len(raw) > 0:
		r.number++
		r.whole = false
		return raw, nil
	case errors.Is(err, bufio.ErrBufferFull):
		r.number++
		r.whole = true
		long := append([]byte(nil), raw...)
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.b.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return long, nil
	}
	return nil, err
}
