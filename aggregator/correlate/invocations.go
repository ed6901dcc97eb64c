package correlate

import (
	"slices"
	"time"

	"github.com/coldscope/coldscope/internal/schema"
)

const (
	// MaxInvocations are as many as are restored of an instance, and half as many
	// as are remembered of it at most.
	MaxInvocations = 4096
	// fewInvocations of an instance are remembered as long as itself is.
	fewInvocations = 8
	// Where some have to go, a sixteenth of their instance's go at once: to bring
	// up to date what stays takes its time.
	invocationsAtOnce = 16
)

// news is v if that was not known at the last Take.
func (v *invocation) news() *invocation {
	if v.fresh {
		return v
	}
	return nil
}

func (v *invocation) gone() bool { return v.owner == nil }

// invocation finds or makes the attempt of a request that started at start.
func (c *Correlator) invocation(i *instance, requestID string, start time.Time) (v *invocation, isNew bool) {
	at := i.before(start) + 1
	for n := at - 1; n >= 0 && i.invocations[n].start.Equal(start); n-- {
		if i.invocations[n].requestID == requestID {
			return i.invocations[n], false
		}
	}
	v = &invocation{owner: i, requestID: requestID, start: start, fresh: true}
	c.fresh = append(c.fresh, v)
	i.invocations = slices.Insert(i.invocations, at, v)
	if i.attempts == nil {
		i.attempts = map[string]int{}
	}
	i.attempts[requestID]++
	i.index(at)
	c.heard.push(v)
	return v, true
}

func (c *Correlator) restoreInvocations(i *instance, rows []schema.InvocationRow) {
	i.attempts = make(map[string]int, len(rows))
	for n := range rows {
		r := &rows[n]
		if measuredOnly(r) {
			continue
		}
		v := &invocation{owner: i, requestID: r.RequestID, queued: timeOf(r.QueuedAt), start: r.StartedAt, end: timeOf(r.EndedAt)}
		i.invocations = append(i.invocations, v)
		i.attempts[v.requestID]++
		i.see(v.start)
		i.see(v.end)
	}
	slices.SortStableFunc(i.invocations, func(a, b *invocation) int { return a.start.Compare(b.start) })
	i.index(0)
	for _, v := range i.invocations {
		c.heard.push(v)
	}
	if len(rows) >= MaxInvocations {
		i.forgotten = rows[0].StartedAt // there may be earlier ones
	}
}

// dropInvocation forgets the invocation that was heard of longest ago, and those
// of its instance that started before it. The few newest of an instance stay, and
// those whose end is not known yet: lines to come may be their own.
func (c *Correlator) dropInvocation() {
	v := c.heard.pop()
	i := v.owner
	if i == nil {
		return
	}
	n := max(slices.Index(i.invocations, v)+1, len(i.invocations)/invocationsAtOnce)
	if n = min(n, len(i.invocations)-fewInvocations); n > 0 {
		c.forgetInvocations(i, n, false)
		c.charge(i)
	}
}

// forgetInvocations forgets the n oldest ones of an instance, or those of them
// that have an end, and with them whose its lines were, until nothing depends on
// them any more: up to a grace after the last of their ends, or until another one
// started after all of these ends, which is nearer to what was printed from then
// on, unless one that had started before ends later.
func (c *Correlator) forgetInvocations(i *instance, n int, open bool) {
	var started, ended time.Time
	stay := func(v *invocation) bool { return !open && i.endOf(v).IsZero() }
	for _, v := range i.invocations[:n] {
		if !stay(v) {
			ended, started = later(ended, i.endOf(v)), v.start
		}
	}
	if started.IsZero() {
		return
	}
	until := later(ended.Add(c.cfg.Grace), started)
	i.reach = later(i.reach, until.Add(i.slack-i.offset))
	if i.slack == 0 && n < len(i.invocations) {
		if next := i.invocations[n].start; !next.Before(ended) && next.Before(until) {
			until = next.Add(-1)
		}
	}
	until = later(until, started).Add(i.slack - i.offset)
	// Whose the lines until then are has to be said while that is known.
	c.release(i, func(h *held) bool { return !h.time.After(until) })
	c.attributeDoubted()
	c.reviewFresh()
	rest := i.invocations[:0]
	for _, v := range i.invocations[:n] {
		if stay(v) {
			rest = append(rest, v)
			continue
		}
		if i.attempts[v.requestID]--; i.attempts[v.requestID] == 0 {
			delete(i.attempts, v.requestID)
		}
		v.owner = nil
		c.heard.dead++
	}
	i.horizon = later(i.horizon, until)
	i.invocations = slices.Delete(i.invocations, len(rest), n)
	i.forgotten = later(i.forgotten, started)
	i.index(0)
}
