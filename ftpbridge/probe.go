package ftpbridge

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gateway/integrity"
	"gateway/listing"
)

// Bounds of a probe, where ProbeOptions does not say otherwise.
const (
	DefaultProbeConnections = 8
	DefaultProbeFolders     = 25
	DefaultProbeBytes       = 1 << 20
	DefaultProbeTime        = 5 * time.Minute
	maxProbeExamples        = 6
)

// ProbeOptions bounds what a probe asks of a server; zero values are the defaults.
type ProbeOptions struct {
	// Connections is how many sessions are tried at once, 1 to MaxConnections.
	Connections int
	// Folders is how many folders are listed.
	Folders int
	// Bytes is how large a file may be that is fetched to try resuming and hashes.
	Bytes int64
	// Time is how long the probe takes at most: a server may answer everything, and
	// each time so slowly that no timeout is reached. What was not tried until then
	// is not tried.
	Time time.Duration
}

// Probe is what a server is and can do, as far as it was found out without
// changing anything on it. Its strings are for people: hostile bytes are escaped.
type Probe struct {
	Source   string   `json:"source"` // without the password
	Software string   `json:"software"`
	Greeting string   `json:"greeting"`
	Syst     string   `json:"syst"`
	Dialect  string   `json:"dialect"`
	Home     string   `json:"home"`
	Features []string `json:"features"`

	TLS         ProbeTLS         `json:"tls"`
	Listing     ProbeListing     `json:"listing"`
	Charset     ProbeCharset     `json:"charset"`
	Connections ProbeConnections `json:"connections"`

	// The answers below are for one file, TriedWith, "" if there was none to try.
	TriedWith string      `json:"triedWith"`
	Size      ProbeAnswer `json:"size"`
	Time      ProbeAnswer `json:"time"`
	Resume    ProbeAnswer `json:"resume"`
	Hash      ProbeAnswer `json:"hash"`
	Zone      ProbeAnswer `json:"zone"`
	SetTimes  ProbeAnswer `json:"setTimes"` // by what it says; nothing is changed to try

	Quirks []string `json:"quirks"`

	zone   *time.Location
	source Source
}

// ProbeAnswer is whether something works, and the evidence in words.
type ProbeAnswer struct {
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// ProbeTLS is how the server encrypts.
type ProbeTLS struct {
	Offered     bool      `json:"offered"`
	Used        bool      `json:"used"`              // by the URL that was probed
	Version     string    `json:"version,omitempty"` // "TLS 1.3"
	Subject     string    `json:"subject,omitempty"`
	Names       []string  `json:"names,omitempty"`
	Expires     time.Time `json:"expires,omitzero"`
	Fingerprint string    `json:"fingerprint,omitempty"` // SHA-256, hexadecimal
	Trusted     bool      `json:"trusted"`               // by this machine's authorities, for this host
	Fault       string    `json:"fault,omitempty"`       // why there is none, or why it is not trusted
}

// ProbeListing is what the listings look like.
type ProbeListing struct {
	Command    string   `json:"command"` // "MLSD", "LIST -a", "LIST"
	Format     string   `json:"format"`
	Confidence float64  `json:"confidence"`
	RunnerUp   string   `json:"runnerUp,omitempty"`
	Folders    int      `json:"folders"` // listed
	Entries    int      `json:"entries"`
	Skipped    int      `json:"skipped"`
	Unread     []string `json:"unread,omitempty"` // some of the skipped lines, and folders that could not be listed
	Precision  string   `json:"precision"`        // of times
}

// ProbeCharset is in what the names are, and why.
type ProbeCharset struct {
	Charset    string  `json:"charset"`
	Confidence float64 `json:"confidence"`
	NonASCII   int     `json:"nonASCII"` // names that tell anything
	// Folders counts the folders with such names by the charset of each: they are
	// read one by one, and may differ.
	Folders  map[string]int `json:"folders,omitempty"`
	Examples []ProbeExample `json:"examples,omitempty"`
}

// ProbeExample is a name as it came and as it is read.
type ProbeExample struct {
	Raw  string `json:"raw"` // escaped
	Name string `json:"name"`
}

// ProbeConnections is how many sessions the server took.
type ProbeConnections struct {
	Tried   int    `json:"tried"`
	Taken   int    `json:"taken"`
	Refusal string `json:"refusal,omitempty"` // of the first that it did not take
}

// ProbeServer finds out what a server is. It reads only: listings, and one small
// file. Errors are those of Dial and List; what fails later is in the Probe.
func ProbeServer(ctx context.Context, src Source, o ProbeOptions) (Probe, error) {
	setDefault(&o.Connections, DefaultProbeConnections)
	setDefault(&o.Folders, DefaultProbeFolders)
	setDefault(&o.Bytes, DefaultProbeBytes)
	setDefault(&o.Time, DefaultProbeTime)
	asked := ctx
	ctx, cancel := context.WithTimeout(ctx, o.Time)
	defer cancel()
	o.Connections = min(o.Connections, MaxConnections)
	src.Connections = o.Connections
	pool, err := NewPool(src)
	if err != nil {
		return Probe{}, err
	}
	defer func() { _ = pool.Close() }() // says goodbye, cannot fail
	r, err := pool.Get(ctx)
	if err != nil {
		return Probe{}, err
	}
	p := &prober{Probe: Probe{Source: src.Redacted(), source: src}, o: o, pool: pool, r: r}
	p.describe()
	if err := p.sample(ctx); err != nil {
		pool.Put(r)
		return p.Probe, err
	}
	p.tryFile(ctx)
	p.findZone(ctx)
	p.quirks()
	pool.Put(p.r)
	p.countConnections(ctx)
	p.probeTLS(ctx)
	if ctx.Err() != nil && asked.Err() == nil {
		p.quirk("it is so slow that not everything could be tried within %v", o.Time)
	}
	return p.Probe, asked.Err()
}

// prober is one probe under way.
type prober struct {
	Probe
	o    ProbeOptions
	pool *Pool
	r    Remote
	file *probeFile // to try things with
}

type probeFile struct {
	path string
	e    listing.Entry
}

// describe takes over what the server said at login.
func (p *prober) describe() {
	i := p.r.Info()
	p.Software, p.Dialect = printable(i.Software), i.Dialect
	p.Greeting, p.Syst, p.Home = printable(i.Greeting), printable(i.Syst), printable(p.pool.Show(i.Home))
	for name, value := range i.Features {
		p.Features = append(p.Features, strings.TrimSpace(printable(name+" "+value)))
	}
	slices.Sort(p.Features)
	p.TLS.Used = p.source.Secure()
}

// sample lists folders, breadth first, and picks a file.
func (p *prober) sample(ctx context.Context) error {
	queue := []string{""}
	for i := 0; i < len(queue) && i < p.o.Folders; i++ {
		dir := queue[i]
		res, err := p.r.List(ctx, dir)
		if err != nil && i == 0 {
			return err
		}
		if err != nil {
			p.unread(fmt.Sprintf("%s: %v", printable(p.pool.Show(dir)), plain(err)))
			if !p.again(ctx) {
				break
			}
			continue
		}
		p.Listing.Folders++
		p.look(dir, res)
		for _, e := range res.Entries {
			if e.Type == listing.Dir && len(queue) < p.o.Folders {
				queue = append(queue, p.r.Join(dir, e.RawName))
			}
		}
	}
	p.Charset.Charset, p.Charset.Confidence = p.pool.know.detector.Charset()
	if p.source.Charset != "" {
		p.Charset.Charset, p.Charset.Confidence = p.source.Charset, 1
	}
	return nil
}

func (p *prober) unread(what string) {
	if len(p.Listing.Unread) < maxProbeExamples {
		p.Listing.Unread = append(p.Listing.Unread, what)
	}
}

func (p *prober) look(dir string, res listing.Result) {
	l := &p.Listing
	l.Entries += len(res.Entries)
	l.Skipped += res.SkippedTotal
	if p.Charset.NonASCII += res.NonASCII; res.NonASCII > 0 {
		if p.Charset.Folders == nil {
			p.Charset.Folders = map[string]int{}
		}
		p.Charset.Folders[res.Charset]++
	}
	for _, s := range res.Skipped {
		p.unread(quoteLine(string(s.Raw)) + ": " + s.Reason)
	}
	// The folder with the most entries speaks for all.
	if res.Format != "" && (l.Format == "" || len(res.Entries) > 20 && res.FormatConfidence > l.Confidence) {
		l.Format, l.Confidence, l.RunnerUp = string(res.Format), res.FormatConfidence, string(res.RunnerUp)
	}
	for _, e := range res.Entries {
		if len(p.Charset.Examples) < maxProbeExamples && !isASCII(e.RawName) {
			p.Charset.Examples = append(p.Charset.Examples, ProbeExample{Raw: printable(e.RawName), Name: printable(e.Name)})
		}
		if e.Type != listing.File {
			continue
		}
		if e.ModTime.Precision != listing.Unknown {
			l.Precision = precisionWord(e.ModTime.Precision)
		}
		if e.Size > 1 && e.Size <= p.o.Bytes && !e.SizeEstimated && (p.file == nil || better(e.Size, p.file.e.Size)) {
			p.file = &probeFile{p.r.Join(dir, e.RawName), e}
		}
	}
}

// better prefers the file that shows more: nearer to 64 KiB.
func better(a, b int64) bool {
	const ideal = 64 << 10
	return max(a, ideal)-min(a, ideal) < max(b, ideal)-min(b, ideal)
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}

func precisionWord(p listing.Precision) string {
	switch p {
	case listing.Second:
		return "second"
	case listing.Minute:
		return "minute"
	case listing.Day:
		return "day"
	}
	return "unknown"
}

// again gives a session for one more question, a new one where the last one broke.
func (p *prober) again(ctx context.Context) bool {
	if !p.r.Broken() {
		return true
	}
	fresh, err := p.pool.Get(ctx)
	if err != nil {
		return false
	}
	p.pool.Put(p.r)
	p.r = fresh
	return true
}

func no(format string, args ...any) ProbeAnswer {
	return ProbeAnswer{Detail: fmt.Sprintf(format, args...)}
}

func yes(format string, args ...any) ProbeAnswer {
	return ProbeAnswer{OK: true, Detail: fmt.Sprintf(format, args...)}
}

// tryFile asks about one file in every way, and fetches it.
func (p *prober) tryFile(ctx context.Context) {
	p.SetTimes = setTimesBy(p.source, p.r.Info())
	if p.file == nil {
		none := no("not tried: no file of 2 bytes to %d KiB was found", p.o.Bytes>>10)
		p.Size, p.Time, p.Resume, p.Hash = none, none, none, none
		return
	}
	p.TriedWith = printable(p.pool.Show(p.file.path))
	data, err := p.fetch(ctx, 0)
	if err != nil {
		p.quirk("the file could not be fetched: %s", plain(err))
	}
	if p.again(ctx) {
		p.Size = p.trySize(ctx, data)
	}
	if p.again(ctx) {
		p.Time = p.tryTime(ctx)
	}
	if err == nil && p.again(ctx) {
		p.Resume = p.tryResume(ctx, data)
	}
	if err == nil && p.again(ctx) {
		p.Hash = p.tryHash(ctx, data)
	}
}

func (p *prober) fetch(ctx context.Context, offset int64) ([]byte, error) {
	rc, err := p.r.Fetch(ctx, p.file.path, offset)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(rc, p.o.Bytes+1))
	if cerr := rc.Close(); err == nil {
		err = cerr
	}
	return data, err
}

func (p *prober) trySize(ctx context.Context, data []byte) ProbeAnswer {
	size, err := p.r.Size(ctx, p.file.path)
	switch {
	case err != nil:
		return no("%s", plain(err))
	case data != nil && size != int64(len(data)):
		return no("the server says %d bytes, and %d came: the server may translate line ends", size, len(data))
	case size != p.file.e.Size:
		return yes("the server says %d bytes, its listing %d", size, p.file.e.Size)
	}
	return yes("the server, its listing and the transfer agree on %d bytes", size)
}

func (p *prober) tryTime(ctx context.Context) ProbeAnswer {
	at, err := p.r.ModTime(ctx, p.file.path)
	if err != nil {
		return no("%s", plain(err))
	}
	return yes("the server says %s", at.Format("2006-01-02 15:04:05 UTC"))
}

// tryResume fetches the second half and compares: a server may take REST and
// ignore it.
func (p *prober) tryResume(ctx context.Context, data []byte) ProbeAnswer {
	half := int64(len(data) / 2)
	rest, err := p.fetch(ctx, half)
	switch {
	case errors.Is(err, ErrUnsupported):
		return no("the server has no REST: %s", plain(err))
	case err != nil:
		return no("%s", plain(err))
	case bytes.Equal(rest, data[half:]):
		return yes("from byte %d on came the bytes from there on", half)
	case bytes.Equal(rest, data):
		return no("REST is accepted and ignored: the file came from its start")
	}
	return no("from byte %d on came other bytes than the whole file has there", half)
}

func (p *prober) tryHash(ctx context.Context, data []byte) ProbeAnswer {
	theirs, command, err := p.r.Hash(ctx, p.file.path, int64(len(data)))
	switch {
	case errors.Is(err, ErrUnsupported):
		return no("the server has no command for it")
	case err != nil:
		return no("%s", plain(err))
	}
	ours, err := digestOf(data, theirs.Algorithm)
	if err != nil {
		return no("%s: %s", command, plain(err))
	}
	if !bytes.Equal(ours, theirs.Sum) {
		return no("%s gave %x, the bytes that came have %x", command, theirs.Sum, ours)
	}
	return yes("%s agrees with the bytes that came", command)
}

func (p *prober) findZone(ctx context.Context) {
	if p.source.Location != nil {
		p.Zone = yes("%s, as you said", p.source.Location)
		return
	}
	if !p.again(ctx) {
		return
	}
	zone, err := FindZone(ctx, p.r)
	switch {
	case err != nil:
		p.Zone = no("%s", strings.TrimPrefix(plain(err), ErrZone.Error()+": "))
	case zone == nil:
		p.Zone = yes("listings give times in UTC")
	default:
		p.zone = zone
		p.Zone = yes("listings are in %s: MDTM says so", zone)
	}
}

func (p *prober) quirk(format string, args ...any) {
	p.Quirks = append(p.Quirks, fmt.Sprintf(format, args...))
}

// quirks says what the sessions found out by themselves.
func (p *prober) quirks() {
	s, ok := p.r.(*Session)
	if !ok {
		return
	}
	know := p.pool.know
	know.mu.Lock()
	defer know.mu.Unlock()
	p.Listing.Command = "LIST"
	switch {
	case p.Listing.Format == string(listing.MLSD):
		p.Listing.Command = "MLSD"
	case know.hidden == hiddenShown:
		p.Listing.Command = "LIST -a"
	}
	if know.noMLSD && (s.info.Has("MLST") || s.info.Has("MLSD")) {
		p.quirk("it says that it has MLSD, and refuses it")
	}
	if s.ctl.noEPSV {
		p.quirk("its extended passive mode (EPSV) does not work; PASV does")
	}
	if know.doubling == doublingYes {
		p.quirk("a byte 0xFF in a name must be sent twice (Telnet)")
	}
	if s.info.Syst == "" {
		p.quirk("it does not say what system it is (SYST)")
	}
	if len(s.info.Features) == 0 {
		p.quirk("it does not say what it can do (FEAT)")
	}
	if s.info.Home == "" {
		p.quirk("it does not say in which folder a login begins (PWD)")
	}
	if others := len(p.Charset.Folders); s.info.Has("UTF8") && others > 0 && (others > 1 || p.Charset.Folders["UTF-8"] == 0) {
		p.quirk("it offers UTF8, and lists names in another charset all the same")
	}
}

// countConnections opens sessions until the server refuses one.
func (p *prober) countConnections(ctx context.Context) {
	c := &p.Connections
	var open []Remote
	defer func() {
		for _, r := range open {
			_ = r.Close()
		}
	}()
	_ = p.pool.Close() // the sessions so far would count
	for c.Tried < p.o.Connections && ctx.Err() == nil {
		c.Tried++
		r, err := dialRemote(ctx, p.source, p.pool.know)
		if err != nil {
			c.Refusal = plain(err)
			return
		}
		open = append(open, r)
		c.Taken++
	}
}

// probeTLS shakes hands on a connection of its own, where no password is sent.
func (p *prober) probeTLS(ctx context.Context) {
	src := p.source
	if src.URL.Scheme == "sftp" {
		return
	}
	u := *src.URL
	if u.Scheme == "ftp" {
		u.Scheme = "ftpes"
		if src.URL.Port() == "" {
			u.Host = src.addr()
		}
	}
	src.URL = &u
	var seen tls.ConnectionState
	src.CAFile, src.Fingerprint = "", ""
	src.TLS = &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: true, //nolint:gosec // only to look at the certificate; it is judged below, and nothing is sent
		VerifyConnection:   func(cs tls.ConnectionState) error { seen = cs; return nil },
	}
	if err := shakeHands(ctx, src); err != nil {
		p.TLS.Fault = plain(err)
	}
	if len(seen.PeerCertificates) == 0 {
		return
	}
	p.TLS.describe(seen, src.URL.Hostname())
}

// shakeHands goes as far as a login would, without one.
func shakeHands(ctx context.Context, src Source) error {
	s := &Session{src: src, know: newKnowledge()}
	raw, err := s.connect(ctx)
	if err != nil {
		return err
	}
	s.ctl = newControl(raw, src.timeout(), src.logger())
	defer s.kill()
	end, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer end()
	return s.open(ctx)
}

func (t *ProbeTLS) describe(cs tls.ConnectionState, host string) {
	cert := cs.PeerCertificates[0]
	sum := sha256.Sum256(cert.Raw)
	t.Offered, t.Version, t.Fingerprint = true, tls.VersionName(cs.Version), hex.EncodeToString(sum[:])
	t.Subject, t.Expires = printable(cert.Subject.String()), cert.NotAfter
	for _, name := range cert.DNSNames[:min(len(cert.DNSNames), maxProbeExamples)] {
		t.Names = append(t.Names, printable(name))
	}
	o := x509.VerifyOptions{DNSName: host, Intermediates: x509.NewCertPool()}
	for _, c := range cs.PeerCertificates[1:] {
		o.Intermediates.AddCert(c)
	}
	if _, err := cert.Verify(o); err != nil {
		t.Fault = plain(err)
		return
	}
	t.Trusted = true
}

// setTimesBy is by which command times can be set, as far as the server says so.
func setTimesBy(src Source, i ServerInfo) ProbeAnswer {
	switch {
	case src.URL.Scheme == "sftp":
		return yes("SFTP has it in the protocol")
	case i.Has("MFMT"):
		return yes("MFMT is offered")
	case i.Software == "vsftpd":
		return yes("MDTM with two arguments, if its mdtm_write is on")
	}
	return no("no command for it is offered")
}

// digestOf hashes a small file.
func digestOf(data []byte, alg integrity.Algorithm) ([]byte, error) {
	d, err := integrity.NewDigester(alg)
	if err != nil {
		return nil, err
	}
	if _, err := d.Write(data); err != nil {
		return nil, err
	}
	for _, sum := range d.Sums() {
		if sum.Algorithm == alg {
			return sum.Sum, nil
		}
	}
	return nil, fmt.Errorf("no %s", alg)
}
