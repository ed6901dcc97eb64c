package containerd

import (
	"testing"
	"time"

	"github.com/coldscope/coldscope/internal/containerdtest"
	"github.com/coldscope/coldscope/internal/faas"
)

// TestCRI: what can be known through CRI alone, here containerd's.
func TestCRI(t *testing.T) {
	c := containerdtest.Start(t, containerdtest.Options{})
	p := newProxy(t, c.Socket)
	r := newRecord()
	w, err := NewCRI(options(t, p.socket, r))
	if err != nil {
		t.Fatal(err)
	}
	start(t, w.Run)
	ref := c.Push(t, "functions/resize", "v1", containerdtest.ProgramLayer(t, 0))
	c.Pull(t, ref)
	pod := c.RunPod(t, containerdtest.PodConfig{Namespace: "shop", Name: "cri", Labels: wanted})
	create := func(name string, args ...string) *containerdtest.Container {
		return pod.Create(t, containerdtest.ContainerConfig{Name: name, Image: ref, Args: args})
	}
	fn := create("fn", "serve", "0s", "0")
	r.waitEvent(t, fn.ID+"/demanded") // before it runs
	fn.Start(t)
	r.wait(t, "the process", func() bool { return len(r.running) == 1 })
	status := fn.Status(t)
	if got := r.running[0]; got.PID <= 1 || !got.StartedAt.Equal(time.Unix(0, status.GetStartedAt())) || got.Function != "resize" || got.Instance != fn.ID {
		t.Errorf("running %+v", got)
	}
	if got := r.waitEvent(t, fn.ID+"/phase/create").Data.(faas.PhaseDone); !got.Start.Equal(time.Unix(0, status.GetCreatedAt())) || !got.End.Equal(time.Unix(0, status.GetStartedAt())) {
		t.Errorf("create %+v", got)
	}
	if at := r.waitEvent(t, fn.ID+"/demanded").Time; at.Before(pod.Run.Start) || at.After(pod.Run.End) {
		t.Errorf("demanded at %v, outside RunPodSandbox %v", at, pod.Run)
	}

	p.cut()
	fn.Stop(t)
	short := create("short", "exit", "0s", "6")
	short.Start(t)
	p.open()
	for id, want := range map[string]int{fn.ID: 0, short.ID: 6} {
		if got := r.waitEvent(t, id+"/stopped").Data.(faas.Stopped); got.ExitCode == nil || *got.ExitCode != want {
			t.Errorf("stopped %+v, want code %d", got, want)
		}
	}
	k := r.known[fn.ID]
	if k.Name != "fn" || k.Image != ref || k.Pod.Name != "cri" || k.Pod.UID != pod.UID {
		t.Errorf("known %+v", k)
	}
}
