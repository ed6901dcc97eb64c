package correlate

import "time"

// Span is an instance's lines of a time, both ends in it, on the lines' clock.
type Span struct {
	Key
	From, To time.Time
}

// maxSpans are the spans of an instance that are told apart.
const maxSpans = 64

// Join adds a span to others of the same instance, which lie apart from each
// other and go on doing so. More than maxSpans become one.
func Join(spans []Span, s Span) []Span {
	apart := spans[:0]
	for _, other := range spans {
		if s.To.Before(other.From) || other.To.Before(s.From) {
			apart = append(apart, other)
			continue
		}
		s = s.with(other)
	}
	if len(apart) >= maxSpans {
		for _, other := range apart {
			s = s.with(other)
		}
		apart = apart[:0]
	}
	return append(apart, s)
}

// with is the span from the beginning of the first of the two to the end of the last.
func (s Span) with(other Span) Span {
	if other.From.Before(s.From) {
		s.From = other.From
	}
	if other.To.After(s.To) {
		s.To = other.To
	}
	return s
}

// overdue notes that lines of which the text is forgotten may belong elsewhere,
// too. Those of a time of which the instance is not known, remembered ones as
// well, can only be seen to when the instance has been restored.
func (c *Correlator) overdue(i *instance, from, to time.Time) {
	if !from.After(i.horizon) {
		to = later(to, i.horizon)
	}
	if to.Before(from) {
		return
	}
	if len(i.overdue) == 0 {
		c.owing = append(c.owing, i)
	}
	i.overdue = Join(i.overdue, Span{i.key, from, to})
}

// reviewFresh notes what is overdue since invocations have been heard of.
func (c *Correlator) reviewFresh() {
	for _, v := range c.fresh {
		if i := v.owner; i != nil && v.overdue {
			c.overdue(i, i.linesFrom(v), i.linesTo(v, c.cfg.Grace))
		}
		v.fresh, v.overdue = false, false
	}
	clear(c.fresh)
	c.fresh = c.fresh[:0]
}

// giveOverdue gives out what is overdue of all instances.
func (c *Correlator) giveOverdue() {
	for _, i := range c.owing {
		c.out.Overdue = append(c.out.Overdue, i.overdue...)
		i.overdue = nil
	}
	clear(c.owing)
	c.owing = c.owing[:0]
}
