package containerd

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/api/events"
	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	eventsapi "github.com/containerd/containerd/api/services/events/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/task"
	"google.golang.org/protobuf/proto"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// relistAfter is when the list is read once more: containerd does not say
// when a subscription stands, so the first list may have been read before.
const relistAfter = time.Second

type envelope = *types.Envelope

// session is one connection's use of the state.
type session struct {
	*client
	state    *state
	opts     *Options
	since    time.Time // what was created before may have been missed
	poll     poller
	complete bool // one list has been read
	again    bool // one more is wanted
	// listedLeases are those of the namespace that is being listed, nil at other times.
	listedLeases map[string]time.Time
	// arrived has the images of the first list, by their manifests.
	arrived map[object]startFacts
}

// incomingSize is how many events may wait while the loop asks containerd for
// something, so that the exits among them are looked at without delay.
const incomingSize = 4096

// receive looks at the stream's events and hands them over, until it breaks.
func receive(ctx context.Context, stream eventsapi.Events_SubscribeClient, look func(envelope), to chan<- envelope) error {
	for {
		e, err := stream.Recv()
		if err != nil {
			return err
		}
		look(e)
		select {
		case to <- e:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// loop handles events until the connection breaks or ctx ends.
func (s *session) loop(ctx context.Context, incoming <-chan envelope, broken <-chan error) error {
	relist := time.NewTimer(relistAfter)
	defer relist.Stop()
	defer s.poll.timer.Stop()
	for {
		var err error
		select {
		case e := <-incoming:
			err = s.handle(ctx, e)
		case <-s.poll.timer.C:
			err = s.pollAll(ctx)
		case <-relist.C:
			if err = s.list(ctx); s.again {
				relist.Reset(relistAfter)
			}
		case err = <-broken:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err != nil {
			return err
		}
	}
}

// decode reads an event, reporting false if it is none that is of use.
func decode(e envelope, into proto.Message) bool {
	return proto.Unmarshal(e.GetEvent().GetValue(), into) == nil
}

func (s *session) handle(ctx context.Context, e envelope) error {
	namespace, at := e.GetNamespace(), timeOf(e.GetTimestamp())
	switch e.GetTopic() {
	case "/containers/create":
		var m events.ContainerCreate
		if decode(e, &m) {
			return s.created(ctx, namespace, m.GetID())
		}
	case "/containers/delete":
		var m events.ContainerDelete
		if decode(e, &m) {
			s.state.removed(ctx, object{namespace, m.GetID()}, at)
		}
	case "/images/create", "/images/update":
		var m events.ImageCreate // an update has the same fields
		if decode(e, &m) {
			return s.named(ctx, namespace, m.GetName(), at)
		}
	case "/content/create":
		return s.pollSoon(ctx, namespace)
	case "/snapshot/prepare":
		var m events.SnapshotPrepare
		if !decode(e, &m) {
			break
		}
		if chainID, ok := layerOf(m.GetKey()); ok {
			s.state.pulls.prepared.put(object{namespace, chainID}, at)
			return s.pollSoon(ctx, namespace)
		}
	default:
		s.handleTask(ctx, e, namespace, at)
	}
	return nil
}

func (s *session) handleTask(ctx context.Context, e envelope, namespace string, at time.Time) {
	instance := func(id string) *instance { return s.state.instances[object{namespace, id}] }
	switch e.GetTopic() {
	case "/tasks/create":
		var m events.TaskCreate
		if decode(e, &m) {
			if i := instance(m.GetContainerID()); i != nil {
				i.taskCreated = at
			}
		}
	case "/tasks/start":
		var m events.TaskStart
		if decode(e, &m) {
			if i := instance(m.GetContainerID()); i != nil {
				s.state.started(ctx, i, at, int(m.GetPid()), true)
			}
		}
	case "/tasks/oom":
		var m events.TaskOOM
		if decode(e, &m) {
			if i := instance(m.GetContainerID()); i != nil {
				i.oom = true
			}
		}
	case "/tasks/exit":
		var m events.TaskExit
		if !decode(e, &m) || m.GetID() != m.GetContainerID() { // a process that was started inside
			break
		}
		if exited := timeOf(m.GetExitedAt()); !exited.IsZero() {
			at = exited
		}
		if i := instance(m.GetContainerID()); i != nil {
			s.state.exited(ctx, i, at, int(m.GetExitStatus()))
		}
	}
}

func (s *session) created(ctx context.Context, namespace, id string) error {
	if s.state.instances[object{namespace, id}] != nil {
		return nil // from the list
	}
	c, err := s.container(ctx, namespace, id)
	if c == nil || err != nil {
		return err
	}
	return s.introduce(ctx, namespace, c, true)
}

// introduce takes in a container that is new to the watcher. With its history
// its pull is told too.
func (s *session) introduce(ctx context.Context, namespace string, c *containersapi.Container, history bool) error {
	if c.GetLabels()[kindLabel] == kindSandbox {
		_, err := s.keepSandbox(ctx, namespace, c)
		return err
	}
	d, err := describe(ctx, namespace, c, func(ctx context.Context, id string) (*sandbox, error) {
		return s.sandbox(ctx, namespace, id)
	})
	if err != nil {
		return err
	}
	target, err := s.target(ctx, namespace, d.imageName)
	if err != nil {
		return err
	}
	d.container.Digest = target.GetDigest()
	s.opts.Known(&d.container)
	// The container takes its pull, wanted or not.
	facts := startFacts{created: d.created, sandboxed: d.sandboxed, lazy: lazy(d.snapshotter)}
	facts.pull, facts.missed = s.state.pulls.claim(namespace, target.GetDigest(), d.created)
	facts.missed = facts.missed && d.created.Before(s.since.Add(claimWindow))
	ref, ok := s.opts.Whose(&d.container)
	if !ok {
		return nil
	}
	if ref.Instance == "" {
		ref.Instance = d.container.ID
	}
	if err := s.demand(ctx, &instance{described: *d, ref: ref}, target, &facts, history); err != nil {
		if facts.pull != nil {
			facts.pull.claimed = false // the container will be met again, by the list
		}
		return err
	}
	return nil
}

// demand completes the facts of a wanted container's start, and tells them.
func (s *session) demand(ctx context.Context, i *instance, target *types.Descriptor, facts *startFacts, history bool) error {
	img, err := s.imageOf(ctx, i.namespace, target)
	if err != nil {
		return err
	}
	if img != nil {
		if err := s.gather(ctx, i, img, facts); err != nil {
			return err
		}
	}
	r := reconstruct(facts)
	if facts.missed && !r.from.IsZero() {
		s.state.pulls.missed(i.namespace, target.GetDigest(), i.created)
	}
	s.state.instances[i.object()] = i
	if !history {
		// The watcher's predecessor may have told of the container, and may have
		// seen more of its pull. What cannot be told the same again is not told.
		if !r.from.IsZero() && r.from.Before(earliest(i.created, i.sandboxed)) {
			return nil
		}
		r.phases, r.layers = nil, nil
	}
	s.state.demanded(ctx, i, img, &r)
	return nil
}

// sandbox finds a container's sandbox: among those seen, in containerd, or,
// where a sandbox is no container, through CRI. nil if it is not there.
func (s *session) sandbox(ctx context.Context, namespace, id string) (*sandbox, error) {
	if id == "" {
		return nil, nil
	}
	if box := s.state.sandboxes[object{namespace, id}]; box != nil {
		return box, nil
	}
	c, err := s.container(ctx, namespace, id)
	if err != nil {
		return nil, err
	}
	if c != nil && c.GetLabels()[kindLabel] == kindSandbox {
		return s.keepSandbox(ctx, namespace, c)
	}
	status, err := s.criSandbox(ctx, id)
	if status == nil || err != nil {
		return nil, err
	}
	return sandboxFrom(status), nil
}

// keepSandbox takes in a sandbox that is a container. CRI of containerd 2.x
// begins with a lease of its name, long before there is a container.
func (s *session) keepSandbox(ctx context.Context, namespace string, c *containersapi.Container) (*sandbox, error) {
	leases := s.listedLeases
	if leases == nil {
		var err error
		if leases, err = s.leaseTimes(ctx, namespace, c.GetID()); err != nil {
			return nil, err
		}
	}
	box := sandboxOf(c)
	box.created = earliest(box.created, leases[c.GetID()])
	s.state.sandboxes[object{namespace, c.GetID()}] = box
	return box, nil
}

// sandboxFrom reads CRI's answer, which may be nil.
func sandboxFrom(status *cri.PodSandboxStatus) *sandbox {
	m := status.GetMetadata()
	return &sandbox{created: nanoseconds(status.GetCreatedAt()), pod: workload.Pod{
		Namespace: m.GetNamespace(), Name: m.GetName(), UID: m.GetUid(),
		Labels: status.GetLabels(), Annotations: status.GetAnnotations(),
	}}
}

func (s *session) imageOf(ctx context.Context, namespace string, target *types.Descriptor) (*image, error) {
	if target == nil {
		return nil, nil
	}
	o := object{namespace, target.GetDigest()}
	if img, ok := s.state.images.get(o); ok {
		return img, nil
	}
	img, err := s.image(ctx, namespace, target)
	if img != nil {
		s.state.images.put(o, img)
	}
	return img, err
}

// gather reads from the stores what became of the image's layers, if there
// was a pull to tell.
func (s *session) gather(ctx context.Context, i *instance, img *image, facts *startFacts) (err error) {
	asking := facts.missed || (facts.pull != nil && !facts.pull.begin.IsZero())
	if o := (object{i.namespace, img.manifest}); asking && !s.state.listed {
		// Thousands of containers may have a few images between them.
		if known, ok := s.arrived[o]; ok {
			facts.manifest, facts.layers = known.manifest, known.layers
			return nil
		}
		defer func() { s.arrived[o] = *facts }()
	}
	if asking {
		if facts.manifest, err = s.stored(ctx, i.namespace, img.manifest); err != nil {
			return err
		}
	}
	for _, l := range img.layers {
		f := layerFacts{digest: l.digest, bytes: l.bytes}
		if seen, ok := s.state.pulls.downloads.get(object{i.namespace, l.digest}); ok {
			f.ingested, f.gone = seen.started, seen.gone
		}
		if asking || facts.lazy {
			if f.stored, err = s.stored(ctx, i.namespace, l.digest); err != nil {
				return err
			}
		}
		if asking && l.chainID != "" {
			f.prepared, _ = s.state.pulls.prepared.get(object{i.namespace, l.chainID})
			if f.unpacked, err = s.unpacked(ctx, i.namespace, i.snapshotter, l.chainID); err != nil {
				return err
			}
		}
		facts.layers = append(facts.layers, f)
	}
	return nil
}

// list takes in what is there: after a connection, what was missed.
func (s *session) list(ctx context.Context) error {
	if s.since.IsZero() {
		s.since = time.Now()
	}
	if !s.state.listed {
		s.arrived = map[object]startFacts{}
	}
	names := s.opts.Namespaces
	if len(names) == 0 {
		var err error
		if names, err = s.namespaceNames(ctx); err != nil {
			return err
		}
	}
	s.again = false
	there := map[object]bool{}
	for _, namespace := range names {
		if err := s.pollOnce(ctx, namespace); err != nil {
			return fmt.Errorf("namespace %s: %w", namespace, err)
		}
		if err := s.listNamespace(ctx, namespace, there); err != nil {
			return fmt.Errorf("namespace %s: %w", namespace, err)
		}
	}
	for o, i := range s.state.instances {
		if !there[o] && s.sure(i) {
			s.state.removed(ctx, o, time.Now())
		}
	}
	for o := range s.state.sandboxes {
		if !there[o] {
			delete(s.state.sandboxes, o)
		}
	}
	s.state.listed, s.complete = true, true
	s.arrived = nil
	return nil
}

func (s *session) listNamespace(ctx context.Context, namespace string, there map[object]bool) error {
	containers, err := s.containerList(ctx, namespace)
	if err != nil {
		return err
	}
	tasks, err := s.taskList(ctx, namespace)
	if err != nil {
		return err
	}
	if s.listedLeases, err = s.leaseTimes(ctx, namespace, ""); err != nil {
		return err
	}
	defer func() { s.listedLeases = nil }()
	for _, c := range containers {
		o := object{namespace, c.GetID()}
		there[o] = true
		if s.state.instances[o] == nil && s.state.sandboxes[o] == nil {
			// At the watcher's start its own predecessor may have told more of
			// the container's pull than the stores still know: it is left at that.
			if err := s.introduce(ctx, namespace, c, s.state.listed); err != nil {
				return err
			}
		}
		i, t := s.state.instances[o], tasks[c.GetID()]
		if i == nil || i.stopped || !s.behind(i, t) {
			continue
		}
		if err := s.catchUp(ctx, i, t); err != nil {
			return err
		}
	}
	return nil
}

// behind reports whether the list knows more of an instance than was told. A
// connection's later lists overtake events that are about to come, which say
// more than a list does: then it is so only if the next list says the same.
func (s *session) behind(i *instance, t *task.Process) bool {
	switch t.GetStatus() {
	case task.Status_RUNNING, task.Status_PAUSED, task.Status_PAUSING:
		if i.ran {
			return false
		}
	case task.Status_CREATED: // it will start, or be removed
		return false
	case task.Status_STOPPED:
	case task.Status_UNKNOWN:
		if !i.ran && s.complete {
			return false
		}
	}
	return s.sure(i)
}

// sure reports whether what a list says of an instance counts.
func (s *session) sure(i *instance) bool {
	if !s.complete || i.doubted {
		return true
	}
	i.doubted, s.again = true, true
	return false
}

// catchUp brings an instance to what its task says now; t is nil if it has
// none, yet or any more.
func (s *session) catchUp(ctx context.Context, i *instance, t *task.Process) error {
	var c *cri.ContainerStatus
	if i.cri {
		var err error
		if c, err = s.criStatus(ctx, i.container.ID); err != nil {
			return err
		}
	}
	switch t.GetStatus() {
	case task.Status_RUNNING, task.Status_PAUSED, task.Status_PAUSING:
		at := nanoseconds(c.GetStartedAt())
		if at.IsZero() {
			at = processStart(int(t.GetPid()), time.Now(), i.created)
		}
		s.state.started(ctx, i, at, int(t.GetPid()), false)
	case task.Status_STOPPED:
		i.oom = i.oom || c.GetReason() == "OOMKilled"
		s.state.ended(ctx, i, timeOf(t.GetExitedAt()), int(t.GetExitStatus()), c.GetStartedAt() != 0)
	case task.Status_UNKNOWN:
		if c.GetState() == cri.ContainerState_CONTAINER_EXITED {
			i.oom = i.oom || c.GetReason() == "OOMKilled"
			s.state.ended(ctx, i, nanoseconds(c.GetFinishedAt()), int(c.GetExitCode()), c.GetStartedAt() != 0)
		} else if i.ran && c == nil {
			s.state.stop(ctx, i, time.Now(), faas.Stopped{Reason: reasonUnseen})
		}
	case task.Status_CREATED:
	}
	return nil
}

// nanoseconds is a time of CRI's, zero if it is not told.
func nanoseconds(n int64) time.Time {
	if n <= 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}
