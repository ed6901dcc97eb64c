package containerd

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/coldscope/coldscope/internal/containerdtest"
	"github.com/coldscope/coldscope/internal/faas"
)

var wanted = map[string]string{"function": "resize"}

// TestColdStart compares what the watcher tells of a start with what the
// platform that made it saw.
func TestColdStart(t *testing.T) {
	c := containerdtest.Start(t, containerdtest.Options{Bandwidth: 30 << 20, Latency: 10 * time.Millisecond})
	r := newRecord()
	watch(t, c.Socket, r)
	ref := c.Push(t, "functions/resize", "v1",
		containerdtest.ProgramLayer(t, 1600<<10), containerdtest.RandomLayer(t, 1, 20<<20), containerdtest.RandomLayer(t, 2, 50<<20))

	pod := c.RunPod(t, containerdtest.PodConfig{Namespace: "shop", Name: "resize-1", Labels: wanted, Annotations: map[string]string{"note": "from the pod"}})
	pulled := c.Pull(t, ref)
	fn := pod.Create(t, containerdtest.ContainerConfig{
		Name: "fn", Image: ref, Args: []string{"serve", "350ms", "0"}, MemoryLimit: 128 << 20, Annotations: map[string]string{"note": "from the container"},
	})
	fn.Start(t)
	listening := waitLine(t, fn.LogPath, "listening")
	stopping := fn.Stop(t)
	stopped := r.waitEvent(t, fn.ID+"/stopped")
	status := fn.Status(t)

	events := map[string]faas.Event{}
	for _, e := range r.of(fn.ID) {
		if _, twice := events[e.ID]; twice {
			t.Errorf("event %s came twice", e.ID)
		}
		events[strings.TrimPrefix(e.ID, fn.ID+"/")] = e
	}
	phase := func(name faas.Phase) faas.PhaseDone {
		p, ok := events["phase/"+string(name)].Data.(faas.PhaseDone)
		if !ok {
			t.Fatalf("no phase %s", name)
		}
		return p
	}
	demanded, resolve, pull, unpack := events["demanded"], phase(faas.PhaseResolve), phase(faas.PhasePull), phase(faas.PhaseUnpack)
	create, start := phase(faas.PhaseCreate), phase(faas.PhaseStart)
	layers := layersOf(r.of(fn.ID))
	if len(layers) != 3 {
		t.Fatalf("%d layers", len(layers))
	}

	zero := pod.Run.Start
	ms := func(at time.Time) string {
		return strconv.FormatFloat(float64(at.Sub(zero).Microseconds())/1000, 'f', 1, 64)
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(what string, platform, watcher time.Time) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t\n", what, ms(platform), ms(watcher), strconv.FormatFloat(float64(watcher.Sub(platform).Microseconds())/1000, 'f', 1, 64))
	}
	fmt.Fprintln(w, "ms\tplatform\twatcher\tdifference\t")
	row("demanded (RunPodSandbox)", pod.Run.Start, demanded.Time)
	row("resolve begins (PullImage)", pulled.Start, resolve.Start)
	row("unpack ends (PullImage)", pulled.End, unpack.End)
	row("create begins (CreateContainer)", fn.Create.Start, create.Start)
	row("create ends (StartContainer)", fn.Started.Start, create.End)
	row("start ends (StartContainer)", fn.Started.End, start.End)
	row("started (CRI's started_at)", time.Unix(0, status.GetStartedAt()), start.End)
	row("stopped (StopContainer)", stopping.Start, stopped.Time)
	row("stopped (CRI's finished_at)", time.Unix(0, status.GetFinishedAt()), stopped.Time)
	w.Flush()
	w = tabwriter.NewWriter(&table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "watcher, ms\tbegins\tends\ttook\t")
	interval := func(what string, from, to time.Time) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%.1f\t\n", what, ms(from), ms(to), float64(to.Sub(from).Microseconds())/1000)
	}
	for _, p := range []faas.PhaseDone{resolve, pull, unpack, create, start} {
		interval(string(p.Name), p.Start, p.End)
	}
	for _, l := range layers {
		name := fmt.Sprintf("%s %.1f MB %s", l.Digest[7:13], float64(l.Bytes)/1e6, l.Cache)
		interval(name+" download", l.DownloadStart, l.DownloadEnd)
		interval(name+" unpack", l.UnpackStart, l.UnpackEnd)
	}
	interval("init, from the log", start.End, listening)
	w.Flush()
	fmt.Fprintf(&table, "memory peak %d bytes\n", stopped.Data.(faas.Stopped).MemoryPeak)
	t.Logf("containerd %s\n%s", c.Version, &table)

	// In order, and inside what the platform saw. The host's clock is one.
	order := []struct {
		what string
		at   time.Time
	}{
		{"RunPodSandbox", pod.Run.Start},
		{"demanded", demanded.Time},
		{"RunPodSandbox's end", pod.Run.End},
		{"PullImage", pulled.Start},
		{"resolve's start", resolve.Start},
		{"resolve's end", resolve.End},
		{"pull's start", pull.Start},
		{"pull's end", pull.End},
		{"unpack's end", unpack.End},
		{"PullImage's end", pulled.End},
		{"CreateContainer", fn.Create.Start},
		{"create's start", create.Start},
		{"CreateContainer's end", fn.Create.End},
		{"create's end", create.End},
		{"start's start", start.Start},
		{"start's end", start.End},
		{"StartContainer's end", fn.Started.End},
		{"stopped", stopped.Time},
		{"StopContainer's end", stopping.End},
	}
	for i := 1; i < len(order); i++ {
		if order[i].at.Before(order[i-1].at) {
			t.Errorf("%s is before %s", order[i].what, order[i-1].what)
		}
	}
	for _, l := range layers {
		if l.Cache != cacheMiss || l.DownloadEnd.IsZero() || l.UnpackEnd.Before(l.UnpackStart) || l.UnpackStart.Before(l.DownloadEnd) {
			t.Errorf("layer %+v", l)
		}
		if l.Bytes < 10<<20 {
			continue // may come and go between two polls
		}
		ideal := time.Duration(float64(l.Bytes) / float64(30<<20) * float64(time.Second))
		if took := l.DownloadEnd.Sub(l.DownloadStart); l.DownloadStart.IsZero() || took < ideal*9/10 {
			t.Errorf("layer of %d bytes took %v, %v at least", l.Bytes, took, ideal)
		}
	}
	d := demanded.Data.(faas.Demanded)
	if d.Image != ref || d.Registry != strings.SplitN(ref, "/", 2)[0] || d.MemoryLimit != 128<<20 || d.ImageBytes < 70<<20 || !strings.HasPrefix(d.Digest, "sha256:") {
		t.Errorf("demanded %+v", d)
	}
	if demanded.Instance != fn.ID || demanded.Function != "resize" || demanded.Namespace != "shop" {
		t.Errorf("ref %+v", demanded.Ref)
	}
	end := stopped.Data.(faas.Stopped)
	if end.Reason != reasonExited || end.ExitCode == nil || *end.ExitCode != 0 || end.OOM {
		t.Errorf("stopped %+v", end)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.running) != 1 || r.running[0].ContainerID != fn.ID || r.running[0].PID <= 1 || !r.running[0].StartedAt.Equal(start.End) {
		t.Errorf("running %+v", r.running)
	}
	if len(r.exited) != 1 || r.exited[0] != fn.ID {
		t.Errorf("exited %v", r.exited)
	}
	k := r.known[fn.ID]
	if len(r.known) != 1 || k.Name != "fn" || k.Pod.Name != "resize-1" || k.Pod.UID != pod.UID || k.Pod.Annotations["note"] != "from the pod" || k.Annotations["note"] != "from the container" ||
		k.Labels["io.kubernetes.container.name"] != "fn" {
		t.Errorf("known %+v", r.known)
	}
}

// waitLine waits for a line of a CRI log file and returns its time.
func waitLine(t *testing.T, name, text string) time.Time {
	t.Helper()
	late := time.After(patience)
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		raw, _ := os.ReadFile(name)
		for line := range strings.Lines(string(raw)) {
			if strings.Contains(line, text) {
				tick.Stop()
				stamp, _, _ := strings.Cut(line, " ")
				at, err := time.Parse(time.RFC3339Nano, stamp)
				if err != nil {
					t.Fatal(err)
				}
				return at
			}
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s does not say %q: %q", name, text, raw)
		}
	}
}

// layersOf is the layers that events tell, in the image's order.
func layersOf(events []faas.Event) []faas.LayerPulled {
	var out []faas.LayerPulled
	for _, e := range events {
		if l, ok := e.Data.(faas.LayerPulled); ok {
			out = append(out, l)
		}
	}
	return out
}

func phasesOf(events []faas.Event) string {
	var out []string
	for _, e := range events {
		if p, ok := e.Data.(faas.PhaseDone); ok {
			out = append(out, string(p.Name))
		}
	}
	return strings.Join(out, " ")
}

func cachesOf(events []faas.Event) string {
	var out []string
	for _, l := range layersOf(events) {
		out = append(out, l.Cache)
	}
	return strings.Join(out, " ")
}
