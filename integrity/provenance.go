package integrity

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Type URIs of the in-toto attestation framework, v1.
const (
	StatementType    = "https://in-toto.io/Statement/v1"
	SVRPredicateType = "https://in-toto.io/attestation/svr/v0.1"
)

// MaxStatementBytes bounds what ParseStatement reads.
const MaxStatementBytes = 1 << 20

// ErrStatement reports a statement that cannot be made or read.
var ErrStatement = errors.New("statement not usable")

// Statement is an in-toto Statement v1 with a Simple Verification Result as its
// predicate: what a verifier found about one file, when, and by what evidence.
// By itself it proves nothing: see ProvenanceSigner and ProvenanceKeys.
type Statement struct {
	Type          string       `json:"_type"`
	Subject       []Descriptor `json:"subject"`
	PredicateType string       `json:"predicateType"`
	Predicate     SVR          `json:"predicate"`
}

// Descriptor is an in-toto ResourceDescriptor.
type Descriptor struct {
	Name             string            `json:"name"`
	Digest           map[string]string `json:"digest"` // algorithm to lower-case hex
	DownloadLocation string            `json:"downloadLocation,omitempty"`
}

// SVR is the predicate of type SVRPredicateType. Details is an extension field,
// which consumers that do not know it ignore.
type SVR struct {
	Verifier    Verifier `json:"verifier"`
	TimeCreated string   `json:"timeCreated"` // RFC 3339 in UTC
	Properties  []string `json:"properties"`  // only what passed
	Details     Details  `json:"gatewayVerification"`
}

// Verifier identifies who verified, by a URI with a version.
type Verifier struct {
	ID string `json:"id"`
}

// Details is what the Simple Verification Result has no place for.
type Details struct {
	Size     int64    `json:"size"`              // bytes
	RawName  string   `json:"rawName,omitempty"` // hex of the name at the source, if it is not the subject's name
	Target   string   `json:"target,omitempty"`  // where it was published, "storage:path"; statements before signing have none
	Fetched  string   `json:"fetched"`           // when the transfer ended, RFC 3339 in UTC
	Modified string   `json:"modified,omitempty"`
	Decision Decision `json:"decision"`
}

// Properties that a statement can assert.
const (
	PropertyAuthentic = "GATEWAY_AUTHENTIC" // a pinned key signed the digest of these bytes under this name
	PropertyIntact    = "GATEWAY_INTACT"    // a checksum of the same source matched
)

// Origin tells where a file came from and when.
type Origin struct {
	URL      string    // of the file at the source, without user and password
	Verifier string    // URI of the verifier, with its version
	Target   string    // where the file is published, "storage:path"
	Fetched  time.Time // when the transfer ended
	Modified time.Time // the source's date of the file, zero if unknown
	Verified time.Time // when the decision was made
}

// NewStatement states a decision about a file. The file's path must be valid
// UTF-8; the raw path is kept in hex where it differs. The error is ErrStatement.
func NewStatement(s Subject, d Decision, o Origin) (*Statement, error) {
	if s.Path == "" || !utf8.ValidString(s.Path) {
		return nil, fmt.Errorf("integrity: new statement: %w: the path %q is empty or not UTF-8", ErrStatement, s.Path)
	}
	if o.Verifier == "" {
		return nil, fmt.Errorf("integrity: new statement: %w: no verifier", ErrStatement)
	}
	if !utf8.ValidString(o.Target) {
		return nil, fmt.Errorf("integrity: new statement: %w: the target %q is not UTF-8", ErrStatement, o.Target)
	}
	digests := make(map[string]string, len(s.Digests))
	for _, digest := range s.Digests {
		if !digest.valid() {
			return nil, fmt.Errorf("integrity: new statement: %w: digest %q", ErrStatement, digest.String())
		}
		digests[string(digest.Algorithm)] = hex.EncodeToString(digest.Sum)
	}
	if digests[string(SHA256)] == "" {
		return nil, fmt.Errorf("integrity: new statement: %w: no sha256 digest of %q", ErrStatement, s.Path)
	}
	details := Details{Size: s.Size, Target: o.Target, Fetched: timestamp(o.Fetched), Decision: d}
	if raw := s.raw(); raw != s.Path {
		details.RawName = hex.EncodeToString([]byte(raw))
	}
	if !o.Modified.IsZero() {
		details.Modified = timestamp(o.Modified)
	}
	return &Statement{
		Type:          StatementType,
		Subject:       []Descriptor{{Name: s.Path, Digest: digests, DownloadLocation: o.URL}},
		PredicateType: SVRPredicateType,
		Predicate: SVR{
			Verifier:    Verifier{ID: o.Verifier},
			TimeCreated: timestamp(o.Verified),
			Properties:  properties(d.Verdict),
			Details:     details,
		},
	}, nil
}

// properties are cumulative: what is authentic is intact too.
func properties(v Verdict) []string {
	switch v {
	case Authentic:
		return []string{PropertyAuthentic, PropertyIntact}
	case Intact:
		return []string{PropertyIntact}
	}
	return []string{}
}

func timestamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Marshal writes the statement as JSON on one line, what is not printable
// escaped. The same statement always gives the same bytes.
func (s *Statement) Marshal() ([]byte, error) {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return nil, fmt.Errorf("integrity: marshal statement: %w", err)
	}
	return escapeJSON(bytes.TrimSuffix(buf.Bytes(), []byte("\n"))), nil
}

// ParseStatement reads what Marshal wrote. Unknown fields are ignored, as
// in-toto asks; a field that is there twice is refused. It has one subject, with
// a name and a well-formed sha256 digest, and a size. The error is ErrStatement.
func ParseStatement(data []byte) (*Statement, error) {
	if len(data) > MaxStatementBytes {
		return nil, fmt.Errorf("integrity: parse statement: %w: more than %d bytes", ErrStatement, MaxStatementBytes)
	}
	s := &Statement{}
	err := checkJSON(data)
	if err == nil {
		err = json.Unmarshal(data, s)
	}
	if err != nil {
		return nil, fmt.Errorf("integrity: parse statement: %w: %w", ErrStatement, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("integrity: parse statement: %w", err)
	}
	return s, nil
}

// check fails with ErrStatement for what ParseStatement would not take.
func (s *Statement) check() error {
	switch {
	case s.Type != StatementType || s.PredicateType != SVRPredicateType:
		return fmt.Errorf("%w: type %.100q with predicate %.100q", ErrStatement, s.Type, s.PredicateType)
	case len(s.Subject) != 1:
		return fmt.Errorf("%w: %d subjects, want 1", ErrStatement, len(s.Subject))
	case s.Subject[0].Name == "" || s.Predicate.Details.Size < 0:
		return fmt.Errorf("%w: no name or a negative size", ErrStatement)
	}
	if _, err := s.Digest(); err != nil {
		return fmt.Errorf("%w: %w", ErrStatement, err)
	}
	return nil
}

// Digest is the SHA-256 of the file that the statement is about. The error is
// ErrDigestSyntax; a parsed statement has none.
func (s *Statement) Digest() (Digest, error) {
	var digits string
	if len(s.Subject) == 1 {
		digits = s.Subject[0].Digest[string(SHA256)]
	}
	if digits != strings.ToLower(digits) {
		return Digest{}, fmt.Errorf("%w: hex digits in upper case", ErrDigestSyntax) // in-toto: digests are compared as text
	}
	return ParseDigest(string(SHA256) + ":" + digits)
}
