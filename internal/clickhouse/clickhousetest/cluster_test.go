package clickhousetest

import (
	"testing"

	"github.com/coldscope/coldscope/internal/clickhouse"
)

func TestCluster(t *testing.T) {
	s := Cluster(t)
	c, err := clickhouse.OpenCluster(t.Context(), s.DSN, TwoShards)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if len(c.Shards) != 2 || len(c.Shards[0].Servers) != 1 || c.Shards[0].Servers[0].Addr == c.Shards[1].Servers[0].Addr {
		t.Fatalf("shards: %+v", c.Shards)
	}
	for i, shard := range c.Shards {
		if err := shard.Servers[0].Exec(t.Context(), "CREATE TABLE x_local (n UInt64) ENGINE = MergeTree ORDER BY n"); err != nil {
			t.Fatal(err)
		}
		if err := s.Conns[i].Exec(t.Context(), "CREATE TABLE x AS x_local ENGINE = Distributed('two_shards', currentDatabase(), x_local, cityHash64(n))"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Exec(t.Context(), "INSERT INTO x SELECT number FROM numbers(100)"); err != nil {
		t.Fatal(err)
	}
	for i, conn := range s.Conns {
		var here, all uint64
		if err := conn.QueryRow(t.Context(), "SELECT (SELECT count() FROM x_local), (SELECT count() FROM x)").Scan(&here, &all); err != nil {
			t.Fatal(err)
		}
		if here == 0 || here == 100 || all != 100 {
			t.Errorf("engine %d holds %d rows and shows %d", i, here, all)
		}
	}
}
