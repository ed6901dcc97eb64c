package deploy_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/collector"
	"github.com/coldscope/coldscope/internal/wire"
)

// capabilities are those that the collector has a use for; cmd/internal/collectorcmd
// keeps the same.
var capabilities = []string{"BPF", "DAC_READ_SEARCH", "PERFMON", "SYS_ADMIN", "SYS_PTRACE"}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

// daemonSet is the part of the DaemonSet that is held against the collector.
type daemonSet struct {
	Spec struct {
		Template struct {
			Spec struct {
				ServiceAccountName string `yaml:"serviceAccountName"`
				HostPID            bool   `yaml:"hostPID"`
				Containers         []struct {
					Args []string `yaml:"args"`
					Env  []struct {
						Name      string         `yaml:"name"`
						ValueFrom map[string]any `yaml:"valueFrom"`
					} `yaml:"env"`
					SecurityContext struct {
						Privileged             bool `yaml:"privileged"`
						ReadOnlyRootFilesystem bool `yaml:"readOnlyRootFilesystem"`
						Capabilities           struct {
							Drop []string `yaml:"drop"`
							Add  []string `yaml:"add"`
						} `yaml:"capabilities"`
					} `yaml:"securityContext"`
					VolumeMounts []volumeMount `yaml:"volumeMounts"`
				} `yaml:"containers"`
				Volumes []struct {
					Name string `yaml:"name"`
				} `yaml:"volumes"`
			} `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

type volumeMount struct {
	Name      string `yaml:"name"`
	MountPath string `yaml:"mountPath"`
	ReadOnly  bool   `yaml:"readOnly"`
}

// manifests gives the documents of the Kubernetes manifest, by kind.
func manifests(t *testing.T) map[string][]byte {
	t.Helper()
	raw, err := os.ReadFile("kubernetes/collector.yaml")
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string][]byte{}
	for d := yaml.NewDecoder(bytes.NewReader(raw)); ; {
		var doc map[string]any
		if err := d.Decode(&doc); errors.Is(err, io.EOF) {
			return docs
		} else if err != nil {
			t.Fatal(err)
		}
		kind, ok := doc["kind"].(string)
		if !ok || doc["apiVersion"] == nil {
			t.Fatalf("a document has no kind or version: %v", doc)
		}
		if docs[kind], err = yaml.Marshal(doc); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKubernetes(t *testing.T) {
	docs := manifests(t)
	for _, kind := range []string{"Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "DaemonSet"} {
		if docs[kind] == nil {
			t.Errorf("there is no %s", kind)
		}
	}
	var set daemonSet
	if err := yaml.Unmarshal(docs["DaemonSet"], &set); err != nil {
		t.Fatal(err)
	}
	pod := set.Spec.Template.Spec
	if !pod.HostPID || pod.ServiceAccountName != "coldscope-collector" || len(pod.Containers) != 1 {
		t.Fatalf("the pod is not the collector's: %+v", pod)
	}
	c := pod.Containers[0]
	if diff := cmp.Diff(capabilities, sorted(c.SecurityContext.Capabilities.Add)); diff != "" || !slices.Contains(c.SecurityContext.Capabilities.Drop, "ALL") {
		t.Errorf("capabilities differ (-want +got), or others are not dropped:\n%s", diff)
	}
	if c.SecurityContext.Privileged || !c.SecurityContext.ReadOnlyRootFilesystem {
		t.Error("the container is privileged or can write to its image")
	}
	var volumes []string
	for _, v := range pod.Volumes {
		volumes = append(volumes, v.Name)
	}
	for _, m := range c.VolumeMounts {
		if !slices.Contains(volumes, m.Name) {
			t.Errorf("there is no volume %s", m.Name)
		}
		if !m.ReadOnly && m.MountPath != "/var/lib/coldscope" {
			t.Errorf("%s can be written to", m.MountPath)
		}
	}
	if len(c.Env) == 0 || c.Env[0].Name != "NODE_NAME" || c.Env[0].ValueFrom == nil {
		t.Errorf("NODE_NAME is not the node's: %+v", c.Env)
	}
	knowsFlags(t, collectorProgram(t), nil, c.Args)

	var config struct {
		Data map[string]string `yaml:"data"`
	}
	if err := yaml.Unmarshal(docs["ConfigMap"], &config); err != nil {
		t.Fatal(err)
	}
	loaded := loads(t, config.Data["collector.yaml"])
	if !slices.ContainsFunc(c.VolumeMounts, func(m volumeMount) bool { return m.MountPath == loaded.Collector.Runtimes.CgroupRoot }) {
		t.Errorf("nothing is mounted at %q", loaded.Collector.Runtimes.CgroupRoot)
	}
	if len(loaded.Targets) == 0 || loaded.Targets[0].Target == "" {
		t.Error("there is no target")
	}
	for _, resource := range []string{"pods", "events", "events.k8s.io", "list", "watch"} {
		if !bytes.Contains(docs["ClusterRole"], []byte(resource)) {
			t.Errorf("the role does not name %s", resource)
		}
	}
	for _, verb := range []string{"create", "update", "patch", "delete", "secrets", "'*'"} {
		if bytes.Contains(docs["ClusterRole"], []byte(verb)) {
			t.Errorf("the role has %s, which the collector never needs", verb)
		}
	}
}

func TestSystemd(t *testing.T) {
	raw, err := os.ReadFile("systemd/coldscope-collector.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := map[string]string{}
	for line := range strings.Lines(string(raw)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			unit[key] = value
		}
	}
	for _, key := range []string{"CapabilityBoundingSet", "AmbientCapabilities"} {
		got := sorted(strings.Fields(strings.ReplaceAll(unit[key], "CAP_", "")))
		if diff := cmp.Diff(capabilities, got); diff != "" {
			t.Errorf("%s differs (-want +got):\n%s", key, diff)
		}
	}
	args := strings.Fields(unit["ExecStart"])
	knowsFlags(t, collectorProgram(t), nil, args[1:])
	config, err := os.ReadFile("systemd/collector.yaml")
	if err != nil {
		t.Fatal(err)
	}
	loads(t, string(config))

	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip("systemd-analyze is missing, the unit is not verified")
	}
	// The program need not be installed here.
	path := filepath.Join(t.TempDir(), "coldscope-collector.service")
	if err := os.WriteFile(path, bytes.ReplaceAll(raw, []byte(args[0]), []byte("/bin/true")), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "systemd-analyze", "verify", "--man=no", path).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

func TestComposeCollector(t *testing.T) {
	p := project(t)
	c := p.Services["collector"]
	// Older Dockers do not know BPF and PERFMON, which are in SYS_ADMIN.
	if diff := cmp.Diff([]string{"DAC_READ_SEARCH", "SYS_ADMIN", "SYS_PTRACE"}, sorted(c.CapAdd)); diff != "" {
		t.Errorf("capabilities differ (-want +got):\n%s", diff)
	}
	if c.Pid != "host" || c.Cgroup != "host" {
		t.Errorf("the collector is in PID namespace %q and control group namespace %q, not the host's", c.Pid, c.Cgroup)
	}
	loaded := loads(t, p.Configs["collector"].Content)
	targets := map[string]bool{}
	for _, v := range c.Volumes {
		targets[v.Target] = true
	}
	for _, path := range []string{loaded.Collector.Runtimes.CgroupRoot, "/var/run/docker.sock", "/var/lib/docker", "/var/lib/coldscope/collector"} {
		if !targets[path] {
			t.Errorf("nothing is mounted at %q", path)
		}
	}
}

// configuration is what a collector alone reads of its file.
type configuration struct {
	Targets   []wire.Options   `yaml:"targets"`
	Collector collector.Config `yaml:"collector"`
}

// loads reads a configuration as the command does: a typo is an error.
func loads(t *testing.T, text string) configuration {
	t.Helper()
	var c configuration
	if err := yaml.UnmarshalWithOptions([]byte(text), &c, yaml.Strict()); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if err := c.Collector.Validate(); err != nil {
		t.Error(err)
	}
	for _, target := range c.Targets {
		if err := target.Validate(); err != nil {
			t.Error(err)
		}
	}
	return c
}

func collectorProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "coldscope-collector")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../cmd/coldscope-collector").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}
