package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
	"github.com/coldscope/coldscope/query/logql/pipeline"
)

// rangeNode evaluates a range aggregation while it reads the lines once.
type rangeNode struct {
	run     *run
	lines   Lines
	sampler *pipeline.Sampler
	make    func() window
	absent  *labels.Set // of absent_over_time: the labels of what is absent, else nil

	length, offset int64
	step           int // which step is next

	batch  []pipeline.Line
	latest int64 // the time of the line before, in nanoseconds
	ended  bool
	series map[*labels.Set]*active
	order  []*active // the same, as they came
	out    []Sample
	holds  bool // the windows hold values one by one, held of them in all
	held   int
}

// active is a series that has something in its window.
type active struct {
	labels *labels.Set
	window window
}

// newRange opens the lines of a range aggregation, whose values are brought
// together by g.
func (r *run) newRange(ctx context.Context, e *logql.RangeAggregation, g *logql.Grouping) (node, error) {
	n := &rangeNode{
		run: r, make: newWindow(e.Op, e.Param, int64(e.Range.Range)),
		length: int64(e.Range.Range), offset: int64(e.Range.Offset),
		series: map[*labels.Set]*active{}, latest: math.MinInt64, holds: e.Op == logql.QuantileOverTime,
	}
	if n.make == nil {
		return nil, fmt.Errorf("unknown range aggregation %s", e.Op)
	}
	if e.Op == logql.AbsentOverTime {
		n.absent = r.absentLabels(e.Range.Log.Matchers)
		g = &logql.Grouping{}
	}
	scan, err := r.source.Scan(ctx, Request{Log: e.Range.Log, Span: Span{
		Start: r.steps.Start - n.offset - n.length + 1,
		End:   r.steps.at(r.steps.Count()-1) - n.offset + 1,
	}})
	if err != nil {
		return nil, fmt.Errorf("open lines of %s: %w", e.Range.Log, err)
	}
	n.lines = scan.Lines
	n.sampler, err = pipeline.NewSampler(pipeline.SampleOptions{
		Stages: scan.Rest, Value: valueOf(e), Unwrap: e.Range.Unwrap, Grouping: g,
	}, r.table)
	if err != nil {
		return nil, errors.Join(err, n.lines.Close())
	}
	return n, nil
}

func valueOf(e *logql.RangeAggregation) pipeline.Value {
	switch {
	case e.Range.Unwrap != nil:
		return pipeline.Unwrapped
	case e.Op == logql.BytesOverTime || e.Op == logql.BytesRate:
		return pipeline.Bytes
	}
	return pipeline.Lines
}

// absentLabels are those that a selector demands, each once.
func (r *run) absentLabels(ms []*logql.Matcher) *labels.Set {
	count := map[string]int{}
	for _, m := range ms {
		count[m.Name]++
	}
	var ls []labels.Label
	for _, m := range ms {
		if m.Op == logql.MatchEqual && m.Value != "" && count[m.Name] == 1 {
			ls = append(ls, labels.Label{Name: m.Name, Value: m.Value})
		}
	}
	return r.table.Of(ls...)
}

func (n *rangeNode) next(ctx context.Context) ([]Sample, error) {
	end := n.run.steps.at(n.step) - n.offset
	if err := n.feed(ctx, end); err != nil {
		return nil, err
	}
	n.out = n.out[:0]
	keep := n.order[:0]
	n.held = 0
	for _, s := range n.order {
		if !s.window.advance(n.step) {
			delete(n.series, s.labels)
			continue
		}
		keep = append(keep, s)
		n.held += s.window.held()
		n.out = append(n.out, Sample{s.labels, s.window.value(end)})
	}
	clear(n.order[len(keep):])
	n.order = keep
	n.step++
	if n.absent == nil {
		return n.out, nil
	}
	if len(n.out) > 0 {
		return nil, nil
	}
	return append(n.out, Sample{n.absent, 1}), nil
}

// feed takes in the lines up to end.
func (n *rangeNode) feed(ctx context.Context, end int64) error {
	for {
		for len(n.batch) > 0 {
			l := &n.batch[0]
			if l.Time < n.latest {
				return fmt.Errorf("lines are out of order: one of %d ns after one of %d ns", l.Time, n.latest)
			}
			if l.Time > end {
				return nil
			}
			n.latest = l.Time
			if l.Time > end-n.length {
				if err := n.add(*l); err != nil {
					return err
				}
			}
			n.batch = n.batch[1:]
		}
		if n.ended {
			return nil
		}
		batch, err := n.lines.Next(ctx)
		if errors.Is(err, io.EOF) {
			n.ended = true
			return nil
		}
		if err != nil {
			return fmt.Errorf("read lines: %w", err)
		}
		n.batch = batch
	}
}

func (n *rangeNode) add(l pipeline.Line) error {
	v, set, ok, err := n.sampler.Sample(l)
	if err != nil || !ok {
		return err
	}
	s := n.series[set]
	if s == nil {
		if n.run.table.Len() > n.run.limits.MaxInner {
			return &SeriesError{n.run.limits.MaxInner}
		}
		s = &active{set, n.make()}
		n.series[set] = s
		n.order = append(n.order, s)
	}
	if n.holds {
		if n.held++; n.held > n.run.limits.MaxValues {
			return &ValuesError{n.run.limits.MaxValues}
		}
	}
	s.window.add(n.run.steps.leaves(l.Time+n.offset+n.length), l.Time, v)
	return nil
}

func (n *rangeNode) close() error { return n.lines.Close() }
