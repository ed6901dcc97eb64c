package insert

import (
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/schema"
)

// target is where rows go.
type target struct {
	shards  [][]driver.Conn // each the servers of one shard; at least one of one
	cluster *clickhouse.Cluster
}

func targetOf(conn driver.Conn) target {
	c, ok := conn.(*clickhouse.Cluster)
	if !ok {
		return target{shards: [][]driver.Conn{{conn}}}
	}
	t := target{cluster: c}
	for _, shard := range c.Shards {
		var servers []driver.Conn
		for _, server := range shard.Servers {
			servers = append(servers, server)
		}
		t.shards = append(t.shards, servers)
	}
	return t
}

func (t *target) table(name string) string {
	if t.cluster == nil {
		return name
	}
	return schema.Local(name)
}

func (t *target) shard(f function) int {
	if len(t.shards) == 1 {
		return 0
	}
	return t.cluster.ShardOf(schema.ShardHash(f.tenant, f.namespace, f.name))
}

// function is what decides over a row's shard.
type function struct{ tenant, namespace, name string }

// part is what one insert covers: a shard's rows of one day.
type part struct {
	shard int
	day   int64
}

// split puts rows, which it does not change, into their parts.
func split[T any](t *target, rows []T, place func(*T) (function, time.Time)) map[part][]T {
	counts := map[part]int{}
	runs(t, rows, place, func(p part, run []T) { counts[p] += len(run) })
	parts := make(map[part][]T, len(counts))
	runs(t, rows, place, func(p part, run []T) {
		if len(run) == len(rows) {
			parts[p] = rows
			return
		}
		if parts[p] == nil {
			parts[p] = make([]T, 0, counts[p])
		}
		parts[p] = append(parts[p], run...)
	})
	return parts
}

// runs calls each for the rows that follow one another in the same part.
func runs[T any](t *target, rows []T, place func(*T) (function, time.Time), each func(part, []T)) {
	const day = 24 * 60 * 60
	var last function // most rows are of the function of the one before
	var p part
	from := 0
	for i := range rows {
		f, at := place(&rows[i])
		next := part{p.shard, at.Unix() / day}
		if i == 0 || f != last {
			last, next.shard = f, t.shard(f)
		}
		if i > 0 && next != p {
			each(p, rows[from:i])
			from = i
		}
		p = next
	}
	if len(rows) > 0 {
		each(p, rows[from:])
	}
}
