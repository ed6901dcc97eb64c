package eval

import (
	"math"
	"slices"

	"github.com/coldscope/coldscope/query/logql"
)

// window holds what one series has in a window of time that moves on. It does
// not hold each value: those that leave the window at the same step are one
// state, and the states are two stacks, so that a step costs about as many
// merges as states came and went (not as many as there are).
type window interface {
	// add puts a value in, which leaves the window at the step leaves. Values
	// come in order of time.
	add(leaves int, t int64, v float64)
	// advance takes out what has left at step and says whether anything is left.
	advance(step int) bool
	// value is the window's result at its end, in nanoseconds.
	value(end int64) float64
	// held is how many values it holds one by one.
	held() int
}

// state is a summary of values. merge adds those of a later one.
type state[S any] interface {
	*S
	add(t int64, v float64)
	merge(later *S)
}

type segment[S any] struct {
	leaves int
	state  S
}

// merged is a window of states. front's states are each merged with all behind
// it; its last one is the earliest.
type merged[S any, P state[S]] struct {
	front, back []segment[S]
	rest        S // of all of back
	result      func(s *S, end int64) float64
}

func (w *merged[S, P]) add(leaves int, t int64, v float64) {
	if n := len(w.back); n > 0 && w.back[n-1].leaves == leaves {
		P(&w.back[n-1].state).add(t, v)
	} else {
		w.back = append(w.back, segment[S]{leaves: leaves})
		P(&w.back[n].state).add(t, v)
	}
	P(&w.rest).add(t, v)
}

func (w *merged[S, P]) advance(step int) bool {
	w.pop(step)
	if len(w.front) == 0 && len(w.back) > 0 && w.back[0].leaves <= step {
		w.turn()
		w.pop(step)
	}
	return len(w.front)+len(w.back) > 0
}

func (w *merged[S, P]) pop(step int) {
	n := len(w.front)
	for n > 0 && w.front[n-1].leaves <= step {
		n--
	}
	w.front = w.front[:n]
}

// turn makes the front of what is at the back.
func (w *merged[S, P]) turn() {
	for _, s := range slices.Backward(w.back) {
		if n := len(w.front); n > 0 {
			P(&s.state).merge(&w.front[n-1].state)
		}
		w.front = append(w.front, s)
	}
	w.back = w.back[:0]
	var none S
	w.rest = none
}

func (w *merged[S, P]) value(end int64) float64 {
	if len(w.front) == 0 {
		return w.result(&w.rest, end)
	}
	s := w.front[len(w.front)-1].state
	if len(w.back) > 0 {
		P(&s).merge(&w.rest)
	}
	return w.result(&s, end)
}

func (w *merged[S, P]) held() int { return 0 }

// newWindow returns a function that makes the windows of a range aggregation.
func newWindow(op logql.RangeOp, param float64, length int64) func() window {
	seconds := float64(length) / 1e9
	switch op {
	case logql.CountOverTime, logql.BytesOverTime, logql.SumOverTime:
		return make1(func(s *total, _ int64) float64 { return s.sum })
	case logql.Rate, logql.BytesRate:
		return make1(func(s *total, _ int64) float64 { return s.sum / seconds })
	case logql.AvgOverTime:
		return make1(func(s *mean, _ int64) float64 { return s.sum / s.n })
	case logql.MinOverTime:
		return make1(func(s *least, _ int64) float64 { return s.v })
	case logql.MaxOverTime:
		return make1(func(s *most, _ int64) float64 { return s.v })
	case logql.StdvarOverTime:
		return make1(func(s *moments, _ int64) float64 { return s.m2 / s.n })
	case logql.StddevOverTime:
		return make1(func(s *moments, _ int64) float64 { return math.Sqrt(s.m2 / s.n) })
	case logql.FirstOverTime:
		return make1(func(s *first, _ int64) float64 { return s.v })
	case logql.LastOverTime:
		return make1(func(s *last, _ int64) float64 { return s.v })
	case logql.AbsentOverTime:
		return make1(func(*presence, int64) float64 { return 1 })
	case logql.RateCounter:
		return make1(func(s *counter, end int64) float64 { return s.rate(end-length, end) })
	case logql.QuantileOverTime:
		return func() window { return &values{q: param} }
	}
	return nil
}

func make1[S any, P state[S]](result func(s *S, end int64) float64) func() window {
	return func() window { return &merged[S, P]{result: result} }
}

type total struct{ sum float64 }

func (s *total) add(_ int64, v float64) { s.sum += v }
func (s *total) merge(l *total)         { s.sum += l.sum }

type mean struct{ n, sum float64 }

func (s *mean) add(_ int64, v float64) { s.n++; s.sum += v }
func (s *mean) merge(l *mean)          { s.n += l.n; s.sum += l.sum }

type presence struct{}

func (*presence) add(int64, float64) {}
func (*presence) merge(*presence)    {}

// least and most: NaN gives way to any number.
type least struct {
	v   float64
	any bool
}

func (s *least) add(_ int64, v float64) {
	if !s.any || v < s.v || math.IsNaN(s.v) {
		s.v, s.any = v, true
	}
}

func (s *least) merge(l *least) {
	if l.any {
		s.add(0, l.v)
	}
}

type most struct {
	v   float64
	any bool
}

func (s *most) add(_ int64, v float64) {
	if !s.any || v > s.v || math.IsNaN(s.v) {
		s.v, s.any = v, true
	}
}

func (s *most) merge(l *most) {
	if l.any {
		s.add(0, l.v)
	}
}

type first struct {
	v   float64
	any bool
}

func (s *first) add(_ int64, v float64) {
	if !s.any {
		s.v, s.any = v, true
	}
}

func (s *first) merge(l *first) {
	if l.any {
		s.add(0, l.v)
	}
}

type last struct {
	v   float64
	any bool
}

func (s *last) add(_ int64, v float64) { s.v, s.any = v, true }

func (s *last) merge(l *last) {
	if l.any {
		*s = *l
	}
}

// moments are the number of values, their mean, and the sum of the squares of
// their distances from it (Welford; merged after Chan).
type moments struct{ n, mean, m2 float64 }

func (s *moments) add(_ int64, v float64) {
	s.n++
	d := v - s.mean
	s.mean += d / s.n
	s.m2 += d * (v - s.mean)
}

func (s *moments) merge(l *moments) {
	if l.n == 0 {
		return
	}
	n := s.n + l.n
	d := l.mean - s.mean
	s.m2 += l.m2 + d*d*s.n*l.n/n
	s.mean += d * l.n / n
	s.n = n
}

// counter is a value that only grows, but begins at nought again when what
// counts is restarted.
type counter struct {
	n              int
	firstT, lastT  int64
	firstV, lastV  float64
	beforeRestarts float64 // the sum of the values before each restart
}

func (s *counter) add(t int64, v float64) {
	if s.n == 0 {
		s.firstT, s.firstV = t, v
	} else if v < s.lastV {
		s.beforeRestarts += s.lastV
	}
	s.n++
	s.lastT, s.lastV = t, v
}

func (s *counter) merge(l *counter) {
	if l.n == 0 {
		return
	}
	if s.n == 0 {
		*s = *l
		return
	}
	if l.firstV < s.lastV {
		s.beforeRestarts += s.lastV
	}
	s.beforeRestarts += l.beforeRestarts
	s.n += l.n
	s.lastT, s.lastV = l.lastT, l.lastV
}

// rate is how much the counter grows per second in the window from start to
// end. As Prometheus does, it goes on from the first and the last value to the
// window's ends, unless those are too far away or the counter began in between.
// Of fewer than two values it is 0.
func (s *counter) rate(start, end int64) float64 {
	if s.n < 2 || s.lastT == s.firstT {
		return 0
	}
	growth := s.lastV - s.firstV + s.beforeRestarts
	sampled := float64(s.lastT-s.firstT) / 1e9
	between := sampled / float64(s.n-1)
	reach := func(gap int64) float64 {
		if g := float64(gap) / 1e9; g < between*1.1 {
			return g
		}
		return between / 2
	}
	before, after := reach(s.firstT-start), reach(end-s.lastT)
	if growth > 0 && s.firstV >= 0 {
		before = min(before, sampled*s.firstV/growth)
	}
	return growth * (before + sampled + after) / sampled / (float64(end-start) / 1e9)
}

// values are the values themselves, for quantiles.
type values struct {
	q      float64
	leaves []int
	v      []float64
	work   []float64
}

func (w *values) add(leaves int, _ int64, v float64) {
	w.leaves = append(w.leaves, leaves)
	w.v = append(w.v, v)
}

func (w *values) advance(step int) bool {
	n, _ := slices.BinarySearch(w.leaves, step+1)
	if n > 0 {
		w.leaves = append(w.leaves[:0], w.leaves[n:]...)
		w.v = append(w.v[:0], w.v[n:]...)
	}
	return len(w.v) > 0
}

func (w *values) value(int64) float64 {
	w.work = append(w.work[:0], w.v...)
	slices.Sort(w.work)
	return quantile(w.q, w.work)
}

func (w *values) held() int { return len(w.v) }

// quantile is the φ-quantile of values in order, between two of them by the
// distance to each.
func quantile(q float64, sorted []float64) float64 {
	n := float64(len(sorted))
	switch {
	case n == 0 || math.IsNaN(q):
		return math.NaN()
	case q < 0:
		return math.Inf(-1)
	case q > 1:
		return math.Inf(1)
	}
	rank := q * (n - 1)
	low := math.Floor(rank)
	high := min(low+1, n-1)
	weight := rank - low
	return sorted[int(low)]*(1-weight) + sorted[int(high)]*weight
}
