package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/spf13/cobra"

	"github.com/coldscope/coldscope/aggregator"
	"github.com/coldscope/coldscope/cmd/internal/collectorcmd"
	"github.com/coldscope/coldscope/cmd/internal/process"
	"github.com/coldscope/coldscope/demo"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/functionhost"
	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/query"
	"github.com/coldscope/coldscope/query/client"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/terminal"
)

type demoFlags struct {
	process.Flags
	process.Config
	aggregator        aggregator.Config
	query             query.Config
	requests, clients int
	exit              bool
	output            string
	runtime           string
	samples           string
	bandwidth         int64
	latency           time.Duration
	wait              time.Duration
}

func demoCommand() *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run everything with a function host: real images, real cold starts, real logs",
		Long: `Starts a small function platform with its own image registry, deploys two
sample functions, sends them requests and shows where the slowest cold request
spent its time. Then it stays up, with the console on the HTTP port.

With --collector-socket the demo brings only the function host and uses a
Coldscope that runs already; --clickhouse then names its store.`,
		Example: `  coldscope demo
  coldscope demo --requests 200 --exit -o json --runtime process`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := loadConfig(&f.Flags, cmd.Flags())
			if err != nil {
				return err
			}
			f.Config, f.aggregator, f.query = c.Config, c.Aggregator, c.Query
			if err := f.validate(); err != nil {
				return err
			}
			return f.run(cmd)
		},
	}
	addStoreFlags(cmd.Flags(), &f.Flags)
	addQueryFlags(cmd.Flags())
	set := cmd.Flags()
	set.IntVar(&f.requests, "requests", 60, "`N` requests to send")
	set.IntVar(&f.clients, "clients", 6, "`N` requests at a time")
	set.BoolVar(&f.exit, "exit", false, "end when all is stored and checked, instead of staying up")
	set.StringVarP(&f.output, "output", "o", "text", "text or json: how to print the result")
	set.StringVar(&f.runtime, "runtime", "auto", "container runtime: docker, process, or auto for docker if its daemon answers")
	set.StringVar(&f.samples, "samples", "", "`DIR` of the sample functions' programs (default: functions/ beside this program)")
	set.Int64Var(&f.bandwidth, "registry-bandwidth", 12<<20, "`BYTES` per second of each layer's download; 0 is unlimited")
	set.DurationVar(&f.latency, "registry-latency", 15*time.Millisecond, "`TIME` that the registry takes to answer a request")
	set.String("collector-socket", "", "`PATH` of a running collector's events socket; nothing else is started then")
	set.DurationVar(&f.wait, "wait", time.Minute, "`TIME` to wait until all lines are stored")
	return cmd
}

func (f *demoFlags) validate() error {
	var errs []error
	if f.requests < 1 || f.clients < 1 {
		errs = append(errs, errors.New("--requests and --clients must be at least 1"))
	}
	if f.output != "text" && f.output != "json" {
		errs = append(errs, fmt.Errorf("--output %q: want text or json", f.output))
	}
	if f.Collector.Socket != "" && f.ClickHouse == "" {
		errs = append(errs, errors.New("--collector-socket needs --clickhouse: the store of the Coldscope that is running"))
	}
	if f.Access.File != "" || f.TLS != (wire.ServerTLS{}) {
		errs = append(errs, errors.New("the demo lets everybody in who reaches its port: it takes neither access nor tls"))
	}
	return errors.Join(errs...)
}

func (f *demoFlags) run(cmd *cobra.Command) error {
	stdout, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	progress := demo.NewProgress(stderr)
	ready := stdout
	if f.output == "json" {
		ready = stderr // stdout is for the report alone
	}
	s := setup(cmd, &f.Config, &f.Flags)
	s.Stdout = ready
	work := func(ctx context.Context, p *process.Process) error { return f.show(ctx, p, stdout, progress) }
	if f.exit {
		return process.Once(cmd.Context(), s, work)
	}
	return process.Main(cmd.Context(), s, func(ctx context.Context, p *process.Process) error {
		if err := work(ctx, p); err != nil {
			return err
		}
		p.Ready()
		_, err := fmt.Fprintf(stderr, "\n  The console is at %s — press Ctrl-C to end the demo.\n", p.URL)
		return err
	})
}

// show starts everything, sends the load, checks and prints the report.
func (f *demoFlags) show(ctx context.Context, p *process.Process, stdout io.Writer, progress *demo.Progress) error {
	began := time.Now()
	conn, host, err := f.start(ctx, p, progress)
	if err != nil {
		return err
	}
	progress.Step(fmt.Sprintf("%d requests from %d clients", f.requests, f.clients))
	written, err := demo.Run(ctx, host, demo.Load{
		Requests: f.requests, Clients: f.clients, Seed: 1,
		Progress: func(answered, cold int) {
			progress.Detail(fmt.Sprintf("%d answered, %d of them waited for a cold start", answered, cold))
		},
	})
	if err != nil {
		return err
	}
	progress.Step("every line stored")
	report := demo.Report{Requests: f.requests, Failed: written.Failed, Runtime: host.RuntimeName()}
	waiting, cancel := context.WithTimeout(ctx, f.wait)
	defer cancel()
	err = demo.Stored(waiting, conn, faas.DefaultTenant, began, written, &report, func(stored, all int) {
		progress.Detail(fmt.Sprintf("%d of %d", stored, all))
	})
	if err != nil {
		return err
	}
	progress.Done(fmt.Sprintf("%d of %d, %d with the right request", report.LinesStored, report.LinesWritten, report.LinesAttributed))
	stats, pages, err := starts(waiting, p.URL, began)
	if err != nil {
		return err
	}
	report.Starts(stats, pages)
	if err := f.print(stdout, &report, pageOf(report.Slowest, pages)); err != nil {
		return err
	}
	return report.Err()
}

// start brings up the store, the services and the function host, downstream first.
func (f *demoFlags) start(ctx context.Context, p *process.Process, progress *demo.Progress) (driver.Conn, *functionhost.Host, error) {
	progress.Step("ClickHouse engine")
	conn, err := openStore(ctx, p, &f.Config)
	if err != nil {
		return nil, nil, err
	}
	progress.Step("services")
	hostDir := filepath.Join(f.DataDir, "functionhost")
	socket := f.Collector.Socket
	if err := startQuery(ctx, p, &f.query, &f.SCF, conn); err != nil {
		return nil, nil, err
	}
	if socket == "" {
		a, err := startAggregator(ctx, p, &f.aggregator, conn)
		if err != nil {
			return nil, nil, err
		}
		f.Collector.CRI = []string{filepath.Join(hostDir, "pods")}
		c, err := collectorcmd.Start(ctx, p, f.Config, func() (process.Config, error) { return f.Config, nil }, collectorcmd.Into(a))
		if err != nil {
			return nil, nil, err
		}
		socket = c.Socket()
	}
	if err := p.Serve(ctx, f.Listen); err != nil {
		return nil, nil, err
	}
	progress.Step("function host, images of the sample functions")
	events, err := wire.NewClient("unix://" + socket)
	if err != nil {
		return nil, nil, err
	}
	host, err := functionhost.New(ctx, functionhost.Config{
		DataDir: hostDir, Events: events, Runtime: f.runtime, Region: "demo", Logger: p.Logger,
		RegistryBandwidth: f.bandwidth, RegistryLatency: f.latency, MaxStarts: f.clients,
	})
	if err != nil {
		return nil, nil, err
	}
	p.Run(ctx, "function host", host.Run)
	functions, err := host.PushSamples(ctx, f.samplesDir())
	if err != nil {
		return nil, nil, err
	}
	for _, fn := range functions {
		fn.Namespace = "demo"
		if err := host.Deploy(ctx, fn); err != nil {
			return nil, nil, err
		}
	}
	progress.Done(host.RuntimeName() + " runtime")
	return conn, host, nil
}

func (f *demoFlags) samplesDir() string {
	if f.samples != "" {
		return f.samples
	}
	self, err := os.Executable()
	if err != nil {
		return "functions"
	}
	return filepath.Join(filepath.Dir(self), "functions")
}

// starts reads what the API shows of the demo's cold starts: the figures, and
// the page of each request that demanded one. It asks until it gets an answer
// or ctx ends, since the store may be starting again.
func starts(ctx context.Context, url string, since time.Time) (*read.ColdStartStats, []*read.Page, error) {
	api, err := client.New(url, "", http.DefaultClient)
	if err != nil {
		return nil, nil, err
	}
	for {
		stats, pages, err := askStarts(ctx, api, since)
		if err == nil {
			return stats, pages, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil, err
		case <-time.After(300 * time.Millisecond):
		}
	}
}

func askStarts(ctx context.Context, api *client.Client, since time.Time) (*read.ColdStartStats, []*read.Page, error) {
	stats, err := api.ColdStarts(ctx, client.ColdStartsFilter{Namespace: "demo", Since: since.UTC().Format(time.RFC3339Nano), Limit: 1000})
	if err != nil {
		return nil, nil, err
	}
	var pages []*read.Page
	for _, s := range stats.Recent {
		if s.RequestID == "" {
			continue
		}
		page, err := api.Request(ctx, s.RequestID)
		if err != nil {
			return nil, nil, err
		}
		pages = append(pages, page)
	}
	return stats, pages, nil
}

func pageOf(slowest *demo.Slowest, pages []*read.Page) *read.Page {
	for _, page := range pages {
		if slowest != nil && page.Invocation.RequestID == slowest.RequestID {
			return page
		}
	}
	return nil
}

func (f *demoFlags) print(stdout io.Writer, report *demo.Report, slowest *read.Page) error {
	if f.output == "json" {
		return printJSON(stdout, report)
	}
	if slowest == nil {
		_, err := fmt.Fprintln(stdout, "No request was cold: the instances of an earlier demo may still have been up.")
		return err
	}
	fmt.Fprintln(stdout, "\nThe slowest of the cold requests:")
	fmt.Fprintln(stdout)
	return terminal.Request(stdout, slowest, options(stdout))
}
