package integrity

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func statement(t *testing.T) *Statement {
	t.Helper()
	key := newTestKey(t)
	p := key.policy(signedPolicy)
	list := sums(SHA256, map[string]string{"caf\xe9": "content"})
	files := tree{"SHA256SUMS": list, "SHA256SUMS.asc": string(key.sign(list))}
	s := subject("café", "content", SHA512)
	s.RawPath = "caf\xe9"
	d := p.Decide(s, files.evidence(p, "café")...)
	check(t, d, Authentic, true)
	at := time.Date(2026, 3, 4, 5, 6, 7, 8, time.FixedZone("", 3600))
	st, err := NewStatement(s, d, Origin{
		URL: "ftp://ftp.example/caf%E9?a&b", Verifier: "https://verifier.example/v1",
		Fetched: at, Verified: at.Add(time.Minute), Modified: at.Add(-time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// The fields that the in-toto specifications require, read without our types.
func TestStatementFollowsInToto(t *testing.T) {
	data, err := statement(t).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Type    string `json:"_type"`
		Subject []struct {
			Name             string
			Digest           map[string]string
			DownloadLocation string
		}
		PredicateType string
		Predicate     struct {
			Verifier    struct{ ID string }
			TimeCreated time.Time
			Properties  []string
			Details     map[string]any `json:"gatewayVerification"`
		}
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.Type != "https://in-toto.io/Statement/v1" || got.PredicateType != "https://in-toto.io/attestation/svr/v0.1" {
		t.Errorf("types %q, %q", got.Type, got.PredicateType)
	}
	s := got.Subject[0]
	if len(got.Subject) != 1 || s.Name != "café" || s.DownloadLocation != "ftp://ftp.example/caf%E9?a&b" ||
		"sha256:"+s.Digest["sha256"] != digestOf([]byte("content")).String() || len(s.Digest["sha512"]) != 128 {
		t.Errorf("subject %+v", got.Subject)
	}
	if got.Predicate.Verifier.ID != "https://verifier.example/v1" ||
		!got.Predicate.TimeCreated.Equal(time.Date(2026, 3, 4, 4, 7, 7, 0, time.UTC)) {
		t.Errorf("predicate %+v", got.Predicate)
	}
	if diff := cmp.Diff([]string{PropertyAuthentic, PropertyIntact}, got.Predicate.Properties); diff != "" {
		t.Error(diff)
	}
	for key, want := range map[string]any{"rawName": "636166e9", "size": 7.0, "fetched": "2026-03-04T04:06:07Z", "modified": "2026-03-04T03:06:07Z"} {
		if got.Predicate.Details[key] != want {
			t.Errorf("%s is %v, want %v", key, got.Predicate.Details[key], want)
		}
	}
	if bytes.ContainsAny(data, "\n") || !bytes.Contains(data, []byte("?a&b")) {
		t.Errorf("not one plain line: %s", data)
	}
}

func TestStatementRoundTrip(t *testing.T) {
	want := statement(t)
	first, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseStatement(first)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for range 20 {
		if again, err := got.Marshal(); err != nil || !bytes.Equal(first, again) {
			t.Fatalf("marshalled again it differs: %v\n%s\n%s", err, first, again)
		}
	}
}

func TestStatementClaimsOnlyWhatPassed(t *testing.T) {
	o := Origin{Verifier: "https://verifier.example/v1"}
	for verdict, want := range map[Verdict]string{
		Authentic: `["GATEWAY_AUTHENTIC","GATEWAY_INTACT"]`, Intact: `["GATEWAY_INTACT"]`, Unverified: `[]`, Bad: `[]`,
	} {
		st, err := NewStatement(subject("a", "x"), Decision{Verdict: verdict}, o)
		if err != nil {
			t.Fatal(err)
		}
		data, err := st.Marshal()
		if err != nil || !strings.Contains(string(data), `"properties":`+want) {
			t.Errorf("%s: %v, %s", verdict, err, data)
		}
	}
}

func TestStatementRefuses(t *testing.T) {
	o := Origin{Verifier: "https://verifier.example/v1"}
	good := subject("a", "x")
	for name, s := range map[string]Subject{
		"no path":      {Digests: good.Digests},
		"not UTF-8":    {Path: "\xff", Digests: good.Digests},
		"no digest":    {Path: "a"},
		"no sha256":    {Path: "a", Digests: subject("a", "x", MD5).Digests[1:]},
		"short digest": {Path: "a", Digests: []Digest{{SHA256, []byte{1}}}},
	} {
		if _, err := NewStatement(s, Decision{}, o); !errors.Is(err, ErrStatement) {
			t.Errorf("%s: %v, want ErrStatement", name, err)
		}
	}
	if _, err := NewStatement(good, Decision{}, Origin{}); !errors.Is(err, ErrStatement) {
		t.Errorf("no verifier: %v, want ErrStatement", err)
	}
	for name, text := range map[string]string{
		"empty": "", "not JSON": "{", "another type": `{"_type":"x"}`, "too large": strings.Repeat(" ", MaxStatementBytes+1),
		"another predicate": `{"_type":"https://in-toto.io/Statement/v1","predicateType":"x","subject":[{}]}`,
		"no subject":        `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://in-toto.io/attestation/svr/v0.1"}`,
		"bad digest": `{"_type":"https://in-toto.io/Statement/v1","predicateType":"https://in-toto.io/attestation/svr/v0.1","subject":[{}],` +
			`"predicate":{"gatewayVerification":{"decision":{"evidence":[{"manifestDigest":"x"}]}}}}`,
	} {
		if _, err := ParseStatement([]byte(text)); !errors.Is(err, ErrStatement) {
			t.Errorf("%s: %v, want ErrStatement", name, err)
		}
	}
}
