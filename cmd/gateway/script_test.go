package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"gateway/tests/servers"
)

// TestMain lets the scripts call this test binary as "gateway".
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"gateway": main})
}

// TestScripts runs testdata/script/*.txt, which read like sessions in a shell.
func TestScripts(t *testing.T) {
	fish, zsh := servers.Tool(t, "fish"), servers.Tool(t, "zsh")
	testscript.Run(t, testscript.Params{
		Setup: func(e *testscript.Env) error {
			e.Setenv("FISH", fish)
			e.Setenv("ZSH", zsh)
			e.Setenv("ZSH_ROOT", filepath.Join(filepath.Dir(zsh), "..", "zsh"))
			e.Setenv("HOME", e.WorkDir) // fish keeps something there
			return nil
		},
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE_SCRIPTS") != "",
	})
}
