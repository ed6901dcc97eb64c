package eval

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
)

// apply is an operator on two numbers. Of a comparison the value is the left
// one, and holds says whether it is so. What is divided by 0 is no number, as
// in Loki.
func apply(op logql.BinaryOp, l, r float64) (v float64, holds bool) {
	switch op {
	case logql.OpAdd:
		return l + r, true
	case logql.OpSub:
		return l - r, true
	case logql.OpMul:
		return l * r, true
	case logql.OpDiv:
		if r == 0 {
			return math.NaN(), true
		}
		return l / r, true
	case logql.OpMod:
		if r == 0 {
			return math.NaN(), true
		}
		return math.Mod(l, r), true
	case logql.OpPow:
		return math.Pow(l, r), true
	case logql.OpEqual:
		return l, l == r
	case logql.OpNotEqual:
		return l, l != r
	case logql.OpGreater:
		return l, l > r
	case logql.OpGreaterOrEqual:
		return l, l >= r
	case logql.OpLess:
		return l, l < r
	case logql.OpLessOrEqual:
		return l, l <= r
	default: // Those of sets, which numbers are not.
	}
	return math.NaN(), false
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (r *run) buildBinary(ctx context.Context, e *logql.BinaryExpr) (node, error) {
	if v, ok := number(e.Right); ok {
		in, err := r.build(ctx, e.Left)
		return &withNumber{e: e, in: in, number: v}, err
	}
	if v, ok := number(e.Left); ok {
		in, err := r.build(ctx, e.Right)
		return &withNumber{e: e, in: in, number: v, left: true}, err
	}
	left, err := r.build(ctx, e.Left)
	if err != nil {
		return nil, err
	}
	right, err := r.build(ctx, e.Right)
	if err != nil {
		return nil, errors.Join(err, left.close())
	}
	m := e.Matching
	if m == nil {
		m = &logql.Matching{}
	}
	p := pair{left: left, right: right, key: r.reduce(m.On, m.Labels)}
	if e.Op.Set() {
		return &setOperation{pair: p, op: e.Op}, nil
	}
	return &operation{pair: p, run: r, e: e, m: m, made: map[[2]*labels.Set]*labels.Set{}}, nil
}

// withNumber is an operator between series and a number.
type withNumber struct {
	e      *logql.BinaryExpr
	in     node
	number float64
	left   bool // the number is on the left
	out    []Sample
}

func (n *withNumber) next(ctx context.Context) ([]Sample, error) {
	samples, err := n.in.next(ctx)
	if err != nil {
		return nil, err
	}
	n.out = n.out[:0]
	for _, s := range samples {
		l, r := s.Value, n.number
		if n.left {
			l, r = r, l
		}
		v, holds := apply(n.e.Op, l, r)
		switch {
		case n.e.Bool:
			v = truth(holds)
		case !holds:
			continue
		case n.e.Op.Comparison():
			v = s.Value
		}
		n.out = append(n.out, Sample{s.Labels, v})
	}
	return n.out, nil
}

func (n *withNumber) close() error { return n.in.close() }

// pair is two sides whose series meet where their keys are the same.
type pair struct {
	left, right node
	key         *reduction
}

func (p *pair) samples(ctx context.Context) (l, r []Sample, err error) {
	if l, err = p.left.next(ctx); err != nil {
		return nil, nil, err
	}
	r, err = p.right.next(ctx)
	return l, r, err
}

func (p *pair) close() error { return errors.Join(p.left.close(), p.right.close()) }

// setOperation is and, or, unless.
type setOperation struct {
	pair
	op   logql.BinaryOp
	out  []Sample
	keys map[*labels.Set]bool
}

func (s *setOperation) next(ctx context.Context) ([]Sample, error) {
	left, right, err := s.samples(ctx)
	if err != nil {
		return nil, err
	}
	if s.keys == nil {
		s.keys = map[*labels.Set]bool{}
	}
	clear(s.keys)
	s.out = s.out[:0]
	if s.op == logql.OpOr {
		s.out = append(s.out, left...)
		left, right = right, left
	}
	for _, x := range right {
		s.keys[s.key.of(x.Labels)] = true
	}
	for _, x := range left {
		if s.keys[s.key.of(x.Labels)] == (s.op == logql.OpAnd) {
			s.out = append(s.out, x)
		}
	}
	return s.out, nil
}

// operation is arithmetic, or a comparison, of two sides.
type operation struct {
	pair
	run *run
	e   *logql.BinaryExpr
	m   *logql.Matching

	made map[[2]*labels.Set]*labels.Set // results' labels by those of both sides
	ones map[*labels.Set]Sample         // the side that has one series for a key
	seen map[*labels.Set]bool           // keys, or results, that were there
	out  []Sample
}

func (o *operation) next(ctx context.Context) ([]Sample, error) {
	many, one, err := o.samples(ctx)
	if err != nil {
		return nil, err
	}
	swapped := o.m.Group == logql.OneToMany
	if swapped {
		many, one = one, many
	}
	if o.ones == nil {
		o.ones, o.seen = map[*labels.Set]Sample{}, map[*labels.Set]bool{}
	}
	clear(o.ones)
	clear(o.seen)
	o.out = o.out[:0]
	for _, s := range one {
		key := o.key.of(s.Labels)
		if other, ok := o.ones[key]; ok {
			return nil, manyToMany(key, !swapped, other.Labels, s.Labels)
		}
		o.ones[key] = s
	}
	for _, s := range many {
		key := o.key.of(s.Labels)
		other, ok := o.ones[key]
		if !ok {
			continue
		}
		l, r := s.Value, other.Value
		if swapped {
			l, r = r, l
		}
		v, holds := apply(o.e.Op, l, r)
		if o.e.Bool {
			v = truth(holds)
		} else if !holds {
			continue
		}
		if err := o.give(key, s, other, v); err != nil {
			return nil, err
		}
	}
	return o.out, nil
}

// give adds a result, whose labels must be its own.
func (o *operation) give(key *labels.Set, many, one Sample, v float64) error {
	grouped := o.m.Group != logql.OneToOne
	set := key
	if grouped {
		set = o.labels(many.Labels, one.Labels)
	}
	if o.seen[set] {
		if grouped {
			return &MatchError{fmt.Sprintf("multiple matches for labels: grouping labels must ensure unique matches: %s", set)}
		}
		return &MatchError{fmt.Sprintf("multiple matches for labels: many-to-one matching must be explicit (group_left/group_right): %s", set)}
	}
	o.seen[set] = true
	o.out = append(o.out, Sample{set, v})
	return nil
}

// labels are those of the side of many with those to include of the side of one.
func (o *operation) labels(many, one *labels.Set) *labels.Set {
	if len(o.m.Include) == 0 {
		return many
	}
	of := [2]*labels.Set{many, one}
	if s := o.made[of]; s != nil {
		return s
	}
	m := many.Map()
	for _, n := range o.m.Include {
		delete(m, n)
		if v := one.Get(n); v != "" {
			m[n] = v
		}
	}
	s := o.run.table.FromMap(m)
	o.made[of] = s
	return s
}

func manyToMany(key *labels.Set, right bool, a, b *labels.Set) error {
	side := "left"
	if right {
		side = "right"
	}
	return &MatchError{fmt.Sprintf("found duplicate series on the %s hand-side of the operation for the match group %s: [%s, %s]; many-to-many matching not allowed: matching labels must be unique on one side", side, key, b, a)}
}
