package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"gateway/ftpbridge"
	"gateway/integrity"
	"gateway/listing"
	"gateway/storage"
)

// maxLocalEvidence is how many bytes of manifests and signatures are kept at a
// time beyond those that the file at hand needs. What is dropped is read again.
const maxLocalEvidence = 32 << 20

// localEvidence reads manifests and signatures that lie beside local files.
type localEvidence struct {
	root  *os.Root
	names *localNames
	now   time.Time
	known map[integrity.EvidenceRef]localEvidenceEntry
	order []integrity.EvidenceRef // oldest first
	bytes int64
}

type localEvidenceEntry struct {
	evidence *integrity.Evidence
	bytes    int64
}

// wanted loads what the policy wants to know before it judges a file.
func (l *localEvidence) wanted(p *integrity.Policy, path string) []*integrity.Evidence {
	var list []*integrity.Evidence
	refs := p.Wants(path)
	for _, ref := range refs {
		e, ok := l.known[ref]
		if !ok {
			e = l.load(ref)
			l.keep(ref, e)
		}
		list = append(list, e.evidence)
	}
	l.drop(refs)
	return list
}

// errNoServer is why a local file has no hash of a server's own.
var errNoServer = errors.New("no server is asked about local files")

func (l *localEvidence) load(ref integrity.EvidenceRef) localEvidenceEntry {
	if ref.ServerHash() {
		return localEvidenceEntry{integrity.ServerHashEvidence(ref, "", integrity.Digest{}, errNoServer), 0}
	}
	var files integrity.EvidenceFiles
	if ref.Manifest != "" {
		files.Manifest, files.Err = l.read(ref.Manifest, integrity.MaxManifestBytes)
	}
	if files.Err == nil && ref.Signature != "" {
		files.Signature, files.Err = l.read(ref.Signature, integrity.MaxSignatureBytes)
	}
	const overhead = 1 << 10 // of an entry without bytes
	size := int64(len(files.Manifest)+len(files.Signature)) + overhead
	e := integrity.LoadEvidence(ref, files, l.now)
	if e.NeedsFile() {
		held, err := l.holdAgainstFile(e)
		if err != nil {
			return localEvidenceEntry{integrity.LoadEvidence(ref, integrity.EvidenceFiles{Err: err}, l.now), size}
		}
		e = held
	}
	// Without a history: only dates are judged. It has no errors of its own then.
	fresh, err := e.Freshen(context.Background(), nil, l.now)
	if err != nil {
		fresh = integrity.LoadEvidence(ref, integrity.EvidenceFiles{Err: err}, l.now)
	}
	return localEvidenceEntry{fresh, size}
}

// holdAgainstFile verifies a signature of a file over the file.
func (l *localEvidence) holdAgainstFile(e *integrity.Evidence) (*integrity.Evidence, error) {
	name, err := l.names.raw(e.Ref.File)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return nil, err
	}
	f, info, err := openLocal(l.root, name)
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return e.VerifyFile(io.NewSectionReader(f, 0, info.Size()), l.now)
}

func (l *localEvidence) keep(ref integrity.EvidenceRef, e localEvidenceEntry) {
	if l.known == nil {
		l.known = make(map[integrity.EvidenceRef]localEvidenceEntry)
	}
	l.known[ref] = e
	l.order = append(l.order, ref)
	l.bytes += e.bytes
}

// drop makes room, oldest first, but keeps what the file at hand needs: the next
// one most likely needs it too, and two manifests that do not fit together would
// be read again for each file.
func (l *localEvidence) drop(needed []integrity.EvidenceRef) {
	if l.bytes <= maxLocalEvidence {
		return
	}
	l.order = slices.DeleteFunc(l.order, func(ref integrity.EvidenceRef) bool {
		if l.bytes <= maxLocalEvidence || slices.Contains(needed, ref) {
			return false
		}
		l.bytes -= l.known[ref].bytes
		delete(l.known, ref)
		return true
	})
}

// read returns the bytes of a small file, nil if there is none.
func (l *localEvidence) read(shown string, limit int64) ([]byte, error) {
	name, err := l.names.raw(shown)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, info, err := openLocal(l.root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info.Size() > limit {
		return nil, fmt.Errorf("%w: %d bytes, more than %d", ftpbridge.ErrTooLarge, info.Size(), limit)
	}
	data := make([]byte, info.Size())
	if n, err := f.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	} else if n < len(data) {
		return nil, errChangedMeanwhile
	}
	if after, err := f.Stat(); err != nil || !sameVersion(info, after) {
		return nil, errChangedMeanwhile
	}
	return data, nil
}

// Bounds of what localNames remembers.
const (
	maxOddNames   = 64 << 10 // in one folder
	maxOddFolders = 64
)

// localNames maps the names of local files, which are bytes, to what people see
// and policies name, as the bridge decodes those of a server.
type localNames struct {
	root    *os.Root
	charset string
	odd     map[string]map[string]string // by folder: shown element to raw, of those that differ
}

// shown is the name as people see it, by which it would be published. It fails
// for a name that cannot be used.
func (n *localNames) shown(name string) (string, error) {
	elements := strings.Split(filepath.ToSlash(name), "/")
	dir := "."
	for i, raw := range elements {
		clean, err := n.element(raw)
		if err != nil {
			return "", err
		}
		if clean != raw {
			owner, err := n.owner(dir, clean)
			if err != nil {
				return "", err
			}
			if owner != raw {
				return "", fmt.Errorf("its name in the destination would be that of %s", printable(owner))
			}
		}
		elements[i], dir = clean, filepath.Join(dir, raw)
	}
	return storage.CleanName(strings.Join(elements, "/"))
}

// element decodes one element of a name.
func (n *localNames) element(raw string) (string, error) {
	charset := "UTF-8"
	if !utf8.ValidString(raw) {
		charset = n.charset
	}
	decoded := listing.Decode([]byte(raw), charset)
	if strings.Contains(decoded, "/") {
		return "", errors.New("its name has a slash in it")
	}
	clean, err := storage.CleanName(decoded)
	if err == nil && clean == "" {
		err = storage.ErrName
	}
	if err != nil {
		return "", fmt.Errorf("its name cannot be used: %w", err)
	}
	return clean, nil
}

// raw finds the file that is shown under a name; fs.ErrNotExist if there is none.
func (n *localNames) raw(shown string) (string, error) {
	name := filepath.FromSlash(shown)
	_, err := n.root.Lstat(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return name, err
	}
	dir := "."
	for element := range strings.SplitSeq(shown, "/") {
		owner, err := n.owner(dir, element)
		if err != nil {
			return "", err
		}
		dir = filepath.Join(dir, owner)
	}
	return dir, nil
}

// owner is the entry of a folder that is shown as element: the one that is
// called just so, before any that is decoded to it. fs.ErrNotExist if there is none.
func (n *localNames) owner(dir, element string) (string, error) {
	if _, err := n.root.Lstat(filepath.Join(dir, element)); !errors.Is(err, fs.ErrNotExist) {
		return element, err
	}
	odd, ok := n.odd[dir]
	if !ok {
		var err error
		if odd, err = n.oddNames(dir); err != nil {
			return "", err
		}
		if n.odd == nil || len(n.odd) >= maxOddFolders {
			n.odd = make(map[string]map[string]string)
		}
		n.odd[dir] = odd
	}
	if raw, ok := odd[element]; ok {
		return raw, nil
	}
	return "", fs.ErrNotExist
}

// oddNames reads a folder for names that are shown otherwise than they are.
func (n *localNames) oddNames(dir string) (map[string]string, error) {
	f, err := n.root.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	odd := make(map[string]string)
	for {
		entries, err := f.ReadDir(folderBatch)
		for _, d := range entries {
			raw := d.Name()
			clean, err := n.element(raw)
			if err != nil || clean == raw {
				continue
			}
			if first, ok := odd[clean]; ok && first < raw {
				continue // the same whatever the order
			}
			if odd[clean] = raw; len(odd) > maxOddNames {
				return nil, fmt.Errorf("%s: more than %d names that are not UTF-8 in NFC", printable(dir), maxOddNames)
			}
		}
		if errors.Is(err, io.EOF) {
			return odd, nil
		}
		if err != nil {
			return nil, err
		}
	}
}
