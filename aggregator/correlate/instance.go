package correlate

import (
	"container/list"
	"slices"
	"sort"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// maxPhases bounds the phases of an instance that are told apart, for metrics.
const maxPhases = 64

// instance is what is known of one instance. Times that are not known are
// zero. Its events' times and those of its lines may be of different clocks:
// here, a line's time is compared after it was brought to the events' (line).
type instance struct {
	key       Key
	element   *list.Element
	firstSeen time.Time // when the correlator heard of it first
	charged   int       // bytes counted for it beside its lines

	source, host string        // who tells of it, and where its lines are from
	offset       time.Duration // of source's clock, ahead of host's
	slack        time.Duration // by which offset may be wrong

	watermark time.Time // time of its newest event; zero: no event yet
	lives     []life    // by time; one, unless it came back after it had stopped
	phases    map[phaseKey]bool

	invocations []*invocation // by start
	running     []*invocation // those of them that have no end
	attempts    map[string]int
	forgotten   time.Time // start of the newest of the earlier ones that are not remembered; zero: all are
	horizon     time.Time // up to which they have been forgotten, on the lines' clock
	reach       time.Time // up to when lines may depend on them, beside others that started before horizon

	lines    []*remembered // by time
	outlines []*outline    // by from; of lines that are not remembered any more
	dropped  time.Time     // of the newest line of which there is no outline, either
	naming   time.Time     // of the newest such line that may name an invocation which is not known
	held     []held        // by arrival
	slab     []remembered  // for the next lines

	doubted     bool // lines from doubtFrom on have to be looked at
	doubtFrom   time.Time
	stirred     bool // and outlines from stirredFrom on
	stirredFrom time.Time
	overdue     []Span
}

type phaseKey struct {
	name  faas.Phase
	start int64
}

type invocation struct {
	owner              *instance // nil once it is forgotten
	requestID          string
	queued, start, end time.Time     // end is zero while nobody has told it
	cold               bool          // it says itself that it waited for the start
	told               bool          // its cold row has been given out
	fresh              bool          // it was not known at the last Take
	overdue            bool          // and lines that are forgotten may be its own
	wait               time.Duration // what that row says
	// latest is the invocation that ended last of those that started no later
	// and have ended; nil if there is none.
	latest *invocation
}

type held struct {
	*remembered
	ticket Ticket
	until  time.Time
}

// measuredOnly reports whether nobody has told of an invocation but who measured
// it: what its lines are is not settled by that, and so it is not known yet.
func measuredOnly(r *schema.InvocationRow) bool {
	return r.UsageShared != nil && r.Trigger == nil && r.QueuedAt == nil && r.EndedAt == nil
}

func (i *instance) see(t time.Time) {
	if t.After(i.watermark) {
		i.watermark = t
	}
}

// insert puts r among the lines, in the order of time.
func (i *instance) insert(r *remembered) {
	at := len(i.lines)
	if at > 0 && i.lines[at-1].time.After(r.time) {
		at = sort.Search(at, func(n int) bool { return i.lines[n].time.After(r.time) })
	}
	if at == len(i.lines) {
		i.lines = append(i.lines, r)
		return
	}
	i.lines = slices.Insert(i.lines, at, r)
}

// search is the index of the first remembered line at t or later.
func (i *instance) search(t time.Time) int {
	n := len(i.lines)
	if n > 0 && i.lines[n-1].time.Before(t) {
		return n
	}
	return sort.Search(n, func(n int) bool { return !i.lines[n].time.Before(t) })
}

// index brings latest and running up to date after the invocation at from was
// put in or has another end.
func (i *instance) index(from int) {
	var latest *invocation
	if from > 0 {
		latest = i.invocations[from-1].latest
	}
	for _, v := range i.invocations[from:] {
		if end := i.endOf(v); !end.IsZero() && (latest == nil || !end.Before(i.endOf(latest))) {
			latest = v
		}
		v.latest = latest
	}
	var still []*invocation // of those that started before
	var boundary time.Time
	if from > 0 {
		boundary = i.invocations[from-1].start
		n := len(i.running)
		for n > 0 && i.running[n-1].start.After(boundary) {
			n--
		}
		still = slices.DeleteFunc(i.running[:n], func(v *invocation) bool { return !i.endOf(v).IsZero() })
	}
	for _, v := range i.invocations[from:] {
		if i.endOf(v).IsZero() && (v.start.After(boundary) || !slices.Contains(still, v)) {
			still = append(still, v)
		}
	}
	i.running = still
}

// before is the index of the last invocation that started at t or before, -1 if none did.
func (i *instance) before(t time.Time) int {
	n := len(i.invocations)
	if n > 0 && !i.invocations[n-1].start.After(t) {
		return n - 1
	}
	return sort.Search(n, func(n int) bool { return i.invocations[n].start.After(t) }) - 1
}

// endOf is when the invocation ended; the end of its instance, or of that life
// of it, ends those that are open.
func (i *instance) endOf(v *invocation) time.Time {
	if !v.end.IsZero() || len(i.lives) == 0 {
		return v.end
	}
	l, next := i.lifeAt(v.start)
	switch {
	case !l.stopped.Before(v.start):
		return l.stopped
	case next != nil:
		return next.from
	}
	return time.Time{}
}

// openIn gathers the invocations that were open at some time between from and
// to, one of each request, in buf, as many as fit.
func (i *instance) openIn(from, to time.Time, buf []*invocation) []*invocation {
	if len(i.running) == 1 && !i.running[0].start.After(to) { // as it mostly is
		if latest := i.invocations[len(i.invocations)-1].latest; latest == nil || i.endOf(latest).Before(from) {
			return append(buf, i.running[0])
		}
	}
	add := func(v *invocation) bool {
		for _, other := range buf {
			if other.requestID == v.requestID {
				return true
			}
		}
		buf = append(buf, v)
		return len(buf) < cap(buf)
	}
	for _, v := range i.running {
		if !v.start.After(to) && !add(v) {
			return buf
		}
	}
	for n := i.before(to); n >= 0; n-- {
		v := i.invocations[n]
		if v.latest == nil || i.endOf(v.latest).Before(from) {
			break
		}
		if end := i.endOf(v); !end.IsZero() && !end.Before(from) && !add(v) {
			break
		}
	}
	return buf
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
