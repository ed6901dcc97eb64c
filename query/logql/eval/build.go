package eval

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
)

// build opens what e is made of.
func (r *run) build(ctx context.Context, e logql.MetricExpr) (node, error) {
	if n, err := r.compute(ctx, e); n != nil || err != nil {
		return n, err
	}
	return r.evaluate(ctx, e)
}

// compute is the node of what the source computes itself, nil if it does not.
func (r *run) compute(ctx context.Context, e logql.MetricExpr) (node, error) {
	c, ok := r.source.(Computer)
	if !ok {
		return nil, nil
	}
	m, done, err := c.Compute(ctx, e, r.steps)
	if err != nil {
		return nil, fmt.Errorf("compute %s: %w", e, err)
	}
	if !done {
		return nil, nil
	}
	return r.newComputed(m), nil
}

func (r *run) evaluate(ctx context.Context, e logql.MetricExpr) (node, error) {
	switch e := e.(type) {
	case *logql.RangeAggregation:
		return r.newRange(ctx, e, e.Grouping)
	case *logql.VectorAggregation:
		return r.buildAggregation(ctx, e)
	case *logql.BinaryExpr:
		return r.buildBinary(ctx, e)
	case *logql.LabelReplace:
		in, err := r.build(ctx, e.Expr)
		if err != nil {
			return nil, err
		}
		n, err := r.newReplace(e, in)
		if err != nil {
			return nil, errors.Join(err, in.close())
		}
		return n, nil
	case *logql.Vector:
		return &constant{Sample{labels.Empty, e.Value}}, nil
	case *logql.Number:
		return nil, fmt.Errorf("%s is a number where series are needed", e)
	}
	return nil, fmt.Errorf("unknown expression %T", e)
}

func (r *run) buildAggregation(ctx context.Context, e *logql.VectorAggregation) (node, error) {
	g := e.Grouping
	if g == nil {
		g = &logql.Grouping{}
	}
	in, err := r.compute(ctx, e.Expr)
	if err != nil {
		return nil, err
	}
	if in == nil {
		// What is brought together anyway need not be apart before.
		if inner, ok := e.Expr.(*logql.RangeAggregation); ok && joins(e, inner) {
			return r.newRange(ctx, inner, g)
		}
		if in, err = r.evaluate(ctx, e.Expr); err != nil {
			return nil, err
		}
	}
	n, err := r.newAggregation(e, g, in)
	if err != nil {
		return nil, errors.Join(err, in.close())
	}
	return n, nil
}

// joins says that outer of the windows of several series is inner of the one
// window of all their values, with outer's grouping.
func joins(outer *logql.VectorAggregation, inner *logql.RangeAggregation) bool {
	if inner.Grouping != nil {
		return false
	}
	// The label that the values come from is not one of the series between.
	if u, g := inner.Range.Unwrap, outer.Grouping; u != nil && g != nil && !g.Without && slices.Contains(g.Labels, u.Label) {
		return false
	}
	return outer.Op.Joins(inner.Op)
}

// number is the value of an expression that is a number.
func number(e logql.MetricExpr) (float64, bool) {
	switch e := e.(type) {
	case *logql.Number:
		return e.Value, true
	case *logql.BinaryExpr:
		l, ok := number(e.Left)
		if !ok || e.Op.Set() {
			return 0, false
		}
		r, ok := number(e.Right)
		if !ok {
			return 0, false
		}
		v, holds := apply(e.Op, l, r)
		if e.Op.Comparison() {
			return truth(holds), true
		}
		return v, true
	}
	return 0, false
}

// constant is vector().
type constant struct{ sample Sample }

func (c *constant) next(context.Context) ([]Sample, error) { return []Sample{c.sample}, nil }
func (c *constant) close() error                           { return nil }

// computed are series that are known.
type computed struct {
	run  *run
	m    Matrix
	sets []*labels.Set // of the run's table
	from []int         // the next point of each
	step int
	out  []Sample
}

func (r *run) newComputed(m Matrix) *computed {
	c := &computed{run: r, m: m, from: make([]int, len(m))}
	for _, s := range m {
		c.sets = append(c.sets, r.table.Intern(s.Labels))
	}
	return c
}

func (c *computed) next(context.Context) ([]Sample, error) {
	t := c.run.steps.at(c.step)
	c.step++
	c.out = c.out[:0]
	for i, s := range c.m {
		for c.from[i] < len(s.Points) && s.Points[c.from[i]].Time < t {
			c.from[i]++
		}
		if p := c.from[i]; p < len(s.Points) && s.Points[p].Time == t {
			c.out = append(c.out, Sample{c.sets[i], s.Points[p].Value})
		}
	}
	return c.out, nil
}

func (c *computed) close() error { return nil }
