package kubernetes

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// node is what is known of the node's pods. It is for one goroutine: changes
// in, events out.
type node struct {
	opts    *Options
	pods    map[string]*podState // by kubelet's UID
	listed  map[string]struct{}  // told since listing began; nil: none is going on
	early   []earlyEvent
	dropped bool // an early event was, since there were too many
	out     []faas.Event
}

// earlyEvent is an event that came before its pod.
type earlyEvent struct {
	event *event
	at    time.Time
}

const (
	maxEarly    = 4096
	maxEarlyAge = 2 * time.Minute
	failureWait = 20 * time.Second // for the event that tells more than the pod's status
)

type podState struct {
	namespace, uid string
	created        time.Time
	deleted        bool   // it has been asked to end
	reason         string // Evicted and its like
	containers     map[string]*container
}

// container is one of a pod's, and the attempt that runs or starts: kubelet
// counts restarts.
type container struct {
	id     string // for events' IDs
	known  workload.Container
	ref    faas.Ref
	wanted bool
	init   bool // an init container: no start of its own

	attempt   int // restarts
	began     time.Time
	demanded  bool
	scheduled bool
	digest    string // that was told
	stopped   int    // the last attempt that is told to have stopped; -1: none

	pulling, pulled, created stamp
	cached                   bool
	failed                   bool // an event told a failure of this attempt
	waiting                  failure
	waitingSince             time.Time // zero: it does not wait
	waitingTold              bool
	killed                   string // why kubelet kills it
}

func newNode(opts *Options) *node {
	return &node{opts: opts, pods: map[string]*podState{}}
}

func (n *node) change(c change) {
	switch {
	case c.event != nil:
		n.event(c.event)
	case c.kind == listing:
		n.listed = map[string]struct{}{}
	case c.kind == synced:
		for uid, p := range n.pods {
			if _, ok := n.listed[uid]; !ok {
				n.gone(p)
			}
		}
		n.listed = nil
	case c.kind == deleted:
		n.pod(c.pod)
		if p := n.pods[c.pod.uid()]; p != nil {
			n.gone(p)
		}
	case c.kind == applied:
		n.pod(c.pod)
	}
}

// pod takes a pod as it is now.
func (n *node) pod(p *pod) {
	uid := p.uid()
	if uid == "" {
		return
	}
	if n.listed != nil {
		n.listed[uid] = struct{}{}
	}
	s := n.pods[uid]
	isNew := s == nil
	if isNew {
		s = &podState{namespace: p.Metadata.Namespace, uid: uid, containers: map[string]*container{}}
		n.pods[uid] = s
	}
	s.created, s.reason = p.Metadata.CreationTimestamp, p.Status.Reason
	s.deleted = p.Metadata.DeletionTimestamp != nil
	for i := range p.Spec.InitContainers {
		spec := &p.Spec.InitContainers[i]
		n.know(s, p, spec, statusOf(p.Status.InitContainerStatuses, spec.Name), true)
	}
	for i := range p.Spec.Containers {
		spec := &p.Spec.Containers[i]
		status := statusOf(p.Status.ContainerStatuses, spec.Name)
		c := n.know(s, p, spec, status, false)
		if c.wanted {
			n.status(s, c, status, p.scheduledAt())
		}
	}
	if isNew {
		n.replayEarly(uid)
	}
}

// restartAnnotation is what kubelet writes on a container for its runtime; we
// write it too, so that an instance can be named by it.
const restartAnnotation = "io.kubernetes.container.restartCount"

// know gives the container's state, and tells it to Known and Whose if it has changed.
func (n *node) know(s *podState, p *pod, spec *containerSpec, status containerStatus, init bool) *container {
	c := s.containers[spec.Name]
	isNew := c == nil
	if isNew {
		c = &container{id: "kubernetes/" + s.uid + "/" + spec.Name, init: init, stopped: -1}
		s.containers[spec.Name] = c
	}
	_, id, _ := strings.Cut(status.ContainerID, "://")
	_, digest, _ := strings.Cut(status.ImageID, "@")
	now := workload.Container{
		ID: id, Name: spec.Name, Image: spec.Image, Digest: digest, MemoryLimit: parseBytes(spec.Resources.Limits.Memory),
		Annotations: map[string]string{restartAnnotation: strconv.Itoa(status.RestartCount)},
		Pod: workload.Pod{
			Namespace: p.Metadata.Namespace, Name: p.Metadata.Name, UID: s.uid,
			Labels: p.Metadata.Labels, Annotations: p.Metadata.Annotations,
		},
	}
	if !isNew && equal(&now, &c.known) {
		return c
	}
	c.known = now
	if n.opts.Known != nil {
		n.opts.Known(&now)
	}
	if !init {
		c.ref, c.wanted = n.opts.Whose(&now)
	}
	return c
}

func equal(a, b *workload.Container) bool {
	return a.ID == b.ID && a.Image == b.Image && a.Digest == b.Digest && a.MemoryLimit == b.MemoryLimit &&
		maps.Equal(a.Annotations, b.Annotations) && maps.Equal(a.Pod.Labels, b.Pod.Labels) &&
		maps.Equal(a.Pod.Annotations, b.Pod.Annotations)
}

// status tells what follows from a container's status.
func (n *node) status(s *podState, c *container, status containerStatus, scheduled time.Time) {
	last := lastAttempt(status)
	if t := status.LastState.Terminated; t != nil {
		n.stopped(s, c, last, t)
	}
	if status.RestartCount > c.attempt {
		*c = container{
			id: c.id, known: c.known, ref: c.ref, wanted: c.wanted,
			attempt: status.RestartCount, scheduled: true, stopped: c.stopped,
			pulling: c.pulling, pulled: c.pulled, created: c.created, cached: c.cached,
		}
	}
	n.demand(s, c, status)
	if !c.scheduled && c.attempt == 0 && !scheduled.IsZero() && !scheduled.Before(s.created) {
		c.scheduled = true
		n.phase(c, c.id+"/schedule", faas.PhaseDone{
			Name: faas.PhaseSchedule, Start: s.created, End: scheduled, Attributes: faas.Attributes{"precision": "1s"},
		})
	}
	if t := status.State.Terminated; t != nil {
		n.stopped(s, c, status.RestartCount, t)
	}
	w := status.State.Waiting
	if w == nil {
		c.waitingSince, c.waitingTold = time.Time{}, false
		return
	}
	if f, ok := waitingFailure(w.Reason, w.Message); ok {
		if c.waitingSince.IsZero() {
			c.waitingSince = n.opts.now()
		}
		c.waiting = f
		n.tellWaiting(c)
	}
}

// lastAttempt is the attempt that lastState is about: the one before, or,
// while kubelet waits with the next (CrashLoopBackOff), this one.
func lastAttempt(status containerStatus) int {
	if t := status.LastState.Terminated; t != nil && status.State.Waiting != nil && t.ContainerID == status.ContainerID {
		return status.RestartCount
	}
	return status.RestartCount - 1
}

// waitingFailure reads a waiting container's reason (pkg/kubelet/images/types.go,
// pkg/kubelet/kuberuntime): false if it merely waits.
func waitingFailure(reason, message string) (failure, bool) {
	text := reason
	if message != "" {
		text += ": " + message
	}
	switch reason {
	case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError",
		"RegistryUnavailable", "SignatureValidationFailed":
		return failure{pull: true, text: text}, true
	case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
		return failure{text: text}, true
	}
	return failure{}, false
}

// tellWaiting tells a failure that only the status knows: events may be
// missing, but if there is one it knows when.
func (n *node) tellWaiting(c *container) {
	if c.waitingSince.IsZero() || c.waitingTold || c.failed {
		return
	}
	if !n.opts.NoEvents && n.opts.now().Sub(c.waitingSince) < failureWait {
		return
	}
	c.waitingTold = true
	n.failure(c, c.attemptID()+"/failed", c.waiting, stamp{}, stamp{time: c.waitingSince}, "receipt")
}

func (c *container) attemptID() string { return c.id + "/" + strconv.Itoa(c.attempt) }

// demand tells the start, and once more what its image turned out to be.
func (n *node) demand(s *podState, c *container, status containerStatus) {
	what := "/demanded"
	switch {
	case !c.demanded && c.attempt == 0:
		c.began = s.created
	case !c.demanded:
		c.began = restartedAt(status)
	case c.known.Digest == "" || c.digest == c.known.Digest:
		return
	default:
		what = "/image"
	}
	if c.began.IsZero() {
		return
	}
	c.demanded, c.digest = true, c.known.Digest
	n.emit(c.ref, c.attemptID()+what, c.began, faas.Demanded{
		Initialization: faas.OnDemand, Image: c.known.Image, Digest: c.known.Digest,
		Registry: registryOf(c.known.Image), MemoryLimit: c.known.MemoryLimit,
	})
}

// restartedAt is when a restarted container was needed again: where the one
// before it ended. Zero: nothing tells (yet).
func restartedAt(status containerStatus) time.Time {
	t := status.LastState.Terminated
	switch {
	case t != nil && lastAttempt(status) == status.RestartCount:
		return t.StartedAt
	case t != nil:
		return t.FinishedAt
	case status.State.Running != nil:
		return status.State.Running.StartedAt
	case status.State.Terminated != nil:
		return status.State.Terminated.StartedAt
	}
	return time.Time{}
}

// registryOf is the host in an image's reference.
func registryOf(image string) string {
	host, _, ok := strings.Cut(image, "/")
	if image == "" || ok && (strings.ContainsAny(host, ".:") || host == "localhost") {
		return host
	}
	return "docker.io"
}

// stopped tells the end of an attempt.
func (n *node) stopped(s *podState, c *container, attempt int, t *terminated) {
	if attempt <= c.stopped || attempt < 0 {
		return
	}
	c.stopped = attempt
	_, id, _ := strings.Cut(t.ContainerID, "://")
	ref := c.ref
	if restarts := strconv.Itoa(attempt); id != c.known.ID || restarts != c.known.Annotations[restartAnnotation] {
		then := c.known // as it was
		then.ID, then.Annotations = id, map[string]string{restartAnnotation: restarts}
		var wanted bool
		if ref, wanted = n.opts.Whose(&then); !wanted {
			return
		}
	}
	code := t.ExitCode
	d := faas.Stopped{ExitCode: &code, OOM: t.Reason == "OOMKilled", Reason: stopReason(s, c, t)}
	n.end(ref, c.id+"/"+strconv.Itoa(attempt), id, t.FinishedAt, d)
}

func stopReason(s *podState, c *container, t *terminated) string {
	switch {
	case t.Reason == "OOMKilled":
		return "oom"
	case t.Reason == "StartError" || t.Reason == "ContainerCannotRun":
		return "start-failed"
	case s.reason != "":
		return strings.ToLower(s.reason) // evicted, preempting, nodeshutdown
	case c.killed != "":
		return c.killed
	case s.deleted || t.ExitCode == 0:
		return "shutdown"
	}
	return "error"
}

func (n *node) end(ref faas.Ref, id, containerID string, at time.Time, d faas.Stopped) {
	if n.opts.Exited != nil && containerID != "" {
		used := n.opts.Exited(containerID)
		d.MemoryPeak, d.CPUTime, d.OOM = used.MemoryPeak, used.CPUTime.Seconds(), d.OOM || used.OOMKills > 0
	}
	if at.IsZero() {
		at = n.opts.now()
	}
	n.emit(ref, id+"/stopped", at, d)
}

// gone tells the end of what nobody will hear of again.
func (n *node) gone(s *podState) {
	for _, c := range s.containers {
		if !c.wanted || !c.demanded || c.stopped >= c.attempt {
			continue
		}
		reason := "shutdown"
		switch {
		case c.known.ID == "":
			reason = "start-failed"
		case s.reason != "":
			reason = strings.ToLower(s.reason)
		}
		n.end(c.ref, c.attemptID(), c.known.ID, time.Time{}, faas.Stopped{Reason: reason})
	}
	delete(n.pods, s.uid)
}

// look tells what has waited long enough.
func (n *node) look() {
	for _, s := range n.pods {
		for _, c := range s.containers {
			n.tellWaiting(c)
		}
	}
	oldest := n.opts.now().Add(-maxEarlyAge)
	i := 0
	for i < len(n.early) && n.early[i].at.Before(oldest) {
		i++
	}
	if n.early = n.early[i:]; len(n.early) == 0 {
		n.early = nil
		n.dropped = false
	}
}

func (n *node) emit(ref faas.Ref, id string, at time.Time, d faas.Data) {
	e := faas.Event{ID: id, Source: n.opts.Source, Time: at, Ref: ref, Data: d}
	if err := e.Validate(); err != nil {
		n.opts.Logger.Warn("an event from Kubernetes is not valid", "event_id", id, "error", err)
		return
	}
	n.out = append(n.out, e)
}

// phase tells a phase; its time is its end.
func (n *node) phase(c *container, id string, d faas.PhaseDone) {
	d.Attributes["observer"] = "kubernetes"
	n.emit(c.ref, id, d.End, d)
}
