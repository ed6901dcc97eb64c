// Package collectorcmd is the collector's command, the same in the binary
// with everything and in the one for hosts.
package collectorcmd

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/coldscope/coldscope/cmd/internal/process"
	"github.com/coldscope/coldscope/collector"
	"github.com/coldscope/coldscope/collector/ship"
	"github.com/coldscope/coldscope/internal/wire"
)

// New makes the command with the given name.
func New(use, version string) *cobra.Command {
	var f process.Flags
	var cri, docker []string
	cmd := &cobra.Command{
		Use:   use,
		Short: "Run the collector of one host: tails containers' logs, takes events, ships both",
		Long: `Tails the logs of this host's containers and takes platform events on its Unix
socket, and ships both to the aggregator. What is not acknowledged is kept and
sent again: the containers' own files are the buffer.`,
		Example: "  " + use + " --target http://aggregator.example:9480",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.Load(cmd.Flags())
			if err != nil {
				return err
			}
			if c.Target == "" && len(c.Targets) == 0 {
				return errors.New("where to? name the aggregator with --target http://HOST:PORT")
			}
			if len(cri) > 0 {
				c.Collector.CRI = cri
			}
			if len(docker) > 0 {
				c.Collector.Docker = docker
			}
			return process.Main(cmd.Context(), process.Setup{
				Service: "collector", Version: version, DataDir: c.DataDir, Verbose: f.Verbose,
				Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(),
			}, func(ctx context.Context, p *process.Process) error {
				return run(ctx, p, &c)
			})
		},
	}
	f.Add(cmd.Flags())
	cmd.Flags().String("target", "", "`URL` of the aggregator")
	cmd.Flags().String("socket", "", "`PATH` of the Unix socket that takes events (default DATA-DIR/collector/events.sock)")
	cmd.Flags().StringArrayVar(&cri, "cri-root", nil, "`DIR` of CRI logs in kubelet's layout; may be given more than once (default /var/log/pods)")
	cmd.Flags().StringArrayVar(&docker, "docker-root", nil, "`DIR` of Docker's containers; may be given more than once (default /var/lib/docker/containers)")
	return cmd
}

func run(ctx context.Context, p *process.Process, c *process.Config) error {
	targets, err := connect(p, c)
	if err != nil {
		return err
	}
	made, err := Start(ctx, p, c, targets...)
	if err != nil {
		return err
	}
	p.Mux.Handle("/", made.Handler())
	if err := p.Serve(ctx, c.Listen); err != nil {
		return err
	}
	p.Ready()
	return nil
}

// connect makes the clients of all targets.
func connect(p *process.Process, c *process.Config) ([]ship.Target, error) {
	all := c.Targets
	if len(all) == 0 {
		all = []wire.Options{{Target: c.Target}}
	} else if c.Target != "" {
		return nil, errors.New("both target and targets are set; name all of them in targets")
	}
	var targets []ship.Target
	for _, o := range all {
		client, err := wire.NewClientWith(o)
		if err != nil {
			return nil, err
		}
		p.OnStop("connections", func(context.Context) error { client.Close(); return nil })
		targets = append(targets, ship.Target{Name: o.Name(), Sink: client})
	}
	return targets, nil
}

// Start starts a collector with the configuration's section, in DATA-DIR/collector
// unless that says otherwise.
func Start(ctx context.Context, p *process.Process, c *process.Config, targets ...ship.Target) (*collector.Collector, error) {
	if c.Collector.DataDir == "" {
		c.Collector.DataDir = filepath.Join(c.DataDir, "collector")
	}
	made, err := collector.New(c.Collector, collector.Deps{Targets: targets, Logger: p.Logger, Registerer: p.Registry})
	if err != nil {
		return nil, err
	}
	p.Run(ctx, "collector", made.Run)
	return made, nil
}
