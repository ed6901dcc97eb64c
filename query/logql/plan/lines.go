package plan

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/coldscope/coldscope/query/logql"
)

// A line has the facts of its request if that began at most so long before the
// line, or so long after it.
const (
	FactsBefore = time.Hour
	FactsAfter  = 15 * time.Minute
)

// Lines is how the lines of a query are read.
type Lines struct {
	// Rest are the stages that are left to be done with the lines, in their order.
	Rest []logql.Stage

	log *logql.LogExpr
}

// ForLines plans a query for lines.
func ForLines(e *logql.LogExpr) *Lines {
	_, rest := newBuilder("").log(e)
	return &Lines{Rest: rest, log: e}
}

// Cursor is a line's place in the order of reading: by time, and by what names
// the line.
type Cursor struct {
	Time                int64 // nanoseconds since 1970
	Namespace, Function string
	FileID, Offset      uint64
}

// Read says which of the lines are to be read.
type Read struct {
	Tenant       string
	Since, Until int64 // nanoseconds since 1970; Until is not in it
	Backward     bool  // the latest first
	Limit        int   // 0 for all
	After        *Cursor
	// WithoutBody leaves the texts away, WithoutPhase the label that is made of them.
	WithoutBody, WithoutPhase bool
	// WithoutAttributes leaves away what lines say of themselves.
	WithoutAttributes bool
}

// LineColumns are the columns of the SQL of lines: a line's time in
// nanoseconds, then its texts, its attributes, and file_id and offset.
var LineColumns = []string{
	"at", "namespace", "function", "version", "instance", "host", "stream", "level", "attribution", "phase", "request_id", "trace_id", "span_id", "body", "attributes", "file_id", "offset",
}

// Query is the SQL that reads lines, in order.
func (l *Lines) Query(r Read) Query {
	b := newBuilder(r.Tenant)
	c, _ := b.log(l.log)
	since, until := clamp(r.Since), clamp(r.Until)
	order := ""
	if r.Backward {
		order = " DESC"
	}
	if a := r.After; a != nil {
		than := " > "
		if r.Backward {
			than = " < "
			until = min(until, a.Time+1)
		} else {
			since = max(since, a.Time)
		}
		c.lines = append(c.lines, "(toUnixTimestamp64Nano(ts), toString(namespace), toString(function), file_id, offset)"+than+"("+
			b.whole(a.Time)+", "+b.text(a.Namespace)+", "+b.text(a.Function)+", "+b.param(a.FileID, "UInt64")+", "+b.param(a.Offset, "UInt64")+")")
	}
	body, attributes := "body", "attributes"
	if r.WithoutBody {
		body = "''"
	}
	if r.WithoutAttributes {
		attributes = "CAST(map(), 'Map(LowCardinality(String), String)')"
	}
	var s strings.Builder
	s.WriteString("SELECT toUnixTimestamp64Nano(ts), toString(namespace), toString(function), toString(version), instance, toString(host), toString(stream), ")
	phase := byName["phase"].expr
	if r.WithoutPhase {
		phase = "''"
	}
	s.WriteString(byName["level"].expr + ", " + byName["attribution"].expr + ", " + phase + ", request_id, trace_id, span_id, " + body + ", " + attributes + ", file_id, offset\n")
	s.WriteString(b.from(&c, l.log, since, until))
	s.WriteString("\nORDER BY ts" + order + ", namespace" + order + ", function" + order + ", file_id" + order + ", offset" + order)
	if r.Limit > 0 {
		s.WriteString("\nLIMIT " + b.param(uint64(r.Limit), "UInt64"))
	}
	return Query{s.String(), b.args}
}

// clamp is t as far as the store can hold it.
func clamp(t int64) int64 { return min(max(t, 0), math.MaxInt64-1) }

// rawColumns are those of logs that labels and values are made of.
const rawColumns = "ts, namespace, function, version, instance, host, stream, severity, attribution, request_id, trace_id, span_id, body, attributes, file_id, offset"

// from is the FROM and the WHERE of lines, with the facts of their requests if
// some were asked for.
func (b *builder) from(c *conditions, e *logql.LogExpr, since, until int64) string {
	table := "logs FINAL"
	if b.raw {
		table = "logs"
	}
	lines := "FROM " + table + "\n" + b.which(c, since, until)
	if !b.facts {
		return lines
	}
	facts := b.factsOf(e, since, until, nil)
	s := "FROM (SELECT " + rawColumns + "\n" + lines + ") AS lines\nLEFT ANY JOIN (" + facts + ") AS facts USING (namespace, function, request_id, instance)"
	if len(c.facts) > 0 {
		s += "\nWHERE " + strings.TrimPrefix(and(c.facts), "\n    AND ")
	}
	return s
}

func and(list []string) string {
	var s strings.Builder
	for _, c := range list {
		s.WriteString("\n    AND " + c)
	}
	return s.String()
}

// Facts is the SQL that reads what is known of the requests of those IDs, for
// lines of a range of time: namespace, function, request_id, instance, when it
// began (nanoseconds since 1970), and the facts in the order of their names.
func Facts(e *logql.LogExpr, tenant string, since, until int64, ids []string) Query {
	b := newBuilder(tenant)
	sql := b.factsOf(e, clamp(since), clamp(until), ids)
	return Query{"SELECT toString(namespace), toString(function), request_id, instance, fact_started, fact_cold, fact_cold_wait_ms, fact_duration_ms, fact_http_status, fact_status, fact_trigger\nFROM (" + sql + ")", b.args}
}

func (b *builder) factsOf(e *logql.LogExpr, since, until int64, ids []string) string {
	var more []string
	for _, m := range e.Matchers {
		if keyColumns[m.Name] != "" {
			more = append(more, b.matcher(m))
		}
	}
	if len(ids) > 0 {
		list := make([]string, len(ids))
		for i, id := range ids {
			list[i] = b.text(id)
		}
		more = append(more, "request_id IN ("+strings.Join(list, ", ")+")")
	}
	from := max(0, since-int64(FactsBefore))
	to := min(until, math.MaxInt64-int64(FactsAfter)) + int64(FactsAfter)
	return `SELECT namespace, function, request_id, instance,
    toUnixTimestamp64Nano(max(started_at)) AS fact_started,
    argMax(ifNull(toString(cold), ''), started_at) AS fact_cold,
    argMax(ifNull(toString(cold_wait_ns / 1e6), ''), started_at) AS fact_cold_wait_ms,
    argMax(ifNull(toString(coalesce(duration_ns, toUnixTimestamp64Nano(ended_at) - toUnixTimestamp64Nano(started_at)) / 1e6), ''), started_at) AS fact_duration_ms,
    argMax(ifNull(toString(http_status), ''), started_at) AS fact_http_status,
    argMax(coalesce(status, closed_status, 'running'), started_at) AS fact_status,
    argMax(ifNull(trigger, ''), started_at) AS fact_trigger
FROM invocations FINAL
WHERE tenant = {tenant:String}
    AND started_at >= fromUnixTimestamp64Nano(` + b.whole(from) + `, 'UTC') AND started_at < fromUnixTimestamp64Nano(` + b.whole(to) + `, 'UTC')` +
		and(more) + "\nGROUP BY namespace, function, request_id, instance"
}

// log gives the conditions of a query for lines, and the stages that they do
// not stand for.
func (b *builder) log(e *logql.LogExpr) (conditions, []logql.Stage) {
	c, rest, _ := b.pipeline(e)
	return c, rest
}

func (b *builder) pipeline(e *logql.LogExpr) (c conditions, rest []logql.Stage, l labels) {
	for _, m := range e.Matchers {
		c.add(b, func() string { return b.matcher(m) })
	}
	line := true   // the text is the store's
	parsed := true // what labels were added are from that text
	for _, s := range e.Pipeline {
		switch s := s.(type) {
		case *logql.LineFilter:
			if sql := b.lineFilter(s); line && sql != "" {
				c.texts = append(c.texts, sql)
				continue
			}
		case *logql.LabelFilterStage:
			exact := false
			c.add(b, func() string {
				sql := b.filter(s.Filter, &l)
				if exact = sql != ""; !exact {
					sql = b.hint(s.Filter, &l, parsed && line)
				}
				return sql
			})
			if exact {
				continue
			}
			l.fail(converts(s.Filter))
		case *logql.JSONParser, *logql.LogfmtParser:
			l.all = true
			l.fail(true)
		case *logql.RegexpParser, *logql.PatternParser:
			l.all = true
		case *logql.UnpackParser:
			l.all, line = true, false
			l.fail(true)
		case *logql.LineFormat:
			line = false
			l.fail(true)
		case *logql.Decolorize:
			line = false
		case *logql.LabelFormat:
			parsed = false
			l.fail(true)
			for _, a := range s.Labels {
				l.change(a.Name)
				l.change(a.From)
			}
		case *logql.DropLabels:
			for _, choice := range s.Labels {
				l.change(choice.Name)
				if choice.Matcher == nil {
					l.forgive(choice.Name)
				}
			}
		case *logql.KeepLabels:
			l.all = true
		}
		rest = append(rest, s)
	}
	return c, rest, l
}

// converts says whether f makes numbers of labels, which may fail.
func converts(f logql.LabelFilter) bool {
	switch f := f.(type) {
	case *logql.StringFilter:
		return false
	case *logql.AndFilter:
		return converts(f.Left) || converts(f.Right)
	case *logql.OrFilter:
		return converts(f.Left) || converts(f.Right)
	}
	return true
}

// NeedsBody says whether what is left to be done with lines looks at their texts.
func NeedsBody(stages []logql.Stage) bool {
	return slices.ContainsFunc(stages, func(s logql.Stage) bool {
		switch s.(type) {
		case *logql.LabelFilterStage, *logql.DropLabels, *logql.KeepLabels:
			return false
		}
		return true
	})
}
