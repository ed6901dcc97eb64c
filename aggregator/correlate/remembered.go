package correlate

import (
	"slices"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

// remembered is a line that may still be corrected. There are many of them, so
// what lines have in common, or seldom have, is pointed to.
type remembered struct {
	owner  *instance // nil once it is forgotten
	origin *origin
	more   *more // nil if there is nothing in it

	time           time.Time
	body           string
	requestID      string
	fileID, offset uint64

	explicit    []string // IDs that the line itself carries
	stream      faas.Stream
	attribution faas.Attribution
	severity    faas.Severity
	fresh       bool // not given out yet
}

// origin is what the lines of one container have in common beside their instance.
type origin struct{ version, host string }

// more is what few lines have.
type more struct {
	candidates      []string
	raw             string
	truncated       uint64
	traceID, spanID string
	attributes      []faas.Attribute
}

func (m *more) empty() bool {
	return m.raw == "" && m.truncated == 0 && m.traceID == "" && m.spanID == "" && len(m.attributes) == 0 && len(m.candidates) == 0
}

// remembered makes a line of the instance out of l.
func (i *instance) remembered(l *faas.Line) *remembered {
	r := &remembered{
		origin: i.originOf(l.Version, l.Host), time: l.Time, stream: l.Stream, body: l.Body, fileID: l.FileID, offset: l.Offset,
		severity: l.Severity, explicit: explicitIDs(l), fresh: true,
	}
	r.put(more{raw: l.Raw, truncated: l.Truncated, traceID: l.TraceID, spanID: l.SpanID, attributes: l.Attributes})
	return r
}

// restored makes a line of the instance out of its row.
func (i *instance) restored(row *schema.LogRow) *remembered {
	r := &remembered{
		origin: i.originOf(row.Version, row.Host), time: row.Time, stream: faas.Stream(row.Stream), body: row.Body, fileID: row.FileID, offset: row.Offset,
		severity: row.Severity, explicit: idsIn(row.Body), requestID: row.RequestID, attribution: faas.Attribution(row.Attribution),
	}
	if r.attribution == faas.AttributionExplicit {
		r.explicit = append(r.explicit, r.requestID) // the sender may have named it
	}
	r.put(more{raw: row.Raw, truncated: row.Truncated, traceID: row.TraceID, spanID: row.SpanID, attributes: row.Attributes, candidates: row.Candidates})
	return r
}

func (i *instance) originOf(version, host string) *origin {
	if o := i.origin; o == nil || o.version != version || o.host != host {
		i.origin = &origin{version, host}
	}
	return i.origin
}

func (r *remembered) put(m more) {
	if m.empty() {
		r.more = nil
		return
	}
	kept := m // only here it needs memory of its own
	r.more = &kept
}

func (r *remembered) candidates() []string {
	if r.more == nil {
		return nil
	}
	return r.more.candidates
}

// set gives the line its request, and reports whether it had another one.
func (r *remembered) set(requestID string, how faas.Attribution, candidates []string) bool {
	if r.requestID == requestID && r.attribution == how && slices.Equal(r.candidates(), candidates) {
		return false
	}
	r.requestID, r.attribution = requestID, how
	if len(candidates)+len(r.candidates()) > 0 {
		var m more
		if r.more != nil {
			m = *r.more
		}
		m.candidates = candidates
		r.put(m)
	}
	return true
}

// fill makes an empty row of r, in its place: it is large.
func (r *remembered) fill(row *schema.LogRow, revision uint64) {
	k := &r.owner.key
	row.Tenant, row.Namespace, row.Function, row.Instance = k.Tenant, k.Namespace, k.Function, k.Instance
	row.Version, row.Host = r.origin.version, r.origin.host
	row.Time, row.Stream, row.FileID, row.Offset, row.Revision = r.time, string(r.stream), r.fileID, r.offset, revision
	row.RequestID, row.Attribution, row.Body, row.Severity = r.requestID, string(r.attribution), r.body, r.severity
	if m := r.more; m != nil {
		row.Candidates, row.Raw, row.Truncated, row.TraceID, row.SpanID, row.Attributes = m.candidates, m.raw, m.truncated, m.traceID, m.spanID, m.attributes
	}
}

// size is what r takes, roughly, without its candidates, which change.
func (r *remembered) size() int {
	const each, others = 208, 112 // its own struct and the pointers to it; that of more
	n := each + len(r.body)
	for _, id := range r.explicit {
		n += 16 + len(id)
	}
	if m := r.more; m != nil && m.raw != "" || m != nil && len(m.attributes) > 0 {
		n += others + len(m.raw)
		for _, a := range m.attributes {
			n += 32 + len(a.Key) + len(a.Value)
		}
	}
	return n
}
