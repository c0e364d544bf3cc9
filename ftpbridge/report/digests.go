package report

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"gateway/state"
)

// maxDigestLine bounds a line of a file of digests, in bytes: the longest name
// of a storage with every byte escaped, and the digest.
const maxDigestLine = 64 << 10

// ErrDigests reports a file of digests that cannot be read.
var ErrDigests = errors.New("list of digests not usable")

// Digest is one line of a file of digests.
type Digest struct {
	Name   string // below the folder that the migration fills
	SHA256 []byte
}

// Digests sums a file of digests up.
type Digests struct {
	Files    int64
	Bytes    int64
	Verdicts map[string]int64
	First    []Digest // at most MaxHTMLDigests
}

// WriteDigests writes the digest of everything that a job has published, in all
// its runs, by name in byte order, as sha256sum writes and reads it: in the
// destination's folder "sha256sum -c" checks it. Names of which another job has
// published a newer version are left out. destination is "storage:folder". It
// takes the same memory for any number of files.
func WriteDigests(ctx context.Context, w io.Writer, store state.Catalogue, job int64, destination string) (Digests, error) {
	sum := Digests{Verdicts: map[string]int64{}}
	prefix := destination
	if !strings.HasSuffix(prefix, ":") {
		prefix += "/"
	}
	out := bufio.NewWriter(w)
	for pub, err := range store.Publications(ctx, prefix) {
		if err != nil {
			return sum, fmt.Errorf("list digests: %w", err)
		}
		if pub.Job != job {
			continue
		}
		d := Digest{Name: strings.TrimPrefix(pub.Target, prefix), SHA256: pub.SHA256}
		if _, err := out.WriteString(d.line()); err != nil {
			return sum, fmt.Errorf("list digests: %w", err)
		}
		sum.Files++
		sum.Bytes += max(pub.Size, 0)
		sum.Verdicts[pub.Verdict]++
		if len(sum.First) < MaxHTMLDigests {
			sum.First = append(sum.First, d)
		}
	}
	if err := out.Flush(); err != nil {
		return sum, fmt.Errorf("list digests: %w", err)
	}
	return sum, nil
}

// line is as GNU coreutils write it ("cksum output modes" in their manual): a
// backslash before the digest announces escapes in the name.
func (d Digest) line() string {
	name, mark := d.Name, ""
	if strings.ContainsAny(name, "\\\n\r") {
		name, mark = strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`).Replace(name), `\`
	}
	return mark + hex.EncodeToString(d.SHA256) + "  " + name + "\n"
}

// ReadDigests yields what WriteDigests wrote, line by line. The error ends it:
// ErrDigests, or that of r.
func ReadDigests(r io.Reader) iter.Seq2[Digest, error] {
	return func(yield func(Digest, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxDigestLine)
		lines.Split(splitLines)
		for n := 1; lines.Scan(); n++ {
			d, err := parseDigest(lines.Text())
			if err != nil {
				err = fmt.Errorf("line %d: %w", n, err)
			}
			if !yield(d, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(Digest{}, fmt.Errorf("%w: %w", ErrDigests, err))
		}
	}
}

// splitLines is bufio.ScanLines for lines that end with a line feed, all of them,
// and keep what is before it.
func splitLines(data []byte, atEOF bool) (advance int, line []byte, err error) {
	i := bytes.IndexByte(data, '\n')
	if i < 0 && atEOF && len(data) > 0 {
		return 0, nil, io.ErrUnexpectedEOF
	}
	if i < 0 {
		return 0, nil, nil
	}
	return i + 1, data[:i], nil
}

func parseDigest(line string) (Digest, error) {
	rest, escaped := strings.CutPrefix(line, `\`)
	digits, name, ok := strings.Cut(rest, "  ")
	sum, err := hex.DecodeString(digits)
	if !ok || err != nil || len(sum) != sha256.Size || name == "" {
		return Digest{}, fmt.Errorf("%w: %.80q is no SHA-256 and name", ErrDigests, line)
	}
	d := Digest{Name: name, SHA256: sum}
	if escaped {
		d.Name = strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\r`, "\r").Replace(name)
	}
	if d.line() != line+"\n" {
		return Digest{}, fmt.Errorf("%w: %.80q is not spelled as it is written", ErrDigests, line)
	}
	return d, nil
}
