package ftpbridge

import (
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"
)

// A server that is started anew in the middle of a run is waited for, for longer
// than the tries take; one that was never there is not.
func TestRetryWaitsForServer(t *testing.T) {
	srv := serve(t, map[string]string{"a": "1"})
	src := srv.source(t, "")
	newTry := func() *run {
		r := &run{MigrateOptions: MigrateOptions{
			Source: src, Tries: 2, RetryWait: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
		}}
		r.progress = progress{report: &Report{}}
		pool, err := NewPool(src)
		if err != nil {
			t.Fatal(err)
		}
		r.pool = pool
		t.Cleanup(func() { pool.Close() })
		return r
	}
	list := func(r *run) error {
		return r.retry(testContext(t), func(s Remote) (bool, error) {
			_, err := s.List(t.Context(), "")
			return false, err
		})
	}
	r := newTry()
	if err := list(r); err != nil {
		t.Fatal(err)
	}

	srv.ln.Close()
	srv.mu.Lock()
	for c := range srv.open {
		c.Close()
	}
	srv.mu.Unlock()
	if err := list(newTry()); !isFatal(err) || !errors.Is(err, ErrUnreachable) {
		t.Errorf("a server that never was there: %v", err)
	}
	done := make(chan struct{})
	var again net.Listener
	time.AfterFunc(200*time.Millisecond, func() {
		defer close(done)
		var err error
		if again, err = net.Listen("tcp4", srv.ln.Addr().String()); err != nil {
			t.Error(err)
			return
		}
		srv.wg.Go(func() {
			for {
				c, err := again.Accept()
				if err != nil {
					return
				}
				srv.wg.Go(func() { srv.serve(c) })
			}
		})
	})
	if err := list(r); err != nil {
		t.Errorf("a server that came back: %v", err)
	}
	<-done
	if again != nil {
		again.Close()
	}
}
