// Package audit is the log of who did what: one line of JSON for each login, refusal and change, kept so that
// nobody can take a line away, change one or add one without it being seen.
//
// Each line has a number and the SHA-256 of the line before it, across files, restarts and processes
// ([Log]). At times a line is a head: a signature by a key of the gateway over the chain so far. Who keeps
// a head elsewhere ([Head]) can also tell when the end was cut off, or when all was written anew ([Verify]).
// Text that clients chose cannot forge a line or drive a terminal: whatever is not printable is escaped in the
// file itself.
//
// It does not decide what is worth a line, knows of no front end, and ships nothing to other machines.
package audit

import (
	"net/netip"
	"time"
)

// Verb is what was done.
type Verb string

// The verbs. Those of files are the ones of storage.Verb.
const (
	Start  Verb = "start"
	Stop   Verb = "stop"
	Reload Verb = "reload" // of the configuration

	Login  Verb = "login"
	Logout Verb = "logout"
	Ban    Verb = "ban"

	Publish    Verb = "publish"    // by a migration, or what a mount proved
	Quarantine Verb = "quarantine" // held back
	Release    Verb = "release"    // from quarantine, by somebody
	Reject     Verb = "reject"
	Withdraw   Verb = "withdraw" // removed, since it is gone from the source
	Run        Verb = "run"      // a run of a migration or push ended

	Share   Verb = "share" // a link to a file was made; Ref begins its ID
	Unshare Verb = "unshare"

	Admin Verb = "admin" // what an operator did; Ref says what, Path to what

	// Those of the log itself.
	HeadOf Verb = "head"   // Signer signs the chain before this line
	Rotate Verb = "rotate" // the last line of a file; Path is the next file
	Prune  Verb = "prune"  // files up to line Through were removed, being more than were to be kept
	Mend   Verb = "mend"   // something was wrong with the end of the log
	Lost   Verb = "lost"   // lines that could not be written; Reason says how many

)

// Result is what came of it.
type Result string

// The results.
const (
	OK      Result = "ok"
	Refused Result = "refused" // it was not allowed
	Failed  Result = "failed"  // it was allowed, and did not work
)

// MaxText is how many bytes of one text of an entry are kept; what is longer ends in "…".
const MaxText = 4096

// Entry is what a line says. Empty fields are left out of it.
type Entry struct {
	Time     time.Time  `json:"time"` // the zero time: now
	Node     string     `json:"node,omitempty"`
	Verb     Verb       `json:"verb"`
	Result   Result     `json:"result,omitempty"`
	User     string     `json:"user,omitempty"`
	By       string     `json:"by,omitempty"` // how a user logged in
	Address  netip.Addr `json:"address,omitzero"`
	Protocol string     `json:"protocol,omitempty"`
	Session  string     `json:"session,omitempty"`
	Path     string     `json:"path,omitempty"` // as the user calls it
	Key      string     `json:"key,omitempty"`  // storage and name in it
	To       string     `json:"to,omitempty"`   // of a rename or copy
	ToKey    string     `json:"to_key,omitempty"`
	Bytes    int64      `json:"bytes,omitempty"`
	Ref      string     `json:"ref,omitempty"` // which share link, which job, which act
	Reason   string     `json:"reason,omitempty"`

	// Of the log's own lines.
	Through   uint64 `json:"through,omitempty"`
	Signer    string `json:"signer,omitempty"`
	Signature []byte `json:"signature,omitempty"`
}
