package integrity

import "fmt"

// serverAnswer is a server's own hash of a file.
type serverAnswer struct {
	command string
	digest  Digest
}

// ServerHashEvidence is what the server answered when it was asked for its own
// hash of the file, with which command: HASH (draft-bryan-ftpext-hash), XSHA256
// or another. It proves intact at most, since it comes from whoever the bytes
// come from; an answer that contradicts them is bad. A command without an answer
// (err is not nil, or the digest is zero) proves nothing.
func ServerHashEvidence(ref EvidenceRef, command string, d Digest, err error) *Evidence {
	e := &Evidence{Ref: ref}
	switch {
	case !ref.ServerHash():
		e.Err = errNotAsked
	case err != nil:
		e.Err = fmt.Errorf("%s is not known: %w", ref, err)
	case !d.valid():
		e.Err = fmt.Errorf("%s is not known: it has no command for it", ref)
	default:
		e.server = &serverAnswer{command, d}
	}
	return e
}

// examineServer compares a server's hash with the file's.
func examineServer(f *Finding, s Subject, e *Evidence) {
	answer := e.server
	f.Command, f.ServerDigest = answer.command, &answer.digest
	got, ok := s.digest(answer.digest.Algorithm)
	switch {
	case !ok:
		f.Detail = fmt.Sprintf("the server's %s says %s, which was not computed for this file", answer.command, answer.digest.short())
	case !got.Equal(answer.digest):
		f.Verdict = Bad
		f.Detail = fmt.Sprintf("the server's %s says %s but %s came: it changed on the way or on the server",
			answer.command, answer.digest.short(), got.short())
	default:
		f.Verdict = Intact
		f.Detail = fmt.Sprintf("the server's %s says %s as the file has it, which proves that nothing broke on the way", answer.command, got.short())
	}
}
