package integrity

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sealedRun is a signed statement of a run and what it says.
func sealedRun(t testing.TB, s *ProvenanceSigner) ([]byte, *RunStatement) {
	t.Helper()
	st := NewRunStatement(Run{
		Verifier: Verifier{ID: "urn:test"}, Source: "ftp://ftp.example/\u202e", Destination: "disk:old",
		Started: RunTime(time.Unix(0, 0)), Verdicts: map[string]int64{"intact": 2},
	}, Descriptor{Name: "report.json", Digest: map[string]string{"sha256": strings.Repeat("ab", 32)}})
	data, err := s.SignRun(st)
	if err != nil {
		t.Fatal(err)
	}
	return data, st
}

func TestSignRun(t *testing.T) {
	s := provenanceKey(t, 1)
	data, st := sealedRun(t, s)
	got, err := known(t, s).OpenRun(data)
	if err != nil {
		t.Fatal(err)
	}
	want := *st
	want.Predicate.Key = ProvenanceKeyID(s.PublicKey())
	if diff := cmp.Diff(&want, got.RunStatement); diff != "" || got.KeyID != want.Predicate.Key {
		t.Errorf("key %s, %s", got.KeyID, diff)
	}
	if sum, err := got.Digest("report.json"); err != nil || len(sum) != 32 {
		t.Errorf("digest %x, %v", sum, err)
	}
	if _, err := got.Digest("other"); !errors.Is(err, ErrStatement) {
		t.Errorf("a digest of another file: %v", err)
	}
	var env struct{ Payload []byte }
	if err := json.Unmarshal(data, &env); err != nil || strings.Contains(string(env.Payload), "\u202e") {
		t.Errorf("payload %s, %v", env.Payload, err)
	}
}

func TestOpenRunRefuses(t *testing.T) {
	s := provenanceKey(t, 1)
	data, _ := sealedRun(t, s)
	file, _ := sealed(t, s)
	otherKey, err := s.seal([]byte(strings.Replace(payloadOf(t, data), ProvenanceKeyID(s.PublicKey()), "sha256:00", 1)))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		data []byte
		keys *ProvenanceKeys
		want error
	}{
		{"another key", data, known(t, provenanceKey(t, 2)), ErrUnknownKey},
		{"a changed count", change(t, data, func(m map[string]any) {
			m["payload"] = base64.StdEncoding.EncodeToString([]byte(strings.Replace(payloadOf(t, data), `"intact":2`, `"intact":3`, 1)))
		}), known(t, s), ErrBadSignature},
		{"the statement of a file", file, known(t, s), ErrStatement},
		{"signed in another key's name", otherKey, known(t, s), ErrStatement},
		{"not signed", []byte(payloadOf(t, data)), known(t, s), ErrUnsigned},
	}
	for _, tt := range tests {
		if _, err := tt.keys.OpenRun(tt.data); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := known(t, s).Open(data); !errors.Is(err, ErrStatement) {
		t.Errorf("the statement of a run passed for that of a file: %v", err)
	}
}

func payloadOf(t testing.TB, data []byte) string {
	t.Helper()
	var env struct{ Payload []byte }
	if err := json.Unmarshal(data, &env); err != nil {
		t.Fatal(err)
	}
	return string(env.Payload)
}

func TestSignRunRefuses(t *testing.T) {
	s := provenanceKey(t, 1)
	whole := Descriptor{Name: "a", Digest: map[string]string{"sha256": strings.Repeat("ab", 32)}}
	run := Run{Source: "ftp://a", Destination: "disk:"}
	for name, st := range map[string]*RunStatement{
		"no subject":     NewRunStatement(run),
		"one twice":      NewRunStatement(run, whole, whole),
		"no digest":      NewRunStatement(run, Descriptor{Name: "a"}),
		"no source":      NewRunStatement(Run{Destination: "disk:"}, whole),
		"another digest": NewRunStatement(run, Descriptor{Name: "a", Digest: map[string]string{"sha256": strings.Repeat("AB", 32)}}),
	} {
		if _, err := s.SignRun(st); !errors.Is(err, ErrStatement) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
