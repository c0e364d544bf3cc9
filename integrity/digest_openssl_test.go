//go:build unix

package integrity

import (
	"context"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// opensslSpeed asks openssl how many bytes of SHA-256 it does in a second.
func opensslSpeed(b *testing.B) float64 {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, manifestTool(b, "openssl"), "speed", "-mr", "-evp", "sha256", "-bytes", "1048576", "-seconds", "1").Output()
	if err != nil {
		b.Fatalf("the benchmark needs openssl: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		if fields := strings.Split(strings.TrimSpace(line), ":"); fields[0] == "+F" {
			speed, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			if err != nil {
				b.Fatal(err)
			}
			return speed
		}
	}
	b.Fatalf("openssl speed said %q", out)
	return 0
}

// processorTime is what this process used until now. openssl speed counts its
// own in the same way, and wall time would say how busy the machine is.
func processorTime(b *testing.B) float64 {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// digesterSpeed is the same for a Digester.
func digesterSpeed(b *testing.B, algs ...Algorithm) float64 {
	b.Helper()
	d, buffer := mustDigester(b, algs...), make([]byte, 1<<20)
	start := processorTime(b)
	for end := time.Now().Add(time.Second); time.Now().Before(end); {
		d.Write(buffer)
	}
	return float64(d.Size()) / (processorTime(b) - start)
}

// Both are asked in turn and the best of each is compared, since other programs
// share the machine. The promise is a ratio of at least 0.9.
func BenchmarkDigesterBesideOpenSSL(b *testing.B) {
	var ours, theirs float64
	for b.Loop() {
		for range 3 {
			ours = max(ours, digesterSpeed(b))
			theirs = max(theirs, opensslSpeed(b))
		}
	}
	b.ReportMetric(ours/1e6, "digester-MB/s")
	b.ReportMetric(theirs/1e6, "openssl-MB/s")
	b.ReportMetric(ours/theirs, "ratio")
	if ours < 0.9*theirs {
		b.Errorf("the digester has %.0f %% of openssl's speed, want at least 90 %%", 100*ours/theirs)
	}
}
