package ship

import (
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// File is a file's acknowledgement window: its lines may be in several batches
// at once, and the offset moves in the order in which they were handed over.
type File struct {
	id        string
	meta      []byte // of each of its entries
	committed atomic.Int64
	refused   atomic.Int64
	acked     atomic.Int64 // Unix nanoseconds
	// window is guarded by the Shipper's mutex: runs of lines that are in one
	// batch, in the order in which they were handed over.
	window []run
}

type run struct {
	batch *batch
	safe  int64 // how far the file is done with once this and all before it are
}

// NewFile makes the window of a file that is acknowledged up to committed.
func NewFile(id uint64, committed int64) *File {
	f := &File{id: wire.FormatFileID(id), meta: wire.FileMetadata(id)}
	f.committed.Store(committed)
	return f
}

// Committed is the offset up to which everything is acknowledged.
func (f *File) Committed() int64 { return f.committed.Load() }

// Refused is how many of its lines went to the dead-letter file because the
// target refused them.
func (f *File) Refused() int64 { return f.refused.Load() }

// Acknowledged is when a batch with lines of the file was last acknowledged,
// zero if none was.
func (f *File) Acknowledged() time.Time { return fromNano(f.acked.Load()) }

// handed is how far the file is done with once all that was handed over is.
func (f *File) handed() int64 {
	if n := len(f.window); n > 0 {
		return f.window[n-1].safe
	}
	return f.committed.Load()
}

// sent notes lines that went into b.
func (f *File) sent(b *batch, safe int64) {
	if n := len(f.window); n > 0 && f.window[n-1].batch == b {
		f.window[n-1].safe = safe
		return
	}
	f.window = append(f.window, run{b, safe})
}

// advance notes that the file is done with up to safe once what was handed
// over is.
func (f *File) advance(safe int64) {
	if n := len(f.window); n > 0 {
		f.window[n-1].safe = safe
		return
	}
	f.committed.Store(safe)
}

// settle moves the offset over the runs that are done, and gives by how much.
func (f *File) settle(now time.Time) int64 {
	f.acked.Store(now.UnixNano())
	was := f.committed.Load()
	n, safe := 0, was
	for n < len(f.window) && f.window[n].batch.done {
		safe = f.window[n].safe
		n++
	}
	if n == 0 {
		return 0
	}
	m := copy(f.window, f.window[n:])
	clear(f.window[m:])
	f.window = f.window[:m]
	f.committed.Store(safe)
	return safe - was
}

// Stream says whose lines are and of which kind. It is made once for many
// lines, which all go through one Shipper.
type Stream struct {
	tenant, labels string
	head           []byte
	kind           faas.Stream
	key            uint64 // of the instance
	// order is guarded by the Shipper's mutex: the targets, the best one first.
	order []*target
}

// NewStream makes the stream of ref's lines. A ref without a tenant is the default's.
func NewStream(ref faas.Ref, kind faas.Stream, host string) *Stream {
	labels := wire.StreamLabels(ref, kind, host)
	s := &Stream{tenant: tenantOf(ref), labels: labels, head: wire.StreamHead(labels), kind: kind}
	if ref.Instance != "" {
		s.key = xxhash.Sum64String(ref.Instance)
	} else { // who has no instances has functions
		s.key = xxhash.Sum64String(s.tenant + "\x00" + ref.Namespace + "\x00" + ref.Function)
	}
	return s
}
