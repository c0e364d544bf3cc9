// Package report writes what a migration did into a folder that can be handed
// on: report.json for programs, report.html for people, SHA256SUMS with the
// digest of everything that the migration has published, and statement.json, in
// which the gateway signs the other three.
//
// The page is one file without scripts or anything from elsewhere. Names and
// messages in it come from servers that may be hostile: they are text, and what
// is not printable is escaped.
//
// The files are durable one by one, not all together. The statement is removed
// first and written last: where there is one, it is about the files beside it.
package report

// The files of a report's folder.
const (
	JSONFile      = "report.json"
	HTMLFile      = "report.html"
	DigestsFile   = "SHA256SUMS"
	StatementFile = "statement.json" // DSSE envelope around an in-toto statement
)

// Bounds of the page. It says so where it shows less than there is.
const (
	MaxHTMLItems   = 2000 // of each list
	MaxHTMLDigests = 1000
	MaxHTMLText    = 2000 // characters of one name or message
)
