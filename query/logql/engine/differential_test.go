package engine_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/coldscope/coldscope/aggregator/rollup"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/limit"
	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/engine"
	"github.com/coldscope/coldscope/query/logql/eval"
	"github.com/coldscope/coldscope/query/logql/labels"
	"github.com/coldscope/coldscope/query/logql/pipeline"
	"github.com/coldscope/coldscope/query/logql/plan"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// TestBothWays holds the store's answers against those of the evaluation alone
// over all lines: the same lines, series and errors.
func TestBothWays(t *testing.T) {
	conn := readtest.DB(t)
	fillRandom(t, conn, 600)
	e := engine.New(conn, engine.WithLimits(limit.DefaultQuery()))
	all := everything(t, e)
	if len(all) < 500 {
		t.Fatalf("%d lines", len(all))
	}
	var pushed, bare int
	rapid.Check(t, func(r *rapid.T) {
		query := drawQuery(r)
		expr, err := logql.Parse(query)
		if err != nil {
			r.Fatalf("%s: %v", query, err)
		}
		source := &inMemory{lines: all, facts: isLog(expr) || plan.NamesFacts(expr)}
		if isLog(expr) {
			compareLines(r, e, source, expr)
			return
		}
		q := e.Query(readtest.Tenant, expr)
		compareSeries(r, q, source, expr)
		if bare++; q.Stats().Lines == 0 {
			pushed++
		}
	})
	t.Logf("SQL alone answered %d of %d metric queries", pushed, bare)
	if pushed == 0 || pushed == bare {
		t.Error("one of the ways was never gone")
	}
}

func isLog(e logql.Expr) bool { _, ok := e.(*logql.LogExpr); return ok }

var theSpan = eval.Span{Start: readtest.T0.Add(-time.Hour).UnixNano(), End: readtest.T0.Add(time.Hour).UnixNano()}

// everything is all lines of the store with all that they have.
func everything(t *testing.T, e *engine.Engine) []pipeline.Line {
	t.Helper()
	var all []pipeline.Line
	err := e.Query(readtest.Tenant, parse(t, `{stream=~".+"}`)).Logs(t.Context(), eval.LogQuery{Span: theSpan}, func(e eval.LogEntry) error {
		all = append(all, pipeline.Line{Time: e.Time, Body: e.Body, Stream: e.Stream, Metadata: e.Metadata})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// inMemory is a source that does nothing but compare labels.
type inMemory struct {
	lines []pipeline.Line
	facts bool
}

func (m *inMemory) Scan(ctx context.Context, r eval.Request) (eval.Scan, error) {
	table := labels.NewTable()
	var lines []pipeline.Line
	for _, l := range m.lines {
		var meta []labels.Label
		for _, x := range l.Metadata.Labels() {
			if k := plan.Lookup(x.Name); m.facts || k == nil || k.Kind != plan.Fact {
				meta = append(meta, x)
			}
		}
		matches := !slices.ContainsFunc(r.Log.Matchers, func(x *logql.Matcher) bool {
			v := l.Stream.Get(x.Name)
			if v == "" {
				v = l.Metadata.Get(x.Name)
			}
			return !x.Matches(v)
		})
		if matches {
			lines = append(lines, pipeline.Line{Time: l.Time, Body: l.Body, Stream: table.Intern(l.Stream), Metadata: table.Of(meta...)})
		}
	}
	return eval.NewMemory(lines).Scan(ctx, eval.Request{Log: &logql.LogExpr{Pipeline: r.Log.Pipeline}, Span: r.Span, Backward: r.Backward, Limit: r.Limit})
}

func compareLines(r *rapid.T, e *engine.Engine, source eval.Source, expr logql.Expr) {
	from := rapid.Int64Range(-600, 500).Draw(r, "from")
	span := eval.Span{Start: at(from), End: at(from + rapid.Int64Range(1, 1200).Draw(r, "length"))}
	q := eval.LogQuery{Span: span, Backward: rapid.Bool().Draw(r, "backward"), Limit: rapid.SampledFrom([]int{1, 7, 100, 1000}).Draw(r, "limit")}
	list := func(run func(context.Context, eval.LogQuery, func(eval.LogEntry) error) error) ([]string, error) {
		var out []string
		err := run(context.Background(), q, func(e eval.LogEntry) error {
			out = append(out, fmt.Sprint(e.Time, e.Body, e.Stream, e.Metadata, e.Parsed))
			return nil
		})
		return out, err
	}
	got, err := list(e.Query(readtest.Tenant, expr).Logs)
	if err != nil {
		r.Fatalf("%s: %v", expr, err)
	}
	want, err := list(func(ctx context.Context, q eval.LogQuery, yield func(eval.LogEntry) error) error {
		return eval.New(source, eval.Limits{}).Logs(ctx, expr.(*logql.LogExpr), q, yield)
	})
	if err != nil {
		r.Fatalf("%s: %v", expr, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		r.Fatalf("%s: %d lines, %d without SQL (-without +with SQL):\n%s", expr, len(got), len(want), diff)
	}
}

func at(seconds int64) int64 { return readtest.T0.Add(time.Duration(seconds) * time.Second).UnixNano() }

func compareSeries(r *rapid.T, q *engine.Query, source eval.Source, expr logql.Expr) {
	from := rapid.Int64Range(-600, 500).Draw(r, "from")
	steps := eval.Steps{Start: at(from), End: at(from + rapid.Int64Range(0, 600).Draw(r, "length")), Step: rapid.SampledFrom([]int64{1e9, 7e9, 60e9, 61_500_000_000}).Draw(r, "step")}
	limits := eval.Limits{MaxSeries: 100_000}
	got, err := q.Range(context.Background(), steps)
	want, err2 := eval.New(source, limits).Range(context.Background(), expr.(logql.MetricExpr), steps)
	if (err == nil) != (err2 == nil) {
		r.Fatalf("%s: %v, and without SQL %v", expr, err, err2)
	}
	if err != nil {
		return
	}
	if diff := cmp.Diff(printed(want), printed(got), cmp.Comparer(near)); diff != "" {
		r.Fatalf("%s of %+v (-without +with SQL):\n%s", expr, steps, diff)
	}
}

// near are numbers that differ by what rounding in another order makes.
func near(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= 1e-9*math.Max(math.Abs(a), math.Abs(b)) || math.Abs(a-b) < 1e-6
}

func printed(m eval.Matrix) map[string][]eval.Point {
	out := map[string][]eval.Point{}
	for _, s := range m {
		out[s.Labels.String()] = s.Points
	}
	return out
}

// fillRandom stores n lines of some functions, of all shapes, within ten
// minutes around T0, and their requests.
func fillRandom(t *testing.T, conn driver.Conn, n int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(list ...string) string { return list[rnd.IntN(len(list))] }
	var lines []schema.LogRow
	var invocations []schema.InvocationRow
	for i := range n {
		request := ""
		if rnd.IntN(3) > 0 {
			request = fmt.Sprint("r", rnd.IntN(40))
		}
		function := pick("f", "g", "h.i")
		when := readtest.T0.Add(time.Duration(rnd.IntN(1200)-600) * time.Second).Add(time.Duration(rnd.IntN(3)) * 333 * time.Millisecond)
		line := schema.LogRow{
			Line: &faas.Line{
				Ref:  faas.Ref{Tenant: readtest.Tenant, Namespace: pick("n", "m"), Function: function, Version: pick("", "v1", "v2"), Instance: pick("i1", "i2", "")},
				Host: pick("", "host"), Time: when, Stream: faas.Stream(pick("stdout", "stderr", "platform")), Body: randomBody(rnd), FileID: uint64(i % 3), Offset: uint64(i),
				Severity: faas.Severity(rnd.IntN(26)), TraceID: pick("", "", "abc"),
			},
			RequestID: request, Attribution: faas.Attribution(pick("window", "init", "none")), Revision: 1,
		}
		if rnd.IntN(2) == 0 {
			line.Attributes = []faas.Attribute{{Key: pick("user", "http.path", "http-path", "http_path", "status", "0x", "_0x", "__error__", "took", "Ü"), Value: pick("", "a", "b", "5", "7.5", "1s", "3KB")}, {Key: pick("user", "http_path", "level"), Value: pick("c", "5")}}
		}
		lines = append(lines, line)
		if rnd.IntN(20) == 0 { // corrected, too
			again := line
			again.RequestID, again.Revision = "r1", 2
			lines = append(lines, again)
		}
		if request != "" && rnd.IntN(2) == 0 {
			began := when.Add(time.Duration(rnd.IntN(5000)-4000) * time.Second)
			v := schema.InvocationRow{Tenant: readtest.Tenant, Namespace: line.Namespace, Function: function, StartedAt: began, RequestID: request, Instance: line.Instance}
			if rnd.IntN(3) > 0 {
				v.Status, v.DurationNS, v.Cold = new(pick("ok", "error")), new(int64(rnd.IntN(1_000_000_000))), new(rnd.IntN(2) == 0)
				v.HTTPStatus, v.ColdWaitNS = new(uint16(200+rnd.IntN(3)*100)), new(int64(rnd.IntN(3)*1_000_000))
			}
			if !slices.ContainsFunc(invocations, func(o schema.InvocationRow) bool {
				return o.Namespace == v.Namespace && o.Function == v.Function && o.RequestID == v.RequestID && o.Instance == v.Instance
			}) {
				invocations = append(invocations, v)
			}
		}
	}
	readtest.Insert(t, conn, schema.Logs, lines...)
	readtest.Insert(t, conn, schema.Invocations, invocations...)
	for i := range lines { // somebody else's are never seen
		l := *lines[i].Line
		l.Tenant = "other"
		lines[i].Line = &l
	}
	readtest.Insert(t, conn, schema.Logs, lines...)
}

func randomBody(rnd *rand.Rand) string {
	word := func() string {
		return []string{"a", "error", "x_y", "100%", `back\slash`, "Ünï", "10.0.0.7", "took", "", "warn"}[rnd.IntN(10)]
	}
	switch rnd.IntN(6) {
	case 0:
		return fmt.Sprintf(`{"user":%q,"level":%q,"n":%d,"f":%g,"http":{"path":"/%s","code":%d},"list":[1,{"k":"v"}],"b":true,"z":null}`, word(), word(), rnd.IntN(100), rnd.Float64()*100, word(), 200+rnd.IntN(5)*100)
	case 1:
		return fmt.Sprintf(`user=%s level="%s x" n=%d took=%dms empty= flag status=%d`, strings.ReplaceAll(word(), `\`, ""), word(), rnd.IntN(100), rnd.IntN(1000), 200+rnd.IntN(5)*100)
	case 2:
		return fmt.Sprintf("pull took %dms", rnd.IntN(5000))
	case 3:
		return fmt.Sprintf("panic: %s\n\tat %s\n", word(), word())
	case 4:
		return fmt.Sprintf(`10.0.%d.7 - "GET /%s" %d %s`, rnd.IntN(3), word(), 200+rnd.IntN(5)*100, word())
	}
	return word() + " " + word()
}

// TestRolled holds figures by the minute against the lines that they are of:
// of some minutes there are figures, some have lines that came later.
func TestRolled(t *testing.T) {
	conn := readtest.DB(t)
	fillRandom(t, conn, 1500)
	roller := rollup.New(rollup.Config{Interval: time.Second}, conn, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	for range 20 {
		if _, err := roller.Roll(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var minutes uint64
	if err := conn.QueryRow(t.Context(), "SELECT count() FROM line_minutes WHERE tenant = 'default'").Scan(&minutes); err != nil || minutes < 50 {
		t.Fatalf("%d figures, %v", minutes, err)
	}
	late := schema.LogRow{
		Line: &faas.Line{
			Ref:  faas.Ref{Tenant: readtest.Tenant, Namespace: "n", Function: "f"},
			Time: readtest.T0.Truncate(time.Minute), Stream: faas.Stdout, Body: "late, and at the very beginning of a minute", FileID: 77,
		},
		Attribution: faas.AttributionNone, Revision: 1,
	}
	readtest.Insert(t, conn, schema.Logs, late)
	e := engine.New(conn, engine.WithLimits(limit.DefaultQuery()))
	all := everything(t, e)
	rolled := 0
	rapid.Check(t, func(r *rapid.T) {
		names := make([]string, rapid.IntRange(0, 3).Draw(r, "groups"))
		for i := range names {
			names[i] = pick(r, "group", "function", "namespace", "service_name", "version", "stream", "level", "detected_level")
		}
		query := fmt.Sprintf("sum by (%s) (%s({%s} %s [%s]))", strings.Join(names, ", "),
			pick(r, "op", "count_over_time", "rate", "bytes_over_time", "bytes_rate"),
			pick(r, "selector", `stream=~".+"`, `function="f"`, `function=~"f|g", stream!="stdout"`, `level="error"`, `namespace="n", version=""`, `namespace=~".+"`),
			pick(r, "stage", "", `| level=~"warn|info"`, "| drop __error__", `| detected_level!="unknown" or stream="stderr"`),
			pick(r, "range", "5m", "10m", "7m", "15m", "1h", "301s"))
		expr, err := logql.Parse(query)
		if err != nil {
			r.Fatal(err)
		}
		begin := readtest.T0.Truncate(time.Minute).Add(time.Duration(rapid.SampledFrom([]int64{0, 0, 1, -1, 1e9, 1_500_000_000}).Draw(r, "shift")))
		start := begin.Add(time.Duration(rapid.IntRange(-15, 5).Draw(r, "from")) * time.Minute)
		steps := eval.Steps{Start: start.UnixNano(), Step: rapid.SampledFrom([]int64{300e9, 600e9, 900e9, 3600e9}).Draw(r, "step")}
		steps.End = steps.Start + steps.Step*rapid.Int64Range(0, 4).Draw(r, "steps")
		q := e.Query(readtest.Tenant, expr)
		got, err := q.Range(context.Background(), steps)
		if err != nil {
			r.Fatal(err)
		}
		want, err := eval.New(&inMemory{lines: all}, eval.Limits{}).Range(context.Background(), expr.(logql.MetricExpr), steps)
		if err != nil {
			r.Fatal(err)
		}
		if diff := cmp.Diff(printed(want), printed(got), cmp.Comparer(near)); diff != "" {
			r.Fatalf("%s of %+v (-of lines +of figures):\n%s", query, steps, diff)
		}
		if q.Stats().Queries > 1 {
			rolled++
		}
	})
	t.Logf("%d queries used figures", rolled)
	if rolled < 20 {
		t.Error("figures were hardly used")
	}
}
