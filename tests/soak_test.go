package tests

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// The soak's size. GATEWAY_SOAK_TIME is for how long it works, GATEWAY_SOAK_SEED repeats the
// choices of another run.
const (
	soakClients = 50
	soakUsers   = 5
	soakShared  = 6
	soakTime    = 2 * time.Minute
)

// soak is a gateway and the clients that work with it.
type soak struct {
	t       *testing.T
	s       *serving
	seed    uint64
	users   []string
	key     ssh.Signer
	clients []*soakClient
	shared  []*register
}

// TestSoak has 50 clients work over both protocols at once, each with random work of all kinds and
// with connections that break. At the end every file is what its client knows it to be, and nothing
// of the work is left: no connection, file, goroutine or staged upload, and no memory that grows. It
// is done in three runs of the gateway: a short one to know what an idle gateway holds; the long one,
// that is ended by SIGQUIT, for which Go prints all goroutines; and one more on what that left, ended by
// SIGTERM.
func TestSoak(t *testing.T) {
	k := newSoak(t)
	k.work(k.twelfths(1))
	before := k.idle(nil)
	goroutines := k.quit()

	k.again()
	k.check("after the first start anew")
	sampled := k.s.sample(k.twelfths(8))
	k.work(k.twelfths(8))
	figures := sampled()
	k.idle(before)
	k.check("after the work")
	sameGoroutines(t, k.quit(), goroutines)
	figures.collections(k.s.log.String(), k.twelfths(8))
	figures.flat(t)

	k.again()
	k.work(k.twelfths(3))
	k.idle(before)
	k.check("at the end")
	k.terminate()
	k.report()
}

func newSoak(t *testing.T) *soak {
	seed := rand.Uint64()
	if s := os.Getenv("GATEWAY_SOAK_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d", seed)
	l := newLab(t)
	l.level = "warn"
	l.env = []string{"GODEBUG=gctrace=1"}
	k := &soak{t: t, s: l.serve(), seed: seed}
	pem, err := os.ReadFile(k.s.keyFile)
	if err != nil {
		t.Fatal(err)
	}
	if k.key, err = ssh.ParsePrivateKey(pem); err != nil {
		t.Fatal(err)
	}
	for i := range soakUsers {
		k.users = append(k.users, fmt.Sprintf("user%d", i))
		l.addUser(k.users[i], k.s.password, k.s.keyFile)
	}
	for i := range soakShared {
		k.shared = append(k.shared, newRegister(fmt.Sprintf("shared/s%d", i)))
	}
	folders := []string{"shared"}
	for i := range soakClients {
		c := newSoakClient(k, i)
		k.clients = append(k.clients, c)
		folders = append(folders, c.folder)
	}
	for _, folder := range folders {
		if err := os.Mkdir(k.s.files(folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// twelfths are parts of the whole time.
func (k *soak) twelfths(n int) time.Duration {
	whole := soakTime
	if s := os.Getenv("GATEWAY_SOAK_TIME"); s != "" {
		var err error
		if whole, err = time.ParseDuration(s); err != nil {
			k.t.Fatal(err)
		}
	}
	return time.Duration(n) * whole / 12
}

// work lets all clients work for a time. They end with the first that finds something wrong.
func (k *soak) work(d time.Duration) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var wg sync.WaitGroup
	for _, c := range k.clients {
		wg.Go(func() {
			if err := c.run(ctx); err != nil {
				k.t.Error(err)
				cancel()
			}
		})
	}
	wg.Wait()
	k.ok()
}

// ok ends the test where something was wrong.
func (k *soak) ok() {
	k.t.Helper()
	if k.t.Failed() {
		k.t.FailNow()
	}
}

// idle has the clients leave, and waits until the gateway holds nothing for them any more. It returns
// what it holds, and compares it with what it held before.
func (k *soak) idle(before holdings) holdings {
	k.t.Helper()
	for _, c := range k.clients {
		c.close()
	}
	k.s.await("nothing is staged any more", func() bool {
		resumable, others := k.s.staged()
		return len(resumable)+len(others) == 0
	})
	var more []string
	for deadline := time.Now().Add(doubtTime); ; time.Sleep(100 * time.Millisecond) {
		now := k.s.holdings()
		if more = now.above(before); len(more) == 0 {
			k.t.Logf("idle: %v", now)
			return now
		}
		if time.Now().After(deadline) {
			k.t.Fatalf("the gateway is idle and holds %v, more %v than %v", now, more, before)
		}
	}
}

// again starts the gateway anew on what the last run left.
func (k *soak) again() { k.s = k.s.again() }

// check reads every file over both protocols and on the disk, and compares it with what the clients
// know. Of shared names all have to be the same, of a version that may be there.
func (k *soak) check(when string) {
	k.t.Helper()
	want := map[string][]byte{"shared": nil}
	for _, c := range k.clients {
		want[c.folder] = nil
		for dir := range c.dirs {
			want[dir] = nil
		}
		for name, f := range c.files {
			want[name] = nonNil(f.data)
		}
	}
	c := k.clients[k.seed%soakClients]
	defer c.close()
	for _, r := range k.shared {
		since := r.now()
		got, err := c.get(r.name, false)
		if err == nil {
			err = c.checkShared(r, since, "HTTPS", got)
		}
		if err != nil {
			k.t.Errorf("%s: %v", when, err)
		}
		if got != nil {
			want[r.name] = got
		}
	}
	for how, list := range map[string]func(string) (listing, error){"SFTP": c.listSFTP, "HTTPS": c.listWeb} {
		got := map[string][]byte{}
		if err := c.walk(list, how == "SFTP", "", got); err != nil {
			k.t.Fatalf("%s: %v", when, err)
		}
		k.compare(when+", over "+how, got, want)
	}
	got := map[string][]byte{}
	for name, what := range snapshot(k.t, k.s.files(), false) {
		got[name] = nil
		if what != "a folder" {
			data, err := os.ReadFile(k.s.files(name))
			if err != nil {
				k.t.Fatal(err)
			}
			got[name] = nonNil(data)
		}
	}
	k.compare(when+", on the disk", got, want)
	k.t.Logf("%s: %d names are right", when, len(want))
	k.ok()
}

// walk reads everything below a folder.
func (c *soakClient) walk(list func(string) (listing, error), overSFTP bool, folder string, into map[string][]byte) error {
	names, err := list(folder)
	for base, size := range names {
		name := path.Join(folder, base)
		if size == -1 {
			into[name] = nil
			err = errors.Join(err, c.walk(list, overSFTP, name, into))
			continue
		}
		data, readErr := c.get(name, overSFTP)
		if readErr == nil && int64(len(data)) != size {
			readErr = fmt.Errorf("%s: listed with %d bytes, read %d", name, size, len(data))
		}
		err = errors.Join(err, readErr)
		into[name] = nonNil(data)
	}
	return err
}

func (k *soak) compare(when string, got, want map[string][]byte) {
	k.t.Helper()
	for name := range want {
		if data, ok := got[name]; !ok {
			k.t.Errorf("%s: %s is missing", when, name)
		} else if err := same(name, "here", data, want[name]); err != nil {
			k.t.Errorf("%s: %v", when, err)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			k.t.Errorf("%s: %s should not be there", when, name)
		}
	}
}

// quit ends the gateway by SIGQUIT and returns its goroutines by who started them.
func (k *soak) quit() map[string][]string {
	k.t.Helper()
	time.Sleep(time.Second) // what ends a connection comes a moment after its descriptor is closed
	if err := k.s.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		k.t.Fatal(err)
	}
	<-k.s.exited
	log, dump, _ := strings.Cut(k.s.log.String(), "SIGQUIT: quit")
	k.quiet(log)
	all := map[string][]string{}
	for block := range strings.SplitSeq(dump, "\n\n") {
		if !strings.HasPrefix(strings.TrimSpace(block), "goroutine ") {
			continue
		}
		all[startedBy(block)] = append(all[startedBy(block)], block)
	}
	if len(all) == 0 {
		k.t.Fatalf("SIGQUIT printed no goroutines:\n%s", dump)
	}
	return all
}

// terminate stops the gateway as an operator does, with clients connected and an upload under way: that
// may end, and then the gateway does.
func (k *soak) terminate() {
	k.t.Helper()
	for _, c := range k.clients {
		if _, err := c.sftp(); err != nil {
			k.t.Fatal(err)
		}
	}
	c := k.clients[0]
	data := c.version(nil)
	f, err := c.remote.OpenFile(c.folder+"/last", os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err == nil {
		_, err = f.Write(data[:len(data)/2])
	}
	if err != nil {
		k.t.Fatal(err)
	}
	began := time.Now()
	if err := k.s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		k.t.Fatal(err)
	}
	_, err = f.Write(data[len(data)/2:])
	if err := errors.Join(err, f.Close()); err != nil {
		k.t.Errorf("an upload that was under way at SIGTERM: %v", err)
	}
	select {
	case <-k.s.exited:
	case <-time.After(time.Minute):
		k.t.Fatal("serve did not stop within a minute of SIGTERM")
	}
	k.t.Logf("stopped %v after SIGTERM", time.Since(began).Round(time.Millisecond))
	if code := k.s.cmd.ProcessState.ExitCode(); code != 0 {
		k.t.Errorf("exit status %d after SIGTERM", code)
	}
	k.quiet(k.s.log.String())
	if got, err := os.ReadFile(k.s.files(c.folder, "last")); err != nil || !bytes.Equal(got, data) {
		k.t.Errorf("the last upload was acknowledged and is not whole: %v", err)
	}
	if resumable, others := k.s.staged(); len(resumable)+len(others) > 0 {
		k.t.Errorf("after the stop %v and %v are staged", resumable, others)
	}
	for _, c := range k.clients {
		c.cutSFTP()
	}
}

// soakWarnings are lines of the log that broken connections bring.
var soakWarnings = []string{
	`msg="session ended early"`,
	`msg="connection refused"`,
}

// quiet checks that the log has no line that is not expected; its level is "warn".
func (k *soak) quiet(log string) {
	k.t.Helper()
	strange := 0
	for line := range strings.Lines(new(samples).collections(log, 0)) {
		expected := strings.Contains(line, "level=WARN") &&
			slices.ContainsFunc(soakWarnings, func(w string) bool { return strings.Contains(line, w) })
		// The runtime writes a line of its collections in pieces, and one of the log may come between any two.
		rest := strings.Contains(line, " MB goal, ") && strings.HasSuffix(strings.TrimSpace(line), " P")
		if strange++; !expected && !rest && strange <= 20 {
			k.t.Errorf("log: %s", strings.TrimSpace(line))
		}
	}
}

// report tells what was done; everything has to have been.
func (k *soak) report() {
	k.t.Helper()
	done := map[string]int{}
	for _, c := range k.clients {
		for what, n := range c.done {
			done[what] += n
		}
	}
	var b strings.Builder
	total := 0
	for _, w := range soakWork {
		fmt.Fprintf(&b, "%s %d, ", w.name, done[w.name])
		total += done[w.name]
		if done[w.name] == 0 {
			k.t.Errorf("%q was never done", w.name)
		}
	}
	k.t.Logf("%d times: %s", total, strings.TrimSuffix(b.String(), ", "))
}
