package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"gateway/admin"
	"gateway/config"
	"gateway/ftpbridge"
	"gateway/state"
)

// TestRefusedRunKeepsTheHold: a job that was stopped stays so when it cannot be run because it still ends, here
// or on another node. Else that one would go on as if nobody had stopped it.
func TestRefusedRunKeepsTheHold(t *testing.T) {
	e, _, _ := newEnv(t)
	g := openGateway(t, e)
	g.cfg.Sources = map[string]config.Source{"old": {URL: "ftp://127.0.0.1/", To: "default:in"}}
	control := ftpbridge.NewControl()
	o := operatorJobs{func() *gateway { return g }, control}
	const id = "source-old"

	begun, end := make(chan struct{}), make(chan error)
	var stubborn atomic.Bool // it takes a while to stop
	stubborn.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan struct{})
	go func() {
		defer close(ran)
		ftpbridge.Scheduler{Control: control, Jobs: []ftpbridge.ScheduledJob{{Name: "old", Run: func(context.Context) error {
			if !stubborn.Load() {
				return state.ErrClaimed // by another node
			}
			close(begun)
			return <-end
		}}}}.Run(ctx)
	}()
	defer func() {
		cancel()
		<-ran
	}()
	for err := admin.ErrConflict; errors.Is(err, admin.ErrConflict); time.Sleep(time.Millisecond) { // until the scheduler has it
		err = o.RunJob(t.Context(), id, "anna")
	}
	<-begun
	refused := func(why string) {
		t.Helper()
		if err := o.RunJob(t.Context(), id, "anna"); !errors.Is(err, admin.ErrConflict) {
			t.Errorf("%s: %v", why, err)
		}
		if j, err := o.Job(t.Context(), id); err != nil || j.HeldBy != "bob" {
			t.Errorf("%s: held by %q, %v", why, j.HeldBy, err)
		}
	}
	if err := o.StopJob(t.Context(), id, "bob"); err != nil {
		t.Fatal(err)
	}
	refused("it still ends here")
	stubborn.Store(false)
	end <- nil
	for control.Running("old") {
		time.Sleep(time.Millisecond)
	}
	refused("another node has it")
	if err := o.ResumeJob(t.Context(), id, "anna"); err != nil {
		t.Error(err)
	}
	if err := o.ResumeJob(t.Context(), id, "anna"); !errors.Is(err, admin.ErrConflict) {
		t.Errorf("resumed twice: %v", err)
	}
}
