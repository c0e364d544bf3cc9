package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"gateway/ftpbridge"
	"gateway/state"
)

func TestBarsOnlyForSlowFiles(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "terminal"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := newBars(f)
	defer b.close()
	b.event(ftpbridge.Event{Kind: ftpbridge.EventPlanned, Files: 2, Bytes: 30})
	for path, age := range map[string]time.Duration{"quick": 0, "slow": barAfter} {
		b.event(ftpbridge.Event{Kind: ftpbridge.EventStarted, Path: path, Size: 20})
		b.since[path] = b.since[path].Add(-age)
		b.event(ftpbridge.Event{Kind: ftpbridge.EventBytes, Path: path, Size: 20, Offset: 10})
		if _, drawn := b.files[path]; drawn != (age > 0) {
			t.Errorf("%s: drawn %v", path, drawn)
		}
	}
	for _, path := range []string{"quick", "slow"} {
		b.event(ftpbridge.Event{Kind: ftpbridge.EventFinished, Path: path, Size: 20, Phase: state.Published})
	}
	if n := len(b.since) + len(b.files) + len(b.done); n != 0 {
		t.Errorf("%d files are left behind", n)
	}
}
