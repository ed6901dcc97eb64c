package schema

import (
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/clickhouse"
)

// Store is a server with the tables that hold rows: the only server, or one of a
// cluster's, for what is done to tables and not to what they have in common.
type Store struct {
	driver.Conn
	shard bool
}

// Stores are all servers behind conn on which a table has to be changed for all
// its rows to be. Of those that replicate each other it is the first one.
func Stores(conn driver.Conn) []Store {
	var all []Store
	for _, shard := range shards(conn) {
		if shard.replicated {
			shard.servers = shard.servers[:1]
		}
		all = append(all, shard.servers...)
	}
	return all
}

// shard is the servers behind a connection that hold the same rows.
type shard struct {
	servers    []Store
	replicated bool // by themselves
}

func shards(conn driver.Conn) []shard {
	cluster, ok := conn.(*clickhouse.Cluster)
	if !ok {
		return []shard{{servers: []Store{{Conn: conn}}}}
	}
	var all []shard
	for i := range cluster.Shards {
		s := shard{replicated: cluster.Shards[i].InternalReplication}
		for _, server := range cluster.Shards[i].Servers {
			s.servers = append(s.servers, Store{Conn: server, shard: true})
		}
		all = append(all, s)
	}
	return all
}

// Table is the name that the rows of the table name have on this server.
func (s Store) Table(name string) string {
	if s.shard {
		return Local(name)
	}
	return name
}

// Name is the table's name of which Table is that on this server.
func (s Store) Name(table string) string {
	if s.shard {
		return strings.TrimSuffix(table, Local(""))
	}
	return table
}
