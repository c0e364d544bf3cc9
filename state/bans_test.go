package state_test

import (
	"testing"
	"time"

	"gateway/state"
)

func TestAnother(t *testing.T) {
	limits := state.FailureLimits{Failures: 3, Window: time.Minute, Ban: time.Hour}
	for _, test := range []struct {
		name  string
		f     state.Failures
		since time.Duration
		want  state.Failures
	}{
		{"the first", state.Failures{}, 1 << 62, state.Failures{Count: 1}},
		{"one more", state.Failures{Count: 1}, time.Minute, state.Failures{Count: 2}},
		{"one long after", state.Failures{Count: 2}, time.Minute + 1, state.Failures{Count: 1}},
		{"the last", state.Failures{Count: 2}, 0, state.Failures{Banned: time.Hour}},
		{"while banned", state.Failures{Banned: time.Second}, 0, state.Failures{Count: 1, Banned: time.Second}},
		{"a longer ban", state.Failures{Count: 2, Banned: time.Second}, 0, state.Failures{Banned: time.Hour}},
	} {
		if got := test.f.Another(test.since, limits); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}
