package loki

import (
	"net/http"
	"slices"
	"time"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/eval"
	"github.com/coldscope/coldscope/query/logql/labels"
)

// maxVolumes is how many volumes are given at most.
const maxVolumes = 1000

// volumeQuery is how many bytes there were in a range of time, by labels.
type volumeQuery struct {
	matchers []*logql.Matcher
	by       []string
	byNames  bool // the volumes of the labels, not of their values
	limit    int
}

func readVolume(r *http.Request) (v volumeQuery, err error) {
	if v.matchers, err = selectorOf(r.Form.Get("query")); err != nil {
		return v, err
	}
	if v.limit, err = whole(r, "limit", 100, maxVolumes); err != nil {
		return v, err
	}
	if v.by, err = namesOf(r.Form.Get("targetLabels")); err != nil {
		return v, err
	}
	switch by := r.Form.Get("aggregateBy"); by {
	case "", "series":
	case "labels":
		v.byNames = true
	default:
		return v, bad("invalid aggregateBy %q: it is series or labels", by)
	}
	if len(v.by) == 0 && v.byNames {
		v.by = listed
	}
	if len(v.by) == 0 {
		for _, m := range v.matchers {
			v.by = append(v.by, m.Name)
		}
	}
	slices.Sort(v.by)
	v.by = slices.Compact(v.by)
	return v, nil
}

// expr is the volume as a query for numbers.
func (v *volumeQuery) expr(by []string, window time.Duration) logql.Expr {
	return &logql.VectorAggregation{
		Op: logql.Sum, Grouping: &logql.Grouping{Labels: by},
		Expr: &logql.RangeAggregation{Op: logql.BytesOverTime, Range: &logql.LogRange{Log: &logql.LogExpr{Matchers: v.matchers}, Range: window}},
	}
}

// run evaluates the volumes, the largest first.
func (v *volumeQuery) run(a *API, r *http.Request, s eval.Steps, window time.Duration) (eval.Matrix, error) {
	if !v.byNames {
		m, err := a.query(r, v.expr(v.by, window)).Range(r.Context(), s)
		return v.largest(m), err
	}
	table := labels.NewTable()
	var all eval.Matrix
	for _, name := range v.by {
		// One series of the lines that have the label.
		with, err := logql.NewMatcher(name, logql.MatchNotEqual, "")
		if err != nil {
			return nil, err
		}
		narrowed := *v
		narrowed.matchers = append(slices.Clone(v.matchers), with)
		m, err := a.query(r, narrowed.expr([]string{}, window)).Range(r.Context(), s)
		if err != nil {
			return nil, err
		}
		for _, series := range m {
			all = append(all, eval.Series{Labels: table.Of(labels.Label{Name: name}), Points: series.Points})
		}
	}
	return v.largest(all), nil
}

func (v *volumeQuery) largest(m eval.Matrix) eval.Matrix {
	sum := func(s eval.Series) (n float64) {
		for _, p := range s.Points {
			n += p.Value
		}
		return n
	}
	slices.SortStableFunc(m, func(a, b eval.Series) int {
		switch x, y := sum(a), sum(b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return 0
	})
	return m[:min(len(m), v.limit)]
}

func (a *API) volume(r *http.Request) (any, error) {
	v, err := readVolume(r)
	if err != nil {
		return nil, err
	}
	span, err := a.span(r)
	if err != nil {
		return nil, err
	}
	m, err := v.run(a, r, eval.At(span.End-1), time.Duration(max(span.End-span.Start, 1)))
	if err != nil {
		return nil, err
	}
	vector := make([]instantSeries, len(m))
	for i, s := range m {
		vector[i] = instantSeries{s.Labels.Map(), sample{span.End, s.Points[0].Value}}
	}
	return data{"success", result{ResultType: "vector", Result: vector, Stats: noStats()}}, nil
}

func (a *API) volumeRange(r *http.Request) (any, error) {
	v, err := readVolume(r)
	if err != nil {
		return nil, err
	}
	s, err := a.steps(r)
	if err != nil {
		return nil, err
	}
	m, err := v.run(a, r, s, time.Duration(s.Step))
	if err != nil {
		return nil, err
	}
	return data{"success", result{ResultType: "matrix", Result: matrix(m), Stats: noStats()}}, nil
}

func noStats() stats {
	return stats{Querier: map[string]any{}, Ingester: map[string]any{}, Cache: map[string]any{}}
}
