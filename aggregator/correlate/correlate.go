// Package correlate gives lines their request and folds events into the rows
// of invocations, cold starts, phases and layers, and the collectors' accounts
// into those of ledgers and gaps. It is pure: facts in, settled rows out; no
// clock, no I/O, no goroutine. The caller passes the time in.
//
// The order of evidence for a line (see faas.Attribution): an ID in the line
// that names a known invocation of its instance; exactly one invocation open
// at the line's time; before the first invocation; shortly after an end;
// several open. A line that no event explains yet is held for a short time.
// What becomes known later corrects what was settled: the line's row is given
// out again with a higher revision.
package correlate

import (
	"container/list"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// Config bounds what a Correlator waits for and remembers.
type Config struct {
	// Hold is how long a line waits for an event that explains it.
	Hold time.Duration
	// Grace is how long after an invocation's end a line still counts as its own.
	Grace time.Duration
	// Memory bounds the bytes of what is remembered. At most half of it are
	// instances and their invocations, of which those that were heard of longest
	// ago go first, and at most three eighths outlines of lines: what tells whether
	// a line has to be corrected. The rest is the newest lines as they are. The
	// store still has what is forgotten.
	Memory int
	// InstanceLines bounds the lines remembered per instance.
	InstanceLines int
}

// DefaultConfig is what a platform with one request at a time per instance needs.
func DefaultConfig() Config {
	return Config{Hold: 500 * time.Millisecond, Grace: 2 * time.Second, Memory: 64 << 20, InstanceLines: 4096}
}

// Ticket stands for the submission that a line came with. The correlator only
// hands it back when it has settled the line.
type Ticket any

// Key names an instance.
type Key struct{ Tenant, Namespace, Function, Instance string }

// KeyOf gives the key of ref's instance.
func KeyOf(ref faas.Ref) Key { return Key{ref.Tenant, ref.Namespace, ref.Function, ref.Instance} }

// Output is what was settled since the last Take. Released holds the ticket of
// every held or direct line in it, once per line. Logs, Released and Held are
// used again: they hold until the next Take.
type Output struct {
	Logs        []schema.LogRow
	Invocations []schema.InvocationRow
	ColdStarts  []schema.ColdStartRow
	Phases      []schema.PhaseRow
	Layers      []schema.LayerRow
	Ledgers     []schema.LedgerRow
	Gaps        []schema.GapRow
	Released    []Ticket
	Started     []Start         // starts that became ready, for metrics
	Held        []time.Duration // how long lines waited, of each that did
	Corrected   int             // rows in Logs that correct an earlier one
	Forgotten   int             // instances that did not fit the memory any more
	Overdue     []Span          // lines whose text is forgotten, and that are to be looked at again: see Recheck; an instance may have several spans
}

// Start is one finished start, and one phase of it if Phase is set.
type Start struct {
	Ref            faas.Ref
	Initialization faas.Initialization
	Phase          faas.Phase // empty: the whole start
	Duration       time.Duration
	RequestID      string // for which the instance was started; empty if that is not known
	TraceID        string // which that request's lines name, if they do
}

// Correlator holds what is known of the instances that were seen lately. It
// is not safe for concurrent use.
type Correlator struct {
	cfg       Config
	instances map[Key]*instance
	recent    *list.List // of *instance, least recently used in front
	last      *instance  // the one used last: lines come by instance
	asked     *instance  // the one that Known was asked about last
	clocks    clocks
	memory    int                // bytes of what is remembered and held
	state     int                // those of them that are no lines
	outlined  int                // those of them that are outlines
	heard     queue[*invocation] // all that are remembered but some of each instance's newest, in the order of arrival
	lines     queue[*remembered] // all that are remembered, in the order of arrival
	outlines  queue[*outline]    // all that there are, the oldest first
	held      int                // lines that wait
	doubted   []*instance        // whose lines Take has to look at
	fresh     []*invocation      // that were heard of since the last Take
	owing     []*instance        // of which something is overdue
	revision  uint64
	now       time.Time // as of the newest fact that concerns held lines
	begun     []begun   // to be given out by Take
	out       Output
	given     Output // by the last Take
}

// New returns an empty correlator.
func New(cfg Config) *Correlator {
	return &Correlator{cfg: cfg, instances: map[Key]*instance{}, recent: list.New(), clocks: clocks{}}
}

// Known reports whether the correlator remembers what the instance did at a
// time. What it does not know the caller has to Restore first, even if the store
// has nothing; only events that are Apart need no memory.
func (c *Correlator) Known(k Key, at time.Time) bool {
	i := c.asked
	if i == nil || i.key != k {
		i = c.instances[k]
		c.asked = i
	}
	return i != nil && at.After(i.horizon)
}

// Forget settles what is held of an instance and forgets it, so that it can be
// restored as of an earlier time. What Take gives out must be in the store before.
func (c *Correlator) Forget(k Key) {
	if i := c.instances[k]; i != nil {
		c.settleAll(i)
		c.forget(i)
		c.out.Forgotten++
	}
}

// Stored is what the store knows of an instance; empty is fine.
type Stored struct {
	Starts      []schema.ColdStartRow // of its lives, in their order
	Invocations []schema.InvocationRow
	// Lines tells up to when there are lines, and Revision their highest one. The
	// lines themselves are asked for if they may belong elsewhere: see Overdue.
	Lines    time.Time
	Revision uint64
}

// Restore tells what the store knows of an instance.
func (c *Correlator) Restore(k Key, s Stored, now time.Time) {
	if c.instances[k] != nil {
		return
	}
	i := c.use(k, now)
	for n := range s.Starts {
		i.restoreLife(&s.Starts[n])
	}
	c.restoreInvocations(i, s.Invocations)
	i.dropped, i.naming = s.Lines, s.Lines
	c.revision = max(c.revision, s.Revision)
	c.charge(i)
}

// Recheck corrects lines of an instance that the correlator has forgotten, as
// the store holds them. The instance itself must be Known.
func (c *Correlator) Recheck(k Key, rows []schema.LogRow) {
	i := c.instances[k]
	if i == nil {
		return
	}
	for n := range rows {
		c.revision = max(c.revision, rows[n].Revision)
	}
	c.revision++
	for n := range rows {
		r := restored(&rows[n])
		if !r.time.After(i.horizon) {
			continue
		}
		if i.attribute(r, c.cfg.Grace) {
			c.give(r)
			c.out.Corrected++
		}
		if r.time.After(i.dropped) && !i.remembers(r) && !i.outlined(r) && !c.outline(i, r) {
			i.lose(r.time, true)
		}
	}
}

// Line takes a line in. now is the time of its arrival.
func (c *Correlator) Line(l *faas.Line, t Ticket, now time.Time) {
	c.now = now
	i := c.use(KeyOf(l.Ref), now)
	if i.host == "" && l.Host != "" {
		i.host = l.Host
	}
	if i.watermark.IsZero() && i.silentSince(now.Add(-c.cfg.Hold), l.Time) {
		c.pass(i, l, t)
		return
	}
	r := i.remembered(l)
	c.memory += r.size()
	if i.explains(r) || i.silentSince(now.Add(-c.cfg.Hold), l.Time) {
		c.settle(i, r, t)
		return
	}
	i.held = append(i.held, held{r, t, now.Add(c.cfg.Hold)})
	c.held++
}

// pass gives out a line of an instance of which nobody has told anything for as
// long as lines are held, and forgets it: mostly nobody ever will. If somebody
// does, it is overdue.
func (c *Correlator) pass(i *instance, l *faas.Line, t Ticket) {
	r := remembered{line: l, time: l.Time}
	i.attribute(&r, c.cfg.Grace)
	c.revision = max(c.revision, uint64(max(0, c.now.UnixNano())))
	c.give(&r)
	i.lose(r.time, true)
	c.out.Released = append(c.out.Released, t)
}

// Event takes a fact in. The lines that it explains are corrected by Take.
func (c *Correlator) Event(e *faas.Event, now time.Time) {
	if Apart(e) {
		c.account(e)
		return
	}
	c.now = now
	i := c.use(KeyOf(e.Ref), now)
	c.revision = max(c.revision+1, uint64(now.UnixNano()))
	i.hear(e)
	c.change(i, c.apply(i, e))
	c.synchronize(i)
	c.charge(i)
	c.out.Logs = append(c.out.Logs, platformRow(i, e, c.revision))
	i.see(e.Time)
	c.release(i, func(h *held) bool { return i.explains(h.remembered) })
}

// Advance settles the lines that have waited long enough.
func (c *Correlator) Advance(now time.Time) {
	if c.held == 0 {
		return
	}
	c.now = now
	for e := c.recent.Front(); e != nil; e = e.Next() {
		c.release(e.Value.(*instance), func(h *held) bool { return !now.Before(h.until) })
	}
}

// Held is the number of lines that wait for an event.
func (c *Correlator) Held() int { return c.held }

// Take gives out what was settled since the last call, and forgets what does
// not fit the memory any more; lines that are held for such an instance are
// settled before.
func (c *Correlator) Take() Output {
	c.attributeDoubted()
	c.reviewFresh()
	state, outlined := c.cfg.Memory/8*4, c.cfg.Memory/8*3
	for c.state > state || c.outlined > outlined || c.memory > c.cfg.Memory {
		switch {
		case c.outlined > outlined:
			c.dropOutline()
			continue
		case c.state <= state && !c.lines.empty():
			c.drop(c.lines.pop())
			continue
		case c.state > state && !c.heard.empty():
			c.dropInvocation()
			continue
		}
		i := c.recent.Front().Value.(*instance)
		c.settleAll(i)
		c.forget(i)
		c.out.Forgotten++
	}
	c.giveBegun()
	c.giveOverdue()
	out, before := c.out, c.given
	clear(before.Logs)
	clear(before.Released)
	c.given = out
	c.out = Output{Logs: before.Logs[:0], Released: before.Released[:0], Held: before.Held[:0]}
	return out
}

func (c *Correlator) use(k Key, now time.Time) *instance {
	if c.last != nil && c.last.key == k {
		return c.last
	}
	i := c.instances[k]
	if i == nil {
		i = &instance{key: k, firstSeen: now}
		i.element = c.recent.PushBack(i)
		c.instances[k] = i
		c.charge(i)
	}
	c.recent.MoveToBack(i.element)
	c.last = i
	return i
}

// charge counts what an instance takes beside its lines, roughly.
func (c *Correlator) charge(i *instance) {
	const each, perLife, perInvocation, perPhase = 1 << 10, 1 << 10, 256, 48
	if len(i.invocations) > 2*MaxInvocations {
		c.forgetInvocations(i, len(i.invocations)-MaxInvocations, true)
	}
	now := each + perLife*len(i.lives) + perInvocation*len(i.invocations) + perPhase*len(i.phases)
	c.memory += now - i.charged
	c.state += now - i.charged
	i.charged = now
}

func (c *Correlator) forget(i *instance) {
	for _, r := range i.lines {
		c.free(r)
	}
	for _, o := range i.outlines {
		c.freeOutline(o)
	}
	for _, v := range i.invocations {
		v.owner = nil
		c.heard.dead++
	}
	c.memory -= i.charged
	c.state -= i.charged
	i.lines, i.outlines, i.charged = nil, nil, 0
	c.recent.Remove(i.element)
	delete(c.instances, i.key)
	if c.last == i {
		c.last = nil
	}
	if c.asked == i {
		c.asked = nil
	}
}

// remember keeps r among the instance's lines, for corrections.
func (c *Correlator) remember(i *instance, r *remembered) {
	r.owner = i
	i.insert(r)
	c.lines.push(r)
	if len(i.lines) > c.cfg.InstanceLines {
		c.drop(i.lines[0])
	}
}

// drop forgets a line's text, when what is in doubt of it is settled.
func (c *Correlator) drop(r *remembered) {
	if r.owner == nil {
		return
	}
	i := r.owner
	if i.doubted && !r.time.Before(i.doubtFrom) {
		c.attributeDoubted()
	}
	if r.time.After(i.dropped) && r.time.After(i.horizon) && !c.outline(i, r) {
		i.lose(r.time, true)
	}
	c.free(r)
	n := 0
	for n < len(i.lines) && i.lines[n].owner == nil {
		i.lines[n] = nil
		n++
	}
	i.lines = i.lines[n:]
}

// free takes a line's memory back; its time stays, it may lie among others.
func (c *Correlator) free(r *remembered) {
	if r.owner == nil {
		return
	}
	c.memory -= r.size()
	c.lines.dead++
	*r = remembered{time: r.time}
}

// settleAll settles what is held of an instance now.
func (c *Correlator) settleAll(i *instance) {
	c.release(i, func(*held) bool { return true })
	c.attributeDoubted()
}

func (c *Correlator) release(i *instance, ready func(*held) bool) {
	if len(i.held) == 0 {
		return
	}
	kept := i.held[:0]
	for n := range i.held {
		h := &i.held[n]
		if ready(h) {
			c.held--
			c.out.Held = append(c.out.Held, max(c.cfg.Hold-h.until.Sub(c.now), 0))
			c.settle(i, h.remembered, h.ticket)
			continue
		}
		kept = append(kept, *h)
	}
	clear(i.held[len(kept):])
	i.held = kept
}

func (c *Correlator) settle(i *instance, r *remembered, t Ticket) {
	if i.watermark.IsZero() {
		c.memory -= r.size()
		c.pass(i, r.line, t)
		*r = remembered{} // its slab may stay
		return
	}
	c.doubt(i, r.time) // first: remembering it may drop a line that is in doubt
	c.remember(i, r)
	c.out.Released = append(c.out.Released, t)
}

// change notes that lines of i may belong elsewhere now.
func (c *Correlator) change(i *instance, ch change) {
	if !ch.made {
		return
	}
	if len(i.invocations) > 0 && !i.lineTime(i.invocations[0].start).After(i.horizon) {
		i.horizon = later(i.horizon, i.reach)
	}
	c.doubt(i, ch.from)
	i.stir(ch.from)
	switch unknown := later(i.dropped, i.horizon); {
	case unknown.IsZero() || ch.from.After(unknown):
	case ch.by != nil:
		ch.by.overdue = true // how far is seen when all is known of it that has come
	default:
		c.overdue(i, ch.from, i.dropped)
	}
}

// doubt notes that the lines of i from the given time on have to be looked at.
// Take does that once for all facts since the last one.
func (c *Correlator) doubt(i *instance, from time.Time) {
	if !i.doubted {
		i.doubted, i.doubtFrom = true, from
		c.doubted = append(c.doubted, i)
	} else if from.Before(i.doubtFrom) {
		i.doubtFrom = from
	}
}

func (c *Correlator) attributeDoubted() {
	// One for all: what lines have in common takes no place on the disk. It is the
	// time, too, where only lines come: who follows lines goes by it.
	c.revision = max(c.revision+1, uint64(max(0, c.now.UnixNano())))
	for _, i := range c.doubted {
		c.attribute(i)
		c.reviewOutlines(i)
	}
	clear(c.doubted)
	c.doubted = c.doubted[:0]
}

// attribute gives the lines in doubt their request by what is known now, and
// gives out those that are new or have another one than before.
func (c *Correlator) attribute(i *instance) {
	i.doubted = false
	for n := i.search(i.doubtFrom); n < len(i.lines); n++ {
		r := i.lines[n]
		if r.owner == nil || !r.fresh && !r.time.After(i.horizon) {
			continue // what was said of it then, nobody knows better now
		}
		changed := i.attribute(r, c.cfg.Grace)
		switch {
		case r.fresh:
			r.fresh = false
		case changed:
			c.out.Corrected++
		default:
			continue
		}
		c.give(r)
	}
}

// give gives a line's row out. It is given out once with a revision.
func (c *Correlator) give(r *remembered) {
	c.out.Logs = append(c.out.Logs, r.row(c.revision))
}
