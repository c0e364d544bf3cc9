package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// description is openapi.yaml, as far as the tests look at it.
type description struct {
	OpenAPI string
	Paths   map[string]map[string]operation
	schemas *jsonschema.Compiler
}

type operation struct {
	Summary     string
	RequestBody *struct {
		Content map[string]struct{ Schema any }
	} `yaml:"requestBody"`
	Responses map[string]struct {
		Content map[string]struct{ Schema any }
	}
}

func readDescription(t *testing.T) *description {
	t.Helper()
	var d description
	if err := yaml.Unmarshal(openAPI, &d); err != nil {
		t.Fatal(err)
	}
	var whole any
	if err := yaml.Unmarshal(openAPI, &whole); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	d.schemas = jsonschema.NewCompiler()
	d.schemas.DefaultDraft(jsonschema.Draft2020) // which OpenAPI 3.1 uses
	d.schemas.AssertFormat()
	if err := d.schemas.AddResource("https://gateway.invalid/openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	return &d
}

// schema compiles what is at a place of the file.
func (d *description) schema(t *testing.T, parts ...string) *jsonschema.Schema {
	t.Helper()
	escape := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D", "+", "%2B")
	pointer := ""
	for _, p := range parts {
		pointer += "/" + escape.Replace(p)
	}
	s, err := d.schemas.Compile("https://gateway.invalid/openapi.json#" + pointer)
	if err != nil {
		t.Fatalf("%s: %v", pointer, err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, what, body string) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err == nil {
		err = s.Validate(v)
	}
	if err != nil {
		t.Errorf("%s does not fit its schema: %v\n%s", what, err, body)
	}
}

// TestEveryRouteIsDescribed holds the file to the routes, both ways.
func TestEveryRouteIsDescribed(t *testing.T) {
	d, l := readDescription(t), newLab(t, nil)
	if d.OpenAPI != "3.1.0" {
		t.Errorf("version %q", d.OpenAPI)
	}
	var served, described []string
	for _, r := range l.srv.table() {
		if r.access == byAPI || r.access == scraped || r.pattern == "/healthz" || r.pattern == "/readyz" {
			served = append(served, r.method+" "+r.pattern)
		}
	}
	for path, methods := range d.Paths {
		for method, op := range methods {
			described = append(described, strings.ToUpper(method)+" "+path)
			if op.Summary == "" {
				t.Errorf("%s %s has no summary", method, path)
			}
		}
	}
	slices.Sort(served)
	slices.Sort(described)
	for _, s := range served {
		if !slices.Contains(described, s) {
			t.Errorf("%s is served and is not in openapi.yaml", s)
		}
	}
	for _, s := range described {
		if !slices.Contains(served, s) {
			t.Errorf("%s is in openapi.yaml and is not served", s)
		}
	}
}

// TestAnswersFitTheDescription asks for everything that the file has, and holds each answer to its schema.
func TestAnswersFitTheDescription(t *testing.T) {
	d, l := readDescription(t), newLab(t, nil)
	token := l.token(Token{Name: "x"}, 0)
	l.token(Token{Name: "spare"}, 0)
	l.srv.cfg.Watch.Began(t.Context(), transferOf("anna", "pub/"+hostile))
	fill := strings.NewReplacer("/sessions/{id}", "/sessions/ssh-1", "/jobs/{id}", "/jobs/source-old", "{storage}", "default", "{id}", "abc123",
		"{network}", "2001:db8::%2F64", "/users/{name}", "/users/anna", "/tokens/{name}", "/tokens/spare")
	bodies := map[string]string{"Reason": `{"reason": "why"}`, "NewBan": `{"network": "192.0.2.7", "seconds": 60}`}
	problems := d.schema(t, "components", "schemas", "Problem")
	for path, methods := range d.Paths {
		for method, op := range methods {
			what, body := method+" "+path, ""
			if op.RequestBody != nil {
				ref := op.RequestBody.Content["application/json"].Schema.(map[string]any)["$ref"].(string)
				name := ref[strings.LastIndexByte(ref, '/')+1:]
				body = bodies[name]
				validate(t, d.schema(t, "components", "schemas", name), what+", sent", body)
			}
			a := l.do(strings.ToUpper(method), fill.Replace(path), body, token...)
			if method != "get" {
				l.want(a, http.StatusNoContent)
			} else {
				l.want(a, http.StatusOK)
				kind, _, _ := strings.Cut(a.Header.Get("Content-Type"), ";")
				if _, ok := op.Responses["200"].Content[kind]; !ok {
					t.Errorf("%s answers %q", what, kind)
				} else if kind == "application/json" {
					validate(t, d.schema(t, "paths", path, method, "responses", "200", "content", kind, "schema"), what, a.body)
				}
			}
			if _, public := op.Responses["default"]; public {
				a = l.want(l.do(strings.ToUpper(method), fill.Replace(path), body), http.StatusUnauthorized)
				validate(t, problems, what+" without a login", a.body)
			}
		}
	}
	if did, want := l.parts.take(), "lift 2001:db8::/64"; !strings.Contains(did, want) {
		t.Errorf("it did %q, and not %q", did, want)
	}
}

// TestEmptyAnswersFit: a gateway of which there is nothing to tell yet.
func TestEmptyAnswersFit(t *testing.T) {
	d := readDescription(t)
	l := newLab(t, func(c *Config) { c.Parts, c.Recent, c.Watch = Parts{}, nil, nil })
	token := l.token(Token{Name: "x"}, 0)
	for path, methods := range d.Paths {
		op, ok := methods["get"]
		if _, isJSON := op.Responses["200"].Content["application/json"]; !ok || !isJSON || strings.Contains(path, "{") {
			continue
		}
		a := l.want(l.do("GET", path, "", token...), http.StatusOK)
		validate(t, d.schema(t, "paths", path, "get", "responses", "200", "content", "application/json", "schema"), path, a.body)
	}
	for _, act := range []string{"POST /api/v1/jobs/x/run", "DELETE /api/v1/sessions/x", "DELETE /api/v1/bans/x", "POST /api/v1/users/x/disable", "DELETE /api/v1/tokens/none", "GET /api/v1/jobs/x", "GET /api/v1/quarantine/x/y", "GET /api/v1/none"} {
		method, path, _ := strings.Cut(act, " ")
		a := l.want(l.do(method, path, "", token...), http.StatusNotFound)
		validate(t, d.schema(t, "components", "schemas", "Problem"), act, a.body)
	}
}

// TestProblemsOfActs: errors of the gateway have their status.
func TestProblemsOfActs(t *testing.T) {
	l := newLab(t, nil)
	token := l.token(Token{Name: "x"}, 0)
	for err, status := range map[error]int{
		ErrNotFound: 404, ErrConflict: 409, ErrInvalid: 400, fmt.Errorf("the disk is on fire"): 500,
	} {
		l.parts.fail = fmt.Errorf("stop: %w", err)
		a := l.want(l.do("POST", "/api/v1/jobs/source-old/stop", "", token...), status)
		if !strings.Contains(a.body, "stop: ") {
			t.Errorf("%v: %s", err, a.body)
		}
		if act := l.lastAct(); act.Err == nil || act.What != "job.stop" || act.Object != "source-old" {
			t.Errorf("%v: told %+v", err, act)
		}
	}
}
