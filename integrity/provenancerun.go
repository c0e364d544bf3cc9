package integrity

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// RunPredicateType is the predicate of a RunStatement; docs/integrity.md
// describes its fields.
const RunPredicateType = "urn:gateway:migration-run:v1"

// MaxRunSubjects is how many files a RunStatement is about at most.
const MaxRunSubjects = 16

// RunStatement is an in-toto Statement v1 about a run of a migration as a whole.
// Its subjects are the files that report it. By itself it proves nothing: see
// ProvenanceSigner.SignRun and ProvenanceKeys.OpenRun.
type RunStatement struct {
	Type          string       `json:"_type"`
	Subject       []Descriptor `json:"subject"`
	PredicateType string       `json:"predicateType"`
	Predicate     Run          `json:"predicate"`
}

// Run is the predicate of type RunPredicateType. Times are RFC 3339 in UTC.
type Run struct {
	Verifier    Verifier          `json:"verifier"`
	Key         string            `json:"key"` // fingerprint of the key that signs; set by SignRun
	TimeCreated string            `json:"timeCreated"`
	Source      string            `json:"source"`      // URL, without the password
	Destination string            `json:"destination"` // "storage:folder"
	Started     string            `json:"started"`
	Finished    string            `json:"finished"`
	Complete    bool              `json:"complete"`         // everything on the source is published
	Error       string            `json:"error,omitempty"`  // what ended the run early
	Policy      map[string]string `json:"policy,omitempty"` // digest of the policy file: algorithm to lower-case hex

	Found       RunCount         `json:"found"`
	Unchanged   RunCount         `json:"unchanged"` // published by an earlier run
	Published   RunCount         `json:"published"` // by this run
	Verdicts    map[string]int64 `json:"verdicts"`  // files that this run published, by verdict
	Pending     RunCount         `json:"pending"`
	Quarantined RunCount         `json:"quarantined"`
	Rejected    RunCount         `json:"rejected"`
	Failed      RunCount         `json:"failed"`
	Suspect     RunCount         `json:"suspect"`
	Unread      int64            `json:"unread"`  // folders, and lines of listings
	Skipped     int64            `json:"skipped"` // links and other things that are no files
	Renamed     int64            `json:"renamed"`

	// Digests is what the file of digests lists: all that the migration has
	// published, in all its runs.
	Digests         RunCount         `json:"digests"`
	DigestsVerdicts map[string]int64 `json:"digestsVerdicts"` // the same files, by verdict
}

// RunCount is a number of files and their bytes.
type RunCount struct {
	Files int64 `json:"files"`
	Bytes int64 `json:"bytes"`
}

// RunTime writes a time as the fields of Run have it.
func RunTime(t time.Time) string { return timestamp(t) }

// NewRunStatement states a run. The subjects have a name and a SHA-256, in
// lower-case hex.
func NewRunStatement(run Run, subjects ...Descriptor) *RunStatement {
	return &RunStatement{Type: StatementType, Subject: subjects, PredicateType: RunPredicateType, Predicate: run}
}

// Digest is the SHA-256 of a subject. The error is ErrStatement: it is about no
// such file.
func (s *RunStatement) Digest(subject string) ([]byte, error) {
	for _, d := range s.Subject {
		if d.Name == subject {
			return hex.DecodeString(d.Digest[string(SHA256)])
		}
	}
	return nil, fmt.Errorf("integrity: run statement: %w: it is not about %q", ErrStatement, subject)
}

// SignRun is Sign for the statement of a run. It writes the fingerprint of the
// key into the predicate that it signs.
func (s *ProvenanceSigner) SignRun(st *RunStatement) ([]byte, error) {
	signed := *st
	signed.Predicate.Key = ProvenanceKeyID(s.public)
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(signed); err != nil {
		return nil, fmt.Errorf("integrity: sign run statement: %w", err)
	}
	payload := escapeJSON(bytes.TrimSuffix(buf.Bytes(), []byte("\n")))
	if _, err := parseRunStatement(payload); err != nil {
		return nil, fmt.Errorf("integrity: sign run statement: %w", err)
	}
	return s.seal(payload)
}

// SignedRun is the statement of a run whose signature verified.
type SignedRun struct {
	*RunStatement
	KeyID string // of the known key that signed it
}

// OpenRun is Open for the statement of a run, as strict, with the same errors. A
// statement about a single file is none of a run, and the other way round.
func (k *ProvenanceKeys) OpenRun(data []byte) (*SignedRun, error) {
	payload, id, err := k.unseal(data)
	if err != nil {
		return nil, fmt.Errorf("integrity: open run statement: %w", err)
	}
	st, err := parseRunStatement(payload)
	if err == nil && st.Predicate.Key != id {
		err = fmt.Errorf("%w: it says that %.100q signed it, but %s did", ErrStatement, st.Predicate.Key, id)
	}
	if err != nil {
		return nil, fmt.Errorf("integrity: open run statement: %w", err)
	}
	return &SignedRun{st, id}, nil
}

func parseRunStatement(data []byte) (*RunStatement, error) {
	bad := func(err error) (*RunStatement, error) { return nil, fmt.Errorf("%w: %w", ErrStatement, err) }
	if len(data) > MaxStatementBytes {
		return bad(fmt.Errorf("more than %d bytes", MaxStatementBytes))
	}
	if err := checkJSON(data); err != nil {
		return bad(err)
	}
	s := &RunStatement{}
	if err := json.Unmarshal(data, s); err != nil {
		return bad(err)
	}
	if s.Type != StatementType || s.PredicateType != RunPredicateType {
		return bad(fmt.Errorf("type %.100q with predicate %.100q", s.Type, s.PredicateType))
	}
	if n := len(s.Subject); n == 0 || n > MaxRunSubjects {
		return bad(fmt.Errorf("%d subjects, want 1 to %d", n, MaxRunSubjects))
	}
	seen := make(map[string]bool)
	for _, d := range s.Subject {
		if d.Name == "" || seen[d.Name] {
			return bad(fmt.Errorf("a subject without a name, or %.100q twice", d.Name))
		}
		seen[d.Name] = true
		one := Statement{Subject: []Descriptor{d}}
		if _, err := one.Digest(); err != nil {
			return bad(err)
		}
	}
	if s.Predicate.Source == "" || s.Predicate.Destination == "" {
		return bad(errors.New("no source or no destination"))
	}
	return s, nil
}
