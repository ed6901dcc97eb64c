package clickhousetest

import (
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

func TestDB(t *testing.T) {
	start := time.Now()
	a, _ := DB(t)
	t.Logf("first database after %s", time.Since(start))
	start = time.Now()
	b, _ := DB(t)
	t.Logf("second database after %s", time.Since(start))
	if err := a.Exec(t.Context(), "CREATE TABLE x (n UInt8) ENGINE = MergeTree ORDER BY n"); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]uint64{"a": 1, "b": 0} {
		conn := a
		if name == "b" {
			conn = b
		}
		var got uint64
		if err := conn.QueryRow(t.Context(), "SELECT count() FROM system.tables WHERE database = currentDatabase()").Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("database %s holds %d tables, want %d", name, got, want)
		}
	}
}
