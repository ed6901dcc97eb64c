package schema

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
)

var update = flag.Bool("update", false, "write the files in testdata")

// kinds holds what our own migrations may come to hold.
var kinds = fstest.MapFS{
	"0001_tables.sql": {Data: []byte(`CREATE TABLE IF NOT EXISTS a
(
    tenant    String,
    namespace String,
    function  String,
    ts        DateTime,
    n         UInt64,
    revision  UInt64,
    INDEX by_n n TYPE minmax GRANULARITY 1,
    PROJECTION p (SELECT _part_offset ORDER BY n)
)
ENGINE = ReplacingMergeTree(revision)
PARTITION BY toDate(ts)
ORDER BY (tenant, namespace, function, ts)
TTL ts + toIntervalDay(30)
SETTINGS non_replicated_deduplication_window = 1000, deduplicate_merge_projection_mode = 'rebuild';
CREATE TABLE IF NOT EXISTS sums (tenant String, namespace String, function String, n UInt64) ENGINE = SummingMergeTree ORDER BY (tenant, namespace, function);
CREATE MATERIALIZED VIEW IF NOT EXISTS a_sums TO sums AS
SELECT tenant, namespace, function, sum(n) AS n
FROM a GROUP BY tenant, namespace, function;
CREATE VIEW IF NOT EXISTS newest AS SELECT * FROM a FINAL;
`)},
	"0002_changes.sql": {Data: []byte(`ALTER TABLE a
    ADD COLUMN IF NOT EXISTS more String CODEC(ZSTD(1)),
    ADD INDEX IF NOT EXISTS by_more more TYPE bloom_filter GRANULARITY 1;
ALTER TABLE a MODIFY TTL ts + toIntervalDay(7);
ALTER TABLE a MODIFY SETTING non_replicated_deduplication_window = 500;
ALTER TABLE a_sums MODIFY QUERY SELECT tenant, namespace, function, sum(n) AS n FROM a WHERE revision >= 0 GROUP BY tenant, namespace, function;
CREATE TABLE IF NOT EXISTS a_new AS a ENGINE = ReplacingMergeTree(revision) ORDER BY (tenant, namespace, function, n, ts) SETTINGS deduplicate_merge_projection_mode = 'drop';
CREATE OR REPLACE VIEW newest AS SELECT tenant, more FROM a FINAL;
DROP VIEW IF EXISTS a_sums;
DROP TABLE IF EXISTS sums SYNC;
`)},
}

// copies are statements of a migration that gives a table another order.
var copies = []string{
	"IF (SELECT sorting_key = 'tenant, namespace, function, ts' FROM system.tables WHERE database = currentDatabase() AND name = 'a') THEN\nEXCHANGE TABLES a AND a_new",
	"IF (SELECT total_rows > 0 FROM system.tables WHERE database = currentDatabase() AND name = 'a_new') THEN\nINSERT INTO a SELECT * FROM a_new",
	"RENAME TABLE a_new TO a_old",
	"DROP TABLE IF EXISTS a_old",
}

// TestDistribute snapshots the cluster's form of every statement, and has the
// engine read it.
func TestDistribute(t *testing.T) {
	own, err := known()
	if err != nil {
		t.Fatal(err)
	}
	all := firstOf(t, kinds, 2)
	all[1].statements = append(all[1].statements, copies...)
	for _, replicated := range []bool{false, true} {
		for name, migrations := range map[string][]migration{"own": own, "kinds": all} {
			steps, err := distribute(migrations, "two_shards", replicated)
			if err != nil {
				t.Fatal(err)
			}
			form := map[bool]string{false: "local", true: "replicated"}[replicated]
			snapshot(t, filepath.Join("testdata", name+"."+form+".sql"), migrations, steps)
		}
	}
}

func snapshot(t *testing.T, path string, migrations []migration, steps [][]step) {
	t.Helper()
	conn, _ := clickhousetest.DB(t)
	var b strings.Builder
	for i, m := range migrations {
		fmt.Fprintf(&b, "-- %s\n", m)
		for _, s := range steps[i] {
			if s.byShard {
				b.WriteString("-- on one server of each shard\n")
			}
			if s.when != "" {
				b.WriteString("-- where " + s.when + "\n")
			}
			b.WriteString(s.sql + ";\n")
			var formatted string
			if err := conn.QueryRow(t.Context(), "SELECT formatQuery($1)", s.sql).Scan(&formatted); err != nil {
				t.Errorf("%s: %v\n%s", path, err, s.sql)
			}
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("%s (-want +got; go test ./internal/schema -update writes it):\n%s", path, diff)
	}
}

func TestDistributeRefuses(t *testing.T) {
	for statement, want := range map[string]string{
		"CREATE TABLE IF NOT EXISTS x (tenant String, namespace String) ENGINE = MergeTree ORDER BY tenant":    "no column function",
		"CREATE TABLE IF NOT EXISTS x (tenant String, namespace String, function String) ENGINE = Log":         "has engine Log",
		"CREATE TABLE IF NOT EXISTS x (tenant String, namespace String, function String) ORDER BY tenant":      "0 ENGINE clauses",
		"CREATE TABLE IF NOT EXISTS x AS y ENGINE = MergeTree ORDER BY n":                                      "y is no table",
		"CREATE TABLE IF NOT EXISTS `x` (tenant String, namespace String, function String) ENGINE = MergeTree": "none of CREATE TABLE",
		"CREATE MATERIALIZED VIEW IF NOT EXISTS v ENGINE = MergeTree ORDER BY n AS SELECT 1 AS n":              "none of CREATE TABLE",
		"CREATE MATERIALIZED VIEW IF NOT EXISTS v TO y AS SELECT 1 AS n":                                       "y is no table",
		"CREATE DICTIONARY IF NOT EXISTS d (n UInt64) PRIMARY KEY n SOURCE(NULL()) LIFETIME(0) LAYOUT(FLAT())": "none of CREATE TABLE",
		"ALTER TABLE y ADD COLUMN IF NOT EXISTS n UInt8":                                                       "y is no table",
		"DROP TABLE IF EXISTS y":       "y is no table",
		"EXCHANGE TABLES y AND z":      "y is no table",
		"RENAME TABLE y TO z":          "y is no table",
		"INSERT INTO y SELECT 1":       "y is no table",
		"SYSTEM FLUSH LOGS":            "none of CREATE TABLE",
		"OPTIMIZE TABLE y FINAL":       "none of CREATE TABLE",
		"DROP TABLE IF EXISTS y, z":    "none of CREATE TABLE",
		"RENAME TABLE y TO z, a TO b":  "none of CREATE TABLE",
		"CREATE TEMPORARY TABLE x (n)": "none of CREATE TABLE",
	} {
		_, err := distribute([]migration{{version: 1, name: "x", statements: []string{statement}}}, "c", true)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "0001_x: statement 1") {
			t.Errorf("%s: %v, want an error with %q", statement, err, want)
		}
	}
}
