package admin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"gateway/storage"
	"gateway/storage/disk"
)

func transferOf(user, name string) *storage.Transfer {
	return &storage.Transfer{Event: storage.Event{
		Began: time.Now(), User: user, Verb: storage.VerbUpload, Name: name,
		Origin: storage.Origin{Protocol: "sftp", Address: netip.MustParseAddr("192.0.2.7"), Session: "ssh-1"},
	}}
}

// observed is a tree whose changes the watch is told of.
func observed(t *testing.T, w *Watch) storage.FS {
	t.Helper()
	d, err := disk.Open(t.TempDir(), disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	v, err := storage.NewView([]storage.Mount{{Path: "/", FS: d, Permissions: storage.PermReadWrite}}, storage.ViewOptions{User: "anna"})
	if err != nil {
		t.Fatal(err)
	}
	return storage.Observe(v, w)
}

// families reads /metrics as Prometheus does.
func (l *lab) families(token ...string) map[string]*dto.MetricFamily {
	l.t.Helper()
	a := l.want(l.do("GET", "/metrics", "", token...), http.StatusOK)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(a.body))
	if err != nil {
		l.t.Fatalf("%v\n%s", err, a.body)
	}
	return families
}

// value is that of the metric with these labels, "name=value" each; -1 if there is none.
func value(f *dto.MetricFamily, labels ...string) float64 {
	for _, m := range f.GetMetric() {
		var have []string
		for _, l := range m.GetLabel() {
			have = append(have, l.GetName()+"="+l.GetValue())
		}
		slices.Sort(have)
		slices.Sort(labels)
		if slices.Equal(have, labels) {
			return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return -1
}

func TestMetrics(t *testing.T) {
	l := newLab(t, nil)
	l.want(l.do("GET", "/metrics", ""), http.StatusUnauthorized)
	token := l.token(Token{Name: "mon", ReadOnly: true}, 0)
	w := l.srv.cfg.Watch
	tree := observed(t, w)
	ctx := storage.WithOrigin(t.Context(), storage.Origin{Protocol: "sftp", Session: "ssh-1"})

	up, err := tree.Create(ctx, hostileName, storage.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := up.WriteAt(make([]byte, 1000), 0); err != nil {
		t.Fatal(err)
	}
	during := l.families(token...)
	if got := value(during["gateway_transferred_bytes_total"], "protocol=sftp", "direction=in"); got != 1000 {
		t.Errorf("bytes of an upload under way: %v", got)
	}
	if got := value(during["gateway_transfers_under_way"], "protocol=sftp", "verb=upload"); got != 1 {
		t.Errorf("transfers under way: %v", got)
	}
	if _, err := up.Commit(ctx, storage.CommitOptions{}); err != nil {
		t.Fatal(err)
	}
	f, err := tree.Open(ctx, hostileName)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, io.NewSectionReader(f, 0, 1000)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	if err := tree.Remove(ctx, "none"); err == nil {
		t.Fatal("removed nothing")
	}
	odd := storage.WithOrigin(t.Context(), storage.Origin{Protocol: hostile})
	if err := tree.Mkdir(odd, "folder"); err != nil {
		t.Fatal(err)
	}
	w.LoggedIn("sftp", true)
	w.LoggedIn("sftp", false)

	after := l.families(token...)
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"gateway_transferred_bytes_total", []string{"protocol=sftp", "direction=in"}, 1000},
		{"gateway_transferred_bytes_total", []string{"protocol=sftp", "direction=out"}, 1000},
		{"gateway_operations_total", []string{"protocol=sftp", "verb=upload", "result=ok"}, 1},
		{"gateway_operations_total", []string{"protocol=sftp", "verb=download", "result=ok"}, 1},
		{"gateway_operations_total", []string{"protocol=sftp", "verb=delete", "result=refused"}, 1},
		{"gateway_operations_total", []string{"protocol=other", "verb=mkdir", "result=ok"}, 1},
		{"gateway_operation_seconds", []string{"protocol=sftp", "verb=upload"}, 1},
		{"gateway_transfers_under_way", []string{"protocol=sftp", "verb=upload"}, -1},
		{"gateway_logins_total", []string{"protocol=sftp", "result=refused"}, 1},
		{"gateway_sessions", []string{"protocol=sftp"}, 1},
		{"gateway_jobs", []string{"state=held"}, 1},
		{"gateway_jobs", []string{"state=elsewhere"}, 0},
		{"gateway_jobs_last_result", []string{"result=incomplete"}, 1},
		{"gateway_ledger_files", []string{"phase=published"}, 3},
		{"gateway_quarantine_files", nil, 2},
		{"gateway_bans", nil, 1},
		{"gateway_outbox_length", nil, 4},
		{"gateway_outbox_dead", nil, 1},
		{"gateway_certificate_days_left", []string{"name=files.example.org"}, 3},
		{"gateway_storage_available_bytes", []string{"storage=default"}, 40},
		{"gateway_storage_available_bytes", []string{"storage=s3"}, -1},
		{"gateway_ready", []string{"check=state"}, 1},
		{"gateway_log_records_total", []string{"level=error"}, 1},
	} {
		if got := value(after[c.name], c.labels...); got != c.want {
			t.Errorf("%s%v: %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	for _, name := range []string{"go_goroutines", "process_cpu_seconds_total", "gateway_build_info"} {
		if after[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	checkLabels(t, after)
}

const hostileName = "anna-secret.txt"

// checkLabels: no label grows with users, files or addresses.
func checkLabels(t *testing.T, families map[string]*dto.MetricFamily) {
	t.Helper()
	known := []string{"protocol", "verb", "direction", "result", "state", "phase", "check", "level", "version", "revision", "go", "name", "storage", "le", "quantile"}
	for _, name := range slices.Sorted(maps.Keys(families)) {
		for _, m := range families[name].GetMetric() {
			for _, l := range m.GetLabel() {
				if strings.HasPrefix(name, "gateway_") && !slices.Contains(known, l.GetName()) {
					t.Errorf("%s has a label %s", name, l.GetName())
				}
				if strings.Contains(l.GetValue(), "anna") || strings.Contains(l.GetValue(), "192.0.2.7") || strings.Contains(l.GetValue(), "script") {
					t.Errorf("%s: label %s tells %q", name, l.GetName(), l.GetValue())
				}
			}
		}
	}
}

func TestMetricsOpen(t *testing.T) {
	l := newLab(t, func(c *Config) { c.MetricsOpen = true })
	if l.families()["gateway_build_info"] == nil {
		t.Error("nothing is told")
	}
	l.want(l.do("GET", "/api/v1/jobs", ""), http.StatusUnauthorized)
}

// TestBytesNeverFall: what was counted of a transfer under way stays when it ends.
func TestBytesNeverFall(t *testing.T) {
	w := NewWatch()
	tree := observed(t, w)
	up, err := tree.Create(t.Context(), "a", storage.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := up.WriteAt(make([]byte, 10), 0); err != nil {
		t.Fatal(err)
	}
	want := map[flow]int64{{"other", "in"}: 10}
	if got := w.total(); !maps.Equal(got, want) {
		t.Errorf("under way: %v", got)
	}
	_ = up.Abort(t.Context())
	if got := w.total(); !maps.Equal(got, want) || len(w.Transfers()) != 0 {
		t.Errorf("after it was given up: %v, %v", got, w.Transfers())
	}
}

func TestRates(t *testing.T) {
	w := NewWatch()
	tree := observed(t, w)
	now := time.Now()
	w.sample(now)
	up, err := tree.Create(t.Context(), "a", storage.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer up.Abort(t.Context())
	if _, err := up.WriteAt(make([]byte, 1000), 0); err != nil {
		t.Fatal(err)
	}
	w.sample(now.Add(2 * time.Second))
	if r := w.Rates(); !slices.Equal(r.In, []int64{500}) || !slices.Equal(r.Out, []int64{0}) {
		t.Errorf("rates %+v", r)
	}
	if list := w.Transfers(); len(list) != 1 || list[0].Bytes != 1000 || list[0].Rate < 400 {
		t.Errorf("transfers %+v", list)
	}
	for i := range 2 * maxSamples {
		w.sample(now.Add(time.Duration(i+2) * 2 * time.Second))
	}
	if r := w.Rates(); len(r.In) != maxSamples {
		t.Errorf("%d samples are kept", len(r.In))
	}
}

func TestRecent(t *testing.T) {
	var out bytes.Buffer
	r := NewRecent(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelError}))
	log := slog.New(r)
	log.Info("nothing")
	log.With("front", "sftp").WithGroup("g").Warn("first", "stack", "long", "n", slog.GroupValue(slog.Int("a", 1)))
	if got := r.Records(); len(got) != 1 || got[0].Level != "WARN" || got[0].Text != `first front="sftp" g.n.a="1"` {
		t.Errorf("kept %+v", got)
	}
	if out.Len() > 0 {
		t.Errorf("the log leaves warnings out: %s", out.String())
	}
	for i := range maxRecent + 5 {
		log.Error(fmt.Sprint(i), "text", strings.Repeat("ü", maxRecentText))
	}
	got := r.Records()
	if len(got) != maxRecent || !strings.HasPrefix(got[0].Text, fmt.Sprint(maxRecent+4)) || len(got[0].Text) > maxRecentText {
		t.Errorf("%d are kept; the newest is %.20q of %d bytes", len(got), got[0].Text, len(got[0].Text))
	}
	if r.count(slog.LevelError) != maxRecent+5 || r.count(slog.LevelWarn) != 1 {
		t.Errorf("counted %d and %d", r.count(slog.LevelError), r.count(slog.LevelWarn))
	}
	if !r.Enabled(context.Background(), slog.LevelWarn) || r.Enabled(context.Background(), slog.LevelInfo) {
		t.Error("not what is kept is enabled")
	}
}

func TestShown(t *testing.T) {
	for in, want := range map[string]string{
		"plain ü": "plain ü", "a\x1bb": `a\u{1B}b`, "a\u202eb": `a\u{202E}b`, "a\xffb": "a\uFFFDb", "two\nlines": "two\nlines",
	} {
		if got := shown(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
