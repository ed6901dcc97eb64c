package ship

import (
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// batch is lines of one lane that travel together.
type batch struct {
	lane  *lane
	raw   []byte // once it is sealed: the push request
	bytes int64
	kinds map[faas.Stream]sum
	born  time.Time
	hurry bool // somebody waits for its memory

	events, rest []byte // until then, streams: events, and lines
	spans        []span // in the order in which they came; then, of raw
	files        []*File
	oldest       time.Time // of its lines
	done         bool      // everything is acknowledged or given up
}

// sum is how much of one kind is in a batch.
type sum struct{ lines, bytes int }

// span is a stream in a batch.
type span struct {
	to      *Stream
	bytes   int // of all of it
	entries int // without its head: the end of it
}

// add puts p into the batch.
func (s *Shipper) add(b *batch, f *File, p *part) {
	into := &b.rest
	if p.to.kind == faas.Platform {
		into = &b.events
	}
	n := wire.StreamSize(p.to.head, len(p.entries))
	*into = wire.AppendStream(s.buffers.grow(*into, n), p.to.head, p.entries)
	b.bytes += int64(n)
	k := b.kinds[p.to.kind]
	b.kinds[p.to.kind] = sum{k.lines + p.lines, k.bytes + n}
	b.spans = append(b.spans, span{p.to, n, len(p.entries)})
	if n := len(b.files); n == 0 || b.files[n-1] != f {
		b.files = append(b.files, f)
	}
	if b.oldest.IsZero() || p.oldest.Before(b.oldest) {
		b.oldest = p.oldest
	}
}

// seal makes the push request. Events come before lines, since they say whose
// the lines are.
func (s *Shipper) seal(b *batch) {
	sorted := b.spans
	if len(b.events) > 0 && len(b.rest) > 0 {
		sorted = make([]span, 0, len(b.spans))
		for _, events := range []bool{true, false} {
			for _, sp := range b.spans {
				if (sp.to.kind == faas.Platform) == events {
					sorted = append(sorted, sp)
				}
			}
		}
	}
	b.spans = sorted
	switch {
	case len(b.events) == 0:
		b.raw = b.rest
	case len(b.rest) == 0:
		b.raw = b.events
	default:
		b.raw = append(s.buffers.grow(b.events, len(b.rest)), b.rest...)
		s.buffers.put(b.rest)
	}
	b.events, b.rest = nil, nil
	// Files that are quiet give a line at a time, each with its stream's labels;
	// whoever gets them has to read these each time.
	const short = 4 << 10
	if len(b.spans) > 1 && len(b.raw)/len(b.spans) < short {
		s.join(b)
	}
}

// join makes one stream of all spans of the same in b.raw. Streams stay in the
// order in which they begin, and their entries in theirs.
func (s *Shipper) join(b *batch) {
	index := make(map[*Stream]int, len(b.spans))
	joined := make([]span, 0, len(b.spans))
	for _, sp := range b.spans {
		i, ok := index[sp.to]
		if !ok {
			i = len(joined)
			index[sp.to] = i
			joined = append(joined, span{to: sp.to})
		}
		joined[i].entries += sp.entries
	}
	if len(joined) == len(b.spans) {
		return
	}
	total := 0
	for i := range joined {
		joined[i].bytes = wire.StreamSize(joined[i].to.head, joined[i].entries)
		total += joined[i].bytes
	}
	out := s.buffers.get(total)
	ends := make([]int, len(joined)) // of what is there of each stream
	for i, j := range joined {
		out = wire.AppendStreamHead(out, j.to.head, j.entries)
		ends[i] = len(out)
		out = out[:len(out)+j.entries]
	}
	raw := b.raw
	for _, sp := range b.spans {
		i := index[sp.to]
		ends[i] += copy(out[ends[i]:], raw[sp.bytes-sp.entries:sp.bytes])
		raw = raw[sp.bytes:]
	}
	s.buffers.put(b.raw)
	b.raw, b.spans = out, joined
}
