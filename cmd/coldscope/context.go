package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coldscope/coldscope/cmd/internal/contexts"
	"github.com/coldscope/coldscope/query/terminal"
)

func contextCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "context",
		GroupID: groupLook,
		Short:   "Keep how to reach each Coldscope: URL, tenant, token",
		Long: `A context names a Coldscope and says how to reach it. One of them is current, and
used by the commands that ask. They are in contexts.yaml below
$XDG_CONFIG_HOME/coldscope (else ~/.config/coldscope), for its owner alone.

Flags win over the environment (COLDSCOPE_CONTEXT, COLDSCOPE_URL,
COLDSCOPE_TENANT, COLDSCOPE_TOKEN, COLDSCOPE_TOKEN_FILE, COLDSCOPE_CA_FILE), and
that wins over the current context; --context NAME wins over the environment. A
URL that is not the current context's gets neither its token nor its tenant.`,
		Example: `  coldscope context set prod --url https://coldscope.example --tenant acme --token-command 'pass show coldscope'
  coldscope context set lab --url http://127.0.0.1:9480
  coldscope context use prod
  coldscope logs --context lab webapp`,
	}
	cmd.AddCommand(contextListCommand(), contextShowCommand(), contextUseCommand(), contextSetCommand(), contextRemoveCommand())
	return cmd
}

func contextListCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the contexts", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return usage("--output %q: want table or json", output)
			}
			file, err := loadContexts()
			if err != nil {
				return err
			}
			if output == "json" {
				err = printJSON(cmd.OutOrStdout(), append([]contexts.Context{}, file.Contexts...))
			} else {
				rows := [][]string{{"", "NAME", "URL", "TENANT", "TOKEN"}}
				for i := range file.Contexts {
					c, mark := &file.Contexts[i], ""
					if c.Name == file.Current {
						mark = "*"
					}
					rows = append(rows, []string{mark, c.Name, c.URL, orDash(c.Tenant), tokenSource(c)})
				}
				err = terminal.Table(cmd.OutOrStdout(), rows, options(cmd.OutOrStdout()))
			}
			if err == nil && len(file.Contexts) == 0 {
				err = errShown
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "table", "output `FORMAT`: table, json")
	return cmd
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// tokenSource says where the token is from, and not what it is.
func tokenSource(c *contexts.Context) string {
	switch {
	case c.Token != "":
		return "kept here"
	case c.TokenFile != "":
		return "file " + c.TokenFile
	case c.TokenCommand != "":
		return "command " + c.TokenCommand
	}
	return "-"
}

func contextShowCommand() *cobra.Command {
	var f lookFlags
	cmd := &cobra.Command{
		Use:   "show [NAME]",
		Short: "Show whom commands ask, and what says so; of a context if one is named",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if len(args) > 0 {
				f.Context = args[0]
			}
			t, err := f.target()
			if err != nil {
				return err
			}
			if f.output == "json" {
				return printJSON(cmd.OutOrStdout(), t)
			}
			token := tokenSource(&t.Context)
			if t.Token != "" {
				token = "set"
			}
			rows := [][]string{
				{"SETTING", "VALUE", "FROM"},
				{"url", t.URL, t.From["url"]},
				{"tenant", orDash(t.Tenant), t.From["tenant"]},
				{"token", token, t.From["token"]},
				{"ca file", orDash(t.CAFile), t.From["ca_file"]},
			}
			return terminal.Table(cmd.OutOrStdout(), rows, options(cmd.OutOrStdout()))
		},
		ValidArgsFunction: onlyFirst(completeContexts),
	}
	f.add(cmd, "table", "json")
	return cmd
}

// onlyFirst completes the first argument alone.
func onlyFirst(f cobra.CompletionFunc) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, noFiles
		}
		return f(cmd, args, begun)
	}
}

// change loads the contexts, changes them and saves them.
func change(by func(*contexts.File) error) error {
	path, err := contexts.Path()
	if err != nil {
		return err
	}
	file, err := contexts.Load(path)
	if err != nil {
		return err
	}
	if err := by(file); err != nil {
		return err
	}
	return file.Save()
}

func contextUseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Make a context the current one", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return change(func(f *contexts.File) error { return f.Use(args[0]) })
		},
		ValidArgsFunction: onlyFirst(completeContexts),
	}
}

func contextRemoveCommand() *cobra.Command {
	return &cobra.Command{
		Use: "remove NAME", Aliases: []string{"rm"}, Short: "Forget a context", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			return change(func(f *contexts.File) error { return f.Remove(args[0]) })
		},
		ValidArgsFunction: onlyFirst(completeContexts),
	}
}

func contextSetCommand() *cobra.Command {
	var given contexts.Context
	var use, stdin bool
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Add a context, or change what the flags name of one",
		Long: `Adds a context, or changes what the flags name of one. The first context becomes
the current one.

A token is best left where it is safe: --token-file and --token-command say where
it comes from each time. --token-stdin reads it once and keeps it in the file.`,
		Example: `  coldscope context set prod --url https://coldscope.example --token-command 'pass show coldscope' --use
  coldscope context set prod --tenant other
  coldscope token new --name me --tenant '*' --scope read -o json | jq -r .token | coldscope context set lab --url http://127.0.0.1:9480 --token-stdin`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if stdin {
				token, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
				if err != nil && !errors.Is(err, io.EOF) {
					return fmt.Errorf("read the token: %w", err)
				}
				if given.Token = strings.TrimSpace(token); given.Token == "" {
					return usage("--token-stdin: there is no token on the standard input")
				}
			}
			return change(func(file *contexts.File) error {
				c := contexts.Context{Name: args[0]}
				if old := file.Get(args[0]); old != nil {
					c = *old
				}
				changed := cmd.Flags().Changed
				if changed("url") {
					c.URL = given.URL
				}
				if changed("tenant") {
					c.Tenant = given.Tenant
				}
				if changed("ca-file") {
					c.CAFile = given.CAFile
				}
				if changed("token-file") || changed("token-command") || stdin {
					c.Token, c.TokenFile, c.TokenCommand = given.Token, given.TokenFile, given.TokenCommand
				}
				if err := file.Set(c); err != nil {
					return usageError{err}
				}
				if use {
					return file.Use(c.Name)
				}
				return nil
			})
		},
		ValidArgsFunction: onlyFirst(completeContexts),
	}
	cmd.Flags().StringVar(&given.URL, "url", "", "`URL` of Coldscope")
	cmd.Flags().StringVar(&given.Tenant, "tenant", "", "whose data")
	cmd.Flags().StringVar(&given.TokenFile, "token-file", "", "`FILE` that holds the token")
	cmd.Flags().StringVar(&given.TokenCommand, "token-command", "", "`COMMAND` for the shell that prints the token")
	cmd.Flags().BoolVar(&stdin, "token-stdin", false, "keep the token that comes on the standard input")
	cmd.Flags().StringVar(&given.CAFile, "ca-file", "", "`FILE` of the authorities that may have signed an https URL's certificate")
	cmd.Flags().BoolVar(&use, "use", false, "make it the current one")
	cmd.MarkFlagsMutuallyExclusive("token-file", "token-command", "token-stdin")
	return cmd
}
