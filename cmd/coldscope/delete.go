package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/coldscope/coldscope/query/erase"
)

// eraseLooks is the time between two looks at how far a deletion is.
const eraseLooks = 500 * time.Millisecond

func deleteCommand() *cobra.Command {
	var f lookFlags
	var function string
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete",
		Short: "Delete all data of a tenant, or of one function of it, for good",
		Long: `Deletes lines, invocations, starts and all figures that were made of them, and
ends when they are gone from the store's disk. What is written meanwhile may
stay, so remove the function from its platform first; run it again to be sure.`,
		Example: "  coldscope delete --tenant acme --function shop/cart\n  coldscope delete --tenant acme --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.Tenant == "" {
				f.Tenant = os.Getenv("COLDSCOPE_TENANT") // a context's tenant is no reason to delete
			}
			if f.Tenant == "" {
				return usage("--tenant is missing: say whose data")
			}
			s := erase.Scope{Tenant: f.Tenant}
			what := "ALL data of tenant " + f.Tenant
			if function != "" {
				var ok bool
				if s.Namespace, s.Function, ok = strings.Cut(function, "/"); !ok || s.Namespace == "" || s.Function == "" {
					return usage("--function %q: want NAMESPACE/NAME", function)
				}
				what = fmt.Sprintf("all data of function %s of tenant %s", function, f.Tenant)
			}
			if !yes {
				if err := confirm(cmd.InOrStdin(), cmd.ErrOrStderr(), what, f.Tenant); err != nil {
					return err
				}
			}
			return f.erase(cmd.Context(), cmd.OutOrStdout(), s)
		},
	}
	f.add(cmd, "table", "json")
	cmd.Flags().StringVar(&function, "function", "", "only this function: `NAMESPACE/NAME`")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func confirm(in io.Reader, out io.Writer, what, tenant string) error {
	fmt.Fprintf(out, "This deletes %s, for good. Type the tenant's name to go on: ", what)
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(line) != tenant {
		return errors.New("nothing was deleted")
	}
	return nil
}

// erase asks until all is gone, and tells of each table what is left.
func (f *lookFlags) erase(ctx context.Context, out io.Writer, s erase.Scope) error {
	c, err := f.client()
	if err != nil {
		return err
	}
	for {
		p, err := c.Erase(ctx, s)
		if err != nil {
			return err
		}
		if f.output == "json" {
			err = printJSON(out, p)
		} else {
			for _, t := range p.Tables {
				fmt.Fprintf(out, "%-20s %d rows left\n", t.Table, t.Rows)
			}
			if p.Done {
				_, err = fmt.Fprintln(out, "all is gone")
			}
		}
		if err != nil || p.Done {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(eraseLooks):
		}
	}
}
