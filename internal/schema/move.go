package schema

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/coldscope/coldscope/internal/clickhouse"
)

// Move brings the rows of c's store to the shards that they belong to, after
// the number of shards was changed, and calls moved for what it has moved.
// Rows are copied, then deleted where they were; what a broken run
// has copied a later one copies again, and it folds. Nobody may write with
// the old shards in mind meanwhile: what such a writer adds between copying and
// deleting is lost.
func Move(ctx context.Context, c *clickhouse.Cluster, moved func(table, partition string, shard int, rows uint64)) error {
	for i, shard := range c.Shards {
		server, foreign := shard.Servers[0], foreign(c, i)
		var tables []string
		const list = `SELECT groupArray(name) FROM (SELECT name FROM system.tables
WHERE database = currentDatabase() AND endsWith(engine, 'MergeTree') AND endsWith(name, '_local') ORDER BY name)`
		if err := server.QueryRow(ctx, list).Scan(&tables); err != nil {
			return fmt.Errorf("list tables of %s: %w", server.Addr, err)
		}
		for _, local := range tables {
			var partitions []string
			find := fmt.Sprintf("SELECT groupArray(p) FROM (SELECT DISTINCT _partition_id AS p FROM %s WHERE %s ORDER BY p)", local, foreign)
			if err := server.QueryRow(ctx, find).Scan(&partitions); err != nil {
				return fmt.Errorf("look for rows to move from %s of %s: %w", local, server.Addr, err)
			}
			for _, p := range partitions {
				rows, err := movePartition(ctx, server, local, p, foreign)
				if err != nil {
					return fmt.Errorf("move partition %s of %s from %s: %w", p, local, server.Addr, err)
				}
				moved(strings.TrimSuffix(local, "_local"), p, shard.Number, rows)
			}
		}
	}
	return nil
}

// foreign is the condition for rows that do not belong to c's shard i.
func foreign(c *clickhouse.Cluster, i int) string {
	slots := c.Slots(i)
	if len(slots) == 0 {
		return "1"
	}
	texts := make([]string, len(slots))
	for n, slot := range slots {
		texts[n] = strconv.Itoa(slot)
	}
	return fmt.Sprintf("%s %% %d NOT IN (%s)", ShardKey, c.AllSlots(), strings.Join(texts, ", "))
}

// movePartition copies until there is nothing that was not copied, and deletes.
func movePartition(ctx context.Context, server clickhouse.Server, local, partition, foreign string) (uint64, error) {
	ctx = ch.Context(ctx, ch.WithSettings(ch.Settings{
		"distributed_foreground_insert": 1,
		"insert_deduplicate":            0, // the target may have had the same block before, and moved it away
		"mutations_sync":                2,
		"max_execution_time":            0,
	}))
	where := fmt.Sprintf("_partition_id = %s AND %s", quoteText(partition), foreign)
	count := func() (n uint64, err error) {
		err = server.QueryRow(ctx, fmt.Sprintf("SELECT count() FROM %s WHERE %s", local, where)).Scan(&n)
		return n, err
	}
	rows, err := count()
	for copied := uint64(0); err == nil && copied != rows; {
		copied = rows
		err = server.Exec(ctx, fmt.Sprintf("INSERT INTO %s SELECT * FROM %s WHERE %s", strings.TrimSuffix(local, "_local"), local, where))
		if err == nil {
			rows, err = count()
		}
	}
	if err != nil {
		return 0, err
	}
	return rows, server.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DELETE IN PARTITION ID %s WHERE %s", local, quoteText(partition), foreign))
}
