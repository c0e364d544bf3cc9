package state

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseRanges(t *testing.T) {
	for _, s := range []string{"", "0-1", "5-10 10-11 20-9223372036854775807"} {
		rs, err := ParseRanges(s)
		if err != nil || rs.String() != s {
			t.Errorf("%q: %v, %v", s, rs, err)
		}
	}
	rs, err := ParseRanges("1-2 3-4")
	if d := cmp.Diff(Ranges{{1, 2}, {3, 4}}, rs); d != "" || err != nil {
		t.Error(d, err)
	}
	for _, s := range []string{"1", "1-", "-1-2", "2-1", "1-1", "1-3 2-4", "a-b", "1-2,3-4", strings.Repeat("1-2 ", 100)} {
		if _, err := ParseRanges(s); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", s, err)
		}
	}
}
