package keylock

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestExclusion(t *testing.T) {
	var locks Locks[string]
	count := map[string]*int{"a": new(int), "b": new(int)}
	var wg sync.WaitGroup
	for range 50 {
		for key, n := range count {
			wg.Go(func() {
				unlock, err := locks.Lock(t.Context(), key)
				if err != nil {
					t.Error(err)
					return
				}
				defer unlock()
				*n++ // the race detector watches
			})
		}
	}
	wg.Wait()
	if *count["a"] != 50 || *count["b"] != 50 {
		t.Errorf("counted %d and %d, want 50 each", *count["a"], *count["b"])
	}
	if len(locks.held) != 0 {
		t.Errorf("%d locks are kept for nobody", len(locks.held))
	}
}

func TestContext(t *testing.T) {
	var locks Locks[int]
	unlock, err := locks.Lock(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := locks.Lock(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting with an ended context: %v", err)
	}
	unlock()
	if unlock, err = locks.Lock(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	unlock()
}
