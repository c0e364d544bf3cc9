package statetest

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gateway/state"
)

// payloads are what a hook is to be told, in its order.
func payloads(t *testing.T, s state.Store, hook string) (list []string) {
	t.Helper()
	next, err := s.NextDeliveries(t.Context(), hook, 1000)
	must(t, err)
	for _, d := range next {
		list = append(list, string(d.Payload))
	}
	return list
}

func wantPayloads(t *testing.T, s state.Store, hook string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, payloads(t, s, hook)); diff != "" {
		t.Errorf("deliveries to %s: %s", hook, diff)
	}
}

func delivery(hook, payload string) state.Delivery {
	return state.Delivery{Hook: hook, Payload: []byte(payload)}
}

func testOutbox(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	s, other := open(t, dir), open(t, dir)
	defer s.Close()
	defer other.Close()
	hold := func(s state.Store, hook, holder string, want bool) {
		t.Helper()
		if got, err := s.HoldHook(ctx, hook, holder, time.Minute); got != want || err != nil {
			t.Errorf("%s holds %s: %v, %v; want %v", holder, hook, got, err, want)
		}
	}
	wantPayloads(t, s, "a")
	must(t, s.AddDeliveries(ctx, delivery("a", "1"), delivery("b", "2"), delivery("a", "3\x00\xff")))
	must(t, other.AddDeliveries(ctx, delivery("a", "4")))
	must(t, s.AddDeliveries(ctx, delivery("c", "")))
	wantPayloads(t, other, "a", "1", "3\x00\xff", "4")
	wantPayloads(t, other, "c", "")
	list, err := s.NextDeliveries(ctx, "a", 2)
	must(t, err)
	if len(list) != 2 || list[0].ID >= list[1].ID || list[0].Wait != 0 || list[0].Tries != 0 || time.Since(list[0].Created) > time.Minute {
		t.Errorf("%+v", list)
	}
	wantErr(t, s.EndDeliveries(ctx, "a", "s", list[0].ID), state.ErrClaimed)
	hold(s, "a", "s", true)
	hold(s, "a", "s", true)
	hold(other, "a", "o", false)
	hold(other, "b", "o", true)
	wantErr(t, other.EndDeliveries(ctx, "a", "o", list[0].ID), state.ErrClaimed)
	wantErr(t, other.FailDelivery(ctx, "a", "o", list[0].ID, state.Failure{}), state.ErrClaimed)
	must(t, s.FailDelivery(ctx, "a", "s", list[0].ID, state.Failure{Error: "no answer \x00\xff", Wait: time.Hour}))
	wantPayloads(t, other, "a", "1", "3\x00\xff", "4") // the order is kept
	again, err := other.NextDeliveries(ctx, "a", 1)
	must(t, err)
	if d := again[0]; d.Tries != 1 || d.Error != "no answer \x00\xff" || d.Wait < 50*time.Minute || d.Wait > time.Hour {
		t.Errorf("%+v", d)
	}
	must(t, s.EndDeliveries(ctx, "a", "s", list[0].ID, list[1].ID))
	wantPayloads(t, other, "a", "4")
	must(t, other.LeaveHook(ctx, "a", "o", time.Hour)) // it has it not
	must(t, s.LeaveHook(ctx, "a", "s", 0))
	hold(other, "a", "o", true)
	must(t, other.LeaveHook(ctx, "a", "o", time.Hour))
	hold(other, "a", "o", false)
	hold(s, "a", "s", false)
	for _, bad := range []state.Delivery{{}, delivery("", "x"), delivery(string(make([]byte, state.MaxHookName+1)), "x")} {
		wantErr(t, s.AddDeliveries(ctx, delivery("b", "not alone"), bad), state.ErrInvalid)
	}
	wantErr(t, s.AddDeliveries(ctx, delivery("b", string(make([]byte, state.MaxPayload+1)))), state.ErrTooLarge)
	wantPayloads(t, s, "b", "2")
}

func testOutboxDead(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	s := open(t, dir)
	defer s.Close()
	must(t, s.AddDeliveries(ctx, delivery("a", "1"), delivery("a", "2")))
	_, err := s.HoldHook(ctx, "a", "s", time.Minute)
	must(t, err)
	list, err := s.NextDeliveries(ctx, "a", 10)
	must(t, err)
	must(t, s.FailDelivery(ctx, "a", "s", list[0].ID, state.Failure{Error: "refused", Dead: true}))
	wantPayloads(t, s, "a", "2")
	dead, err := s.Deliveries(ctx, true, 10)
	must(t, err)
	if len(dead) != 1 || !dead[0].Dead || dead[0].Error != "refused" || dead[0].ID != list[0].ID || dead[0].Tries != 1 {
		t.Errorf("%+v", dead)
	}
	if w, d, err := s.CountDeliveries(ctx); w != 1 || d != 1 || err != nil {
		t.Errorf("%d wait, %d are dead, %v", w, d, err)
	}
	must(t, s.RetryDelivery(ctx, dead[0].ID))
	wantPayloads(t, s, "a", "2", "1")
	wantErr(t, s.RetryDelivery(ctx, dead[0].ID), state.ErrNotFound)
	waiting, err := s.Deliveries(ctx, false, 10)
	must(t, err)
	if len(waiting) != 2 || waiting[1].Tries != 0 || waiting[1].Error != "" || !waiting[1].Created.Equal(dead[0].Created) {
		t.Errorf("%+v", waiting)
	}
	must(t, s.DropDelivery(ctx, waiting[1].ID))
	wantErr(t, s.DropDelivery(ctx, waiting[1].ID), state.ErrNotFound)
	wantPayloads(t, s, "a", "2")
}

// Several hold one hook in turn: each delivery is ended once, in order.
func testOutboxAtOnce(t *testing.T, open Open) {
	const nodes, each = 4, 25
	dir, ctx := t.TempDir(), t.Context()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var got []string
	for n := range nodes {
		s := open(t, dir)
		defer s.Close()
		wg.Go(func() {
			for i := range each {
				if err := s.AddDeliveries(ctx, delivery("a", fmt.Sprintf("%d %d", n, i))); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			holder := fmt.Sprint(n)
			for {
				mu.Lock()
				done := len(got) == nodes*each
				mu.Unlock()
				if done || t.Failed() {
					return
				}
				held, err := s.HoldHook(ctx, "a", holder, time.Minute)
				if err != nil {
					t.Error(err)
				}
				if !held {
					continue
				}
				list, err := s.NextDeliveries(ctx, "a", 3)
				for _, d := range list {
					mu.Lock()
					got = append(got, string(d.Payload))
					mu.Unlock()
					if err := s.EndDeliveries(ctx, "a", holder, d.ID); err != nil {
						t.Error(err)
					}
				}
				if err := s.LeaveHook(ctx, "a", holder, 0); err != nil {
					t.Error(err)
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	next := map[int]int{}
	for _, p := range got {
		var n, i int
		if _, err := fmt.Sscan(p, &n, &i); err != nil || next[n] != i {
			t.Fatalf("%q is delivered, want number %d of it", p, next[n])
		}
		next[n]++
	}
	if len(got) != nodes*each {
		t.Errorf("%d deliveries, want %d", len(got), nodes*each)
	}
}

// A holder that is gone loses the hook when its lease is over.
func testOutboxLease(t *testing.T, open Open) {
	dir, ctx := t.TempDir(), t.Context()
	s := open(t, dir)
	defer s.Close()
	must(t, s.AddDeliveries(ctx, delivery("a", "1")))
	list, err := s.NextDeliveries(ctx, "a", 1)
	must(t, err)
	_, err = s.HoldHook(ctx, "a", "gone", 50*time.Millisecond)
	must(t, err)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		held, err := s.HoldHook(ctx, "a", "next", time.Minute)
		must(t, err)
		if held {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a lease does not end")
		}
	}
	wantErr(t, s.EndDeliveries(ctx, "a", "gone", list[0].ID), state.ErrClaimed)
	must(t, s.EndDeliveries(ctx, "a", "next", list[0].ID))
}
