package ship

import (
	"context"
	"slices"
	"time"

	"github.com/coldscope/coldscope/internal/wire"
)

// chunkBytes is how much a Writer collects until it hands it over, as long as
// few writers do.
const (
	chunkBytes    = 64 << 10
	minChunkBytes = 4 << 10
)

// Line is one line or event to send. Body is copied.
type Line struct {
	Time      time.Time
	Body      []byte
	Offset    int64
	Truncated int64
	Safe      int64 // how far the file is done with once this line and all before it are
}

// Writer is a file's way into its Shipper. It takes lines without a lock and
// hands them over by Flush, or when it has enough of them. One goroutine at a
// time may use it; between two passes it holds no memory.
type Writer struct {
	s     *Shipper
	file  *File
	parts []part
	held  int   // bytes in parts
	limit int   // of held
	hint  int   // how large the last chunk was
	safe  int64 // of the last line or Advance
}

// part is lines of one stream, encoded.
type part struct {
	to      *Stream
	entries []byte
	lines   int
	oldest  time.Time // of the first line, which will do
}

// size is how much p takes in a batch.
func (p *part) size() int64 { return int64(wire.StreamSize(p.to.head, len(p.entries))) }

// Writer makes the writer of f, its only one.
func (s *Shipper) Writer(f *File) *Writer { return &Writer{s: s, file: f} }

// Add takes a line over. It waits while too much is unacknowledged; an error
// is ctx's, and the line was not taken then.
func (w *Writer) Add(ctx context.Context, to *Stream, l *Line) error {
	room := len(l.Body) + wire.EntryOverhead
	if w.held > 0 && w.held+room > w.limit {
		if err := w.Flush(ctx); err != nil {
			return err
		}
	}
	p := w.part(to)
	if p == nil {
		p = w.open(to, room, l.Time)
	}
	p.entries = w.s.buffers.grow(p.entries, room)
	before := len(p.entries)
	p.entries = wire.AppendEntry(p.entries, l.Time, l.Body, w.file.meta, l.Offset, l.Truncated)
	w.held += len(p.entries) - before
	p.lines++
	w.safe = l.Safe
	return nil
}

// part gives the part of a stream, nil if there is none.
func (w *Writer) part(to *Stream) *part {
	for i := range slices.Backward(w.parts) {
		if w.parts[i].to == to {
			return &w.parts[i]
		}
	}
	return nil
}

// open begins a part. All writers together hold a fraction of what may be
// unacknowledged: the more they are, the less each of them.
func (w *Writer) open(to *Stream, room int, at time.Time) *part {
	if len(w.parts) == 0 {
		n := w.s.holding.Add(1)
		w.limit = int(min(max(w.s.opts.MaxBytes/8/n, minChunkBytes), chunkBytes))
	}
	if len(w.parts) == 0 {
		room = max(room, min(w.hint, w.limit))
	}
	w.parts = append(w.parts, part{to: to, entries: w.s.buffers.get(room), oldest: at})
	return &w.parts[len(w.parts)-1]
}

// Advance says that there is nothing to send of the file up to safe. All lines
// before were added.
func (w *Writer) Advance(safe int64) {
	if len(w.parts) > 0 {
		w.safe = safe
		return
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	was := w.file.Committed()
	w.file.advance(safe)
	w.s.metrics.ackedBytes.Add(float64(w.file.Committed() - was))
}

// Flush hands over what was added. It waits while too much is unacknowledged;
// an error is ctx's, and what was not handed over then is kept for the next one.
func (w *Writer) Flush(ctx context.Context) error {
	if len(w.parts) == 0 {
		return nil
	}
	size := w.held
	for i := range w.parts {
		p := &w.parts[i]
		if err := w.s.take(ctx, w.file, p, w.safe, i == len(w.parts)-1); err != nil {
			w.parts = slices.Delete(w.parts, 0, i)
			return err
		}
		w.held -= len(p.entries)
		w.s.buffers.put(p.entries)
		p.entries = nil
	}
	w.hint = size
	clear(w.parts)
	w.parts = w.parts[:0]
	w.s.holding.Add(-1)
	return nil
}

// waiter is a part that waits for memory.
type waiter struct {
	file  *File
	part  *part
	safe  int64
	last  bool
	taken chan struct{} // closed when it was put into a batch
}

// take puts p into a batch. The file's offset moves over it only with the last
// part of a chunk: lines of several streams alternate in a file.
func (s *Shipper) take(ctx context.Context, f *File, p *part, safe int64, last bool) error {
	s.mu.Lock()
	ln := s.lane(p.to)
	if s.fits(ln, p) {
		s.put(ln, f, p, safe, last)
		s.mu.Unlock()
		return nil
	}
	w := &waiter{file: f, part: p, safe: safe, last: last, taken: make(chan struct{})}
	s.waiting = append(s.waiting, w)
	s.hurry(ln)
	s.mu.Unlock()
	select {
	case <-w.taken:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-w.taken: // at this very moment
		return nil
	default:
	}
	s.waiting = slices.DeleteFunc(s.waiting, func(other *waiter) bool { return other == w })
	return ctx.Err()
}
