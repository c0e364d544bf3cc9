package config

import "time"

// Bounds of ShutdownTimeout, and what it is when it is not set.
const (
	defaultShutdown = 30 * time.Second
	minShutdown     = time.Second
	maxShutdown     = 24 * time.Hour
)

// ShutdownTime is for how long transfers may go on when the gateway is stopped.
func (c Config) ShutdownTime() time.Duration {
	if c.ShutdownTimeout == 0 {
		return defaultShutdown
	}
	return c.ShutdownTimeout
}

func (c Config) validateShutdown(bad func(key, format string, args ...any)) {
	if t := c.ShutdownTime(); t < minShutdown || t > maxShutdown {
		bad("shutdown_timeout", "must be %v to %v, for example 30s", minShutdown, maxShutdown)
	}
}
