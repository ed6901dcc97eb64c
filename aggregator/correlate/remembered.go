package correlate

import (
	"slices"
	"time"
	"unsafe"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// remembered is a line that may still be corrected.
type remembered struct {
	owner *instance // nil once it is forgotten
	line  *faas.Line
	time  time.Time // its line's; stays when that is forgotten

	requestID   string
	candidates  []string
	attribution faas.Attribution
	fresh       bool // not given out yet
}

// maxSlab bounds how many lines' memory of an instance is made at once. It is
// an instance's own, since that forgets its lines in their order, or all.
const maxSlab = 64

// remembered makes a line of the instance out of l.
func (i *instance) remembered(l *faas.Line) *remembered {
	if len(i.slab) == 0 {
		i.slab = make([]remembered, min(max(len(i.lines)+len(i.held), 1), maxSlab))
	}
	r := &i.slab[0]
	i.slab = i.slab[1:]
	r.line, r.time, r.fresh = l, l.Time, true
	return r
}

// restored makes a line out of its row.
func restored(row *schema.LogRow) *remembered {
	r := &remembered{line: row.Line, time: row.Time, requestID: row.RequestID, attribution: row.Attribution, candidates: row.Candidates}
	if r.attribution == faas.AttributionExplicit && r.requestID != row.Line.RequestID {
		line := *row.Line
		line.Named = append(slices.Clip(line.Named), r.requestID) // the sender may have named it
		r.line = &line
	}
	return r
}

func (r *remembered) gone() bool { return r.owner == nil }

// set gives the line its request, and reports whether it had another one.
func (r *remembered) set(requestID string, how faas.Attribution, candidates []string) bool {
	if r.requestID == requestID && r.attribution == how && slices.Equal(r.candidates, candidates) {
		return false
	}
	r.requestID, r.attribution, r.candidates = requestID, how, candidates
	return true
}

func (r *remembered) row(revision uint64) schema.LogRow {
	return schema.LogRow{
		Line: r.line, RequestID: r.requestID, Attribution: r.attribution, Candidates: r.candidates, Revision: revision,
	}
}

// size is what r takes, roughly, without its candidates, which change.
func (r *remembered) size() int {
	const each = int(unsafe.Sizeof(remembered{})+unsafe.Sizeof(faas.Line{})) + 32 // the pointers to it
	n := each + len(r.line.Body) + len(r.line.Raw)
	if r.line.RequestID != "" {
		n += 16 + len(r.line.RequestID)
	}
	for _, id := range r.line.Named {
		n += 16 + len(id)
	}
	for i := range r.line.Attributes {
		a := &r.line.Attributes[i]
		n += int(unsafe.Sizeof(*a)) + len(a.Key) + len(a.Value)
	}
	return n
}
