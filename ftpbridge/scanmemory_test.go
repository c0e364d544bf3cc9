package ftpbridge

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
)

// A migration of very many files finds them and writes them down without holding
// them: what is held is one folder, and a batch. GATEWAY_SCAN_FILES asks for
// another number of them.
func TestMigrateScanMemory(t *testing.T) {
	const each = 10_000
	scannedFiles := int64(60_000)
	if n, err := strconv.ParseInt(os.Getenv("GATEWAY_SCAN_FILES"), 10, 64); err == nil && n >= each {
		scannedFiles = n / each * each
	}
	folders := int(scannedFiles / each)
	srv := &scripted{feat: []string{"MLST type*;size*;modify*;", "SIZE", "MDTM"}, mlsd: map[string]string{"": ""}}
	for i := range folders {
		srv.mlsd[""] += fmt.Sprintf("type=dir;modify=20200101000000; folder%03d\r\n", i)
		srv.mlsd[fmt.Sprintf("/folder%03d", i)] = "" // may be entered
	}
	srv.handlers = map[string]func(*talk, string){"MLSD": func(c *talk, _ string) {
		if c.cwd == "/" {
			c.send(srv.mlsd, "")
			return
		}
		flood(c, each, func(i int) string {
			return fmt.Sprintf("type=file;size=%d;modify=20200102030405; a file of usual name %07d.txt\r\n", i+1, i)
		})
	}}
	srv.start(t)
	m := newMove(t, srv.source(t, ""))
	m.o.Connections = 4
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var found int64
	most := peak(func(sample func()) {
		sampled := int64(0)
		m.o.Progress = func(e Event) {
			switch e.Kind {
			case EventWalked:
				if e.Files-sampled >= scannedFiles/10 {
					sampled = e.Files
					sample()
				}
			case EventPlanned, EventStarted:
				if found == 0 {
					found = e.Files
					sample()
				}
				cancel()
			}
		}
		if _, err := Migrate(ctx, m.o); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	if found != scannedFiles {
		t.Errorf("%d files were found", found)
	}
	if most > 48<<20 {
		t.Errorf("%d bytes for %d files", most, scannedFiles)
	}
}
