package containerdtest

import (
	"os"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestStart runs a container as a kubelet would, and leaves nothing behind.
func TestStart(t *testing.T) {
	var dir, group string
	t.Run("containerd", func(t *testing.T) {
		c := Start(t, Options{})
		dir, group = c.Dir, c.cgroup
		ref := c.Push(t, "hello", "v1", ProgramLayer(t, 0), RandomLayer(t, 1, 1<<20))
		pod := c.RunPod(t, PodConfig{Namespace: "default", Name: "hello"})
		c.Pull(t, ref)
		container := pod.Create(t, ContainerConfig{Name: "fn", Image: ref, Args: []string{"serve", "1ms", "0"}})
		container.Start(t)
		deadline := time.Now().Add(20 * time.Second)
		for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
			raw, err := os.ReadFile(container.LogPath)
			if err == nil && strings.Contains(string(raw), "stdout F listening on 127.0.0.1:") {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("log %q, %v", raw, err)
			}
		}
		container.Stop(t)
		if s := container.Status(t); s.GetState() != cri.ContainerState_CONTAINER_EXITED || s.GetExitCode() != 0 {
			t.Errorf("stopped container is %v, code %d", s.GetState(), s.GetExitCode())
		}
	})
	if dir == "" {
		return // skipped
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	if left := mountsBelow(dir); len(left) > 0 {
		t.Errorf("left mounts %v", left)
	}
	if _, err := os.Stat("/sys/fs/cgroup/memory/" + group); !os.IsNotExist(err) {
		t.Errorf("control group %s is still there: %v", group, err)
	}
}
