package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const (
	scrapeTime = 10 * time.Second // for what a scrape asks of the database
	countsKept = 30 * time.Second // counting a large ledger takes a while
)

// metrics is what Prometheus is told. No label has the name of a user, file or address in it.
type metrics struct {
	s        *Server
	registry *prometheus.Registry
	handler  http.Handler

	mu        sync.Mutex
	until     time.Time
	kept      []prometheus.Metric // of the database
	gathering chan struct{}       // closed when they are there; nil: nobody asks for them
}

func newMetrics(s *Server) *metrics {
	m := &metrics{s: s, registry: prometheus.NewRegistry()}
	w := s.cfg.Watch
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		w.operated, w.seconds, w.logins, m,
	)
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
	})
	return m
}

func (m *metrics) serve(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("gateway_"+name, help, labels, nil)
}

var (
	bytesDesc      = desc("transferred_bytes_total", "Bytes read and written by users, also by transfers under way; in is towards the gateway.", "protocol", "direction")
	underWayDesc   = desc("transfers_under_way", "Uploads and downloads that have not ended.", "protocol", "verb")
	sessionsDesc   = desc("sessions", "Connections of users, and HTTP requests under way.", "protocol")
	adminDesc      = desc("admin_sessions", "Browsers that are logged in to the operator's page.")
	bansDesc       = desc("bans", "Networks that may not log in.")
	jobsDesc       = desc("jobs", "Migrations and pushes by state.", "state")
	jobResultDesc  = desc("jobs_last_result", "Migrations and pushes by how their last run ended.", "result")
	ledgerDesc     = desc("ledger_files", "Files of all migrations and pushes by phase; at most half a minute old.", "phase")
	quarantineDesc = desc("quarantine_files", "Files in quarantine.")
	outboxDesc     = desc("outbox_length", "Events that wait to be sent.")
	deadDesc       = desc("outbox_dead", "Events that were given up; an operator can retry or drop them.")
	daysDesc       = desc("certificate_days_left", "Whole days until a certificate ends; below 0: it has ended.", "name")
	freeDesc       = desc("storage_available_bytes", "Room that is left in a storage that knows it.", "storage")
	readyDesc      = desc("ready", "1 if what the gateway needs answers, as /readyz says.", "check")
	recordsDesc    = desc("log_records_total", "Warnings and errors of the log.", "level")
	buildDesc      = desc("build_info", "What the build recorded.", "version", "revision", "go")
	startedDesc    = desc("start_time_seconds", "When the gateway started, in seconds since 1970.")
)

// Describe implements prometheus.Collector: nothing, as what there is depends on the configuration.
func (m *metrics) Describe(chan<- *prometheus.Desc) {}

func gauge[N int | int64](d *prometheus.Desc, v N, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v), labels...)
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	s := m.s
	for f, n := range s.cfg.Watch.total() {
		out <- prometheus.MustNewConstMetric(bytesDesc, prometheus.CounterValue, float64(n), f.protocol, f.direction)
	}
	under := map[[2]string]int{}
	for _, t := range s.cfg.Watch.Transfers() {
		under[[2]string{knownProtocol(t.Protocol), t.Verb}]++
	}
	for k, n := range under {
		out <- gauge(underWayDesc, n, k[0], k[1])
	}
	sessions := map[string]int{}
	for _, session := range s.sessionList() {
		sessions[knownProtocol(session.Protocol)]++
	}
	for protocol, n := range sessions {
		out <- gauge(sessionsDesc, n, protocol)
	}
	out <- gauge(adminDesc, s.sessions.count())
	for _, l := range []slog.Level{slog.LevelWarn, slog.LevelError} {
		out <- prometheus.MustNewConstMetric(recordsDesc, prometheus.CounterValue, float64(s.cfg.Recent.count(l)), strings.ToLower(l.String()))
	}
	v := s.cfg.Version
	out <- gauge(buildDesc, 1, v.Version, v.Revision, v.Go)
	out <- gauge(startedDesc, s.started.Unix())
	days := map[string]int{}
	for i, c := range s.certificates().Certificates {
		name := fmt.Sprint(i)
		if len(c.Names) > 0 {
			name = c.Names[0]
		}
		if left, ok := days[name]; !ok || c.DaysLeft < left {
			days[name] = c.DaysLeft
		}
	}
	for name, left := range days {
		out <- gauge(daysDesc, left, name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	for _, c := range s.ready.state(ctx) {
		n := 0
		if c.Ready {
			n = 1
		}
		out <- gauge(readyDesc, n, c.Name)
	}
	for _, metric := range m.stored(ctx) {
		out <- metric
	}
}

// stored is what the database and the storages know; nothing of them within ctx if one does not answer, such
// as a folder on a server that is gone: the rest is told then all the more. It is asked once at a time.
func (m *metrics) stored(ctx context.Context) []prometheus.Metric {
	m.mu.Lock()
	if time.Now().Before(m.until) {
		defer m.mu.Unlock()
		return m.kept
	}
	if m.gathering == nil {
		m.gathering = make(chan struct{})
		go m.keep(m.gathering)
	}
	done := m.gathering
	m.mu.Unlock()
	select {
	case <-done:
	case <-ctx.Done():
		m.s.log.Warn("some metrics cannot be told", "error", "the database or a storage does not answer; /readyz says which")
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept
}

// keep gathers what is stored, and then closes done.
func (m *metrics) keep(done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	list := m.gather(ctx)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept, m.until, m.gathering = list, time.Now().Add(countsKept), nil
	close(done)
}

// gather asks. What cannot be read is left out, and logged.
func (m *metrics) gather(ctx context.Context) []prometheus.Metric {
	var list []prometheus.Metric
	var errs []error
	note := func(err error) bool {
		errs = append(errs, err)
		return err == nil
	}
	s := m.s
	if bans, err := s.bans(ctx); note(err) {
		list = append(list, gauge(bansDesc, len(bans)))
	}
	if held, err := s.held(ctx); note(err) {
		list = append(list, gauge(quarantineDesc, len(held)))
	}
	if jobs, err := s.jobs(ctx); note(err) {
		list = append(list, jobMetrics(jobs)...)
	}
	if s.cfg.Jobs != nil {
		if counts, ok := s.cfg.Jobs.(LedgerCounter); ok {
			if files, err := counts.LedgerFiles(ctx); note(err) {
				for phase, n := range files {
					list = append(list, gauge(ledgerDesc, n, phase))
				}
			}
		}
	}
	if s.cfg.Outbox != nil {
		if waiting, dead, err := s.cfg.Outbox(ctx); note(err) {
			list = append(list, gauge(outboxDesc, waiting), gauge(deadDesc, dead))
		}
	}
	if storages, err := s.storages(ctx); note(err) {
		for _, st := range storages {
			if st.Available >= 0 && st.Error == "" {
				list = append(list, gauge(freeDesc, st.Available, st.Name))
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		s.log.Warn("some metrics cannot be told", "error", err)
	}
	return list
}

// LedgerCounter is a Jobs that can count the files of all jobs by phase.
type LedgerCounter interface {
	LedgerFiles(ctx context.Context) (map[string]int64, error)
}

func jobMetrics(jobs []Job) (list []prometheus.Metric) {
	states, results := map[string]int{}, map[string]int{}
	for _, state := range []string{JobRunning, JobElsewhere, JobWaiting, JobIdle, JobHeld} {
		states[state] = 0
	}
	for _, j := range jobs {
		states[j.State]++
		if j.Last != nil {
			results[j.Last.Result]++
		}
	}
	for state, n := range states {
		list = append(list, gauge(jobsDesc, n, state))
	}
	for result, n := range results {
		list = append(list, gauge(jobResultDesc, n, result))
	}
	return slices.Clip(list)
}
