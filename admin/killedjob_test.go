package admin

import (
	"context"
	"net/http"
	"strings"
	"testing"
)

// lostJobs has jobs whose process was killed.
type lostJobs struct {
	*parts
	job Job
}

func (p lostJobs) Jobs(context.Context) ([]Job, error)      { return []Job{p.job}, nil }
func (p lostJobs) Job(context.Context, string) (Job, error) { return p.job, nil }

// TestKilledJobCanBeRun: whether it runs elsewhere or was killed is not known, so the page offers both, and
// to resume it once it was stopped.
func TestKilledJobCanBeRun(t *testing.T) {
	for _, held := range []string{"", "anna"} {
		l := newLab(t, func(c *Config) {
			c.Jobs = lostJobs{c.Jobs.(*parts), Job{ID: "source-old", Name: "old", State: JobElsewhere, HeldBy: held, Configured: true}}
		})
		l.logIn()
		for _, page := range []string{"/jobs", "/jobs/source-old"} {
			body := l.want(l.do("GET", page, ""), http.StatusOK).body
			for what, offered := range map[string]bool{"stop": true, "run": true, "resume": held != ""} {
				if got := strings.Count(body, `action="/jobs/source-old/`+what+`"`); got != map[bool]int{true: 1}[offered] {
					t.Errorf("%s, held by %q: %s is offered %d times", page, held, what, got)
				}
			}
		}
	}
}
