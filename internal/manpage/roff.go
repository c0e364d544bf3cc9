// Package manpage writes manual pages in the macros of man(7): of a command line ([Command]), and of a page
// in Markdown ([Markdown]). Manual, help and documentation are so one text, and cannot come to differ.
package manpage

import (
	"fmt"
	"strings"
)

// Title is the head of a page.
type Title struct {
	Name    string // such as gateway-serve
	Section int
	Does    string // what it is, in some words: of NAME, after the dash
	Source  string // whose page it is, with the version
	Date    string // such as 2026-11-30
}

// page is roff that grows.
type page struct {
	strings.Builder
	begun bool // a section has, and nothing is in it yet
}

func newPage(t Title) *page {
	p := &page{}
	fmt.Fprintf(p, ".\\\" Made by \"gateway man\"; changes get lost.\n")
	fmt.Fprintf(p, ".TH %s %d %q %q\n", strings.ToUpper(escape(t.Name)), t.Section, t.Date, t.Source)
	// No hyphens, and an even left side only: names and commands must not be torn.
	p.WriteString(".nh\n.ad l\n")
	p.section("NAME")
	p.line(escape(t.Name) + " \\- " + escape(t.Does))
	return p
}

func (p *page) section(name string) {
	fmt.Fprintf(p, ".SH %q\n", strings.ToUpper(escape(name)))
	p.begun = true
}

// paragraph begins one. At the beginning of a section there is one already.
func (p *page) paragraph() {
	if !p.begun {
		p.WriteString(".PP\n")
	}
	p.begun = false
}

// line writes text that is roff already, so that it is no request.
func (p *page) line(roff string) {
	if roff != "" && (roff[0] == '.' || roff[0] == '\'') {
		roff = "\\&" + roff
	}
	p.WriteString(roff + "\n")
	p.begun = false
}

// item writes what is explained, and the explanation; both are roff.
func (p *page) item(what, text string) {
	p.WriteString(".TP\n")
	p.line(what)
	p.line(text)
}

// verbatim writes lines as they are, indented.
func (p *page) verbatim(lines []string) {
	p.paragraph()
	p.WriteString(".RS 4\n.nf\n")
	for _, l := range lines {
		p.line(escape(l))
	}
	p.WriteString(".fi\n.RE\n")
}

func bold(roff string) string   { return "\\fB" + roff + "\\fR" }
func italic(roff string) string { return "\\fI" + roff + "\\fR" }

// escape makes roff of text: every character stands for itself.
func escape(text string) string {
	return strings.NewReplacer("\\", "\\e", "-", "\\-", "'", "\\(aq", "`", "\\(ga", "^", "\\(ha", "~", "\\(ti", "\"", "\\(dq").Replace(text)
}
