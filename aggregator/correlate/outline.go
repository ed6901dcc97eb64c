package correlate

import (
	"slices"
	"sort"
	"strings"
	"time"
	"unsafe"

	"github.com/coldscope/coldscope/internal/faas"
)

// outline is what stays of lines whose text is forgotten: when they were, what
// they name, and whose they are held to be. That is enough to see whether a
// fact that comes late changes any of them. Only those it does change are
// asked for in the store, where what they say is. Lines of one instance that
// follow each other and belong to the same are one outline, whether they name
// it or not.
type outline struct {
	owner      *instance // nil once it is forgotten
	from, to   time.Time // of the first and the last of the lines
	latest     time.Time // to, of this one and those before it
	requestID  string
	candidates []string
	names      []string         // IDs that each of the lines carries that carry any
	named      faas.Attribution // of the lines that carry names; empty: there is none
	bare       faas.Attribution // of those that carry none
}

const (
	// maxOutline is how far apart an outline's lines may be: what changes one of
	// them has all of them read.
	maxOutline = time.Second
	// Of lines that name more than this there is no outline.
	maxOutlineNames, maxOutlineBytes = 4, 256
)

func (o *outline) gone() bool { return o.owner == nil }

func (o *outline) size() int {
	const each = int(unsafe.Sizeof(outline{})) + 32 // the pointers to it
	n := each + int(unsafe.Sizeof(""))*(len(o.names)+len(o.candidates))
	for _, id := range o.names {
		n += len(id)
	}
	return n
}

// tells reports whether o says of a line what r does.
func (o *outline) tells(r *remembered) bool { return *o.how(r) == r.attribution && o.agrees(r) }

// how is where o says why its lines that carry names belong where they do, or
// those that do not, as r.
func (o *outline) how(r *remembered) *faas.Attribution {
	if r.line.RequestID == "" && len(r.line.Named) == 0 {
		return &o.bare
	}
	return &o.named
}

// agrees reports whether r belongs where o's lines do, for the reason that they
// have, and carries what they carry, as far as there are any like it.
func (o *outline) agrees(r *remembered) bool {
	how := o.how(r)
	return o.requestID == r.requestID && (*how == r.attribution || *how == "") && slices.Equal(o.candidates, r.candidates) &&
		(how == &o.bare || *how == "" || o.carries(r.line))
}

// carries reports whether o's names are those that the line carries: its
// sender's first.
func (o *outline) carries(l *faas.Line) bool {
	names := o.names
	if l.RequestID != "" {
		if len(names) == 0 || names[0] != l.RequestID {
			return false
		}
		names = names[1:]
	}
	return slices.Equal(names, l.Named)
}

// outline keeps what can be kept of a line that is not remembered any more, and
// reports whether it could.
func (c *Correlator) outline(i *instance, r *remembered) bool {
	t := r.time
	at := len(i.outlines)
	if at > 0 && i.outlines[at-1].from.After(t) {
		at = sort.Search(at, func(n int) bool { return i.outlines[n].from.After(t) })
	}
	if at > 0 && i.joins(i.outlines[at-1], r) && c.extend(i.outlines[at-1], r) {
		if o := i.outlines[at-1]; t.After(o.to) {
			o.to = t
			i.measure(at - 1)
		}
		return true
	}
	if at < len(i.outlines) && i.joins(i.outlines[at], r) && c.extend(i.outlines[at], r) {
		i.outlines[at].from = t
		return true
	}
	o := &outline{owner: i, from: t, to: t, requestID: r.requestID, candidates: r.candidates}
	if !o.add(r) {
		return false
	}
	i.outlines = slices.Insert(i.outlines, at, o)
	i.measure(at)
	c.outlines.push(o)
	c.outlined += o.size()
	c.memory += o.size()
	return true
}

// extend makes o one of r as well, if what that names is not too much.
func (c *Correlator) extend(o *outline, r *remembered) bool {
	before := o.size()
	if !o.add(r) {
		return false
	}
	c.outlined += o.size() - before
	c.memory += o.size() - before
	return true
}

// add makes o one of a line with which it agrees, and reports whether it could.
func (o *outline) add(r *remembered) bool {
	how := o.how(r)
	if *how == "" && how == &o.named && !o.name(r.line) {
		return false
	}
	*how = r.attribution
	return true
}

// name keeps copies of the IDs that the line carries, if they are not too many:
// its own are parts of whole pushes.
func (o *outline) name(l *faas.Line) bool {
	n, bytes := len(l.Named), 0
	for _, id := range l.Named {
		bytes += len(id)
	}
	if l.RequestID != "" {
		n, bytes = n+1, bytes+len(l.RequestID)
	}
	if n > maxOutlineNames || bytes > maxOutlineBytes {
		return false
	}
	o.names = make([]string, 0, n)
	if l.RequestID != "" {
		o.names = append(o.names, l.RequestID)
	}
	o.names = append(o.names, l.Named...)
	for n, id := range o.names {
		o.names[n] = strings.Clone(id)
		if id == o.requestID {
			o.requestID = o.names[n]
		}
	}
	return true
}

// joins reports whether a line can be one of o's: it is said of both, and of
// all between them, for the same reason.
func (i *instance) joins(o *outline, r *remembered) bool {
	from, to := o.from, o.to
	if r.time.Before(from) {
		from = r.time
	}
	if r.time.After(to) {
		to = r.time
	}
	return !o.gone() && to.Sub(from) <= maxOutline && o.agrees(r) && (from.Equal(to) || i.slack == 0 && i.even(from, to))
}

// even reports whether nothing begins between two times: of the invocations
// that are open then, or have ended lately, there can only be fewer at the second.
func (i *instance) even(from, to time.Time) bool {
	from, to = i.line(from), i.line(to)
	if i.before(from) != i.before(to) {
		return false
	}
	if len(i.lives) < 2 {
		return true
	}
	one, _ := i.lifeAt(from)
	other, _ := i.lifeAt(to)
	return one == other
}

// measure brings latest up to date after the outline at n was put in, or is longer.
func (i *instance) measure(n int) {
	for ; n < len(i.outlines); n++ {
		latest := i.outlines[n].to
		if n > 0 && i.outlines[n-1].latest.After(latest) {
			latest = i.outlines[n-1].latest
		}
		i.outlines[n].latest = latest
	}
}

// stir notes that a fact may have changed whose the lines from a time on are.
func (i *instance) stir(from time.Time) {
	if !i.stirred || from.Before(i.stirredFrom) {
		i.stirred, i.stirredFrom = true, from
	}
}

// reviewOutlines asks for the lines of those outlines which facts have changed;
// of some that follow each other, for all from the first to the last.
func (c *Correlator) reviewOutlines(i *instance) {
	if !i.stirred {
		return
	}
	i.stirred = false
	var run *outline // of the outlines that follow each other
	moved := false
	for n := len(i.outlines) - 1; n >= 0 && !i.outlines[n].latest.Before(i.stirredFrom); n-- {
		o := i.outlines[n]
		// What is older than dropped is asked for anyway.
		if o.to.Before(i.stirredFrom) || !o.to.After(i.horizon) || !o.to.After(i.dropped) || !i.moved(o, c.cfg.Grace) {
			if run != nil {
				c.overdue(i, later(run.from, i.horizon.Add(1)), run.to)
			}
			run = nil
			continue
		}
		if run == nil {
			run = &outline{from: o.from, to: o.to}
		}
		run.from = earlier(o.from, run.from)
		run.to = later(o.to, run.to)
		c.freeOutline(o)
		moved = true
	}
	if run != nil {
		c.overdue(i, later(run.from, i.horizon.Add(1)), run.to)
	}
	if moved {
		i.outlines = slices.DeleteFunc(i.outlines, (*outline).gone)
		i.measure(0)
	}
}

// moved reports whether some line of o may belong elsewhere by what is known now.
func (i *instance) moved(o *outline, grace time.Duration) bool {
	from := o.from
	if !from.After(i.horizon) {
		from = i.horizon.Add(1)
	}
	uneven := !from.Equal(o.to) && (i.slack > 0 || !i.even(from, o.to))
	for _, kind := range []struct {
		how  faas.Attribution
		line faas.Line
	}{{o.named, faas.Line{Named: o.names}}, {o.bare, faas.Line{}}} {
		if kind.how == "" {
			continue
		}
		if uneven && kind.how != faas.AttributionExplicit {
			return true
		}
		for _, t := range []time.Time{from, o.to} {
			r := remembered{line: &kind.line, time: t, requestID: o.requestID, attribution: kind.how, candidates: o.candidates}
			if i.attribute(&r, grace) {
				return true
			}
		}
	}
	return false
}

// outlined reports whether there is an outline of the line.
func (i *instance) outlined(r *remembered) bool {
	n := sort.Search(len(i.outlines), func(n int) bool { return i.outlines[n].from.After(r.time) }) - 1
	for ; n >= 0 && !i.outlines[n].latest.Before(r.time); n-- {
		if o := i.outlines[n]; !o.gone() && !o.to.Before(r.time) && o.tells(r) {
			return true
		}
	}
	return false
}

// remembers reports whether the line is one that is remembered as a whole.
func (i *instance) remembers(r *remembered) bool {
	for n := i.search(r.time); n < len(i.lines) && i.lines[n].time.Equal(r.time); n++ {
		if l := i.lines[n].line; l != nil && l.FileID == r.line.FileID && l.Offset == r.line.Offset {
			return true
		}
	}
	return false
}

// dropOutline forgets the oldest outline: of its lines nothing is known then.
func (c *Correlator) dropOutline() {
	o := c.outlines.pop()
	i := o.owner
	if i == nil {
		return
	}
	i.lose(o.to, slices.ContainsFunc(o.names, func(id string) bool { return i.attempts[id] == 0 }))
	c.freeOutline(o)
	n := 0
	for n < len(i.outlines) && i.outlines[n].gone() {
		i.outlines[n] = nil
		n++
	}
	i.outlines = i.outlines[n:]
}

// lose notes that nothing is known any more of some line of a time, which may
// name an invocation that is not known.
func (i *instance) lose(t time.Time, naming bool) {
	if t.After(i.dropped) {
		i.dropped = t
	}
	if naming && t.After(i.naming) {
		i.naming = t
	}
}

// freeOutline takes an outline's memory back; its times stay, it may lie among others.
func (c *Correlator) freeOutline(o *outline) {
	if o.gone() {
		return
	}
	c.memory -= o.size()
	c.outlined -= o.size()
	c.outlines.dead++
	*o = outline{from: o.from, to: o.to, latest: o.latest}
}
