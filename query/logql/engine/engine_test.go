package engine_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

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

// TestSlices reads all lines of a long time, and few of them, in both directions.
func TestSlices(t *testing.T) {
	conn := readtest.DB(t)
	// A line each 100 s for nearly twelve days, some of the same moment.
	if err := conn.Exec(t.Context(), `INSERT INTO logs (tenant, namespace, function, instance, ts, stream, attribution, packed, file_id, offset, revision)
		SELECT 'default', 'n', 'f', 'i', fromUnixTimestamp64Nano(1777896000000000000 + toInt64(intDiv(number, 3)) * 300000000000, 'UTC'), 'stdout', 'none', toString(number), 1, number, 1 FROM numbers(10000)`); err != nil {
		t.Fatal(err)
	}
	e := engine.New(conn, engine.WithLimits(limit.DefaultQuery()))
	span := eval.Span{Start: 1777896000000000000, End: 1777896000000000000 + int64(20*24*time.Hour)}
	for _, c := range []struct {
		query       string
		backward    bool
		limit, want int
		first, last string
		rows        uint64 // read at most, 0 for any
	}{
		{`{function="f"}`, false, 0, 10000, "0", "9999", 0},
		{`{function="f"}`, true, 0, 10000, "9999", "0", 0},
		{`{function="f"}`, false, 10, 10, "0", "9", 9000},
		{`{function="f"}`, true, 3000, 3000, "9999", "7000", 0},
		{`{function="f"} | line_format "{{__line__}}" |= "7"`, true, 5, 5, "9997", "9977", 0},
		{`{function="f"} | line_format "{{__line__}}" |~ "^77$"`, true, 5, 1, "77", "77", 0},
		{`{function="f"} |= "nothing"`, true, 5, 0, "", "", 0},
		{`{function="g"}`, true, 5, 0, "", "", 0},
	} {
		q := e.Query("default", parse(t, c.query))
		var bodies []string
		err := q.Logs(t.Context(), eval.LogQuery{Span: span, Backward: c.backward, Limit: c.limit}, func(e eval.LogEntry) error {
			bodies = append(bodies, e.Body)
			return nil
		})
		if err != nil || len(bodies) != c.want {
			t.Errorf("%s: %d lines, %v", c.query, len(bodies), err)
			continue
		}
		if c.want > 0 && (bodies[0] != c.first || bodies[c.want-1] != c.last) {
			t.Errorf("%s: from %s to %s", c.query, bodies[0], bodies[c.want-1])
		}
		if s := q.Stats(); c.rows > 0 && s.Rows > c.rows || s.Queries == 0 {
			t.Errorf("%s: %+v", c.query, s)
		}
	}
}

// TestLimits ends what goes beyond them, and says so.
func TestLimits(t *testing.T) {
	conn := readtest.DB(t)
	readtest.Sample(t, conn)
	limits := engine.WithLimits(limit.DefaultQuery())
	limits.MaxLines = 10
	steps := eval.Steps{Start: readtest.At(0).UnixNano(), End: readtest.At(60).UnixNano(), Step: 60e9}
	_, err := engine.New(conn, limits).Query("default", parse(t, `avg(count_over_time({function="inference"}[5m]))`)).Range(t.Context(), steps)
	if late, ok := errors.AsType[*engine.LinesError](err); !ok || late.Limit != 10 || !strings.Contains(err.Error(), "shorter time range") {
		t.Error(err)
	}
	limits.MaxTime = time.Nanosecond
	_, err = engine.New(conn, limits).Query("default", parse(t, `sum(count_over_time({function="inference"}[5m]))`)).Range(t.Context(), steps)
	if _, ok := errors.AsType[*engine.TimeError](err); !ok {
		t.Error(err)
	}
	e := engine.New(conn, engine.WithLimits(limit.DefaultQuery()))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Query("default", parse(t, `sum(count_over_time({function="inference"}[5m]))`)).Range(gone, steps); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// A reader that has enough ends the reading.
	enough := errors.New("enough")
	err = e.Query("default", parse(t, `{function="inference"}`)).Logs(t.Context(), eval.LogQuery{Span: eval.Span{Start: steps.Start, End: steps.End}}, func(eval.LogEntry) error { return enough })
	if !errors.Is(err, enough) {
		t.Error(err)
	}
	if _, err := e.Query("default", parse(t, `{function="inference"}`)).Instant(t.Context(), 0); err == nil {
		t.Error("lines were evaluated")
	}
	if err := e.Query("default", parse(t, `vector(1)`)).Logs(t.Context(), eval.LogQuery{}, nil); err == nil {
		t.Error("numbers were read")
	}
}
