package admin

import (
	"log/slog"
	"net/http"
	"net/url"
	"testing"
)

// TestBannedLoginsAreNotLogged: they would push all else out of the latest warnings, and fill the log.
func TestBannedLoginsAreNotLogged(t *testing.T) {
	recent := NewRecent(slog.DiscardHandler)
	l := newLab(t, func(c *Config) { c.Recent, c.Logger = recent, slog.New(recent) })
	for range 3 {
		l.form("/login", url.Values{"name": {"nobody"}, "password": {"wrong"}})
	}
	before := recent.count(slog.LevelWarn)
	for range 5 {
		l.want(l.form("/login", url.Values{"name": {"nobody"}, "password": {"wrong"}}), http.StatusTooManyRequests)
	}
	if n := recent.count(slog.LevelWarn); before == 0 || n != before {
		t.Errorf("%d warnings, and %d after the ban", before, n)
	}
}
