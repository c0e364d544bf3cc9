package listing_test

import (
	"errors"
	"testing"

	"gateway/listing"
)

func TestDecodeNames(t *testing.T) {
	entries := []listing.Entry{
		{RawName: "plain"}, {RawName: "caf\u00e9"}, {RawName: "gar\xe7on", Target: "\xe9t\xe9"}, {RawName: "line\nbreak"},
	}
	q, err := listing.DecodeNames(entries, listing.Options{Charset: "iso-8859-1"})
	if err != nil || q.EntriesTotal != 4 || q.Charset != "ISO-8859-1" {
		t.Errorf("%+v, %v", q, err)
	}
	for i, want := range []string{"plain", "caf\u00e9", "gar\u00e7on", "line\uef0abreak"} {
		if entries[i].Name != want {
			t.Errorf("%q is read as %q, want %q", entries[i].RawName, entries[i].Name, want)
		}
		raw, err := listing.Encode(entries[i].Name, entries[i].Charset())
		if err != nil || string(raw) != entries[i].RawName {
			t.Errorf("%q leads back to %q, %v", entries[i].Name, raw, err)
		}
	}
	if entries[2].Target != "\u00e9t\u00e9" {
		t.Errorf("target %q", entries[2].Target)
	}
	if _, err := listing.DecodeNames(nil, listing.Options{Charset: "nonsense"}); !errors.Is(err, listing.ErrCharset) {
		t.Errorf("%v", err)
	}
}
