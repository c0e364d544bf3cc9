package sftpsrv

import "sync"

// queue runs functions one after the other, in the order of push, without keeping a
// goroutine while it is empty. crew has to be set.
type queue struct {
	crew *crew

	mu      sync.Mutex
	items   []func()
	running bool
}

func (q *queue) push(item func()) {
	q.mu.Lock()
	q.items = append(q.items, item)
	start := !q.running
	q.running = true
	q.mu.Unlock()
	if start {
		q.crew.run(q.run)
	}
}

func (q *queue) run() {
	var batch []func()
	for {
		q.mu.Lock()
		if len(q.items) == 0 {
			q.running = false
			q.mu.Unlock()
			return
		}
		batch, q.items = q.items, batch[:0]
		q.mu.Unlock()
		for i, item := range batch {
			item()
			batch[i] = nil
		}
	}
}

// barrier is a place in a queue at which it stops until it is released.
type barrier struct {
	reached, done chan struct{}
}

func newBarrier() *barrier {
	return &barrier{reached: make(chan struct{}), done: make(chan struct{})}
}

func (b *barrier) run() {
	close(b.reached)
	<-b.done
}
