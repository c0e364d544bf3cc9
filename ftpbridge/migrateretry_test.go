package ftpbridge

import (
	"sync/atomic"
	"testing"
)

// How often something is tried depends on what went wrong.
func TestRetryByKind(t *testing.T) {
	body := random(1000)
	reply := func(format string) func(*talk, string) { return says("%s", format) }
	for name, c := range map[string]struct {
		retr  func(*talk, string)
		tries int  // transfers that are begun
		retry bool // may work by itself another time
	}{
		"550 there is no such file": {reply("550 No such file"), 1, false},
		"550 may not be read":       {reply("550 Permission denied"), 1, false},
		"553 bad name":              {reply("553 not this name"), 1, false},
		"502 unknown command":       {reply("502 no"), 1, false},
		"450 in use":                {reply("450 file busy"), 3, true},
		"451 local error":           {reply("451 disk trouble"), 3, true},
		"425 no data connection":    {reply("425 cannot open"), 3, true},
		"421 closing":               {func(c *talk, _ string) { c.say("421 shutting down"); c.Close() }, 3, true},
		"the connection is lost":    {func(c *talk, _ string) { c.Close() }, 3, true},
		"426 in the middle":         {func(c *talk, _ string) { c.stream("x", "426 cut") }, 3, true},
		"silence":                   {func(c *talk, _ string) { c.hang() }, 3, true},
		"it is another each time":   {func(c *talk, _ string) { c.stream(random(1001), "226 done") }, 3, true},
		"it is shorter each time":   {func(c *talk, _ string) { c.stream("", "226 done") }, 3, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var begun atomic.Int32
			m := liar(t, body, facts(len(body)), map[string]func(*talk, string){
				"RETR": func(s *talk, arg string) { begun.Add(1); c.retr(s, arg) },
			})
			m.o.Source.Timeout = patience
			rep := m.run()
			equal(t, len(m.files()), 0)
			if f := m.line("f"); f.Retry != c.retry || rep.Failed.Total != 1 {
				t.Errorf("retry %v: %s", f.Retry, f.Reason)
			}
			if srv := int(begun.Load()); srv != c.tries {
				t.Errorf("%d transfers, want %d: %+v", srv, c.tries, rep.Failed)
			}
		})
	}
}
