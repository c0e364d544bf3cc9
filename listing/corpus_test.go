package listing_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gateway/listing"
)

// corpusCase is one vector: a listing and what it says. What is left out of an entry is not asserted.
type corpusCase struct {
	Suite, Case, Family, Raw, Now, Syst string
	RawBase64                           []byte `json:"raw_base64"`
	Expect                              *[]struct {
		Name      *string
		Type      string
		Size      json.Number
		ModTime   string `json:"mtime"`
		Precision string `json:"mtime_precision"`
		Target    string
	}
}

func (c *corpusCase) raw(t testing.TB) []byte {
	t.Helper()
	if len(c.RawBase64) > 0 {
		return c.RawBase64
	}
	return []byte(c.Raw)
}

func readCases(t testing.TB, files []string) []corpusCase {
	t.Helper()
	var out []corpusCase
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		sc := bufio.NewScanner(f)
		sc.Buffer(nil, 16<<20)
		for sc.Scan() {
			var c corpusCase
			if err := json.Unmarshal(sc.Bytes(), &c); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out = append(out, c)
		}
		if err := sc.Err(); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	return out
}

// floors is the share of the public vectors that must be read as their suite says. The rest are vectors that
// contradict each other or the rules of this package; docs/listing-formats.md lists them.
var floors = map[string]float64{
	"unix": 0.885, "macos": 0.90, "netware": 1, "dos": 0.98, "mlsd": 0.96, "vms": 0.98, "mvs": 0.91, "jes": 1, "sterling": 1,
	"vmcms": 1, "os400": 0.82, "os2": 1, "nonstop": 1, "win16": 1, "dls": 1, "hprc": 1,
}

// TestCorpus reads the project's vectors and, where GATEWAY_CORPUS names the folder of the public ones, those too.
func TestCorpus(t *testing.T) {
	own, err := filepath.Glob("testdata/*.jsonl")
	if err != nil || len(own) == 0 {
		t.Fatal("no vectors", err)
	}
	for _, c := range readCases(t, own) {
		if why := judge(c.raw(t), c); why != "" {
			t.Errorf("%s: %s", c.Case, why)
		}
	}
	dir := os.Getenv("GATEWAY_CORPUS")
	if dir == "" {
		t.Log("GATEWAY_CORPUS is not set: only the project's own vectors were read")
		return
	}
	files, err := filepath.Glob(filepath.Join(dir, "listing", "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no vectors in %s: %v", dir, err)
	}
	right, all := map[string]int{}, map[string]int{}
	for _, c := range readCases(t, files) {
		why := judge(c.raw(t), c)
		if c.Expect == nil || len(*c.Expect) == 0 {
			continue // no assertion, or a refusal by one suite's parser
		}
		if floors[c.Family] == 0 {
			continue // of a family whose vectors are all wrong, or ask for nothing
		}
		all[c.Family]++
		if why == "" {
			right[c.Family]++
		} else {
			t.Logf("%s %s [%s]: %s", c.Suite, c.Case, c.Family, why)
		}
	}
	for family, floor := range floors {
		share := float64(right[family]) / float64(max(all[family], 1))
		t.Logf("%s: %d of %d", family, right[family], all[family])
		if share < floor {
			t.Errorf("%s: %.3f of the vectors, want %.3f", family, share, floor)
		}
	}
}

// judge says where the listing is read otherwise than c expects; "" where it is not.
func judge(raw []byte, c corpusCase) string {
	o := listing.Options{Syst: c.Syst}
	for _, layout := range []string{"2006-01-02T15:04:05", "2006-01-02"} {
		if at, err := time.Parse(layout, strings.TrimSuffix(c.Now, "Z")); err == nil {
			o.Now = at
			break
		}
	}
	r, _ := listing.Parse(raw, o) // an unrecognized listing has no entries, which is compared below
	if c.Expect == nil {
		return ""
	}
	var got []listing.Entry
	for _, e := range r.Entries {
		if e.Name != "." && e.Name != ".." {
			got = append(got, e)
		}
	}
	i := 0
	for _, want := range *c.Expect {
		if want.Name != nil && (*want.Name == "." || *want.Name == "..") {
			continue
		}
		if i == len(got) {
			return "too few entries"
		}
		e := got[i]
		i++
		switch size, err := want.Size.Int64(); {
		case want.Name != nil && !sameName(*want.Name, e, c.Family):
			return "name " + e.Name + ", want " + *want.Name
		case want.Type != "" && want.Type != e.Type.String() && want.Type != "link" && e.Type != listing.Link:
			return e.Name + " is a " + e.Type.String() + ", want " + want.Type
		case err == nil && want.Type != "dir" && e.Type == listing.File && size != e.Size && !(vague(c.Family) && (e.SizeEstimated || e.Size < 0)):
			return e.Name + " has another size than " + want.Size.String()
		case want.Target != "" && want.Target != e.Target:
			return e.Name + " links to " + e.Target + ", want " + want.Target
		case want.Precision != "" && want.ModTime != "" && !sameTime(e.ModTime, want.ModTime, want.Precision):
			return e.Name + " is of " + e.ModTime.Format(time.DateTime) + ", want " + want.ModTime
		}
	}
	if i < len(got) {
		return "too many entries: " + got[i].Name
	}
	return ""
}

// sameName compares names as far as the suites agree on what belongs to them: not on the version and the case of VMS,
// nor on the path of IBM i.
func sameName(want string, e listing.Entry, family string) bool {
	switch family {
	case "vms":
		want, _, _ = strings.Cut(want, ";")
		if n := len(want) - len(".DIR"); n > 0 && strings.EqualFold(want[n:], ".DIR") {
			want = want[:n]
		}
		return strings.EqualFold(strings.TrimRight(want, "."), strings.TrimRight(e.Name, "."))
	case "os400":
		want = path.Base(want)
		return want == path.Base(e.Name)
	}
	return want == e.Name || strings.TrimSpace(want) == strings.TrimSpace(e.RawName)
}

// vague reports whether the sizes of a family are in blocks, tracks or records, of which the suites make this or that.
func vague(family string) bool {
	return slices.Contains([]string{"vms", "mvs", "sterling", "os400", "vmcms"}, family)
}

func sameTime(got listing.Time, want, precision string) bool {
	n := len("2006-01-02T15:04")
	switch precision {
	case "day":
		n = len("2006-01-02")
	case "second":
		n = len("2006-01-02T15:04:05")
	}
	at := got.Format("2006-01-02T15:04:05")
	return got.Precision != listing.Unknown && len(want) >= n && at[:n] == want[:n]
}
