package engine

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/logql/eval"
	"github.com/coldscope/coldscope/query/logql/labels"
	"github.com/coldscope/coldscope/query/logql/pipeline"
	"github.com/coldscope/coldscope/query/logql/plan"
)

const (
	batchLines = 1024
	minChunk   = 1000 // lines asked for at once where not all pass the stages
)

// lines reads the lines of one request. It implements eval.Lines.
type lines struct {
	s        *source
	plan     *plan.Lines
	request  eval.Request
	read     plan.Read // of the slice
	slices   slices
	wanted   int // lines still wanted at most, if all pass; -1: no limit
	rows     *rows
	asked    int // LIMIT of the open rows, 0 for none
	given    int // lines of the open rows
	row      row
	streams  map[streamKey]*labels.Set
	table    *labels.Table // of streams
	metadata *labels.Table
	batch    []pipeline.Line
	pending  []factKey // of the batch, in parallel
	facts    map[factKey]facts
}

// row is what is scanned of a line.
type row struct {
	at                                 time.Time
	stream                             streamKey
	severity                           uint8
	attribution                        string
	requestID, traceID, spanID, packed string
	attributes                         schema.AttributeMap
	fileID, offset                     uint64
	own                                []labels.Label // its metadata without facts; reused
}

// streamKey is the labels of a stream.
type streamKey struct{ namespace, function, version, instance, host, stream string }

func newLines(s *source, p *plan.Lines, r eval.Request, body bool) *lines {
	l := &lines{
		s: s, plan: p, request: r, wanted: -1,
		read:    plan.Read{Tenant: s.q.tenant, Backward: r.Backward, WithoutBody: !body && !s.wants("phase"), WithoutAttributes: !s.wantsAttributes()},
		streams: map[streamKey]*labels.Set{}, table: labels.NewTable(), metadata: labels.NewTable(),
	}
	l.slices = slices{left: r.Span, backward: r.Backward, whole: p.OfRequest()}
	if r.Limit > 0 {
		l.wanted = r.Limit
		l.slices.density, l.slices.of = &s.q.engine.densities, s.q.tenant+"\xff"+r.Log.String()
	}
	return l
}

// wantsAttributes says whether labels count that the store does not know by name.
func (s *source) wantsAttributes() bool {
	for name := range s.wanted {
		if plan.Lookup(name) == nil {
			return true
		}
	}
	return s.wanted == nil
}

func (s *source) wants(name string) bool { return s.wanted == nil || s.wanted[name] }

// Next gives the next lines.
func (l *lines) Next(ctx context.Context) ([]pipeline.Line, error) {
	l.batch, l.pending = l.batch[:0], l.pending[:0]
	for len(l.batch) == 0 {
		if l.rows == nil {
			if err := l.open(ctx); err != nil {
				return nil, err // io.EOF at the end
			}
		}
		if err := l.fill(); err != nil {
			return nil, err
		}
	}
	if l.metadata.Len() > 1<<16 {
		l.metadata.Forget()
	}
	if err := l.attach(ctx); err != nil {
		return nil, err
	}
	return l.batch, nil
}

// Close ends what is still read.
func (l *lines) Close() error {
	l.slices.learn(l.row.at)
	l.end()
	return nil
}

// end ends the open rows, if there are any.
func (l *lines) end() {
	if l.rows != nil {
		l.rows.end()
		l.rows = nil
	}
}

// open asks for the next slice, or for more of this one.
func (l *lines) open(ctx context.Context) error {
	again := l.asked > 0 && l.given == l.asked // the slice is not at its end
	if l.asked = 0; l.wanted >= 0 {
		l.asked = l.wanted
		if len(l.plan.Rest) > 0 {
			l.asked = max(minChunk, 4*l.request.Limit)
		}
		if l.asked == 0 {
			return io.EOF
		}
	}
	if again {
		l.read.After = &plan.Cursor{Time: l.row.at.UnixNano(), Namespace: l.row.stream.namespace, Function: l.row.stream.function, FileID: l.row.fileID, Offset: l.row.offset}
	} else {
		span, any := l.slices.next(l.asked)
		if !any {
			return io.EOF
		}
		l.read.Since, l.read.Until, l.read.After = span.Start, span.End, nil
	}
	l.given = 0
	l.read.Limit = l.asked
	rows, err := l.s.q.ask(ctx, l.plan.Query(l.read))
	if err != nil {
		return fmt.Errorf("read lines: %w", err)
	}
	l.rows = rows
	return nil
}

// fill reads rows into the batch; at their end it closes them.
func (l *lines) fill() error {
	limit := l.s.q.engine.limits.MaxLines
	for len(l.batch) < batchLines {
		if !l.rows.Next() {
			err := l.rows.Err()
			l.end()
			if err != nil {
				return fmt.Errorf("read lines: %w", err)
			}
			return nil
		}
		r := &l.row
		r.attributes = r.attributes[:0]
		if err := l.rows.Scan(&r.at, &r.stream.namespace, &r.stream.function, &r.stream.version, &r.stream.instance, &r.stream.host, &r.stream.stream,
			&r.severity, &r.attribution, &r.requestID, &r.traceID, &r.spanID, &r.packed, &r.attributes, &r.fileID, &r.offset); err != nil {
			return fmt.Errorf("read lines: %w", err)
		}
		l.given++
		l.slices.found++
		if len(l.plan.Rest) == 0 && l.wanted > 0 {
			l.wanted--
		}
		if n := l.s.q.lines.Add(1); n > uint64(limit) {
			return &LinesError{limit}
		}
		l.add(r)
	}
	return nil
}

func (l *lines) add(r *row) {
	line := pipeline.Line{Time: r.at.UnixNano(), Body: schema.Unpack(r.packed, r.requestID), Stream: l.stream(r.stream)}
	l.s.q.lineBytes.Add(uint64(len(line.Body)))
	l.own(r, line.Body)
	key := factKey{}
	if l.s.facts && r.requestID != "" {
		key = factKey{r.stream.namespace, r.stream.function, r.requestID, r.stream.instance}
	}
	line.Metadata = l.metadata.Of(r.own...)
	l.batch = append(l.batch, line)
	l.pending = append(l.pending, key)
}

func (l *lines) stream(k streamKey) *labels.Set {
	set := l.streams[k]
	if set == nil {
		set = l.table.Of(present(nil, l.s.wants,
			"namespace", k.namespace, "function", k.function, "service_name", k.function, "version", k.version,
			"instance", k.instance, "host", k.host, "stream", k.stream)...)
		l.streams[k] = set
	}
	return set
}

// present appends the labels, given by name and value, that have a value and
// are wanted.
func present(list []labels.Label, wanted func(string) bool, pairs ...string) []labels.Label {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" && wanted(pairs[i]) {
			list = append(list, labels.Label{Name: pairs[i], Value: pairs[i+1]})
		}
	}
	return list
}

// own makes the labels of a line's metadata, as plan has them, without the facts.
func (l *lines) own(r *row, body string) {
	level, detected := "", faas.Severity(r.severity).String()
	if detected != faas.SeverityUnknown.String() {
		level = detected
	}
	r.own = present(r.own[:0], l.s.wants, "attribution", r.attribution, "detected_level", detected, "level", level,
		"phase", plan.Phase(r.stream.stream, r.attribution, body),
		"request_id", r.requestID, "span_id", r.spanID, "trace_id", r.traceID)
attributes:
	for _, a := range r.attributes {
		name := plan.AttributeLabel(a.Key)
		if name == "" || a.Value == "" || !l.s.wants(name) {
			continue
		}
		for _, before := range r.own { // of several the first counts
			if before.Name == name {
				continue attributes
			}
		}
		r.own = append(r.own, labels.Label{Name: name, Value: a.Value})
	}
}

// factKey names the attempt of a request that a line is of.
type factKey struct{ namespace, function, request, instance string }

// facts are those of one request.
type facts struct {
	began  int64
	labels []labels.Label
}

// near says whether a line of that time has them.
func (f *facts) near(t int64) bool {
	return len(f.labels) > 0 && f.began >= t-int64(plan.FactsBefore) && f.began <= t+int64(plan.FactsAfter)
}

// attach gives the lines of the batch the facts of their requests.
func (l *lines) attach(ctx context.Context) error {
	ids := map[string]bool{}
	for _, k := range l.pending {
		if k.request != "" && !l.known(k) {
			ids[k.request] = true
		}
	}
	if len(ids) > 0 {
		if err := l.look(ctx, ids); err != nil {
			return err
		}
	}
	for i, k := range l.pending {
		if facts := l.facts[k]; facts.near(l.batch[i].Time) {
			own := l.batch[i].Metadata.Labels()
			all := append(append(make([]labels.Label, 0, len(own)+len(facts.labels)), own...), facts.labels...)
			l.batch[i].Metadata = l.metadata.Of(all...)
		}
	}
	return nil
}

func (l *lines) known(k factKey) bool {
	_, ok := l.facts[k]
	return ok
}

// maxFacts is of how many requests the facts are remembered.
const maxFacts = 50_000

// look reads the facts of those requests. Requests without any are remembered, too.
func (l *lines) look(ctx context.Context, ids map[string]bool) error {
	if l.facts == nil || len(l.facts) > maxFacts {
		l.facts = map[factKey]facts{}
	}
	for _, k := range l.pending { // also those that it has forgotten
		if k.request != "" && !l.known(k) {
			ids[k.request] = true
			l.facts[k] = facts{}
		}
	}
	list := make([]string, 0, len(ids))
	for id := range ids {
		list = append(list, id)
	}
	rows, err := l.s.q.ask(ctx, plan.Facts(l.request.Log, l.s.q.tenant, l.request.Span.Start, l.request.Span.End, list))
	if err != nil {
		return fmt.Errorf("read facts of requests: %w", err)
	}
	defer rows.end()
	for rows.Next() {
		var k factKey
		var f attempt
		if err := rows.Scan(&k.namespace, &k.function, &k.request, &k.instance, &f.started, &f.cold, &f.coldWait, &f.duration, &f.ended, &f.code, &f.status, &f.closed, &f.trigger); err != nil {
			return fmt.Errorf("read facts of requests: %w", err)
		}
		if at := f.started.UnixNano(); at >= l.facts[k].began { // the last of several attempts on an instance counts
			l.facts[k] = facts{at, present(nil, l.s.wants, f.labels()...)}
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read facts of requests: %w", err)
	}
	return nil
}

// attempt is a row of plan.Facts.
type attempt struct {
	started                 time.Time
	ended                   *time.Time
	cold                    *bool
	coldWait, duration      *int64
	code                    *uint16
	status, closed, trigger *string
}

// labels are the names and values of its facts, in order, as plan's SQL gives
// them. Those without a value are not known.
func (a *attempt) labels() []string {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	millis := func(ns *int64) string {
		if ns == nil {
			return ""
		}
		return strconv.FormatFloat(float64(*ns)/1e6, 'f', -1, 64)
	}
	var cold, code string
	if a.cold != nil {
		cold = strconv.FormatBool(*a.cold)
	}
	if a.code != nil {
		code = strconv.Itoa(int(*a.code))
	}
	duration := a.duration
	if duration == nil && a.ended != nil {
		duration = new(a.ended.Sub(a.started).Nanoseconds())
	}
	status := "running"
	switch {
	case a.status != nil:
		status = *a.status
	case a.closed != nil:
		status = *a.closed
	}
	return []string{"cold", cold, "cold_wait_ms", millis(a.coldWait), "duration_ms", millis(duration), "http_status", code, "status", status, "trigger", text(a.trigger)}
}
