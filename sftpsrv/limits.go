package sftpsrv

import "time"

// Bounds of the protocol, the same for every client.
const (
	// maxPacket is the largest packet taken, in bytes after the length field:
	// what OpenSSH takes (SFTP_MAX_MSG_LENGTH).
	maxPacket = 256 << 10
	// maxData is the most one READ returns, and what clients are told to WRITE at
	// once, in bytes: OpenSSH's number, the packet less room for the header.
	maxData = 255 << 10
	// maxPath is the longest path taken, in bytes, as PATH_MAX of Linux.
	maxPath = 4096
	// maxHandleLength is the longest handle a client may send; ours have 8 bytes
	// (the draft allows 256).
	maxHandleLength = 256
	// maxExtendedAttrs is how many extended attributes one request may carry.
	maxExtendedAttrs = 64
	// maxIDs is for how many users, and groups, names are told at once.
	maxIDs = 128
	// maxReaddir is about how long a reply to READDIR gets, in bytes: what every
	// version 3 client must take.
	maxReaddir = 32 << 10
)

// Bounds of one connection.
const (
	// maxChannels is how many sessions one connection may have open at a time, as
	// OpenSSH's MaxSessions.
	maxChannels = 10
	// maxWorkers is how many requests of one connection are carried out at a time.
	maxWorkers = 16
	// maxOpens is how many files one session opens at a time.
	maxOpens = 8
	// connectionBuffers bounds the requests that are not answered and the answers
	// that are not taken, in bytes. A client that sends more is not read from.
	connectionBuffers = 8 << 20
	// minWeight is what the smallest request counts against the buffers; so it
	// bounds their number too, at 2,048 a connection.
	minWeight = 4 << 10
	// readBuffer is what is read from a channel at once, in bytes.
	readBuffer = 128 << 10
	// stallPiece is how much of an answer is written at once, in bytes: one SSH packet.
	// A client has Config.StallTimeout to take it.
	stallPiece = 32 << 10
	// maxExtents is how many separate written ranges of one upload are remembered
	// to find its unbroken beginning.
	maxExtents = 256
	// maxCommand is the longest command line, in bytes, and maxWords how many words it may have.
	maxCommand, maxWords = 32 << 10, 1024
	// maxMatches is how many names a pattern of a command line may stand for.
	maxMatches = 10_000
	// maxRecord is the longest record of scp, in bytes.
	maxRecord = maxPath + 64
	// maxDepth is how many folders scp goes down.
	maxDepth = 128
	// copyBuffer is what a command reads and writes at once, and commandWeight what it counts
	// against the buffers of its connection, in bytes.
	copyBuffer    = 128 << 10
	commandWeight = 512 << 10
	// maxPassword is the longest password that is looked at, in bytes.
	maxPassword = 1 << 10
	// maxUser is the longest user name that is looked at, in bytes.
	maxUser = 256
	// minRSA and maxRSA bound the RSA keys of users, in bits.
	minRSA, maxRSA = 2048, 8192
)

// Times that are not worth a setting.
const (
	// drainTime is how long requests that came before the end of a session may
	// take after it.
	drainTime = 30 * time.Second
	// checkpointEvery is how often what an upload has is made durable while it is written: so much
	// of it has to be sent again when the gateway is killed.
	checkpointEvery = 10 * time.Second
	// earlyCheckpoint is how many bytes of an upload that replaces a file make it durable for the first time.
	earlyCheckpoint = 1 << 20
	// partialsFresh is for how long a list of suspended uploads is believed.
	partialsFresh = 5 * time.Second
)
