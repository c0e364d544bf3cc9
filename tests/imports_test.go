package tests

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// module is the project's own import path.
const module = "gateway"

// allowed lists, for each package of the project, the packages of the project that it may import; a
// package includes those below it that have no line of their own. A package must be in the table. What
// a package may import is also what its tests may, and those may import more: see allowedInTests.
//
// The order is the direction: cmd -> front ends and bridge -> contracts -> nothing of the project.
// Front ends import neither one another, nor a backend, nor the bridge.
func allowed() map[string][]string {
	contracts := []string{"auth", "storage", "state", "listing", "integrity"}
	return map[string][]string{
		// They import nothing of the project; the first two are libraries in their own right.
		"listing":   nil,
		"integrity": nil,
		"config":    nil,
		"docs":      nil,

		"audit": {"internal/durable"},

		"events": {"state"},

		"internal/durable": nil,
		"internal/pause":   nil,
		// What HTTPS shows and asks for.
		"internal/certificate": nil,
		// Balancers, and who is let in.
		"internal/ingress": nil,

		"internal/completion": nil,
		"internal/manpage":    nil,

		// The contracts.
		"storage":                   nil,
		"storage/internal/keylock":  nil,
		"storage/internal/uploadid": nil,
		"auth":                      {"config", "storage", "state", "internal/durable"},
		"auth/oidc":                 nil,
		"state":                     nil,
		"state/internal/pages":      nil,

		// What fulfils them.
		"storage/disk":        {"storage", "storage/internal/keylock", "storage/internal/uploadid", "internal/pause"},
		"storage/s3":          {"storage", "storage/internal/keylock", "storage/internal/uploadid", "internal/pause"},
		"storage/storagetest": {"storage"},
		"state/sqlite":        {"state", "state/internal/pages", "internal/durable"},
		"state/postgres":      {"state", "state/internal/pages", "internal/pause"},
		"state/statetest":     {"state"},

		// What uses them.
		"sftpsrv":     {"auth", "storage", "state", "internal/durable"},
		"webdav":      {"auth", "storage", "state", "internal/durable"},
		"webdav/page": {"webdav", "auth", "storage", "state"},
		"admin":       {"auth", "storage", "config", "internal/durable"},
		"ftpbridge":   append(slices.Clone(contracts), "internal/pause"),
		// What it found, as files.
		"ftpbridge/report": {"ftpbridge", "state", "integrity", "internal/durable"},

		// What puts them together.
		"cmd/gateway": append(contracts, "audit", "events", "auth/oidc", "config", "docs", "sftpsrv", "webdav", "webdav/page", "admin", "ftpbridge", "ftpbridge/report", "internal/durable", "internal/certificate",
			"internal/ingress", "internal/completion", "internal/manpage",
			"storage/disk", "storage/s3", "state/sqlite", "state/postgres"),

		// Tests from outside: programs and servers, not packages.
		"tests":         {"tests/servers"},
		"tests/servers": nil,
		"tests/bench":   {"tests/servers"},
		"tests/gotest":  nil,
	}
}

// allowedInTests is what test files may import besides: the conformance suites, one real backend to
// run against, and the servers.
func allowedInTests() []string {
	return []string{"storage/storagetest", "storage/disk", "state/statetest", "state/sqlite", "tests/servers"}
}

// listed is what go list -json tells of a package.
type listed struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func TestImportDirection(t *testing.T) {
	rules := allowed()
	for _, p := range projectPackages(t) {
		name := strings.TrimPrefix(p.ImportPath, module+"/")
		rule, ok := ruleFor(rules, name)
		if !ok {
			t.Errorf("%s is not in the table of tests/imports_test.go: say there what it may import", name)
			continue
		}
		for _, imp := range p.Imports {
			if !permitted(rules, rule, imp, rules[rule]) {
				t.Errorf("%s imports %s; it may import of the project: %q", name, imp, rules[rule])
			}
		}
		inTests := slices.Concat(rules[rule], allowedInTests())
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			if !permitted(rules, rule, imp, inTests) {
				t.Errorf("the tests of %s import %s; they may import of the project: %q", name, imp, inTests)
			}
		}
	}
	for name := range rules {
		checkRule(t, rules, name)
	}
}

// checkRule finds names in the table that are no longer in it as packages of their own.
func checkRule(t *testing.T, rules map[string][]string, name string) {
	t.Helper()
	for _, to := range rules[name] {
		if _, ok := rules[to]; !ok {
			t.Errorf("the table lets %s import %s, which is not in the table", name, to)
		}
	}
}

// ruleFor returns the line of the table for a package: its own or the nearest above it.
func ruleFor(rules map[string][]string, name string) (string, bool) {
	for ; name != "." && name != "/"; name = path.Dir(name) {
		if _, ok := rules[name]; ok {
			return name, true
		}
	}
	return "", false
}

// permitted reports whether a package under rule may import imp. Packages under one rule may import
// one another; what is not of the project is not this test's business.
func permitted(rules map[string][]string, rule, imp string, may []string) bool {
	name, ours := strings.CutPrefix(imp, module+"/")
	if !ours {
		return true
	}
	to, ok := ruleFor(rules, name)
	return ok && (to == rule || slices.Contains(may, to))
}

func projectPackages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", module+"/...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		t.Fatal("go list found no package")
	}
	return all
}

func TestImportTable(t *testing.T) {
	rules := allowed()
	tests := []struct {
		from, imp string
		want      bool
	}{
		{"listing", "fmt", true},
		{"listing", "gateway/storage", false},
		{"webdav", "gateway/sftpsrv", false},
		{"webdav", "gateway/storage/disk", false},
		{"sftpsrv", "gateway/ftpbridge", false},
		{"ftpbridge/dialect", "gateway/ftpbridge", true},
		{"cmd/gateway", "gateway/webdav", true},
		{"storage", "gateway/storage/disk", false},
		{"storage/disk", "gateway/storage", true},
		{"tests/servers", "gateway/storage", false},
		{"webdav", "gateway/nowhere", false},
	}
	for _, tt := range tests {
		rule, ok := ruleFor(rules, tt.from)
		if !ok {
			t.Errorf("%s has no rule", tt.from)
			continue
		}
		if got := permitted(rules, rule, tt.imp, rules[rule]); got != tt.want {
			t.Errorf("%s may import %s: %v, want %v", tt.from, tt.imp, got, tt.want)
		}
	}
	if _, ok := ruleFor(rules, "helpers"); ok {
		t.Error("a package that is not in the table has a rule")
	}
}
