package runtimelog

import "time"

// group is an entry of several lines whose end has not been seen.
type group struct {
	open    bool
	kind    kind
	state   state
	time    time.Time // of the first line
	last    time.Time // of the last one
	guessed bool      // last is not its own
	offset  int64     // of the first line
	carried bool      // offset is in an earlier file
	buf     []byte    // bodies with newlines between
	lines   int
	missing int64
	blank   blank
}

// blank is an empty line behind a trace. It belongs to it if the next line does.
type blank struct {
	held    bool
	time    time.Time
	offset  int64
	carried bool
}

// begin opens g with a line.
func (g *group) begin(k kind, s state, t *text) {
	if cap(g.buf) > keepBuffer {
		g.buf = nil
	}
	*g = group{
		open: true, kind: k, state: s, time: t.time, last: t.time, guessed: t.guessed,
		offset: t.offset, carried: t.carried, buf: append(g.buf[:0], t.body...), lines: 1,
	}
}

// take adds a line, if it belongs to g and fits. full says that no other can follow.
func (g *group) take(r *Rules, t *text, limit int) (taken, full bool) {
	held := 0
	if g.blank.held {
		held = 1
	}
	if len(t.body) == 0 && held == 0 && t.missing == 0 && g.kind&(goTrace|pythonTrace|nodeTrace) != 0 {
		g.blank = blank{held: true, time: t.time, offset: t.offset, carried: t.carried}
		g.last, g.guessed = t.time, t.guessed
		return true, false
	}
	if len(g.buf)+1+held+len(t.body) > limit || g.lines+1+held > r.maxLines || !r.continues(g, t.body) {
		return false, false
	}
	for range 1 + held {
		g.buf = append(g.buf, '\n')
	}
	g.buf = append(g.buf, t.body...)
	g.blank.held = false
	g.lines += 1 + held
	g.last, g.guessed, g.missing = t.time, t.guessed, t.missing
	return true, g.missing > 0 || g.lines >= r.maxLines
}

// closeGroup yields the group of stream k, and the blank line behind it. What
// is before done is done with then, if nothing else is open.
func (j *Joiner) closeGroup(k int, done int64, yield func(Line) error) error {
	g := &j.groups[k]
	l := Line{Time: g.time, Stream: joined[k], Offset: g.offset, Carried: g.carried, Safe: j.since}
	l.Body, l.Truncated = j.finish(g.buf, g.missing, false)
	if g.blank.held {
		if err := yield(l); err != nil {
			return err
		}
		l = Line{Time: g.blank.time, Stream: joined[k], Offset: g.blank.offset, Carried: g.blank.carried}
	}
	g.open, g.blank.held = false, false
	l.Safe = j.Safe(done)
	return yield(l)
}

// line takes a whole line of stream k, whose last piece is in the record at
// offset. Of a line in pieces p is what is open until now. What is before done
// is done with once the line is, if nothing is open.
func (j *Joiner) line(k int, t *text, p *part, offset, done int64, yield func(Line) error) error {
	g := &j.groups[k]
	if j.Open() {
		j.overlap++
	}
	alone := false
	if g.open {
		taken, full := g.take(j.rules, t, j.groupLimit)
		if taken {
			if p != nil {
				p.open = false
			}
			if full {
				return j.closeGroup(k, done, yield)
			}
			return nil
		}
		if err := j.closeGroup(k, offset, yield); err != nil {
			return err
		}
		if j.overlap > j.rules.maxOverlap {
			if j.groups[1-k].open {
				if err := j.closeGroup(1-k, offset, yield); err != nil {
					return err
				}
			}
			alone = p != nil
		}
	}
	chained := j.Open()
	if p != nil {
		p.open = false
	}
	if t.missing == 0 && !alone && len(t.body) <= j.groupLimit {
		if kind, state := j.rules.starts(t.body); kind != 0 {
			if !chained {
				j.since, j.overlap = offset, 0
			}
			g.begin(kind, state, t)
			return nil
		}
	}
	return j.whole(k, t, done, yield)
}

// expire ends what a record of this time shows to have no end: a line's missing
// piece, an entry's next line. It does so by the times of records only, so that
// who reads the file again gets the same lines.
func (j *Joiner) expire(rec *Record, offset int64, yield func(Line) error) error {
	if rec.Guessed {
		return nil
	}
	before := rec.Time.Add(-j.timeout)
	return j.end(offset, yield,
		func(p *part) bool { return p.last.Before(before) },
		func(k int) bool {
			g := &j.groups[k]
			return !g.guessed && rec.Time.Sub(g.last).Abs() > j.rules.gap
		})
}

// end ends the open lines and entries that are due, in the file's order.
func (j *Joiner) end(done int64, yield func(Line) error, part func(*part) bool, group func(k int) bool) error {
	for {
		due, entry, first := -1, false, int64(0)
		for k := range joined {
			if g := &j.groups[k]; g.open && (due < 0 || g.offset < first) && group(k) {
				due, entry, first = k, true, g.offset
			}
			if p := &j.parts[k]; p.open && (due < 0 || p.first < first) && part(p) {
				due, entry, first = k, false, p.first
			}
		}
		var err error
		switch {
		case due < 0:
			return nil
		case entry:
			err = j.closeGroup(due, done, yield)
		default:
			err = j.closePart(due, done, yield)
		}
		if err != nil {
			return err
		}
	}
}
