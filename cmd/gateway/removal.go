package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"gateway/ftpbridge"
)

// extraFlag is --delete-extra, which may have a value and need not.
type extraFlag ftpbridge.Extra

// IsBool makes the value optional.
func (extraFlag) IsBool() bool { return true }

// Decode reads the value that follows "=".
func (x *extraFlag) Decode(ctx *kong.DecodeContext) error {
	*x = extraFlag(ftpbridge.RemoveExtra)
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	switch v := ctx.Scan.Pop().String(); v {
	case "force":
		*x = extraFlag(ftpbridge.ForceExtra)
	case "true":
	case "false":
		*x = ""
	default:
		return fmt.Errorf("%q is not force", v)
	}
	return nil
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// maxAsked is how many files are named in a question.
const maxAsked = 20

// confirmRemoval lists what would be removed and asks.
func confirmRemoval(e *env, r ftpbridge.Removal) (refused string, err error) {
	fmt.Fprintf(e.err, "\n%d of %d files are gone from the source (%s):\n", r.List.Total, r.Known, sizeText(r.List.Bytes))
	for i, item := range r.List.Items {
		if i == maxAsked {
			break
		}
		fmt.Fprintf(e.err, "  %s\n", printable(item.Target))
	}
	if more := r.List.Total - int64(min(len(r.List.Items), maxAsked)); more > 0 {
		fmt.Fprintf(e.err, "  and %d more; --dry-run names them\n", more)
	}
	fmt.Fprint(e.err, "Remove them from the destination? [y/N] ")
	answer, err := bufio.NewReader(e.in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return "", nil
	}
	return "it was not agreed to", nil
}
