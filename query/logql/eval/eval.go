// Package eval evaluates LogQL over lines, as far as that is not left to SQL. It
// reads each range of lines once, in order of time, and holds no more of them
// than the states of the windows that are open. It was written from the
// language's documentation and contains no code of Loki's.
package eval

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
)

// Steps are the moments at which an expression is evaluated: Start and every
// Step after it up to End, in nanoseconds since 1970. Of one moment alone Step is 0.
type Steps struct{ Start, End, Step int64 }

// At is the one moment t.
func At(t int64) Steps { return Steps{Start: t, End: t} }

// Aligned is s with its start moved back and its end moved on to multiples of
// the step, so that queries made one after another ask for the same moments.
func (s Steps) Aligned() Steps {
	if s.Step <= 0 {
		return s
	}
	down := func(t int64) int64 { return t - ((t%s.Step)+s.Step)%s.Step }
	return Steps{down(s.Start), down(s.End + s.Step - 1), s.Step}
}

// Count is how many moments s has.
func (s Steps) Count() int {
	if s.Step <= 0 || s.End < s.Start {
		return 1
	}
	return int((s.End-s.Start)/s.Step) + 1
}

func (s Steps) at(i int) int64 { return s.Start + int64(i)*s.Step }

// leaves is the first step at or after t, at which a value has left a window
// that it is in until t.
func (s Steps) leaves(t int64) int {
	switch {
	case t <= s.Start:
		return 0
	case s.Step <= 0:
		return 1
	}
	return int((t - s.Start + s.Step - 1) / s.Step)
}

// Limits bound what a query may take. Zero values mean the defaults.
type Limits struct {
	// MaxSeries is how many series a result may have: 500.
	MaxSeries int
	// MaxInner is how many series the parts of a query may have in all, before
	// they are brought together: 200000.
	MaxInner int
	// MaxValues is how many values a quantile may be taken of: 10 million.
	MaxValues int
}

func (l Limits) withDefaults() Limits {
	for _, d := range []struct {
		v *int
		d int
	}{{&l.MaxSeries, 500}, {&l.MaxInner, 200_000}, {&l.MaxValues, 10_000_000}} {
		if *d.v <= 0 {
			*d.v = d.d
		}
	}
	return l
}

// SeriesError says that a query has too many series. Its text is Loki's.
type SeriesError struct{ Limit int }

func (e *SeriesError) Error() string {
	return fmt.Sprintf("maximum number of series (%d) reached for a single query; consider reducing query cardinality by adding more specific stream selectors, reducing the time range, or aggregating results with functions like sum(), count() or topk()", e.Limit)
}

// ValuesError says that a quantile is of too many values at once.
type ValuesError struct{ Limit int }

func (e *ValuesError) Error() string {
	return fmt.Sprintf("quantile of more than %d values at once; consider a shorter range or a filter that keeps fewer lines", e.Limit)
}

// MatchError says that series of the two sides of an operator do not pair, that
// two series of a result have the same labels, or that a function is not for
// such a query. The query has to be changed.
type MatchError struct{ Text string }

func (e *MatchError) Error() string { return e.Text }

// Sample is a series' value at one moment.
type Sample struct {
	Labels *labels.Set
	Value  float64
}

// Point is a value at a time, in nanoseconds since 1970.
type Point struct {
	Time  int64
	Value float64
}

// Series is labels with their values in order of time.
type Series struct {
	Labels *labels.Set
	Points []Point
}

// Matrix is series, in the order of their labels.
type Matrix []Series

// Evaluator evaluates queries over a source. It may be used by several
// goroutines if its source may.
type Evaluator struct {
	source Source
	limits Limits
}

// New returns an evaluator over lines of source.
func New(source Source, l Limits) *Evaluator { return &Evaluator{source, l.withDefaults()} }

// node is an expression being evaluated step by step.
type node interface {
	// next gives the samples at the next step, which are the node's until the
	// next call.
	next(ctx context.Context) ([]Sample, error)
	close() error
}

// run is one evaluation.
type run struct {
	source Source
	limits Limits
	steps  Steps
	table  *labels.Table
	// instant says that it is no range query, be that of one step alone.
	instant bool
}

// Value is what an instant query gives.
type Value struct {
	// IsScalar says that the query is a number, Scalar, and has no series.
	IsScalar bool
	Scalar   float64
	// Vector is in the order that the query sorts it in, or else of its labels.
	Vector []Sample
}

// Instant evaluates e at the time t, in nanoseconds since 1970.
func (v *Evaluator) Instant(ctx context.Context, e logql.MetricExpr, t int64) (Value, error) {
	if n, ok := number(e); ok {
		return Value{IsScalar: true, Scalar: n}, nil
	}
	r := &run{source: v.source, limits: v.limits, steps: At(t), table: labels.NewTable(), instant: true}
	n, err := r.build(ctx, e)
	if err != nil {
		return Value{}, err
	}
	samples, err := n.next(ctx)
	if err := errors.Join(err, n.close()); err != nil {
		return Value{}, err
	}
	if len(samples) > v.limits.MaxSeries {
		return Value{}, &SeriesError{v.limits.MaxSeries}
	}
	samples = slices.Clone(samples)
	if !ordered(e) {
		slices.SortFunc(samples, func(a, b Sample) int { return labels.Compare(a.Labels, b.Labels) })
	}
	return Value{Vector: samples}, nil
}

// ordered says that e gives its series in an order that means something.
func ordered(e logql.MetricExpr) bool {
	switch e := e.(type) {
	case *logql.VectorAggregation:
		switch e.Op {
		case logql.Sort, logql.SortDesc, logql.TopK, logql.BottomK, logql.ApproxTopK:
			return true
		default:
			return false
		}
	case *logql.LabelReplace:
		return ordered(e.Expr)
	case *logql.BinaryExpr:
		// A number leaves the order as it is.
		_, left := number(e.Left)
		_, right := number(e.Right)
		return left && ordered(e.Right) || right && ordered(e.Left)
	}
	return false
}

// Range evaluates e at each of the steps.
func (v *Evaluator) Range(ctx context.Context, e logql.MetricExpr, s Steps) (Matrix, error) {
	r := &run{source: v.source, limits: v.limits, steps: s, table: labels.NewTable()}
	if n, ok := number(e); ok {
		e = &logql.Vector{Value: n}
	}
	n, err := r.build(ctx, e)
	if err != nil {
		return nil, err
	}
	m, err := r.collect(ctx, n)
	if err := errors.Join(err, n.close()); err != nil {
		return nil, err
	}
	return m, nil
}

func (r *run) collect(ctx context.Context, n node) (Matrix, error) {
	index := map[*labels.Set]int{}
	var m Matrix
	for i := range r.steps.Count() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		samples, err := n.next(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range samples {
			at, ok := index[s.Labels]
			if !ok {
				if at = len(m); at >= r.limits.MaxSeries {
					return nil, &SeriesError{r.limits.MaxSeries}
				}
				index[s.Labels] = at
				m = append(m, Series{Labels: s.Labels})
			}
			m[at].Points = append(m[at].Points, Point{r.steps.at(i), s.Value})
		}
	}
	slices.SortFunc(m, func(a, b Series) int { return labels.Compare(a.Labels, b.Labels) })
	return m, nil
}
