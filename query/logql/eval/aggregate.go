package eval

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
)

// aggregation makes one series of those of each group.
type aggregation struct {
	in     node
	group  *reduction
	result func(g *group) float64

	index  map[*labels.Set]int
	groups []group
	out    []Sample
}

// group is what is known of a group's values at a step.
type group struct {
	labels    *labels.Set
	values    moments
	sum       float64
	low, high float64
}

func (g *group) add(v float64) {
	if g.values.n == 0 {
		g.low, g.high = v, v
	}
	if v < g.low || math.IsNaN(g.low) {
		g.low = v
	}
	if v > g.high || math.IsNaN(g.high) {
		g.high = v
	}
	g.sum += v
	g.values.add(0, v)
}

func (r *run) newAggregation(e *logql.VectorAggregation, g *logql.Grouping, in node) (node, error) {
	by := r.reduce(!g.Without, g.Labels)
	if e.Op == logql.Sort || e.Op == logql.SortDesc {
		return &ordering{in: in, desc: e.Op == logql.SortDesc}, nil
	}
	if e.Op == logql.TopK || e.Op == logql.BottomK || e.Op == logql.ApproxTopK {
		if e.Op == logql.ApproxTopK && !r.instant {
			return nil, errApproximate
		}
		return &extremes{in: in, group: by, k: e.Param, low: e.Op == logql.BottomK}, nil
	}
	a := &aggregation{in: in, group: by, index: map[*labels.Set]int{}}
	switch e.Op {
	case logql.Sum:
		a.result = func(g *group) float64 { return g.sum }
	case logql.Avg:
		a.result = func(g *group) float64 { return g.sum / g.values.n }
	case logql.Count:
		a.result = func(g *group) float64 { return g.values.n }
	case logql.Min:
		a.result = func(g *group) float64 { return g.low }
	case logql.Max:
		a.result = func(g *group) float64 { return g.high }
	case logql.Stdvar:
		a.result = func(g *group) float64 { return g.values.m2 / g.values.n }
	case logql.Stddev:
		a.result = func(g *group) float64 { return math.Sqrt(g.values.m2 / g.values.n) }
	default:
		return nil, fmt.Errorf("unknown aggregation %s", e.Op)
	}
	return a, nil
}

func (a *aggregation) next(ctx context.Context) ([]Sample, error) {
	samples, err := a.in.next(ctx)
	if err != nil {
		return nil, err
	}
	clear(a.index)
	a.groups, a.out = a.groups[:0], a.out[:0]
	for _, s := range samples {
		set := a.group.of(s.Labels)
		i, ok := a.index[set]
		if !ok {
			i = len(a.groups)
			a.index[set] = i
			a.groups = append(a.groups, group{labels: set})
		}
		a.groups[i].add(s.Value)
	}
	for i := range a.groups {
		g := &a.groups[i]
		a.out = append(a.out, Sample{g.labels, a.result(g)})
	}
	return a.out, nil
}

func (a *aggregation) close() error { return a.in.close() }

// byValue orders samples by their values, the highest first if desc, NaN always
// last, those of one value by their labels.
func byValue(desc bool) func(a, b Sample) int {
	return func(a, b Sample) int {
		an, bn := math.IsNaN(a.Value), math.IsNaN(b.Value)
		switch {
		case an != bn:
			if an {
				return 1
			}
			return -1
		case !an && a.Value != b.Value:
			if (a.Value < b.Value) != desc {
				return -1
			}
			return 1
		}
		return labels.Compare(a.Labels, b.Labels)
	}
}

// ordering is sort and sort_desc.
type ordering struct {
	in   node
	desc bool
	out  []Sample
}

func (o *ordering) next(ctx context.Context) ([]Sample, error) {
	samples, err := o.in.next(ctx)
	if err != nil {
		return nil, err
	}
	o.out = append(o.out[:0], samples...)
	slices.SortFunc(o.out, byValue(o.desc))
	return o.out, nil
}

func (o *ordering) close() error { return o.in.close() }

var errApproximate = &MatchError{"approx_topk is only supported on instant queries"}

// extremes are the k highest or lowest series of each group.
type extremes struct {
	in    node
	group *reduction
	k     int
	low   bool
	out   []Sample
	taken map[*labels.Set]int
}

func (x *extremes) next(ctx context.Context) ([]Sample, error) {
	samples, err := x.in.next(ctx)
	if err != nil {
		return nil, err
	}
	x.out = append(x.out[:0], samples...)
	slices.SortFunc(x.out, byValue(!x.low))
	if x.taken == nil {
		x.taken = map[*labels.Set]int{}
	}
	clear(x.taken)
	keep := x.out[:0]
	for _, s := range x.out {
		g := x.group.of(s.Labels)
		if x.taken[g] < x.k {
			x.taken[g]++
			keep = append(keep, s)
		}
	}
	return keep, nil
}

func (x *extremes) close() error { return x.in.close() }
