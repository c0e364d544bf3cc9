package config

import (
	"net"
	"path/filepath"
)

// Admin is the operator's page and API.
type Admin struct {
	// Listen is host:port. Without a host it listens on every address.
	Listen string `yaml:"listen"`
	// Off leaves it out.
	Off bool `yaml:"off"`
	// MetricsOpen answers /metrics without a login.
	MetricsOpen bool `yaml:"metrics_open"`
	// Pprof serves profiles of the process below /debug/pprof/, after a login.
	Pprof bool `yaml:"pprof"`
}

// AdminsDir is the folder of who may log in to the operator's page, and of the tokens of its API.
func (c Config) AdminsDir() string { return filepath.Join(c.Data, "admins") }

func (a Admin) validate(c Config, bad func(key, format string, args ...any)) {
	if a.Off {
		return
	}
	if _, err := net.ResolveTCPAddr("tcp", a.Listen); err != nil || a.Listen == "" {
		bad("admin.listen", "%q is not an address to listen on; write host:port, for example \"127.0.0.1:9443\"", a.Listen)
		return
	}
	_, port, _ := net.SplitHostPort(a.Listen)
	if port == "0" {
		return
	}
	if !c.SFTP.Off && a.Listen == c.SFTP.Listen || !c.HTTPS.Off && a.Listen == c.HTTPS.Listen {
		bad("admin.listen", "%q is the address of sftp or https too; give each its own port", a.Listen)
	}
}
