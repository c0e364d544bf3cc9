package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gateway/tests/servers"
)

// scheduled is the line of "gateway jobs --json" of a configured source.
type scheduled struct {
	Name, Source, Result, Error string
	Published, Unchanged        int64
	Started, Finished, Next     *time.Time
}

func (l *lab) jobs(config string) map[string]scheduled {
	l.t.Helper()
	jobs := map[string]scheduled{}
	for line := range strings.Lines(l.must("--config", config, "jobs", "--json")) {
		var j scheduled
		if err := json.Unmarshal([]byte(line), &j); err != nil {
			l.t.Fatalf("%v: %q", err, line)
		}
		jobs[j.Name] = j
	}
	return jobs
}

// reports are those in the folder of a source, oldest first.
func reports(t *testing.T, folder, name string) []report {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, name+"-*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var list []report
	for _, file := range files {
		data, err := os.ReadFile(file)
		var r report
		if err == nil {
			err = json.Unmarshal(data, &r)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		list = append(list, r)
	}
	return list
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(commandTime); !done(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

// TestScheduledSources: a source is migrated by serve, which is stopped in the
// middle of a big file and started again, and then by hand under its name, while
// another source keeps failing.
func TestScheduledSources(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	big := bytes.Repeat([]byte("0123456789abcdef"), 4<<20) // 64 MiB
	for name, body := range map[string][]byte{"a.txt": []byte("small"), "big": big, "sub/b.txt": []byte("another")} {
		writeFile(t, filepath.Join(root, name), body)
	}
	server := servers.Start(t, servers.VSFTPD, servers.Options{Root: root})
	proxy := servers.StartProxy(t, server.Addr, servers.ProxyOptions{FTP: true})
	l := newLab(t)
	l.env = []string{"PARTNER_PASSWORD=" + server.Pass}
	dir := t.TempDir()
	config := filepath.Join(dir, "gateway.yaml")
	writeFile(t, config, fmt.Appendf(nil, `
sftp:
  listen: 127.0.0.1:0
https:
  listen: 127.0.0.1:0
admin:
  listen: 127.0.0.1:0
log:
  format: json
sources:
  partner:
    url: ftp://%s@%s/
    password_env: PARTNER_PASSWORD
    to: partner
    every: 10s
    after: move:fetched
    reports: reports
  broken:
    url: ftp://%s@127.0.0.1:1/
    to: broken
    every: 1h
  by-hand:
    url: ftp://%s@%s/
    password_file: pass
    to: copy
`, server.User, proxy.Addr, server.User, server.User, server.Addr))
	writeFile(t, filepath.Join(dir, "pass"), []byte(server.Pass+"\n"))
	if out := l.must("--config", config, "check-config"); !strings.Contains(out, "source         partner = ftp://") {
		t.Errorf("%s", out)
	}
	if j := l.jobs(config)["partner"]; j.Result != "never ran" || j.Next == nil {
		t.Errorf("%+v", j)
	}

	stalled := proxy.StallAfter(servers.Down, 48<<20)
	s := &serving{lab: l}
	s.start(config)
	awaitStall(t, stalled)
	r := l.run("--config", config, "migrate", "partner")
	if r.code != 1 || !strings.Contains(r.stderr, "another run of this job") {
		t.Errorf("twice at once: exit status %d\n%s", r.code, r.stderr)
	}
	s.stop()
	if log := s.log.String(); !strings.Contains(log, `"migration failed","source":"broken"`) || !strings.Contains(log, "connection refused") {
		t.Errorf("the log does not say what failed\n%s", log)
	}
	proxy.DropAll()
	proxy.Resume()
	jobs := l.jobs(config)
	if j := jobs["partner"]; j.Result != "interrupted" || j.Next == nil || time.Until(*j.Next) > time.Second {
		t.Errorf("stopped in the middle: %+v", j)
	}
	if j := jobs["broken"]; j.Result != "failed" || j.Error == "" || time.Until(*j.Next) < time.Hour {
		t.Errorf("a source that cannot be reached: %+v", j)
	}

	s = &serving{lab: l}
	s.start(config)
	reportsDir := filepath.Join(dir, "reports")
	waitFor(t, "the second run", func() bool { return len(reports(t, reportsDir, "partner")) >= 2 })
	all := reports(t, reportsDir, "partner")
	if first, second := all[0], all[1]; first.Error == "" || second.Error != "" || second.ResumedFiles != 1 || second.SavedBytes < 16<<20 {
		t.Errorf("reports %+v", all)
	}
	waitFor(t, "the third run", func() bool { return len(reports(t, reportsDir, "partner")) >= 3 })
	s.stop()
	log := s.log.String()
	for _, words := range []string{`"migration complete"`, `"source":"partner"`, `"disposed":3`} {
		if !strings.Contains(log, words) {
			t.Errorf("the log does not say %s\n%s", words, log)
		}
	}
	if strings.Contains(log, `"source":"broken"`) {
		t.Errorf("a source that cannot be reached was tried again before its time\n%s", log)
	}
	for name, body := range map[string][]byte{"a.txt": []byte("small"), "big": big, "sub/b.txt": []byte("another")} {
		for _, path := range []string{l.files("partner", name), filepath.Join(root, "fetched", name)} {
			if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s: %d bytes, %v", path, len(got), err)
			}
		}
	}
	byHand(t, l, config, root)
}

// byHand runs a source without a schedule: what it would do, does, and did.
func byHand(t *testing.T, l *lab, config, root string) {
	t.Helper()
	migrate := func(args ...string) result {
		return l.run(append([]string{"--config", config, "migrate", "by-hand"}, args...)...)
	}
	r := migrate("--dry-run")
	if r.code != 0 || !strings.Contains(r.out, "to fetch                3 files") || !strings.Contains(r.out, "is not known") {
		t.Errorf("dry run: exit status %d\n%s%s", r.code, r.out, r.stderr)
	}
	if _, err := os.Stat(l.files("copy")); err == nil {
		t.Error("a dry run made a folder")
	}
	if j := l.jobs(config)["by-hand"]; j.Result != "never ran" || j.Next != nil {
		t.Errorf("%+v", j)
	}
	if r = migrate(); r.code != 0 {
		t.Errorf("exit status %d\n%s%s", r.code, r.out, r.stderr)
	}
	if r = migrate("--checksum-only"); r.code != 0 || !strings.Contains(r.out, "hold the same files") {
		t.Errorf("comparison: exit status %d\n%s%s", r.code, r.out, r.stderr)
	}
	if err := os.Remove(filepath.Join(root, "fetched", "a.txt")); err != nil {
		t.Fatal(err)
	}
	if r = migrate("--delete-extra"); r.code != 1 || !strings.Contains(r.stderr, "--yes") {
		t.Errorf("nobody to ask: exit status %d\n%s%s", r.code, r.out, r.stderr)
	}
	if r = migrate("--delete-extra", "--yes"); r.code != 0 || !strings.Contains(r.out, "removed") {
		t.Errorf("removal: exit status %d\n%s%s", r.code, r.out, r.stderr)
	}
	if _, err := os.Stat(l.files("copy", "fetched", "a.txt")); err == nil {
		t.Error("what is gone from the source is still there")
	}
	if err := os.RemoveAll(filepath.Join(root, "fetched", "big")); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(root, "fetched", "sub")); err != nil {
		t.Fatal(err)
	}
	if r = migrate("--delete-extra", "--yes"); r.code != 1 || !strings.Contains(r.out, "more than half") {
		t.Errorf("all gone: exit status %d\n%s%s", r.code, r.out, r.stderr)
	}
	if r = migrate("--delete-extra=force", "--yes"); r.code != 0 {
		t.Errorf("all gone, by force: exit status %d\n%s%s", r.code, r.out, r.stderr)
	}
	if j := l.jobs(config)["by-hand"]; j.Result != "complete" || j.Finished == nil {
		t.Errorf("%+v", j)
	}
}
