package eval

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
	"github.com/coldscope/coldscope/query/logql/pipeline"
)

func logsOf(t *testing.T, v *Evaluator, query string, q LogQuery) []string {
	t.Helper()
	e, err := logql.ParseLog(query)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	err = v.Logs(t.Context(), e, q, func(e LogEntry) error {
		out = append(out, fmt.Sprintf("%d %s %s %s %s", e.Time/second, e.Body, e.Stream, e.Metadata, e.Parsed))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLogs(t *testing.T) {
	v := New(stored(), Limits{})
	all := Span{0, 1000 * second}
	for _, c := range []struct {
		query string
		q     LogQuery
		want  []string
	}{
		{`{app="a"} |= "error" | logfmt | keep app, req, level`, LogQuery{Span: all, Limit: 2}, []string{
			`10 level=error d=1 took=100ms size=1KB {app="a"} {req="1"} {level="error"}`,
			`30 level=error d=3 took=300ms size=3KB {app="a"} {req="3"} {level="error"}`,
		}},
		{`{env=~"p|q"} | line_format "{{.req}}"`, LogQuery{Span: all, Backward: true, Limit: 4}, []string{
			`100  {app="c", env="q"} {} {}`,
			`100  {app="b", env="p"} {} {}`,
			`100 10 {app="a", env="p"} {req="10"} {}`,
			`90  {app="c", env="q"} {} {}`,
		}},
		// Lines nearer than the interval to the one before are left out.
		{`{app="a"} | line_format "{{.req}}" | keep app`, LogQuery{Span: all, Limit: 3, Interval: 30 * second}, []string{
			`10 1 {app="a"} {} {}`, `40 4 {app="a"} {} {}`, `70 7 {app="a"} {} {}`,
		}},
		{`{app=~"a|b"} | line_format "{{.app}}" | keep app`, LogQuery{Span: all, Backward: true, Interval: 40 * second}, []string{
			`100 b {app="b"} {} {}`, `60 b {app="b"} {} {}`, `20 b {app="b"} {} {}`,
		}},
		// The span's end is not in it.
		{`{app="b"}`, LogQuery{Span: Span{20 * second, 30 * second}}, []string{`20 level=info d=9 {app="b", env="p"} {} {}`}},
		{`{app="z"}`, LogQuery{Span: all}, nil},
	} {
		if got := logsOf(t, v, c.query, c.q); !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.query, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
	}
	stop := errors.New("enough")
	e, _ := logql.ParseLog(`{app="a"}`)
	if err := v.Logs(t.Context(), e, LogQuery{Span: all}, func(LogEntry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
}

func TestLimits(t *testing.T) {
	ctx := t.Context()
	for _, c := range []struct {
		query string
		l     Limits
		want  string
	}{
		{`count_over_time({env=~".+"}[50s])`, Limits{MaxSeries: 6}, "maximum number of series (6) reached for a single query; consider reducing"},
		{`count_over_time({env=~".+"}[50s])`, Limits{MaxSeries: 7}, ""},
		{`sum(count_over_time({env=~".+"}[50s]) * 2)`, Limits{MaxSeries: 1}, ""},
		{`sum(count_over_time({env=~".+"}[50s]) * 2)`, Limits{MaxInner: 6}, "maximum number of series (6) reached"},
		{`quantile_over_time(0.5, {app="b"} | logfmt | unwrap d [50s]) by (app)`, Limits{MaxValues: 4}, "quantile of more than 4 values at once"},
		{`quantile_over_time(0.5, {app="b"} | logfmt | unwrap d [50s]) by (app)`, Limits{MaxValues: 5}, ""},
	} {
		v := New(stored(), c.l)
		_, err := v.Instant(ctx, parse(t, c.query), 100*second)
		_, err2 := v.Range(ctx, parse(t, c.query), Steps{100 * second, 120 * second, 10 * second})
		for _, err := range []error{err, err2} {
			if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%s with %+v: %v, want %q", c.query, c.l, err, c.want)
			}
		}
	}
}

// pushing is a source that does the first stage, and knows some expressions.
type pushing struct {
	*Memory
	known map[string]Matrix
	open  int
}

type closing struct {
	Lines
	p *pushing
}

func (c closing) Close() error {
	c.p.open--
	return c.Lines.Close()
}

func (p *pushing) Scan(ctx context.Context, r Request) (Scan, error) {
	s, err := p.Memory.Scan(ctx, r)
	p.open++
	s.Lines = closing{s.Lines, p}
	if len(s.Rest) > 0 {
		if f, ok := s.Rest[0].(*logql.LineFilter); ok && f.Op == logql.LineContains {
			s.Lines = &filtered{s.Lines, f.Alternatives[0].Value, nil}
			s.Rest = s.Rest[1:]
		}
	}
	return s, err
}

func (p *pushing) Compute(_ context.Context, e logql.MetricExpr, _ Steps) (Matrix, bool, error) {
	m, ok := p.known[e.String()]
	return m, ok, nil
}

type filtered struct {
	Lines
	need string
	out  []pipeline.Line
}

func (f *filtered) Next(ctx context.Context) ([]pipeline.Line, error) {
	for {
		batch, err := f.Lines.Next(ctx)
		if err != nil {
			return nil, err
		}
		f.out = f.out[:0]
		for _, l := range batch {
			if strings.Contains(l.Body, f.need) {
				f.out = append(f.out, l)
			}
		}
		if len(f.out) > 0 {
			return f.out, nil
		}
	}
}

// TestPushedDown: what the source does itself is not done again, and gives the
// same as when all of it is done here.
func TestPushedDown(t *testing.T) {
	steps := Steps{0, 120 * second, 20 * second}
	whole := New(stored(), Limits{})
	inner := parse(t, `count_over_time({env=~".+"} |= "error" [30s])`)
	m, err := whole.Range(t.Context(), inner, steps)
	if err != nil {
		t.Fatal(err)
	}
	// Sets of another table, as a store makes them.
	other := labels.NewTable()
	for i := range m {
		m[i].Labels = other.FromMap(m[i].Labels.Map())
	}
	for _, known := range []map[string]Matrix{nil, {inner.String(): m}} {
		p := &pushing{Memory: stored(), known: known}
		pushed := New(p, Limits{})
		for _, q := range []string{
			`count_over_time({env=~".+"} |= "error" [30s])`,
			`sum by (app) (count_over_time({env=~".+"} |= "error" [30s]))`,
			`sum by (app) (count_over_time({env=~".+"} |= "error" [30s])) / sum by (app) (count_over_time({env=~".+"}[30s]))`,
			`topk(1, sum by (app) (count_over_time({env=~".+"} |= "error" | logfmt | d > 2 [30s])))`,
			`label_replace(sum by (app) (rate({env=~".+"} |= "error" [30s])), "x", "$1", "app", "(.*)") > 0`,
		} {
			want, err := whole.Range(t.Context(), parse(t, q), steps)
			if err != nil {
				t.Fatal(err)
			}
			got, err := pushed.Range(t.Context(), parse(t, q), steps)
			if err != nil || shownMatrix(got) != shownMatrix(want) || len(want) == 0 {
				t.Errorf("%s: %v\n got %s\nwant %s", q, err, shownMatrix(got), shownMatrix(want))
			}
		}
		if p.open != 0 {
			t.Errorf("%d readers are open", p.open)
		}
	}
}

// broken is a source whose lines end with an error.
type broken struct {
	err    error
	closed int
}

func (b *broken) Scan(context.Context, Request) (Scan, error)   { return Scan{Lines: b}, nil }
func (b *broken) Next(context.Context) ([]pipeline.Line, error) { return nil, b.err }
func (b *broken) Close() error                                  { b.closed++; return nil }

// TestErrorsOfTheSource: they are the query's, and no reader stays open.
func TestErrorsOfTheSource(t *testing.T) {
	b := &broken{err: io.ErrUnexpectedEOF}
	v := New(b, Limits{})
	e := parse(t, `sum(rate({a="b"}[1m])) / on () (count_over_time({a="b"}[1m]) or vector(1))`)
	if _, err := v.Range(t.Context(), e, Steps{0, 10 * second, second}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("range: %v", err)
	}
	if _, err := v.Instant(t.Context(), e, 0); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("instant: %v", err)
	}
	log, _ := logql.ParseLog(`{a="b"}`)
	if err := v.Logs(t.Context(), log, LogQuery{}, func(LogEntry) error { return nil }); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("logs: %v", err)
	}
	if b.closed != 5 {
		t.Errorf("%d readers were closed, want 5", b.closed)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(stored(), Limits{}).Range(ctx, parse(t, `rate({app="a"}[1m])`), Steps{0, 100 * second, second}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
