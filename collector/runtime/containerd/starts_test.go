package containerd

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/containerdtest"
	"github.com/coldscope/coldscope/internal/faas"
)

// runPod starts a function in a pod of its own.
func runPod(t *testing.T, c *containerdtest.Containerd, name, ref string, args ...string) *containerdtest.Container {
	t.Helper()
	pod := c.RunPod(t, containerdtest.PodConfig{Namespace: "shop", Name: name, Labels: wanted})
	fn := pod.Create(t, containerdtest.ContainerConfig{Name: "fn", Image: ref, Args: args, MemoryLimit: 64 << 20})
	fn.Start(t)
	return fn
}

// TestCached: a second start from an image that is there has no pull, and
// neither has one whose pull found everything there.
func TestCached(t *testing.T) {
	c := containerdtest.Start(t, containerdtest.Options{})
	r := newRecord()
	watch(t, c.Socket, r)
	ref := c.Push(t, "functions/resize", "v1", containerdtest.ProgramLayer(t, 1), containerdtest.RandomLayer(t, 1, 1<<20))
	c.Pull(t, ref)
	first := runPod(t, c, "first", ref, "serve", "0s", "0")
	second := runPod(t, c, "second", ref, "serve", "0s", "0")
	c.Pull(t, ref)
	third := runPod(t, c, "third", ref, "serve", "0s", "0")
	for _, w := range []struct {
		fn             *containerdtest.Container
		phases, caches string
	}{
		{first, "resolve pull unpack create start", "miss miss"},
		{second, "create start", "hit hit"},
		{third, "create start", "hit hit"},
	} {
		r.waitEvent(t, w.fn.ID+"/phase/start")
		got := r.of(w.fn.ID)
		if phases, caches := phasesOf(got), cachesOf(got); phases != w.phases || caches != w.caches {
			t.Errorf("phases %q, layers %q, want %q, %q", phases, caches, w.phases, w.caches)
		}
	}
}

// TestParallelPulls: two images are pulled at once and share their largest
// layer. Each function gets its own image's pull, and the shared layer is a
// miss for both: both waited for it.
func TestParallelPulls(t *testing.T) {
	c := containerdtest.Start(t, containerdtest.Options{Bandwidth: 30 << 20})
	r := newRecord()
	watch(t, c.Socket, r)
	program, shared := containerdtest.ProgramLayer(t, 0), containerdtest.RandomLayer(t, 1, 24<<20)
	refs := []string{
		c.Push(t, "functions/a", "v1", program, shared, containerdtest.RandomLayer(t, 2, 8<<20)),
		c.Push(t, "functions/b", "v1", program, shared, containerdtest.RandomLayer(t, 3, 30<<20)),
	}
	calls := make([]containerdtest.Call, len(refs))
	var wg sync.WaitGroup
	for i, ref := range refs {
		wg.Go(func() { calls[i] = c.Pull(t, ref) })
	}
	wg.Wait()
	for i, ref := range refs {
		fn := runPod(t, c, "fn-"+string(rune('a'+i)), ref, "serve", "0s", "0")
		r.waitEvent(t, fn.ID+"/phase/start")
		got := r.of(fn.ID)
		if phases, caches := phasesOf(got), cachesOf(got); phases != "resolve pull unpack create start" || caches != "hit miss miss" {
			t.Errorf("image %d: phases %q, layers %q", i, phases, caches)
			continue
		}
		resolve := r.waitEvent(t, fn.ID+"/phase/resolve").Data.(faas.PhaseDone)
		unpack := r.waitEvent(t, fn.ID+"/phase/unpack").Data.(faas.PhaseDone)
		if resolve.Start.Before(calls[i].Start) || unpack.End.After(calls[i].End) {
			t.Errorf("image %d: pull from %v to %v is not inside %v", i, resolve.Start, unpack.End, calls[i])
		}
		for _, l := range layersOf(got)[1:] {
			if l.DownloadStart.Before(calls[i].Start) || !l.DownloadStart.Before(l.DownloadEnd) || l.UnpackEnd.After(calls[i].End) || !l.UnpackStart.Before(l.UnpackEnd) {
				t.Errorf("image %d: layer %+v is not inside %v", i, l, calls[i])
			}
		}
	}
}

// TestEnds: exit codes, an out-of-memory kill, a container that cannot start,
// and the restart of one in the same pod.
func TestEnds(t *testing.T) {
	c := containerdtest.Start(t, containerdtest.Options{})
	r := newRecord()
	watch(t, c.Socket, r)
	ref := c.Push(t, "functions/resize", "v1", containerdtest.ProgramLayer(t, 0))
	c.Pull(t, ref)
	pod := c.RunPod(t, containerdtest.PodConfig{Namespace: "shop", Name: "ends", Labels: wanted})
	create := func(name string, attempt uint32, args ...string) *containerdtest.Container {
		return pod.Create(t, containerdtest.ContainerConfig{Name: name, Image: ref, Attempt: attempt, Args: args, MemoryLimit: 32 << 20})
	}
	var peaks int64 // of one a control group may be gone before it is read
	exits := func(fn *containerdtest.Container) faas.Stopped {
		fn.Start(t)
		d := r.waitEvent(t, fn.ID+"/stopped").Data.(faas.Stopped)
		peaks += d.MemoryPeak
		return d
	}
	if d := exits(create("zero", 0, "exit", "300ms", "0")); d.Reason != reasonExited || *d.ExitCode != 0 || d.OOM {
		t.Errorf("code 0: %+v", d)
	}
	if d := exits(create("three", 0, "exit", "300ms", "3")); d.Reason != reasonError || *d.ExitCode != 3 || d.OOM {
		t.Errorf("code 3: %+v", d)
	}
	if d := exits(create("eat", 0, "eat", "500ms", "100")); d.Reason != reasonOOM || *d.ExitCode != 137 || !d.OOM {
		t.Errorf("out of memory: %+v", d)
	}

	// A restart is a start of its own, which no sandbox was made for.
	before := time.Now()
	again := create("three", 1, "exit", "10ms", "4")
	if d := exits(again); *d.ExitCode != 4 {
		t.Errorf("code 4: %+v", d)
	}
	if at := r.waitEvent(t, again.ID+"/demanded").Time; at.Before(before) {
		t.Errorf("restart demanded at %v, before %v", at, before)
	}

	if memoryGroup(os.Getpid()) != "" && peaks == 0 {
		t.Error("no container's memory peak was read")
	}

	never := create("never", 0, "exit", "0s", "0")
	r.waitEvent(t, never.ID+"/demanded")
	never.Remove(t)
	if d := r.waitEvent(t, never.ID+"/stopped").Data.(faas.Stopped); d.Reason != reasonStartFailed || d.ExitCode != nil {
		t.Errorf("never started: %+v", d)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.running) != 4 || len(r.exited) != 4 {
		t.Errorf("%d processes ran and %d exited, want 4", len(r.running), len(r.exited))
	}
}

// proxy is a socket before containerd's that can be cut.
type proxy struct {
	t              *testing.T
	socket, target string

	mu    sync.Mutex
	l     net.Listener
	conns []net.Conn
	wg    sync.WaitGroup

	bytes atomic.Int64 // that went either way
}

func newProxy(t *testing.T, target string) *proxy {
	p := &proxy{t: t, socket: filepath.Join(filepath.Dir(target), "proxy.sock"), target: target}
	p.open()
	t.Cleanup(p.cut)
	return p
}

func (p *proxy) open() {
	l, err := net.Listen("unix", p.socket)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	p.l = l
	p.mu.Unlock()
	p.wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("unix", p.target)
			if err != nil {
				in.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, in, out)
			p.mu.Unlock()
			pipe := func(to, from net.Conn) {
				_, _ = io.Copy(to, io.TeeReader(from, counter{&p.bytes}))
				to.Close()
			}
			p.wg.Go(func() { pipe(in, out) })
			p.wg.Go(func() { pipe(out, in) })
		}
	})
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// cut breaks all connections and lets nobody connect.
func (p *proxy) cut() {
	p.mu.Lock()
	p.l.Close()
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.wg.Wait()
	_ = os.Remove(p.socket)
}

// TestCut: what happens while the connection is cut is told after it: a start
// with its pull, an end with its code, a container that came and went unseen.
func TestCut(t *testing.T) {
	c := containerdtest.Start(t, containerdtest.Options{})
	p := newProxy(t, c.Socket)
	r := newRecord()
	watch(t, p.socket, r)
	ref := c.Push(t, "functions/resize", "v1", containerdtest.ProgramLayer(t, 1), containerdtest.RandomLayer(t, 1, 4<<20))
	c.Pull(t, ref)
	ends, removed, lives := runPod(t, c, "ends", ref, "serve", "0s", "0"), runPod(t, c, "removed", ref, "serve", "0s", "0"), runPod(t, c, "lives", ref, "serve", "0s", "0")
	for _, fn := range []*containerdtest.Container{ends, removed, lives} {
		r.waitEvent(t, fn.ID+"/phase/start")
	}

	p.cut()
	ends.Stop(t)
	removed.Stop(t)
	removed.Remove(t)
	ref2 := c.Push(t, "functions/other", "v1", containerdtest.ProgramLayer(t, 2), containerdtest.RandomLayer(t, 2, 4<<20))
	call := c.Pull(t, ref2)
	missed, code := runPod(t, c, "missed", ref2, "serve", "0s", "0"), runPod(t, c, "code", ref2, "exit", "0s", "5")
	waitExited(t, code)
	p.open()

	if d := r.waitEvent(t, ends.ID+"/stopped").Data.(faas.Stopped); d.Reason != reasonExited || *d.ExitCode != 0 {
		t.Errorf("ended while cut: %+v", d)
	}
	if d := r.waitEvent(t, removed.ID+"/stopped").Data.(faas.Stopped); d.Reason != reasonUnseen || d.ExitCode != nil {
		t.Errorf("removed while cut: %+v", d)
	}
	if e := r.waitEvent(t, code.ID+"/stopped"); e.Data.(faas.Stopped).Reason != reasonError || *e.Data.(faas.Stopped).ExitCode != 5 || !e.Time.Equal(time.Unix(0, code.Status(t).GetFinishedAt())) {
		t.Errorf("came and ended while cut: %+v", e)
	}
	r.wait(t, "running", func() bool { return len(r.running) == 4 })
	got := r.of(missed.ID)
	if phases, caches := phasesOf(got), cachesOf(got); phases != "pull unpack" || caches != "miss miss" {
		t.Errorf("missed start: phases %q, layers %q", phases, caches)
	}
	if pull := r.waitEvent(t, missed.ID+"/phase/pull").Data.(faas.PhaseDone); pull.Start.Before(call.Start) || pull.End.After(call.End) {
		t.Errorf("pull %+v is not inside %v", pull, call)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	last := r.running[3]
	if last.ContainerID != missed.ID || !last.StartedAt.Equal(time.Unix(0, missed.Status(t).GetStartedAt())) {
		t.Errorf("missed start runs as %+v", last)
	}
	if diff := cmp.Diff(map[string]bool{ends.ID: true, removed.ID: true}, set(r.exited)); diff != "" {
		t.Errorf("exited (-want +got):\n%s", diff)
	}
}

func set(ids []string) map[string]bool {
	out := map[string]bool{}
	for _, id := range ids {
		out[id] = true
	}
	return out
}

func waitExited(t *testing.T, c *containerdtest.Container) {
	t.Helper()
	late := time.After(patience)
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		if c.Status(t).GetFinishedAt() != 0 {
			tick.Stop()
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatal("the container does not end")
		}
	}
}

// TestRestart: a watcher that comes after the start finds the process, and
// what it tells again has the same name, instance and time. What it cannot
// know any more, when the pull began, it does not tell.
func TestRestart(t *testing.T) {
	c := containerdtest.Start(t, containerdtest.Options{})
	ref := c.Push(t, "functions/resize", "v1", containerdtest.ProgramLayer(t, 1))
	ref2 := c.Push(t, "functions/other", "v1", containerdtest.ProgramLayer(t, 2))
	r := newRecord()
	stop := watch(t, c.Socket, r)
	r.waitIdle(t, c)
	pod := c.RunPod(t, containerdtest.PodConfig{Namespace: "shop", Name: "kubelets-order", Labels: wanted})
	c.Pull(t, ref)
	fn := pod.Create(t, containerdtest.ContainerConfig{Name: "fn", Image: ref, Args: []string{"serve", "0s", "0"}})
	fn.Start(t)
	c.Pull(t, ref2)
	other := runPod(t, c, "pulled-first", ref2, "serve", "0s", "0")
	r.waitEvent(t, fn.ID+"/phase/start")
	r.waitEvent(t, other.ID+"/phase/start")
	stop()

	again := newRecord()
	watch(t, c.Socket, again)
	again.wait(t, "the processes", func() bool { return len(again.running) == 2 })
	for i, after := range again.running {
		before := r.running[i]
		if d := after.StartedAt.Sub(before.StartedAt).Abs(); after.PID != before.PID || after.Ref != before.Ref || d > 100*time.Millisecond {
			t.Errorf("found %+v, which was %+v", after, before)
		}
	}
	if diff := cmp.Diff(r.waitEvent(t, fn.ID+"/demanded"), again.waitEvent(t, fn.ID+"/demanded")); diff != "" {
		t.Errorf("told again (-before +after):\n%s", diff)
	}
	fn.Stop(t)
	other.Stop(t)
	again.waitEvent(t, fn.ID+"/stopped")
	again.waitEvent(t, other.ID+"/stopped")
	if got := again.of(fn.ID); len(got) != 2 {
		t.Errorf("of kubelet's start %v was told again", got)
	}
	if got := again.of(other.ID); len(got) != 1 {
		t.Errorf("of the start with the pull first %v was told again", got)
	}
}

// waitIdle waits until the watcher sees what happens.
func (r *record) waitIdle(t *testing.T, c *containerdtest.Containerd) {
	t.Helper()
	ref := c.Push(t, "probe", "v1", containerdtest.ProgramLayer(t, 0))
	c.Pull(t, ref)
	probe := c.RunPod(t, containerdtest.PodConfig{Namespace: "probe", Name: "probe"}).Create(t, containerdtest.ContainerConfig{Name: "probe", Image: ref})
	r.wait(t, "a container", func() bool { _, ok := r.known[probe.ID]; return ok })
}

// TestDaemonRestart: containers live on while containerd restarts, and so do
// the watcher and its knowledge of them.
func TestDaemonRestart(t *testing.T) {
	c := containerdtest.Start(t, containerdtest.Options{})
	r := newRecord()
	watch(t, c.Socket, r)
	ref := c.Push(t, "functions/resize", "v1", containerdtest.ProgramLayer(t, 1))
	c.Pull(t, ref)
	fn := runPod(t, c, "fn", ref, "serve", "0s", "0")
	r.waitEvent(t, fn.ID+"/phase/start")
	c.Stop()
	c.Launch(t)
	second := runPod(t, c, "second", ref, "serve", "0s", "0")
	r.waitEvent(t, second.ID+"/demanded")
	r.wait(t, "the second process", func() bool { return len(r.running) == 2 })
	fn.Stop(t)
	r.waitEvent(t, fn.ID+"/stopped")
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.exited) != 1 || r.exited[0] != fn.ID {
		t.Errorf("exited %v, want %s", r.exited, fn.ID)
	}
}

// TestIdle: a watcher that has polled during a pull asks nothing more when
// nothing happens. (Polling, even the slow one, leaves no such silence.)
func TestIdle(t *testing.T) {
	c := containerdtest.Start(t, containerdtest.Options{})
	p := newProxy(t, c.Socket)
	r := newRecord()
	watch(t, p.socket, r)
	ref := c.Push(t, "functions/resize", "v1", containerdtest.ProgramLayer(t, 1))
	c.Pull(t, ref)
	fn := runPod(t, c, "fn", ref, "serve", "0s", "0")
	r.waitEvent(t, fn.ID+"/demanded")
	const silence = 3 * slowPoll / 2
	late := time.After(patience)
	for tick := time.NewTicker(silence); ; {
		before := p.bytes.Load()
		select {
		case <-tick.C:
			if p.bytes.Load() == before {
				tick.Stop()
				return
			}
		case <-late:
			t.Fatal("the watcher is never silent")
		}
	}
}
