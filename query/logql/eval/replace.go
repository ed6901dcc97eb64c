package eval

import (
	"context"
	"fmt"
	"regexp"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
)

// replace is label_replace.
type replace struct {
	run  *run
	e    *logql.LabelReplace
	re   *regexp.Regexp
	in   node
	made map[*labels.Set]*labels.Set
	seen map[*labels.Set]bool
	out  []Sample
}

func (r *run) newReplace(e *logql.LabelReplace, in node) (node, error) {
	re, err := regexp.Compile("^(?s:" + e.Regexp + ")$")
	if err != nil {
		return nil, fmt.Errorf("invalid regular expression in label_replace(): %w", err)
	}
	return &replace{run: r, e: e, re: re, in: in, made: map[*labels.Set]*labels.Set{}, seen: map[*labels.Set]bool{}}, nil
}

func (x *replace) next(ctx context.Context) ([]Sample, error) {
	samples, err := x.in.next(ctx)
	if err != nil {
		return nil, err
	}
	clear(x.seen)
	x.out = x.out[:0]
	for _, s := range samples {
		set := x.made[s.Labels]
		if set == nil {
			set = x.labels(s.Labels)
			x.made[s.Labels] = set
		}
		if x.seen[set] {
			return nil, &MatchError{fmt.Sprintf("label_replace: vector cannot contain metrics with the same labelset: %s", set)}
		}
		x.seen[set] = true
		x.out = append(x.out, Sample{set, s.Value})
	}
	return x.out, nil
}

func (x *replace) labels(s *labels.Set) *labels.Set {
	src := s.Get(x.e.Src)
	at := x.re.FindStringSubmatchIndex(src)
	if at == nil {
		return s
	}
	v := string(x.re.ExpandString(nil, x.e.Replacement, src, at))
	m := s.Map()
	delete(m, x.e.Dst)
	if v != "" {
		m[x.e.Dst] = v
	}
	return x.run.table.FromMap(m)
}

func (x *replace) close() error { return x.in.close() }
