package plan

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/coldscope/coldscope/query/logql"
)

// Steps are the moments at which an expression is wanted: Start and every Step
// after it up to End, in nanoseconds since 1970. Of one moment alone Step is 0.
type Steps struct{ Start, End, Step int64 }

// Count is how many moments s has.
func (s Steps) Count() int64 {
	if s.Step <= 0 || s.End < s.Start {
		return 1
	}
	return (s.End-s.Start)/s.Step + 1
}

// At is the moment i, from 0.
func (s Steps) At(i int64) int64 { return s.Start + i*s.Step }

// Bounds of what is left to SQL.
const (
	maxBuckets = 20_000 // of one series
	maxWindows = 64     // that a line is in, where it is counted in each
)

// Range is a range aggregation, or one that is brought together further, that
// SQL computes. Lines are counted by buckets of time of the same width, of
// which each window is made up; or, where what is wanted of a window cannot be
// put together of its buckets, by the windows themselves.
type Range struct {
	// Query gives rows of a bucket or window (Int64), a text for each of
	// Labels, a value (Float64) and how many lines it is of (UInt64).
	Query Query
	// Labels are those of the series, in order.
	Labels []string
	// Guarded says that a row has a number (UInt64) behind those, how many lines
	// SQL is not sure about: if it is not 0, all is void. Rows may be of no line.
	Guarded bool
	// Rollup gives the same from figures by the minute, nil if they do not have it.
	Rollup *Rollup

	steps    Steps
	op       logql.RangeOp
	unwraps  bool
	windowed bool  // rows are of windows
	width    int64 // of a bucket
	perStep  int64 // buckets
	perRange int64 // buckets
	seconds  float64
}

// ForRange plans e for SQL; false if SQL does not give exactly what e means, or
// is not the better way.
func ForRange(e logql.MetricExpr, tenant string, s Steps) (*Range, bool) {
	inner, by, ok := grouped(e)
	if !ok || inner.Op == logql.QuantileOverTime && (inner.Param < 0 || inner.Param > 1) {
		return nil, false
	}
	r := &Range{Labels: by, steps: s, op: inner.Op, unwraps: inner.Range.Unwrap != nil, seconds: float64(inner.Range.Range) / 1e9}
	b := newBuilder(tenant)
	c, rest, l := b.pipeline(inner.Range.Log)
	bad := ""
	value, lines, groups, ok := b.plain(inner, by, &c, rest, &l)
	if !ok {
		if value, lines, bad, groups, ok = b.jsonRange(inner, rest, by, &c); !ok {
			return nil, false
		}
		r.Guarded = true
		bad = ", " + bad + " AS bad"
	}
	if !r.divide(int64(inner.Range.Range)) {
		return nil, false
	}
	length, offset := int64(inner.Range.Range), int64(inner.Range.Offset)
	origin := s.Start - offset - length
	since, until := origin+1, s.At(s.Count()-1)-offset+1
	if origin < 0 || until < 0 || s.End > math.MaxInt64-length {
		return nil, false
	}
	var columns, aliases strings.Builder
	for i, column := range groups {
		columns.WriteString(column + " AS g" + strconv.Itoa(i) + ", ")
		aliases.WriteString(", g" + strconv.Itoa(i))
	}
	bucket := b.bucket(r, origin, length)
	sql := "SELECT " + bucket + " AS bucket, " + columns.String() + value + " AS value, " + lines + " AS lines" + bad
	sql += "\n" + b.from(&c, inner.Range.Log, since, until) + "\nGROUP BY bucket" + aliases.String() + "\nORDER BY bucket"
	r.Query = Query{sql, b.args}
	if !r.Guarded {
		r.roll(inner, tenant, origin)
	}
	return r, true
}

// grouped is the range aggregation that e is made of, and the labels that its
// series have, in order.
func grouped(e logql.MetricExpr) (inner *logql.RangeAggregation, by []string, ok bool) {
	var g *logql.Grouping
	switch e := e.(type) {
	case *logql.RangeAggregation:
		inner, g = e, e.Grouping
		if g == nil {
			return nil, nil, false // series of whatever labels lines have
		}
	case *logql.VectorAggregation:
		inner, ok = e.Expr.(*logql.RangeAggregation)
		if !ok || inner.Grouping != nil || !e.Op.Joins(inner.Op) {
			return nil, nil, false
		}
		if g = e.Grouping; g == nil {
			g = &logql.Grouping{}
		}
	default:
		return nil, nil, false
	}
	if g.Without {
		return nil, nil, false
	}
	by = slices.Clone(g.Labels)
	slices.Sort(by)
	by = slices.Compact(by)
	if u := inner.Range.Unwrap; u != nil && inner.Grouping == nil {
		// What becomes the value is no label of the series any more.
		by = slices.DeleteFunc(by, func(name string) bool { return name == u.Label })
	}
	return inner, by, true
}

// plain is the values of e as aggregate functions, where no stage that is left
// means anything for them: the value, how many lines there are, and the labels.
func (b *builder) plain(e *logql.RangeAggregation, by []string, c *conditions, rest []logql.Stage, l *labels) (value, lines string, groups []string, ok bool) {
	for _, stage := range rest {
		// A label that is not in the result may go; nothing of it was looked at.
		if _, drops := stage.(*logql.DropLabels); !drops {
			return "", "", nil, false
		}
	}
	for _, name := range by {
		if !l.pristine(name) {
			return "", "", nil, false
		}
		groups = append(groups, b.label(name))
	}
	number := "length(body)"
	if u := e.Range.Unwrap; u != nil {
		if number, ok = b.unwrap(u, c, l); !ok {
			return "", "", nil, false
		}
	}
	value, ok = aggregate(e, number, "")
	return value, "count()", groups, ok
}

// unwrap is the number of lines that have one, by which it narrows them.
func (b *builder) unwrap(u *logql.Unwrap, c *conditions, l *labels) (string, bool) {
	if !numeric[u.Label] || u.Conversion != logql.ConvertNumber || !l.pristine(u.Label) || l.failed {
		return "", false
	}
	for _, f := range u.Filters {
		exact := true
		c.add(b, func() string {
			sql := b.filter(f, l)
			exact = sql != ""
			return sql
		})
		if !exact {
			return "", false
		}
	}
	c.add(b, func() string { return b.label(u.Label) + " != ''" })
	return "toFloat64OrZero(" + b.label(u.Label) + ")", true
}

// aggregate is the aggregate function that e is of numbers of lines, or of
// those that pass, if passes is not empty.
func aggregate(e *logql.RangeAggregation, number, passes string) (string, bool) {
	of := func(function, of string) string {
		if passes == "" {
			return function + "(" + of + ")"
		}
		name, params, _ := strings.Cut(function, "(")
		if params != "" {
			params = "(" + params
		}
		return name + "If" + params + "(" + strings.TrimPrefix(of+", ", ", ") + passes + ")"
	}
	switch e.Op {
	case logql.CountOverTime:
		return "toFloat64(" + of("count", "") + ")", true
	case logql.Rate:
		if e.Range.Unwrap == nil {
			return "toFloat64(" + of("count", "") + ")", true
		}
		return of("sum", number), true
	case logql.BytesOverTime, logql.BytesRate:
		return "toFloat64(" + of("sum", number) + ")", true
	case logql.SumOverTime, logql.AvgOverTime:
		return of("sum", number), true
	case logql.MinOverTime:
		return of("min", number), true
	case logql.MaxOverTime:
		return of("max", number), true
	case logql.StdvarOverTime:
		return of("varPopStable", number), true
	case logql.StddevOverTime:
		return of("stddevPopStable", number), true
	case logql.QuantileOverTime:
		return of("quantileExactInclusive("+strconv.FormatFloat(e.Param, 'f', -1, 64)+")", number), true
	default:
		return "", false
	}
}

// divide chooses how time is divided; false if there would be too many pieces.
func (r *Range) divide(length int64) bool {
	step := r.steps.Step
	if r.steps.Count() == 1 {
		r.width, r.perRange, r.perStep = length, 1, 1
		return true
	}
	r.width = gcd(length, step)
	r.perRange, r.perStep = length/r.width, step/r.width
	switch r.op {
	case logql.StdvarOverTime, logql.StddevOverTime, logql.QuantileOverTime:
		r.windowed = r.perRange > 1
	default:
		r.windowed = (r.steps.Count()-1)*r.perStep+r.perRange > maxBuckets
	}
	return !r.windowed || (length+step-1)/step <= maxWindows
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// bucket is the number of a line's bucket, from 1, or the windows that it is
// in, from 0. A window has its end, and not its begin.
func (b *builder) bucket(r *Range, origin, length int64) string {
	since := "(toUnixTimestamp64Nano(ts) - " + b.whole(origin) + ")"
	if !r.windowed {
		return "intDiv(" + since + " + " + b.whole(r.width-1) + ", " + b.whole(r.width) + ")"
	}
	step := b.whole(r.steps.Step)
	ceil := func(x string) string { return "intDiv(" + x + " + " + step + " - 1, " + step + ")" }
	first := ceil("greatest(" + since + " - " + b.whole(length) + ", 0)")
	behind := "least(" + ceil(since) + ", " + b.whole(r.steps.Count()) + ")"
	return "arrayJoin(range(" + first + ", " + behind + "))"
}

// Cell is what SQL gives of one bucket or window of a series.
type Cell struct {
	Bucket int64
	Value  float64
	Lines  uint64
}

// Values gives the values of one series, of which cells are all, in order of
// their buckets, to yield: at each step that has lines.
func (r *Range) Values(cells []Cell, yield func(t int64, v float64)) {
	first := 0
	for i := range r.steps.Count() {
		from, to := i*r.perStep+1, i*r.perStep+r.perRange
		if r.windowed {
			from, to = i, i
		}
		for first < len(cells) && cells[first].Bucket < from {
			first++
		}
		last := first
		for last < len(cells) && cells[last].Bucket <= to {
			last++
		}
		if last > first {
			yield(r.steps.At(i), r.join(cells[first:last]))
		}
	}
}

// join is the value of a window.
func (r *Range) join(cells []Cell) float64 {
	v := cells[0].Value
	lines := cells[0].Lines
	for _, c := range cells[1:] {
		lines += c.Lines
		switch r.op {
		case logql.MinOverTime:
			v = math.Min(v, c.Value)
		case logql.MaxOverTime:
			v = math.Max(v, c.Value)
		default:
			v += c.Value
		}
	}
	switch r.op {
	case logql.AvgOverTime:
		return v / float64(lines)
	case logql.Rate, logql.BytesRate:
		return v / r.seconds
	default:
		return v
	}
}
