package state_test

import (
	"errors"
	"testing"

	"gateway/state"
)

// TestOutboxRoom fills an outbox: what is in it is counted now and then only, and never more than the bound let in.
func TestOutboxRoom(t *testing.T) {
	var r state.OutboxRoom
	have, counted := int64(state.MaxDeliveries-2500), 0
	count := func() (int64, error) { counted++; return have, nil }
	for have < state.MaxDeliveries {
		if err := r.Take(1, count); err != nil {
			t.Fatalf("%d wait: %v", have, err)
		}
		have++
	}
	if counted > 4 {
		t.Errorf("counted %d times", counted)
	}
	for range 100 {
		if err := r.Take(1, count); !errors.Is(err, state.ErrLimit) {
			t.Fatalf("one more than the bound: %v", err)
		}
	}
	if counted > 6 {
		t.Errorf("counted %d times when it was full", counted)
	}
	broken := errors.New("broken")
	var other state.OutboxRoom
	if err := other.Take(1, func() (int64, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}
