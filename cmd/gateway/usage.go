package main

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// usageError says what is wrong with a command line, and where to read how it is right.
func usageError(err error) string {
	command := "gateway"
	var pe *kong.ParseError
	var node *kong.Node
	if errors.As(err, &pe) && pe.Context != nil {
		if node = pe.Context.Selected(); node != nil {
			command = node.FullPath()
		}
	}
	// kong names the command before what its Validate said.
	text := strings.TrimPrefix(plainer(err.Error()), strings.TrimPrefix(command, "gateway ")+": ")
	switch {
	case strings.HasPrefix(text, "expected one of ") && node != nil: // of which kong names the first few
		text = "say which of its commands: " + strings.Join(commandNames(node), ", ")
	case node != nil:
		text += missingHelp(node, text)
	}
	return fmt.Sprintf("%s: %s\nSee: %s --help", command, text, command)
}

var (
	expectedArg   = regexp.MustCompile(`^expected "(<[a-z-]+>[^"]*)"$`)
	expectedValue = regexp.MustCompile(`^(--[a-z-]+): expected \w+ value but got "EOL" \(<EOL>\)$`)
	expectedInt   = regexp.MustCompile(`^(.+): expected a valid \d+ bit int but got ("[^"]*")$`)
	badDuration   = regexp.MustCompile(`^(.+): expected duration but got ("[^"]*").*$`)
)

// plainer puts kong's words for the commonest mistakes into everybody's.
func plainer(text string) string {
	for _, r := range []struct {
		what *regexp.Regexp
		say  string
	}{
		{expectedArg, `$1 is missing`},
		{expectedValue, `$1 needs a value behind it`},
		{expectedInt, `$1: $2 is not a whole number`},
		{badDuration, `$1: $2 is not a time; write for example 90s or 5m`},
	} {
		if r.what.MatchString(text) {
			return r.what.ReplaceAllString(text, r.say)
		}
	}
	return text
}

// missingHelp says what an argument that is missing is.
func missingHelp(n *kong.Node, text string) string {
	for _, p := range n.Positional {
		if strings.HasPrefix(text, p.Summary()+" ") && strings.HasSuffix(text, "is missing") {
			return ". It is: " + strings.TrimSuffix(p.Help, ".")
		}
	}
	return ""
}

func commandNames(n *kong.Node) []string {
	var names []string
	for _, child := range n.Children {
		if !child.Hidden {
			names = append(names, child.Name)
		}
	}
	return names
}
