package schema

import (
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/faas"
)

// TestColumns holds the declared columns against the migrated tables: none is
// missing, none is unknown, they stand in the same order and are of the same
// types. What the store makes of others is none of them.
func TestColumns(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	if err := Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	sameColumns(t, conn, &Logs)
	sameColumns(t, conn, &Invocations)
	sameColumns(t, conn, &ColdStarts)
	sameColumns(t, conn, &Phases)
	sameColumns(t, conn, &Layers)
	sameColumns(t, conn, &Ledgers)
	sameColumns(t, conn, &Gaps)
	sameColumns(t, conn, &Marks)
	sameColumns(t, conn, &InstanceMarks)
}

func sameColumns[T any](t *testing.T, conn driver.Conn, table *Table[T]) {
	t.Helper()
	var stored []struct {
		Name string `ch:"name"`
		Type string `ch:"type"`
	}
	err := conn.Select(t.Context(), &stored,
		"SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = $1 AND default_kind != 'ALIAS' ORDER BY position", table.Name)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for i, c := range stored {
		names = append(names, c.Name)
		if i < len(table.columns) && !table.columns[i].holds(c.Type) {
			t.Errorf("%s.%s is of type %s, declared to be %s", table.Name, c.Name, c.Type, table.columns[i].kind)
		}
	}
	if diff := cmp.Diff(names, table.Columns()); diff != "" {
		t.Errorf("%s (-stored +declared):\n%s", table.Name, diff)
	}
}

// TestOtherTable: rows are not written into a table of another form.
func TestOtherTable(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	if err := Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	for change, want := range map[string]string{
		"ALTER TABLE gaps MODIFY COLUMN reason String": "gaps.reason: the column is of type String, want LowCardinality(String)",
		"ALTER TABLE gaps DROP COLUMN reason":          "reason",
	} {
		if err := conn.Exec(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		err := Gaps.Insert(t.Context(), conn, []GapRow{{Tenant: "t", Reason: "full"}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("after %s: %v, want %q", change, err, want)
		}
	}
}

// TestUnknownWord: a value that a column cannot hold is refused before it is sent.
func TestUnknownWord(t *testing.T) {
	_, err := Logs.Encode([]LogRow{{Line: &faas.Line{Stream: "stdlog"}, Attribution: faas.AttributionNone}})
	if err == nil || !strings.Contains(err.Error(), `logs.stream: "stdlog" is none of`) {
		t.Error(err)
	}
}
