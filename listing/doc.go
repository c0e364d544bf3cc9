// Package listing reads the directory listings of FTP servers.
//
// RFC 959 never said what LIST prints, so every server prints something else, in an encoding it does not name.
// [Parse] and [Reader] take the bytes as they came, find out the format by a vote over the listing, and give
// entries with the exact bytes of each name (for the next FTP command) beside a readable name (for people).
//
// The package promises:
//   - No input panics, and no line is lost silently: a line that gives no entry is a header of its format or is in
//     Skipped with its number, its bytes and the reason.
//   - One bad line does not cost the others.
//   - RawName is byte for byte what the server sent, blanks at either end included.
//   - Encode(Decode(b, cs), cs) == b for every b and every charset of [Charsets].
//   - What is not in the listing is not made up: a size that is not given is -1, a time says how precise it is and
//     whether its zone is known.
//
// It does not talk to servers, does not clean names for storage (they are hostile input and may hold "/", ".." or
// line ends), does not normalize Unicode, does not undo the doubling of byte 0xFF in the TELNET protocol, and does
// not filter "." and "..".
//
// Each format is one small file with one parser; formats.go holds the table of them and the vote.
package listing
