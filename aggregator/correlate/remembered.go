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
	explicit    []string // IDs that the line itself carries
	candidates  []string
	attribution faas.Attribution
	fresh       bool // not given out yet
}

// remembered makes a line of the instance out of l.
func (i *instance) remembered(l *faas.Line) *remembered {
	return &remembered{line: l, time: l.Time, explicit: explicitIDs(l), fresh: true}
}

// restored makes a line of the instance out of its row.
func (i *instance) restored(row *schema.LogRow) *remembered {
	r := &remembered{
		line: row.Line, time: row.Time, explicit: row.Named, requestID: row.RequestID, attribution: row.Attribution, candidates: row.Candidates,
	}
	if r.attribution == faas.AttributionExplicit {
		r.explicit = append(slices.Clip(r.explicit), r.requestID) // the sender may have named it
	}
	return r
}

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
	for _, id := range r.explicit {
		n += 16 + len(id)
	}
	for i := range r.line.Attributes {
		a := &r.line.Attributes[i]
		n += int(unsafe.Sizeof(*a)) + len(a.Key) + len(a.Value)
	}
	return n
}
