package kubernetes

import (
	"strconv"
	"strings"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

// event takes an event of any pod of the cluster.
func (n *node) event(e *event) {
	if !e.from(n.opts.NodeName) {
		return
	}
	if s := n.pods[e.object().UID]; s != nil {
		n.podEvent(s, e)
		return
	}
	if len(n.early) >= maxEarly {
		if !n.dropped {
			n.dropped = true
			n.opts.Logger.Warn("too many events of unknown pods, dropping them", "kept", maxEarly)
		}
		return
	}
	n.early = append(n.early, earlyEvent{e, n.opts.now()})
}

// replayEarly takes the events that came before their pod.
func (n *node) replayEarly(uid string) {
	rest := n.early[:0]
	var mine []*event
	for _, e := range n.early {
		if e.event.object().UID == uid {
			mine = append(mine, e.event)
		} else {
			rest = append(rest, e)
		}
	}
	clear(n.early[len(rest):])
	n.early = rest
	for _, e := range mine {
		n.podEvent(n.pods[uid], e)
	}
}

func (n *node) podEvent(s *podState, e *event) {
	if e.Reason == "Scheduled" {
		n.scheduled(s, e)
		return
	}
	c := s.containers[e.container()]
	if c == nil || !c.wanted {
		return
	}
	at, id := e.last(), "kubernetes/event/"+e.Metadata.UID+"/"+strconv.Itoa(e.count())
	switch e.Reason {
	case "Pulling":
		c.pulling = at
	case "Pulled":
		n.pulledEvent(c, id, at, e.text())
	case "Created":
		n.between(c, id, faas.PhaseCreate, c.pulled, at)
		c.created = at
	case "Started":
		n.between(c, id, faas.PhaseStart, c.created, at)
	case "Failed", "BackOff", "ErrImageNeverPull", "InspectFailed":
		n.failedEvent(c, id, at, e.text())
	case "Killing":
		if !at.time.Before(c.began) { // an old event must not explain the next end
			c.killed = killReason(e.text())
		}
	}
}

// killReason reads kubelet's event Killing (pkg/kubelet/kuberuntime/kuberuntime_container.go).
func killReason(text string) string {
	for _, probe := range []string{"liveness", "startup"} {
		if strings.Contains(text, "failed "+probe+" probe") {
			return "unhealthy"
		}
	}
	return "shutdown"
}

// scheduled tells schedule with the scheduler's own stamp, which replaces that
// of the pod's condition: it begins at the same time.
func (n *node) scheduled(s *podState, e *event) {
	at := e.last()
	if s.created.IsZero() || at.time.Before(s.created) {
		return
	}
	for _, c := range s.containers {
		if !c.wanted || c.attempt > 0 {
			continue
		}
		c.scheduled = true
		// The pod's creation is stamped to the second, whatever the event is.
		n.phase(c, c.id+"/schedule/event", faas.PhaseDone{
			Name: faas.PhaseSchedule, Start: s.created, End: at.time, Attributes: faas.Attributes{"precision": "1s"},
		})
	}
}

// pulledEvent tells pull and the wait for other pulls, which end where the event is.
func (n *node) pulledEvent(c *container, id string, at stamp, text string) {
	p, ok := parsePulled(text)
	if !ok {
		return
	}
	pulling := c.pulling
	c.pulled, c.cached, c.pulling = at, p.cached, stamp{}
	if p.cached {
		return
	}
	start := at.time.Add(-p.pull)
	coarse := at.coarse
	if p.pull == 0 { // kubelet before 1.18: the event Pulling is all there is
		if !pulling.known() || pulling.time.After(at.time) {
			return
		}
		start, coarse = pulling.time, coarse || pulling.coarse
	}
	attributes := faas.Attributes{"image": p.image}
	if p.size > 0 {
		attributes["bytes"] = strconv.FormatInt(p.size, 10)
	}
	precise(attributes, coarse)
	n.phase(c, id+"/pull", faas.PhaseDone{Name: faas.PhasePull, Start: start, End: at.time, Attributes: attributes})
	if p.waiting > p.pull && p.pull > 0 {
		attributes := faas.Attributes{"image": p.image, "for": "pull"}
		precise(attributes, coarse)
		n.phase(c, id+"/queue", faas.PhaseDone{
			Name: faas.PhaseQueue, Start: at.time.Add(-p.waiting), End: start, Attributes: attributes,
		})
	}
}

func precise(a faas.Attributes, coarse bool) {
	if coarse {
		a["precision"] = "1s"
	}
}

// maxStep is longer than kubelet takes from one of a container's events to the
// next; what is further apart belongs to two starts.
const maxStep = 10 * time.Minute

// between tells a phase between two events.
func (n *node) between(c *container, id string, name faas.Phase, from, to stamp) {
	if !from.known() || to.time.Before(from.time) || to.time.Sub(from.time) > maxStep {
		return
	}
	attributes := faas.Attributes{}
	precise(attributes, from.coarse || to.coarse)
	if name == faas.PhaseCreate && c.cached {
		attributes["cache"] = "hit"
	}
	n.phase(c, id+"/"+string(name), faas.PhaseDone{Name: name, Start: from.time, End: to.time, Attributes: attributes})
}

func (n *node) failedEvent(c *container, id string, at stamp, text string) {
	f, ok := parseFailure(text)
	if !ok || f.backOff && (c.failed || c.waitingTold) {
		return
	}
	c.failed = c.failed || !at.time.Before(c.began)
	from := c.pulling
	if !f.pull {
		from = c.pulled
		if c.created.known() && !c.created.time.Before(c.pulled.time) {
			from = c.created
		}
	}
	if f.backOff {
		from = stamp{}
	}
	n.failure(c, id+"/failed", f, from, at, "")
	if f.pull {
		c.pulling = stamp{}
	}
}

// failure tells a phase that failed. Without from it is a point in time: when
// it began is not known.
func (n *node) failure(c *container, id string, f failure, from, at stamp, precision string) {
	attributes := faas.Attributes{"image": c.known.Image}
	name := faas.PhasePull
	if f.pull {
		attributes["error_class"] = workload.PullErrorClass(f.text)
	} else {
		name = faas.PhaseCreate
		if c.created.known() && !c.created.time.Before(c.pulled.time) && !c.created.time.After(at.time) {
			name = faas.PhaseStart
		}
	}
	if !from.known() || from.time.After(at.time) || at.time.Sub(from.time) > maxPull {
		from = at
	}
	precise(attributes, from.coarse || at.coarse)
	if precision != "" {
		attributes["precision"] = precision
	}
	n.phase(c, id, faas.PhaseDone{Name: name, Start: from.time, End: at.time, Error: f.text, Attributes: attributes})
}
