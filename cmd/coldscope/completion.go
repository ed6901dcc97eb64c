package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/coldscope/coldscope/query/client"
)

// Completion asks no longer than a finger waits, and for little.
const (
	completionTime  = time.Second
	completionSpan  = "7d"
	completionLimit = 50
)

const noFiles = cobra.ShellCompDirectiveNoFileComp

// complete registers what completes the common flags.
func (f *lookFlags) complete(cmd *cobra.Command) {
	fixed := func(flag string, values ...string) {
		completeFlag(cmd, flag, cobra.FixedCompletions(values, noFiles))
	}
	fixed("output", f.formats...)
	fixed("color", "auto", "always", "never")
	fixed("url")
	fixed("tenant")
	completeFlag(cmd, "context", completeContexts)
}

func completeFlag(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // there is no such flag: a broken invariant
	}
}

func completeContexts(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	file, err := loadContexts()
	if err != nil {
		return nil, noFiles
	}
	var names []cobra.Completion
	for i := range file.Contexts {
		names = append(names, cobra.CompletionWithDesc(file.Contexts[i].Name, file.Contexts[i].URL))
	}
	return names, noFiles
}

// quickly asks for what completes. A token's command does not run for it: it
// might ask its user something.
func (f *lookFlags) quickly(cmd *cobra.Command, ask func(context.Context, *client.Client) []cobra.Completion) ([]cobra.Completion, cobra.ShellCompDirective) {
	target, err := f.target()
	if err != nil || target.TokenCommand != "" {
		return nil, noFiles
	}
	c, err := clientOf(target)
	if err != nil {
		return nil, noFiles
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
	defer cancel()
	return ask(ctx, c), noFiles
}

func (f *lookFlags) completeFunctions(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	return f.quickly(cmd, func(ctx context.Context, c *client.Client) (names []cobra.Completion) {
		list, err := c.Functions(ctx, client.FunctionsFilter{Since: completionSpan})
		if err != nil {
			return nil
		}
		for i := range list.Functions {
			fn := &list.Functions[i]
			name := fn.Function
			if fn.Namespace != "" {
				name = fn.Namespace + "/" + name
			}
			names = append(names, name)
		}
		return names
	})
}

func (f *lookFlags) completeRequests(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	return f.quickly(cmd, func(ctx context.Context, c *client.Client) (ids []cobra.Completion) {
		list, err := c.Requests(ctx, client.RequestsFilter{Since: completionSpan, Limit: completionLimit})
		if err != nil {
			return nil
		}
		for i := range list.Requests {
			r := &list.Requests[i]
			ids = append(ids, cobra.CompletionWithDesc(r.RequestID, r.Function+" "+string(r.Status)))
		}
		return ids
	})
}
