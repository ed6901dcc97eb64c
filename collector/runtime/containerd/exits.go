package containerd

import (
	"sync"

	"github.com/containerd/containerd/api/events"

	"github.com/coldscope/coldscope/internal/workload"
)

// exits asks what containers have used, once each, when their processes have
// ended. A control group is removed within some ten milliseconds of that, so
// whoever hears of an exit first asks: the receiver of events does, ahead of
// the loop that handles them.
type exits struct {
	ask func(containerID string) workload.Usage

	mu      sync.Mutex
	running map[object]bool           // guarded by mu: nobody has asked yet
	used    map[object]workload.Usage // guarded by mu: answers nobody has taken yet
}

func newExits(ask func(string) workload.Usage) *exits {
	return &exits{ask: ask, running: map[object]bool{}, used: map[object]workload.Usage{}}
}

// started makes a container one that will be asked for.
func (x *exits) started(o object) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.running[o] = true
}

// received looks at an event, which may be an exit.
func (x *exits) received(e envelope) {
	if e.GetTopic() != "/tasks/exit" {
		return
	}
	var m events.TaskExit
	if !decode(e, &m) || m.GetID() != m.GetContainerID() {
		return
	}
	o := object{e.GetNamespace(), m.GetContainerID()}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.running[o] {
		delete(x.running, o)
		x.used[o] = x.ask(o.id)
	}
}

// take gives what the container has used, and forgets it.
func (x *exits) take(o object) workload.Usage {
	x.mu.Lock()
	defer x.mu.Unlock()
	used, ok := x.used[o]
	if !ok && x.running[o] {
		used = x.ask(o.id)
	}
	delete(x.used, o)
	delete(x.running, o)
	return used
}
