// Command gotest runs go test with its arguments and counts the tests that were left out.
//
// It prints what go test prints without -v: the output of tests that failed and a line for each
// package. Besides, it prints a line for each test that was skipped, with the reason. Where CI=true a
// skipped test is a failure: a test that cannot run there is a defect of the test or of the machine.
//
//	go run ./tests/gotest -race ./...
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

func main() {
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(2)
	}
	skipped, err := report(out, os.Stdout)
	failed := cmd.Wait() != nil // go test has said how
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest: read the output of go test:", err)
		failed = true
	}
	if n := len(skipped); n > 0 {
		fmt.Printf("%d tests left out:\n%s", n, strings.Join(skipped, ""))
		if os.Getenv("CI") == "true" {
			fmt.Println("FAIL: CI=true, where no test may be left out")
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}

// event is a line of go test -json; see go doc test2json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output
	Test       string
	Output     string
}

// results gathers the output of one package.
type results struct {
	tests map[string]*strings.Builder // of tests that have not passed, by name
	order []string                    // their names as they began
	own   strings.Builder             // of the package itself
}

// report copies the readable part of a go test -json stream to w, package by package, and returns a
// line for each test that was skipped. Lines that are not events are copied as they are.
func report(r io.Reader, w io.Writer) (skipped []string, err error) {
	packages := map[string]*results{}
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				w.Write(line)
			} else if skip := handle(e, packages, w); skip != "" {
				skipped = append(skipped, skip)
			}
		}
		if errors.Is(err, io.EOF) {
			return skipped, nil
		}
		if err != nil {
			return skipped, err
		}
	}
}

func handle(e event, packages map[string]*results, w io.Writer) (skip string) {
	if e.Action == "build-output" {
		fmt.Fprint(w, e.Output)
		return ""
	}
	p := packages[e.Package]
	if p == nil {
		p = &results{tests: map[string]*strings.Builder{}}
		packages[e.Package] = p
	}
	switch {
	case e.Action == "output" && e.Test == "":
		p.own.WriteString(e.Output)
	case e.Action == "output":
		p.add(e.Test, e.Output)
	case e.Test == "" && (e.Action == "pass" || e.Action == "fail" || e.Action == "skip"):
		p.print(w, e.Action == "fail")
		delete(packages, e.Package)
	case e.Action == "pass":
		delete(p.tests, e.Test)
	case e.Action == "skip":
		skip = fmt.Sprintf("    %s %s: %s\n", e.Package, e.Test, p.reason(e.Test))
		delete(p.tests, e.Test)
	}
	return skip
}

func (p *results) add(test, output string) {
	b := p.tests[test]
	if b == nil {
		b = &strings.Builder{}
		p.tests[test] = b
		p.order = append(p.order, test)
	}
	if !strings.HasPrefix(output, "=== ") {
		b.WriteString(output)
	}
}

// print writes, if the package failed, the output of its tests that failed or never ended, and then
// the package's own, which ends in its result.
func (p *results) print(w io.Writer, failed bool) {
	if failed {
		for _, test := range p.order {
			if b := p.tests[test]; b != nil {
				fmt.Fprint(w, b.String())
				delete(p.tests, test)
			}
		}
	}
	fmt.Fprint(w, strings.TrimPrefix(p.own.String(), "PASS\n"))
}

// reason is what a test said before it was skipped, on one line.
func (p *results) reason(test string) string {
	b := p.tests[test]
	if b == nil {
		return "no reason given"
	}
	var said []string
	for line := range strings.Lines(b.String()) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--- SKIP") {
			said = append(said, line)
		}
	}
	return strings.Join(said, " ")
}
