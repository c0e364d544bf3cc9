package ftpbridge

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"
	"unicode"
)

// printed fails the test if a probe would drive a terminal.
func printed(t *testing.T, p Probe) string {
	t.Helper()
	var b strings.Builder
	if err := p.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var any any
	if err := json.Unmarshal(raw, &any); err != nil {
		t.Fatal(err)
	}
	everyString(any, func(s string) {
		if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) && r != '\n' }) {
			t.Errorf("in the JSON: %q", s)
		}
	})
	for line := range strings.Lines(b.String()) {
		if line = strings.TrimSuffix(line, "\n"); strings.ContainsFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("in the text: %q", line)
		}
		if len(line) > 2000 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
	return b.String()
}

func everyString(v any, do func(string)) {
	switch v := v.(type) {
	case string:
		do(v)
	case []any:
		for _, e := range v {
			everyString(e, do)
		}
	case map[string]any:
		for k, e := range v {
			do(k)
			everyString(e, do)
		}
	}
}

// Nothing that a server says, or names a file, comes out of a probe as it is.
func TestProbeEscapes(t *testing.T) {
	const poison = "\x1b[31mred\x07\x1b]0;title\x07 \x9b2J \u009b \u202e \x7f yaml: {x\": ]"
	refuse := says("550 %s", poison)
	for name, handlers := range map[string]map[string]func(*talk, string){
		"answers":  {},
		"refusals": {"SIZE": refuse, "MDTM": refuse, "REST": refuse, "RETR": refuse, "XSHA256": refuse, "PWD": says("257 \"/%s\"", poison)},
		"junk":     {"SIZE": says("213 %s", poison), "MDTM": says("213 %s", poison), "RETR": func(c *talk, _ string) { c.rest = 0; c.stream(poison, "226 "+poison) }},
		"no words": {"SYST": says("500"), "FEAT": says("500"), "PWD": says("500")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := &scripted{
				greeting: "220-" + poison + "\r\n220 " + strings.Repeat(poison, 20) + "\r\n", syst: poison,
				feat:     []string{"SIZE", "MDTM", "REST STREAM", poison, "XSHA256", "AUTH " + poison},
				files:    map[string]string{"/file": "12345678", "/" + poison: "12345678"},
				lists:    map[string]string{"": dots() + unixLine("file", 8) + unixLine(poison, 8) + unixDir("dir"+poison) + "what is \x1b this?\r\n", "/dir" + poison: unixLine(poison, 8)},
				handlers: handlers,
			}
			srv.start(t)
			src := srv.source(t, "")
			src.Timeout = 2 * time.Second
			p, err := ProbeServer(testContext(t), src, ProbeOptions{Connections: 2})
			if err != nil {
				want(t, err, nil)
				return
			}
			if text := printed(t, p); !strings.Contains(text, "red") {
				t.Error(text)
			}
		})
	}
}

// A probe ends, however slowly a server answers and however much.
func TestProbeEnds(t *testing.T) {
	list := dots() + unixLine("file", 8) + unixDir("dir")
	for name, handlers := range map[string]map[string]func(*talk, string){
		"a file that drips":    {"RETR": drips(func() {})},
		"an endless file":      {"RETR": func(c *talk, _ string) { flood(c, 0, func(int) string { return strings.Repeat("x", 1000) }) }},
		"a hash that hangs":    {"XSHA256": func(c *talk, _ string) { c.hang() }},
		"silence after a file": {"RETR": func(c *talk, _ string) { c.stream("12345678", ""); c.hang() }},
		"a folder that drips": {"LIST": func(c *talk, arg string) {
			if c.cwd == "/" {
				c.stream(list, "226 done")
				return
			}
			drips(func() {})(c, arg)
		}},
		"replies that drip": {"SIZE": func(c *talk, _ string) {
			for err := error(nil); err == nil; time.Sleep(50 * time.Millisecond) {
				_, err = io.WriteString(c, "2")
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := &scripted{feat: []string{"SIZE", "MDTM", "REST STREAM", "XSHA256"}, files: map[string]string{"/file": "12345678"},
				lists: map[string]string{"": list, "/dir": ""}, handlers: handlers}
			srv.start(t)
			src := srv.source(t, "")
			src.Timeout = time.Second
			soon(t, "the probe", func() {
				p, err := ProbeServer(t.Context(), src, ProbeOptions{Connections: 2, Time: 4 * time.Second})
				if err != nil {
					t.Error(err)
					return
				}
				printed(t, p)
				if p.Listing.Entries != 2 || p.TriedWith != "file" && name != "a folder that drips" {
					t.Errorf("%+v, tried with %q", p.Listing, p.TriedWith)
				}
			})
		})
	}
}
