package eval

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/labels"
	"github.com/coldscope/coldscope/query/logql/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const second = int64(time.Second)

// stored is what the cases are evaluated over: at second 10, 20, … 100 a line of
// each of three streams, whose value d is 1, 2, … 10 for a, the reverse for b,
// and grows with a restart for c.
func stored() *Memory {
	tab := labels.NewTable()
	set := func(kv ...string) *labels.Set {
		var ls []labels.Label
		for i := 0; i < len(kv); i += 2 {
			ls = append(ls, labels.Label{Name: kv[i], Value: kv[i+1]})
		}
		return tab.Of(ls...)
	}
	a, b, c := set("app", "a", "env", "p"), set("app", "b", "env", "p"), set("app", "c", "env", "q")
	var lines []pipeline.Line
	for i := int64(1); i <= 10; i++ {
		level := []string{"info", "error"}[i%2]
		meta := set("req", strconv.FormatInt(i, 10))
		lines = append(lines,
			pipeline.Line{Time: 10 * i * second, Stream: a, Metadata: meta, Body: fmt.Sprintf(`level=%s d=%d took=%dms size=%dKB`, level, i, i*100, i)},
			pipeline.Line{Time: 10 * i * second, Stream: b, Body: fmt.Sprintf(`level=%s d=%d`, level, 11-i)},
			pipeline.Line{Time: 10 * i * second, Stream: c, Body: fmt.Sprintf(`level=info d=%d`, (i*10)%60)},
		)
	}
	return NewMemory(lines)
}

func parse(t testing.TB, query string) logql.MetricExpr {
	t.Helper()
	e, err := logql.Parse(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return e.(logql.MetricExpr)
}

func number64(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

func shownVector(v []Sample) string {
	var out []string
	for _, s := range v {
		out = append(out, s.Labels.String()+" "+number64(s.Value))
	}
	return strings.Join(out, "\n")
}

func instant(ctx context.Context, v *Evaluator, e logql.MetricExpr, at int64) string {
	got, err := v.Instant(ctx, e, at)
	if err != nil {
		return "error: " + err.Error()
	}
	if got.IsScalar {
		return number64(got.Scalar)
	}
	return shownVector(got.Vector)
}

// TestInstant: each query at second 100.
func TestInstant(t *testing.T) {
	v := New(stored(), Limits{})
	for _, c := range []struct{ query, want string }{
		// Of lines. The window is open at its begin: the line at 50 is not in it.
		{`count_over_time({app="b"}[50s])`, `{app="b", env="p"} 5`},
		{`count_over_time({app="b"}[51s])`, `{app="b", env="p"} 6`},
		{`count_over_time({app="b"}[10s] offset 15s)`, `{app="b", env="p"} 1`},
		{`count_over_time({app="b"}[10s] offset -10s)`, ``},
		{`count_over_time({app="a"}[20s])`, "{app=\"a\", env=\"p\", req=\"10\"} 1\n{app=\"a\", env=\"p\", req=\"9\"} 1"},
		{`rate({app=~"b|c"} |= "error" [100s])`, `{app="b", env="p"} 0.05`},
		{`bytes_over_time({app="b"}[10s])`, `{app="b", env="p"} 14`},
		{`bytes_rate({app="b"}[10s])`, `{app="b", env="p"} 1.4`},
		{`bytes_over_time({app="b"} | line_format "xx" [20s])`, `{app="b", env="p"} 4`},
		{`absent_over_time({app="b"}[10s])`, ``},
		{`absent_over_time({app="z", env!="x", a="1", a!="2"}[10s])`, `{app="z"} 1`},
		{`count_over_time({app="b"} | logfmt [20s])`, "{app=\"b\", d=\"1\", env=\"p\", level=\"info\"} 1\n{app=\"b\", d=\"2\", env=\"p\", level=\"error\"} 1"},

		// Of values.
		{`sum_over_time({app="a"} | logfmt | unwrap d [30s]) `, "{app=\"a\", env=\"p\", level=\"error\", req=\"9\", size=\"9KB\", took=\"900ms\"} 9\n{app=\"a\", env=\"p\", level=\"info\", req=\"10\", size=\"10KB\", took=\"1000ms\"} 10\n{app=\"a\", env=\"p\", level=\"info\", req=\"8\", size=\"8KB\", took=\"800ms\"} 8"},
		{`sum_over_time({app="b"} | logfmt | keep d | unwrap d [30s])`, `{} 6`},
		{`rate({app="b"} | logfmt | keep d | unwrap d [30s])`, `{} 0.2`},
		{`avg_over_time({app="b"} | logfmt | unwrap d [40s]) by (app)`, `{app="b"} 2.5`},
		{`avg_over_time({app="b"} | logfmt | unwrap d [40s]) without (level, env)`, `{app="b"} 2.5`},
		{`min_over_time({app="b"} | logfmt | unwrap d [40s]) by (app)`, `{app="b"} 1`},
		{`max_over_time({app="b"} | logfmt | unwrap d [40s]) by (app)`, `{app="b"} 4`},
		{`first_over_time({app="b"} | logfmt | unwrap d [40s]) by (app)`, `{app="b"} 4`},
		{`last_over_time({app="b"} | logfmt | unwrap d [40s]) by (app)`, `{app="b"} 1`},
		{`stdvar_over_time({app="b"} | logfmt | unwrap d [40s]) by (app)`, `{app="b"} 1.25`},
		{`stddev_over_time({app="b"} | logfmt | unwrap d [40s]) by (app)`, `{app="b"} 1.11803`},
		{`quantile_over_time(0.5, {app="b"} | logfmt | unwrap d [40s]) by (app)`, `{app="b"} 2.5`},
		{`quantile_over_time(0.99, {app="b"} | logfmt | unwrap d [100s]) by (app)`, `{app="b"} 9.91`},
		{`quantile_over_time(2, {app="b"} | logfmt | unwrap d [40s]) by (app)`, `{app="b"} +Inf`},
		// 10 20 30 40 50 0 10 20 30 40: 50 before the restart, 40 behind it, over 90 s; the counter would have been
		// at nought 10 s before the first value, the window's begin.
		{`rate_counter({app="c"} | logfmt | unwrap d [100s])`, `{app="c", env="q", level="info"} 0.888889`},
		// At 80, 90 and 100 s: 20 30 40. 19 s before the first value are too far, so half of the 10 s between values
		// are added, and the counter was at nought longer ago than that: 25 s of the 20 of 39.
		{`rate_counter({app="c"} | logfmt | d >= 20 | unwrap d [39s])`, `{app="c", env="q", level="info"} 0.641026`},
		// At 60, 70, 80 and 90 s: 0 10 20 30, in a window from 52 to 91. It was at nought at the first value.
		{`rate_counter({app="c"} | logfmt | unwrap d [39s] offset 9s)`, `{app="c", env="q", level="info"} 0.794872`},
		{`rate_counter({app="c"} | logfmt | unwrap d [10s])`, `{app="c", env="q", level="info"} 0`},
		{`sum_over_time({app="a"} | logfmt | unwrap duration(took) [20s]) by (app)`, `error`},
		{`avg_over_time({app="a"} | logfmt | unwrap duration(took) [20s]) by (app)`, `{app="a"} 0.95`},
		{`max_over_time({app="a"} | logfmt | unwrap duration_seconds(took) [20s]) by (app)`, `{app="a"} 1`},
		{`max_over_time({app="a"} | logfmt | unwrap bytes(size) [20s]) by (app)`, `{app="a"} 10000`},
		{`absent_over_time({app="a"} | logfmt | unwrap nothing [20s])`, `{app="a"} 1`},
		{`avg_over_time({app=~".+"} | logfmt | unwrap duration(took) [20s]) by (app)`, `{app="a"} 0.95`},
		{`avg_over_time({app="b"} | logfmt | unwrap d | d > 1 [20s]) by (app)`, `{app="b"} 2`},
		{`sum(sum_over_time({app="b"} | logfmt | unwrap level | __error__="" [20s]))`, ``},

		// Errors of stages.
		{`count_over_time({app="b"} | json [20s])`, "error: pipeline error: 'JSONParserErr' for series: '{__error__=\"JSONParserErr\", __error_details__=\"the line is no JSON object\", app=\"b\", env=\"p\"}'.\nUse a label filter to intentionally skip this error. (e.g | __error__!=\"JSONParserErr\").\nTo skip all potential errors you can match empty errors.(e.g __error__=\"\")\nThe label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )\n"},
		{`sum by (app) (count_over_time({app="b"} | json | __error__="" [20s]))`, ``},
		{`sum by (app) (count_over_time({app="b"} | json | drop __error__ [20s]))`, `{app="b"} 2`},
		{`sum by (__error__) (count_over_time({app="b"} | json [20s]))`, `{__error__="JSONParserErr"} 2`},
		{`sum(count_over_time({app="b"} | json | __error__!="" [20s]))`, "error: pipeline error: 'JSONParserErr'…"},
		{`sum(rate({app="b"} | logfmt | unwrap level [20s]))`, "error: pipeline error: 'SampleExtractionErr'…"},

		// Of several series.
		{`sum(count_over_time({env=~".+"}[20s]))`, `{} 6`},
		{`sum by (env) (count_over_time({env=~".+"}[20s]))`, "{env=\"p\"} 4\n{env=\"q\"} 2"},
		{`sum without (app, req) (count_over_time({env=~".+"}[20s]))`, "{env=\"p\"} 4\n{env=\"q\"} 2"},
		{`sum by (level, none) (count_over_time({env=~".+"} | logfmt [20s]))`, "{level=\"error\"} 2\n{level=\"info\"} 4"},
		{`sum by (d) (sum_over_time({app="b"} | logfmt | unwrap d [20s]))`, `{} 3`},
		{`count by (env) (count_over_time({env=~".+"}[20s]))`, "{env=\"p\"} 3\n{env=\"q\"} 1"},
		{`avg(count_over_time({env=~".+"}[20s]))`, `{} 1.5`},
		{`min(count_over_time({env=~".+"}[20s]))`, `{} 1`},
		{`max(count_over_time({env=~".+"}[20s]))`, `{} 2`},
		{`max by (app) (max_over_time({env="p"} | logfmt | unwrap d [20s]))`, "{app=\"a\"} 10\n{app=\"b\"} 2"},
		{`min by (app) (min_over_time({env="p"} | logfmt | unwrap d [20s]))`, "{app=\"a\"} 9\n{app=\"b\"} 1"},
		{`stddev(count_over_time({env=~".+"}[20s]))`, `{} 0.5`},
		{`stdvar(count_over_time({env=~".+"}[20s]))`, `{} 0.25`},
		{`topk(2, sum by (app) (sum_over_time({env=~".+"} | logfmt | unwrap d [20s])))`, "{app=\"c\"} 70\n{app=\"a\"} 19"},
		{`approx_topk(2, sum by (app) (sum_over_time({env=~".+"} | logfmt | unwrap d [20s])))`, "{app=\"c\"} 70\n{app=\"a\"} 19"},
		{`bottomk(2, sum by (app) (sum_over_time({env=~".+"} | logfmt | unwrap d [20s])))`, "{app=\"b\"} 3\n{app=\"a\"} 19"},
		{`topk by (env) (1, sum by (app, env) (sum_over_time({env=~".+"} | logfmt | unwrap d [20s])))`, "{app=\"c\", env=\"q\"} 70\n{app=\"a\", env=\"p\"} 19"},
		{`sort(sum by (app) (sum_over_time({env=~".+"} | logfmt | unwrap d [20s])))`, "{app=\"b\"} 3\n{app=\"a\"} 19\n{app=\"c\"} 70"},
		{`sort_desc(sum by (app) (sum_over_time({env=~".+"} | logfmt | unwrap d [20s])))`, "{app=\"c\"} 70\n{app=\"a\"} 19\n{app=\"b\"} 3"},

		{`sort(sum by (app) (sum_over_time({env=~".+"} | logfmt | unwrap d [20s]))) * 2`, "{app=\"b\"} 6\n{app=\"a\"} 38\n{app=\"c\"} 140"},
		{`count_over_time({app="b"} | json x="y" | drop __error__, __error_details__ [20s])`, `{app="b", env="p", x=""} 2`},
		{`sum by (x) (count_over_time({app="b"} | json x="y" | drop __error__ [20s]))`, `{x=""} 2`},
		{`sum by (x) (1 * count_over_time({app="b"} | json x="y" | drop __error__, __error_details__ [20s]))`, `{x=""} 2`},

		// Operators.
		{`1 + 2 * 3 ^ 2`, `19`},
		{`1 > bool 2`, `0`},
		{`5 % 3 - 1 / 4`, `1.75`},
		{`1 / 0`, `NaN`},
		{`vector(1) + vector(1)`, `{} 2`},
		{`vector(1) / 0`, `{} NaN`},
		{`2 - vector(1)`, `{} 1`},
		{`vector(3) > 2`, `{} 3`},
		{`2 < vector(3)`, `{} 3`},
		{`vector(3) > bool 4`, `{} 0`},
		{`vector(3) < 2`, ``},
		{`sum by (app) (count_over_time({env=~".+"}[20s])) * 10`, "{app=\"a\"} 20\n{app=\"b\"} 20\n{app=\"c\"} 20"},
		{`sum by (app) (rate({env=~".+"} |= "error" [20s])) / sum by (app) (rate({env=~".+"}[20s]))`, "{app=\"a\"} 0.5\n{app=\"b\"} 0.5"},
		{`sum by (app) (count_over_time({env="p"}[20s])) and sum by (app) (count_over_time({app="a"}[20s]))`, `{app="a"} 2`},
		{`sum by (app) (count_over_time({env="p"}[20s])) unless sum by (app) (count_over_time({app="a"}[20s]))`, `{app="b"} 2`},
		{`sum by (app) (count_over_time({app="a"}[20s])) or sum by (app) (count_over_time({env="p"}[40s]))`, "{app=\"a\"} 2\n{app=\"b\"} 4"},
		{`sum(count_over_time({app="z"}[20s])) or vector(0)`, `{} 0`},
		{`sum by (app, env) (count_over_time({env="p"}[20s])) / on (env) group_left sum by (env) (count_over_time({env="p"}[20s]))`, "{app=\"a\", env=\"p\"} 0.5\n{app=\"b\", env=\"p\"} 0.5"},
		{`sum by (env) (count_over_time({env="p"}[20s])) / on (env) group_right sum by (app, env) (count_over_time({env="p"}[20s]))`, "{app=\"a\", env=\"p\"} 2\n{app=\"b\", env=\"p\"} 2"},
		{`sum by (env) (count_over_time({app=~"a|c"}[20s])) * on (env) group_left (app) sum by (app, env) (count_over_time({app=~"b|c"}[20s]))`, "{app=\"b\", env=\"p\"} 4\n{app=\"c\", env=\"q\"} 4"},
		{`sum by (app, env) (count_over_time({app="a"}[20s])) + ignoring (app) sum by (app, env) (count_over_time({app="b"}[20s]))`, `{env="p"} 4`},
		{`sum by (app, env) (count_over_time({app="a"}[20s])) > on (env) sum by (env) (count_over_time({app="b"}[10s]))`, `{env="p"} 2`},
		{`sum by (app) (count_over_time({env="p"}[20s])) == bool sum by (app) (count_over_time({app="a"}[20s]))`, `{app="a"} 1`},
		{`sum by (app, env) (count_over_time({env="p"}[20s])) + on (env) sum by (env) (count_over_time({env="p"}[20s]))`, `error: multiple matches for labels: many-to-one matching must be explicit (group_left/group_right): {env="p"}`},
		{`sum by (env) (count_over_time({env="p"}[20s])) + on (env) sum by (app, env) (count_over_time({env="p"}[20s]))`, `error: found duplicate series on the right hand-side of the operation for the match group {env="p"}: [{app="b", env="p"}, {app="a", env="p"}]; many-to-many matching not allowed: matching labels must be unique on one side`},
		{`label_replace(sum by (app) (count_over_time({env="p"}[20s])), "svc", "x-$1", "app", "(a).*")`, "{app=\"a\", svc=\"x-a\"} 2\n{app=\"b\"} 2"},
		{`label_replace(sum by (app) (count_over_time({app="a"}[20s])), "app", "", "app", ".*")`, `{} 2`},
		{`label_replace(sum by (app) (count_over_time({env="p"}[20s])), "app", "x", "app", ".*")`, `error: label_replace: vector cannot contain metrics with the same labelset: {app="x"}`},
	} {
		e, err := logql.Parse(c.query)
		if err != nil {
			if c.want != "error" {
				t.Errorf("%s: %v", c.query, err)
			}
			continue
		}
		got := instant(t.Context(), v, e.(logql.MetricExpr), 100*second)
		if want, cut := strings.CutSuffix(c.want, "…"); cut && strings.HasPrefix(got, want) {
			continue
		}
		if got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.query, got, c.want)
		}
	}
}

func shownMatrix(m Matrix) string {
	var out []string
	for _, s := range m {
		line := []string{s.Labels.String()}
		for _, p := range s.Points {
			line = append(line, fmt.Sprintf("%d:%s", p.Time/second, number64(p.Value)))
		}
		out = append(out, strings.Join(line, " "))
	}
	return strings.Join(out, "\n")
}

func TestRange(t *testing.T) {
	v := New(stored(), Limits{})
	for _, c := range []struct {
		query            string
		start, end, step int64
		want             string
	}{
		{`count_over_time({app="b"}[20s])`, 0, 40, 10, `{app="b", env="p"} 10:1 20:2 30:2 40:2`},
		{`count_over_time({app="b"}[20s])`, 95, 130, 10, `{app="b", env="p"} 95:2 105:2 115:1`},
		{`count_over_time({app="b"}[5s])`, 0, 40, 20, `{app="b", env="p"} 20:1 40:1`},
		{`sum(count_over_time({env=~".+"}[20s] offset 10s))`, 0, 40, 10, `{} 20:3 30:6 40:6`},
		{`max_over_time({app="b"} | logfmt | unwrap d [30s]) by (app)`, 10, 60, 10, `{app="b"} 10:10 20:10 30:10 40:9 50:8 60:7`},
		{`last_over_time({app="b"} | logfmt | unwrap d [30s]) by (app)`, 95, 135, 20, `{app="b"} 95:2 115:1`},
		{`absent_over_time({app="b"}[20s])`, 90, 140, 10, `{app="b"} 120:1 130:1 140:1`},
		{`vector(3)`, 0, 20, 10, `{} 0:3 10:3 20:3`},
		{`1 + 1`, 0, 20, 10, `{} 0:2 10:2 20:2`},
		{`topk(1, sum by (app) (sum_over_time({env="p"} | logfmt | unwrap d [10s])))`, 40, 70, 10, "{app=\"a\"} 60:6 70:7\n{app=\"b\"} 40:7 50:6"},
		{`sum by (app) (count_over_time({app="a"}[10s])) or vector(0)`, 90, 120, 10, "{} 90:0 100:0 110:0 120:0\n{app=\"a\"} 90:1 100:1"},
		{`quantile_over_time(0.5, {app="b"} | logfmt | unwrap d [30s]) by (app)`, 10, 60, 10, `{app="b"} 10:10 20:9.5 30:9 40:8 50:7 60:6`},
	} {
		m, err := v.Range(t.Context(), parse(t, c.query), Steps{c.start * second, c.end * second, c.step * second})
		if err != nil {
			t.Errorf("%s: %v", c.query, err)
			continue
		}
		if got := shownMatrix(m); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.query, got, c.want)
		}
	}
}

func TestAligned(t *testing.T) {
	if got, want := (Steps{11, 29, 10}).Aligned(), (Steps{10, 30, 10}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := (Steps{-11, 30, 10}).Aligned(), (Steps{-20, 30, 10}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
