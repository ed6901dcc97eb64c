package runtimes

import (
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/coldscope/coldscope/internal/containerdtest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// end is a function that does not end well.
type end struct {
	name   string
	args   []string
	memory int64
	want   faas.Stopped // MemoryPeak is the least
}

func ends() []end {
	crashed, killed := 3, 137
	const limit = 48 << 20
	return []end{
		{"crash", []string{"exit", "300ms", "3"}, limit, faas.Stopped{Reason: "error", ExitCode: &crashed, MemoryPeak: 100 << 10}},
		{"greed", []string{"eat", "300ms", "200"}, limit, faas.Stopped{Reason: "oom", ExitCode: &killed, OOM: true, MemoryPeak: limit * 9 / 10}},
	}
}

func (e end) check(t *testing.T, s *sink, instance string) {
	t.Helper()
	got, _, _ := one[faas.Stopped](s.await(instance, "demanded", "create", "start", "init", "stopped"), "stopped")
	if got.ExitCode == nil || *got.ExitCode != *e.want.ExitCode || got.OOM != e.want.OOM || got.Reason != e.want.Reason {
		t.Errorf("%s: %+v, want %+v", e.name, got, e.want)
	}
	if got.MemoryPeak < e.want.MemoryPeak || got.MemoryPeak > e.memory+1<<20 || got.CPUTime <= 0 {
		t.Errorf("%s: memory peak %d, CPU time %g s", e.name, got.MemoryPeak, got.CPUTime)
	}
	init, _, _ := one[faas.PhaseDone](s.of(instance), "init")
	if init.Error == "" || init.Attributes["diagnosis"] != "exited" {
		t.Errorf("%s: init is %+v", e.name, init)
	}
}

// TestEnds: why an instance ended, from outside alone.
func TestEnds(t *testing.T) {
	t.Run("docker", func(t *testing.T) {
		d := needDocker(t)
		_, out := d.watch()
		for _, e := range ends() {
			e.check(t, out, d.mustRun(function{name: e.name, args: e.args, memory: e.memory}))
		}
	})
	t.Run("containerd", func(t *testing.T) {
		c := containerdtest.Start(t, containerdtest.Options{})
		out := watchContainerd(t, c)
		image := c.Push(t, "ends", "v1", containerdtest.ProgramLayer(t, 0), containerdtest.RandomLayer(t, 5, 1<<20))
		c.Pull(t, image)
		for _, e := range ends() {
			pod := c.RunPod(t, containerdtest.PodConfig{
				Namespace: "prod", Name: podName(e.name), Labels: map[string]string{workload.LabelFunction: e.name},
			})
			fn := pod.Create(t, containerdtest.ContainerConfig{Name: "fn", Image: image, Args: e.args, MemoryLimit: e.memory})
			fn.Start(t)
			e.check(t, out, pod.UID)
		}
	})
}

// TestChurn: containers that print and end at once, and are removed at that,
// lose nothing.
func TestChurn(t *testing.T) {
	const containers, atOnce, lines = 100, 8, 100
	d := needDocker(t)
	_, out := d.watch()
	var mu sync.Mutex
	ids := make([]string, containers)
	next := make(chan int)
	var running sync.WaitGroup
	for range atOnce {
		running.Go(func() {
			for n := range next {
				id, err := d.run(t.Context(), function{
					name: "churn", args: []string{"print", strconv.Itoa(lines), strconv.Itoa(n % 5)}, remove: true,
					log: []string{"json-file", "local"}[n%2],
				})
				if err != nil {
					t.Error(err)
					continue
				}
				mu.Lock()
				ids[n] = id
				mu.Unlock()
			}
		})
	}
	begin := time.Now()
	for n := range containers {
		next <- n
	}
	close(next)
	running.Wait()
	t.Logf("%d containers in %v", containers, time.Since(begin))
	peaks := 0
	for n, id := range ids {
		if id == "" {
			continue
		}
		s, _, _ := one[faas.Stopped](out.await(id, "demanded", "create", "start", "stopped"), "stopped")
		if s.ExitCode == nil || *s.ExitCode != n%5 {
			t.Errorf("container %d: %+v, want exit code %d", n, s, n%5)
		}
		if s.MemoryPeak > 0 {
			peaks++
		}
		checkLines(t, n, out.awaitLines(id, lines), lines)
	}
	t.Logf("of %d containers the memory peak is known", peaks)
}

func checkLines(t *testing.T, container int, got []line, want int) {
	t.Helper()
	bodies := map[string]faas.Stream{}
	for _, l := range got {
		bodies[l.Body] = l.Stream
	}
	if len(got) != want || len(bodies) != want {
		t.Errorf("container %d: %d lines, %d different ones, want %d", container, len(got), len(bodies), want)
	}
	for i := range want {
		if s := bodies[fmt.Sprintf("line %d", i)]; s != []faas.Stream{faas.Stdout, faas.Stderr}[i%2] {
			t.Errorf("container %d: line %d is in stream %q", container, i, s)
		}
	}
	if container == 0 && !slices.IsSortedFunc(got, func(a, b line) int { return a.Time.Compare(b.Time) }) {
		t.Error("lines are not in order")
	}
}
