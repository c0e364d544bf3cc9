package main

import (
	"bytes"
	"testing"
	"time"
)

// The columns of all rows are below each other, whatever is printed between, and
// what is long is wrapped.
func TestJobsTable(t *testing.T) {
	begun := time.Date(2026, 5, 1, 3, 0, 0, 0, time.Local)
	var out bytes.Buffer
	err := printJobs(&out, []jobLine{
		{Name: "partner", Source: "ftp://a/", Destination: "default:a", Started: &begun, Finished: &begun, Result: "complete", Published: 7},
		{
			Source: "ftp://b/", Destination: "default:b", Started: &begun, Result: "under way, or killed",
			Error: "migrate ftp://b/ to default:b: ftp: b:21: connect: cannot reach the server; check host, port and firewall",
		},
	}, begun)
	if err != nil {
		t.Fatal(err)
	}
	const want = `NAME     LAST RUN             RESULT                FILES                     NEXT RUN
partner  2026-05-01 03:00:00  complete              7 published, 0 unchanged  -
  ftp://a/ -> default:a
-        2026-05-01 03:00:00  under way, or killed  -                         -
  ftp://b/ -> default:b
  migrate ftp://b/ to default:b: ftp: b:21: connect: cannot reach the server;
  check host, port and firewall
`
	if out.String() != want {
		t.Errorf("got\n%s", out.String())
	}
}
