package correlate

import (
	"container/list"
	"slices"
	"sort"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// MaxInvocations bounds the invocations remembered per instance; the oldest go first.
const MaxInvocations = 4096

// maxCandidates bounds the requests kept for an ambiguous line.
const maxCandidates = 8

// instance is what is known of one instance. Times that are not known are zero.
type instance struct {
	key       Key
	element   *list.Element
	firstSeen time.Time // when the correlator heard of it first
	charged   int       // bytes counted for it beside its lines

	watermark      time.Time // time of its newest event; zero: no event yet
	demanded       time.Time
	demandedBy     string // request ID
	initialization faas.Initialization
	ready, stopped time.Time
	phases         map[phaseKey]bool // those seen

	invocations []invocation // by start
	forgotten   bool         // it had earlier ones, that are not remembered
	lines       []remembered // by time
	held        []held       // by arrival

	doubted   bool // lines from doubtFrom on have to be looked at
	doubtFrom time.Time
}

type phaseKey struct {
	name  faas.Phase
	start int64
}

type invocation struct {
	requestID          string
	queued, start, end time.Time     // end is zero while it is open
	cold               bool          // it says itself that it waited for the start
	told               bool          // its cold row has been given out
	wait               time.Duration // what that row says
}

// remembered is a line that may still be corrected.
type remembered struct {
	row      schema.LogRow
	explicit []string // IDs that the line itself carries
	fresh    bool     // not given out yet
}

type held struct {
	remembered
	ticket Ticket
	until  time.Time
}

// What a remembered row, and each of its attributes, costs beside its strings.
const (
	rowOverhead       = 300
	attributeOverhead = 32
)

func (r *remembered) size() int {
	n := rowOverhead + len(r.row.Body) + len(r.row.Raw)
	for i := range r.row.Attributes {
		n += attributeOverhead + len(r.row.Attributes[i].Key) + len(r.row.Attributes[i].Value)
	}
	return n
}

func (i *instance) restore(start *schema.ColdStartRow, invocations []schema.InvocationRow) {
	if start != nil {
		i.demanded, i.ready, i.stopped = timeOf(start.DemandedAt), timeOf(start.ReadyAt), timeOf(start.StoppedAt)
		if start.RequestID != nil {
			i.demandedBy = *start.RequestID
		}
		if start.Initialization != nil {
			i.initialization = faas.Initialization(*start.Initialization)
		}
		for _, t := range []time.Time{i.demanded, i.ready, i.stopped} {
			i.see(t)
		}
	}
	for n := range invocations {
		r := &invocations[n]
		i.invocations = append(i.invocations, invocation{
			requestID: r.RequestID, queued: timeOf(r.QueuedAt), start: r.StartedAt, end: timeOf(r.EndedAt),
			cold: r.Cold != nil && *r.Cold,
		})
		i.see(r.StartedAt)
		i.see(timeOf(r.EndedAt))
	}
	slices.SortStableFunc(i.invocations, func(a, b invocation) int { return a.start.Compare(b.start) })
	i.forgotten = len(invocations) >= MaxInvocations
}

func (i *instance) see(t time.Time) {
	if t.After(i.watermark) {
		i.watermark = t
	}
}

// invocation finds or makes the attempt of a request that started at start.
func (i *instance) invocation(requestID string, start time.Time) (inv *invocation, isNew bool) {
	at := sort.Search(len(i.invocations), func(n int) bool { return !i.invocations[n].start.Before(start) })
	for n := at; n < len(i.invocations) && i.invocations[n].start.Equal(start); n++ {
		if i.invocations[n].requestID == requestID {
			return &i.invocations[n], false
		}
	}
	if len(i.invocations) >= 2*MaxInvocations {
		i.invocations = slices.Delete(i.invocations, 0, MaxInvocations)
		i.forgotten = true
		return i.invocation(requestID, start)
	}
	i.invocations = slices.Insert(i.invocations, at, invocation{requestID: requestID, start: start})
	return &i.invocations[at], true
}

// explains reports whether the events seen so far settle the line: there is
// an event from its time or later, or it lies in exactly one open invocation,
// or it names a known one.
func (i *instance) explains(r *remembered) bool {
	if i.watermark.IsZero() {
		return false
	}
	if !i.watermark.Before(r.row.Time) || i.named(r) != "" {
		return true
	}
	return len(i.open(r.row.Time)) == 1
}

// mute reports whether nobody tells of the instance's invocations: there is no
// platform, or only somebody who watches the container from outside, who knows
// no request that demanded it. It is said of the time t: a line between the
// demand and the instance's readiness belongs to its start all the same.
func (i *instance) mute(t time.Time) bool {
	if i.watermark.IsZero() {
		return true
	}
	watched := i.initialization == faas.OnDemand && i.demandedBy == "" && !i.demanded.IsZero()
	return watched && len(i.invocations) == 0 && !i.forgotten && (i.ready.IsZero() || t.After(i.ready))
}

// silentSince reports whether the instance is mute at a line's time t although
// it has been known since before since: then waiting is of no use.
func (i *instance) silentSince(since, t time.Time) bool {
	return i.mute(t) && i.firstSeen.Before(since)
}

// open lists the IDs of the invocations that were open at t.
func (i *instance) open(t time.Time) []string {
	var ids []string
	for n := i.before(t); n >= 0; n-- {
		v := &i.invocations[n]
		if end := i.endOf(v); end.IsZero() || !t.After(end) {
			ids = append(ids, v.requestID)
		}
	}
	return ids
}

// before is the index of the last invocation that started at t or before, -1 if none did.
func (i *instance) before(t time.Time) int {
	return sort.Search(len(i.invocations), func(n int) bool { return i.invocations[n].start.After(t) }) - 1
}

// endOf is when the invocation ended; the instance's end ends those that are open.
func (i *instance) endOf(v *invocation) time.Time {
	if v.end.IsZero() {
		return i.stopped
	}
	return v.end
}

// named gives the first of the line's IDs that is a known invocation. Where
// nobody tells of invocations the line's own word is all there is.
func (i *instance) named(r *remembered) string {
	for _, id := range r.explicit {
		if i.mute(r.row.Time) {
			return id
		}
		if slices.ContainsFunc(i.invocations, func(v invocation) bool { return v.requestID == id }) {
			return id
		}
	}
	return ""
}

// attribute sets the line's request by the best evidence there is now.
func (i *instance) attribute(r *remembered, grace time.Duration) {
	request, how, candidates := i.evidence(r, grace)
	r.row.RequestID, r.row.Attribution, r.row.Candidates = request, how, candidates
}

func (i *instance) evidence(r *remembered, grace time.Duration) (string, faas.Attribution, []string) {
	if id := i.named(r); id != "" {
		return id, faas.AttributionExplicit, nil
	}
	t := r.row.Time
	switch open := i.open(t); {
	case len(open) == 1:
		return open[0], faas.AttributionWindow, nil
	case len(open) > 1:
		return "", faas.AttributionAmbiguous, open[:min(len(open), maxCandidates)]
	}
	last := i.before(t)
	if last < 0 {
		if i.mute(t) && (i.demanded.IsZero() || !i.ready.IsZero()) || i.forgotten {
			return "", faas.AttributionNone, nil
		}
		return i.startedFor(), faas.AttributionInit, nil
	}
	if !i.stopped.IsZero() && t.After(i.stopped.Add(grace)) {
		return "", faas.AttributionNone, nil
	}
	// Of several invocations that ended the one with the latest end is nearest.
	latest := &i.invocations[last]
	for n := last - 1; n >= 0 && n >= last-maxCandidates; n-- {
		if v := &i.invocations[n]; i.endOf(v).After(i.endOf(latest)) {
			latest = v
		}
	}
	if t.Sub(i.endOf(latest)) <= grace {
		return latest.requestID, faas.AttributionLate, nil
	}
	return "", faas.AttributionNone, nil
}

// startedFor is the request for which the instance was started: the one that
// demanded it, else the first that waited for it; empty for a provisioned one.
func (i *instance) startedFor() string {
	if i.demandedBy != "" {
		return i.demandedBy
	}
	if i.initialization != faas.Provisioned && len(i.invocations) > 0 && i.waited(&i.invocations[0]) > 0 {
		return i.invocations[0].requestID
	}
	return ""
}

// waited is how long the invocation waited for the instance's start.
func (i *instance) waited(v *invocation) time.Duration {
	if i.initialization == faas.Provisioned {
		return 0
	}
	queued := v.queued
	if queued.IsZero() {
		queued = v.start
	}
	switch {
	case i.ready.IsZero() && i.demandedBy == v.requestID && i.demandedBy != "": // the start failed, or is not known to have ended
		return max(v.start.Sub(queued), 0)
	case i.ready.IsZero():
		return 0
	}
	return max(i.ready.Sub(queued), 0)
}

// search is the index of the first remembered line at t or later.
func (i *instance) search(t time.Time) int {
	return sort.Search(len(i.lines), func(n int) bool { return !i.lines[n].row.Time.Before(t) })
}

func sameAttribution(a, b *schema.LogRow) bool {
	return a.RequestID == b.RequestID && a.Attribution == b.Attribution && slices.Equal(a.Candidates, b.Candidates)
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
