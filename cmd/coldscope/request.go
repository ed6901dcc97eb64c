package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/coldscope/coldscope/query/client"
	"github.com/coldscope/coldscope/query/terminal"
)

func requestCommand() *cobra.Command {
	var f lookFlags
	cmd := &cobra.Command{
		Use:     "request ID",
		GroupID: groupLook,
		Short:   "Show one request: its cold start as a waterfall, its lines, and what would have been faster",
		Example: `  coldscope request 7b1fd3a2-6d0e-4c53-9a51-2f9f0f3c6a10
  coldscope request 7b1fd3a2-6d0e-4c53-9a51-2f9f0f3c6a10 -o json | jq .cold_start.phases`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			page, err := c.Request(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if f.output == "json" {
				return f.showJSON(cmd, page)
			}
			return f.show(cmd, func(_ context.Context, w io.Writer, o terminal.Options) error { return terminal.Request(w, page, o) })
		},
	}
	f.add(cmd, "table", "json")
	cmd.ValidArgsFunction = f.completeRequests
	return cmd
}

func coldstartsCommand() *cobra.Command {
	var f lookFlags
	var filter client.ColdStartsFilter
	var span spanFlags
	cmd := &cobra.Command{
		Use:     "coldstarts [FUNCTION]",
		GroupID: groupLook,
		Short:   "Show where cold starts spend their time, phase by phase",
		Example: `  coldscope coldstarts
  coldscope coldstarts shop/webapp --since 6h
  coldscope coldstarts webapp --since 7d -o json | jq '.phases[] | {phase, p95_ms}'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			if len(args) > 0 {
				filter.Namespace, filter.Function = functionName(filter.Namespace, args[0])
			}
			filter.Since, filter.Until = span.resolve(&f)
			stats, err := c.ColdStarts(cmd.Context(), filter)
			if err != nil {
				return err
			}
			if f.output == "json" {
				err = f.showJSON(cmd, stats)
			} else {
				err = f.show(cmd, func(_ context.Context, w io.Writer, o terminal.Options) error {
					return terminal.ColdStarts(w, stats, o)
				})
			}
			if err == nil && stats.Count+stats.Unfinished == 0 {
				err = errShown
			}
			return err
		},
	}
	f.add(cmd, "table", "json")
	span.declare(cmd.Flags(), "24h")
	cmd.Flags().StringVar(&filter.Namespace, "namespace", "", "only functions of this namespace")
	cmd.Flags().StringVar(&filter.Version, "function-version", "", "only this version of the function")
	cmd.ValidArgsFunction = f.completeFunctions
	return cmd
}

func functionsCommand() *cobra.Command {
	var f lookFlags
	var span spanFlags
	cmd := &cobra.Command{
		Use:     "functions",
		GroupID: groupLook,
		Short:   "List the functions that were invoked: requests, cold ones, errors, times",
		Example: `  coldscope functions
  coldscope functions --since 7d -o json | jq -r '.functions[] | select(.errors > 0) | .function'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			var filter client.FunctionsFilter
			filter.Since, filter.Until = span.resolve(&f)
			list, err := c.Functions(cmd.Context(), filter)
			if err != nil {
				return err
			}
			if f.output == "json" {
				err = f.showJSON(cmd, list)
			} else {
				err = f.show(cmd, func(_ context.Context, w io.Writer, o terminal.Options) error { return terminal.Functions(w, list, o) })
			}
			if err == nil && len(list.Functions) == 0 {
				err = errShown
			}
			return err
		},
	}
	f.add(cmd, "table", "json")
	span.declare(cmd.Flags(), "24h")
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	return cmd
}
