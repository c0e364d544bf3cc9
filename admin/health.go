package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

const (
	readyTime = 5 * time.Second // for all checks together
	readyKept = 2 * time.Second // anybody may ask
)

// Readiness is what became of a check.
type Readiness struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	Error string `json:"error"`
}

// readiness runs the checks, and remembers what came of them for a moment.
type readiness struct {
	checks []Check
	mu     sync.Mutex // held while they run
	until  time.Time
	last   []Readiness
}

func newReadiness(checks []Check) *readiness { return &readiness{checks: checks, last: []Readiness{}} }

func (c *readiness) state(ctx context.Context) []Readiness {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Now().Before(c.until) {
		return c.last
	}
	// The answer is for others too, so it does not end with who asked first.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTime)
	defer cancel()
	last := make([]Readiness, len(c.checks))
	var wg sync.WaitGroup
	for i, check := range c.checks {
		wg.Go(func() {
			last[i] = Readiness{Name: check.Name, Ready: true}
			if err := within(ctx, check.Test); err != nil {
				last[i].Ready, last[i].Error = false, err.Error()
			}
		})
	}
	wg.Wait()
	c.last, c.until = last, time.Now().Add(readyKept)
	return last
}

// within does not wait for what does not heed its context: a folder on a server that is gone.
func within(ctx context.Context, test func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- test(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// healthz says that the process answers.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n")) // who does not take it is gone
}

// readyz says whether users are served. Why not is only for those who have logged in.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	list := s.ready.state(r.Context())
	_, err := s.whoIs(r)
	status, ready := http.StatusOK, true
	shown := make([]Readiness, 0, len(list))
	for _, c := range list {
		if !c.Ready {
			ready, status = false, http.StatusServiceUnavailable
		}
		if err != nil {
			c.Error = ""
		}
		shown = append(shown, c)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"ready": ready, "checks": shown}) // who does not take it is gone
}
