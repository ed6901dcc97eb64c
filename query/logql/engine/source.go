package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/eval"
	"github.com/coldscope/coldscope/query/logql/labels"
	"github.com/coldscope/coldscope/query/logql/plan"
	"github.com/coldscope/coldscope/query/read"
)

// source gives the evaluation of one query its lines, and numbers where SQL can
// compute them.
type source struct {
	q      *Query
	wanted map[string]bool // labels that count, nil for all
	facts  bool            // lines get the facts of their requests
	body   bool            // lines get their texts whatever the stages are
}

var _ eval.Computer = (*source)(nil)

// Scan opens the lines of a request.
func (s *source) Scan(_ context.Context, r eval.Request) (eval.Scan, error) {
	p := plan.ForLines(r.Log)
	return eval.Scan{Lines: newLines(s, p, r, s.body || plan.NeedsBody(p.Rest)), Rest: p.Rest}, nil
}

// Compute gives the series of e if SQL can.
func (s *source) Compute(ctx context.Context, e logql.MetricExpr, steps eval.Steps) (eval.Matrix, bool, error) {
	p, ok := plan.ForRange(e, s.q.tenant, plan.Steps(steps))
	if !ok {
		return nil, false, nil
	}
	groups, ok, err := s.cells(ctx, p)
	if err != nil || !ok {
		return nil, false, err
	}
	table := labels.NewTable()
	m := make(eval.Matrix, 0, len(groups))
	for _, g := range groups {
		series := eval.Series{Labels: table.Sorted(g.labels)}
		p.Values(g.cells, func(t int64, v float64) { series.Points = append(series.Points, eval.Point{Time: t, Value: v}) })
		if len(series.Points) > 0 {
			m = append(m, series)
		}
	}
	return m, true, nil
}

// rolled is the SQL of p: over figures by the minute where they serve, and then
// in a context that has what they need.
func (s *source) rolled(ctx context.Context, p *plan.Range) (context.Context, plan.Query, error) {
	if p.Rollup == nil {
		return ctx, p.Query, nil
	}
	since, until := p.Rollup.Span()
	with, first, end, ok, err := s.q.engine.reader.LineFigures(ctx, s.q.tenant, read.Range{Since: time.Unix(0, since), Until: time.Unix(0, until)})
	if err != nil {
		return ctx, p.Query, fmt.Errorf("look for figures: %w", err)
	}
	if !ok || first >= end {
		return ctx, p.Query, nil
	}
	s.q.queries.Add(1)
	return with, p.Rollup.Query(first, end), nil
}

// group is the labels of a series and its cells in order.
type group struct {
	labels []labels.Label
	cells  []plan.Cell
}

// cells reads what p asks for, by series; false if it is too much.
func (s *source) cells(ctx context.Context, p *plan.Range) ([]*group, bool, error) {
	ctx, query, err := s.rolled(ctx, p)
	if err != nil {
		return nil, false, err
	}
	rows, err := s.q.ask(ctx, query)
	if err != nil {
		return nil, false, fmt.Errorf("compute by SQL: %w", err)
	}
	defer rows.end()
	var cell plan.Cell
	values := make([]string, len(p.Labels))
	dest := []any{&cell.Bucket}
	for i := range values {
		dest = append(dest, &values[i])
	}
	dest = append(dest, &cell.Value, &cell.Lines)
	var bad uint64
	if p.Guarded {
		dest = append(dest, &bad)
	}
	var groups []*group
	index := map[string]*group{}
	var key []byte
	for n := 0; rows.Next(); n++ {
		if n >= s.q.engine.limits.MaxCells {
			return nil, false, nil
		}
		if err := rows.Scan(dest...); err != nil {
			return nil, false, fmt.Errorf("compute by SQL: %w", err)
		}
		if bad > 0 {
			return nil, false, nil
		}
		if cell.Lines == 0 {
			continue
		}
		key = key[:0]
		for _, v := range values {
			key = append(append(key, v...), 0xff) // no byte of UTF-8
		}
		g := index[string(key)]
		if g == nil {
			g = &group{}
			for i, v := range values {
				if v != "" {
					g.labels = append(g.labels, labels.Label{Name: p.Labels[i], Value: v})
				}
			}
			index[string(key)] = g
			groups = append(groups, g)
		}
		g.cells = append(g.cells, cell)
	}
	if err := rows.Err(); err != nil {
		return nil, false, fmt.Errorf("compute by SQL: %w", err)
	}
	return groups, true, nil
}
