package listing

// DecodeNames makes the readable names of entries whose raw names did not come in a listing, as those of SFTP, by
// Options.Charset or else by Options.Detector, which learns from them. It reads RawName and sets Name; Target, Owner
// and Group are raw before and readable after. The error wraps ErrCharset.
func DecodeNames(entries []Entry, o Options) (Quality, error) {
	o.Format = ""
	s, err := newSession(o)
	if err != nil {
		return Quality{}, err
	}
	s.decode(entries)
	s.q.EntriesTotal = len(entries)
	return s.q, nil
}
