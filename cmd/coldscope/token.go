package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/coldscope/coldscope/internal/access"
)

func tokenCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make tokens for the access file"}
	cmd.AddCommand(newTokenCommand())
	return cmd
}

func newTokenCommand() *cobra.Command {
	var name, output string
	var tenants, scopes []string
	var valid time.Duration
	cmd := &cobra.Command{
		Use:   "new",
		Short: "Make a token, and the line of the access file that lets it in",
		Long: `Prints a new token, once: it is kept nowhere. The access file gets a line with
its hash, which is of no use to who reads it. A running Coldscope takes the file
over within two seconds.`,
		Example: `  coldscope token new --name collectors --tenant '*' --scope push
  coldscope token new --name grafana --tenant acme --scope read --valid 8760h`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("--output %q: want text or json", output)
			}
			if valid < 0 {
				return fmt.Errorf("--valid %s: it would have expired already", valid)
			}
			wanted := make([]access.Scope, 0, len(scopes))
			for _, s := range scopes {
				wanted = append(wanted, access.Scope(s))
			}
			var expires time.Time
			if valid > 0 {
				expires = time.Now().Add(valid)
			}
			t, err := access.NewToken(name, tenants, wanted, expires)
			if err != nil {
				return err
			}
			if output == "json" {
				return printJSON(cmd.OutOrStdout(), t)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "The token, shown this once:\n\n%s\n\nThe line for the access file, under tokens:\n\n%s\n", t.Token, t.Entry)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "`NAME` in the audit log, such as who uses it for what")
	cmd.Flags().StringSliceVar(&tenants, "tenant", nil, "`TENANT` that it may act for; several, or * for all")
	cmd.Flags().StringSliceVar(&scopes, "scope", nil, "`SCOPES` of push, read, admin")
	cmd.Flags().DurationVar(&valid, "valid", 0, "`TIME` until it expires (default never)")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	for _, flag := range []string{"name", "tenant", "scope"} {
		if err := cmd.MarkFlagRequired(flag); err != nil {
			panic(err) // there is no such flag: a broken invariant
		}
	}
	return cmd
}
