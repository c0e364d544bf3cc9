package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// MinEvery is the shortest interval of a schedule.
const MinEvery = 10 * time.Second

// When says when "gateway serve" runs something; the zero value: only by hand.
type When struct {
	// Every is the interval, Cron five fields; not both.
	Every time.Duration `yaml:"every"`
	Cron  string        `yaml:"cron"`
}

// Schedule says when something runs next after a time; the zero time is never.
type Schedule interface {
	Next(time.Time) time.Time
}

// Schedule is when it runs, nil if only by hand.
func (w When) Schedule() (Schedule, error) {
	switch {
	case w.Every != 0:
		return cron.Every(w.Every), nil
	case w.Cron == "":
		return nil, nil
	case strings.Contains(w.Cron, "="): // the parser's own TZ=ZONE
		return nil, fmt.Errorf("%q: times are those of this machine's zone; a zone cannot be given", w.Cron)
	}
	return cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(w.Cron)
}

func (w When) validate(bad func(key, format string, args ...any)) {
	if w.Every != 0 && w.Cron != "" {
		bad(".cron", "every is given too; give one of them")
	}
	if w.Every != 0 && w.Every < MinEvery {
		bad(".every", "must be %v or longer", MinEvery)
	}
	schedule, err := w.Schedule()
	switch {
	case err != nil:
		bad(".cron", "%v; write five fields: minute, hour, day of the month, month, day of the week, for example \"15 3 * * *\"", err)
	case schedule != nil && schedule.Next(time.Now()).IsZero():
		bad(".cron", "%q never comes", w.Cron)
	}
}
