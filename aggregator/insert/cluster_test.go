package insert_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coldscope/coldscope/aggregator/insert"
	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
	"github.com/coldscope/coldscope/internal/schema"
)

// opened migrates two shards and opens the cluster of the given name over them.
func opened(t testing.TB, name string) (*clickhouse.Cluster, clickhousetest.Shards) {
	t.Helper()
	s := clickhousetest.Cluster(t)
	c, err := schema.PrepareCluster(t.Context(), s.DSN, schema.Cluster{Name: clickhousetest.TwoShards})
	if err != nil {
		t.Fatal(err)
	}
	closed := func(c *clickhouse.Cluster) {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	closed(c)
	if c, err = clickhouse.OpenCluster(t.Context(), s.DSN, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closed(c) })
	return c, s
}

// spread gives n lines of each of many functions, over several days.
func spread(functions, n int) []schema.LogRow {
	var rows []schema.LogRow
	for f := range functions {
		own := logs(n, time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), 7*time.Hour)
		for i := range own {
			own[i].Function = fmt.Sprint("f", f)
		}
		rows = append(rows, own...)
	}
	return rows
}

// stored counts each shard's rows and fails if one is of another shard, is there
// twice, or its minute is not marked.
func stored(t *testing.T, c *clickhouse.Cluster, s clickhousetest.Shards) (counts []uint64) {
	t.Helper()
	for i, conn := range s.Conns {
		rows, err := conn.Query(t.Context(), "SELECT function, count(), uniqExact(ts, file_id, offset) FROM logs_local GROUP BY function")
		if err != nil {
			t.Fatal(err)
		}
		counts = append(counts, 0)
		for rows.Next() {
			var function string
			var n, unique uint64
			if err := rows.Scan(&function, &n, &unique); err != nil {
				t.Fatal(err)
			}
			if n != unique || c.ShardOf(schema.ShardHash("default", "ns", function)) != i {
				t.Errorf("shard %d holds %d rows of %s, %d different ones", i, n, function, unique)
			}
			counts[i] += n
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		var unmarked uint64
		const look = `SELECT count() FROM logs_local WHERE (tenant, namespace, function, toStartOfMinute(toDateTime(ts, 'UTC'))) NOT IN
(SELECT tenant, namespace, function, minute FROM rollup_marks_local WHERE kind = 'lines' AND dirtied > 0)`
		if err := conn.QueryRow(t.Context(), look).Scan(&unmarked); err != nil {
			t.Fatal(err)
		}
		if unmarked > 0 {
			t.Errorf("shard %d holds %d rows of minutes that are not marked", i, unmarked)
		}
	}
	return counts
}

// TestShards: each row is stored once, on the shard where the Distributed
// table would have put it, also where the first server of a shard is away.
func TestShards(t *testing.T) {
	for name, wantRetries := range map[string]bool{clickhousetest.TwoShards: false, clickhousetest.LostReplica: true} {
		t.Run(name, func(t *testing.T) {
			c, s := opened(t, name)
			var retries atomic.Int32
			w := insert.NewWriter(c, slog.New(slog.DiscardHandler), func() { retries.Add(1) })
			rows := spread(20, 10)
			if err := w.Write(t.Context(), &insert.Batch{Logs: rows, ColdStarts: []schema.ColdStartRow{{Tenant: "default", Namespace: "ns", Function: "f1", Instance: "i"}}}); err != nil {
				t.Fatal(err)
			}
			counts := stored(t, c, s)
			if counts[0]+counts[1] != uint64(len(rows)) || counts[0] == 0 || counts[1] == 0 {
				t.Errorf("rows by shard: %v", counts)
			}
			if (retries.Load() > 0) != wantRetries {
				t.Errorf("%d retries", retries.Load())
			}
		})
	}
}

// TestPack: packed lines, and those that came since, are stored once each, with
// their own days and shards; few are not packed.
func TestPack(t *testing.T) {
	c, s := opened(t, clickhousetest.TwoShards)
	w := insert.NewWriter(c, slog.New(slog.DiscardHandler), func() { t.Error("a retry") })
	rows := spread(20, 1000)
	for i := range rows { // two days of each function
		rows[i].Time = time.Date(2026, 10, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(i%1000) * time.Minute)
	}
	var b insert.Batch
	packs := 0
	for part := range slices.Chunk(rows, 3000) {
		b.Logs = append(b.Logs, part...)
		if w.Pack(&b) {
			packs++
			if len(b.Logs) > 0 {
				t.Fatalf("%d packed lines are kept", len(b.Logs))
			}
		}
	}
	if packs != 2 || len(b.Logs) != 2000 || b.Rows() != len(rows) {
		t.Errorf("packed %d times, %d lines are not, of %d", packs, len(b.Logs), b.Rows())
	}
	if err := w.Write(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	var all, different, bad uint64
	const count = "SELECT count(), uniqExact(function, offset), countIf(NOT startsWith(body, concat(toString(offset), ' '))) FROM logs"
	if err := c.QueryRow(t.Context(), count).Scan(&all, &different, &bad); err != nil {
		t.Fatal(err)
	}
	if n := uint64(len(rows)); all != n || different != n || bad > 0 {
		t.Errorf("%d lines, %d of them different, %d with another's text, want %d", all, different, bad, n)
	}
	if counts := stored(t, c, s); counts[0] == 0 || counts[1] == 0 {
		t.Errorf("rows by shard: %v", counts)
	}
}

// TestLostShard: what belongs to a shard that is away waits; nothing of it
// goes elsewhere, and the rows of the others are stored meanwhile.
func TestLostShard(t *testing.T) {
	c, s := opened(t, clickhousetest.LostShard)
	ctx, cancel := context.WithCancelCause(t.Context())
	stopping := errors.New("stopping")
	rows := spread(20, 1)
	away := 0
	for i := range rows {
		away += c.ShardOf(schema.ShardHash("default", "ns", rows[i].Function))
	}
	w := insert.NewWriter(c, slog.New(slog.DiscardHandler), func() {
		var there uint64
		if err := s.Conns[0].QueryRow(t.Context(), "SELECT count() FROM logs_local").Scan(&there); err != nil {
			t.Error(err)
		}
		if int(there) == len(rows)-away {
			cancel(stopping)
		}
	})
	if err := w.Write(ctx, &insert.Batch{Logs: rows}); !errors.Is(err, stopping) {
		t.Fatal(err)
	}
	if counts := stored(t, c, s); counts[0] != uint64(20-away) || counts[1] != 0 || away == 0 {
		t.Errorf("rows by shard: %v, %d are the lost one's", counts, away)
	}
}

// TestKilledShard: a shard dies again and again while batches are written;
// each row is there once in the end.
func TestKilledShard(t *testing.T) {
	c, s := opened(t, clickhousetest.TwoShards)
	var retries atomic.Int32
	w := insert.NewWriter(c, slog.New(slog.DiscardHandler), func() { retries.Add(1) })
	written := 0
	var killer sync.WaitGroup
	write := func(round int) {
		rows := spread(20, 5)
		for i := range rows {
			rows[i].FileID = uint64(round)
		}
		if err := w.Write(t.Context(), &insert.Batch{Logs: rows}); err != nil {
			t.Fatal(err)
		}
		written += len(rows)
	}
	const rounds = 40
	for round := 0; round < rounds && retries.Load() < 3; round++ {
		killer.Go(func() { s.Kill(t, round%2) })
		write(round)
		killer.Wait()
	}
	write(rounds) // both answer again
	counts := stored(t, c, s)
	t.Logf("%d rows after %d retries", written, retries.Load())
	if counts[0]+counts[1] != uint64(written) {
		t.Errorf("%d rows written, by shard: %v", written, counts)
	}
}

// BenchmarkWriteShards writes what BenchmarkWrite does, of many functions whose
// lines come mixed, to two shards.
func BenchmarkWriteShards(b *testing.B) {
	c, _ := opened(b, clickhousetest.TwoShards)
	w := insert.NewWriter(c, slog.New(slog.DiscardHandler), func() {})
	batch := insert.Batch{Logs: logs(50_000, time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), time.Millisecond)}
	for i := range batch.Logs {
		batch.Logs[i].Function = fmt.Sprint("f", i/20%100)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := w.Write(b.Context(), &batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(batch.Logs)*b.N)/b.Elapsed().Seconds(), "rows/s")
}
