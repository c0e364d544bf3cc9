package main

import (
	"os"
	"runtime/debug"
)

// gcPercent is Go's GOGC for the commands that move files. They keep a few
// megabytes alive and make many of garbage each second: twice the memory
// halves the collections, more gains nothing.
const gcPercent = 200

// collectLess sets it, unless the environment has a say.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
}
