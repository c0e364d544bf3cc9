package servers

import (
	"net"
	"testing"
	"time"
)

func TestRealPostgres(t *testing.T) {
	s := StartPostgres(t)
	dial := func() error {
		c, err := net.DialTimeout("tcp", s.Addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err
	}
	for name, end := range map[string]func(){"stop": s.Stop, "crash": s.Crash} {
		if err := dial(); err != nil {
			t.Errorf("%s: before: %v", name, err)
		}
		end()
		if dial() == nil {
			t.Errorf("%s: it still listens", name)
		}
		s.Start()
		s.Freeze()()
		if err := dial(); err != nil {
			t.Errorf("%s: after: %v", name, err)
		}
	}
}
