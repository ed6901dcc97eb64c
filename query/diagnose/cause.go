package diagnose

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/read"
)

// The causes of a start.
const (
	causeFirst         = "first-start"
	causeVersion       = "new-version"
	causeImage         = "new-image"
	causeConfiguration = "new-configuration"
	causeOOM           = "out-of-memory"
	causeCrash         = "crash"
	causeTimeout       = "timeout"
	causeFailedStart   = "failed-start"
	causeRetry         = "retry"
	causeProvisioned   = "provisioned"
	causeSpillOver     = "spill-over"
	causeScaleOut      = "scale-out"
	causeIdle          = "idle-reclaim"
	causeUnknown       = "unknown"

	besidesRetry = causeRetry
	besidesImage = "host-without-image"
)

const (
	// replacedWithin is how long after an instance's death a start may still be
	// its replacement; missedWithin, if there was no other instance to serve.
	replacedWithin = 10 * time.Second
	missedWithin   = 10 * time.Minute
	// heardWithin is how lately an instance whose end nobody has told must have
	// become ready, or have had a request, to count as one that is there.
	heardWithin = time.Hour
	// maxImageHosts bounds the hosts that are named.
	maxImageHosts = 10
)

// Cause says why the start came about, by how its function stood when it was
// demanded; nil if that is not known. The order is that of how much a cause
// explains: what is new, what died, what was tried again, what was too little,
// what was given up. around holds what the store knows; a start that it does
// not hold any more, or not yet, is not counted.
func Cause(s *read.ColdStart, around *read.Surroundings) *read.Cause {
	if around == nil || s.DemandedAt == nil {
		return nil
	}
	w := weigh(s, around)
	c := &read.Cause{}
	for _, rule := range []func(*weighed) (string, string){
		first, changed, death, retry, provisionedStart, full, reclaimed,
	} {
		if c.Kind, c.Evidence = rule(w); c.Kind != "" {
			break
		}
	}
	if c.Kind == "" {
		c.Kind, c.Evidence = causeUnknown, "No other instance is known to have been ready, and none to have stopped."
	}
	c.Facts, c.Besides = w.facts, w.besides(c.Kind)
	return c
}

// weighed is what the rules look at.
type weighed struct {
	*read.ColdStart
	at      time.Time
	earlier []read.Neighbour
	facts   read.CauseFacts
	stopped *read.Neighbour // the one that had stopped last
}

func weigh(s *read.ColdStart, around *read.Surroundings) *weighed {
	w := &weighed{ColdStart: s, at: *s.DemandedAt, earlier: around.Earlier}
	w.facts.EarlierStarts = len(around.Earlier)
	hosts := map[string]bool{}
	for i := range around.Earlier {
		w.count(&around.Earlier[i], hosts)
	}
	for h := range hosts {
		w.facts.ImageHosts = append(w.facts.ImageHosts, h)
	}
	slices.Sort(w.facts.ImageHosts)
	w.facts.ImageHosts = w.facts.ImageHosts[:min(len(w.facts.ImageHosts), maxImageHosts)]
	if n := w.stopped; n != nil {
		w.facts.LastStopped = &read.StoppedInstance{
			Instance: n.Instance, StoppedAt: n.StoppedAt.UTC(), Reason: or(n.StopReason), ExitCode: n.ExitCode, OOM: or(n.OOM),
			LastEndedAt: n.LastEnd, GapMS: read.Millis(w.at.Sub(*n.StoppedAt)),
		}
		if n.LastEnd != nil && n.LastEnd.Before(*n.StoppedAt) {
			kept := read.Millis(n.StoppedAt.Sub(*n.LastEnd))
			w.facts.LastStopped.KeptMS = &kept
		}
	}
	if len(around.Attempts) > 0 {
		v := &around.Attempts[0]
		w.facts.Attempt = &read.EarlierAttempt{Instance: v.Instance, StartedAt: v.StartedAt, EndedAt: v.EndedAt, Status: v.Status}
	}
	return w
}

// count takes in what one earlier start's instance was at the time of the demand.
func (w *weighed) count(n *read.Neighbour, hosts map[string]bool) {
	if h := or(n.Host); h != "" && h != w.Host && n.ReadyAt != nil && w.Digest != "" && or(n.Digest) == w.Digest {
		hosts[h] = true
	}
	if w.Version != "" && or(n.Version) != "" && *n.Version != w.Version {
		return // it could not have served the request
	}
	if n.StoppedAt != nil && !n.StoppedAt.After(w.at) {
		if w.stopped == nil || n.StoppedAt.After(*w.stopped.StoppedAt) {
			w.stopped = n
		}
		return
	}
	lately := w.at.Add(-heardWithin)
	switch {
	case n.ReadyAt != nil && !n.ReadyAt.After(w.at):
		if n.StoppedAt == nil && !n.Active && n.ReadyAt.Before(lately) {
			return // it may have ended long ago
		}
		w.facts.Ready++
		w.facts.InFlight += n.Open
		if n.Open > 0 {
			w.facts.Busy++
		}
		if faas.Initialization(or(n.Initialization)) == faas.Provisioned {
			w.facts.Provisioned++
		}
	case n.ReadyAt != nil || n.BegunAt.After(lately):
		w.facts.Starting++
	}
}

func first(w *weighed) (kind, evidence string) {
	if len(w.earlier) > 0 {
		return "", ""
	}
	return causeFirst, "It is the first start of the function that is stored."
}

// changed compares with the function's start before. A configuration that had
// been started since the other one came is not new: the two are in use together.
func changed(w *weighed) (kind, evidence string) {
	before := &w.earlier[0]
	compare := func(what, a, b string) bool {
		if a == "" || b == "" || a == b {
			return false
		}
		w.facts.Changed = append(w.facts.Changed, read.Change{What: what, Before: a, After: b})
		return true
	}
	limit := func(bytes *int64) string {
		if bytes == nil {
			return ""
		}
		return strconv.FormatInt(*bytes, 10)
	}
	version := compare("version", or(before.Version), w.Version)
	digest := compare("digest", or(before.Digest), w.Digest)
	memory := compare("memory_limit", limit(before.MemoryLimit), limit(w.MemoryLimit))
	if !version && !digest && !memory {
		return "", ""
	}
	same := func(n *read.Neighbour, version, digest *string, memory *int64) bool {
		return or(n.Version) == or(version) && or(n.Digest) == or(digest) && or(n.MemoryLimit) == or(memory)
	}
	since := before.BegunAt // since when the other configuration is in use
	for i := range w.earlier {
		n := &w.earlier[i]
		if same(n, before.Version, before.Digest, before.MemoryLimit) {
			since = n.BegunAt
		}
	}
	for i := range w.earlier {
		if n := &w.earlier[i]; n.BegunAt.After(since) && same(n, &w.Version, &w.Digest, w.MemoryLimit) {
			w.facts.Changed = nil
			return "", ""
		}
	}
	c := w.facts.Changed[0]
	switch {
	case version:
		kind = causeVersion
	case digest:
		kind = causeImage
	default:
		kind = causeConfiguration
	}
	return kind, fmt.Sprintf("The function's last start, %s before, was of another %s: %.19s, now %.19s.",
		duration(read.Millis(w.at.Sub(before.BegunAt))), c.What, c.Before, c.After)
}

// death is that of the instance that stopped last, if it was not replaced yet.
func death(w *weighed) (kind, evidence string) {
	n := w.stopped
	within := missedWithin
	if w.facts.Ready > w.facts.Busy {
		within = replacedWithin
	}
	if n == nil || w.at.Sub(*n.StoppedAt) > within {
		return "", ""
	}
	for i := range w.earlier {
		if w.earlier[i].BegunAt.After(*n.StoppedAt) {
			return "", ""
		}
	}
	how := ""
	switch reason := or(n.StopReason); {
	case or(n.OOM) || reason == "oom":
		kind, how = causeOOM, "was killed out of memory"
	case reason == "timeout":
		kind, how = causeTimeout, "was stopped because a request took too long"
	case n.ReadyAt == nil:
		kind, how = causeFailedStart, "never became ready"
	case reason == "error" || reason == "killed" || reason == "" && n.ExitCode != nil && *n.ExitCode != 0:
		kind, how = causeCrash, "died"
		if n.ExitCode != nil {
			how += fmt.Sprintf(" with exit code %d", *n.ExitCode)
		}
	default:
		return "", ""
	}
	return kind, fmt.Sprintf("Instance %s %s; this one was demanded %s later.", n.Instance, how, duration(read.Millis(w.at.Sub(*n.StoppedAt))))
}

func retry(w *weighed) (kind, evidence string) {
	a := w.facts.Attempt
	if a == nil {
		return "", ""
	}
	return causeRetry, fmt.Sprintf("The request that demanded it was tried before on instance %s (%s).", a.Instance, a.Status)
}

func provisionedStart(w *weighed) (kind, evidence string) {
	if w.Initialization != faas.Provisioned {
		return "", ""
	}
	return causeProvisioned, "No request demanded it: the platform holds instances ready in advance."
}

// full is that the instances there were did not suffice.
func full(w *weighed) (kind, evidence string) {
	f := &w.facts
	switch {
	case f.Ready > 0 && f.Busy == f.Ready && f.Provisioned > 0:
		return causeSpillOver, fmt.Sprintf("All %d ready instances were busy, the %d provisioned ones among them, with %d requests.", f.Ready, f.Provisioned, f.InFlight)
	case f.Ready > 0 && f.Busy == f.Ready:
		return causeScaleOut, fmt.Sprintf("All %d ready instances were busy, with %d requests.", f.Ready, f.InFlight)
	case f.Ready > 0:
		return causeScaleOut, fmt.Sprintf("%d of %d ready instances were busy, and the platform started another one all the same.", f.Busy, f.Ready)
	case f.Starting > 0:
		return causeScaleOut, fmt.Sprintf("No instance was ready, and the %d that were starting had their own requests waiting.", f.Starting)
	}
	return "", ""
}

// reclaimed is that none was left.
func reclaimed(w *weighed) (kind, evidence string) {
	l := w.facts.LastStopped
	if l == nil {
		return "", ""
	}
	evidence = fmt.Sprintf("No instance was left: the last one, %s, had stopped (%s) %s before", l.Instance, cmp.Or(l.Reason, "no reason is known"), duration(l.GapMS))
	if l.KeptMS != nil {
		evidence += fmt.Sprintf(", %s after its last request", duration(*l.KeptMS))
	}
	return causeIdle, evidence + "."
}

// besides is what counts beside the cause.
func (w *weighed) besides(kind string) []read.Besides {
	var list []read.Besides
	if k, evidence := retry(w); k != "" && kind != causeRetry {
		list = append(list, read.Besides{Kind: besidesRetry, Evidence: evidence})
	}
	missed := 0
	for i := range w.Layers {
		if w.Layers[i].Cache == "miss" {
			missed++
		}
	}
	if missed > 0 && len(w.facts.ImageHosts) > 0 {
		list = append(list, read.Besides{Kind: besidesImage, Evidence: fmt.Sprintf(
			"%d of %d layers were not on %s, while %s had the image.", missed, len(w.Layers), cmp.Or(w.Host, "its host"), w.facts.ImageHosts[0])})
	}
	return list
}

func or[T any](v *T) T {
	if v == nil {
		var zero T
		return zero
	}
	return *v
}
