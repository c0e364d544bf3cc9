package manpage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// About is what the pages of a program's commands have in common.
type About struct {
	Source, Date string // as in Title
	// Ends are sections that stand at the end of each page, Program those of the program's own before them.
	Program, Ends []Section
	SeeAlso       []string // pages, such as gateway.yaml(5)
}

// Section is one of a page: paragraphs, and items with their explanations.
type Section struct {
	Name  string
	Text  []string
	Items []Item
}

// Item is what is explained, and the explanation.
type Item struct{ What, Text string }

// Nodes are those of a command line that have a page of their own: the program and its commands, also
// those that have only commands below them.
func Nodes(app *kong.Application) []*kong.Node {
	var all []*kong.Node
	var walk func(n *kong.Node)
	walk = func(n *kong.Node) {
		if n.Hidden {
			return
		}
		all = append(all, n)
		for _, child := range n.Children {
			walk(child)
		}
	}
	walk(app.Node)
	return all
}

// PageName is the name of a command's page, such as gateway-user-add.
func PageName(n *kong.Node) string { return strings.Join(path(n), "-") }

func path(n *kong.Node) []string {
	var names []string
	for ; n != nil; n = n.Parent {
		names = append(names, n.Name)
	}
	slices.Reverse(names)
	return names
}

// Command is the page of a command, from the texts of its help.
func Command(n *kong.Node, about About) string {
	summary, _ := strings.CutSuffix(n.Help, ".")
	p := newPage(Title{
		Name: PageName(n), Section: 1, Does: strings.ToLower(summary[:min(1, len(summary))]) + summary[min(1, len(summary)):],
		Source: about.Source, Date: about.Date,
	})
	p.section("SYNOPSIS")
	p.line(synopsis(n))
	p.section("DESCRIPTION")
	p.line(escape(n.Help))
	p.detail(n.Detail)
	p.arguments(n)
	p.flags(n)
	p.commands(n)
	if n.Parent == nil {
		p.sections(about.Program)
	}
	p.sections(about.Ends)
	p.seeAlso(n, about.SeeAlso)
	return p.String()
}

func synopsis(n *kong.Node) string {
	s := bold(escape(strings.Join(path(n), " ")))
	if len(n.Children) > 0 {
		s += " " + italic("command")
	}
	for _, a := range n.Positional {
		s += " " + escape(a.Summary())
	}
	return s + " [" + italic("flags") + "]"
}

// detail is a text of paragraphs; a line that is indented is an example and stays as it is.
func (p *page) detail(text string) {
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		lines := strings.Split(strings.Trim(block, "\n"), "\n")
		switch {
		case block == "":
		case strings.HasPrefix(lines[0], "  "):
			p.verbatim(unindent(lines))
		default:
			p.paragraph()
			p.line(escape(strings.Join(strings.Fields(block), " ")))
		}
	}
}

func unindent(lines []string) []string {
	out := make([]string, 0, len(lines))
	for _, l := range lines {
		out = append(out, strings.TrimPrefix(l, "  "))
	}
	return out
}

func (p *page) arguments(n *kong.Node) {
	if len(n.Positional) == 0 {
		return
	}
	p.section("ARGUMENTS")
	for _, a := range n.Positional {
		p.item(escape(a.Summary()), escape(a.Help))
	}
}

func (p *page) flags(n *kong.Node) {
	p.section("OPTIONS")
	for _, group := range slices.Backward(n.AllFlags(true)) { // its own first
		for _, f := range group {
			name := bold(escape("--" + f.Name))
			if f.Short != 0 {
				name = bold(escape("-"+string(f.Short))) + ", " + name
			}
			if !f.IsBool() {
				name += "=" + italic(escape(f.FormatPlaceHolder()))
			}
			p.item(name, escape(f.Help))
		}
	}
}

func (p *page) commands(n *kong.Node) {
	if len(n.Children) == 0 {
		return
	}
	p.section("COMMANDS")
	for _, child := range n.Children {
		if !child.Hidden {
			p.item(bold(escape(PageName(child)))+"(1)", escape(child.Help))
		}
	}
}

func (p *page) sections(list []Section) {
	for _, s := range list {
		p.section(s.Name)
		for _, text := range s.Text {
			p.paragraph()
			p.line(escape(text))
		}
		for _, it := range s.Items {
			p.item(bold(escape(it.What)), escape(it.Text))
		}
	}
}

func (p *page) seeAlso(n *kong.Node, more []string) {
	var pages []string
	if n.Parent != nil {
		pages = append(pages, PageName(n.Parent)+"(1)")
		for _, sister := range n.Parent.Children {
			if sister != n && !sister.Hidden && n.Parent.Parent != nil {
				pages = append(pages, PageName(sister)+"(1)")
			}
		}
	}
	p.section("SEE ALSO")
	var refs []string
	for _, name := range append(pages, more...) {
		name, section, _ := strings.Cut(name, "(")
		refs = append(refs, fmt.Sprintf("%s(%s", bold(escape(name)), section))
	}
	p.line(strings.Join(refs, ", "))
}
