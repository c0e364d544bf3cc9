package config

import "time"

// Page is the page for browsers, on the address of https.
type Page struct {
	// Off leaves it out: browsers then get a plain listing.
	Off bool `yaml:"off"`
	// Title is what it is called.
	Title string `yaml:"title"`
	// SessionIdle is after how long without use a login ends, SessionLongest when any does; 0 is 8 h and 7 days.
	SessionIdle    time.Duration `yaml:"session_idle"`
	SessionLongest time.Duration `yaml:"session_longest"`
	// SharesOff lets nobody share links; SharesLongest is for how long one can be, 0 is 30 days.
	SharesOff     bool          `yaml:"shares_off"`
	SharesLongest time.Duration `yaml:"shares_longest"`
}

func (p Page) validate(bad func(key, format string, args ...any)) {
	if p.SessionIdle < 0 || p.SessionLongest < 0 || p.SharesLongest < 0 {
		bad("page", "times must be longer than 0, for example 8h")
	}
	if p.SharesLongest > 0 && p.SharesLongest < time.Hour {
		bad("page.shares_longest", "must be at least 1h")
	}
}
