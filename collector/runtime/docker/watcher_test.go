package docker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apicontainer "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// withoutLayers leaves the facts whose order says something.
func withoutLayers(facts []string) []string {
	return slices.DeleteFunc(facts, func(f string) bool { return strings.HasPrefix(f, "layer/") })
}

func TestLife(t *testing.T) {
	d := newDaemon(t)
	ref := d.push("life", d.app)
	d.pull(ref) // before there is a watcher: nobody saw it
	r := watch(t, nil).ready()

	code := func(n int) *int { return &n }
	for _, c := range []struct {
		name string
		run  runOptions
		stop bool
		want faas.Stopped
	}{
		{"ends well", runOptions{args: []string{"exit", "0"}}, false, faas.Stopped{Reason: "exited", ExitCode: code(0)}},
		{"hides its exit code", runOptions{args: []string{"exit", "8"}, labels: map[string]string{labelFunction: "f", "exitCode": "0"}}, false, faas.Stopped{Reason: "error", ExitCode: code(8)}},
		{"crashes", runOptions{args: []string{"exit", "3"}}, false, faas.Stopped{Reason: "error", ExitCode: code(3)}},
		{"runs out of memory", runOptions{args: []string{"eat"}, memory: 32 << 20}, false, faas.Stopped{Reason: "oom", ExitCode: code(137), OOM: true}},
		{"is stopped", runOptions{args: []string{"wait"}}, true, faas.Stopped{Reason: "shutdown", ExitCode: code(0)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.run.ref = ref
			id := d.run(c.run)
			if c.stop {
				r.await(id, "start")
				d.stop(id)
			}
			stopped := r.await(id, "stopped")
			want := c.want
			want.MemoryPeak, want.CPUTime = 4242, 1
			if diff := cmp.Diff(want, stopped.Data); diff != "" {
				t.Errorf("stopped (-want +got):\n%s", diff)
			}
			facts := withoutLayers(r.facts(id))
			facts = slices.DeleteFunc(facts, func(f string) bool { return f == "Running()" }) // may have ended before it was looked at
			if diff := cmp.Diff([]string{"demanded", "create", "start", "Exited()", "stopped"}, facts); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
			info, err := d.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{})
			if err != nil {
				t.Fatal(err)
			}
			ended := later(stamp(info.Container.State.FinishedAt), stamp(info.Container.State.StartedAt))
			t.Logf("stopped %s after FinishedAt", stopped.Time.Sub(ended))
			if start := phaseOf(t, r.of(id), faas.PhaseStart); !start.End.Equal(stamp(info.Container.State.StartedAt)) {
				t.Errorf("start ends at %s, the daemon says %s", start.End, info.Container.State.StartedAt)
			}
			if demanded := r.await(id, "demanded"); !demanded.Time.Equal(stamp(info.Container.Created)) {
				t.Errorf("demanded at %s, the daemon says %s", demanded.Time, info.Container.Created)
			}
		})
	}
}

func TestRunning(t *testing.T) {
	d := newDaemon(t)
	ref := d.push("running", d.app)
	d.pull(ref)
	before := d.run(runOptions{ref: ref, args: []string{"wait"}})
	r := watch(t, nil).ready()
	after := d.run(runOptions{ref: ref, args: []string{"wait"}})
	stranger := d.run(runOptions{ref: ref, args: []string{"wait"}, labels: map[string]string{"image": "of a cat", "whose": "nobody's"}})
	for _, id := range []string{before, after} {
		r.await(id, "demanded")
		info, err := d.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		r.mu.Lock()
		got := r.running[id]
		r.mu.Unlock()
		if len(got) != 1 || got[0].PID != info.Container.State.Pid || !got[0].StartedAt.Equal(stamp(info.Container.State.StartedAt)) || got[0].Instance != id {
			t.Errorf("running: %+v, want process %d, once", got, info.Container.State.Pid)
		}
	}
	eventually(t, "the stranger to be known", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.known[stranger]) > 0
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range []string{before, after, stranger} {
		if k := r.known[id]; len(k) != 1 || k[0].Labels[labelTest] != t.Name() || k[0].Image == "" || k[0].Name == "" {
			t.Errorf("known of %s: %+v, want its labels, once", id, k)
		}
	}
	if len(r.running[stranger]) > 0 || len(r.order[stranger]) > 0 {
		t.Errorf("the stranger's facts: %v", r.order[stranger])
	}
}

func TestStartFails(t *testing.T) {
	d := newDaemon(t)
	ref := d.push("startfails", d.app)
	d.pull(ref)
	r := watch(t, nil).ready()
	for _, auto := range []bool{false, true} {
		id := d.create(runOptions{ref: ref, entry: []string{"/nothing"}, auto: auto})
		if _, err := d.ContainerStart(t.Context(), id, client.ContainerStartOptions{}); err == nil {
			t.Fatal("a program that is not there was started")
		}
		stopped := r.await(id, "stopped").Data.(faas.Stopped)
		start := phaseOf(t, r.of(id), faas.PhaseStart)
		if stopped.Reason != "start-failed" || start.Error == "" {
			t.Errorf("stopped: %+v, start: %+v", stopped, start)
		}
		if !auto && (!strings.Contains(start.Error, "/nothing") || stopped.ExitCode == nil || *stopped.ExitCode != 127) {
			t.Errorf("stopped: %+v, start: %+v, want the daemon's reason", stopped, start)
		}
		if diff := cmp.Diff([]string{"demanded", "create", "start", "stopped"}, withoutLayers(r.facts(id))); diff != "" {
			t.Errorf("facts (-want +got):\n%s", diff)
		}
	}
}

// TestRestarts has a container that is started three times: one start of its
// instance, and three ends.
func TestRestarts(t *testing.T) {
	d := newDaemon(t)
	ref := d.push("restarts", d.app)
	d.pull(ref)
	r := watch(t, nil).ready()
	id := d.run(runOptions{ref: ref, args: []string{"exit", "7"}, policy: apicontainer.RestartPolicy{Name: "on-failure", MaximumRetryCount: 2}})
	stops := func() (n int) {
		for _, f := range r.facts(id) {
			if f == "stopped" || strings.HasPrefix(f, "stopped/") {
				n++
			}
		}
		return n
	}
	eventually(t, "three ends", func() bool { return stops() >= 3 })
	all := ids(r.of(id))
	slices.Sort(all)
	if len(slices.Compact(slices.Clone(all))) != len(all) {
		t.Errorf("an event was sent twice: %v", all)
	}
	if n := len(slices.DeleteFunc(r.facts(id), func(f string) bool { return f != "demanded" })); n != 1 || stops() != 3 {
		t.Errorf("%d starts and %d ends, want 1 and 3: %v", n, stops(), r.facts(id))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.exited[id] != 1 {
		t.Errorf("Exited was called %d times", r.exited[id])
	}
}

// TestShortLived has containers that are gone before anybody can ask for them.
func TestShortLived(t *testing.T) {
	d := newDaemon(t)
	ref := d.push("shortlived", d.app)
	d.pull(ref)
	r := watch(t, nil).ready()
	const n = 50
	var all []string
	for range n {
		all = append(all, d.run(runOptions{ref: ref, args: []string{"exit", "0"}, auto: true}))
	}
	phases := 0
	for _, id := range all {
		r.await(id, "stopped")
		for _, fact := range []string{"demanded", "start"} {
			if !r.has(id, fact) {
				t.Errorf("container %s: no %s in %v", id, fact, r.facts(id))
			}
		}
		if r.has(id, "create") {
			phases++
		}
	}
	t.Logf("%d of %d were asked for before they were gone", phases, n)
	if p := r.Position(); p.IsZero() {
		t.Error("no position")
	}
}

// TestRestartedWatcher begins where the one before it was.
func TestRestartedWatcher(t *testing.T) {
	d := newDaemon(t)
	ref := d.push("restarted", d.app)
	d.pull(ref)
	first := watch(t, nil).ready()
	lives := d.run(runOptions{ref: ref, args: []string{"wait"}})
	dies := d.run(runOptions{ref: ref, args: []string{"wait"}})
	over := d.run(runOptions{ref: ref, args: []string{"exit", "0"}})
	first.await(lives, "start")
	first.await(dies, "start")
	first.await(over, "stopped")
	// A later event, so that what is above lies well before the position.
	timer := time.NewTimer(2 * slack)
	<-timer.C
	marker := d.run(runOptions{ref: ref, args: []string{"wait"}})
	first.await(marker, "start")
	var since time.Time
	eventually(t, "the position to pass the marker's start", func() bool {
		since = first.Position()
		return !since.Before(first.await(marker, "start").Time)
	})
	first.stopOnce()

	d.stop(dies)
	missed := d.run(runOptions{ref: ref, args: []string{"exit", "5"}})
	gone := d.run(runOptions{ref: ref, args: []string{"exit", "6"}, auto: true})
	eventually(t, "the container to be removed", func() bool {
		_, err := d.ContainerInspect(t.Context(), gone, client.ContainerInspectOptions{})
		return err != nil
	})

	second := watch(t, func(o *Options) { o.Since = since }).ready()
	second.await(dies, "stopped")
	for _, id := range []string{missed, gone} { // the daemon still remembers
		second.await(id, "demanded")
		second.await(id, "stopped")
	}
	eventually(t, "the process that lives to be found", func() bool { return second.has(lives, "Running()") })
	d.remove(over)
	eventually(t, "its removal to be seen", func() bool {
		at := time.Now()
		last := d.run(runOptions{ref: ref, args: []string{"exit", "0"}, auto: true})
		second.await(last, "stopped")
		return second.Position().After(at)
	})
	if facts := second.facts(over); len(facts) > 1 || len(facts) == 1 && facts[0] != "Exited()" {
		t.Errorf("what was over is told again: %v", facts)
	}
	if second.has(lives, "demanded") || second.has(dies, "demanded") {
		t.Error("a start that was reported is told again")
	}
}

// TestConnectionCut loses the connection while containers come and go, more of
// them than the daemon remembers events of.
func TestConnectionCut(t *testing.T) {
	d := newDaemon(t)
	ref := d.push("cut", d.app)
	d.pull(ref)
	p := newProxy(t)
	r := watch(t, func(o *Options) { o.Socket = "unix://" + p.path }).ready()
	stays := d.run(runOptions{ref: ref, args: []string{"wait"}})
	dies := d.run(runOptions{ref: ref, args: []string{"wait"}})
	vanishes := d.run(runOptions{ref: ref, args: []string{"wait"}})
	for _, id := range []string{stays, dies, vanishes} {
		r.await(id, "start")
	}
	p.cut(true)
	d.stop(dies)
	d.remove(vanishes)
	came := d.run(runOptions{ref: ref, args: []string{"wait"}})
	ended := d.run(runOptions{ref: ref, args: []string{"exit", "4"}})
	half := d.run(runOptions{ref: ref, args: []string{"wait"}})
	// Push all of that out of the daemon's memory of 256 events.
	churn := d.create(runOptions{ref: ref, args: []string{"wait"}, labels: map[string]string{}})
	for n := range 300 {
		name := "coldscope-churn-" + string(rune('a'+n%2)) + churn[:12]
		if _, err := d.ContainerRename(t.Context(), churn, client.ContainerRenameOptions{NewName: name}); err != nil {
			t.Fatal(err)
		}
	}
	d.stop(half) // this is remembered, how it began is not
	p.cut(false)
	r.await(dies, "stopped")
	r.await(half, "demanded")
	if got := r.await(half, "stopped").Data.(faas.Stopped); got.Reason != "shutdown" || got.ExitCode == nil || *got.ExitCode != 0 {
		t.Errorf("stopped: %+v, want a shutdown", got)
	}
	r.await(came, "demanded")
	r.await(ended, "demanded")
	if got := r.await(ended, "stopped").Data.(faas.Stopped); got.ExitCode == nil || *got.ExitCode != 4 {
		t.Errorf("stopped: %+v, want code 4", got)
	}
	if got := r.await(vanishes, "stopped").Data.(faas.Stopped); got.Reason != "removed" || got.ExitCode != nil {
		t.Errorf("stopped: %+v, want a removed one", got)
	}
	if r.has(stays, "stopped") {
		t.Error("a running container was given up")
	}
	var events []string
	for _, id := range []string{stays, dies, vanishes, came, ended, half} {
		events = append(events, ids(r.of(id))...)
	}
	slices.Sort(events)
	if n := len(slices.Compact(slices.Clone(events))); n != len(events) {
		t.Errorf("%d events were sent twice", len(events)-n)
	}
	p.cut(true) // again, with nothing lost
	late := d.run(runOptions{ref: ref, args: []string{"exit", "0"}, auto: true})
	p.cut(false)
	r.await(late, "stopped")
	if !r.has(late, "demanded") {
		t.Errorf("facts of a container that came and went: %v", r.facts(late))
	}
}

// proxy is a socket before the daemon's that can be cut.
type proxy struct {
	path string

	mu    sync.Mutex
	down  bool
	conns map[net.Conn]struct{}

	requests []string
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	p := &proxy{path: filepath.Join(t.TempDir(), "s"), conns: map[net.Conn]struct{}{}}
	l, err := net.Listen("unix", p.path)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			up, err := net.Dial("unix", strings.TrimPrefix(DefaultSocket, "unix://"))
			if err != nil || !p.add(c, up) {
				c.Close()
				if up != nil {
					up.Close()
				}
				continue
			}
			all.Go(func() { io.Copy(io.MultiWriter(up, p), c); p.drop(c, up) })
			all.Go(func() { io.Copy(c, up); p.drop(c, up) })
		}
	})
	t.Cleanup(func() { l.Close(); p.cut(true); all.Wait() })
	return p
}

func (p *proxy) add(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if !p.down {
			p.conns[c] = struct{}{}
		}
	}
	return !p.down
}

func (p *proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		c.Close()
		delete(p.conns, c)
	}
}

// Write counts the requests that go through: each of the client's is one write.
func (p *proxy) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line, _, _ := strings.Cut(string(b), "\r\n")
	p.requests = append(p.requests, line)
	return len(b), nil
}

// cut ends all connections and refuses new ones, or lets them through again.
func (p *proxy) cut(down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = down
	if down {
		for c := range p.conns {
			c.Close()
			delete(p.conns, c)
		}
	}
}

// TestNoDaemon waits for a daemon quietly, and ends when it is told to.
func TestNoDaemon(t *testing.T) {
	w, err := New(Options{
		Socket: "unix://" + filepath.Join(t.TempDir(), "nothing"),
		Whose:  nobody, Emit: func(context.Context, ...faas.Event) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := w.Run(ctx); err != nil {
		t.Error(err)
	}
}

func nobody(*workload.Container) (faas.Ref, bool) { return faas.Ref{}, false }

// TestCalls counts what starts cost the daemon.
func TestCalls(t *testing.T) {
	d := newDaemon(t)
	ref := d.push("calls", d.app)
	d.pull(ref)
	p := newProxy(t)
	r := watch(t, func(o *Options) { o.Socket = "unix://" + p.path }).ready()
	const n = 12
	var all []string
	var runs sync.WaitGroup
	for range n {
		all = append(all, d.create(runOptions{ref: ref, args: []string{"wait"}}))
	}
	for _, id := range all {
		runs.Go(func() {
			d.start(id)
			r.await(id, "start")
			d.stop(id)
			r.await(id, "stopped")
		})
	}
	runs.Wait()
	containers, images := map[string]int{}, 0
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.requests {
		if _, rest, ok := strings.Cut(line, "/containers/"); ok && !strings.HasPrefix(rest, "json") {
			id, _, _ := strings.Cut(rest, "/")
			containers[id]++
		}
		if strings.Contains(line, "/images/") {
			images++
		}
	}
	for _, id := range all {
		if containers[id] != 1 {
			t.Errorf("container %s was inspected %d times", id, containers[id])
		}
	}
	if images > shards {
		t.Errorf("the image was asked for %d times", images)
	}
}

// TestSlowDisk has events come while nothing can be made durable: what does not
// fit the queues is asked for again.
func TestSlowDisk(t *testing.T) {
	d := newDaemon(t)
	ref := d.push("slowdisk", d.app)
	d.pull(ref)
	free := make(chan struct{})
	var behind atomic.Bool
	r := watchWithQueues(t, 1, 0, func(o *Options) {
		emit := o.Emit
		o.Emit = func(ctx context.Context, events ...faas.Event) error {
			select {
			case <-free:
			case <-ctx.Done():
				return ctx.Err()
			}
			return emit(ctx, events...)
		}
		o.Logger = slog.New(slog.NewTextHandler(writerFunc(func(b []byte) (int, error) {
			if strings.Contains(string(b), errBehind.Error()) {
				behind.Store(true)
			}
			return t.Output().Write(b)
		}), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}).ready()
	const n = 24
	var all []string
	for range n {
		all = append(all, d.create(runOptions{ref: ref, args: []string{"exit", "2"}}))
	}
	for _, id := range all {
		d.start(id)
	}
	close(free)
	for _, id := range all {
		r.await(id, "stopped")
		r.await(id, "demanded")
	}
	if !behind.Load() {
		t.Error("the queues were never full")
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
