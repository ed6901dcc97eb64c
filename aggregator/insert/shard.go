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
	parts := map[part][]T{}
	if len(rows) == 0 {
		return parts
	}
	var before function // most rows are of the function of the one before
	shard := -1
	at := func(row *T) part {
		const day = 24 * 60 * 60
		f, at := place(row)
		if shard < 0 || f != before {
			before, shard = f, t.shard(f)
		}
		return part{shard, at.Unix() / day}
	}
	first := at(&rows[0])
	same := 1
	for same < len(rows) && at(&rows[same]) == first {
		same++
	}
	parts[first] = rows[:same:same]
	for i := same; i < len(rows); i++ {
		p := at(&rows[i])
		parts[p] = append(parts[p], rows[i])
	}
	return parts
}
