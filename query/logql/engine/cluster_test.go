package engine_test

import (
	"fmt"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/query/limit"
	"github.com/coldscope/coldscope/query/logql"
	"github.com/coldscope/coldscope/query/logql/engine"
	"github.com/coldscope/coldscope/query/logql/eval"
	"github.com/coldscope/coldscope/query/logql/plan"
	"github.com/coldscope/coldscope/query/read/readtest"
)

// TestCluster: what is asked of two shards gives what one store gives.
func TestCluster(t *testing.T) {
	one, two := readtest.DB(t), readtest.Cluster(t)
	for _, conn := range []driver.Conn{one, two} {
		fillRandom(t, conn, 300)
	}
	for _, query := range []string{
		`{stream=~".+"}`,
		`{function="f", cold="true"} | json | user!="x"`,
		`sum by (function, status, cold) (count_over_time({stream=~".+"}[5m]))`,
		`sum by (level) (count_over_time({stream=~".+"}[10m]))`,
		`max_over_time({stream=~".+"} | unwrap duration_ms [5m]) by (function)`,
		`sum by (user) (count_over_time({function="g"} |= "{" | json | drop __error__, __error_details__ [5m]))`,
		`avg by (function) (rate({request_id!=""}[5m]))`,
	} {
		t.Run(query, func(t *testing.T) {
			expr := parse(t, query)
			ask := func(conn driver.Conn) (out []string) {
				q := engine.New(conn, engine.WithLimits(limit.DefaultQuery())).Query(readtest.Tenant, expr)
				if isLog(expr) {
					err := q.Logs(t.Context(), eval.LogQuery{Span: theSpan, Backward: true, Limit: 200}, func(e eval.LogEntry) error {
						out = append(out, fmt.Sprint(e.Time, e.Body, e.Stream, e.Metadata, e.Parsed))
						return nil
					})
					if err != nil {
						t.Fatal(err)
					}
					return out
				}
				m, err := q.Range(t.Context(), eval.Steps{Start: at(-600), End: at(600), Step: 600e9})
				if err != nil {
					t.Fatal(err)
				}
				for _, s := range m {
					out = append(out, fmt.Sprint(s.Labels, s.Points))
				}
				return out
			}
			want := ask(one)
			if diff := cmp.Diff(want, ask(two)); diff != "" || len(want) == 0 {
				t.Errorf("%d (-one +two):\n%s", len(want), diff)
			}
		})
	}
	catalog := func(conn driver.Conn) string {
		c := engine.New(conn, engine.WithLimits(limit.DefaultQuery())).Catalog(plan.Selection{Tenant: readtest.Tenant, Matchers: []*logql.Matcher{}, Since: theSpan.Start, Until: theSpan.End})
		values, err := c.Values(t.Context(), "status")
		if err != nil {
			t.Fatal(err)
		}
		size, err := c.Size(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		streams, err := c.Streams(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(values, size, len(streams))
	}
	if a, b := catalog(one), catalog(two); a != b {
		t.Errorf("one: %s, two: %s", a, b)
	}
}
