package pipeline

import (
	"errors"
	"strings"
	"testing"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
)

// sampler counts the bytes of lines, of series with a few labels or with all.
func sampler(t testing.TB, stages []logql.Stage, few bool, tab *labels.Table) *Sampler {
	t.Helper()
	o := SampleOptions{Stages: stages, Value: Bytes}
	if few {
		o.Grouping = &logql.Grouping{Labels: []string{"ip", "a_extracted", "w", "ip", "ip_extracted"}}
	}
	s, err := NewSampler(o, tab)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rangeOf(t testing.TB, query string) *logql.RangeAggregation {
	t.Helper()
	e, err := logql.Parse(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return e.(*logql.RangeAggregation)
}

// TestSample: the number of a line, and its series.
func TestSample(t *testing.T) {
	for _, c := range []struct {
		query  string
		value  Value
		line   string
		v      float64
		series string // "-": none
	}{
		{`count_over_time({app="web"} [1m])`, Lines, `x`, 1, `{app="web", id="7"}`},
		{`count_over_time({app="web"} |= "y" [1m])`, Lines, `x`, 0, `-`},
		{`count_over_time({app="web"} | logfmt --keep-empty [1m])`, Lines, `a= b=1`, 1, `{a="", app="web", b="1", id="7"}`},
		{`bytes_over_time({app="web"} | line_format "{{.id}}ä" [1m])`, Bytes, `x`, 3, `{app="web", id="7"}`},
		{`sum_over_time({app="web"} | logfmt | unwrap b [1m])`, Unwrapped, `a=2 b=1.5e3`, 1500, `{a="2", app="web", id="7"}`},
		{`sum_over_time({app="web"} | logfmt | unwrap id [1m])`, Unwrapped, `x`, 7, `{app="web"}`},
		{`sum_over_time({app="web"} | logfmt | unwrap none [1m])`, Unwrapped, `a=2`, 0, `-`},
		{`sum_over_time({app="web"} | logfmt | unwrap bytes(b) [1m])`, Unwrapped, `b=1.5KiB`, 1536, `{app="web", id="7"}`},
		{`sum_over_time({app="web"} | logfmt | unwrap duration(b) [1m])`, Unwrapped, `b=1m30s`, 90, `{app="web", id="7"}`},
		{`sum_over_time({app="web"} | logfmt | unwrap duration_seconds(b) | b != "9ms" [1m])`, Unwrapped, `b=9ms`, 0, `-`},
		{`avg_over_time({app="web"} | logfmt | unwrap b [1m]) by (id, none)`, Unwrapped, `b=1`, 1, `{id="7"}`},
		{`avg_over_time({app="web"} | logfmt | unwrap b [1m]) without (id)`, Unwrapped, `b=1 c=2`, 1, `{app="web", c="2"}`},
		{`sum_over_time({app="web"} | logfmt | unwrap b | __error__="" [1m])`, Unwrapped, `b=x`, 0, `-`},
		{`avg_over_time({app="web"} | logfmt | unwrap b [1m]) by (__error__)`, Unwrapped, `b=x`, 0, `{__error__="SampleExtractionErr"}`},
		{`count_over_time({app="web"} | json x="y" [1m])`, Lines, `{}`, 1, `{app="web", id="7", x=""}`},
		{`avg_over_time({app="web"} | json x="y", z="z" | unwrap z [1m]) by (x, none)`, Unwrapped, `{"z":1}`, 1, `{x=""}`},
	} {
		e := rangeOf(t, c.query)
		tab := labels.NewTable()
		s, err := NewSampler(SampleOptions{Stages: e.Range.Log.Pipeline, Value: c.value, Unwrap: e.Range.Unwrap, Grouping: e.Grouping}, tab)
		if err != nil {
			t.Errorf("%s: %v", c.query, err)
			continue
		}
		l := Line{Body: c.line, Stream: set(t, tab, "app=web"), Metadata: set(t, tab, "id=7")}
		for range 2 {
			v, series, ok, err := s.Sample(l)
			got := "-"
			if ok {
				got = series.String()
			}
			if v != c.v || got != c.series || err != nil {
				t.Errorf("%s on %q: got %g of %s, %v; want %g of %s", c.query, c.line, v, got, err, c.v, c.series)
			}
		}
	}
}

func TestPipelineError(t *testing.T) {
	e := rangeOf(t, `sum_over_time({app="web"} | logfmt | unwrap b [1m])`)
	tab := labels.NewTable()
	s, err := NewSampler(SampleOptions{Stages: e.Range.Log.Pipeline, Value: Unwrapped, Unwrap: e.Range.Unwrap}, tab)
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, err = s.Sample(Line{Body: "b=x", Stream: set(t, tab, "app=web")})
	p, ok := errors.AsType[*PipelineError](err)
	if !ok || p.Kind != ErrSample || p.Details != `strconv.ParseFloat: parsing "x": invalid syntax` || !strings.HasPrefix(p.Series, `{__error__="SampleExtractionErr", `) {
		t.Errorf("got %+v", err)
	}
}

// TestEqualSeriesAreOnePointer: however a series' labels came together.
func TestEqualSeriesAreOnePointer(t *testing.T) {
	tab := labels.NewTable()
	s := sampler(t, stagesOf(t, `{app="web"} | logfmt`), false, tab)
	stream := set(t, tab, "app=web")
	var seen []*labels.Set
	for _, l := range []Line{
		{Body: "a=1 b=2", Stream: stream},
		{Body: "b=2 a=1", Stream: stream},
		{Body: "a=1", Stream: stream, Metadata: set(t, tab, "b=2")},
		{Body: "", Stream: set(t, tab, "app=web a=1 b=2")},
	} {
		_, series, ok, err := s.Sample(l)
		if !ok || err != nil {
			t.Fatal(ok, err)
		}
		seen = append(seen, series)
	}
	for _, s := range seen {
		if s != seen[0] || s.String() != `{a="1", app="web", b="2"}` {
			t.Errorf("%p %s, %p %s", s, s, seen[0], seen[0])
		}
	}
}
