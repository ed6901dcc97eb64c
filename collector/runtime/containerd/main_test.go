package containerd

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long tests wait for what must come.
const patience = 60 * time.Second

// record is what a watcher has told.
type record struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced on every change
	events  []faas.Event
	running []workload.Process
	exited  []string
	known   map[string]workload.Container
	groups  map[string]string // control group of a container's process
}

func newRecord() *record {
	return &record{changed: make(chan struct{}), known: map[string]workload.Container{}, groups: map[string]string{}}
}

func (r *record) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

// wait waits until ok, which is called with the record locked.
func (r *record) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	late := time.After(patience)
	for {
		r.mu.Lock()
		done, changed := ok(), r.changed
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-late:
			r.mu.Lock()
			defer r.mu.Unlock()
			var ids []string
			for _, e := range r.events {
				ids = append(ids, e.ID)
			}
			t.Fatalf("%s did not come; %d run, events are\n%s", what, len(r.running), strings.Join(ids, "\n"))
		}
	}
}

// waitEvent waits for an event and returns it.
func (r *record) waitEvent(t *testing.T, id string) faas.Event {
	t.Helper()
	var found faas.Event
	r.wait(t, "event "+id, func() bool {
		for _, e := range r.events {
			if e.ID == id {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

func (r *record) of(containerID string) []faas.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []faas.Event
	for _, e := range r.events {
		if strings.HasPrefix(e.ID, containerID+"/") {
			out = append(out, e)
		}
	}
	return out
}

// watch runs a watcher that wants the pods with a label "function". stop ends
// it; the test's end does too.
func watch(t *testing.T, socket string, r *record) (stop func()) {
	t.Helper()
	w, err := New(options(t, socket, r))
	if err != nil {
		t.Fatal(err)
	}
	return start(t, w.Run)
}

func options(t *testing.T, socket string, r *record) Options {
	return Options{
		Host: "host-1", Source: "host-1", Socket: socket,
		Whose: func(c *workload.Container) (faas.Ref, bool) {
			name := c.Pod.Labels["function"]
			return faas.Ref{Namespace: c.Pod.Namespace, Function: name}, name != ""
		},
		Emit: func(_ context.Context, events ...faas.Event) error {
			for i := range events {
				if err := events[i].Validate(); err != nil {
					t.Errorf("event %s: %v", events[i].ID, err)
				}
			}
			r.change(func() { r.events = append(r.events, events...) })
			return nil
		},
		Running: func(p workload.Process) {
			group := memoryGroup(p.PID)
			r.change(func() {
				r.running = append(r.running, p)
				r.groups[p.ContainerID] = group
			})
		},
		Exited: func(id string) workload.Usage {
			var u workload.Usage
			r.change(func() {
				r.exited = append(r.exited, id)
				u.MemoryPeak = number(filepath.Join(r.groups[id], "memory.max_usage_in_bytes"))
				// containerd's own word of it may come after that of the exit.
				control, _ := os.ReadFile(filepath.Join(r.groups[id], "memory.oom_control"))
				if _, kills, ok := strings.Cut(string(control), "oom_kill "); ok && !strings.HasPrefix(kills, "0") {
					u.OOMKills = 1
				}
			})
			return u
		},
		Known:  func(c *workload.Container) { r.change(func() { r.known[c.ID] = *c }) },
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func start(t *testing.T, run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// memoryGroup is the memory control group (v1) of a process.
func memoryGroup(pid int) string {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(raw)) {
		if _, path, ok := strings.Cut(strings.TrimSpace(line), ":memory:"); ok {
			return "/sys/fs/cgroup/memory" + path
		}
	}
	return ""
}

func number(name string) int64 {
	raw, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(raw)), 10, 64)
	return n
}
