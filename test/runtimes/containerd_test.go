package runtimes

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coldscope/coldscope/collector"
	"github.com/coldscope/coldscope/collector/runtime"
	"github.com/coldscope/coldscope/internal/containerdtest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// watchContainerd runs a collector for a containerd and its logs.
func watchContainerd(t *testing.T, c *containerdtest.Containerd, ports ...int) *sink {
	t.Helper()
	return watchPods(t, c, func(r *runtime.Config) { r.ContainerdSocket, r.Ports = c.Socket, ports })
}

// watchPods runs a collector for the logs of c's pods, and for no other
// runtime than those that watch sets.
func watchPods(t *testing.T, c *containerdtest.Containerd, watch func(*runtime.Config)) *sink {
	t.Helper()
	_, out := collect(t, "watching the container runtime", func(cfg *collector.Config) {
		cfg.CRI, cfg.Docker = []string{c.LogRoot}, []string{}
		cfg.Runtimes.Docker = "off"
		watch(&cfg.Runtimes)
	})
	return out
}

// podName makes pods' UIDs (uid-NAME) as long as kubelet's.
func podName(function string) string {
	return function + "-" + strings.Repeat("b", 32-len(function)-1)
}

// account is what the kubelet of the test says of a start, from its own calls.
func account(ref faas.Ref, pod *containerdtest.Pod, pull containerdtest.Call, c *containerdtest.Container, ready time.Time) []faas.Event {
	event := func(at time.Time, data faas.Data) faas.Event {
		return faas.Event{ID: fmt.Sprintf("%T", data), Source: "kubelet", Time: at, Ref: ref, Data: data}
	}
	phase := func(name faas.Phase, call containerdtest.Call) faas.Event {
		return event(call.End, faas.PhaseDone{Name: name, Start: call.Start, End: call.End})
	}
	return []faas.Event{
		event(pod.Run.Start, faas.Demanded{Initialization: faas.OnDemand}),
		phase(faas.PhasePull, pull), // and all that is unpacked
		phase(faas.PhaseCreate, c.Create),
		phase(faas.PhaseStart, c.Started),
		phase(faas.PhaseInit, containerdtest.Call{Start: c.Started.End, End: ready}),
		event(ready, faas.Ready{}),
	}
}

// TestContainerd: what the calls of a kubelet took, and what is seen of them
// from outside, with containerd; and whose its logs' lines are.
func TestContainerd(t *testing.T) {
	c := containerdtest.Start(t, containerdtest.Options{Bandwidth: 20 << 20, Latency: 10 * time.Millisecond})
	const port, otherPort = 19471, 19472
	outside := watchContainerd(t, c, port, otherPort)
	image := c.Push(t, "inference", "v7",
		containerdtest.RandomLayer(t, 7, 8<<20), containerdtest.RandomLayer(t, 8, 16<<20), containerdtest.ProgramLayer(t, 1<<20))

	all := []faas.Phase{faas.PhaseResolve, faas.PhasePull, faas.PhaseUnpack, faas.PhaseCreate, faas.PhaseStart, faas.PhaseInit}
	for _, s := range []struct {
		title, function string
		port            int
		labels          map[string]string // of the pod: the only place that says whose it is
		want            faas.Ref
		needed          []faas.Phase
	}{
		{
			"containerd, image pulled",
			"inference", port,
			map[string]string{workload.LabelFunction: "model", workload.LabelNamespace: "shop", workload.LabelVersion: "7"},
			faas.Ref{Namespace: "shop", Function: "model", Version: "7"},
			all,
		},
		{
			"containerd, image cached",
			"other", otherPort,
			map[string]string{"app.kubernetes.io/name": "half-plus-two"},
			faas.Ref{Namespace: "prod", Function: "half-plus-two", Version: "v7"},
			all[3:],
		},
	} {
		pod := c.RunPod(t, containerdtest.PodConfig{Namespace: "prod", Name: podName(s.function), Labels: s.labels})
		s.want.Tenant, s.want.Instance = faas.DefaultTenant, pod.UID
		pull := c.Pull(t, image)
		fn := pod.Create(t, containerdtest.ContainerConfig{
			Name: "fn", Image: image, Args: []string{"serve", "700ms", strconv.Itoa(s.port)}, MemoryLimit: 64 << 20,
		})
		fn.Start(t)
		var ready time.Time
		for _, l := range outside.awaitLines(pod.UID, 2) {
			if strings.HasPrefix(l.Body, "listening on ") {
				ready = l.Time
			}
		}
		said := account(s.want, pod, pull, fn, ready)
		outside.await(pod.UID, "ready")
		stop := fn.Stop(t)
		code := int(fn.Status(t).GetExitCode())
		said = append(said, faas.Event{Source: "kubelet", Time: stop.End, Ref: s.want, Data: faas.Stopped{ExitCode: &code}})
		seen := outside.await(pod.UID, "stopped")
		compare(said, seen, s.needed, []faas.Phase{faas.PhasePull}).report(t, s.title)
		sameRef(t, outside, pod.UID, s.want, 3)
	}
}

// TestCRI: what of that is seen through CRI alone, as with CRI-O. The runtime
// is the same, but nothing else of it is asked.
func TestCRI(t *testing.T) {
	c := containerdtest.Start(t, containerdtest.Options{})
	const port = 19473
	outside := watchPods(t, c, func(r *runtime.Config) {
		r.Containerd, r.CRISocket, r.Ports = "off", c.Socket, []int{port}
	})
	image := c.Push(t, "inference", "v7", containerdtest.ProgramLayer(t, 0))
	want := faas.Ref{Tenant: faas.DefaultTenant, Namespace: "shop", Function: "model", Version: "7"}
	pod := c.RunPod(t, containerdtest.PodConfig{Namespace: "prod", Name: podName("model"), Labels: map[string]string{
		workload.LabelFunction: want.Function, workload.LabelNamespace: want.Namespace, workload.LabelVersion: want.Version,
	}})
	want.Instance = pod.UID
	c.Pull(t, image)
	fn := pod.Create(t, containerdtest.ContainerConfig{Name: "fn", Image: image, Args: []string{"serve", "1500ms", strconv.Itoa(port)}})
	fn.Start(t)
	outside.await(pod.UID, "ready")
	fn.Stop(t)
	code := int(fn.Status(t).GetExitCode())
	phases := map[faas.Phase]bool{}
	for _, e := range outside.await(pod.UID, "stopped") {
		switch d := e.Data.(type) {
		case faas.PhaseDone:
			phases[d.Name] = true
		case faas.Stopped:
			if d.ExitCode == nil || *d.ExitCode != code {
				t.Errorf("stopped %+v, want code %d", d, code)
			}
		}
	}
	if !phases[faas.PhaseCreate] || !phases[faas.PhaseInit] {
		t.Errorf("phases %v, want create and init", phases)
	}
	sameRef(t, outside, pod.UID, want, 2)
}
