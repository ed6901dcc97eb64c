package schema

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/clickhouse"
)

// tiered are the tables that are large, by the time of their rows.
var tiered = []struct{ table, time string }{{"logs", "ts"}, {"invocations", "started_at"}, {"phases", "start"}}

// Tier makes the rows of the large tables move to the volume cold when they are
// so many days old, those that are stored already, too. Each server has to have the
// storage policy coldscope with the volumes default and cold: the embedded
// engine has it by its Options.Cold, a server by its configuration. What holds
// already is not done again. A server that is away is left as it is, if another
// one of its shard is there.
func Tier(ctx context.Context, conn driver.Conn, days int) error {
	for _, shard := range shards(conn) {
		// First all of a shard have the volume that then one tells the others about.
		for _, step := range []func(context.Context, Store) error{
			allowCold, func(ctx context.Context, s Store) error { return moveAfter(ctx, s, days) },
		} {
			if err := shard.each(ctx, step); err != nil {
				return err
			}
		}
	}
	return nil
}

// each does something on each server that is not away; one has to be there.
func (s *shard) each(ctx context.Context, do func(context.Context, Store) error) error {
	var away error
	done := false
	for _, server := range s.servers {
		switch err := do(ctx, server); {
		case err == nil:
			done = true
		case clickhouse.Retryable(err):
			away = err
		default:
			return err
		}
	}
	if done {
		return nil
	}
	return away
}

// allowCold gives the tables the storage policy.
func allowCold(ctx context.Context, s Store) error {
	var volumes uint64
	const look = "SELECT count() FROM system.storage_policies WHERE policy_name = 'coldscope' AND volume_name IN ('default', 'cold')"
	if err := s.QueryRow(ctx, look).Scan(&volumes); err != nil {
		return fmt.Errorf("look for storage policy coldscope: %w", err)
	}
	if volumes != 2 {
		return fmt.Errorf("move older data: the store has no storage policy coldscope with the volumes default and cold: add it to the server's configuration (docs/store.md)")
	}
	for _, t := range tiered {
		var policy string
		const read = "SELECT storage_policy FROM system.tables WHERE database = currentDatabase() AND name = $1"
		if err := s.QueryRow(ctx, read, s.Table(t.table)).Scan(&policy); err != nil {
			return fmt.Errorf("read storage policy of %s: %w", t.table, err)
		}
		if policy == "coldscope" {
			continue
		}
		if err := s.Exec(ctx, "ALTER TABLE "+s.Table(t.table)+" MODIFY SETTING storage_policy = 'coldscope'"); err != nil {
			return fmt.Errorf("change storage policy of %s: %w", t.table, err)
		}
	}
	return nil
}

// moveAfter has the tables' rows move when they are so many days old.
func moveAfter(ctx context.Context, s Store, days int) error {
	for _, t := range tiered {
		var definition string
		const read = "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name = $1"
		if err := s.QueryRow(ctx, read, s.Table(t.table)).Scan(&definition); err != nil {
			return fmt.Errorf("read definition of %s: %w", t.table, err)
		}
		ttl := fmt.Sprintf("toDateTime(%s) + toIntervalDay(%d) TO VOLUME 'cold'", t.time, days)
		if strings.Contains(definition, ttl) {
			continue
		}
		if err := s.Exec(ctx, "ALTER TABLE "+s.Table(t.table)+" MODIFY TTL "+ttl+" SETTINGS mutations_sync = 0"); err != nil {
			return fmt.Errorf("change where %s moves: %w", t.table, err)
		}
	}
	return nil
}
