package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
)

// version is what "make build" says, from git describe; the linker sets it.
var version string

type versionCmd struct{}

// Run prints the version.
func (versionCmd) Run(e *env) error {
	_, err := fmt.Fprintln(e.out, versionLine())
	return err
}

// versionLine is what "make build" recorded, else what the Go command did.
func versionLine() string {
	var recorded, revision string
	if info, ok := debug.ReadBuildInfo(); ok {
		recorded = info.Main.Version
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	named := cmp.Or(version, cmp.Or(recorded, "(unknown)")+revision)
	return fmt.Sprintf("gateway %s %s %s/%s", named, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
