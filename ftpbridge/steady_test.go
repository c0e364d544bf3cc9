package ftpbridge

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// A slow peer is given time for as long as it takes minProgress bytes for each
// timeout, and not longer.
func TestSteadyConn(t *testing.T) {
	for _, tc := range []struct {
		name  string
		piece int           // bytes that the peer takes
		every time.Duration // at a time
		is    error
	}{
		{"slow and steady", minProgress, 50 * time.Second, nil},
		{"too slow", minProgress / 4, 50 * time.Second, os.ErrDeadlineExceeded},
		{"stalls", minProgress, 2 * time.Minute, os.ErrDeadlineExceeded},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ours, theirs := net.Pipe()
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					for buf := make([]byte, tc.piece); ; time.Sleep(tc.every) {
						if _, err := theirs.Read(buf); err != nil {
							return
						}
					}
				}()
				body := make([]byte, 20*minProgress)
				n, err := steadyConn{ours, time.Minute}.Write(body)
				if !errors.Is(err, tc.is) || tc.is == nil && n != len(body) {
					t.Errorf("%d of %d bytes, %v", n, len(body), err)
				}
				ours.Close()
				<-ended
			})
		})
	}
}
