package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"gateway/tests/servers"
)

// composeFile is what these tests read of docker/compose.yaml.
type composeFile struct {
	Services map[string]composeService
	Volumes  map[string]any
}

type composeService struct {
	Image       string
	Build       any
	User        string
	Privileged  bool
	Environment map[string]string
	Command     []string
	Ports       []string
	Volumes     []string
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Healthcheck map[string]any
}

func readCompose(t *testing.T) composeFile {
	t.Helper()
	var c composeFile
	if err := yaml.Unmarshal([]byte(dockerFile(t, "compose.yaml")), &c); err != nil {
		t.Fatalf("docker/compose.yaml: %v", err)
	}
	return c
}

// instruction is one of a Dockerfile, with the lines that go on from it.
type instruction struct{ name, rest string }

func readDockerfile(t *testing.T, name string) []instruction {
	t.Helper()
	var list []instruction
	text := regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(dockerFile(t, name), "")
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		if line = strings.TrimSpace(line); line != "" {
			what, rest, _ := strings.Cut(line, " ")
			list = append(list, instruction{what, strings.TrimSpace(rest)})
		}
	}
	return list
}

// pinned is an image by its short name, with a tag that says which version it is.
var pinned = regexp.MustCompile(`^[a-z0-9-]+(/[a-z0-9-]+)?:v?[0-9]+\.[0-9]+(\.[0-9]+)?(-[a-z0-9.]+)?$`)

// last returns what the last instruction of this name says.
func last(list []instruction, name string) string {
	for _, i := range slices.Backward(list) {
		if i.name == name {
			return i.rest
		}
	}
	return ""
}

// TestDockerfiles holds the images to rules of hadolint's, by its numbers.
func TestDockerfiles(t *testing.T) {
	for _, name := range []string{"Dockerfile", "ftp/Dockerfile"} {
		list := readDockerfile(t, name)
		bad := func(rule, format string) { t.Errorf("docker/%s: %s: %s", name, rule, format) }
		stages := []string{"scratch"}
		for _, i := range list {
			switch i.name {
			case "FROM":
				base, stage, _ := strings.Cut(i.rest, " AS ")
				if !slices.Contains(stages, base) && !pinned.MatchString(base) {
					bad("DL3006, DL3007", base+" has no tag of one version")
				}
				stages = append(stages, stage)
			case "ADD":
				bad("DL3020", "use COPY")
			case "MAINTAINER":
				bad("DL4000", "it is deprecated")
			case "WORKDIR":
				if !strings.HasPrefix(i.rest, "/") {
					bad("DL3000", "the working folder is not absolute")
				}
			case "CMD", "ENTRYPOINT":
				if !strings.HasPrefix(i.rest, "[") {
					bad("DL3025", i.name+" needs a shell")
				}
			case "ENV", "ARG":
				if regexp.MustCompile(`(?i)pass|secret|token|key`).MatchString(i.rest) {
					bad("secrets", i.rest+" would be in the image")
				}
			case "RUN":
				checkRun(i.rest, bad)
			case "COPY", "EXPOSE", "USER", "VOLUME", "HEALTHCHECK":
			default:
				bad("DL1000", "unknown instruction "+i.name)
			}
		}
		if last(list, "HEALTHCHECK") == "" {
			bad("DL3057", "no HEALTHCHECK")
		}
	}
}

func checkRun(command string, bad func(rule, what string)) {
	for rule, pattern := range map[string]string{
		"DL3004": `\bsudo\b`,
		"DL3005": `apt-get (dist-)?upgrade`,
		"DL3027": `\bapt install`,
		"DL4001": `\b(wget|curl)\b`, // what is fetched is fetched by a package manager
	} {
		if regexp.MustCompile(pattern).MatchString(command) {
			bad(rule, command)
		}
	}
	install := regexp.MustCompile(`apt-get install ([^&]*)`).FindStringSubmatch(command)
	if install == nil {
		return
	}
	for _, arg := range strings.Fields(install[1]) {
		if !strings.HasPrefix(arg, "-") && !strings.Contains(arg, "=") {
			bad("DL3008", arg+" has no version")
		}
	}
	if !strings.Contains(install[1], "-y") || !strings.Contains(install[1], "--no-install-recommends") {
		bad("DL3014, DL3015", command)
	}
	if !strings.Contains(command, "rm -rf /var/lib/apt/lists/*") {
		bad("DL3009", "apt's lists stay")
	}
}

// TestImage: the image has no shell and is not root's, is built by the Go that go.mod asks for or a newer
// one, and exposes the ports that its configuration and the nodes' listen on.
func TestImage(t *testing.T) {
	list := readDockerfile(t, "Dockerfile")
	if base := last(list, "FROM"); base != "scratch" {
		t.Errorf("the image is built on %s", base)
	}
	if user := last(list, "USER"); !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
		t.Errorf("DL3002: the image runs as %q", user)
	}
	if check := last(list, "HEALTHCHECK"); !strings.HasSuffix(check, `CMD ["/gateway", "health"]`) {
		t.Errorf("HEALTHCHECK %s", check)
	}
	if run := list[slices.IndexFunc(list, func(i instruction) bool { return strings.Contains(i.rest, "go build") })].rest; !strings.Contains(run, "CGO_ENABLED=0") {
		t.Errorf("the binary is not static: %s", run)
	} else if made := makeBuild(t); !strings.Contains(run, "-trimpath") || !strings.Contains(run, "-tags timetzdata") ||
		!strings.Contains(made, "CGO_ENABLED=0 go build -trimpath -tags timetzdata ") {
		t.Errorf("the image's binary is not that of make build: %s, and %s", run, made)
	}
	root := servers.ModuleRoot(t)
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	needs := regexp.MustCompile(`(?m)^go (\d+\.\d+)\.(\d+)$`).FindStringSubmatch(string(mod))
	has := regexp.MustCompile(`^golang:(\d+\.\d+)\.(\d+) AS`).FindStringSubmatch(list[0].rest)
	if needs == nil || has == nil || has[1] != needs[1] || len(has[2]) < len(needs[2]) || len(has[2]) == len(needs[2]) && has[2] < needs[2] {
		t.Errorf("go.mod asks for %v, the image is built by %v", needs, has)
	}
	exposed := strings.Fields(last(list, "EXPOSE"))
	for _, name := range []string{"image.yaml", "gateway.yaml"} {
		var c struct{ SFTP, HTTPS struct{ Listen string } }
		if err := yaml.Unmarshal([]byte(dockerFile(t, name)), &c); err != nil {
			t.Fatalf("docker/%s: %v", name, err)
		}
		var ports []string
		for _, listen := range []string{c.SFTP.Listen, c.HTTPS.Listen} {
			ports = append(ports, strings.TrimPrefix(listen, ":"))
		}
		if !slices.Equal(ports, exposed) {
			t.Errorf("docker/%s listens on %v, the image exposes %v", name, ports, exposed)
		}
	}
}

// TestComposeFile: pinned images by short names, no secrets but in files, nothing open to other machines,
// and only what is there is mounted and waited for.
func TestComposeFile(t *testing.T) {
	c := readCompose(t)
	for name, s := range c.Services {
		if own := strings.HasSuffix(s.Image, ":local"); own != (s.Build != nil) || !own && !pinned.MatchString(s.Image) {
			t.Errorf("%s: the image %q has no tag of one version", name, s.Image)
		}
		// It gives each service its own files.
		if root := s.User == "root" || s.User == "0"; s.Privileged || root && name != "secrets" {
			t.Errorf("%s: runs as %q", name, s.User)
		}
		for key, value := range s.Environment {
			if regexp.MustCompile(`PASS|SECRET|KEY|TOKEN`).MatchString(key) && (!strings.HasSuffix(key, "_FILE") || !strings.HasPrefix(value, "/secrets/")) {
				t.Errorf("%s: %s holds a secret", name, key)
			}
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: %s is open to other machines", name, port)
			}
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			if _, known := c.Volumes[from]; !known {
				if _, err := os.Stat(filepath.Join(servers.ModuleRoot(t), "docker", from)); err != nil || !strings.HasPrefix(from, "./") {
					t.Errorf("%s: mounts %s, which is not there", name, from)
				}
			}
		}
		for on, how := range s.DependsOn {
			if _, ok := c.Services[on]; !ok {
				t.Errorf("%s: waits for %s, which is not there", name, on)
			}
			if how.Condition == "service_healthy" && !hasHealth(c.Services[on]) {
				t.Errorf("%s: waits for the health of %s, which has no check", name, on)
			}
		}
	}
	if n := len(c.Services["balancer"].Ports); n != 2 {
		t.Errorf("the balancer has %d ports", n)
	}
	if exec.Command("docker", "compose", "version").Run() != nil {
		return // no such client here
	}
	cmd := exec.Command("docker", "compose", "-f", filepath.Join(servers.ModuleRoot(t), "docker", "compose.yaml"), "config", "-q")
	if r := finish(t, cmd); r.code != 0 {
		t.Errorf("docker compose config: %s%s", r.out, r.stderr)
	}
}

// hasHealth: what is built here has its check in the Dockerfile.
func hasHealth(s composeService) bool { return s.Healthcheck != nil || s.Build != nil }

// makeBuild is what "make build" would run.
func makeBuild(t *testing.T) string {
	t.Helper()
	r := finish(t, exec.Command("make", "-n", "-C", servers.ModuleRoot(t), "build"))
	if r.code != 0 {
		t.Fatal(r.stderr)
	}
	return r.out
}
