package engine

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/coldscope/coldscope/query/logql/eval"
)

// TestSlices: slices are all of the time, each part of it once and in order,
// whatever was found in them.
func TestSlices(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		start := rapid.Int64Range(0, 2e18).Draw(t, "start")
		all := eval.Span{Start: start, End: start + rapid.Int64Range(0, 1e17).Draw(t, "length")}
		s := slices{left: all, backward: rapid.Bool().Draw(t, "backward"), whole: rapid.Float64().Draw(t, "whole") < 0.1}
		if rapid.Bool().Draw(t, "limited") {
			s.density = &densities{}
			s.of = "q"
			if apart := rapid.Float64Range(0, 1e18).Draw(t, "apart"); apart > 1 {
				s.density.put("q", apart)
			}
		}
		begin, end := all.Start, all.End
		for n := 0; ; n++ {
			span, any := s.next(rapid.IntRange(1, 5000).Draw(t, "wanted"))
			if !any {
				break
			}
			if n > 1000 && s.density != nil || span.End <= span.Start {
				t.Fatalf("slice %d is %+v of %+v", n, span, all)
			}
			if s.backward && span.End != end || !s.backward && span.Start != begin {
				t.Fatalf("slice %+v, %d to %d is left", span, begin, end)
			}
			if s.backward {
				end = span.Start
			} else {
				begin = span.End
			}
			found := rapid.IntRange(0, 300_000).Draw(t, "found")
			s.found += found
		}
		if begin < end {
			t.Fatalf("%d to %d of %+v was left", begin, end, all)
		}
	})
}

// TestDensity: a query is first asked of so much time as had enough lines the
// last time.
func TestDensity(t *testing.T) {
	const hour = int64(time.Hour)
	known := &densities{}
	ask := func(found int, last int64) int64 {
		s := slices{left: eval.Span{Start: 0, End: 100 * hour}, backward: true, density: known, of: "q"}
		span, _ := s.next(100)
		s.found = found
		s.learn(time.Unix(0, last))
		return span.End - span.Start
	}
	if got := ask(100, 100*hour-int64(20*time.Second)); got != int64(firstSlice) {
		t.Errorf("a new query begins with %s", time.Duration(got))
	}
	if got := ask(0, 0); got != int64(30*time.Second) {
		t.Errorf("after 100 lines in 20 s it begins with %s", time.Duration(got))
	}
	if got := ask(100, 98*hour); got <= int64(firstSlice) {
		t.Errorf("after no line in 30 s it begins with %s", time.Duration(got))
	}
	if got := ask(50, 98*hour); got != 3*hour {
		t.Errorf("after 100 lines in 2 h it begins with %s", time.Duration(got))
	}
	for range 2 * maxDensities {
		known.put(time.Now().String(), 1)
	}
	if n := len(known.of); n > maxDensities {
		t.Errorf("%d densities are remembered", n)
	}
}
