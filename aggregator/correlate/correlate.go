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
	"slices"
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
	// Memory bounds the bytes of what is remembered of instances, mostly lines
	// that may have to be corrected. The least recently used go first; the
	// store still has them. An instance's lines take at most a quarter of it.
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
// every held or direct line in it, once per line.
type Output struct {
	Logs        []schema.LogRow
	Invocations []schema.InvocationRow
	ColdStarts  []schema.ColdStartRow
	Phases      []schema.PhaseRow
	Layers      []schema.LayerRow
	Ledgers     []schema.LedgerRow
	Gaps        []schema.GapRow
	Released    []Ticket
	Started     []Start // starts that became ready, for metrics
	Corrected   int     // rows in Logs that correct an earlier one
	Forgotten   int     // instances that did not fit the memory any more
}

// Start is one finished start, and one phase of it if Phase is set.
type Start struct {
	Ref            faas.Ref
	Initialization faas.Initialization
	Phase          faas.Phase // empty: the whole start
	Duration       time.Duration
}

// Correlator holds what is known of the instances that were seen lately. It
// is not safe for concurrent use.
type Correlator struct {
	cfg       Config
	instances map[Key]*instance
	recent    *list.List // of *instance, least recently used in front
	last      *instance  // the one used last: lines come by instance
	clocks    clocks
	memory    int         // bytes of what is remembered and held
	held      int         // lines that wait
	doubted   []*instance // whose lines Take has to look at
	revision  uint64
	out       Output
}

// New returns an empty correlator.
func New(cfg Config) *Correlator {
	return &Correlator{cfg: cfg, instances: map[Key]*instance{}, recent: list.New(), clocks: clocks{}}
}

// Known reports whether the correlator remembers the instance. What it does
// not know the caller has to Restore first, even if the store has nothing; only
// events that are Apart need no memory.
func (c *Correlator) Known(k Key) bool { return c.instances[k] != nil }

// Restore tells what the store knows of an instance: nil and empty are fine.
// Starts are those of its lives, lines are the newest ones, in the order of time.
func (c *Correlator) Restore(k Key, starts []schema.ColdStartRow, invocations []schema.InvocationRow, lines []schema.LogRow, now time.Time) {
	if c.Known(k) {
		return
	}
	i := c.use(k, now)
	i.restore(starts, invocations)
	c.charge(i)
	for n := range lines {
		r := &remembered{row: lines[n], explicit: idsIn(lines[n].Body)}
		if r.row.Attribution == string(faas.AttributionExplicit) {
			r.explicit = append(r.explicit, r.row.RequestID) // the sender may have named it
		}
		c.memory += r.size()
		i.remember(r)
		c.revision = max(c.revision, lines[n].Revision)
	}
}

// Line takes a line in. now is the time of its arrival.
func (c *Correlator) Line(l *faas.Line, t Ticket, now time.Time) {
	i := c.use(KeyOf(l.Ref), now)
	if i.host == "" && l.Host != "" {
		i.host = l.Host
	}
	r := &remembered{explicit: explicitIDs(l), fresh: true}
	fillRow(&r.row, l)
	c.memory += r.size()
	if i.explains(r) || i.silentSince(now.Add(-c.cfg.Hold), l.Time) {
		c.settle(i, r, t)
		return
	}
	i.held = append(i.held, held{r, t, now.Add(c.cfg.Hold)})
	c.held++
}

// Event takes a fact in. The lines that it explains are corrected by Take.
func (c *Correlator) Event(e *faas.Event, now time.Time) {
	if Apart(e) {
		c.account(e)
		return
	}
	i := c.use(KeyOf(e.Ref), now)
	c.revision = max(c.revision+1, uint64(now.UnixNano()))
	i.hear(e)
	if from, changed := c.apply(i, e); changed {
		c.doubt(i, from)
	}
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
	for _, i := range c.instances {
		c.release(i, func(h *held) bool { return !now.Before(h.until) })
	}
}

// Held is the number of lines that wait for an event.
func (c *Correlator) Held() int { return c.held }

// Take gives out what was settled since the last call, and forgets the
// instances that do not fit the memory any more; what is held of them is
// settled before.
func (c *Correlator) Take() Output {
	c.attributeDoubted()
	for c.memory > c.cfg.Memory {
		i := c.recent.Front().Value.(*instance)
		c.release(i, func(*held) bool { return true })
		c.attributeDoubted()
		c.forget(i)
		c.out.Forgotten++
	}
	out := c.out
	c.out = Output{Logs: make([]schema.LogRow, 0, len(out.Logs))}
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
	now := each + perLife*len(i.lives) + perInvocation*len(i.invocations) + perPhase*len(i.phases)
	c.memory += now - i.charged
	i.charged = now
}

func (c *Correlator) forget(i *instance) {
	c.memory -= i.lineBytes + i.charged
	i.lines, i.lineBytes, i.charged = nil, 0, 0
	c.recent.Remove(i.element)
	delete(c.instances, i.key)
	if c.last == i {
		c.last = nil
	}
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
			c.settle(i, h.remembered, h.ticket)
			continue
		}
		kept = append(kept, *h)
	}
	clear(i.held[len(kept):])
	i.held = kept
}

func (c *Correlator) settle(i *instance, r *remembered, t Ticket) {
	i.remember(r)
	c.doubt(i, r.row.Time)
	c.out.Released = append(c.out.Released, t)
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
	for _, i := range c.doubted {
		c.attribute(i)
	}
	clear(c.doubted)
	c.doubted = c.doubted[:0]
}

// attribute gives the lines in doubt their request by what is known now, and
// gives out those that are new or have another one than before.
func (c *Correlator) attribute(i *instance) {
	for n := i.search(i.doubtFrom); n < len(i.lines); n++ {
		r := i.lines[n]
		changed := i.attribute(r, c.cfg.Grace)
		switch {
		case r.fresh:
			r.fresh = false
		case changed:
			c.out.Corrected++
		default:
			continue
		}
		c.revision++
		r.row.Revision = c.revision
		c.out.Logs = append(c.out.Logs, r.row)
	}
	i.doubted = false
	c.trim(i)
}

// trim forgets an instance's oldest lines; by quarters, since the rest has to
// be moved.
func (c *Correlator) trim(i *instance) {
	most := c.cfg.Memory / 4
	if len(i.lines) <= c.cfg.InstanceLines+c.cfg.InstanceLines/4 && i.lineBytes <= most {
		return
	}
	over := 0
	for len(i.lines)-over > c.cfg.InstanceLines || i.lineBytes > most-most/4 {
		size := i.lines[over].size()
		i.lineBytes -= size
		c.memory -= size
		over++
	}
	i.lines = slices.Delete(i.lines, 0, over)
}
