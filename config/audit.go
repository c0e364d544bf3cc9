package config

import (
	"path/filepath"
	"time"
)

// MaxKept is how many closed files of the audit log can be kept.
const MaxKept = 100_000

// Audit is the log of who did what.
type Audit struct {
	// Off leaves it out.
	Off bool `yaml:"off"`
	// Dir is the folder of its files; "" is Data/audit.
	Dir string `yaml:"dir"`
	// Node names this machine in the lines; "" is its host name.
	Node string `yaml:"node"`
	// RotateSize and RotateEvery say when a file is closed and the next begun; Keep how many of those closed stay, 0 for all.
	RotateSize  string        `yaml:"rotate_size"`
	RotateEvery time.Duration `yaml:"rotate_every"`
	Keep        int           `yaml:"keep"`
	// Downloads have lines too.
	Downloads bool `yaml:"downloads"`
	// Sync is "second", or "always": a change is acknowledged when its line is on the disk.
	Sync string `yaml:"sync"`
	// OnFailure is "continue", or "refuse": nothing is done while the log cannot be written.
	OnFailure string `yaml:"on_failure"`
	// HeadEvery is how often the chain is signed.
	HeadEvery time.Duration `yaml:"head_every"`
}

func defaultAudit() Audit {
	return Audit{
		RotateSize: "64MiB", RotateEvery: 24 * time.Hour, Keep: 400, Downloads: true,
		Sync: "second", OnFailure: "continue", HeadEvery: 10 * time.Minute,
	}
}

// AuditDir is the folder of the audit log.
func (c Config) AuditDir() string {
	if c.Audit.Dir != "" {
		return c.Audit.Dir
	}
	return filepath.Join(c.Data, "audit")
}

func (a Audit) validate(bad func(key, format string, args ...any)) {
	if a.RotateEvery != 0 && a.RotateEvery < time.Minute {
		bad("audit.rotate_every", "must be 1m or longer, for example 24h, or 0 for never")
	}
	if a.Keep < 0 || a.Keep > MaxKept {
		bad("audit.keep", "must be 1 to %d, or 0 for all", MaxKept)
	}
	if !oneOf(a.Sync, "second", "always") {
		bad("audit.sync", "%q is not one of second, always", a.Sync)
	}
	if !oneOf(a.OnFailure, "continue", "refuse") {
		bad("audit.on_failure", "%q is not one of continue, refuse", a.OnFailure)
	}
	if a.HeadEvery < time.Second {
		bad("audit.head_every", "must be 1s or longer, for example 10m")
	}
}
