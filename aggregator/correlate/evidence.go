package correlate

import (
	"slices"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// maxCandidates bounds the requests kept for an ambiguous line.
const maxCandidates = 8

// line is a line's time on the clock of the instance's events.
func (i *instance) line(t time.Time) time.Time {
	if i.offset == 0 {
		return t
	}
	return t.Add(i.offset)
}

// lineTime is the earliest time on the lines' clock that t may be.
func (i *instance) lineTime(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.Add(-i.offset - i.slack)
}

// explains reports whether the events seen so far settle the line: there is
// an event from its time or later, or it lies in exactly one open invocation,
// or it names a known one.
func (i *instance) explains(r *remembered) bool {
	if i.watermark.IsZero() {
		return false
	}
	t := i.line(r.time)
	if !i.watermark.Before(t) || i.named(r, t) != "" {
		return true
	}
	var buf [2]*invocation
	return len(i.openIn(t, t, buf[:0])) == 1
}

// mute reports whether nobody tells of the instance's invocations: there is no
// platform, or only somebody who watches the container from outside, who knows
// no request that demanded it. It is said of the time t: a line between the
// demand and the instance's readiness belongs to its start all the same.
func (i *instance) mute(t time.Time) bool {
	if i.watermark.IsZero() {
		return true
	}
	if len(i.invocations) > 0 || !i.forgotten.IsZero() || len(i.lives) == 0 {
		return false
	}
	demanded := false
	for n := range i.lives {
		l := &i.lives[n]
		if l.demandedBy != "" || l.initialization == faas.Provisioned {
			return false
		}
		demanded = demanded || !l.demanded.IsZero()
	}
	l, _ := i.lifeAt(t)
	return demanded && (l.ready.IsZero() || t.After(l.ready))
}

// silentSince reports whether the instance is mute at a line's time t although
// it has been known since before since: then waiting is of no use.
func (i *instance) silentSince(since, t time.Time) bool {
	return i.firstSeen.Before(since) && i.mute(i.line(t))
}

// named gives the first of the line's IDs, its sender's before those in its
// text, that is a known invocation. Where nobody tells of invocations the line's
// own word is all there is.
func (i *instance) named(r *remembered, t time.Time) string {
	if id := r.line.RequestID; id != "" && (i.attempts[id] > 0 || i.mute(t)) {
		return id
	}
	for _, id := range r.line.Named {
		if i.attempts[id] > 0 || i.mute(t) {
			return id
		}
	}
	return ""
}

// attribute sets the line's request by the best evidence there is now, and
// reports whether that is another one than before.
func (i *instance) attribute(r *remembered, grace time.Duration) bool {
	return r.set(i.evidence(r, grace))
}

func (i *instance) evidence(r *remembered, grace time.Duration) (string, faas.Attribution, []string) {
	t := i.line(r.time)
	if id := i.named(r, t); id != "" {
		return id, faas.AttributionExplicit, nil
	}
	var buf [maxCandidates]*invocation
	open := i.openIn(t.Add(-i.slack), t.Add(i.slack), buf[:0])
	switch {
	case i.slack > 0 && !i.certain(open, t):
		return i.uncertain(open, t, grace)
	case len(open) > 1:
		return "", faas.AttributionAmbiguous, candidates(open)
	case len(open) == 1:
		return open[0].requestID, faas.AttributionWindow, nil
	}
	return i.closed(t, grace)
}

// certain reports whether one of the invocations was open at t for certain, as
// far as the clocks tell.
func (i *instance) certain(open []*invocation, t time.Time) bool {
	return slices.ContainsFunc(open, func(v *invocation) bool {
		end := i.endOf(v)
		return !v.start.After(t.Add(-i.slack)) && (end.IsZero() || !end.Before(t.Add(i.slack)))
	})
}

// uncertain is what is to be said of a line from t if the clocks do not tell
// which side of a start or an end it lies on: all that it may be.
func (i *instance) uncertain(open []*invocation, t time.Time, grace time.Duration) (string, faas.Attribution, []string) {
	id, how, ids := i.closed(t.Add(-i.slack), grace)
	other, otherHow, others := i.closed(t.Add(i.slack), grace)
	if len(open) == 0 && id == other && how == otherHow && slices.Equal(ids, others) {
		return id, how, ids
	}
	all := append(append(candidates(open), ids...), others...)
	for _, one := range []string{id, other} {
		if one != "" {
			all = append(all, one)
		}
	}
	switch all = distinct(all); {
	case len(all) == 0:
		return "", faas.AttributionNone, nil
	case len(all) == 1 && len(open) == 1 && (id == all[0] || !open[0].start.After(t.Add(-i.slack))):
		return all[0], faas.AttributionWindow, nil
	}
	return "", faas.AttributionAmbiguous, all[:min(len(all), maxCandidates)]
}

// closed is what is to be said of a line from t, when no invocation was open.
func (i *instance) closed(t time.Time, grace time.Duration) (string, faas.Attribution, []string) {
	var l *life
	if len(i.lives) > 0 {
		l, _ = i.lifeAt(t)
		if !l.stopped.IsZero() && t.After(l.stopped.Add(grace)) {
			return "", faas.AttributionNone, nil
		}
	}
	first, last := i.firstOf(l), i.before(t)
	if last < first {
		switch {
		case i.forgottenOf(l), i.mute(t) && (l == nil || l.demanded.IsZero() || !l.ready.IsZero()):
			return "", faas.AttributionNone, nil
		}
		return i.startedFor(l), faas.AttributionInit, nil
	}
	return i.late(last, t, grace)
}

// late says whose a line is that was printed behind the ends of all
// invocations up to the index last. The one with the latest end is nearest; but
// others that ran beside it and have ended lately as well may have printed it.
func (i *instance) late(last int, t time.Time, grace time.Duration) (string, faas.Attribution, []string) {
	latest := i.invocations[last].latest
	if latest == nil || i.endOf(latest).Before(t.Add(-grace)) {
		return "", faas.AttributionNone, nil
	}
	var buf [maxCandidates]*invocation
	beside := append(buf[:0], latest)
	for n := last; n >= 0 && len(beside) < cap(beside); n-- {
		v := i.invocations[n]
		if v.latest == nil || i.endOf(v.latest).Before(t.Add(-grace)) {
			break
		}
		if end := i.endOf(v); v.requestID != latest.requestID && end.After(latest.start) && !end.Before(t.Add(-grace)) {
			beside = append(beside, v)
		}
	}
	if len(beside) > 1 {
		return "", faas.AttributionAmbiguous, candidates(beside)
	}
	return latest.requestID, faas.AttributionLate, nil
}

func candidates(list []*invocation) []string {
	ids := make([]string, len(list))
	for n, v := range list {
		ids[n] = v.requestID
	}
	return distinct(ids)
}

// distinct sorts ids, so that the same candidates are the same row.
func distinct(ids []string) []string {
	slices.Sort(ids)
	return slices.Compact(ids)
}
