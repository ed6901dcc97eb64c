package engine_test

import (
	"context"
	"testing"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/query/limit"
	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/engine"
	"github.com/coldscope/coldscope/query/logql/eval"
	"github.com/coldscope/coldscope/query/read/readtest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

func parse(t testing.TB, query string) logql.Expr {
	t.Helper()
	e, err := logql.Parse(query)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestSample(t *testing.T) {
	conn := readtest.DB(t)
	readtest.Sample(t, conn)
	e := engine.New(conn, engine.WithLimits(limit.DefaultQuery()))
	q := e.Query(readtest.Tenant, parse(t, `{function="inference"}`))
	span := eval.Span{Start: readtest.At(-100).UnixNano(), End: readtest.At(100).UnixNano()}
	err := q.Logs(t.Context(), eval.LogQuery{Span: span, Backward: true, Limit: 100}, func(e eval.LogEntry) error {
		t.Log(e.Time, e.Body, e.Stream, e.Metadata, e.Parsed)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", q.Stats())
	for _, query := range []string{
		`sum by (stream, level) (count_over_time({function="inference"}[1m]))`,
		`sum by (cold, status) (count_over_time({function="inference"}[1m]))`,
		`quantile_over_time(0.5, {stream="platform"} |= "request ended" | cold="true" | unwrap cold_wait_ms [1m]) by (function)`,
		`count_over_time({function="inference"} | pattern "<phase> took <took>" | took != "" | unwrap duration(took) [1m])`,
	} {
		x, err := logql.Parse(query)
		if err != nil {
			t.Log(err)
			continue
		}
		q := e.Query(readtest.Tenant, x)
		m, err := q.Range(context.Background(), eval.Steps{Start: readtest.At(0).UnixNano(), End: readtest.At(60).UnixNano(), Step: 15e9})
		t.Log(query, m, err)
		t.Logf("%+v", q.Stats())
	}
}
