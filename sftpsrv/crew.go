package sftpsrv

import "time"

// crewTime is for how long a goroutine waits for more to do.
const crewTime = 200 * time.Millisecond

// crew runs functions in goroutines, each of which is used again if there is more to do soon: to grow the stack of a new
// one costs as much as a small request.
type crew struct {
	idle chan func()
	ends <-chan struct{}
}

func newCrew(ends <-chan struct{}) *crew { return &crew{idle: make(chan func()), ends: ends} }

// run runs f beside the caller.
func (c *crew) run(f func()) {
	select {
	case c.idle <- f:
	default:
		go c.work(f)
	}
}

func (c *crew) work(f func()) {
	f()
	wait := time.NewTimer(crewTime)
	defer wait.Stop()
	for {
		select {
		case f = <-c.idle:
			f()
			wait.Reset(crewTime)
		case <-wait.C:
			return
		case <-c.ends:
			return
		}
	}
}
