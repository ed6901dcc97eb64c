package runtimelog

import (
	"bytes"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
)

// keepBuffer is the largest join buffer that stays with its stream.
const keepBuffer = 64 << 10

// Line is one whole line, or an entry of several that belong together, with
// newlines between them. Body is valid UTF-8.
type Line struct {
	Time   time.Time // of its first piece
	Stream faas.Stream
	Body   []byte // valid until the function returns that got the line
	// Offset is of its first piece. Where a record is split at carriage returns,
	// it is that plus the place in the piece's decoded body: no other line of
	// the file has it, since a record is longer than its body.
	Offset    int64
	Truncated int64 // bytes missing at the end of Body
	// Carried says that the line begins in an earlier file (Joiner.Carry), where
	// Offset is.
	Carried bool
	// Safe is how far the file is done with once this line and all before it
	// are: a place that no line spans, so that who begins to read there gets
	// the same lines.
	Safe int64
}

// Joiner joins the records of one file to lines, each stream for itself: the
// pieces of a line, and, if its Rules say so, lines to entries. Bodies over its
// limit are cut. It is not safe for concurrent use.
type Joiner struct {
	limit      int
	groupLimit int
	timeout    time.Duration
	rules      *Rules
	parts      [2]part
	groups     [2]group // of stdout, stderr
	since      int64    // where the first of what is open began, and of what overlapped it
	overlap    int      // lines since then
	valid      []byte   // the last line's body, where it had to be made valid
}

// part is a line whose last piece has not come.
type part struct {
	open bool
	text           // of the first piece; its body holds at most limit bytes, which are the part's own
	last time.Time // of the last piece
	// first is where the line's first piece is. text.offset is another place
	// where the line was split at a carriage return.
	first int64
	begun bool // text has its time and its offset
	split bool // it is what is left behind a carriage return
}

// text is a line, or what there is of one.
type text struct {
	time    time.Time
	guessed bool
	body    []byte
	missing int64 // bytes behind body
	offset  int64
	carried bool // offset is in an earlier file
	ascii   bool
}

// NewJoiner makes a Joiner for bodies of at most limit bytes. A line whose last
// piece does not come within timeout, by the records' times, is taken as it is.
// Nil Rules join nothing but pieces.
func NewJoiner(limit int, timeout time.Duration, rules *Rules) *Joiner {
	if rules == nil {
		rules = new(Rules)
	}
	j := &Joiner{limit: limit, groupLimit: limit, timeout: timeout, rules: rules}
	if rules.maxBytes > 0 {
		j.groupLimit = min(limit, rules.maxBytes)
	}
	return j
}

// Add takes the file's next record, which is at [offset, end), and yields the
// lines that it completes or shows to be complete: nearly always one. An error
// is yield's and the end of the Joiner.
func (j *Joiner) Add(rec Record, offset, end int64, yield func(Line) error) error {
	if j.Open() {
		if err := j.expire(&rec, offset, yield); err != nil {
			return err
		}
	} else if j.ordinary(&rec) {
		l := Line{Time: rec.Time, Stream: rec.Stream, Offset: offset, Safe: end}
		l.Body, l.Truncated = j.finish(rec.Body, 0, rec.ascii)
		return yield(l)
	}
	t := text{time: rec.Time, guessed: rec.Guessed, body: rec.Body, missing: rec.Cut, offset: offset, ascii: rec.ascii}
	if rec.Cut > 0 {
		t.missing += int64(len(rec.Body) - rec.CutAt)
		t.body = rec.Body[:rec.CutAt]
	}
	k := stdout
	switch rec.Stream {
	case faas.Stdout:
	case faas.Stderr:
		k = stderr
	default: // an event is whole
		l := Line{Time: rec.Time, Stream: rec.Stream, Offset: offset, Safe: j.Safe(end)}
		l.Body, l.Truncated = j.finish(t.body, t.missing, t.ascii)
		return yield(l)
	}
	p := &j.parts[k]
	switch {
	case j.rules.split && (p.open || rec.Partial || bytes.IndexByte(t.body, '\r') >= 0):
		return j.splitAdd(k, &t, rec.Partial, end, yield)
	case p.open || rec.Partial:
		if !p.open {
			j.openPart(p, offset)
		}
		p.add(&t, j.limit)
		if rec.Partial {
			return nil
		}
		line := p.text
		return j.line(k, &line, p, offset, end, yield)
	}
	return j.line(k, &t, nil, offset, end, yield)
}

// ordinary reports whether a record is a line that begins nothing, as nearly
// all are.
func (j *Joiner) ordinary(rec *Record) bool {
	if rec.Partial || rec.Cut > 0 {
		return false
	}
	if len(rec.Body) == 0 {
		return true
	}
	return j.rules.first[rec.Body[0]] == 0 && (!j.rules.split || bytes.IndexByte(rec.Body, '\r') < 0)
}

const stdout, stderr = 0, 1

var joined = [2]faas.Stream{stdout: faas.Stdout, stderr: faas.Stderr}

// whole yields a line of its own.
func (j *Joiner) whole(k int, t *text, done int64, yield func(Line) error) error {
	l := Line{Time: t.time, Stream: joined[k], Offset: t.offset, Carried: t.carried, Safe: j.Safe(done)}
	l.Body, l.Truncated = j.finish(t.body, t.missing, t.ascii)
	return yield(l)
}

// openPart begins a line in pieces with the record at offset.
func (j *Joiner) openPart(p *part, offset int64) {
	if !j.Open() {
		j.since, j.overlap = offset, 0
	}
	if cap(p.body) > keepBuffer {
		p.body = nil
	}
	*p = part{open: true, first: offset, text: text{body: p.body[:0]}}
}

// add adds a piece. The first one gives the line its time and its name.
func (p *part) add(t *text, limit int) {
	if !p.begun {
		p.begun, p.time, p.guessed, p.offset, p.carried, p.ascii = true, t.time, t.guessed, t.offset, false, true
	}
	p.last = t.time
	n := min(len(t.body), limit-len(p.body))
	if p.missing > 0 { // what follows a gap is missing too
		n = 0
	}
	p.body = append(p.body, t.body[:n]...)
	p.missing += t.missing + int64(len(t.body)-n)
	p.ascii = p.ascii && t.ascii
}

// splitAdd adds a record, whose text is t, and what its carriage returns end.
func (j *Joiner) splitAdd(k int, t *text, partial bool, end int64, yield func(Line) error) error {
	p, piece, rest := &j.parts[k], *t, t.body
	if !partial && t.missing == 0 {
		rest = bytes.TrimSuffix(rest, carriageReturn)
	}
	if !p.open {
		j.openPart(p, t.offset)
	}
	for {
		i := bytes.IndexByte(rest, '\r')
		if i < 0 {
			break
		}
		piece.body, piece.missing = rest[:i], 0
		p.add(&piece, j.limit)
		rest = rest[i+1:]
		piece.offset += int64(i) + 1
		if len(p.body) > 0 || p.missing > 0 {
			line := p.text
			if err := j.line(k, &line, nil, t.offset, t.offset, yield); err != nil {
				return err
			}
		}
		p.body, p.missing, p.begun, p.split = p.body[:0], 0, false, true
	}
	if len(rest) > 0 || t.missing > 0 || !p.split {
		piece.body, piece.missing = rest, t.missing
		p.add(&piece, j.limit)
	}
	p.last = t.time
	if partial {
		return nil
	}
	if p.empty() {
		p.open = false
		return nil
	}
	line := p.text
	return j.line(k, &line, p, t.offset, end, yield)
}

// empty reports whether nothing is left of a line that was split.
func (p *part) empty() bool { return p.split && len(p.body) == 0 && p.missing == 0 }

// closePart takes the open line of stream k as it is.
func (j *Joiner) closePart(k int, done int64, yield func(Line) error) error {
	p := &j.parts[k]
	p.open = false
	if p.empty() {
		return nil
	}
	return j.whole(k, &p.text, done, yield)
}

// Open reports whether the beginning of a line or an entry waits for the rest.
func (j *Joiner) Open() bool {
	return j.parts[0].open || j.parts[1].open || j.groups[0].open || j.groups[1].open
}

// Safe is how far a file that was read up to end is done with, once all lines
// are. The start of the oldest open line would not do: a line of the other
// stream may have begun before it and ended behind it.
func (j *Joiner) Safe(end int64) int64 {
	if j.Open() {
		return j.since
	}
	return end
}

// Idle yields what a file's being quiet for so long ends: entries after twice
// their gap, lines in pieces after the timeout. end is how far the file was
// read. A record that comes later has a later time, and so whoever reads the
// file again gets the same lines.
func (j *Joiner) Idle(end int64, quiet time.Duration, yield func(Line) error) error {
	if !j.Open() {
		return nil
	}
	if quiet > j.timeout {
		return j.Flush(end, yield)
	}
	return j.end(end, yield,
		func(*part) bool { return false },
		// The piece that an entry's next line waits for may have an earlier time than it comes.
		func(k int) bool { return quiet > 2*j.rules.gap && !j.parts[k].open })
}

// Flush gives up waiting: it yields what there is of all open lines and
// entries, in the file's order. end is how far the file was read.
func (j *Joiner) Flush(end int64, yield func(Line) error) error {
	return j.end(end, yield, func(*part) bool { return true }, func(int) bool { return true })
}

// Carry makes j the Joiner of the file that follows the one it was used for:
// what is open goes on there, and Carried says so of the lines. Safe stays at
// the new file's beginning until nothing is open.
func (j *Joiner) Carry() {
	for k := range joined {
		j.parts[k].carried, j.parts[k].first = true, -1
		j.groups[k].carried, j.groups[k].blank.carried = true, true
	}
	j.since, j.overlap = 0, 0
}

// Carrying reports whether something is still open that was carried over.
func (j *Joiner) Carrying() bool {
	for k := range joined {
		p, g := &j.parts[k], &j.groups[k]
		if p.open && p.carried || g.open && (g.carried || g.blank.held && g.blank.carried) {
			return true
		}
	}
	return false
}

// Reset forgets what is open.
func (j *Joiner) Reset() {
	for k := range joined {
		j.parts[k].open, j.groups[k].open = false, false
	}
}
