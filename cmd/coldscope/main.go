// Command coldscope is everything in one binary: the services (serve,
// aggregator, query, collector), the demo, and the command line.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coldscope/coldscope/internal/clickhouse/embedded"
	instance "github.com/coldscope/coldscope/internal/functionhost/process"
	"github.com/coldscope/coldscope/query/terminal"
)

// version is set by the linker.
var version = "dev"

func main() {
	// The engine and the demo's instances are this binary, run again.
	embedded.RunChildIfAsked()
	instance.RunChildIfAsked()
	cmd := root(os.Stdout, os.Stderr)
	cmd, err := cmd.ExecuteContextC(context.Background())
	code := exitCode(err)
	if err != nil && !errors.Is(err, errShown) {
		hint := ""
		if code == exitUsage {
			hint = " (see " + cmd.CommandPath() + " --help)"
		}
		fmt.Fprintln(os.Stderr, "coldscope:", terminal.CleanLines(err.Error())+hint)
	}
	os.Exit(code)
}

// The groups that the commands are listed in.
const (
	groupLook   = "look"
	groupRun    = "run"
	groupManage = "manage"
)

func root(stdout, stderr io.Writer) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "coldscope",
		Short: "See every request of a container-image function, and where its cold start went",
		Long: `Coldscope watches container-image functions from outside the container: it
merges their lines and their platform's events per request ID, and shows each
cold start phase by phase.

` + strings.TrimSpace(exitCodes),
		Example: `  coldscope demo                         try it on this machine
  coldscope serve                        run it in one process
  coldscope logs shop/webapp -f          follow a function's lines
  coldscope logs --level error --since 1h
  coldscope request ID                   where one request's time went
  coldscope coldstarts --since 7d        where cold starts' time goes
  coldscope query '{function="webapp"} |= "timeout"'`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	cmd.SetUsageTemplate(strings.ReplaceAll(cmd.UsageTemplate(), "{{if .Runnable}}", "{{if and .Runnable (not .HasAvailableSubCommands)}}"))
	cmd.AddGroup(
		&cobra.Group{ID: groupLook, Title: "Look:"},
		&cobra.Group{ID: groupRun, Title: "Run:"},
		&cobra.Group{ID: groupManage, Title: "Manage:"},
	)
	cmd.AddCommand(
		logsCommand(), functionsCommand(), requestCommand(), coldstartsCommand(), contextCommand(),
	)
	for _, c := range []*cobra.Command{serveCommand(), aggregatorCommand(), queryCommand(), collectorCommand(), demoCommand()} {
		c.GroupID = groupRun
		cmd.AddCommand(c)
	}
	for _, c := range []*cobra.Command{deleteCommand(), migrateCommand(), engineCommand(), tokenCommand(), versionCommand()} {
		c.GroupID = groupManage
		cmd.AddCommand(c)
	}
	cmd.SetHelpCommandGroupID(groupManage)
	cmd.SetCompletionCommandGroupID(groupManage)
	markErrors(cmd)
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
