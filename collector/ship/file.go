package ship

import (
	"sync/atomic"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// File is a file's acknowledgement window: its lines may be in several batches
// at once, and the offset moves in the order in which they were sent.
type File struct {
	id        string
	committed atomic.Int64
	// window is guarded by the Shipper's mutex: runs of lines that are in one
	// batch, in the order in which they were sent.
	window []run
}

type run struct {
	batch *batch
	safe  int64 // how far the file is done with once this and all before it are
}

// NewFile makes the window of a file that is acknowledged up to committed.
func NewFile(id uint64, committed int64) *File {
	f := &File{id: wire.FormatFileID(id)}
	f.committed.Store(committed)
	return f
}

// Committed is the offset up to which everything is acknowledged.
func (f *File) Committed() int64 { return f.committed.Load() }

// sent notes a line that went into b.
func (f *File) sent(b *batch, safe int64) {
	if n := len(f.window); n > 0 && f.window[n-1].batch == b {
		f.window[n-1].safe = safe
		return
	}
	f.window = append(f.window, run{b, safe})
}

// advance notes that the file is done with up to safe once what was sent is.
func (f *File) advance(safe int64) {
	if n := len(f.window); n > 0 {
		f.window[n-1].safe = safe
		return
	}
	f.committed.Store(safe)
}

// settle moves the offset over the runs that are done, and gives by how much.
func (f *File) settle() int64 {
	n, safe := 0, f.committed.Load()
	was := safe
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

// Stream says whose lines are and of which kind. It is made once for many lines.
type Stream struct {
	tenant, labels string
	kind           faas.Stream
}

// NewStream makes the stream of ref's lines. A ref without a tenant is the default's.
func NewStream(ref faas.Ref, kind faas.Stream, host string) *Stream {
	tenant := ref.Tenant
	if tenant == "" {
		tenant = faas.DefaultTenant
	}
	return &Stream{tenant: tenant, labels: wire.StreamLabels(ref, kind, host), kind: kind}
}
