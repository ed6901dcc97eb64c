package schema

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// tiered are the tables that are large, by the time of their rows.
var tiered = []struct{ table, time string }{{"logs", "ts"}, {"invocations", "started_at"}, {"phases", "start"}}

// Tier makes the rows of the large tables move to the volume cold when they are
// so many days old, those that are stored already, too. The store has to have the
// storage policy coldscope with the volumes default and cold: the embedded
// engine has it by its Options.Cold, a server by its configuration. What holds
// already is not done again.
func Tier(ctx context.Context, conn driver.Conn, days int) error {
	var volumes uint64
	const look = "SELECT count() FROM system.storage_policies WHERE policy_name = 'coldscope' AND volume_name IN ('default', 'cold')"
	if err := conn.QueryRow(ctx, look).Scan(&volumes); err != nil {
		return fmt.Errorf("look for storage policy coldscope: %w", err)
	}
	if volumes != 2 {
		return fmt.Errorf("move older data: the store has no storage policy coldscope with the volumes default and cold: add it to the server's configuration (docs/store.md)")
	}
	for _, t := range tiered {
		var policy, definition string
		const read = "SELECT storage_policy, create_table_query FROM system.tables WHERE database = currentDatabase() AND name = $1"
		if err := conn.QueryRow(ctx, read, t.table).Scan(&policy, &definition); err != nil {
			return fmt.Errorf("read definition of %s: %w", t.table, err)
		}
		if policy != "coldscope" {
			if err := conn.Exec(ctx, "ALTER TABLE "+t.table+" MODIFY SETTING storage_policy = 'coldscope'"); err != nil {
				return fmt.Errorf("change storage policy of %s: %w", t.table, err)
			}
		}
		ttl := fmt.Sprintf("toDateTime(%s) + toIntervalDay(%d) TO VOLUME 'cold'", t.time, days)
		if strings.Contains(definition, ttl) {
			continue
		}
		if err := conn.Exec(ctx, "ALTER TABLE "+t.table+" MODIFY TTL "+ttl+" SETTINGS mutations_sync = 0"); err != nil {
			return fmt.Errorf("change where %s moves: %w", t.table, err)
		}
	}
	return nil
}
