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
	// WithoutBody leaves the texts away, WithoutAttributes what lines say of themselves.
	WithoutBody, WithoutAttributes bool
}

// Query is the SQL that reads lines, in order: their columns ts, namespace,
// function, version, instance, host, stream, severity, attribution, request_id,
// trace_id, span_id, packed, attributes, file_id and offset, as they are: to plan
// expressions takes the engine longer than to read a request's lines.
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
	text, attributes := "packed", "attributes"
	if r.WithoutBody {
		text = "''"
	}
	if r.WithoutAttributes {
		attributes = "CAST(map(), 'Map(LowCardinality(String), String)')"
	}
	var s strings.Builder
	s.WriteString("SELECT ts, namespace, function, version, instance, host, stream, severity, attribution, request_id, trace_id, span_id, " + text + ", " + attributes + ", file_id, offset\n")
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
const rawColumns = "ts, namespace, function, version, instance, host, stream, severity, attribution, request_id, trace_id, span_id, packed, body, attributes, file_id, offset"

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
	facts := b.factsOf(e, since, until)
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
// lines of a range of time: the columns namespace, function, request_id, instance,
// started_at, cold, cold_wait_ns, duration_ns, ended_at, http_status, status,
// closed_status and trigger of their attempts.
func Facts(e *logql.LogExpr, tenant string, since, until int64, ids []string) Query {
	b := newBuilder(tenant)
	sql := "SELECT namespace, function, request_id, instance, started_at, cold, cold_wait_ns, duration_ns, ended_at, http_status, status, closed_status, trigger\n" +
		b.attempts(e, clamp(since), clamp(until)) + "\n    AND request_id IN " + b.param(ids, "Array(String)")
	return Query{sql, b.args}
}

// attempts is the FROM and the WHERE of those that lines of a range of time may
// have facts of.
func (b *builder) attempts(e *logql.LogExpr, since, until int64) string {
	var more []string
	for _, m := range e.Matchers {
		if keyColumns[m.Name] != "" {
			more = append(more, b.matcher(m))
		}
	}
	from := max(0, since-int64(FactsBefore))
	to := min(until, math.MaxInt64-int64(FactsAfter)) + int64(FactsAfter)
	return `FROM invocations FINAL
WHERE tenant = {tenant:String}
    AND started_at >= fromUnixTimestamp64Nano(` + b.whole(from) + `, 'UTC') AND started_at < fromUnixTimestamp64Nano(` + b.whole(to) + `, 'UTC')` + and(more)
}

// factsOf is the SQL of the labels that attempts give lines. Package engine makes
// the same of the columns.
func (b *builder) factsOf(e *logql.LogExpr, since, until int64) string {
	return `SELECT namespace, function, request_id, instance,
    toUnixTimestamp64Nano(max(started_at)) AS fact_started,
    argMax(ifNull(toString(cold), ''), started_at) AS fact_cold,
    argMax(ifNull(toString(cold_wait_ns / 1e6), ''), started_at) AS fact_cold_wait_ms,
    argMax(ifNull(toString(coalesce(duration_ns, toUnixTimestamp64Nano(ended_at) - toUnixTimestamp64Nano(started_at)) / 1e6), ''), started_at) AS fact_duration_ms,
    argMax(ifNull(toString(http_status), ''), started_at) AS fact_http_status,
    argMax(coalesce(status, closed_status, 'running'), started_at) AS fact_status,
    argMax(ifNull(trigger, ''), started_at) AS fact_trigger
` + b.attempts(e, since, until) + "\nGROUP BY namespace, function, request_id, instance"
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
