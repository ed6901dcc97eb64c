package redact

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// span is a secret in a line.
type span struct {
	from, to int
	kind     string
}

// find gives the secrets of a line, in order and apart from each other.
func (r *Redactor) find(line []byte) []span {
	known := r.table.any(line)
	if !known && len(r.custom) == 0 {
		return nil
	}
	var spans []span
	rest, base := line, 0
	for { // what is between the marks that are there already
		i := bytes.Index(rest, []byte(markHead))
		n := 0
		if i >= 0 {
			n = mark(rest[i:])
		}
		part := rest
		if n > 0 {
			part = rest[:i]
		} else if i >= 0 {
			if j := nextMark(rest[i+1:]); j >= 0 {
				i += 1 + j
				part, n = rest[:i], mark(rest[i:])
			}
		}
		f := finder{line: part, spans: spans, first: len(spans), base: base}
		if known {
			f.scan(r.table)
		}
		f.patterns(r.custom)
		spans = f.spans
		if n == 0 {
			break
		}
		rest, base = rest[i+n:], base+i+n
	}
	return tidy(spans, len(line))
}

// nextMark gives the place of the first mark in b, -1 if there is none.
func nextMark(b []byte) int {
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], []byte(markHead))
		if i < 0 {
			return -1
		}
		if at += i; mark(b[at:]) > 0 {
			return at
		}
	}
}

// tidy sorts spans, joins those that overlap, and bounds their number.
func tidy(spans []span, end int) []span {
	slices.SortStableFunc(spans, func(a, b span) int { return a.from - b.from })
	out := spans[:0]
	for _, s := range spans {
		if n := len(out); n > 0 && s.from < out[n-1].to {
			out[n-1].to = max(out[n-1].to, s.to)
			continue
		}
		out = append(out, s)
	}
	if len(out) > maxSpans {
		out = out[:maxSpans]
		out[maxSpans-1].to = end
	}
	return out
}

// finder looks through one line, or what is between two marks in it. Anchors in
// [.., done) are within what was found or ruled out.
type finder struct {
	line   []byte
	spans  []span
	first  int // of the spans that are this finder's
	base   int // of line in the whole one
	done   int
	noJWT  int // no token begins before
	noHost int // no :// that is still open begins before
}

// scan runs the rules whose anchors are there.
func (f *finder) scan(t *table) {
	last := len(f.line) - 2
	for i := 0; i <= last; i += 2 {
		f.at(t, i)
		if i == last-1 { // the last byte with the one before
			f.at(t, last)
		}
	}
}

// at runs the rules whose anchors have the pair at i.
func (f *finder) at(t *table, i int) {
	for _, p := range t.lists[t.index[binary.LittleEndian.Uint16(f.line[i:])]] {
		if from := i - p.off; from >= f.done && p.anchor.at(f.line, from) {
			p.anchor.match(f, p.anchor, from)
		}
	}
}

func (f *finder) add(from, to int, kind string) {
	f.spans = append(f.spans, span{f.base + from, f.base + to, kind})
	f.done = max(f.done, to)
}

// patterns runs the custom ones.
func (f *finder) patterns(patterns []custom) {
	for _, c := range patterns {
		if c.literal != nil && !bytes.Contains(f.line, c.literal) {
			continue
		}
		for _, m := range c.pattern.FindAllSubmatchIndex(f.line, -1) {
			from, to := m[0], m[1]
			if len(m) > 2 {
				from, to = m[2], m[3]
			}
			if from < to {
				f.spans = append(f.spans, span{f.base + from, f.base + to, c.kind})
			}
		}
	}
}

func lower(c byte) bool { return c-'a' <= 'z'-'a' }
func digit(c byte) bool { return c-'0' <= 9 }
func upper(c byte) bool { return c-'A' <= 'Z'-'A' }

func alphanumeric(c byte) bool { return lower(c|0x20) || digit(c) }

// word is of base64url, and of most tokens.
func word(c byte) bool { return alphanumeric(c) || c == '-' || c == '_' }

// run gives the end of the bytes from i on that are in the set.
func (f *finder) run(i int, in func(byte) bool) int {
	for i < len(f.line) && in(f.line[i]) {
		i++
	}
	return i
}

// before gives the byte before i, 0 at the beginning.
func (f *finder) before(i int) byte {
	if i == 0 {
		return 0
	}
	return f.line[i-1]
}
