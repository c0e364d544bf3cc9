package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestChangedAndKept(t *testing.T) {
	a, b := Default(), Default()
	a.Sources = map[string]Source{"same": {URL: "ftp://a"}, "gone": {}, "other": {URL: "ftp://b", Server: Server{Active: true}}}
	b.Sources = map[string]Source{"same": {URL: "ftp://a"}, "new": {}, "other": {URL: "ftp://b"}}
	b.Data, b.SFTP.Listen, b.SFTP.Banner, b.Logins.Ban = "elsewhere", ":22", "hello", time.Hour
	want := []string{"data", "logins.ban", "sftp.banner", "sftp.listen", "sources.gone", "sources.new", "sources.other"}
	if got := Changed(a, b); !slices.Equal(got, want) {
		t.Errorf("changed: %q", got)
	}
	kept := Keep(a, b, func(key string) bool { return key == "data" || key == "sftp.listen" })
	if got := Changed(a, kept); !slices.Contains(got, "sftp.banner") || slices.Contains(got, "data") || slices.Contains(got, "sftp.listen") || !slices.Contains(got, "sources.new") {
		t.Errorf("after some were kept: %q", got)
	}
	if b.Data != "elsewhere" {
		t.Error("what was given was changed")
	}
	kept = Keep(a, b, func(key string) bool { return key == "sources" })
	if got := strings.Join(Changed(a, kept), " "); strings.Contains(got, "sources") {
		t.Errorf("after the sources were kept: %q", got)
	}
}
