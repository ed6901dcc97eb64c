package runtimelog

import (
	"time"
	"unicode/utf8"

	"github.com/coldscope/coldscope/internal/faas"
)

// keepBuffer is the largest join buffer that stays with its stream.
const keepBuffer = 64 << 10

// Line is one whole line. Body is valid UTF-8, and valid until the Joiner's
// next call.
type Line struct {
	Time      time.Time // of its first piece
	Stream    faas.Stream
	Body      []byte
	Offset    int64 // of its first piece
	Truncated int64 // bytes missing at the end of Body
	// Safe is how far the file is done with once this line and all before it
	// are: a place that no line spans, so that who begins to read there gets
	// the same lines.
	Safe int64
}

// Joiner joins the pieces of lines of one file, each stream for itself. Bodies
// over its limit are cut. It is not safe for concurrent use.
type Joiner struct {
	limit int
	open  [2]pending // stdout, stderr
	since int64      // where the first of the open lines began, and of those that overlapped it
	valid []byte     // the last line's body, where it had to be made valid
}

// pending is a line whose last piece has not come.
type pending struct {
	open    bool
	time    time.Time // of the first piece
	last    time.Time // of the last piece
	offset  int64
	buf     []byte // at most limit bytes
	missing int64  // bytes behind buf that are not kept
}

// NewJoiner makes a Joiner for bodies of at most limit bytes.
func NewJoiner(limit int) *Joiner { return &Joiner{limit: limit} }

// Add takes the file's next record, which is at [offset, end). It returns a
// line if the record completed one.
func (j *Joiner) Add(rec Record, offset, end int64) (Line, bool) {
	p := j.pending(rec.Stream)
	if p == nil || !p.open && !rec.Partial {
		body, missing := rec.Body, rec.Cut
		if missing > 0 {
			missing += int64(len(body) - rec.CutAt)
			body = body[:rec.CutAt]
		}
		l := Line{Time: rec.Time, Stream: rec.Stream, Offset: offset, Safe: j.Safe(end)}
		l.Body, l.Truncated = j.finish(body, missing)
		return l, true
	}
	if !p.open {
		if !j.Open() {
			j.since = offset
		}
		p.open, p.time, p.offset, p.missing = true, rec.Time, offset, 0
		if cap(p.buf) > keepBuffer {
			p.buf = nil
		}
		p.buf = p.buf[:0]
	}
	p.last = rec.Time
	p.add(rec, j.limit)
	if rec.Partial {
		return Line{}, false
	}
	return j.close(rec.Stream, p, end), true
}

func (p *pending) add(rec Record, limit int) {
	body, lost := rec.Body, rec.Cut
	if rec.Cut > 0 {
		lost += int64(len(body) - rec.CutAt)
		body = body[:rec.CutAt]
	}
	n := min(len(body), limit-len(p.buf))
	if p.missing > 0 { // what follows a gap is missing too
		n = 0
	}
	p.buf = append(p.buf, body[:n]...)
	p.missing += lost + int64(len(body)-n)
}

func (j *Joiner) close(s faas.Stream, p *pending, end int64) Line {
	p.open = false
	l := Line{Time: p.time, Stream: s, Offset: p.offset, Safe: j.Safe(end)}
	l.Body, l.Truncated = j.finish(p.buf, p.missing)
	return l
}

// Open reports whether the beginning of a line waits for the rest.
func (j *Joiner) Open() bool { return j.open[0].open || j.open[1].open }

// Safe is how far a file that was read up to end is done with, once all lines
// are. The start of the oldest open line would not do: a line of the other
// stream may have begun before it and ended behind it.
func (j *Joiner) Safe(end int64) int64 {
	if j.Open() {
		return j.since
	}
	return end
}

// Flush gives up waiting: it yields what there is of the open lines whose last
// piece is from before the given time, in the file's order, until yield fails.
// end is how far the file was read.
func (j *Joiner) Flush(end int64, before time.Time, yield func(Line) error) error {
	for {
		i := -1
		for k := range j.open {
			p := &j.open[k]
			if p.open && p.last.Before(before) && (i < 0 || p.offset < j.open[i].offset) {
				i = k
			}
		}
		if i < 0 {
			return nil
		}
		if err := yield(j.close(joined[i], &j.open[i], end)); err != nil {
			return err
		}
	}
}

// Reset forgets the open lines.
func (j *Joiner) Reset() { j.open = [2]pending{} }

var joined = [2]faas.Stream{faas.Stdout, faas.Stderr}

func (j *Joiner) pending(s faas.Stream) *pending {
	switch s {
	case faas.Stdout:
		return &j.open[0]
	case faas.Stderr:
		return &j.open[1]
	default: // an event is whole
		return nil
	}
}

// finish makes raw a body: valid UTF-8 of at most limit bytes.
func (j *Joiner) finish(raw []byte, missing int64) (body []byte, truncated int64) {
	if len(raw) > j.limit {
		missing += int64(len(raw) - j.limit)
		raw = raw[:j.limit]
	}
	if missing > 0 {
		whole := wholeRunes(raw)
		missing += int64(len(raw) - len(whole))
		raw = whole
	}
	if utf8.Valid(raw) {
		return raw, missing
	}
	j.valid = appendValid(j.valid[:0], raw)
	body = j.valid
	if len(body) > j.limit {
		body = wholeRunes(body[:j.limit])
		missing += int64(len(j.valid) - len(body))
	}
	if cap(j.valid) > keepBuffer {
		j.valid = nil
	}
	return body, missing
}

// wholeRunes takes a rune that is not complete off the end of b.
func wholeRunes(b []byte) []byte {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax); i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}

// appendValid appends b with each byte that is not UTF-8 replaced by U+FFFD.
func appendValid(dst, b []byte) []byte {
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		dst = utf8.AppendRune(dst, r)
		b = b[n:]
	}
	return dst
}
