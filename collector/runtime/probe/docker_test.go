package probe

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// docker runs the command line and gives its output.
func docker(t *testing.T, stdin []byte, args ...string) string {
	t.Helper()
	cmd := exec.Command("docker", args...) // not with the test's context: clean-up needs it, too
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker %s: %v: %s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// importImage makes an image of testdata/server alone.
func importImage(t *testing.T) string {
	t.Helper()
	needRoot(t)
	if err := exec.CommandContext(t.Context(), "docker", "info").Run(); err != nil {
		t.Skipf("no dockerd answers: %v", err)
	}
	bin := filepath.Join(t.TempDir(), "server")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "./testdata/server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v: %s", err, out)
	}
	content, err := os.ReadFile(bin)
	if err != nil {
		t.Fatal(err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "server", Mode: 0o755, Size: int64(len(content))}); err != nil {
		t.Fatal(err)
	}
	w.Write(content)
	w.Close()
	image := fmt.Sprintf("coldscope-probe-test:%d", os.Getpid())
	docker(t, layer.Bytes(), "import", "--change", `ENTRYPOINT ["/server"]`, "-", image)
	t.Cleanup(func() { docker(t, nil, "rmi", "-f", image) })
	return image
}

// container runs one and gives its process once dockerd knows it.
func container(t *testing.T, image, network string, args ...string) workload.Process {
	t.Helper()
	run := append([]string{"run", "-d", "--network", network, "--memory", "256m", image}, args...)
	id := docker(t, nil, run...)
	t.Cleanup(func() { docker(t, nil, "rm", "-f", id) })
	var pid int
	var started string
	if _, err := fmt.Sscan(docker(t, nil, "inspect", "-f", "{{.State.Pid}} {{.State.StartedAt}}", id), &pid, &started); err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.RFC3339Nano, started)
	if err != nil {
		t.Fatal(err)
	}
	if pid == 0 {
		t.Fatal("the container has ended already")
	}
	return workload.Process{Ref: faas.Ref{Function: "f", Instance: id}, ContainerID: id, PID: pid, StartedAt: at}
}

// onExit calls Exited as soon as the process ends, as a runtime's watcher does.
func onExit(t *testing.T, p *Prober, process workload.Process) workload.Usage {
	t.Helper()
	fd, err := unix.PidfdOpen(process.PID, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 30000)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n != 1 || err != nil {
			t.Fatalf("the process does not end: %v", err)
		}
		return p.Exited(process.ContainerID)
	}
}

// TestDocker: real containers, each with its fault.
func TestDocker(t *testing.T) {
	image := importImage(t)
	p, r := run(t, Options{Timeout: 6 * time.Second})
	phases := map[string]faas.PhaseDone{} // the latest, as the store keeps it
	var crash workload.Process
	type start struct {
		name, network string
		args          []string
		diagnosis     string
		in            string // its sentence, or its listening
	}
	starts := []start{
		{"ready", "bridge", []string{"-after", "2500ms", "-listen", ":9000"}, "", ""},
		{"IPv4 only", "bridge", []string{"-after", "2500ms", "-listen", "0.0.0.0:9000"}, "", ""},
		{"no network", "none", []string{"-after", "2500ms", "-listen", ":9000"}, "", ""},
		{"loopback", "bridge", []string{"-listen", "127.0.0.1:9000"}, "loopback", "127.0.0.1:9000"},
		{"other port", "bridge", []string{"-listen", ":8080"}, "other_port", "*:8080"},
		{"nothing", "bridge", nil, "nothing", "listens on no port"},
		{"late", "bridge", []string{"-after", "8s", "-listen", ":9000"}, "late", "over the init timeout"},
		{"crash", "bridge", []string{"-after", "2500ms", "-exit"}, "exited", "the process ended"},
	}
	names := map[string]start{}
	for _, s := range starts {
		process := container(t, image, s.network, s.args...)
		names[process.ContainerID] = s
		p.Running(process)
		if s.name == "crash" {
			crash = process
		}
	}
	onExit(t, p, crash)
	done := func() bool {
		for id, s := range names {
			phase, ok := phases[id]
			if !ok || s.diagnosis == "late" && phase.Attributes["diagnosis"] != "late" {
				return false
			}
		}
		return true
	}
	for !done() {
		e, phase := r.nextPhase(t)
		phases[e.Instance] = phase
	}
	for id, s := range names {
		phase := phases[id]
		t.Logf("%s: %s, %q, %v", s.name, phase.End.Sub(phase.Start), phase.Error, phase.Attributes)
		if phase.Attributes["diagnosis"] != s.diagnosis || (phase.Error == "") != (s.diagnosis == "") {
			t.Errorf("%s: phase is %+v", s.name, phase)
		}
		if !strings.Contains(phase.Error+phase.Attributes["listening"], s.in) {
			t.Errorf("%s: found %q, %q, want %q", s.name, phase.Error, phase.Attributes["listening"], s.in)
		}
		if took := phase.End.Sub(phase.Start); s.diagnosis == "" && (took < 2400*time.Millisecond || took > 6*time.Second) {
			t.Errorf("%s: init took %s of 2.5s", s.name, took)
		}
	}
}

// TestDockerUsage: the control groups are still there when the process has ended.
func TestDockerUsage(t *testing.T) {
	image := importImage(t)
	p, _ := run(t, Options{})
	for range 3 {
		process := container(t, image, "none", "-alloc", "64000000", "-after", "2s", "-exit")
		p.Running(process)
		usage := onExit(t, p, process)
		if usage.MemoryPeak < 64e6 || usage.MemoryPeak > 256<<20 || usage.CPUTime <= 0 || usage.CPUTime > 10*time.Second {
			t.Errorf("usage is %+v", usage)
		}
	}
}

// TestDockerHostNetwork: in the host's network namespace what other processes have does not count.
func TestDockerHostNetwork(t *testing.T) {
	image := importImage(t)
	p, r := run(t, Options{})
	f := startFunction(t, server{Listen: []string{"tcp 127.0.0.1:0"}}, true)
	f.listened()
	held, err := sockets("/proc", f.process.PID, nil)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openDiag(make([]byte, replySize))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	all, err := s.listeners(nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	port := 0
	for _, l := range all {
		if held[l.inode] {
			port = int(l.addr.Port())
		}
	}
	process := container(t, image, "host", "-after", "2500ms", "-listen", fmt.Sprint("127.0.0.2:", port))
	process.Ports = []int{port}
	p.Running(process)
	_, phase := r.nextPhase(t)
	if took := phase.End.Sub(phase.Start); phase.Error != "" || took < 2400*time.Millisecond {
		t.Errorf("phase of %s is %+v", took, phase)
	}
}
