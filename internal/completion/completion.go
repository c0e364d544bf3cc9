// Package completion completes command lines for shells.
//
// A shell runs the program itself with the words so far ([Complete]), so that what is offered is what
// this version of the program understands, and names come from today's configuration. The script that
// the shell reads ([Script]) only asks and shows the answers.
package completion

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// MaxCandidates is how many candidates there are at most; nobody reads more.
const MaxCandidates = 1000

// Candidate is a word that can stand where the cursor is.
type Candidate struct {
	Word string // the whole of it, also of --flag=value
	Help string // one line, may be empty
}

// Result is what can stand where the cursor is.
type Result struct {
	Candidates []Candidate
	// Files and Dirs say that names of files, or of folders only, can stand there too. Prefix is
	// the part of the word before them, such as "--config=".
	Files, Dirs bool
	Prefix      string
}

// Names returns words of a kind, which a field has in its tag complete:"kind": the users of the
// configuration, for example. It is given the words of the line, of which flags may tell where that
// configuration is. A tag with commas in it lists the words themselves.
type Names func(kind string, words []string) []string

// Complete says what the last of words, which may be empty, can be. The words are those after the
// program's name. Hidden commands and flags are not offered.
func Complete(model *kong.Application, words []string, names Names) Result {
	if len(words) == 0 {
		words = []string{""}
	}
	c := completer{words: words, names: names, node: model.Node}
	last := len(words) - 1
	for _, w := range words[:last] {
		c.take(w)
	}
	r := c.at(words[last])
	r.Candidates = slices.DeleteFunc(r.Candidates, func(k Candidate) bool { return !strings.HasPrefix(k.Word, words[last]) })
	r.Candidates = r.Candidates[:min(len(r.Candidates), MaxCandidates)]
	return r
}

type completer struct {
	words  []string
	names  Names
	node   *kong.Node
	value  *kong.Flag // whose value the next word is; nil: none
	given  []string   // flags, by name
	places int        // positional words so far
	ended  bool       // by --
}

// take reads a word before the cursor.
func (c *completer) take(w string) {
	switch {
	case c.value != nil:
		c.value = nil
	case c.ended || !strings.HasPrefix(w, "-") || w == "-":
		c.takePositional(w)
	case w == "--":
		c.ended = true
	default:
		name, _, hasValue := strings.Cut(w, "=")
		f := c.flag(name)
		if f == nil {
			return
		}
		c.given = append(c.given, f.Name)
		short := !strings.HasPrefix(w, "--")
		if !f.IsBool() && !hasValue && (!short || len(w) == 2) {
			c.value = f
		}
	}
}

func (c *completer) takePositional(w string) {
	for _, child := range c.node.Children {
		if child.Name == w || slices.Contains(child.Aliases, w) {
			c.node = child
			return
		}
	}
	c.places++
}

// flag finds --name or -n, which may be followed by its value, of the command or those above it.
func (c *completer) flag(name string) *kong.Flag {
	for _, f := range c.flags() {
		if name == "--"+f.Name || f.Short != 0 && !strings.HasPrefix(name, "--") && strings.HasPrefix(name, "-"+string(f.Short)) {
			return f
		}
	}
	return nil
}

func (c *completer) flags() []*kong.Flag {
	var all []*kong.Flag
	for _, group := range c.node.AllFlags(true) {
		all = append(all, group...)
	}
	return all
}

// at is what can stand in place of the word w.
func (c *completer) at(w string) Result {
	if c.value != nil {
		return c.valueOf(c.value.Value, "")
	}
	if name, _, ok := strings.Cut(w, "="); ok && strings.HasPrefix(w, "--") && !c.ended {
		if f := c.flag(name); f != nil && !f.IsBool() {
			return c.valueOf(f.Value, name+"=")
		}
		return Result{}
	}
	if strings.HasPrefix(w, "-") && !c.ended {
		return Result{Candidates: c.flagWords()}
	}
	var r Result
	for _, child := range c.node.Children {
		if !child.Hidden {
			r.Candidates = append(r.Candidates, Candidate{child.Name, child.Help})
		}
	}
	if n := len(c.node.Positional); n > 0 {
		// The last may be many.
		if p := c.node.Positional[min(c.places, n-1)]; c.places < n || p.IsCumulative() {
			more := c.valueOf(p, "")
			r.Candidates = append(r.Candidates, more.Candidates...)
			r.Files, r.Dirs = more.Files, more.Dirs
		}
	}
	return r
}

func (c *completer) flagWords() []Candidate {
	var words []Candidate
	for _, f := range c.flags() {
		if f.IsCumulative() || !slices.Contains(c.given, f.Name) {
			words = append(words, Candidate{"--" + f.Name, f.Help})
		}
	}
	return words
}

// valueOf is what a flag's value or a positional word can be.
func (c *completer) valueOf(v *kong.Value, prefix string) Result {
	r := Result{Prefix: prefix}
	var words []string
	switch kind := v.Tag.Get("complete"); {
	case v.Enum != "":
		words = v.EnumSlice()
	case strings.Contains(kind, ","):
		words = strings.Split(kind, ",")
	case kind == "file":
		r.Files = true
	case kind != "":
		words = c.names(kind, c.words)
	case v.Tag.PlaceHolder == "DIR" && v.Tag.Type == "path":
		r.Dirs = true
	case v.Tag.PlaceHolder == "FILE" || v.Tag.Type == "path":
		r.Files = true
	}
	for _, w := range words {
		if w != "" {
			r.Candidates = append(r.Candidates, Candidate{Word: prefix + w})
		}
	}
	return r
}

// FlagValue finds the value of a flag with a value in words, as --name=value, --name value or -n value.
// It is "" where there is none.
func FlagValue(words []string, name string, short rune) string {
	value := ""
	for i, w := range words {
		if w == "--" {
			break
		}
		if v, ok := strings.CutPrefix(w, "--"+name+"="); ok {
			value = v
		}
		if (w == "--"+name || short != 0 && w == "-"+string(short)) && i+1 < len(words) {
			value = words[i+1]
		}
	}
	return value
}
