package tests

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// soakClient is one client of the soak. It has a folder of its own, of which it knows every
// byte, and shares some names with the others.
type soakClient struct {
	k      *soak
	id     int
	user   string
	folder string
	random *rand.Rand
	issued uint64 // versions
	names  int    // names made

	files map[string]*soakFile
	dirs  map[string]bool // below its folder

	remote *sftp.Client // nil: not connected
	raw    net.Conn     // below remote
	web    *http.Client
	webRaw *connSet // below web
	doing  string
	done   map[string]int // how often it did what
}

// soakFile is what a client knows of a name that only it writes.
type soakFile struct {
	data    []byte    // what is published; nil: nothing
	modTime time.Time // zero: not known
	next    []byte    // an upload that was interrupted and may be resumed; nil: none
	kept    int       // how much of it was acknowledged
	// maybe is a version of which the client did not hear whether it was published. The
	// gateway knows by the time until.
	maybe []byte
	until time.Time
}

// doubtTime is how long the gateway may take for a request whose client is gone. It is
// far from a moment even on a busy machine.
const doubtTime = 20 * time.Second

func (f *soakFile) settled() bool { return f.next == nil && f.maybe == nil }

func newSoakClient(k *soak, id int) *soakClient {
	c := &soakClient{
		k: k, id: id, user: k.users[id%len(k.users)], folder: fmt.Sprintf("c%02d", id),
		random: rand.New(rand.NewPCG(k.seed, uint64(id))),
		files:  map[string]*soakFile{}, dirs: map[string]bool{}, done: map[string]int{},
	}
	c.newWeb()
	return c
}

// connSet is the connections of an HTTP client. Some it makes in reserve, and forgets.
type connSet struct {
	mu    sync.Mutex
	ended bool
	all   []net.Conn
}

func (s *connSet) add(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		conn.Close()
		return
	}
	s.all = append(s.all, conn)
}

// end ends them all, and those that are still being made.
func (s *connSet) end(how func(net.Conn)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	for _, conn := range s.all {
		how(conn)
	}
	s.all = nil
}

// reset ends a connection with a TCP reset, whatever is on its way.
func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0) // it may be closed already
	conn.Close()
}

func (c *soakClient) newWeb() {
	set := &connSet{}
	c.webRaw = set
	c.web = &http.Client{Timeout: commandTime, Transport: &http.Transport{
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		ForceAttemptHTTP2: c.id%2 == 0,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, addr)
			if err == nil {
				set.add(conn)
			}
			return conn, err
		},
	}}
}

// cutWeb resets the connections of HTTPS, cutSFTP that of SFTP.
func (c *soakClient) cutWeb() {
	c.webRaw.end(reset)
	c.newWeb()
}

func (c *soakClient) cutSFTP() {
	if c.remote != nil {
		reset(c.raw)
		c.remote.Close()
		c.remote = nil
	}
}

// close ends the connections as clients do that are finished.
func (c *soakClient) close() {
	c.web.CloseIdleConnections()
	c.webRaw.end(func(conn net.Conn) { conn.Close() })
	c.newWeb()
	if c.remote != nil {
		c.remote.Close()
		c.raw.Close()
		c.remote = nil
	}
}

// sftp returns the connection and makes one where there is none. Many that come at once may be
// turned away (MaxUnauthenticated), and come again.
func (c *soakClient) sftp() (*sftp.Client, error) {
	if c.remote != nil {
		return c.remote, nil
	}
	var err error
	for range 50 {
		if err = c.dialSFTP(); err == nil {
			return c.remote, nil
		}
		time.Sleep(time.Duration(100+c.random.IntN(400)) * time.Millisecond)
	}
	return nil, fmt.Errorf("connect: %w", err)
}

func (c *soakClient) dialSFTP() error {
	raw, err := net.DialTimeout("tcp", c.k.s.sftp, 20*time.Second)
	if err != nil {
		return err
	}
	conn, channels, requests, err := ssh.NewClientConn(raw, c.k.s.sftp, &ssh.ClientConfig{
		User: c.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(c.k.key)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		raw.Close()
		return err
	}
	remote, err := sftp.NewClient(ssh.NewClient(conn, channels, requests), sftp.UseConcurrentWrites(c.concurrent()), sftp.UseFstat(true))
	if err != nil {
		raw.Close()
		return err
	}
	c.remote, c.raw = remote, raw
	return nil
}

// concurrent is whether the client writes a file with many requests at once.
func (c *soakClient) concurrent() bool { return c.id%3 == 0 }

// answer is what a request of HTTP brought.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// ask sends a request with headers (name, value, ...). A body that is nil is none.
func (c *soakClient) ask(method, name string, body io.Reader, headers ...string) (answer, error) {
	req, err := http.NewRequest(method, c.k.s.url(name), body)
	if err != nil {
		return answer{}, err
	}
	req.SetBasicAuth(c.user, c.k.s.password)
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.web.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: status %d, then %w", method, name, resp.StatusCode, err)
	}
	return answer{resp.StatusCode, resp.Header, data}, nil
}

// want asks and expects one of the statuses.
func (c *soakClient) want(statuses []int, method, name string, body io.Reader, headers ...string) (answer, error) {
	a, err := c.ask(method, name, body, headers...)
	if err == nil && !slices.Contains(statuses, a.status) {
		err = fmt.Errorf("%s %s %q: status %d, want one of %d: %.300s", method, name, headers, a.status, statuses, a.body)
	}
	return a, err
}

// get reads a file over one of the protocols; nil if there is none.
func (c *soakClient) get(name string, overSFTP bool) ([]byte, error) {
	if !overSFTP {
		a, err := c.want([]int{http.StatusOK, http.StatusNotFound}, http.MethodGet, name, nil)
		if err != nil || a.status == http.StatusNotFound {
			return nil, err
		}
		return nonNil(a.body), nil
	}
	remote, err := c.sftp()
	if err != nil {
		return nil, err
	}
	f, err := remote.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var b bytes.Buffer
	_, err = f.WriteTo(&b)
	return nonNil(b.Bytes()), err
}

// nonNil tells an empty file from none.
func nonNil(data []byte) []byte {
	if data == nil {
		return []byte{}
	}
	return data
}

// same compares what was read with what has to be there.
func same(name, how string, got, want []byte) error {
	switch {
	case (got == nil) != (want == nil):
		return fmt.Errorf("%s: over %s there is a file: %t, want %t", name, how, got != nil, want != nil)
	case bytes.Equal(got, want):
		return nil
	}
	version, _, err := readParts(got)
	expected, _, _ := readParts(want)
	return fmt.Errorf("%s: over %s %d bytes of version %x are read (%w), want %d of version %x",
		name, how, len(got), version, errors.Join(err, errDiffers), len(want), expected)
}

var errDiffers = errors.New("not what is published")

// version makes the next version of a file, a new one or one with another part after data.
func (c *soakClient) version(data []byte) []byte {
	return addPart(data, c.nextVersion(), c.size(), c.random)
}

func (c *soakClient) nextVersion() uint64 {
	c.issued++
	return uint64(c.id+1)<<32 | c.issued
}

// size is a random length: mostly small, sometimes of many packets.
func (c *soakClient) size() int {
	switch n := c.random.IntN(20); {
	case n == 0:
		return 1<<20 + c.random.IntN(1<<20)
	case n < 6:
		return 32<<10 + c.random.IntN(256<<10)
	}
	return c.random.IntN(16 << 10)
}

// dice is true in one of n cases.
func (c *soakClient) dice(n int) bool { return c.random.IntN(n) == 0 }

// protocol picks one of the two.
func (c *soakClient) protocol() (overSFTP bool, name string) {
	if c.dice(2) {
		return true, "SFTP"
	}
	return false, "HTTPS"
}

// pick returns one of the client's files for which match says so; "" if none is.
func (c *soakClient) pick(match func(*soakFile) bool) (string, *soakFile) {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(c.files)) {
		if match(c.files[name]) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "", nil
	}
	name := names[c.random.IntN(len(names))]
	return name, c.files[name]
}

// pickPublished returns a file that is there and about which nothing is open.
func (c *soakClient) pickPublished() (string, *soakFile) {
	return c.pick(func(f *soakFile) bool { return f.data != nil && f.settled() })
}

// pickDir returns one of the client's folders, its own among them.
func (c *soakClient) pickDir() string {
	dirs := append([]string{c.folder}, slices.Sorted(maps.Keys(c.dirs))...)
	return dirs[c.random.IntN(len(dirs))]
}

// soakFiles is about how many files each client has.
const soakFiles = 12

// target returns a name to write to, free or with a file.
func (c *soakClient) target() (string, *soakFile) {
	if len(c.files) < soakFiles && c.dice(2) || len(c.files) == 0 {
		return c.free(), &soakFile{}
	}
	if name, f := c.pickPublished(); f != nil {
		return name, f
	}
	return c.free(), &soakFile{}
}

// free returns a name that has nothing.
func (c *soakClient) free() string {
	c.names++
	return fmt.Sprintf("%s/f%d ä", c.pickDir(), c.names)
}

// published notes that a name has data now; nil: nothing.
func (c *soakClient) published(name string, data []byte) {
	if data == nil {
		delete(c.files, name)
		return
	}
	c.files[name] = &soakFile{data: data}
}

// errNothing is told by work for which the client has nothing at the moment.
var errNothing = errors.New("nothing to do it with")

// run works until the context ends, and then leaves nothing half done.
func (c *soakClient) run(ctx context.Context) error {
	total := 0
	for _, w := range soakWork {
		total += w.weight
	}
	for ctx.Err() == nil {
		n := c.random.IntN(total)
		i := 0
		for ; n >= soakWork[i].weight; i++ {
			n -= soakWork[i].weight
		}
		if err := c.work(i); err != nil {
			return err
		}
	}
	for {
		name, f := c.pick(func(f *soakFile) bool { return !f.settled() })
		if f == nil {
			return nil
		}
		c.doing = "finish"
		time.Sleep(time.Until(f.until))
		if err := c.finish(name, f); err != nil {
			return fmt.Errorf("client %d, finish %s: %w", c.id, name, err)
		}
	}
}

// work does the i-th work once.
func (c *soakClient) work(i int) error {
	c.doing = soakWork[i].name
	err := soakWork[i].do(c)
	if errors.Is(err, errNothing) {
		return nil
	}
	c.done[c.doing]++
	if err != nil {
		return fmt.Errorf("client %d, %s: %w", c.id, c.doing, err)
	}
	return nil
}
