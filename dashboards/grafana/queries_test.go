package grafana

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

// demand is when the first of the fixture's starts was demanded.
var demand = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func insert[T any](t *testing.T, conn driver.Conn, table *schema.Table[T], rows ...T) {
	t.Helper()
	if err := table.Insert(t.Context(), conn, rows); err != nil {
		t.Fatal(err)
	}
}

// fill writes ten starts of shop/cart, a minute apart, each twice as facts
// that fold, and one of another tenant that must not be seen. Start i takes
// 4+i seconds: queue 1 s, pull 1+i s, unpack from the middle of the pull until
// half a second after it, half a second of nothing, init 1 s.
func fill(t *testing.T, conn driver.Conn) {
	for i := range 10 {
		writeStart(t, conn, "default", i)
	}
	writeStart(t, conn, "someone-else", 60)
	var warm []schema.InvocationRow
	for i := range 30 {
		warm = append(warm, schema.InvocationRow{
			Tenant: "default", Namespace: "shop", Function: "cart", RequestID: fmt.Sprint("warm-", i), Instance: "i-0",
			StartedAt: demand.Add(time.Duration(i) * 20 * time.Second), Cold: new(false), Status: new("ok"),
		})
	}
	insert(t, conn, &schema.Invocations, warm...)
}

func writeStart(t *testing.T, conn driver.Conn, tenant string, i int) {
	const ns, fn = "shop", "cart"
	at := demand.Add(time.Duration(i) * time.Minute)
	after := func(seconds float64) time.Time { return at.Add(time.Duration(seconds * float64(time.Second))) }
	pull := 1 + float64(i)
	instance, request := fmt.Sprint("i-", i), fmt.Sprint("r-", i)
	ready := after(4 + float64(i))

	partial := schema.ColdStartRow{
		Tenant: tenant, Namespace: ns, Function: fn, Instance: instance,
		DemandedAt: &at, RequestID: &request, Initialization: new(string(faas.OnDemand)), ImageBytes: new(int64(50e6)), Version: new("v1"),
	}
	insert(t, conn, &schema.ColdStarts, partial)
	insert(t, conn, &schema.ColdStarts, schema.ColdStartRow{Tenant: tenant, Namespace: ns, Function: fn, Instance: instance, ReadyAt: &ready, Host: new("h1")})

	var phases []schema.PhaseRow
	for _, p := range []struct {
		phase    faas.Phase
		from, to float64
	}{
		{faas.PhaseQueue, 0, 1},
		{faas.PhasePull, 1, 1 + pull},
		{faas.PhaseUnpack, 1 + pull/2, 1.5 + pull},
		{faas.PhaseInit, 2 + pull, 3 + pull},
	} {
		phases = append(phases, schema.PhaseRow{
			Tenant: tenant, Namespace: ns, Function: fn, Instance: instance, Phase: string(p.phase),
			Start: after(p.from), End: after(p.to), Version: "v1", Revision: 1,
		})
	}
	insert(t, conn, &schema.Phases, phases...)
	insert(t, conn, &schema.Phases, phases...) // sent again

	start, end := after(1), after(1+pull)
	insert(t, conn, &schema.Layers,
		schema.LayerRow{Tenant: tenant, Namespace: ns, Function: fn, Instance: instance, Digest: "sha256:a", Bytes: 20e6, Cache: "miss", DownloadStart: &start, DownloadEnd: &end, Revision: 1},
		schema.LayerRow{Tenant: tenant, Namespace: ns, Function: fn, Instance: instance, Digest: "sha256:b", Bytes: 10e6, Cache: "miss", DownloadStart: &start, DownloadEnd: &end, Revision: 1},
		schema.LayerRow{Tenant: tenant, Namespace: ns, Function: fn, Instance: instance, Digest: "sha256:c", Bytes: 20e6, Cache: "hit", Revision: 1},
	)
	insert(t, conn, &schema.Invocations, schema.InvocationRow{
		Tenant: tenant, Namespace: ns, Function: fn, RequestID: request, Instance: instance, StartedAt: ready,
		QueuedAt: &at, Cold: new(true), ColdWaitNS: new(int64(ready.Sub(at))),
	})
}

// rows runs a query as Grafana would and gives its columns' types and its rows.
func rows(t *testing.T, conn driver.Conn, sql string, vars map[string][]string) (types []driver.ColumnType, all []map[string]any) {
	t.Helper()
	text, err := Expand(sql, demand.Add(-time.Hour), demand.Add(time.Hour), vars)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := conn.Query(t.Context(), text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	defer rs.Close()
	types = rs.ColumnTypes()
	for rs.Next() {
		values := make([]any, len(types))
		for i, c := range types {
			values[i] = reflect.New(c.ScanType()).Interface()
		}
		if err := rs.Scan(values...); err != nil {
			t.Fatal(err)
		}
		row := map[string]any{}
		for i, c := range types {
			row[c.Name()] = reflect.ValueOf(values[i]).Elem().Interface()
		}
		all = append(all, row)
	}
	if err := rs.Err(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return types, all
}

func TestQueries(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	if err := schema.Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	fill(t, conn)
	queries, err := Queries()
	if err != nil {
		t.Fatal(err)
	}
	results := map[string][]map[string]any{}
	for name, vars := range map[string]map[string][]string{
		"all": {"tenant": {"default"}, "namespace": {All}, "function": {All}},
		"one": {"tenant": {"default"}, "namespace": {"shop"}, "function": {"cart", "o'ther"}},
	} {
		for _, q := range queries {
			t.Run(name+"/"+q.Name, func(t *testing.T) {
				types, all := rows(t, conn, q.SQL, vars)
				if len(all) == 0 {
					t.Fatalf("no rows from\n%s", q.SQL)
				}
				checkTypes(t, q.Format, types)
				if name == "one" {
					if diff := cmp.Diff(results[q.Name], all); results[q.Name] != nil && diff != "" {
						t.Errorf("rows differ from those of all functions:\n%s", diff)
					}
				}
				results[q.Name] = all
			})
		}
	}
	t.Run("values", func(t *testing.T) { checkValues(t, results) })
	t.Run("nothing selected", func(t *testing.T) {
		for _, q := range queries {
			if strings.HasPrefix(q.Name, "variable_") || q.Name == "starts" {
				continue
			}
			_, all := rows(t, conn, q.SQL, map[string][]string{"tenant": {"nobody"}, "namespace": {All}, "function": {"none"}})
			if len(all) != 0 {
				t.Errorf("%s: %d rows of a tenant without any", q.Name, len(all))
			}
		}
	})
}

// checkTypes holds the columns against what the data source can show: no
// nullable ones, a time first in a series and then at least one number.
func checkTypes(t *testing.T, format Format, types []driver.ColumnType) {
	t.Helper()
	for i, c := range types {
		kind := c.DatabaseTypeName()
		switch {
		case c.Nullable():
			t.Errorf("column %s is %s", c.Name(), kind)
		case format == TimeSeries && i == 0 && (c.Name() != "time" || c.ScanType() != reflect.TypeFor[time.Time]()):
			t.Errorf("the first column of a series is %s %s, not a time", c.Name(), kind)
		case format == TimeSeries && i == len(types)-1 && !slices.Contains([]reflect.Kind{reflect.Float64, reflect.Int64, reflect.Uint64}, c.ScanType().Kind()):
			t.Errorf("the last column of a series is %s %s, not a number", c.Name(), kind)
		}
	}
}

func checkValues(t *testing.T, results map[string][]map[string]any) {
	near := cmpopts.EquateApprox(0, 1e-6)
	sum := func(query, key, phase string) (total float64) {
		for _, r := range results[query] {
			if phase == "" || r["phase"] == phase {
				total += r[key].(float64)
			}
		}
		return total
	}
	// Takings of the ten starts: 4+i seconds, i from 0 to 9: 85 in all.
	for name, want := range map[string]float64{"": 85, "queue": 10, "pull": 55, "unpack": 5, "init": 10, "other": 5} {
		for _, query := range []string{"shares", "shares_over_time"} { // a step holds one start, so its mean is the start itself
			if got := sum(query, "seconds", name); math.Abs(got-want) > 1e-6 {
				t.Errorf("%s: %q takes %v s, want %v", query, name, got, want)
			}
		}
	}
	want := []map[string]any{{"starts": uint64(10), "p50": 8.5, "p90": 12.1, "p99": 12.91}}
	if diff := cmp.Diff(want, results["starts"], near); diff != "" {
		t.Errorf("starts differ (-want +got):\n%s", diff)
	}
	want = []map[string]any{{
		"namespace": "shop", "function": "cart", "requests": uint64(40), "cold_requests": uint64(10), "cold_ratio": .25, "wait_p50": 8.5, "wait_p99": 12.91,
	}}
	if diff := cmp.Diff(want, results["functions"], near); diff != "" {
		t.Errorf("functions differ (-want +got):\n%s", diff)
	}
	want = []map[string]any{{
		"demanded": demand.Add(9 * time.Minute), "namespace": "shop", "function": "cart", "version": "v1", "request_id": "r-9", "seconds": 13.0,
		"longest_phase": "pull", "longest_seconds": 10.0, "image_bytes": int64(50e6), "image": "", "digest": "", "host": "h1", "initialization": "on-demand",
	}}
	if diff := cmp.Diff(want, results["slowest"][:1], near); diff != "" {
		t.Errorf("slowest start differs (-want +got):\n%s", diff)
	}
	if got := len(results["slowest"]); got != 10 {
		t.Errorf("%d slowest starts, want 10", got)
	}
	if got := sum("pull_bandwidth", "p50", ""); math.Abs(got-30e6*harmonic(10)) > 1 {
		t.Errorf("bandwidths add up to %v, want %v", got, 30e6*harmonic(10))
	}
	if diff := cmp.Diff([]map[string]any{{"tenant": "default"}, {"tenant": "someone-else"}}, results["variable_tenants"]); diff != "" {
		t.Errorf("tenants differ (-want +got):\n%s", diff)
	}
}

// harmonic is 1 + 1/2 + … + 1/n: start i pulls for 1+i seconds.
func harmonic(n int) (h float64) {
	for i := range n {
		h += 1 / float64(i+1)
	}
	return h
}
