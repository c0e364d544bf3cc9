// Package ftpbridge talks to legacy FTP servers and moves what they hold.
//
// This half of the package is the session: Dial logs in, List reads one
// directory in whatever format the server speaks, Fetch reads one file from an
// offset, Store writes one, Rename and others change the server, Pool shares a
// few sessions within the server's own limit, Walk goes through a tree.
//
// It promises
//   - that no call waits for ever: every read and write has a deadline, and a
//     server that drips bytes counts as silent;
//   - that nothing a server sends can panic, grow without bound (the Max
//     constants are the bounds) or make the client connect to another host;
//   - that a name is sent exactly as it was listed, byte for byte, or not at all;
//   - that io.EOF from a fetch means that the server confirmed the transfer, and
//     no error from a store that it has as many bytes as were sent, where it tells.
//
// It does not decide whether bytes are right: a server can lie about sizes,
// ignore REST or end a file early and say 226. Compare sizes, and hash.
//
// The commands of RFC 959, RFC 2228, RFC 2389, RFC 2428, RFC 3659 and RFC 4217
// go through github.com/jlaffaye/ftp wherever it has them, over a control
// connection of our own (type control) which filters every reply first.
package ftpbridge

import "time"

// Bounds on what a server may make us hold or wait for.
const (
	// MaxReplyLine is the longest line of a reply, in bytes.
	MaxReplyLine = 16 << 10
	// MaxReply is the longest reply with all its lines, in bytes. Only the
	// first 64 KiB of its text are kept.
	MaxReply = 4 << 20
	// MaxListing is the longest listing of one directory, in bytes.
	MaxListing = 64 << 20
	// MaxFolder is how many entries one directory may have.
	MaxFolder = 2_000_000
	// MaxConnections is the most sessions that one Source may use.
	MaxConnections = 16
	// DefaultTimeout is how long a connection may be silent.
	DefaultTimeout = 60 * time.Second
)

const (
	maxReplyText   = 64 << 10             // of a reply, kept
	maxPreliminary = 16                   // 1yz replies before the one that counts
	maxPathLength  = 16 << 10             // of one path sent to a server, in bytes
	maxCommand     = 2*maxPathLength + 64 // every byte doubled, and a verb
	maxDialTime    = 30 * time.Second
	maxDataDial    = 15 * time.Second // a port that is filtered, not refused
	minProgress    = 1 << 10          // bytes that a data connection must bring per Timeout
	strayWait      = time.Millisecond // for TLS to say what bytes are that have arrived already
	maxQuoted      = 200              // bytes of a server's words in a message
)
