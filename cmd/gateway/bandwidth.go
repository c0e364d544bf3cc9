package main

import (
	"errors"
	"sync"

	"gateway/auth"
	"gateway/config"
	"gateway/storage"
)

// bandwidths are the limits of users, which all views of one share, and of all together. The zero value has none.
type bandwidths struct {
	mu       sync.Mutex
	up, down *storage.Bandwidth       // of all; nil: none
	users    map[string]userBandwidth // those that have one
}

type userBandwidth struct{ up, down *storage.Bandwidth }

// readBandwidth reads limits.bandwidth; 0 is no limit.
func readBandwidth(c config.Config) (up, down auth.Bytes, err error) {
	read := func(key, text string) auth.Bytes {
		if text == "" {
			return 0
		}
		b, wrong := auth.ParseBytes(text)
		if wrong == nil {
			wrong = auth.CheckBandwidth(b)
		}
		if wrong != nil {
			err = errors.Join(err, c.Mistake("limits.bandwidth."+key, wrong))
		}
		return b
	}
	return read("up", c.Limits.Bandwidth.Up), read("down", c.Limits.Bandwidth.Down), err
}

// configure sets the limits of all, also for what is under way if there is one. One that was not there before, or is taken away,
// counts for the views that are made from now on.
func (b *bandwidths) configure(c config.Config) error {
	up, down, err := readBandwidth(c)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.up, b.down = limitTo(b.up, up), limitTo(b.down, down)
	return nil
}

// limitTo makes present, which may be nil, a limit of some bytes a second; nil for 0.
func limitTo(present *storage.Bandwidth, bytes auth.Bytes) *storage.Bandwidth {
	switch {
	case bytes == 0:
		return nil
	case present == nil:
		return storage.NewBandwidth(int64(bytes))
	}
	present.Set(int64(bytes))
	return present
}

// of are the limits of a user. What the user's file says now counts for all sessions that have a limit.
func (b *bandwidths) of(u auth.User) userBandwidth {
	b.mu.Lock()
	defer b.mu.Unlock()
	present := b.users[u.Name]
	if u.Bandwidth == (auth.Bandwidth{}) {
		delete(b.users, u.Name)
		return userBandwidth{}
	}
	l := userBandwidth{limitTo(present.up, u.Bandwidth.Up), limitTo(present.down, u.Bandwidth.Down)}
	if b.users == nil {
		b.users = map[string]userBandwidth{}
	}
	b.users[u.Name] = l // as many as there are users with limits
	return l
}

// throttle puts the limits on a view of a user.
func (b *bandwidths) throttle(v *storage.Observed, u auth.User) *storage.Observed {
	own := b.of(u)
	b.mu.Lock()
	up, down := limits(own.up, b.up), limits(own.down, b.down)
	b.mu.Unlock()
	return v.Throttle(up, down)
}

// limits are those that there are.
func limits(all ...*storage.Bandwidth) (some []*storage.Bandwidth) {
	for _, l := range all {
		if l != nil {
			some = append(some, l)
		}
	}
	return some
}
