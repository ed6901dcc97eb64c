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
	// store still has them.
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
	recent    *list.List  // of *instance, least recently used in front
	memory    int         // bytes of what is remembered
	held      int         // lines that wait
	doubted   []*instance // whose lines Take has to look at
	revision  uint64
	out       Output
}

// New returns an empty correlator.
func New(cfg Config) *Correlator {
	return &Correlator{cfg: cfg, instances: map[Key]*instance{}, recent: list.New()}
}

// Known reports whether the correlator remembers the instance. What it does
// not know the caller has to Restore first, even if the store has nothing; only
// events that are Apart need no memory.
func (c *Correlator) Known(k Key) bool { return c.instances[k] != nil }

// Restore tells what the store knows of an instance: nil and empty are fine.
// Lines are the newest ones, in the order of time.
func (c *Correlator) Restore(k Key, start *schema.ColdStartRow, invocations []schema.InvocationRow, lines []schema.LogRow, now time.Time) {
	if c.Known(k) {
		return
	}
	i := c.use(k, now)
	i.restore(start, invocations)
	c.charge(i)
	for n := range lines {
		r := remembered{row: lines[n], explicit: idsIn(lines[n].Body)}
		if r.row.Attribution == faas.AttributionExplicit {
			r.explicit = append(r.explicit, r.row.RequestID) // the sender may have named it
		}
		c.remember(i, r)
		c.revision = max(c.revision, lines[n].Revision)
	}
}

// Line takes a line in, and keeps it: it must not change any more. now is the
// time of its arrival.
func (c *Correlator) Line(l *faas.Line, t Ticket, now time.Time) {
	i := c.use(KeyOf(l.Ref), now)
	r := remembered{row: schema.LogRow{Line: l}, explicit: explicitIDs(l), fresh: true}
	if i.explains(&r) || i.silentSince(now.Add(-c.cfg.Hold), l.Time) {
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
	if from, changed := c.apply(i, e); changed {
		c.doubt(i, from)
	}
	c.charge(i)
	c.out.Logs = append(c.out.Logs, platformRow(i, e, c.revision))
	i.see(e.Time)
	c.release(i, func(h *held) bool { return i.explains(&h.remembered) })
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
// instances that do not fit the memory any more.
func (c *Correlator) Take() Output {
	for _, i := range c.doubted {
		c.attribute(i)
	}
	c.doubted = c.doubted[:0]
	out := c.out
	c.out = Output{}
	for e := c.recent.Front(); e != nil && c.memory > c.cfg.Memory; {
		i, next := e.Value.(*instance), e.Next()
		if len(i.held) == 0 {
			c.forget(i)
		}
		e = next
	}
	return out
}

func (c *Correlator) use(k Key, now time.Time) *instance {
	i := c.instances[k]
	if i == nil {
		i = &instance{key: k, firstSeen: now}
		i.element = c.recent.PushBack(i)
		c.instances[k] = i
		c.charge(i)
	}
	c.recent.MoveToBack(i.element)
	return i
}

// charge counts what an instance takes beside its lines, roughly.
func (c *Correlator) charge(i *instance) {
	const each, invocation = 1 << 10, 160
	now := each + invocation*len(i.invocations)
	c.memory += now - i.charged
	i.charged = now
}

func (c *Correlator) forget(i *instance) {
	for n := range i.lines {
		c.memory -= i.lines[n].size()
	}
	c.memory -= i.charged
	c.recent.Remove(i.element)
	delete(c.instances, i.key)
}

func (c *Correlator) release(i *instance, ready func(*held) bool) {
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

func (c *Correlator) settle(i *instance, r remembered, t Ticket) {
	c.remember(i, r)
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

// attribute gives the lines in doubt their request by what is known now, and
// gives out those that are new or have another one than before.
func (c *Correlator) attribute(i *instance) {
	for n := i.search(i.doubtFrom); n < len(i.lines); n++ {
		r := &i.lines[n]
		before := r.row
		i.attribute(r, c.cfg.Grace)
		if !r.fresh {
			if sameAttribution(&before, &r.row) {
				continue
			}
			c.out.Corrected++
		}
		c.revision++
		r.fresh, r.row.Revision = false, c.revision
		c.out.Logs = append(c.out.Logs, r.row)
	}
	i.doubted = false
	c.trim(i)
}

func (c *Correlator) remember(i *instance, r remembered) {
	c.memory += r.size()
	at := len(i.lines)
	for at > 0 && i.lines[at-1].row.Time.After(r.row.Time) {
		at--
	}
	i.lines = append(i.lines, remembered{})
	copy(i.lines[at+1:], i.lines[at:])
	i.lines[at] = r
}

// trim forgets an instance's oldest lines; by quarters, since the rest has to
// be moved.
func (c *Correlator) trim(i *instance) {
	over := len(i.lines) - c.cfg.InstanceLines
	if over <= c.cfg.InstanceLines/4 {
		return
	}
	for n := range over {
		c.memory -= i.lines[n].size()
	}
	i.lines = slices.Delete(i.lines, 0, over)
}
