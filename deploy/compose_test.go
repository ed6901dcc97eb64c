// Package deploy_test holds docker-compose.yml, the Dockerfile and what they
// use against the repository and against the commands that they start.
package deploy_test

import (
	"encoding/xml"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
)

const root = ".."

// load reads docker-compose.yml with Compose's own parser.
func load(t *testing.T, env ...string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")},
		cli.WithWorkingDirectory(root), cli.WithEnv(env), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(t.Context())
}

func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := load(t, "COLDSCOPE_CLICKHOUSE_PASSWORD=one", "COLDSCOPE_GRAFANA_CLICKHOUSE_PASSWORD=two", "COLDSCOPE_GRAFANA_ADMIN_PASSWORD=three")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// ours are the services that run the product, with the Dockerfile's target and
// the subcommand ("" for the collector's own binary).
var ours = map[string]struct{ target, command string }{
	"aggregator": {"coldscope", "aggregator"},
	"query":      {"coldscope", "query"},
	"collector":  {"collector", ""},
}

func TestServices(t *testing.T) {
	p := project(t)
	want := []string{"aggregator", "alertmanager", "clickhouse", "collector", "grafana", "prometheus", "query"}
	names := p.ServiceNames()
	slices.Sort(names)
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("services differ (-want +got):\n%s", diff)
	}
	pinned := regexp.MustCompile(`:v?\d+\.\d+(\.\d+)?$`)
	for name, s := range p.Services {
		if s.HealthCheck == nil || len(s.HealthCheck.Test) == 0 {
			t.Errorf("%s: no health check", name)
		}
		if !slices.Contains(s.CapDrop, "ALL") || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.Privileged {
			t.Errorf("%s: does not give up its privileges", name)
		}
		for _, port := range s.Ports {
			if ip := net.ParseIP(port.HostIP); ip == nil || !ip.IsLoopback() {
				t.Errorf("%s: port %s is open on %q, not on loopback", name, port.Published, port.HostIP)
			}
		}
		o, own := ours[name]
		if !own {
			if !pinned.MatchString(s.Image) {
				t.Errorf("%s: image %s is not pinned to a version", name, s.Image)
			}
			continue
		}
		if !s.ReadOnly || s.Build == nil || s.Build.Target != o.target {
			t.Errorf("%s: root file system writable, or not built as %s", name, o.target)
		}
	}
}

func TestPortsAreTheirOwn(t *testing.T) {
	taken := map[string]string{}
	for name, s := range project(t).Services {
		for _, port := range s.Ports {
			if other, ok := taken[port.Published]; ok {
				t.Errorf("%s and %s both publish %s", name, other, port.Published)
			}
			taken[port.Published] = name
		}
	}
	if taken["9480"] != "query" {
		t.Errorf("the product's port 9480 is %s's, not the console's", taken["9480"])
	}
}

// Bind mounts lead to files that are in the repository, or to a directory of
// the host that is meant; the host's own data is mounted read-only.
func TestMounts(t *testing.T) {
	abs, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	host := map[string]bool{ // path → read-only
		"/var/lib/docker": true, "/var/run/docker.sock": true, "/sys/fs/cgroup": true, "/var/lib/coldscope/collector": false,
	}
	p := project(t)
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			switch {
			case v.Type == types.VolumeTypeVolume:
				if _, ok := p.Volumes[v.Source]; !ok {
					t.Errorf("%s: volume %s is not declared", name, v.Source)
				}
			case strings.HasPrefix(v.Source, abs+"/"):
				if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
					t.Errorf("%s: %s must exist and be mounted read-only (%v)", name, v.Source, err)
				}
			default:
				if readOnly, ok := host[v.Source]; !ok || readOnly && !v.ReadOnly {
					t.Errorf("%s: mounts %s of the host, read-only %v", name, v.Source, v.ReadOnly)
				}
			}
		}
	}
}

func TestPasswordsMustBeSet(t *testing.T) {
	_, err := load(t)
	if err == nil || !strings.Contains(err.Error(), "copy deploy/env.example to .env") {
		t.Errorf("error without passwords: %v", err)
	}
	example, err := os.ReadFile("env.example")
	if err != nil {
		t.Fatal(err)
	}
	compose, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\$\{(\w+)`).FindAllSubmatch(compose, -1) {
		if !strings.Contains(string(example), string(m[1])+"=") {
			t.Errorf("deploy/env.example does not name %s", m[1])
		}
	}
	for name, s := range project(t).Services {
		if strings.Contains(strings.Join(s.Command, " "), "one") {
			t.Errorf("%s: a password is on the command line", name)
		}
	}
}

// The services find each other: names, ports and the store's configuration.
func TestServicesFindEachOther(t *testing.T) {
	p := project(t)
	if args := strings.Join(p.Services["collector"].Command, " "); !strings.Contains(args, "--target http://aggregator:9480 ") {
		t.Errorf("collector: %s does not lead to the aggregator", args)
	}
	var store struct {
		ClickHouse string `yaml:"clickhouse"`
	}
	if err := yaml.UnmarshalWithOptions([]byte(p.Configs["store"].Content), &store, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if want := "clickhouse://coldscope:one@clickhouse:9000/coldscope"; store.ClickHouse != want {
		t.Errorf("store is %q, want %q", store.ClickHouse, want)
	}
	raw, err := os.ReadFile(filepath.Join(root, "dashboards/prometheus/prometheus.yml"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range ours {
		if !strings.Contains(string(raw), name+":9480") {
			t.Errorf("prometheus.yml does not scrape %s", name)
		}
		if args := p.Services[name].Command; !slices.Contains(args, "0.0.0.0:9480") {
			t.Errorf("%s does not listen on the port that is scraped: %q", name, args)
		}
	}
	raw, err = os.ReadFile(filepath.Join(root, "dashboards/grafana/provisioning/datasources/coldscope.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\$(\w+)`).FindAllSubmatch(raw, -1) {
		if p.Services["grafana"].Environment[string(m[1])] == nil {
			t.Errorf("grafana: the data source needs %s", m[1])
		}
	}
}

// Every subcommand and flag is one that the built commands know.
func TestCommandsKnowTheirFlags(t *testing.T) {
	p := project(t)
	bin := t.TempDir()
	for name, o := range ours {
		program := map[string]string{"coldscope": "coldscope", "collector": "coldscope-collector"}[o.target]
		path := filepath.Join(bin, program)
		if _, err := os.Stat(path); err != nil {
			build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../cmd/"+program)
			if out, err := build.CombinedOutput(); err != nil {
				t.Errorf("%s: %v\n%s", name, err, out)
				continue
			}
		}
		args := p.Services[name].Command
		var subcommand []string
		if o.command != "" {
			if len(args) == 0 || args[0] != o.command {
				t.Errorf("%s: command %q does not begin with %s", name, args, o.command)
			}
			subcommand = []string{o.command}
		}
		knowsFlags(t, path, subcommand, args)
	}
}

// knowsFlags holds the flags among args against what a program says of itself.
func knowsFlags(t *testing.T, program string, subcommand, args []string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, append(slices.Clone(subcommand), "--help")...).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", program, err, out)
		return
	}
	for _, arg := range args {
		if flag := regexp.MustCompile(`^--[a-z-]+`).FindString(arg); flag != "" && !regexp.MustCompile(flag+`\s`).Match(out) {
			t.Errorf("%s %q has no %s:\n%s", program, subcommand, flag, out)
		}
	}
}

func TestDockerfile(t *testing.T) {
	raw, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := map[string]bool{}
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 4 && fields[0] == "FROM":
			if !strings.HasPrefix(fields[1], "${REGISTRY}/") || !strings.Contains(fields[1], ":") {
				t.Errorf("%s does not come from the registry that REGISTRY names, or has no tag", fields[1])
			}
			stages[fields[3]] = true
		case len(fields) > 2 && fields[0] == "COPY" && strings.HasPrefix(fields[1], "--from="):
			if from := strings.TrimPrefix(fields[1], "--from="); !stages[from] {
				t.Errorf("there is no stage %s to copy from", from)
			}
		case len(fields) > 2 && fields[0] == "COPY":
			for _, source := range fields[1 : len(fields)-1] {
				if _, err := os.Stat(filepath.Join(root, source)); err != nil {
					t.Error(err)
				}
			}
		}
	}
	for name, o := range ours {
		if !stages[o.target] {
			t.Errorf("%s: the Dockerfile has no stage %s", name, o.target)
		}
	}
}

func TestClickHouseUserFileIsXML(t *testing.T) {
	f, err := os.Open("clickhouse/grafana-user.xml")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := xml.NewDecoder(f)
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
