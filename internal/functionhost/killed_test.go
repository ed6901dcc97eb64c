package functionhost

import (
	"bufio"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// hostEnv makes the test binary run a host in the directory that it names.
const hostEnv = "COLDSCOPE_TEST_HOST"

// TestBeHost is not a test: TestKilledHost runs it in a process of its own.
func TestBeHost(t *testing.T) {
	dir := os.Getenv(hostEnv)
	if dir == "" {
		t.Skip("only runs as the victim of TestKilledHost")
	}
	ctx := context.Background()
	h, err := New(ctx, Config{DataDir: dir, Runtime: RuntimeProcess, Events: sinkFunc(func([]faas.Event) error { return nil })})
	if err != nil {
		t.Fatal(err)
	}
	go h.Run(ctx)
	deploy(t, h, Function{})
	resp := invoke(t, h, "/")
	os.Stdout.WriteString("serving " + resp.Instance + "\n")
	select {} // until killed
}

func TestKilledHost(t *testing.T) {
	needRuntime(t, RuntimeProcess)
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^TestBeHost$", "-test.v")
	cmd.Env = append(os.Environ(), hostEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	instance := ""
	for lines := bufio.NewScanner(out); instance == "" && lines.Scan(); {
		t.Log(lines.Text())
		instance, _ = strings.CutPrefix(lines.Text(), "serving ")
		if instance == lines.Text() {
			instance = ""
		}
	}
	pid := functionOf(t, cmd.Process.Pid)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the function to die with its host", func() bool {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		return errors.Is(err, fs.ErrNotExist) || strings.Contains(string(stat), ") Z ")
	})

	// The next host clears up, but leaves the log to whoever has not read it.
	h, _ := runHost(t, Config{DataDir: dir})
	if logs := readLog(t, h, instance); len(logs) < 2 {
		t.Errorf("log %v", logs)
	}
	for _, sub := range []string{"instances", "images/layers", "registry/sha256"} {
		left, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil && !errors.Is(err, fs.ErrNotExist) || len(left) != 0 {
			t.Errorf("%s: %v %v", sub, left, err)
		}
	}
	if err := h.runtime.Sweep(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(h.LogRoot()); err != nil || len(left) != 0 {
		t.Errorf("after the retention: %v %v", left, err)
	}
	eventually(t, "the killed instance's memory cgroup to be removed", func() bool {
		_ = h.runtime.Sweep(t.Context(), time.Hour)
		v1, _ := filepath.Glob("/sys/fs/cgroup/memory/coldscope-*-" + instance)
		v2, _ := filepath.Glob("/sys/fs/cgroup/coldscope-*-" + instance)
		return len(v1)+len(v2) == 0
	})
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil || strings.Contains(string(mounts), dir) {
		t.Errorf("mounts below %s are left (%v)", dir, err)
	}
}

// functionOf finds the process that became a function among a host's children.
func functionOf(t *testing.T, host int) string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		name, rest, _ := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if strings.HasSuffix(name, "(function") && len(fields) > 1 && fields[1] == strconv.Itoa(host) {
			return filepath.Base(filepath.Dir(path))
		}
	}
	t.Fatalf("no function below process %d", host)
	return ""
}
