package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"gateway/ftpbridge"
)

// sample is a report with something of everything.
func sample() (ftpbridge.Report, Digests) {
	start := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	rnd := rand.New(rand.NewPCG(1, 2))
	r := ftpbridge.Report{
		Job: 7, Source: "ftpes://partner@ftp.partner.example/pub/", Destination: "default:partner",
		Started: start, Finished: start.Add(2*time.Hour + 7*time.Minute), Seconds: 7620,
		Policy:   "sha256:" + strings.Repeat("4f", 32),
		Warnings: []string{"plain FTP: whoever sits on the network between can read the password and change the files"},
		Folders:  214, Found: ftpbridge.Tally{Files: 18240, Bytes: 92 << 30}, Unchanged: ftpbridge.Tally{Files: 1200, Bytes: 3 << 30},
		Published: ftpbridge.Tally{Files: 17021, Bytes: 88 << 30}, Verdicts: ftpbridge.Count{"authentic": 15000, "intact": 1900, "unverified": 121},
		FetchedBytes: 89 << 30, ResumedFiles: 3, SavedBytes: 2 << 30, Retries: 61, UnknownSizes: 4,
		Timeline: ftpbridge.Timeline{BucketMillis: 102400},
	}
	for i := range 75 {
		b := ftpbridge.Bucket{Bytes: int64(float64(1<<30) * (0.8 + rnd.Float64())), Files: rnd.Int64N(400) + 50}
		if i > 30 && i < 38 {
			b = ftpbridge.Bucket{Bytes: 12 << 20, Files: 2, Retries: rnd.Int64N(12) + 1}
		}
		r.Timeline.Buckets = append(r.Timeline.Buckets, b)
	}
	for i := range 34 {
		n := int64(2000 / (1 + (i-16)*(i-16)/8))
		r.Sizes = append(r.Sizes, ftpbridge.SizeClass{From: int64(uint64(1) << i >> 1), Tally: ftpbridge.Tally{Files: n, Bytes: n << i}})
	}
	for i := range ftpbridge.MaxSlowest {
		r.Slowest = append(r.Slowest, ftpbridge.SlowFile{
			Path: fmt.Sprintf("images/2024/release-%02d/disk-image-amd64.iso", i), Bytes: int64(4<<30 - i*(150<<20)), Seconds: 400 / float64(i+1),
		})
	}
	r.Quarantined = fill(3, ftpbridge.Item{Path: "tools/setup-%d.exe", Size: 4 << 20, Verdict: "bad", Reason: "SHA256SUMS (signed by 3988892137A8B4191F8E9571D8C0862AC093F6FA) lists sha256:e258d248fda94c63.. but the file has sha256:348df4eb47f9230b.."})
	r.Failed = fill(2, ftpbridge.Item{Path: "logs/today-%d.log", Size: 12345, Retry: true, Reason: "it changed on the source while it was fetched: its size was 12345 and is 12399 bytes: 3 times in a row"})
	r.Unread = fill(1, ftpbridge.Item{Path: "private%d", Reason: `the server says "550 Permission denied."`})
	r.Skipped = fill(12, ftpbridge.Item{Path: "mirror/link-%d", Reason: "a link to a folder"})
	r.Renamed = fill(2, ftpbridge.Item{Path: `docs/\xd0\xee\xf1\xf1\xe8\xff-%d.txt`, Target: "partner/docs/Россия-%d.txt", Reason: "not UTF-8"})
	d := Digests{Files: 18221, Bytes: 91 << 30, Verdicts: map[string]int64{"authentic": 16000, "intact": 2100, "unverified": 121}}
	for i := range MaxHTMLDigests {
		name := fmt.Sprintf("images/2024/file-%04d.dat", i)
		sum := sha256.Sum256([]byte(name))
		d.First = append(d.First, Digest{name, sum[:]})
	}
	return r, d
}

// fill makes a list of n things that differ in the number in their names.
func fill(n int, i ftpbridge.Item) ftpbridge.List {
	var l ftpbridge.List
	for k := range n {
		one := i
		one.Path = strings.ReplaceAll(i.Path, "%d", fmt.Sprint(k))
		one.Target = strings.ReplaceAll(i.Target, "%d", fmt.Sprint(k))
		l.Items = append(l.Items, one)
		l.Total++
		l.Bytes += one.Size
	}
	return l
}

func render(t *testing.T, r ftpbridge.Report, d Digests) string {
	t.Helper()
	var b bytes.Buffer
	if err := WriteHTML(&b, r, d); err != nil {
		t.Fatal(err)
	}
	checkPage(t, b.String())
	return b.String()
}

// checkPage holds what is promised of every page: it is well-formed, nothing is
// run or fetched, nothing in it is invisible, and who cannot see it is not lost.
func checkPage(t *testing.T, page string) {
	t.Helper()
	for _, r := range page {
		if r != '\n' && !unicode.IsPrint(r) {
			t.Fatalf("%U is in the page", r)
		}
	}
	if m := regexp.MustCompile(`(?i)<script|<img|<link|<iframe|javascript:|@import|url\(|src=| on\w+=`).FindString(page); m != "" {
		t.Errorf("%q is in the page", m)
	}
	dec := xml.NewDecoder(strings.NewReader(page))
	dec.Strict, dec.AutoClose, dec.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	ids, refs := map[string]bool{}, []string{}
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		attr := map[string]string{}
		for _, a := range start.Attr {
			attr[a.Name.Local] = a.Value
		}
		if id := attr["id"]; id != "" && ids[id] {
			t.Errorf("the id %q is there twice", id)
		}
		ids[attr["id"]] = true
		refs = append(refs, strings.Fields(attr["aria-labelledby"])...)
		switch name := start.Name.Local; {
		case name == "a" && !strings.HasPrefix(attr["href"], "#"):
			t.Errorf("a link leads to %q", attr["href"])
		case name == "a":
			refs = append(refs, attr["href"][1:])
		case name == "th" && attr["scope"] == "":
			t.Error("a th without scope")
		case name == "svg" && attr["aria-hidden"] != "true" && (attr["role"] != "img" || attr["aria-labelledby"] == ""):
			t.Error("a plot without title and description")
		}
	}
	for _, ref := range refs {
		if !ids[ref] {
			t.Errorf("nothing has the id %q", ref)
		}
	}
}

func has(t *testing.T, page string, want ...string) {
	t.Helper()
	page = strings.Join(strings.Fields(page), " ")
	for _, w := range want {
		if !strings.Contains(page, w) {
			t.Errorf("the page has no %q", w)
		}
	}
}

func hasNot(t *testing.T, page string, bad ...string) {
	t.Helper()
	for _, b := range bad {
		if strings.Contains(page, b) {
			t.Errorf("the page has %q", b)
		}
	}
}

func TestHTML(t *testing.T) {
	r, d := sample()
	page := render(t, r, d)
	has(t, page,
		"Not complete.", `<a href="#quarantined">3 in quarantine</a>, <a href="#failed">2 failed</a>, <a href="#unread">1 not read</a>.`,
		"2h 7m", "published, authentic", "tools/setup-0.exe", "signed by 3988892137", "may work another time",
		`docs/\xd0\xee\xf1\xf1\xe8\xff-0.txt</th><td class="name">partner/docs/Россия-0.txt`,
		"images/2024/release-00/disk-image-amd64.iso", "Bytes fetched per second", "These are the first 1000; 17,221 more are in <code>SHA256SUMS</code> only.",
		fmt.Sprintf("%x", d.First[0].SHA256))
	if n := strings.Count(page, `class="col"`); n < 150 || n > 3*75 {
		t.Errorf("%d columns for 75 buckets in 3 plots", n)
	}
	if again := render(t, r, d); again != page {
		t.Error("the same report gives another page")
	}
	if file := os.Getenv("REPORT_SAMPLE"); file != "" {
		if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
			t.Error(err)
		}
	}
}

func TestHTMLEmpty(t *testing.T) {
	page := render(t, ftpbridge.Report{}, Digests{})
	has(t, page, "Complete.", "Nothing was fetched.", "Nothing was published.", "Nothing had to be tried again.", "This migration has published nothing so far.")
	hasNot(t, page, "NaN", "Inf", "<no value>", "ZgotmplZ", "<svg")
	page = render(t, ftpbridge.Report{Error: "the server is gone", Pending: ftpbridge.Tally{Files: 1}}, Digests{})
	has(t, page, "Not complete.", "1 not finished", "It ended early:", "the server is gone")
}

// Whatever a server calls its files, and says, is text.
func TestHTMLHostile(t *testing.T) {
	for _, evil := range []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</title></style><script>`, `{{.Report}}`, `]]>`, `<!--`, `&lt;script&gt;`,
		"\x1b]0;title\x07\x1b[2J", "a\x00b", "line\nbreak\r", "\u202egnp.exe", "\u2066\u200f\u200b\u00ad", "\ufeff\ufffe", "caf\xe9", "\xc0\xaf",
		"\U000e0041", "javascript:alert(1)", "' onload='x",
	} {
		item := ftpbridge.Item{Path: evil, Target: evil, Verdict: evil, Reason: evil, Size: 1, Retry: true}
		l := fill(1, item)
		r := ftpbridge.Report{
			Source: evil, Destination: evil, Error: evil, Policy: evil, Warnings: []string{evil}, Verdicts: ftpbridge.Count{evil: 1},
			Quarantined: l, Failed: l, Suspect: l, Unread: l, Rejected: l, Skipped: l, Renamed: l,
			Slowest: []ftpbridge.SlowFile{{Path: evil, Seconds: 1}},
		}
		var b bytes.Buffer
		if err := WriteHTML(&b, r, Digests{Files: 1, Verdicts: map[string]int64{evil: 1}, First: []Digest{{evil, make([]byte, 32)}}}); err != nil {
			t.Fatal(err)
		}
		page := b.String()
		hasNot(t, page, "<script", "<img", "\x1b", "\x00", "\u202e", "\u200b", "\ufeff", "\U000e0041", `onload='`, "ZgotmplZ")
		quoted := regexp.MustCompile(`(?i)javascript:| on\w+=`).ReplaceAllString(page, "") // as text they do nothing
		checkPage(t, strings.ReplaceAll(quoted, "src=x", ""))
	}
	page := render(t, ftpbridge.Report{Failed: fill(1, ftpbridge.Item{Path: `a\x1b`, Target: "x\u202ey", Reason: "r\u202es \x1b[m"})}, Digests{})
	has(t, page, `a\x1b`, `r\xe2\x80\xaes \x1b[m`)
}

func TestHTMLBounds(t *testing.T) {
	r, d := sample()
	long := strings.Repeat("ж", 1<<20)
	r.Failed = fill(ftpbridge.MaxReportItems, ftpbridge.Item{Path: "f%d", Reason: "no"})
	r.Failed.Total = 5_000_000
	r.Skipped = fill(MaxHTMLItems+1, ftpbridge.Item{Path: "s%d", Reason: "a link"})
	r.Unread = fill(1, ftpbridge.Item{Path: long, Reason: long})
	r.Found.Bytes, r.FetchedBytes = -1, 1<<63-1 // sums of sizes that lie
	page := render(t, r, d)
	has(t, page, "These are the first 2000, 4,998,000 more are not shown. <code>report.json</code> names more of them.",
		"These are the first 2000, 1 more are not shown. <code>report.json</code> names all of them.", "ж ... (cut)")
	hasNot(t, page, "f2000<", "s2000<")
	if len(page) > 2<<20 {
		t.Errorf("the page has %d bytes", len(page))
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0ms", 20 * time.Millisecond: "20ms", 1500 * time.Millisecond: "1.5s", 3 * time.Second: "3s", 59 * time.Second: "59s",
		2*time.Minute + 3*time.Second: "2m 3s", time.Hour: "1h", 25 * time.Hour: "1d 1h",
	} {
		if got := duration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestNiceNumbers(t *testing.T) {
	for v, want := range map[float64]float64{0.3: 0.4, 1: 1, 1.1: 2, 3: 4, 7: 8, 99: 100, 1234: 2000} {
		if got := niceNumber(v); got != want {
			t.Errorf("%v: %v, want %v", v, got, want)
		}
	}
	for v, want := range map[float64]float64{0.5: 2, 1000: 1000, 1025: 2048, 300 << 10: 400 << 10} {
		if got := niceBytes(v); got != want {
			t.Errorf("%v bytes: %v, want %v", v, got, want)
		}
	}
}

func TestSizeRows(t *testing.T) {
	classes := func(files ...int64) []ftpbridge.SizeClass {
		var all []ftpbridge.SizeClass
		for i, n := range files {
			all = append(all, ftpbridge.SizeClass{From: int64(uint64(1) << i >> 1), Tally: ftpbridge.Tally{Files: n}})
		}
		return all
	}
	every := make([]int64, 64)
	for i := range every {
		every[i] = 1
	}
	tests := []struct {
		name    string
		classes []ftpbridge.SizeClass
		want    string
	}{
		{"nothing", nil, ""},
		{"only empty files", classes(3), "empty: 3"},
		{"some", classes(0, 0, 2, 0, 1), "2 B to 4 B: 2, 4 B to 8 B: 0, 8 B to 16 B: 1"},
		{"all", classes(every...), "empty: 1, 1 B to 16 B: 4, 16 B to 256 B: 4, 256 B to 4 KiB: 4, 4 KiB to 64 KiB: 4, 64 KiB to 1 MiB: 4, " +
			"1 MiB to 16 MiB: 4, 16 MiB to 256 MiB: 4, 256 MiB to 4 GiB: 4, 4 GiB to 64 GiB: 4, 64 GiB to 1 TiB: 4, 1 TiB to 16 TiB: 4, " +
			"16 TiB to 256 TiB: 4, 256 TiB to 4 PiB: 4, 4 PiB to 64 PiB: 4, 64 PiB to 1 EiB: 4, 1 EiB to 8 EiB: 3"},
	}
	for _, tt := range tests {
		var rows []string
		for _, b := range sizes(tt.classes) {
			rows = append(rows, fmt.Sprintf("%s: %d", b.Name, b.Files))
		}
		if got := strings.Join(rows, ", "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}
