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
	spans        []span // of events and rest, if the batch may have to be divided among targets
	files        []*File
	oldest       time.Time // of its lines
	done         bool      // everything is acknowledged or given up
}

// sum is how much of one kind is in a batch.
type sum struct{ lines, bytes int }

// span is where one stream is in a batch.
type span struct {
	to    *Stream
	bytes int
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
	if len(s.targets) > 1 && s.opts.Failover > 0 {
		b.spans = append(b.spans, span{p.to, n})
	}
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
	b.raw = b.rest
	if len(b.events) > 0 {
		b.raw = append(s.buffers.grow(b.events, len(b.rest)), b.rest...)
		s.buffers.put(b.rest)
		sorted := make([]span, 0, len(b.spans))
		for _, events := range []bool{true, false} {
			for _, sp := range b.spans {
				if (sp.to.kind == faas.Platform) == events {
					sorted = append(sorted, sp)
				}
			}
		}
		b.spans = sorted
	}
	b.events, b.rest = nil, nil
}
