package statetest

import (
	"fmt"
	"math"
	"sync"
	"testing"

	"gateway/state"
)

func testQuotas(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	s, other := open(t, dir), open(t, dir)
	defer s.Close()
	defer other.Close()
	reserve := func(s state.Store, user, holder string, added, reserved, bound int64, wantAdded, wantReserved int64, wantOK bool) {
		t.Helper()
		a, r, ok, err := s.ReserveQuota(ctx, user, holder, added, reserved, bound)
		must(t, err)
		if a != wantAdded || r != wantReserved || ok != wantOK {
			t.Errorf("got %d added, %d reserved, %v; want %d, %d, %v", a, r, ok, wantAdded, wantReserved, wantOK)
		}
		if a, r, err := other.QuotaTotals(ctx, user); err != nil || a != wantAdded || r != wantReserved {
			t.Errorf("totals: %d added, %d reserved, %v; want %d, %d", a, r, err, wantAdded, wantReserved)
		}
	}
	if a, r, err := s.QuotaTotals(ctx, "anna"); a != 0 || r != 0 || err != nil {
		t.Errorf("unknown user: %d, %d, %v", a, r, err)
	}
	reserve(s, "anna", "1", 0, 60, 100, 0, 60, true)
	reserve(other, "anna", "2", 0, 41, 100, 0, 60, false)
	reserve(other, "anna", "2", 0, 40, 100, 0, 100, true)
	reserve(s, "anna", "1", 60, 0, 100, 60, 40, true)
	reserve(s, "anna", "1", 0, 1, 100, 60, 40, false)
	reserve(other, "anna", "2", 10, 30, 100, 70, 30, true)
	reserve(other, "anna", "2", 1, 30, 100, 70, 30, false)
	reserve(s, "bert", "1", 1, 99, 100, 1, 99, true)
	reserve(s, "bert", "1", 0, 0, -5, 1, 99, false)
	reserve(s, "bert", "1", 0, 0, math.MaxInt64, 1, 0, true)
	reserve(s, "bert", "1", 0, math.MaxInt64, math.MaxInt64, 1, 0, false)
	reserve(s, "bert", "1", 0, math.MaxInt64-1, math.MaxInt64, 1, math.MaxInt64-1, true)
	for _, bad := range []struct {
		user, holder    string
		added, reserved int64
	}{{"", "1", 0, 0}, {"anna", "", 0, 0}, {"anna", "1", -1, 0}, {"anna", "1", 0, -1}} {
		_, _, _, err := s.ReserveQuota(ctx, bad.user, bad.holder, bad.added, bad.reserved, 100)
		wantErr(t, err, state.ErrInvalid)
	}
}

// Of many at once that want what is left, none gets what another has.
func testQuotasAtOnce(t *testing.T, open Open) {
	const holders, bound = 8, 1000
	dir, ctx := t.TempDir(), t.Context()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var have int64
	for h := range holders {
		s := open(t, dir)
		defer s.Close()
		wg.Go(func() {
			var mine int64
			for range 20 {
				_, total, ok, err := s.ReserveQuota(ctx, "anna", fmt.Sprint(h), 0, mine+17, bound)
				if err != nil || total > bound {
					t.Errorf("%d reserved, %v", total, err)
					return
				}
				if ok {
					mine += 17
				}
			}
			mu.Lock()
			have += mine
			mu.Unlock()
		})
	}
	wg.Wait()
	s := open(t, dir)
	defer s.Close()
	_, total, err := s.QuotaTotals(ctx, "anna")
	must(t, err)
	if total != have || have != bound/17*17 {
		t.Errorf("%d are reserved, holders have %d of %d", total, have, bound)
	}
}
