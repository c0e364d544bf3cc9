package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"

	"gateway/auth"
	"gateway/state"
	"gateway/storage"
)

// flushQuotas is how often the other nodes are told what was added under quotas.
const flushQuotas = state.QuotaLease / 4

// quotas are those of all users who logged in, each shared by all their sessions.
type quotas struct {
	mu     sync.Mutex
	byUser map[string]*userQuota
	old    []*storage.Quota // whose limit changed, while something is under way
	made   int
	node   string // no other node has it
}

// userQuota is one user's quota. It is made anew when the limit in the user's file
// changes.
type userQuota struct {
	limit auth.Bytes
	quota *storage.Quota
}

func (g *gateway) quota(u auth.User) *storage.Quota {
	if u.Quota == 0 {
		return nil
	}
	qs := g.quotas
	qs.mu.Lock()
	defer qs.mu.Unlock()
	if qs.byUser == nil {
		qs.byUser, qs.node = map[string]*userQuota{}, rand.Text()
	}
	q := qs.byUser[u.Name]
	if q != nil && q.limit == u.Quota {
		return q.quota
	}
	if q != nil {
		qs.old = append(qs.old, q.quota)
	}
	qs.made++
	q = &userQuota{limit: u.Quota, quota: storage.NewQuota(int64(u.Quota))}
	if g.cfg.State.Shared() {
		q.quota = storage.NewSharedQuota(int64(u.Quota), g.state, u.Name, fmt.Sprintf("%s-%d", qs.node, qs.made))
	}
	qs.byUser[u.Name] = q
	return q.quota
}

// shareQuotas tells the other nodes what was added under quotas, from time to time
// and at the end.
func (g *gateway) shareQuotas(ctx context.Context) error {
	every(ctx, flushQuotas, func(ctx context.Context) {
		if err := g.quotas.flush(ctx); err != nil && ctx.Err() == nil {
			g.log.Warn("what was added under quotas cannot be told to other nodes", "error", err)
		}
	})
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushQuotas)
	defer cancel()
	return g.quotas.flush(ctx)
}

func (qs *quotas) flush(ctx context.Context) error {
	qs.mu.Lock()
	var all []*storage.Quota
	for _, q := range qs.byUser {
		all = append(all, q.quota)
	}
	all = append(all, qs.old...)
	qs.mu.Unlock()
	idle := map[*storage.Quota]bool{}
	var errs []error
	for _, q := range all {
		done, err := q.Flush(ctx)
		idle[q] = done
		errs = append(errs, err)
	}
	qs.mu.Lock()
	defer qs.mu.Unlock()
	var busy []*storage.Quota
	for _, q := range qs.old {
		if !idle[q] {
			busy = append(busy, q)
		}
	}
	qs.old = busy
	return errors.Join(errs...)
}
