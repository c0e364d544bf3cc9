package integrity

// Promise says in plain words what a verdict promises and what it does not, each
// one sentence that goes on after the verdict's name and a colon. Both are empty
// for a verdict that this package does not give.
func (v Verdict) Promise() (does, not string) {
	switch v {
	case Authentic:
		return "a key that the operator pinned has signed exactly this name and these bytes",
			"that the signer is honest, or that there is no newer version"
	case Intact:
		return "a checksum from the same server fits, so nothing broke on the way",
			"anything against somebody who can change files there: they change the checksum too"
	case Unverified:
		return "the file is whole, as far as the server says",
			"where the bytes come from, or that nobody changed them on the way"
	case Bad:
		return "a manifest or signature says that these are other bytes than its author meant",
			"which of the two is wrong: ask the sender"
	}
	return "", ""
}
