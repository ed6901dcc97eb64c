package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"syscall"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/pflag"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/coldscope/coldscope/aggregator"
	"github.com/coldscope/coldscope/cmd/internal/process"
	"github.com/coldscope/coldscope/internal/access"
	"github.com/coldscope/coldscope/internal/conf"
	"github.com/coldscope/coldscope/query"
)

func addAggregatorFlags(set *pflag.FlagSet) {
	set.String("otlp-grpc", aggregator.DefaultOTLPGRPC, "`HOST:PORT` of OTLP over gRPC; \"\" for none, port 0 picks a free one")
}

// config is the whole of the configuration file.
type config struct {
	process.Config
	Aggregator aggregator.Config
	Query      query.Config
}

// loadConfig reads the file and lays the flags over it.
func loadConfig(f *process.Flags, set *pflag.FlagSet) (config, error) {
	all, err := f.Load(set)
	if err != nil {
		return config{}, err
	}
	c := config{all, aggregator.DefaultConfig(), query.DefaultConfig()}
	if all.ClickHouse != "" { // others may write to a server, too
		c.Aggregator = aggregator.Shared()
	}
	c.Aggregator.Retention = all.Retention
	if err := conf.LoadSection(f.Config, "aggregator", &c.Aggregator); err != nil {
		return config{}, err
	}
	if err := conf.LoadSection(f.Config, "query", &c.Query); err != nil {
		return config{}, err
	}
	if flag := set.Lookup("otlp-grpc"); flag == nil {
		c.Aggregator.OTLPGRPC = "" // the command has no such port
	} else if flag.Changed {
		c.Aggregator.OTLPGRPC = flag.Value.String()
	}
	return c, conf.Locate(f.Config, errors.Join(c.Aggregator.Validate(), c.Query.Validate()))
}

// garbagePercent is how much garbage there may be for what is in use. What an
// aggregator holds is bounded, and large: lines on their way, and those that may
// have to be corrected. Go's own 100 would be a sixth more memory for a twentieth
// of its processor time.
const garbagePercent = 75

// memoryLimit is where garbage is collected sooner, in bytes: three times what c
// lets an aggregator hold, for copies, columns and garbage, and what the process
// is without load. It is far above what full intake takes, since close to a limit
// little else is done than to collect: it is met where more senders than can be
// served push at once.
func memoryLimit(c *aggregator.Config) int64 { return 3*(int64(c.Correlate.Memory)+c.Pending) + 64<<20 }

func startAggregator(ctx context.Context, p *process.Process, c *aggregator.Config, conn driver.Conn) (*aggregator.Aggregator, error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit(c))
	}
	a := aggregator.New(*c, conn, p.Logger, p.Registry, p.Tracing)
	p.Run(ctx, "aggregator", a.Run)
	a.Register(p.Mux)
	return a, serveOTLP(ctx, p, a, c.OTLPGRPC)
}

// serveOTLP opens the port of OTLP over gRPC. If it is the default one, and
// another program was there first, there is none.
func serveOTLP(ctx context.Context, p *process.Process, a *aggregator.Aggregator, address string) error {
	if address == "" {
		return nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) && address == aggregator.DefaultOTLPGRPC {
		p.Logger.WarnContext(ctx, "another program has the default port of OTLP over gRPC; name another one with --otlp-grpc", "address", address)
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the port of OTLP over gRPC: %w (choose another one with --otlp-grpc)", err)
	}
	p.Logger.InfoContext(ctx, "OTLP over gRPC is served", "address", listener.Addr().String())
	options := []grpc.ServerOption{grpc.UnaryInterceptor(p.Guard.Interceptor(access.Push))}
	if p.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(p.TLS)))
	}
	p.Run(ctx, "otlp", func(ctx context.Context) error { return a.ServeOTLP(ctx, listener, options...) })
	return nil
}
