package integrity

import "bytes"

// crcDigits is how many digits a CRC-32 has.
const crcDigits = 8

// splitSFV takes `name 89abcdef` apart.
func splitSFV(line []byte) (name, digits []byte, ok bool) {
	end := len(line) - crcDigits
	if end < 2 || !allHex(line[end:]) {
		return nil, nil, false
	}
	name = bytes.TrimRight(line[:end], " \t")
	return name, line[end:], len(name) > 0 && len(name) < end
}

func isSFV(line []byte) bool {
	_, _, ok := splitSFV(line)
	return ok
}

// addSFV reads one line of an SFV file. No document defines the format; this is
// what cksfv and the Windows programs before it agree on.
func (p *manifestParser) addSFV(line []byte) error {
	if len(line) == 0 || line[0] == ';' {
		return nil
	}
	if err := p.countEntry(); err != nil {
		return err
	}
	name, digits, ok := splitSFV(line)
	if !ok {
		return p.fail(ErrManifestSyntax, `%.80q is not "NAME CRC32"`, line)
	}
	if p.plain != nil && p.plain.name != CRC32 {
		return p.fail(ErrManifestAlgorithm, "an SFV file has crc32, not %s", p.plain.name)
	}
	if err := p.setName(name); err != nil {
		return err
	}
	_, err := p.add(CRC32.lookup(), digits)
	return err
}
