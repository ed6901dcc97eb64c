package eval

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
	"github.com/coldscope/coldscope/query/logql/pipeline"
)

type timed struct {
	t int64
	v float64
}

// plain is what a range aggregation of all values of a window is, computed in
// the simplest way.
func plain(op logql.RangeOp, q float64, in []timed, start, end int64) float64 {
	var vs []float64
	sum := 0.0
	for _, x := range in {
		vs = append(vs, x.v)
		sum += x.v
	}
	n := float64(len(vs))
	squares := 0.0
	for _, v := range vs {
		squares += (v - sum/n) * (v - sum/n)
	}
	switch op {
	case logql.CountOverTime:
		return n
	case logql.SumOverTime:
		return sum
	case logql.Rate:
		return sum / (float64(end-start) / 1e9)
	case logql.AvgOverTime:
		return sum / n
	case logql.MinOverTime:
		return slices.Min(vs)
	case logql.MaxOverTime:
		return slices.Max(vs)
	case logql.StdvarOverTime:
		return squares / n
	case logql.StddevOverTime:
		return math.Sqrt(squares / n)
	case logql.FirstOverTime:
		return vs[0]
	case logql.LastOverTime:
		return vs[len(vs)-1]
	case logql.QuantileOverTime:
		slices.Sort(vs)
		return quantile(q, vs)
	case logql.RateCounter:
		c := counter{}
		for _, x := range in {
			c.add(x.t, x.v)
		}
		return c.rate(start, end)
	default:
		return math.NaN()
	}
}

func close64(a, b float64) bool {
	return a == b || math.Abs(a-b) <= 1e-9*max(1, math.Abs(a), math.Abs(b))
}

var unwrapped = []logql.RangeOp{
	logql.SumOverTime, logql.Rate, logql.AvgOverTime, logql.MinOverTime, logql.MaxOverTime, logql.StdvarOverTime,
	logql.StddevOverTime, logql.FirstOverTime, logql.LastOverTime, logql.QuantileOverTime, logql.RateCounter,
}

// TestWindowsAreTheirValues: whatever the range, the step, the offset and the
// times of the lines, each window gives what its values give, and is absent
// where it has none.
func TestWindowsAreTheirValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := labels.NewTable()
		streams := []*labels.Set{tab.Of(labels.Label{Name: "s", Value: "0"}), tab.Of(labels.Label{Name: "s", Value: "1"})}
		all := map[*labels.Set][]timed{}
		var lines []pipeline.Line
		now := int64(0)
		for range rapid.IntRange(0, 60).Draw(t, "lines") {
			now += int64(rapid.SampledFrom([]int{0, 1, 2, 3, 17}).Draw(t, "later")) * second
			s := streams[rapid.IntRange(0, 1).Draw(t, "stream")]
			v := float64(rapid.IntRange(-5, 20).Draw(t, "value"))
			all[s] = append(all[s], timed{now, v})
			lines = append(lines, pipeline.Line{Time: now, Stream: s, Body: fmt.Sprintf("v=%g", v)})
		}
		length := int64(rapid.IntRange(1, 40).Draw(t, "range")) * second
		offset := int64(rapid.IntRange(-5, 20).Draw(t, "offset")) * second
		steps := Steps{Start: int64(rapid.IntRange(-5, 60).Draw(t, "start")) * second, Step: int64(rapid.IntRange(1, 50).Draw(t, "step")) * second}
		steps.End = steps.Start + int64(rapid.IntRange(0, 100).Draw(t, "long"))*second
		op := rapid.SampledFrom(append([]logql.RangeOp{logql.CountOverTime}, unwrapped...)).Draw(t, "op")
		stage := " | logfmt | keep s, v | unwrap v"
		if op == logql.CountOverTime {
			stage = ""
		}
		query := fmt.Sprintf("%s({s=~\".+\"}%s [%s] offset %s)", op, stage, time.Duration(length), time.Duration(offset))
		if op == logql.QuantileOverTime {
			query = fmt.Sprintf("%s(0.7, {s=~\".+\"}%s [%s] offset %s)", op, stage, time.Duration(length), time.Duration(offset))
		}
		e, err := logql.Parse(query)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		m, err := New(NewMemory(lines), Limits{}).Range(t.Context(), e.(logql.MetricExpr), steps)
		if err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		got := map[string]map[int64]float64{}
		for _, s := range m {
			got[s.Labels.String()] = map[int64]float64{}
			for _, p := range s.Points {
				got[s.Labels.String()][p.Time] = p.Value
			}
		}
		for s, values := range all {
			for i := range steps.Count() {
				at := steps.Start + int64(i)*steps.Step
				end := at - offset
				var in []timed
				for _, x := range values {
					if x.t > end-length && x.t <= end {
						in = append(in, x)
					}
				}
				v, ok := got[s.String()][at]
				if ok != (len(in) > 0) {
					t.Fatalf("%s of %s at %d: present %t, with %d values", query, s, at/second, ok, len(in))
				}
				if !ok {
					continue
				}
				if want := plain(op, 0.7, in, end-length, end); !close64(v, want) {
					t.Fatalf("%s of %s at %d: got %g, want %g of %v", query, s, at/second, v, want, in)
				}
			}
		}
	})
}

// TestJoinedIsTheSameAsApart: series that are brought together while lines are
// read give what they give when they are so afterwards.
func TestJoinedIsTheSameAsApart(t *testing.T) {
	v := New(stored(), Limits{})
	for _, q := range []struct{ outer, inner string }{
		{"sum by (app, level)", `count_over_time({env=~".+"} | logfmt [35s])`},
		{"sum without (d, took, size, req)", `rate({env=~".+"} | logfmt [35s])`},
		{"sum", `bytes_over_time({env=~".+"} [35s])`},
		{"sum by (app)", `sum_over_time({env=~".+"} | logfmt | unwrap d [35s])`},
		{"min by (env)", `min_over_time({env=~".+"} | logfmt | unwrap d [35s])`},
		{"max by (env)", `max_over_time({env=~".+"} | logfmt | unwrap d [35s])`},
	} {
		steps := Steps{0, 140 * second, 10 * second}
		joined, err := v.Range(t.Context(), parse(t, q.outer+" ("+q.inner+")"), steps)
		if err != nil {
			t.Fatal(err)
		}
		// Times one: not a range aggregation any more.
		apart, err := v.Range(t.Context(), parse(t, q.outer+" ("+q.inner+" * 1)"), steps)
		if err != nil {
			t.Fatal(err)
		}
		if len(joined) == 0 || shownMatrix(joined) != shownMatrix(apart) {
			t.Errorf("%s (%s):\njoined\n%s\napart\n%s", q.outer, q.inner, shownMatrix(joined), shownMatrix(apart))
		}
	}
}
