// Package collectorcmd is the collector's command, the same in the binary
// with everything and in the one for hosts.
package collectorcmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/coldscope/coldscope/cmd/internal/process"
	"github.com/coldscope/coldscope/collector/ship"
	"github.com/coldscope/coldscope/internal/wire"
)

// New makes the command with the given name.
func New(use, version string) *cobra.Command {
	var f process.Flags
	var cri, docker []string
	var profile, keep bool
	cmd := &cobra.Command{
		Use:   use,
		Short: "Run the collector of one host: tails containers' logs, takes events, ships both",
		Long: `Tails the logs of this host's containers and takes platform events on its Unix
socket, and ships both to the aggregator. What is not acknowledged is kept and
sent again: the containers' own files are the buffer.

SIGHUP reads the configuration again. One that is wrong changes nothing.

Of the capabilities it was started with it keeps those that it has a use for.`,
		Example: "  " + use + " --target http://aggregator.example:9480\n  " + use + " status",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			load := func() (process.Config, error) {
				c, err := f.Load(cmd.Flags())
				if err != nil {
					return c, err
				}
				if c.Target == "" && len(c.Targets) == 0 {
					return c, errors.New("where to? name the aggregator with --target http://HOST:PORT")
				}
				if len(cri) > 0 {
					c.Collector.CRI = cri
				}
				if len(docker) > 0 {
					c.Collector.Docker = docker
				}
				return c, nil
			}
			c, err := load()
			if err != nil {
				return err
			}
			return process.Main(cmd.Context(), process.Setup{
				Service: "collector", Version: version, DataDir: c.DataDir, Verbose: f.Verbose, Access: c.Access, TLS: c.TLS,
				Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(),
			}, func(ctx context.Context, p *process.Process) error {
				enterHost(ctx, p, &c)
				if !keep {
					p.DropPrivileges(ctx, needed(&c))
				}
				running, err := Start(ctx, p, c, load, clients)
				if errors.Is(err, fs.ErrPermission) && !keep {
					return fmt.Errorf("%w (root's rights over others' files are dropped: give this user the directory, or start with --keep-capabilities)", err)
				}
				if err != nil {
					return err
				}
				p.Mux.Handle("/", running.Handler())
				if profile {
					p.Profile()
				}
				if err := p.Serve(ctx, c.Listen); err != nil {
					return err
				}
				p.Ready()
				return nil
			})
		},
	}
	f.Add(cmd.Flags())
	cmd.Flags().String("target", "", "`URL` of the aggregator")
	cmd.Flags().String("socket", "", "`PATH` of the Unix socket that takes events (default DATA-DIR/collector/events.sock)")
	cmd.Flags().String("host", "", "`NAME` of this host in all that is shipped; it must stay the same (default its host name)")
	cmd.Flags().StringArrayVar(&cri, "cri-root", nil, "`DIR` of CRI logs in kubelet's layout; may be given more than once (default /var/log/pods)")
	cmd.Flags().StringArrayVar(&docker, "docker-root", nil, "`DIR` of Docker's containers; may be given more than once (default /var/lib/docker/containers)")
	cmd.Flags().BoolVar(&profile, "pprof", false, "serve Go's profiles at /debug/pprof/ of the HTTP port")
	cmd.Flags().BoolVar(&keep, "keep-capabilities", false, "keep all capabilities, also those that are not needed")
	cmd.AddCommand(statusCommand())
	return cmd
}

// clients makes the clients of the configuration's targets.
func clients(c *process.Config) ([]ship.Target, func(), error) {
	options := c.Targets
	if len(options) == 0 {
		options = []wire.Options{{Target: c.Target}}
	}
	var made []*wire.Client
	done := func() {
		for _, client := range made {
			client.Close()
		}
	}
	var targets []ship.Target
	for _, o := range options {
		client, err := wire.NewClientWith(o)
		if err != nil {
			done()
			return nil, nil, err
		}
		made = append(made, client)
		targets = append(targets, ship.Target{Name: o.Name(), Sink: client})
	}
	return targets, done, nil
}

// Into gives the one sink of this process as the only target.
func Into(sink ship.Sink) Targets {
	return func(*process.Config) ([]ship.Target, func(), error) {
		return []ship.Target{{Name: "local", Sink: sink}}, func() {}, nil
	}
}

// dataDir puts the collector's directory into DATA-DIR unless the
// configuration says otherwise.
func dataDir(c *process.Config) {
	if c.Collector.DataDir == "" {
		c.Collector.DataDir = filepath.Join(c.DataDir, "collector")
	}
}
