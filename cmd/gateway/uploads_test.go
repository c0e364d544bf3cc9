package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"gateway/sftpsrv"
	"gateway/storage"
)

// TestUploads lists what broke off, of users and not of migrations, and discards one by its ID.
func TestUploads(t *testing.T) {
	e, out, _ := newEnv(t)
	g := openGateway(t, e)
	disk := g.storages["default"]
	suspend := func(name, owner string, until time.Time) {
		u, err := disk.Create(t.Context(), name, storage.CreateOptions{Owner: owner, Size: -1})
		if err == nil {
			_, err = u.WriteAt([]byte("some bytes"), 0)
		}
		if err == nil {
			_, err = u.Suspend(t.Context(), storage.SuspendOptions{Until: until})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	suspend("report.pdf", "anna", time.Now().Add(time.Hour))
	suspend("killed.bin", "ben", time.Time{})
	suspend("held.txt", "migrate:0011223344556677", time.Time{})
	run := func(args ...string) (int, string) {
		out.Reset()
		return run(context.Background(), append([]string{"uploads"}, args...), e.streams), out.String()
	}
	if code, text := run(); code != 0 || strings.Count(text, "10 B\n") != 2 || !strings.Contains(text, "of ben, last written") ||
		!strings.Contains(text, "default:/killed.bin") || strings.Contains(text, "held.txt") {
		t.Errorf("status %d:\n%s", code, text)
	}
	code, text := run("--user", "anna")
	id, rest, _ := strings.Cut(text, "  ")
	if code != 0 || !strings.HasPrefix(rest, "default:/report.pdf  10 B\n  of anna, last written ") || strings.Count(text, "\n") != 2 {
		t.Errorf("status %d:\n%s", code, text)
	}
	if code, text := run("list", "--json", "--user", "anna"); code != 0 || !strings.Contains(text, `"id":"`+id+`"`) {
		t.Errorf("status %d:\n%s", code, text)
	}
	if code, text := run("discard", id); code != 0 || text != "discarded default:/report.pdf, 10 B of anna\n" {
		t.Errorf("status %d: %s", code, text)
	}
	if code, _ := run("discard", id); code != 1 {
		t.Errorf("discarded twice: status %d", code)
	}

	// What a gateway that was killed left expires too; what a migration keeps does not.
	suspended := func() (names []string) {
		for s, err := range disk.Suspended(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, s.Name)
		}
		return names
	}
	for _, step := range []struct {
		after time.Duration
		left  int
	}{{sftpsrv.DefaultKeepPartial - time.Minute, 2}, {sftpsrv.DefaultKeepPartial + time.Minute, 1}} {
		if err := g.expireUploads(t.Context(), time.Now().Add(step.after)); err != nil {
			t.Error(err)
		}
		if left := suspended(); len(left) != step.left {
			t.Errorf("after %v are left: %q", step.after, left)
		}
	}
}
