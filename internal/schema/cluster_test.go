package schema

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/clickhouse/clickhousetest"
)

// TestShardHash holds our hash against the engine's.
func TestShardHash(t *testing.T) {
	conn, _ := clickhousetest.DB(t)
	keys := [][3]string{{}, {"default", "", "f"}, {"", "ns", ""}, {"ünï", "\x00\xff", "a function"}}
	for n := range 200 {
		key := [3]string{"default"}
		for i := range key {
			b := make([]byte, rand.IntN(1+n))
			for at := range b {
				b[at] = byte(rand.Uint32())
			}
			key[i] = string(b)
		}
		keys = append(keys, key)
	}
	const columns = "CAST(unhex($1), 'LowCardinality(String)') AS tenant, CAST(unhex($2), 'LowCardinality(String)') AS namespace, CAST(unhex($3), 'LowCardinality(String)') AS function"
	for _, k := range keys {
		var want uint64
		hex := []any{fmt.Sprintf("%x", k[0]), fmt.Sprintf("%x", k[1]), fmt.Sprintf("%x", k[2])}
		if err := conn.QueryRow(t.Context(), "SELECT "+ShardKey+" FROM (SELECT "+columns+")", hex...).Scan(&want); err != nil {
			t.Fatal(err)
		}
		if got := ShardHash(k[0], k[1], k[2]); got != want {
			t.Fatalf("ShardHash(%q) = %d, the engine's %d", k, got, want)
		}
	}
}

// TestPrepareCluster: of any number of processes at once one makes the tables
// on both servers.
func TestPrepareCluster(t *testing.T) {
	s := clickhousetest.Cluster(t)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			c, err := PrepareCluster(t.Context(), s.DSN, Cluster{Name: clickhousetest.TwoShards})
			if err != nil {
				t.Error(err)
				return
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i, conn := range s.Conns {
		var rows uint64
		if err := conn.QueryRow(t.Context(), "SELECT count() FROM schema_migrations").Scan(&rows); err != nil {
			t.Fatal(err)
		}
		if int(rows) != Version() {
			t.Errorf("server %d has %d records, want %d: a migration ran more than once", i, rows, Version())
		}
	}
	if diff := cmp.Diff(tablesOf(t, s, 0), tablesOf(t, s, 1)); diff != "" {
		t.Errorf("tables (-first +second):\n%s", diff)
	}
}

func tablesOf(t *testing.T, s clickhousetest.Shards, i int) []string { return tables(t, s.Conns[i]) }

func prepared(t *testing.T, s clickhousetest.Shards, cluster string) *clickhouse.Cluster {
	t.Helper()
	c, err := PrepareCluster(t.Context(), s.DSN, Cluster{Name: cluster})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestAddShard: a server that is new to the cluster gets what the others have.
func TestAddShard(t *testing.T) {
	s := clickhousetest.Cluster(t)
	prepared(t, s, clickhousetest.TwoShards)
	want := tablesOf(t, s, 0)
	for _, name := range want { // the second server is replaced by an empty one
		if err := s.Conns[1].Exec(t.Context(), "DROP TABLE "+name+" SYNC"); err != nil {
			t.Fatal(err)
		}
	}
	c := prepared(t, s, clickhousetest.TwoShards)
	if diff := cmp.Diff(want, tablesOf(t, s, 1)); diff != "" {
		t.Errorf("tables (-first +second):\n%s", diff)
	}
	if got := len(recorded(t, s.Conns[1])); got != Version() {
		t.Errorf("%d migrations recorded", got)
	}
	for n := range 20 {
		insert := fmt.Sprintf("INSERT INTO logs (tenant, namespace, function, ts, packed) VALUES ('default', 'ns', 'f%d', now64(9), 'x')", n)
		if err := c.Exec(t.Context(), insert); err != nil {
			t.Fatal(err)
		}
		shard := c.ShardOf(ShardHash("default", "ns", fmt.Sprint("f", n)))
		var here uint64
		if err := s.Conns[shard].QueryRow(t.Context(), "SELECT count() FROM logs_local WHERE function = $1", fmt.Sprint("f", n)).Scan(&here); err != nil {
			t.Fatal(err)
		}
		if here != 1 {
			t.Errorf("function f%d is not on shard %d", n, shard)
		}
	}
}

// TestClusterKinds runs every kind of statement on both servers, twice.
func TestClusterKinds(t *testing.T) {
	s := clickhousetest.Cluster(t)
	c, err := clickhouse.OpenCluster(t.Context(), s.DSN, clickhousetest.TwoShards)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all := firstOf(t, kinds, 2)
	if err := migrateCluster(t.Context(), s.DSN, c, "", all[:1]); err != nil {
		t.Fatal(err)
	}
	if err := c.Exec(t.Context(), "INSERT INTO a (tenant, namespace, function, ts, n) SELECT 't', 'n', toString(number), now(), number FROM numbers(50)"); err != nil {
		t.Fatal(err)
	}
	var n uint64
	if err := c.QueryRow(t.Context(), "SELECT sum(n) FROM sums").Scan(&n); err != nil || n != 50*49/2 {
		t.Errorf("the materialized views summed up %d, %v", n, err)
	}
	all[1].statements = append(all[1].statements, copies...)
	if err := migrateCluster(t.Context(), s.DSN, c, "off", all); err != nil {
		t.Fatal(err)
	}
	if err := c.QueryRow(t.Context(), "SELECT count() FROM (SELECT tenant, more FROM a) WHERE more = ''").Scan(&n); err != nil || n != 50 {
		t.Errorf("%d rows after the exchange, %v", n, err)
	}
	for i := range s.Conns {
		if diff := cmp.Diff([]string{"a", "a_local", "newest", "schema_migrations"}, tablesOf(t, s, i)); diff != "" {
			t.Errorf("server %d (-want +got):\n%s", i, diff)
		}
	}
}

// TestClusterRefuses: what cannot be said with a cluster's name in it.
func TestClusterRefuses(t *testing.T) {
	s := clickhousetest.Cluster(t)
	refused := func(config Cluster, want string) {
		t.Helper()
		c, err := PrepareCluster(t.Context(), s.DSN, config)
		if err == nil {
			err = c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want an error with %q", config, err, want)
		}
	}
	refused(Cluster{Name: "nowhere"}, "knows no cluster of that name")
	refused(Cluster{Name: clickhousetest.LostShard}, "no server of shard 2 answers")
	refused(Cluster{Name: clickhousetest.LostReplica}, "shard 1 has 2 servers, and without replicated tables it can have one")
	refused(Cluster{Name: clickhousetest.TwoShards, Replicated: "on"}, "lacks the macro shard or replica")
	c := prepared(t, s, clickhousetest.TwoShards)
	refused(Cluster{Name: clickhousetest.SecondOnly}, "belongs to a store of another form (cluster two_shards, replicated: false)")
	if err := Migrate(t.Context(), c); err == nil || !strings.Contains(err.Error(), "name that cluster with --cluster") {
		t.Errorf("migrated as one server's store: %v", err)
	}
	s = clickhousetest.Cluster(t)
	refused(Cluster{Name: clickhousetest.SecondOnly}, "the DSN's server is not one of the cluster's")
	plain := clickhousetest.Cluster(t)
	if err := Migrate(t.Context(), plain.Conns[0]); err != nil {
		t.Fatal(err)
	}
	s = plain
	refused(Cluster{Name: clickhousetest.TwoShards}, "holds a store of one server")
}

func TestReplicable(t *testing.T) {
	server := func(shard int, addr string, macros ...string) *member {
		return &member{Server: clickhouse.Server{Addr: addr}, shard: shard, macros: map[string]string{"shard": macros[0], "replica": macros[1]}}
	}
	two := func(internal bool) clickhouse.Shard {
		return clickhouse.Shard{Servers: make([]clickhouse.Server, 2), InternalReplication: internal}
	}
	for name, tc := range map[string]struct {
		shards []clickhouse.Shard
		up     []*member
		want   string
	}{
		"good":         {[]clickhouse.Shard{two(true), two(true)}, []*member{server(0, "a", "1", "a"), server(0, "b", "1", "b"), server(1, "c", "2", "a")}, ""},
		"no macro":     {[]clickhouse.Shard{two(true)}, []*member{server(0, "a", "1", "")}, "lacks the macro"},
		"same replica": {[]clickhouse.Shard{two(true)}, []*member{server(0, "a", "1", "r"), server(0, "b", "1", "r")}, "servers a and b have the same macros"},
		"same shard":   {[]clickhouse.Shard{two(true), two(true)}, []*member{server(0, "a", "1", "a"), server(1, "b", "1", "b")}, "as a server of another shard has"},
		"other shard":  {[]clickhouse.Shard{two(true)}, []*member{server(0, "a", "1", "a"), server(0, "b", "2", "b")}, "have different macros shard"},
		"distributed":  {[]clickhouse.Shard{two(false)}, []*member{server(0, "a", "1", "a")}, "internal_replication"},
	} {
		err := replicable(&clickhouse.Cluster{Shards: tc.shards}, tc.up)
		if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
}
