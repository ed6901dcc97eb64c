package correlate

import (
	"slices"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// maxLives bounds the lives of one instance that are remembered; the oldest go first.
const maxLives = 32

// life is one life of an instance, from the demand for it to its end. An
// instance has one, unless it is started again under the same name after it
// has stopped.
type life struct {
	number uint32    // names it in the store
	from   time.Time // its first sign; zero for the first life, to which all belongs that lies before the second

	course

	row            schema.ColdStartRow // all that has been given out of it
	told, observed account             // by the platform; by who sees it from outside
	counted        bool                // its readiness has been given out, for metrics
	stored         account             // by whom, nobody knows any more
	restored       bool                // that is all that is known
	sampled        bool                // the two have said how far their clocks are apart
}

// course is what is known of how a life went, on the clock of the instance's events.
type course struct {
	demanded, ready, stopped time.Time
	demandedBy               string // request ID
	initialization           faas.Initialization
}

// account is what one side says of a life.
type account struct{ demanded, ready, stopped time.Time }

func (a *account) at(d faas.Data) *time.Time {
	switch d.(type) {
	case faas.Demanded:
		return &a.demanded
	case faas.Ready:
		return &a.ready
	default:
		return &a.stopped
	}
}

// lifeAt is the life that t lies in, and the one after it, nil if there is none.
// There must be one.
func (i *instance) lifeAt(t time.Time) (at, next *life) {
	n := len(i.lives) - 1
	for n > 0 && t.Before(i.lives[n].from) {
		next = &i.lives[n]
		n--
	}
	return &i.lives[n], next
}

// lifeOf finds the life that a Demanded, Ready or Stopped event is about, or
// begins one. Facts of a later life come after the end of the one before it, or
// after its readiness if its end was missed, and its own end comes after its beginning.
func (i *instance) lifeOf(e *faas.Event) *life {
	if len(i.lives) == 0 {
		i.lives = append(i.lives, life{})
	}
	for n := range i.lives {
		l := &i.lives[n]
		if l.side(e).at(e.Data).Equal(e.Time) || l.stored.at(e.Data).Equal(e.Time) {
			return l // the same fact again
		}
	}
	t := i.eventTime(e)
	l, next := i.lifeAt(t)
	if !l.over(e, t) {
		return l
	}
	if next != nil && next.side(e).at(e.Data).IsZero() {
		return next // whose first sign came late, or from another clock
	}
	n := slices.IndexFunc(i.lives, func(o life) bool { return o.number == l.number }) + 1
	number := uint32(0)
	for _, o := range i.lives {
		number = max(number, o.number+1)
	}
	i.lives = slices.Insert(i.lives, n, life{number: number, from: t})
	if len(i.lives) > maxLives {
		i.lives = slices.Delete(i.lives, 0, 1)
		i.lives[0].from = time.Time{}
		n--
	}
	return &i.lives[n]
}

// side is the account that e belongs to.
func (l *life) side(e *faas.Event) *account {
	if e.Observed {
		return &l.observed
	}
	return &l.told
}

// eventTime is e's time on the platform's clock.
func (i *instance) eventTime(e *faas.Event) time.Time {
	if e.Observed {
		return i.line(e.Time)
	}
	return e.Time
}

// over reports whether the life had ended before e, which was at t, so that e is
// the sign of another one. What one side says is held against its own word, if
// there is one: two sides' clocks may differ.
func (l *life) over(e *faas.Event, t time.Time) bool {
	same := l.side(e)
	stopped := !l.stopped.IsZero() && t.After(l.stopped)
	if !same.stopped.IsZero() {
		stopped = e.Time.After(same.stopped)
	}
	switch e.Data.(type) {
	case faas.Demanded:
		return stopped || !same.ready.IsZero() && e.Time.After(same.ready) || l.restored && !l.ready.IsZero() && t.After(l.ready)
	case faas.Ready:
		expected := !same.demanded.IsZero() && same.ready.IsZero() && same.stopped.IsZero() && !l.restored
		return stopped && !expected
	}
	return false
}

// life folds row, which says what e does, into the life that e is about, and
// gives it out. What a platform tells replaces what is known; what was only
// observed fills holes. An end changes what comes behind it, all else the whole life.
func (c *Correlator) life(i *instance, e *faas.Event, row schema.ColdStartRow) (*life, change) {
	lives := len(i.lives)
	l := i.lifeOf(e)
	before, from := l.course, l.from
	row.Life = l.number
	l.row.Life = l.number
	*l.side(e).at(e.Data) = e.Time
	foldStart(&l.row, &row, !e.Observed)
	l.settle(i.offset)
	c.out.ColdStarts = append(c.out.ColdStarts, row)
	if before == l.course && lives == len(i.lives) {
		return l, change{}
	}
	i.index(0) // it may end what is open
	if _, end := e.Data.(faas.Stopped); end {
		from = earlier(l.stopped, before.stopped)
	} else if l.from.Before(from) {
		from = l.from
	}
	return l, change{from: i.lineTime(from), made: true}
}

// settle works out what the life's facts are on the clock of the instance's events.
func (l *life) settle(offset time.Duration) {
	for _, f := range []struct {
		at                     *time.Time
		told, stored, observed time.Time
	}{
		{&l.demanded, l.told.demanded, l.stored.demanded, l.observed.demanded},
		{&l.ready, l.told.ready, l.stored.ready, l.observed.ready},
		{&l.stopped, l.told.stopped, l.stored.stopped, l.observed.stopped},
	} {
		switch {
		case !f.told.IsZero():
			*f.at = f.told
		case !f.stored.IsZero():
			*f.at = f.stored
		case !f.observed.IsZero():
			*f.at = f.observed.Add(offset)
		}
	}
	if begun := !l.demanded.IsZero() || !l.ready.IsZero(); begun && !l.from.IsZero() {
		l.from = l.demanded
		if l.demanded.IsZero() || !l.ready.IsZero() && l.ready.Before(l.demanded) {
			l.from = l.ready
		}
	}
	if l.row.RequestID != nil {
		l.demandedBy = *l.row.RequestID
	}
	if l.row.Initialization != nil {
		l.initialization = faas.Initialization(*l.row.Initialization)
	}
}

func (i *instance) restoreLife(r *schema.ColdStartRow) {
	l := life{number: r.Life, row: *r, restored: true, stored: account{timeOf(r.DemandedAt), timeOf(r.ReadyAt), timeOf(r.StoppedAt)}}
	l.settle(0)
	for _, t := range []time.Time{l.demanded, l.ready, l.stopped} {
		i.see(t)
		if len(i.lives) > 0 && l.from.IsZero() {
			l.from = t
		}
	}
	if r.ClockOffsetNS != nil && r.ClockSlackNS != nil {
		i.offset, i.slack = time.Duration(*r.ClockOffsetNS), time.Duration(*r.ClockSlackNS)
	}
	i.lives = append(i.lives, l)
}

// foldStart adds to known what row says. If row does not replace what is known,
// it loses what says otherwise. The instance's host is better known to who sees it.
func foldStart(known, row *schema.ColdStartRow, replace bool) {
	fold(&known.Host, &row.Host, !replace)
	fold(&known.Version, &row.Version, replace)
	fold(&known.Initialization, &row.Initialization, replace)
	fold(&known.RequestID, &row.RequestID, replace)
	fold(&known.DemandedAt, &row.DemandedAt, replace)
	fold(&known.ReadyAt, &row.ReadyAt, replace)
	fold(&known.StoppedAt, &row.StoppedAt, replace)
	fold(&known.StopReason, &row.StopReason, replace)
	fold(&known.ExitCode, &row.ExitCode, replace)
	fold(&known.OOM, &row.OOM, replace)
	fold(&known.MemoryPeak, &row.MemoryPeak, replace)
	fold(&known.CPUTimeNS, &row.CPUTimeNS, replace)
	fold(&known.Image, &row.Image, replace)
	fold(&known.Digest, &row.Digest, replace)
	fold(&known.ImageBytes, &row.ImageBytes, replace)
	fold(&known.Registry, &row.Registry, replace)
	fold(&known.Region, &row.Region, replace)
	fold(&known.MemoryLimit, &row.MemoryLimit, replace)
}

func fold[T any](known, v **T, replace bool) {
	switch {
	case *v == nil:
	case *known == nil || replace:
		*known = *v
	default:
		*v = nil
	}
}

// startedFor is the request for which a life was begun: the one that demanded
// it, else the first that waited for it; empty for a provisioned one.
func (i *instance) startedFor(l *life) string {
	if l == nil {
		return ""
	}
	if l.demandedBy != "" {
		return l.demandedBy
	}
	first := i.firstOf(l)
	if l.initialization == faas.Provisioned || first == len(i.invocations) {
		return ""
	}
	v := i.invocations[first]
	if at, _ := i.lifeAt(v.start); at == l && waited(l, v) > 0 {
		return v.requestID
	}
	return ""
}

// begun is a Start of a life of an instance, which at lies in.
type begun struct {
	Start
	of *instance
	at time.Time
}

// giveBegun gives out the starts with the requests that they were for. Who waited
// for a start is often told behind it, in the same submission.
func (c *Correlator) giveBegun() {
	for n := range c.begun {
		b := &c.begun[n]
		if len(b.of.lives) > 0 {
			l, _ := b.of.lifeAt(b.at)
			b.RequestID = b.of.startedFor(l)
		}
		if b.RequestID != "" {
			b.TraceID = b.of.traceOf(b.RequestID)
		}
		c.out.Started = append(c.out.Started, b.Start)
	}
	clear(c.begun)
	c.begun = c.begun[:0]
}

// traceOf is the trace that remembered lines of a request name, empty if none does.
func (i *instance) traceOf(requestID string) string {
	for _, r := range i.lines {
		if r.owner != nil && r.requestID == requestID && r.line.TraceID != "" {
			return r.line.TraceID
		}
	}
	return ""
}

// firstOf is the index of the first invocation that belongs to the life or a later one.
func (i *instance) firstOf(l *life) int {
	if l == nil || l.from.IsZero() {
		return 0
	}
	return i.before(l.from.Add(-1)) + 1
}

// forgottenOf reports whether some invocation of the life is not remembered any
// more: then none that is has been its first.
func (i *instance) forgottenOf(l *life) bool {
	return !i.forgotten.IsZero() && (l == nil || !i.forgotten.Before(l.from))
}

// waited is how long the invocation waited for the start of its instance's life.
func waited(l *life, v *invocation) time.Duration {
	if l.initialization == faas.Provisioned {
		return 0
	}
	queued := v.queued
	if queued.IsZero() {
		queued = v.start
	}
	switch {
	case l.ready.IsZero() && l.demandedBy == v.requestID && l.demandedBy != "": // the start failed, or is not known to have ended
		return max(v.start.Sub(queued), 0)
	case l.ready.IsZero():
		return 0
	}
	return max(l.ready.Sub(queued), 0)
}
