package manpage

import (
	"fmt"
	"regexp"
	"strings"
)

// Markdown is the page of a text in Markdown, of which it knows what the documentation is written in: headings,
// paragraphs, lists, fenced code, tables, and in a line code, bold and links. A table becomes a list of
// what is in its first column. Anything else is an error, with its line.
func Markdown(t Title, text string) (string, error) {
	m := markdown{page: newPage(t), lines: strings.Split(strings.TrimRight(text, "\n"), "\n")}
	m.section("DESCRIPTION")
	for m.at < len(m.lines) {
		if err := m.block(); err != nil {
			return "", fmt.Errorf("line %d: %w", m.at+1, err)
		}
	}
	return m.String(), nil
}

type markdown struct {
	*page
	lines []string
	at    int
}

// block reads one and moves behind it.
func (m *markdown) block() error {
	l := m.lines[m.at]
	switch {
	case strings.TrimSpace(l) == "":
		m.at++
	case strings.HasPrefix(l, "#"):
		return m.heading(l)
	case strings.HasPrefix(l, "```"):
		return m.code()
	case strings.HasPrefix(l, "|"):
		return m.table()
	case strings.HasPrefix(l, "- "):
		m.at++
		m.item("\\(bu", inline(strings.TrimPrefix(l, "- ")+m.further("  ")))
	case regexp.MustCompile(`^(\s|>|<|\d+\. |[*+] |!\[)`).MatchString(l):
		return fmt.Errorf("%.40q is nothing that a manual page is made of; write it as a paragraph or a list with -", l)
	default:
		m.at++
		m.paragraph()
		m.line(inline(l + m.further("")))
	}
	return nil
}

func (m *markdown) heading(l string) error {
	m.at++
	name := strings.TrimLeft(l, "#")
	switch depth := len(l) - len(name); depth {
	case 1: // the title of the page
	case 2:
		m.section(strings.TrimSpace(name))
	case 3:
		fmt.Fprintf(m, ".SS %q\n", escape(strings.TrimSpace(name)))
		m.begun = true
	default:
		return fmt.Errorf("a heading of depth %d; a manual page has no more than 3", depth)
	}
	return nil
}

// further are the lines that go on from a paragraph or an item, with a blank before each.
func (m *markdown) further(indent string) string {
	var b strings.Builder
	for ; m.at < len(m.lines); m.at++ {
		l := m.lines[m.at]
		rest, ok := strings.CutPrefix(l, indent)
		if !ok || strings.TrimSpace(l) == "" || regexp.MustCompile("^(- |#|\\||```)").MatchString(rest) {
			break
		}
		b.WriteString(" " + strings.TrimSpace(rest))
	}
	return b.String()
}

func (m *markdown) code() error {
	from := m.at + 1
	for m.at = from; m.at < len(m.lines); m.at++ {
		if strings.HasPrefix(m.lines[m.at], "```") {
			m.verbatim(m.lines[from:m.at])
			m.at++
			return nil
		}
	}
	return fmt.Errorf("the code that begins at line %d does not end", from)
}

// table makes a list: the first column is what is explained, and of three the second is a default.
func (m *markdown) table() error {
	head := cells(m.lines[m.at])
	for n := 0; m.at < len(m.lines) && strings.HasPrefix(m.lines[m.at], "|"); n++ {
		row := cells(m.lines[m.at])
		if len(row) != len(head) {
			return fmt.Errorf("a row of %d columns in a table of %d", len(row), len(head))
		}
		if n > 1 { // after the head and the line below it
			m.row(head, row)
		}
		m.at++
	}
	return nil
}

func (m *markdown) row(head, row []string) {
	var text []string
	for i, cell := range row[1:] {
		switch last := i+1 == len(row)-1; {
		case cell == "":
		case last:
			text = append(text, inline(cell))
		default:
			text = append(text, italic(escape(strings.ToUpper(head[i+1][:1])+head[i+1][1:]))+": "+inline(cell)+".")
		}
	}
	m.item(inline(row[0]), strings.Join(text, " "))
}

func cells(line string) []string {
	parts := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// spans are what is marked inside a line.
var spans = regexp.MustCompile("`([^`]+)`|\\*\\*([^*]+)\\*\\*|\\[([^]]+)\\]\\(([^)]+)\\)")

func inline(text string) string {
	var b strings.Builder
	rest := 0
	for _, at := range spans.FindAllStringSubmatchIndex(text, -1) {
		b.WriteString(escape(text[rest:at[0]]))
		group := func(n int) string {
			if at[2*n] < 0 {
				return ""
			}
			return text[at[2*n]:at[2*n+1]]
		}
		switch {
		case group(1) != "":
			b.WriteString(bold(escape(group(1))))
		case group(2) != "":
			b.WriteString(bold(inline(group(2))))
		default:
			b.WriteString(inline(group(3)))
			if url := group(4); strings.HasPrefix(url, "https:") {
				b.WriteString(" (" + escape(url) + ")")
			}
		}
		rest = at[1]
	}
	return b.String() + escape(text[rest:])
}
