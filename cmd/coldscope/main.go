// Command coldscope is everything in one binary: the services (serve,
// aggregator, query, collector), the demo, and the command line.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/coldscope/coldscope/internal/clickhouse/embedded"
	instance "github.com/coldscope/coldscope/internal/functionhost/process"
)

// version is set by the linker.
var version = "dev"

func main() {
	// The engine and the demo's instances are this binary, run again.
	embedded.RunChildIfAsked()
	instance.RunChildIfAsked()
	cmd := root(os.Stdout, os.Stderr)
	if err := cmd.ExecuteContext(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "coldscope:", err)
		os.Exit(1)
	}
}

func root(stdout, stderr io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "coldscope",
		Short: "See every request of a container-image function, and where its cold start went",
		Long: `Coldscope watches container-image functions from outside the container: it
merges their lines and their platform's events per request ID, and shows each
cold start phase by phase.

Try it on one machine:   coldscope demo
Run it in one process:   coldscope serve
Look at a request:       coldscope request ID`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.AddCommand(
		serveCommand(), aggregatorCommand(), queryCommand(), collectorCommand(), demoCommand(),
		requestCommand(), coldstartsCommand(), deleteCommand(),
		migrateCommand(), engineCommand(), tokenCommand(), versionCommand(),
	)
	return cmd
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version)
			return err
		},
	}
}
