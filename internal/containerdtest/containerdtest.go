// Package containerdtest starts a real containerd with CRI for tests, private
// to them, together with a registry and a driver that does what a kubelet
// does: sandboxes, pulls, containers, and log files in kubelet's layout.
//
// It uses the containerd on the PATH, or the one in the folder that
// COLDSCOPE_TEST_CONTAINERD names (whose shim must lie beside it). Sandboxes
// use the host's network, so no CNI plugin is needed. Tests skip if they don't
// run as root or something is missing.
package containerdtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/template"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/coldscope/coldscope/internal/functionhost/registry"
)

// BinariesEnv names a folder with another containerd and its shim.
const BinariesEnv = "COLDSCOPE_TEST_CONTAINERD"

// Namespace is where CRI keeps its containers.
const Namespace = "k8s.io"

// Options of a Containerd.
type Options struct {
	Bandwidth int64         // bytes per second of one blob's download; 0: unlimited
	Latency   time.Duration // of each request to the registry
}

// Containerd is a running containerd with its registry. Its methods fail the
// test on any error.
type Containerd struct {
	Socket  string           // path of containerd's (and CRI's) socket
	LogRoot string           // stands for /var/log/pods: NAMESPACE_POD_UID/CONTAINER/0.log
	Dir     string           // everything of it, removed at the end
	Version string           // such as 1.6.20
	Conn    *grpc.ClientConn // to Socket

	registry *registry.Registry
	cgroup   string // parent of the sandboxes' control groups, without its leading slash
	process  *exec.Cmd
	exited   chan struct{}
	log      *os.File
	path     string
}

// Start starts a containerd that ends with the test, and everything in it.
func Start(t testing.TB, opts Options) *Containerd {
	t.Helper()
	path := need(t)
	dir, err := os.MkdirTemp("", "ctrd") //nolint:usetesting // a socket's path has 107 bytes at most
	if err != nil {
		t.Fatal(err)
	}
	c := &Containerd{
		Socket: filepath.Join(dir, "c.sock"), LogRoot: filepath.Join(dir, "pods"), Dir: dir,
		Version: version(t, path), cgroup: "coldscope-" + filepath.Base(dir), path: path,
	}
	t.Cleanup(func() { c.clean(t) })
	c.registry = startRegistry(t, dir, opts)
	c.configure(t)
	c.Conn, err = grpc.NewClient("unix://"+c.Socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	c.Launch(t)
	t.Cleanup(func() {
		c.removeAll(context.WithoutCancel(t.Context()))
		_ = c.Conn.Close()
		c.Stop()
		if t.Failed() {
			t.Log("containerd's log:\n" + c.tailLog())
		}
	})
	c.pushPause(t)
	return c
}

// need returns the PATH to find containerd and its shim in, or skips.
func need(t testing.TB) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("containerd needs root")
	}
	path := os.Getenv("PATH")
	if dir := os.Getenv(BinariesEnv); dir != "" {
		path = dir + ":" + path
	}
	for _, name := range []string{"containerd", "containerd-shim-runc-v2", "runc"} {
		if lookPath(path, name) == "" {
			t.Skipf("%s is not installed (apt-get install containerd runc)", name)
		}
	}
	return path
}

func lookPath(path, name string) string {
	for _, dir := range filepath.SplitList(path) {
		full := filepath.Join(dir, name)
		if info, err := os.Stat(full); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return full
		}
	}
	return ""
}

func version(t testing.TB, path string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), lookPath(path, "containerd"), "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(out)) // containerd MODULE VERSION [REVISION]
	if len(fields) < 3 {
		t.Fatalf("containerd --version says %q", out)
	}
	v, _, _ := strings.Cut(strings.TrimPrefix(fields[2], "v"), "~")
	return v
}

// startRegistry runs the function host's registry: with tokens, paced.
func startRegistry(t testing.TB, dir string, opts Options) *registry.Registry {
	t.Helper()
	reg, err := registry.New(t.Context(), registry.Config{
		Dir: filepath.Join(dir, "blobs"), Bandwidth: opts.Bandwidth, Latency: opts.Latency,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- reg.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return reg
}

// The configuration of 1.x and of 2.x: CRI's plugin has been split since.
var configuration = template.Must(template.New("").Parse(`{{if .Old}}version = 2{{else}}version = 3{{end}}
root = "{{.Dir}}/root"
state = "{{.Dir}}/state"
[grpc]
  address = "{{.Dir}}/c.sock"
[ttrpc]
  address = "{{.Dir}}/c.sock.ttrpc"
{{if .Old}}
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{{.Registry}}/pause:1"
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".registry]
  config_path = "{{.Dir}}/certs.d"
[plugins."io.containerd.grpc.v1.cri".cni]
  conf_dir = "{{.Dir}}/cni"
{{else}}
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{{.Registry}}/pause:1"
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = "{{.Dir}}/certs.d"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  conf_dir = "{{.Dir}}/cni"
{{end}}`))

func (c *Containerd) configure(t testing.TB) {
	t.Helper()
	addr := c.registry.Addr()
	var config bytes.Buffer
	err := configuration.Execute(&config, map[string]any{"Old": strings.HasPrefix(c.Version, "1."), "Dir": c.Dir, "Registry": addr})
	if err != nil {
		t.Fatal(err)
	}
	hosts := fmt.Sprintf("server = \"http://%s\"\n[host.\"http://%s\"]\n  capabilities = [\"pull\", \"resolve\"]\n", addr, addr)
	for name, data := range map[string]string{
		"config.toml":                     config.String(),
		"certs.d/" + addr + "/hosts.toml": hosts,
		"cni/.keep":                       "",
		"pods/.keep":                      "",
	} {
		name = filepath.Join(c.Dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Launch starts the daemon, for the first time or again after Stop: its
// containers live on in between.
func (c *Containerd) Launch(t testing.TB) {
	t.Helper()
	var err error
	c.log, err = os.OpenFile(filepath.Join(c.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	// Not the test's context: it ends before the cleanups, which need the daemon.
	c.process = exec.CommandContext(context.WithoutCancel(t.Context()), lookPath(c.path, "containerd"), "--config", filepath.Join(c.Dir, "config.toml"))
	c.process.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "PATH=") }), "PATH="+c.path)
	c.process.Stdout, c.process.Stderr = c.log, c.log
	c.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.process.Start(); err != nil {
		t.Fatal(err)
	}
	c.exited = make(chan struct{})
	go func(process *exec.Cmd, exited chan struct{}) {
		defer close(exited)
		_ = process.Wait()
	}(c.process, c.exited)
	c.waitReady(t)
}

// Stop ends the daemon; containers live on.
func (c *Containerd) Stop() {
	_ = c.process.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(10 * time.Second):
		_ = c.process.Process.Kill()
		<-c.exited
	}
	c.log.Close()
}

func (c *Containerd) waitReady(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		_, err := cri.NewRuntimeServiceClient(c.Conn).Version(ctx, &cri.VersionRequest{}, grpc.WaitForReady(true))
		if err == nil {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-c.exited:
			t.Fatalf("containerd ended:\n%s", c.tailLog())
		case <-ctx.Done():
			t.Fatalf("containerd does not answer: %v\n%s", err, c.tailLog())
		}
	}
}

func (c *Containerd) tailLog() string {
	raw, err := os.ReadFile(filepath.Join(c.Dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(raw[max(0, len(raw)-8<<10):])
}

// clean ends what is left of this containerd (shims of sandboxes that could
// not be removed), and removes its mounts, control groups and files.
func (c *Containerd) clean(t testing.TB) {
	t.Helper()
	entries, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range entries {
		raw, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(raw, []byte(c.Socket)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err == nil && pid != os.Getpid() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	for range 3 { // mounts lie over each other
		for _, dir := range slices.Backward(mountsBelow(c.Dir)) {
			_ = unix.Unmount(dir, unix.MNT_DETACH)
		}
	}
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/" + c.cgroup)
	for _, g := range append(groups, "/sys/fs/cgroup/"+c.cgroup) {
		children, _ := filepath.Glob(g + "/*/")
		for _, child := range children {
			_ = os.Remove(child)
		}
		_ = os.Remove(g)
	}
	if err := os.RemoveAll(c.Dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Errorf("remove containerd's folder: %v", err)
	}
}

func mountsBelow(dir string) []string {
	raw, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	var found []string
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4], dir+"/") {
			found = append(found, f[4])
		}
	}
	return found
}
