package schema

import (
	"fmt"
	"testing"

	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
)

// TestMove: what was written when there was one shard is, after another one
// was added, where it belongs, once; also what was written in part since.
func TestMove(t *testing.T) {
	s := clickhousetest.Cluster(t)
	c := prepared(t, s, clickhousetest.TwoShards)
	const functions, days = 20, 3
	for n := range functions {
		for table, sql := range map[string]string{
			"logs":   `INSERT INTO logs_local (tenant, namespace, function, ts, file_id, offset, packed, revision) SELECT 't', 'n', 'f%d', toDateTime64('2026-05-01 00:00:00', 9, 'UTC') + toIntervalDay(number), 1, number, 'x', 1 FROM numbers(3)`,
			"starts": `INSERT INTO cold_starts_local (tenant, namespace, function, instance, version) VALUES ('t', 'n', 'f%d', 'i', 'v1')`,
		} {
			if err := s.Conns[0].Exec(t.Context(), fmt.Sprintf(sql, n)); err != nil {
				t.Fatalf("%s: %v", table, err)
			}
		}
		since := fmt.Sprintf("INSERT INTO cold_starts (tenant, namespace, function, instance, host) VALUES ('t', 'n', 'f%d', 'i', 'h')", n)
		if err := c.Exec(t.Context(), since); err != nil {
			t.Fatal(err)
		}
	}
	for round := range 2 {
		var moved uint64
		if err := Move(t.Context(), c, func(_, _ string, _ int, rows uint64) { moved += rows }); err != nil {
			t.Fatal(err)
		}
		if (moved > 0) != (round == 0) {
			t.Errorf("round %d moved %d rows", round, moved)
		}
	}
	for i, conn := range s.Conns {
		for _, table := range []string{"logs_local", "cold_starts_local"} {
			var here []string
			if err := conn.QueryRow(t.Context(), "SELECT groupUniqArray(function) FROM "+table).Scan(&here); err != nil {
				t.Fatal(err)
			}
			for _, f := range here {
				if c.ShardOf(ShardHash("t", "n", f)) != i {
					t.Errorf("%s of %s is on shard %d", table, f, i)
				}
			}
			if len(here) == 0 || len(here) == functions {
				t.Errorf("shard %d has %d functions in %s", i, len(here), table)
			}
		}
	}
	var lines, starts, whole uint64
	const sum = "SELECT (SELECT count() FROM logs FINAL), (SELECT count() FROM cold_starts FINAL), (SELECT count() FROM cold_starts FINAL WHERE version = 'v1' AND host = 'h')"
	if err := c.QueryRow(t.Context(), sum).Scan(&lines, &starts, &whole); err != nil {
		t.Fatal(err)
	}
	if lines != functions*days || starts != functions || whole != functions {
		t.Errorf("%d lines, %d starts of which %d are whole", lines, starts, whole)
	}
}
