package schema

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
)

// TestColumns holds the declared columns against the migrated tables: none is
// missing, none is unknown, and they stand in the same order. What the store
// makes of others is none of them.
func TestColumns(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	if err := Migrate(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	for name, declared := range map[string][]string{
		Logs.Name: Logs.Columns(), Invocations.Name: Invocations.Columns(), ColdStarts.Name: ColdStarts.Columns(),
		Phases.Name: Phases.Columns(), Layers.Name: Layers.Columns(),
		Ledgers.Name: Ledgers.Columns(), Gaps.Name: Gaps.Columns(),
		Marks.Name: Marks.Columns(), InstanceMarks.Name: InstanceMarks.Columns(),
	} {
		var stored []struct {
			Name string `ch:"name"`
		}
		err := conn.Select(t.Context(), &stored,
			"SELECT name FROM system.columns WHERE database = currentDatabase() AND table = $1 AND default_kind != 'ALIAS' ORDER BY position", name)
		if err != nil {
			t.Fatal(err)
		}
		names := []string{}
		for _, c := range stored {
			names = append(names, c.Name)
		}
		if diff := cmp.Diff(names, declared); diff != "" {
			t.Errorf("%s (-stored +declared):\n%s", name, diff)
		}
	}
}
