package clickhousetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/coldscope/coldscope/internal/clickhouse/embedded"
)

// The clusters that both engines know. In two of them a server is one that
// nobody can reach.
const (
	TwoShards   = "two_shards"   // each engine a shard
	SecondOnly  = "second_only"  // one shard, the second engine
	LostShard   = "lost_shard"   // the second shard is away
	LostReplica = "lost_replica" // two shards, and of the first shard a replica before the engine is away
)

// Shards is a database on two engines.
type Shards struct {
	DSN   string        // of the database on the first engine
	Conns []driver.Conn // to the database on each of them
}

// pair is the test binary's two engines.
var pair struct {
	mu      sync.Mutex
	engines []*embedded.Engine
	dirs    []string
	err     error
	n       int
}

// Cluster returns a new, empty database on two engines, each a shard of the
// cluster TwoShards and with a place for older data. There is no Keeper, so nothing
// replicates. It goes with the test.
func Cluster(t testing.TB) Shards {
	t.Helper()
	pair.mu.Lock()
	defer pair.mu.Unlock()
	if !shared.ready {
		t.Fatal("add func TestMain(m *testing.M) { clickhousetest.Main(m) }")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute)
	defer cancel()
	if pair.engines == nil && pair.err == nil {
		pair.err = startPair(ctx)
	}
	if pair.err != nil {
		t.Fatalf("this test needs two engines: %v", pair.err)
	}
	pair.n++
	var s Shards
	for i, engine := range pair.engines {
		conn, dsn := database(ctx, t, engine, fmt.Sprintf("cluster_%d", pair.n))
		s.Conns = append(s.Conns, conn)
		if i == 0 {
			s.DSN = dsn
		}
	}
	return s
}

// Kill kills the process of the engine with that index. It is started again
// at once.
func (s *Shards) Kill(t testing.TB, i int) {
	t.Helper()
	pair.mu.Lock()
	defer pair.mu.Unlock()
	if pid := pair.engines[i].PID(); pid > 0 {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
}

// startPair starts two engines twice: the first time gives them the ports that
// they keep, the second tells each where the other one is.
func startPair(ctx context.Context) error {
	password := rand.Text() + rand.Text()
	start := func(dir, config string) (*embedded.Engine, error) {
		return embedded.Start(ctx, embedded.Options{
			DataDir: filepath.Join(dir, "data"), Cold: &embedded.Cold{Path: filepath.Join(dir, "cold")}, Config: config,
			Password: password, Logger: slog.New(slog.DiscardHandler),
		})
	}
	var hosts []string
	for range 2 {
		dir, err := os.MkdirTemp("", "coldscope-shard-*")
		if err != nil {
			return fmt.Errorf("make data directory: %w", err)
		}
		pair.dirs = append(pair.dirs, dir)
		engine, err := start(dir, "")
		if err != nil {
			return err
		}
		dsn, err := url.Parse(engine.DSN())
		if err := errors.Join(err, engine.Close(ctx)); err != nil {
			return err
		}
		hosts = append(hosts, dsn.Host)
	}
	for _, dir := range pair.dirs {
		engine, err := start(dir, remoteServers(password, hosts[0], hosts[1]))
		if err != nil {
			return err
		}
		pair.engines = append(pair.engines, engine)
	}
	return nil
}

func remoteServers(password, first, second string) string {
	const nobody = "127.0.0.1:1"
	var b strings.Builder
	b.WriteString("<remote_servers>")
	for name, shards := range map[string][][]string{
		TwoShards:   {{first}, {second}},
		SecondOnly:  {{second}},
		LostShard:   {{first}, {nobody}},
		LostReplica: {{nobody, first}, {second}},
	} {
		fmt.Fprintf(&b, "<%s>", name)
		for _, replicas := range shards {
			b.WriteString("<shard><internal_replication>true</internal_replication>")
			for _, addr := range replicas {
				host, port, _ := strings.Cut(addr, ":")
				fmt.Fprintf(&b, "<replica><host>%s</host><port>%s</port><user>coldscope</user><password>%s</password></replica>", host, port, password)
			}
			b.WriteString("</shard>")
		}
		fmt.Fprintf(&b, "</%s>", name)
	}
	b.WriteString("</remote_servers>")
	return b.String()
}

func stopCluster() error {
	pair.mu.Lock()
	defer pair.mu.Unlock()
	var errs []error
	for _, engine := range pair.engines {
		errs = append(errs, engine.Close(context.Background())) //nolint:forbidigo // a testing.M has no context
	}
	for _, dir := range pair.dirs {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}
