// Package extract reads what a log line says of itself: its severity, its trace
// and span, the request IDs that it carries, and the fields of a JSON object or
// of logfmt as attributes. It also takes escape sequences out of the body.
//
// A line is looked at once for control characters and for the names before its
// colons and equals signs (IDs, wherever they stand), and once as what it is: a
// JSON object, logfmt, or text with a header. What a sender said
// of a line is never overruled. Nothing in a line opens or closes a request: a
// user's line that looks like a platform's is just a line.
package extract

import (
	"cmp"
	"slices"
	"sync"

	"github.com/coldscope/coldscope/internal/faas"
)

// Extractor reads lines. It is safe for concurrent use.
type Extractor struct {
	ids         finder
	fields      *nameTable
	keepAll     bool // every field becomes an attribute
	attributes  int  // Attributes.Max
	valueBytes  int  // Attributes.ValueBytes
	traceparent bool // RequestIDs.Traceparent
	readers     sync.Pool
}

// New makes an Extractor.
func New(cfg Config) (*Extractor, error) {
	x, err := cfg.compile()
	if err != nil {
		return nil, err
	}
	x.readers.New = func() any { return &reader{x: x, paths: map[string]string{}} }
	return x, nil
}

// Line fills what l does not say yet: Severity, TraceID, SpanID, more
// Attributes. Where Body has escape sequences or other control characters they
// are taken out, and Raw keeps the line as it was. Body is valid UTF-8.
//
// It appends the request IDs that the body carries to ids, in their order,
// without l.RequestID. These, and all that is filled, are mostly parts of Body:
// who keeps one longer than the line clones it.
func (x *Extractor) Line(l *faas.Line, ids []string) []string {
	r := x.readers.Get().(*reader)
	defer x.readers.Put(r)
	r.begin(l, ids)
	if body := x.clean(l.Body, &r.found); len(body) < len(l.Body) {
		if l.Raw == "" {
			l.Raw = l.Body
		}
		l.Body, r.s = body, body
	}
	if !r.json() && !r.logfmt() {
		r.severity = textSeverity(l.Body, r.found.severity)
	}
	ids = r.found.ids
	r.end(l)
	return ids
}

// IDs gives the request IDs that a stored line's body carries: what Line gave
// for it.
func (x *Extractor) IDs(body string) []string {
	var f found
	x.clean(body, &f)
	return f.ids
}

// clean gives body without what no body keeps, and finds what is named in it.
func (x *Extractor) clean(body string, f *found) string {
	before := *f
	if x.find(body, f) >= 0 {
		*f, body = before, strip(body)
		x.find(body, f)
	}
	return body
}

// found is what the names before colons and equals signs tell.
type found struct {
	ids         []string
	had         int // of ids, which are not the line's
	trace, span string
	// As they are written, to tell which attributes a column has already.
	traceText, spanText string
	severity            faas.Severity // of a level= anywhere
}

// full tells whether no further request ID is taken.
func (f *found) full() bool { return len(f.ids)-f.had >= maxIDs }

func (f *found) add(id string) {
	if !f.full() && !slices.Contains(f.ids[f.had:], id) {
		f.ids = append(f.ids, id)
	}
}

// column tells whether a column has value already.
func (f *found) column(value string) bool {
	return value == f.traceText || value == f.spanText || slices.Contains(f.ids[f.had:], value)
}

// reader is the memory in which one line is read, to be used again.
type reader struct {
	x     *Extractor
	found found
	s     string // the body
	at    int
	attrs []faas.Attribute // the sender's first
	// What the level fields say: words win over numbers, the first over others.
	severity, byNumber, byStatus faas.Severity

	slab  []faas.Attribute  // room for lines' attributes
	path  []byte            // of a nested field
	paths map[string]string // by themselves, so that equal ones cost nothing
}

func (r *reader) begin(l *faas.Line, ids []string) {
	r.found, r.s = found{ids: ids, had: len(ids)}, l.Body
	r.attrs = append(r.attrs[:0], l.Attributes...)
	r.restart(len(l.Attributes))
}

// restart forgets what was read, but the sender's attributes.
func (r *reader) restart(sent int) {
	r.at, r.attrs = 0, r.attrs[:sent]
	r.severity, r.byNumber, r.byStatus = 0, 0, 0
}

// slabAttributes are made at once: what each line has is small.
const slabAttributes = 256

// kept is a copy of a line's attributes, beside those of lines before it.
func (r *reader) kept(attrs []faas.Attribute) []faas.Attribute {
	n := len(attrs)
	if n > slabAttributes/4 {
		return slices.Clone(attrs)
	}
	if len(r.slab) < n {
		r.slab = make([]faas.Attribute, slabAttributes)
	}
	mine := r.slab[:n:n]
	r.slab = r.slab[n:]
	copy(mine, attrs)
	return mine
}

// end writes what was read into l, and lets go of l.
func (r *reader) end(l *faas.Line) {
	l.Severity = cmp.Or(l.Severity, r.severity, r.byNumber, r.byStatus)
	l.TraceID = cmp.Or(l.TraceID, r.found.trace)
	l.SpanID = cmp.Or(l.SpanID, r.found.span)
	if len(r.attrs) > len(l.Attributes) {
		l.Attributes = r.kept(r.attrs)
	}
	clear(r.attrs)
	r.found, r.s = found{}, ""
}
