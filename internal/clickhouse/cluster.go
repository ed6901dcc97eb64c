package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"strconv"

	clickhousego "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Cluster is a ClickHouse cluster. As a driver.Conn it is a connection to the
// server that its DSN names, by whose Distributed tables the whole cluster is read.
// Who writes or migrates goes to the shards' servers.
type Cluster struct {
	driver.Conn
	Name   string
	Shards []Shard // in order of their number

	slots []int // index in Shards, as often as the shard weighs
}

// Shard is the servers that hold the same rows.
type Shard struct {
	Number  int
	Servers []Server // in order of their replica number; at least one
	// InternalReplication says that the servers replicate by themselves: a
	// Distributed table writes to one of them only.
	InternalReplication bool
}

// Server is one server of a cluster. Its connection is not tried before it is used.
type Server struct {
	driver.Conn
	Addr string // host and port, as the cluster's configuration has them
}

// OpenCluster connects to the server that dsn names and, over connections
// with the same user, database and settings, to all servers that it lists for
// the cluster in system.clusters. Their addresses must be reachable from here.
func OpenCluster(ctx context.Context, dsn, name string) (*Cluster, error) {
	opts, err := Parse(dsn)
	if err != nil {
		return nil, err
	}
	front := *opts
	front.Settings = clickhousego.Settings{
		// An INSERT into a Distributed table returns when the shards have it.
		"distributed_foreground_insert": 1,
		// What a subquery in IN or JOIN reads, it reads from all shards.
		"distributed_product_mode": "global",
	}
	maps.Copy(front.Settings, opts.Settings)
	conn, err := OpenOptions(ctx, &front)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Conn: conn, Name: name}
	if err := c.open(ctx, opts); err != nil {
		return nil, errors.Join(fmt.Errorf("open cluster %s: %w", name, err), c.Close())
	}
	return c, nil
}

// open reads who the cluster's servers are.
func (c *Cluster) open(ctx context.Context, opts *clickhousego.Options) error {
	var rows []struct {
		Shard, Weight       uint32
		Host                string
		Port                uint16
		InternalReplication bool
	}
	const list = `SELECT shard_num AS Shard, shard_weight AS Weight, host_name AS Host, port AS Port, internal_replication != 0 AS InternalReplication
FROM system.clusters WHERE cluster = $1 ORDER BY shard_num, replica_num`
	if err := c.Select(ctx, &rows, list, c.Name); err != nil {
		return fmt.Errorf("list its servers: %w", err)
	}
	if len(rows) == 0 {
		return errors.New("the server knows no cluster of that name: see SELECT cluster FROM system.clusters, and <remote_servers> in its configuration")
	}
	for _, r := range rows {
		if n := len(c.Shards); n == 0 || c.Shards[n-1].Number != int(r.Shard) {
			c.Shards = append(c.Shards, Shard{Number: int(r.Shard), InternalReplication: r.InternalReplication})
			for range r.Weight {
				c.slots = append(c.slots, n)
			}
		}
		own := *opts
		own.Addr = []string{net.JoinHostPort(r.Host, strconv.Itoa(int(r.Port)))}
		conn, err := clickhousego.Open(&own)
		if err != nil {
			return fmt.Errorf("connect to %s: %w", own.Addr[0], err)
		}
		shard := &c.Shards[len(c.Shards)-1]
		shard.Servers = append(shard.Servers, Server{conn, own.Addr[0]})
	}
	if len(c.slots) == 0 {
		return errors.New("all its shards have weight 0")
	}
	return nil
}

// ShardOf is the index in Shards of the shard on which a Distributed table
// puts a row whose sharding expression has the value key.
func (c *Cluster) ShardOf(key uint64) int { return c.slots[key%uint64(len(c.slots))] }

// Close closes all connections.
func (c *Cluster) Close() error {
	errs := []error{c.Conn.Close()}
	for _, shard := range c.Shards {
		for _, server := range shard.Servers {
			errs = append(errs, server.Close())
		}
	}
	return errors.Join(errs...)
}

// AllSlots is by what a sharding expression's value is divided; the remainder is
// a slot, and each slot is some shard's.
func (c *Cluster) AllSlots() int { return len(c.slots) }

// Slots lists the slots of the shard with index i.
func (c *Cluster) Slots(i int) []int {
	var own []int
	for slot, shard := range c.slots {
		if shard == i {
			own = append(own, slot)
		}
	}
	return own
}
