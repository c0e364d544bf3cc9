package main

import (
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	tests := []struct {
		name, in, want string
		skipped        []string
	}{
		{
			name: "a passing package is one line",
			in: `{"Action":"run","Package":"a","Test":"TestX"}
{"Action":"output","Package":"a","Test":"TestX","Output":"=== RUN   TestX\n"}
{"Action":"output","Package":"a","Test":"TestX","Output":"    x_test.go:1: chatter\n"}
{"Action":"output","Package":"a","Test":"TestX","Output":"--- PASS: TestX (0.00s)\n"}
{"Action":"pass","Package":"a","Test":"TestX","Elapsed":0}
{"Action":"output","Package":"a","Output":"PASS\n"}
{"Action":"output","Package":"a","Output":"ok  \ta\t0.1s\n"}
{"Action":"pass","Package":"a","Elapsed":0.1}
`,
			want: "ok  \ta\t0.1s\n",
		},
		{
			name: "a failing test shows its output, a passing one beside it does not",
			in: `{"Action":"output","Package":"a","Test":"TestGood","Output":"good\n"}
{"Action":"pass","Package":"a","Test":"TestGood"}
{"Action":"output","Package":"a","Test":"TestBad","Output":"    x_test.go:2: bad\n"}
{"Action":"fail","Package":"a","Test":"TestBad"}
{"Action":"output","Package":"a","Output":"FAIL\n"}
{"Action":"output","Package":"a","Output":"FAIL\ta\t0.1s\n"}
{"Action":"fail","Package":"a"}
`,
			want: "    x_test.go:2: bad\nFAIL\nFAIL\ta\t0.1s\n",
		},
		{
			name: "a skipped test is told with its reason",
			in: `{"Action":"output","Package":"a","Test":"TestX","Output":"=== RUN   TestX\n"}
{"Action":"output","Package":"a","Test":"TestX","Output":"    x_test.go:1: left out (needs root): TestX\n"}
{"Action":"output","Package":"a","Test":"TestX","Output":"--- SKIP: TestX (0.00s)\n"}
{"Action":"skip","Package":"a","Test":"TestX"}
{"Action":"output","Package":"a","Output":"ok  \ta\t0.1s\n"}
{"Action":"pass","Package":"a"}
`,
			want:    "ok  \ta\t0.1s\n",
			skipped: []string{"    a TestX: x_test.go:1: left out (needs root): TestX\n"},
		},
		{
			name: "a package without tests is not a skip",
			in: `{"Action":"output","Package":"a","Output":"?   \ta\t[no test files]\n"}
{"Action":"skip","Package":"a"}
`,
			want: "?   \ta\t[no test files]\n",
		},
		{
			name: "a build failure and a panic are shown",
			in: `{"ImportPath":"a","Action":"build-output","Output":"a.go:1: syntax error\n"}
{"ImportPath":"a","Action":"build-fail"}
{"Action":"output","Package":"b","Test":"TestX","Output":"panic: test timed out\n"}
{"Action":"output","Package":"b","Output":"FAIL\tb\t1s\n"}
{"Action":"fail","Package":"b"}
not an event
`,
			want: "a.go:1: syntax error\npanic: test timed out\nFAIL\tb\t1s\nnot an event\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			skipped, err := report(strings.NewReader(tt.in), &out)
			if err != nil {
				t.Fatal(err)
			}
			if out.String() != tt.want {
				t.Errorf("printed\n%q\nwant\n%q", out.String(), tt.want)
			}
			if strings.Join(skipped, "") != strings.Join(tt.skipped, "") {
				t.Errorf("skipped %q, want %q", skipped, tt.skipped)
			}
		})
	}
}
