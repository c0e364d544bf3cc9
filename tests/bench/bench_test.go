package bench

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"gateway/tests/servers"
)

var (
	full   = flag.Bool("full", false, "measure the real workloads; otherwise tiny ones, which say nothing")
	rounds = flag.Int("n", 0, "how often each contender runs; 0 = 5 times in full, else once")
	count  = flag.Int("files", 0, "how `many` small files instead of 2000")
	works  = flag.String("work", "", "only the workloads whose `name` matches this expression")
	by     = flag.String("by", "", "only the contenders whose `name` matches this expression")
	folder = flag.String("dir", "", "`folder` for everything, best on a tmpfs; /dev/shm if there is one, else the temporary one")
	output = flag.String("o", "", "also write the table to this `file`")
	binary = flag.String("gateway", "", "measure this `binary` instead of building one")
	extra  = flag.String("flags", "", "one more contender: the gateway with these `flags`, separated by blanks")
)

// runTime bounds one run of one contender.
const runTime = 20 * time.Minute

// roundTrip is that of the long way.
const roundTrip = 50 * time.Millisecond

// workloads are those of the table in docs/performance.md, or small ones of the same kinds.
func workloads() []work {
	files, small, big, way := 2000, int64(8<<10), int64(2<<30), roundTrip
	if !*full {
		files, big, way = 12, 1<<20, 4*time.Millisecond
	}
	if *count > 0 {
		files = *count
	}
	return []work{
		{name: "small-near", title: "%d files of 8 KiB, loopback", files: files, size: small, by: smallFiles(false)},
		{name: "small-far", title: "%d files of 8 KiB, %v round trip", files: files, size: small, delay: way / 2, by: smallFiles(true)},
		{name: "big-near", title: "one file of %s, loopback", files: 1, size: big, by: bigFile(false)},
		{name: "big-far", title: "one file of %s, %v round trip", files: 1, size: big, delay: way / 2, by: bigFile(true)},
	}
}

// TestRealBench runs the contenders and prints the table. It asserts that each moved everything, and
// nothing about speed.
func TestRealBench(t *testing.T) {
	only, who := regexp.MustCompile(*works), regexp.MustCompile(*by)
	dir := servers.WorkDir(t, *folder)
	gatewayBinary := *binary
	if gatewayBinary == "" {
		gatewayBinary = build(t, dir)
	}
	var table table
	for _, w := range workloads() {
		if !only.MatchString(w.name) {
			continue
		}
		measured := &bench{t: t, work: w, dir: dir, gateway: gatewayBinary, who: who}
		table.rows = append(table.rows, measured.run()...)
	}
	text := table.markdown()
	fmt.Print(text)
	if *output != "" {
		if err := os.WriteFile(*output, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
	}
}

func build(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "gateway")
	if out, err := exec.Command("go", "build", "-o", path, "gateway/cmd/gateway").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// bench measures one workload.
type bench struct {
	t       *testing.T
	work    work
	dir     string
	gateway string
	who     *regexp.Regexp

	root   string
	server *servers.Server
	addr   string
}

func (b *bench) run() []row {
	b.root = filepath.Join(b.dir, b.work.name)
	b.work.writeTree(b.t, b.root)
	defer os.RemoveAll(b.root)
	b.server = servers.Start(b.t, servers.VSFTPD, servers.Options{
		// A log of each command is no part of what servers do.
		Root: b.root, Extra: []string{"max_clients=0", "log_ftp_protocol=NO"},
	})
	defer b.server.Stop()
	b.addr = b.server.Addr
	if b.work.delay > 0 {
		b.addr = servers.StartProxy(b.t, b.server.Addr, servers.ProxyOptions{FTP: true, Delay: b.work.delay}).Addr
	}
	var rows []row
	for _, c := range b.contenders() {
		rows = append(rows, row{work: b.work, by: c})
	}
	for round := range b.rounds() {
		for i := range rows {
			if rows[i].by.slow && round > 0 {
				continue
			}
			took, cpu := b.once(rows[i].by)
			b.t.Logf("%s: %s: round %d: %.2f s, %.1f %s, %.2f s of CPU", b.work.name, rows[i].by.name, round+1,
				took.Seconds(), b.work.speed(took), b.work.unit(), cpu.Seconds())
			rows[i].took, rows[i].cpu = append(rows[i].took, took), append(rows[i].cpu, cpu)
		}
	}
	return rows
}

func (b *bench) contenders() []contender {
	all := b.work.by
	if *extra != "" {
		all = append(all, gateway(8, regexp.MustCompile(` +`).Split(*extra, -1)...))
	}
	var chosen []contender
	for _, c := range all {
		if b.who.MatchString(c.name) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

func (b *bench) rounds() int {
	switch {
	case *rounds > 0:
		return *rounds
	case *full:
		return 5
	default:
		return 1
	}
}

// once runs a contender and checks what it left. Its CPU time is without the server's and the proxy's.
func (b *bench) once(c contender) (took, cpu time.Duration) {
	b.t.Helper()
	scratch, err := os.MkdirTemp(b.dir, "run-")
	if err != nil {
		b.t.Fatal(err)
	}
	defer os.RemoveAll(scratch)
	j := &job{
		t: b.t, server: b.server, addr: b.addr, gateway: b.gateway,
		scratch: scratch, dest: filepath.Join(scratch, "dest"),
	}
	if b.work.files == 1 {
		j.file = "folder00/file00000.bin"
	}
	ctx, cancel := context.WithTimeout(context.Background(), runTime)
	defer cancel()
	prepared := c.run(j)
	cmd := exec.CommandContext(ctx, prepared.Path, prepared.Args[1:]...)
	cmd.Env = append(os.Environ(), "HOME="+scratch)
	cmd.Dir = scratch // where no gateway.yaml is
	begin := time.Now()
	out, err := cmd.CombinedOutput()
	took = time.Since(begin)
	if err != nil {
		b.t.Fatalf("%s: %s: %v\n%s", b.work.name, c.name, err, out)
	}
	if err := sameTree(j.dest, b.root); err != nil {
		b.t.Fatalf("%s: %s: %v\n%s", b.work.name, c.name, err, out)
	}
	return took, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}
