package events

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"gateway/state"
)

// Bounds of a Dispatcher.
const (
	firstWait = time.Second
	maxWait   = time.Hour

	pollEvery = 5 * time.Second  // how often it is looked for what other processes put in
	lease     = 10 * time.Second // for how long a hook of a process that died stays its own
	stopGrace = 10 * time.Second // for how long a delivery may go on when its process is stopped
)

// Dispatcher delivers what is in the outbox, to each hook in order, until its context ends.
type Dispatcher struct {
	Box    state.Outbox
	Hooks  Hooks
	Holder string // names this process, other than all others
	Logger *slog.Logger

	poll  time.Duration // 0: pollEvery
	grace time.Duration // 0: stopGrace

	mu   sync.Mutex
	wake map[string]chan struct{}
}

// Wake has hooks looked at now.
func (d *Dispatcher) Wake(names ...string) {
	for _, name := range names {
		select {
		case d.waker(name) <- struct{}{}:
		default:
		}
	}
}

func (d *Dispatcher) waker(name string) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wake == nil {
		d.wake = map[string]chan struct{}{}
	}
	if d.wake[name] == nil {
		d.wake[name] = make(chan struct{}, 1)
	}
	return d.wake[name]
}

// Run returns when ctx has ended and nothing is being delivered any more.
func (d *Dispatcher) Run(ctx context.Context) {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	var wg sync.WaitGroup
	for i := range d.Hooks {
		wg.Go(func() { d.serve(ctx, &d.Hooks[i]) })
	}
	wg.Wait()
}

// serve delivers to one hook.
func (d *Dispatcher) serve(ctx context.Context, h *Hook) {
	wake := d.waker(h.Name)
	every := d.poll
	if every == 0 {
		every = pollEvery
	}
	for {
		wait, err := d.round(ctx, h)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			d.Logger.Warn("the outbox cannot be read", "hook", h.Name, "error", err)
			wait = every
		}
		t := time.NewTimer(min(wait, every))
		select {
		case <-ctx.Done():
		case <-wake:
		case <-t.C:
		}
		t.Stop()
	}
}

// round delivers what is due, if there is something and nobody else does. It says when to look again at the latest.
func (d *Dispatcher) round(ctx context.Context, h *Hook) (wait time.Duration, err error) {
	first, err := d.Box.NextDeliveries(ctx, h.Name, 1)
	if err != nil || len(first) == 0 {
		return pollEvery, err
	}
	if first[0].Wait > 0 {
		return first[0].Wait, nil
	}
	held, err := d.Box.HoldHook(ctx, h.Name, d.Holder, lease)
	if err != nil || !held {
		return pollEvery, err
	}
	within, stop := d.hold(ctx, h.Name)
	pause, err := d.deliver(ctx, within, h)
	stop()
	// Also when ctx has ended, so that another process need not wait for the lease.
	if errors.Is(err, state.ErrClaimed) {
		err = nil // lost: who has it now goes on
	}
	return 0, errors.Join(err, d.Box.LeaveHook(context.WithoutCancel(ctx), h.Name, d.Holder, pause))
}

// hold keeps the hook until stop is called. The context ends if it is lost, and some time after ctx.
func (d *Dispatcher) hold(ctx context.Context, name string) (held context.Context, stop func()) {
	held, cancel := context.WithCancel(context.WithoutCancel(ctx))
	grace := d.grace
	if grace == 0 {
		grace = stopGrace
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		select {
		case <-held.Done():
			return
		case <-ctx.Done():
		}
		select {
		case <-held.Done():
		case <-time.After(grace):
			cancel()
		}
	})
	wg.Go(func() {
		t := time.NewTicker(lease / 4)
		defer t.Stop()
		for {
			select {
			case <-held.Done():
				return
			case <-t.C:
				ok, err := d.Box.HoldHook(held, name, d.Holder, lease)
				if held.Err() == nil && (!ok || err != nil) {
					d.Logger.Warn("deliveries are left to another process", "hook", name, "error", err)
					cancel()
				}
			}
		}
	})
	return held, func() { cancel(); wg.Wait() }
}

// deliver delivers until nothing is due, something failed, or until ends. pause is for how long nobody is to deliver then.
func (d *Dispatcher) deliver(until, ctx context.Context, h *Hook) (pause time.Duration, err error) {
	for until.Err() == nil && ctx.Err() == nil {
		list, err := d.Box.NextDeliveries(ctx, h.Name, max(1, h.Deliver.Batch()))
		if err != nil || len(list) == 0 || list[0].Wait > 0 {
			return 0, err
		}
		list, told, ok, err := d.readable(ctx, h, list)
		if err != nil || !ok {
			return 0, err
		}
		if err := h.Deliver.Deliver(ctx, told); err != nil {
			if ctx.Err() != nil {
				return 0, nil //nolint:nilerr // it was interrupted, and is told again
			}
			return 0, d.failed(ctx, h, list[0], err)
		}
		ids := make([]int64, len(list))
		for i := range list {
			ids[i] = list[i].ID
		}
		// Though ctx has ended: it was told.
		if err := d.Box.EndDeliveries(context.WithoutCancel(ctx), h.Name, d.Holder, ids...); err != nil {
			return 0, err
		}
		d.Logger.Debug("told", "hook", h.Name, "events", len(list))
		if p := h.Deliver.Pause(); p > 0 {
			return p, nil
		}
	}
	return 0, nil
}

// readable parses a batch. What cannot be read is given up, and then it is not ok.
func (d *Dispatcher) readable(ctx context.Context, h *Hook, list []state.Delivery) ([]state.Delivery, []Event, bool, error) {
	told := make([]Event, len(list))
	for i := range list {
		var err error
		if told[i], err = Parse(list[i].Payload); err != nil {
			err = d.Box.FailDelivery(ctx, h.Name, d.Holder, list[i].ID, state.Failure{Error: err.Error(), Dead: true})
			return nil, nil, false, err
		}
	}
	return list, told, true, nil
}

// failed decides what becomes of a delivery, the first of those that failed together.
func (d *Dispatcher) failed(ctx context.Context, h *Hook, first state.Delivery, why error) error {
	giveUp, tries := h.GiveUp, h.Tries
	if giveUp <= 0 {
		giveUp = DefaultGiveUp
	}
	if tries <= 0 {
		tries = DefaultTries
	}
	f := state.Failure{Error: why.Error(), Wait: waitAfter(first.Tries)}
	var refused *Refused
	f.Dead = time.Since(first.Created) > giveUp && first.Tries > 0 || errors.As(why, &refused) && first.Tries+1 >= tries
	log := d.Logger.With("hook", h.Name, "id", first.ID, "tries", first.Tries+1, "error", why)
	if f.Dead {
		log.Error("an event is given up; gateway events retry tries it again")
	} else {
		log.Warn("an event could not be told", "again_in", f.Wait.Round(time.Millisecond))
	}
	return d.Box.FailDelivery(ctx, h.Name, d.Holder, first.ID, f)
}

// waitAfter doubles with each try, and differs, so that many do not come at once.
func waitAfter(tries int) time.Duration {
	wait := maxWait
	if tries < 12 {
		wait = min(firstWait<<tries, maxWait)
	}
	return wait/2 + rand.N(wait/2) //nolint:gosec // nobody gains by knowing it
}
