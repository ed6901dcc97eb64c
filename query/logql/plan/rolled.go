package plan

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coldscope/coldscope/query/logql"
)

// minRolled is how wide buckets are at least for figures by the minute to be
// used: the minutes that a bucket begins or ends in are counted from the lines.
const minRolled = 5 * time.Minute

// rolledLabels are what figures by the minute know of lines.
var rolledLabels = map[string]bool{
	"namespace": true, "function": true, "service_name": true, "version": true, "stream": true, "level": true, "detected_level": true,
}

// Rollup is a range aggregation that figures by the minute can be used for.
type Rollup struct {
	inner  *logql.RangeAggregation
	tenant string
	labels []string
	origin int64 // where the first bucket begins, which is not in it
	end    int64 // where the last one ends, which is in it
	width  int64
}

// roll looks whether figures can be used.
func (r *Range) roll(inner *logql.RangeAggregation, tenant string, origin int64) {
	if r.windowed || r.unwraps || r.width < int64(minRolled) {
		return
	}
	used := names{}
	used.add(r.Labels...)
	for _, m := range inner.Range.Log.Matchers {
		used.add(m.Name)
	}
	for _, s := range inner.Range.Log.Pipeline {
		switch s := s.(type) {
		case *logql.LabelFilterStage:
			used.filter(s.Filter)
		case *logql.DropLabels:
		default:
			return
		}
	}
	for name := range used {
		if !rolledLabels[name] && !strings.HasPrefix(name, "__") {
			return
		}
	}
	buckets := (r.steps.Count()-1)*r.perStep + r.perRange
	r.Rollup = &Rollup{inner, tenant, r.Labels, origin, origin + buckets*r.width, r.width}
}

// Span is the time that the lines are of, in nanoseconds since 1970; until is
// not in it.
func (u *Rollup) Span() (since, until int64) { return u.origin + 1, u.end + 1 }

// Query is the SQL that does what that of the Range does, with figures for the
// minutes from first on and before end (seconds since 1970) that are not in the
// table dirty, which has to be there.
func (u *Rollup) Query(first, end int64) Query {
	b := newBuilder(u.tenant)
	c, _ := b.log(u.inner.Range.Log)
	origin, width := b.whole(u.origin), b.whole(u.width)
	from, to := b.param(uint32(first), "UInt32"), b.param(uint32(end), "UInt32")
	minute := "toInt64(toUnixTimestamp(minute)) * 1000000000"
	// A minute that a bucket ends in is not of one bucket.
	edge := func(m string) string {
		return "intDiv(" + m + " + 59999999999 - " + origin + ", " + width + ") != intDiv(" + m + " - 1 - " + origin + ", " + width + ")"
	}
	bucket := func(t string) string { return "intDiv(" + t + " - " + origin + " + " + width + " - 1, " + width + ")" }
	var groups, aliases strings.Builder
	for i, name := range u.labels {
		alias := "g" + strconv.Itoa(i)
		groups.WriteString(", " + b.label(name) + " AS " + alias)
		aliases.WriteString(", " + alias)
	}
	bytes := slices.Contains([]logql.RangeOp{logql.BytesOverTime, logql.BytesRate}, u.inner.Op)
	rolledValue, value := "sum(line_minutes.lines)", "count()"
	if bytes {
		rolledValue, value = "sum(line_minutes.bytes)", "sum(length(body))"
	}
	var keys, others []string // others are not of all figures of a minute alike
	for _, sql := range c.lines {
		if ofKey.MatchString(sql) {
			keys = append(keys, sql)
		} else {
			others = append(others, sql)
		}
	}
	figures := "SELECT " + bucket(minute) + " AS bucket" + groups.String() + ", " + rolledValue + " AS v, sum(line_minutes.lines) AS n\nFROM (SELECT * FROM line_minutes" +
		"\nWHERE tenant = {tenant:String}" + and(keys) + "\n    AND minute >= fromUnixTimestamp(" + from + ") AND minute < fromUnixTimestamp(" + to + ")" +
		"\n    AND NOT (" + edge(minute) + ")\n    AND (namespace, function, minute) NOT IN (SELECT namespace, function, minute FROM dirty)" +
		"\nQUALIFY generation = max(generation) OVER (PARTITION BY namespace, function, minute)" + and(others) + ") AS line_minutes\nGROUP BY bucket" + aliases.String()

	nanos := "toUnixTimestamp64Nano(ts)"
	begin := "intDiv(" + nanos + ", 60000000000) * 60000000000"
	c.lines = append(slices.Clone(c.lines), "(ts < toDateTime64(fromUnixTimestamp("+from+"), 9, 'UTC') OR ts >= toDateTime64(fromUnixTimestamp("+to+"), 9, 'UTC') OR "+edge(begin)+
		" OR (namespace, function, toStartOfMinute(toDateTime(ts, 'UTC'))) IN (SELECT namespace, function, minute FROM dirty))")
	since, until := u.Span()
	lines := "SELECT " + bucket(nanos) + " AS bucket" + groups.String() + ", " + value + " AS v, count() AS n\n" +
		b.from(&c, u.inner.Range.Log, since, until) + "\nGROUP BY bucket" + aliases.String()
	return Query{
		"SELECT bucket" + aliases.String() + ", toFloat64(sum(v)) AS value, sum(n) AS lines\nFROM (\n" + figures + "\nUNION ALL\n" + lines + "\n)\nGROUP BY bucket" + aliases.String() + "\nORDER BY bucket",
		b.args,
	}
}
