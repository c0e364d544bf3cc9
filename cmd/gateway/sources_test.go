package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/ftpbridge"
)

func TestConfirmRemoval(t *testing.T) {
	e, _, stderr := newEnv(t)
	removal := ftpbridge.Removal{Known: 100}
	for i := range 30 {
		removal.List.Items = append(removal.List.Items, ftpbridge.Item{Target: fmt.Sprintf("old/%d\x1b", i)})
	}
	removal.List.Total = 40
	for answer, agreed := range map[string]bool{"y\n": true, "YES\n": true, "\n": false, "": false, "n\n": false, "yonder\n": false} {
		e.in = strings.NewReader(answer)
		stderr.Reset()
		refused, err := confirmRemoval(e, removal)
		if err != nil || (refused == "") != agreed {
			t.Errorf("%q: %q, %v", answer, refused, err)
		}
		if s := stderr.String(); !strings.Contains(s, "40 of 100 files") || !strings.Contains(s, "and 20 more") || strings.Contains(s, "\x1b") {
			t.Errorf("%q", s)
		}
	}
}

// Only the newest reports of a source are kept, and those of others are left alone.
func TestReportsAreBounded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "reports")
	begun := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	write := func(name string, i int) {
		t.Helper()
		if err := writeReport(dir, name, ftpbridge.Report{Started: begun.Add(time.Duration(i) * time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	write("a-1", 0)
	for i := range keptReports + 3 {
		write("a", i)
	}
	all, err := os.ReadDir(dir)
	if err != nil || len(all) != keptReports+1 {
		t.Errorf("%d files, %v", len(all), err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a-20260101T000003.000Z.json")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a-20260101T000002.000Z.json")); err == nil {
		t.Error("an old one is still there")
	}
}
