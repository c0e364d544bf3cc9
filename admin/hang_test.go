package admin

import (
	"context"
	"sync/atomic"
	"testing"
)

// hungStorages is a folder on a server that is gone.
type hungStorages struct {
	*parts
	asked atomic.Int64
	back  chan struct{}
}

func (h *hungStorages) StorageUse(context.Context) ([]Storage, error) {
	h.asked.Add(1)
	<-h.back
	return h.parts.StorageUse(context.Background())
}

// TestMetricsBesideAHungStorage: what else there is to tell is told, also that the storage is not ready.
func TestMetricsBesideAHungStorage(t *testing.T) {
	h := &hungStorages{parts: &parts{}, back: make(chan struct{})}
	l := newLab(t, func(c *Config) { c.Storages = h })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 3 {
		if list := l.srv.metrics.stored(ctx); list != nil {
			t.Errorf("%d metrics", len(list))
		}
	}
	close(h.back)
	if list := l.srv.metrics.stored(t.Context()); len(list) == 0 {
		t.Error("nothing is told though it is back")
	}
	if n := h.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
}
