package main

import (
	"context"
	"errors"

	"gateway/config"
	"gateway/ftpbridge"
	"gateway/state"
)

// configuredJob is a source or a push of the configuration.
type configuredJob struct {
	name, action        string // the action of a migration is ""
	source, destination string // what the ledger calls its ends
	schedule            config.Schedule
	when                string // the schedule in words; "" for none
	check               error  // what is wrong with it, and may be put right while the gateway runs
	run                 func(context.Context) error
}

// id tells a push from a source of the same name.
func (j configuredJob) id() string {
	if j.action == "" {
		return j.name
	}
	return j.action + " " + j.name
}

func (j configuredJob) last(ctx context.Context, store state.Store) (ftpbridge.LastRun, state.Job, []state.Run, error) {
	return ftpbridge.ReadLastRun(ctx, store, j.source, j.destination)
}

// configuredJobs are the sources that are migrated from, and the pushes. Those with
// a mistake in them are left out, and are in the error.
func (g *gateway) configuredJobs() ([]configuredJob, error) {
	var jobs []configuredJob
	var errs []error
	add := func(j configuredJob, err error) {
		if err != nil {
			errs = append(errs, err)
			return
		}
		jobs = append(jobs, j)
	}
	for _, name := range g.cfg.SourceNames() {
		if g.cfg.Sources[name].To != "" { // else it is only mounted
			add(g.sourceJob(name))
		}
	}
	for _, name := range g.cfg.PushNames() {
		add(g.pushJob(name))
	}
	return jobs, errors.Join(errs...)
}

func (g *gateway) sourceJob(name string) (configuredJob, error) {
	if err := checkSource(g.cfg, name); err != nil {
		return configuredJob{}, err
	}
	s := g.cfg.Sources[name]
	src, err := configuredSource(g.cfg, name)
	if err != nil {
		return configuredJob{}, err
	}
	to, err := g.folder(s.To)
	if err != nil {
		return configuredJob{}, g.cfg.Mistake("sources."+name+".to", err)
	}
	schedule, err := s.Schedule()
	return configuredJob{
		name: name, source: src.Redacted(), destination: ftpbridge.Destination(to.storage, to.name), schedule: schedule, when: whenText(s.When),
		check: checkSourceFiles(g.cfg, name),
		run:   func(ctx context.Context) error { return g.runSource(ctx, name) },
	}, err
}

// whenText is a schedule in words.
func whenText(w config.When) string {
	switch {
	case w.Every != 0:
		return "every " + w.Every.String()
	case w.Cron != "":
		return "cron " + w.Cron
	}
	return ""
}

// scheduler runs the jobs by their schedules, and when an operator asks for it. A mistake in one is found
// now, not in the night.
func (g *gateway) scheduler() (ftpbridge.Scheduler, error) {
	s := ftpbridge.Scheduler{Logger: g.log}
	jobs, err := g.configuredJobs()
	for _, j := range jobs {
		// Its files may be there in time, and are no reason to serve nobody.
		if j.check != nil && j.schedule != nil {
			g.log.Error("a job cannot run yet", "job", j.id(), "error", j.check)
		}
		s.Jobs = append(s.Jobs, ftpbridge.ScheduledJob{
			Name: j.id(), Schedule: j.schedule, Run: j.run,
			Last: func(ctx context.Context) (ftpbridge.LastRun, error) {
				last, _, _, err := j.last(ctx, g.state)
				return last, err
			},
			Held: func(ctx context.Context) (bool, error) {
				_, job, _, err := j.last(ctx, g.state)
				if err != nil {
					return false, err
				}
				hold, err := g.hold(ctx, job.ID)
				return hold != nil, err
			},
		})
	}
	return s, err
}
