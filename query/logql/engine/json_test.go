package engine_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/query/limit"
	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/engine"
	"github.com/coldscope/coldscope/query/logql/eval"
	"github.com/coldscope/coldscope/query/logql/plan"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// odd are lines of JSON, and nearly of it, that parsers may see otherwise. Each
// is in a function of its own, among lines that all agree about.
var odd = []string{
	`{"n":1,"user":"a"}`, `{"n":1.50,"user":"a"}`, `{"n":"7","user":"b"}`, `{"n":"1s"}`, `{"n":true}`, `{"n":null,"user":null}`, `{"n":[1],"user":{"n":2}}`, `{"n":-0}`, `{"n":1e3}`,
	`{"n":1e999}`, `{"n":12345678901234567890123}`, `{"n":1,"n":2}`, `{"n":null,"n":2}`, `{"user":"a\u0062"}`, `{"user":"\ud800"}`, `{"us\u0065r":"x"}`, `{" user ":"x"}`, `{"user ":"x","n":3}`,
	"{\"\u00a0n\":4}", `{"n":1}}`, `{"n":1`, `{"n":1} x`, ` {"n":5} `, `[{"n":1}]`, `"n"`, `5`, ``, `{}`, `{"n":01}`, `{"n":+1}`, `{"n":.5}`, `{"n":NaN}`, `{"user":"tab	in it"}`, `{"a":{"user":"z","n":9}}`,
	`{"level":"error","n":3}`, `{"level":"","n":3}`, `{"function":"other","n":3}`, `{"version":"v9","n":3}`, `{"user":1,"n":2}`, `{"user":1.5,"n":2}`, `{"user":false,"n":2}`, `{"user":"n","n":2}`, `{"a":"x\":1","n":2}`,
	`{"User":"b","N":1}`, `{"user":"","n":1}`, `{"n":9223372036854775808}`, `{"n":-9223372036854775809}`, `{"user":"a/b\/c"}`, `{'n':1}`, `{"n":1,}`, `{"__error__":"x","n":1}`, `{"n":"","user":"Ü"}`,
}

// TestJSON holds what SQL makes of JSON against the parser.
func TestJSON(t *testing.T) {
	conn := readtest.DB(t)
	var lines []schema.LogRow
	for i, body := range odd {
		for k, b := range []string{`{"n":10,"user":"a","level":"warn"}`, body, `{"n":20.25,"user":"b"}`, body, `{"text":"nothing \"else\"\n"}`} {
			line := schema.LogRow{
				Line: &faas.Line{
					Ref:  faas.Ref{Tenant: readtest.Tenant, Namespace: "n", Function: fmt.Sprint("f", i), Version: []string{"", "v1"}[i%2], Instance: "i"},
					Time: readtest.T0.Add(time.Duration(k*7) * time.Second), Stream: faas.Stdout, Body: b, FileID: uint64(i), Offset: uint64(k), Severity: faas.Severity(i % 20),
				},
				Attribution: faas.AttributionNone, Revision: 1,
			}
			if i%5 == 4 {
				line.Attributes = []faas.Attribute{{Key: "user", Value: "own"}}
			}
			lines = append(lines, line)
		}
	}
	readtest.Insert(t, conn, schema.Logs, lines...)
	e := engine.New(conn, engine.WithLimits(limit.DefaultQuery()))
	all := everything(t, e)
	planned, pushed := 0, 0
	rapid.Check(t, func(r *rapid.T) {
		selector := fmt.Sprintf(`{function="f%d"}`, rapid.IntRange(0, len(odd)-1).Draw(r, "odd"))
		if rapid.IntRange(0, 9).Draw(r, "all") == 0 {
			selector = `{namespace="n"}`
		}
		list := []string{"| json " + pick(r, "error", `| __error__=""`, `| __error__=""`, "| drop __error__, __error_details__", "")}
		for range rapid.IntRange(0, 2).Draw(r, "filters") {
			name := pick(r, "label", "user", "user", "level", "n", "function", "version", "a")
			list = append(list, "| "+name+pick(r, "op", `="a"`, `!="a"`, `=~"a|b"`, `!~"[ab]"`, `=""`, `!=""`, `="error"`, `="10"`, `="v1"`))
		}
		stages := strings.Join(list, " ")
		names := make([]string, rapid.IntRange(0, 2).Draw(r, "groups"))
		for i := range names {
			names[i] = pick(r, "group", "user", "level", "function", "version", "stream", "n", "a")
		}
		by := "(" + strings.Join(names, ", ") + ")"
		query := "sum by " + by + " (count_over_time(" + selector + stages + " [20s]))"
		if rapid.Bool().Draw(r, "unwrap") {
			op := pick(r, "op", "avg_over_time(", "max_over_time(", "min_over_time(", "quantile_over_time(0.5, ", "stddev_over_time(")
			query = op + selector + stages + " | unwrap n " + pick(r, "after", "", `| __error__=""`) + " [20s]) by " + by
		}
		expr, err := logql.Parse(query)
		if err != nil {
			r.Fatal(err)
		}
		steps := eval.Steps{Start: readtest.T0.UnixNano(), End: readtest.T0.Add(time.Minute).UnixNano(), Step: 10e9}
		q := e.Query(readtest.Tenant, expr)
		got, err := q.Range(context.Background(), steps)
		want, err2 := eval.New(&inMemory{lines: all}, eval.Limits{}).Range(context.Background(), expr.(logql.MetricExpr), steps)
		if (err == nil) != (err2 == nil) {
			r.Fatalf("%s: %v, and without SQL %v", query, err, err2)
		}
		if diff := cmp.Diff(printed(want), printed(got), cmp.Comparer(near)); err == nil && diff != "" {
			r.Fatalf("%s (-without +with SQL):\n%s", query, diff)
		}
		if _, ok := plan.ForRange(expr.(logql.MetricExpr), readtest.Tenant, plan.Steps(steps)); ok {
			if planned++; q.Stats().Lines == 0 {
				pushed++
			}
		}
	})
	t.Logf("%d of %d queries were answered by SQL alone", pushed, planned)
	if pushed == 0 || pushed == planned {
		t.Error("one of the ways was never gone")
	}
}
