package expire_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/aggregator/expire"
	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/schema"
	"github.com/coldscope/coldscope/internal/storage"
	"github.com/coldscope/coldscope/query/read/readtest"
)

func TestMain(m *testing.M) { clickhousetest.Main(m) }

var now = time.Date(2026, 5, 20, 12, 0, 0, 0, time.UTC)

// fill gives each table one row of each tenant that is so old. Facts of a start
// come one by one, and the last of them is not old.
func fill(t *testing.T, conn driver.Conn, age time.Duration, tenants ...string) {
	t.Helper()
	at := now.Add(-age)
	for n, tenant := range tenants {
		instance := tenant + age.String()
		readtest.Insert(t, conn, schema.Logs, schema.LogRow{
			Line: &faas.Line{
				Ref:  faas.Ref{Tenant: tenant, Instance: instance},
				Time: at, Stream: "stdout", FileID: uint64(age), Offset: uint64(n),
			},
			Attribution: "none",
		})
		readtest.Insert(t, conn, schema.Invocations, schema.InvocationRow{Tenant: tenant, StartedAt: at, RequestID: instance})
		readtest.Insert(t, conn, schema.Phases, schema.PhaseRow{Tenant: tenant, Instance: instance, Phase: "pull", Start: at, End: at})
		readtest.Insert(t, conn, schema.Layers, schema.LayerRow{Tenant: tenant, Instance: instance, Digest: "d"})
		readtest.Insert(t, conn, schema.ColdStarts, schema.ColdStartRow{Tenant: tenant, Instance: instance, DemandedAt: &at})
		readtest.Insert(t, conn, schema.ColdStarts, schema.ColdStartRow{Tenant: tenant, Instance: instance, Host: &tenant})
		readtest.Insert(t, conn, schema.Ledgers, schema.LedgerRow{Tenant: tenant, Instance: instance, FileID: "f", To: &at})
		readtest.Insert(t, conn, schema.Gaps, schema.GapRow{Tenant: tenant, Instance: instance, FileID: "f", To: at})
		for _, figures := range []string{"line_minutes", "invocation_minutes", "start_minutes"} {
			if err := conn.Exec(t.Context(), "INSERT INTO "+figures+" (tenant, minute, generation) SELECT $1, fromUnixTimestamp($2), 1", tenant, at.Unix()/60*60); err != nil {
				t.Fatal(err)
			}
		}
	}
}

var (
	rows    = []string{"logs", "invocations", "phases", "layers", "cold_starts", "ledgers", "gaps"}
	figures = []string{"line_minutes", "invocation_minutes", "start_minutes", "rollup_marks", "rollup_instances"}
)

// left lists the tenants that a table has rows of, after what is under way.
func left(t *testing.T, conn driver.Conn, table string) string {
	t.Helper()
	for _, store := range schema.Stores(conn) {
		for deadline := time.Now().Add(30 * time.Second); ; {
			var busy bool
			if err := store.QueryRow(t.Context(), "SELECT count() > 0 FROM system.mutations WHERE database = currentDatabase() AND NOT is_done").Scan(&busy); err != nil {
				t.Fatal(err)
			}
			if !busy {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("deletions take for ever")
			}
		}
	}
	var tenants []string
	if err := conn.QueryRow(t.Context(), "SELECT arraySort(groupUniqArray(toString(tenant))) FROM "+table+" WHERE tenant != ''").Scan(&tenants); err != nil {
		t.Fatal(err)
	}
	return strings.Join(tenants, " ")
}

const day = 24 * time.Hour

// Of the same age, one tenant's rows go and another's stay; figures stay longer.
func TestSweep(t *testing.T) {
	t.Run("one server", func(t *testing.T) { checkSweep(t, readtest.DB(t)) })
	t.Run("two shards", func(t *testing.T) { checkSweep(t, readtest.Cluster(t)) })
}

func checkSweep(t *testing.T, conn driver.Conn) {
	t.Helper()
	fill(t, conn, 10*day, "brief", "it's", "plain")
	fill(t, conn, time.Hour, "new")
	sweep := func(r storage.Retention) {
		t.Helper()
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		if err := expire.New(r, conn, slog.New(slog.DiscardHandler)).Sweep(t.Context(), now); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when, ofRows, ofFigures string) {
		t.Helper()
		for _, table := range rows {
			if got := left(t, conn, table); got != ofRows {
				t.Errorf("%s: %s has rows of %q, want %q", when, table, got, ofRows)
			}
		}
		for _, table := range figures {
			if got := left(t, conn, table); got != ofFigures {
				t.Errorf("%s: %s has rows of %q, want %q", when, table, got, ofFigures)
			}
		}
	}
	sweep(storage.Retention{})
	check("by default", "brief it's new plain", "brief it's new plain")
	short := storage.Retention{
		Classes: map[string]storage.Class{"short": {Days: 3}, "ever": {Days: storage.Forever}},
		Tenants: map[string]string{"brief": "short", "it's": "short", "plain": "ever"},
	}
	sweep(short)
	check("two tenants for three days", "new plain", "brief it's new plain")
	short.Classes["short"] = storage.Class{Days: 3, RollupDays: 9}
	sweep(short)
	check("and their figures for nine", "new plain", "new plain")
	// Now for all: the days go as a whole.
	sweep(storage.Retention{Days: 2, RollupDays: 4})
	for _, table := range rows {
		if got := left(t, conn, table); got != "new" {
			t.Errorf("two days for all: %s has rows of %q", table, got)
		}
	}
	if got := left(t, conn, "rollup_marks"); got != "new" {
		t.Errorf("four days of figures for all: marks of %q", got)
	}
}
