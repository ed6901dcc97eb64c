package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// criPoll is how often CRI is asked for its containers.
const criPoll = time.Second

// CRIWatcher watches a runtime that has nothing but CRI, such as CRI-O. CRI
// tells less than containerd does: no pulls and no layers, and it is asked
// once a second, so that a container that is removed within a second of its
// creation is never seen. Times are the runtime's all the same. The create
// phase goes from a container's creation to its start; start is a part of it.
type CRIWatcher struct {
	opts Options
}

// NewCRI checks opts, of which Namespaces is not used and Socket is required.
// Nothing starts before Run.
func NewCRI(opts Options) (*CRIWatcher, error) {
	err := opts.complete()
	if err == nil && opts.Socket == "" {
		err = errors.New("no Socket")
	}
	if err != nil {
		return nil, fmt.Errorf("watch CRI: %w", err)
	}
	return &CRIWatcher{opts: opts}, nil
}

// Run watches until ctx ends, and then returns nil. A runtime that is not
// there, or goes away, is looked for again for as long as that takes.
func (w *CRIWatcher) Run(ctx context.Context) error {
	run(ctx, &w.opts, w.session)
	return nil
}

// criSession is one connection's use of the state.
type criSession struct {
	*client
	state *state
	opts  *Options
	seen  map[string]bool // containers that were introduced, wanted or not
}

func (w *CRIWatcher) session(ctx context.Context, state *state) (connected bool, err error) {
	c, err := dial(w.opts.Socket)
	if err != nil {
		return false, err
	}
	defer c.close()
	s := &criSession{client: c, state: state, opts: &w.opts, seen: map[string]bool{}}
	if err := s.list(ctx); err != nil {
		return false, fmt.Errorf("list containers: %w", err)
	}
	w.opts.Logger.Info("watching the container runtime", "socket", w.opts.Socket)
	tick := time.NewTicker(criPoll)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := s.list(ctx); err != nil {
				return true, fmt.Errorf("list containers: %w", err)
			}
		case <-ctx.Done():
			return true, ctx.Err()
		}
	}
}

func (s *criSession) list(ctx context.Context) error {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := s.cri.ListContainers(call, &cri.ListContainersRequest{})
	if err != nil {
		return err
	}
	there := map[object]bool{}
	sandboxes := map[string]bool{}
	for _, c := range r.GetContainers() {
		o := object{id: c.GetId()}
		there[o], sandboxes[c.GetPodSandboxId()] = true, true
		if !s.seen[c.GetId()] {
			s.seen[c.GetId()] = true
			if s.state.instances[o] == nil {
				if err := s.introduce(ctx, c); err != nil {
					return err
				}
			}
		}
		if i := s.state.instances[o]; i != nil && !i.stopped {
			if err := s.follow(ctx, i, c.GetState()); err != nil {
				return err
			}
		}
	}
	for o := range s.state.instances {
		if !there[o] {
			s.state.removed(ctx, o, time.Now())
		}
	}
	for o := range s.state.sandboxes {
		if !sandboxes[o.id] {
			delete(s.state.sandboxes, o)
		}
	}
	for id := range s.seen {
		if !there[object{id: id}] {
			delete(s.seen, id)
		}
	}
	return nil
}

// introduce takes in a container that is new to the watcher.
func (s *criSession) introduce(ctx context.Context, c *cri.Container) error {
	o := object{id: c.GetPodSandboxId()}
	box := s.state.sandboxes[o]
	if box == nil {
		status, err := s.criSandbox(ctx, o.id)
		if err != nil {
			return err
		}
		box = sandboxFrom(status)
		s.state.sandboxes[o] = box
	}
	status, err := s.criStatus(ctx, c.GetId())
	if status == nil || err != nil {
		return err
	}
	d := described{
		container: workload.Container{
			ID: c.GetId(), Name: status.GetMetadata().GetName(), Image: imageAsked(status.GetImage()), Digest: digestOf(status.GetImageRef()),
			Labels: status.GetLabels(), Annotations: status.GetAnnotations(), Pod: box.pod,
			MemoryLimit: max(0, status.GetResources().GetLinux().GetMemoryLimitInBytes()),
		},
		created: nanoseconds(status.GetCreatedAt()), cri: true,
	}
	d.imageName = d.container.Image
	if pod, labels := &d.container.Pod, status.GetLabels(); pod.Name == "" { // its sandbox is gone
		pod.Namespace, pod.Name, pod.UID = labels[podNamespaceLabel], labels[podNameLabel], labels[podUIDLabel]
	}
	s.opts.Known(&d.container)
	ref, ok := s.opts.Whose(&d.container)
	if !ok {
		return nil
	}
	if ref.Instance == "" {
		ref.Instance = c.GetId()
	}
	i := &instance{described: d, ref: ref}
	s.state.instances[object{id: c.GetId()}] = i
	r := reconstruction{demanded: d.created}
	if status.GetMetadata().GetAttempt() == 0 {
		r.demanded = earliest(d.created, box.created)
	}
	s.state.demanded(ctx, i, nil, &r)
	return nil
}

// follow brings an instance to the state that its container is in.
func (s *criSession) follow(ctx context.Context, i *instance, is cri.ContainerState) error {
	ended := is == cri.ContainerState_CONTAINER_EXITED
	if !ended && (i.ran || is != cri.ContainerState_CONTAINER_RUNNING) {
		return nil
	}
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	r, err := s.cri.ContainerStatus(call, &cri.ContainerStatusRequest{ContainerId: i.container.ID, Verbose: !ended})
	if err != nil {
		if absent(err) {
			return nil // the next list says so
		}
		return err
	}
	status := r.GetStatus()
	at := nanoseconds(status.GetStartedAt())
	if !at.IsZero() && !i.timed && !at.Before(i.created) {
		i.timed = true
		s.state.out.put(ctx, []faas.Event{s.state.phase(i, faas.PhaseDone{Name: faas.PhaseCreate, Start: i.created, End: at})})
	}
	if status.GetState() == cri.ContainerState_CONTAINER_EXITED {
		i.oom = i.oom || status.GetReason() == "OOMKilled"
		s.state.ended(ctx, i, nanoseconds(status.GetFinishedAt()), int(status.GetExitCode()), !at.IsZero())
		return nil
	}
	if pid := pidOf(r.GetInfo()); pid > 0 && !at.IsZero() {
		s.state.started(ctx, i, at, pid, false)
	}
	return nil
}

// pidOf reads a container's process from a verbose status: containerd and
// CRI-O both give {"pid":…} as JSON under "info". 0 if it is not told.
func pidOf(info map[string]string) int {
	var v struct {
		PID int `json:"pid"`
	}
	if json.Unmarshal([]byte(info["info"]), &v) != nil {
		return 0
	}
	return v.PID
}

// imageAsked is an image as the user named it.
func imageAsked(spec *cri.ImageSpec) string {
	if asked := spec.GetUserSpecifiedImage(); asked != "" {
		return asked
	}
	return spec.GetImage()
}

// digestOf is the manifest's digest in an image reference NAME@DIGEST; empty
// if there is none. A bare digest is the configuration's.
func digestOf(ref string) string {
	_, digest, _ := strings.Cut(ref, "@")
	return digest
}
