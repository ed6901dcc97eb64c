package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"

	"github.com/coldscope/coldscope/cmd/internal/process"
	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/query/client"
	"github.com/coldscope/coldscope/query/terminal"
)

// lookFlags are those of the commands that ask a running Coldscope.
type lookFlags struct {
	url, tenant, output string
	tokenFile, caFile   string
}

func (f *lookFlags) add(cmd *cobra.Command) {
	url := os.Getenv("COLDSCOPE_URL")
	if url == "" {
		url = "http://" + process.DefaultListen
	}
	cmd.Flags().StringVar(&f.url, "url", url, "`URL` of Coldscope; also COLDSCOPE_URL")
	cmd.Flags().StringVar(&f.tenant, "tenant", os.Getenv("COLDSCOPE_TENANT"), "whose data; also COLDSCOPE_TENANT")
	cmd.Flags().StringVar(&f.tokenFile, "token-file", os.Getenv("COLDSCOPE_TOKEN_FILE"), "`FILE` that holds the token; also COLDSCOPE_TOKEN_FILE, or the token itself in COLDSCOPE_TOKEN")
	cmd.Flags().StringVar(&f.caFile, "ca-file", os.Getenv("COLDSCOPE_CA_FILE"), "`FILE` of the authorities that may have signed an https URL's certificate; also COLDSCOPE_CA_FILE")
	cmd.Flags().StringVarP(&f.output, "output", "o", "table", "table or json")
}

func (f *lookFlags) client() (*client.Client, error) {
	if f.output != "table" && f.output != "json" {
		return nil, fmt.Errorf("--output %q: want table or json", f.output)
	}
	transport, err := wire.NewClientWith(wire.Options{
		Target: f.url, BearerToken: f.token(), BearerTokenFile: f.tokenFile, TLS: wire.TLSOptions{CAFile: f.caFile},
	})
	if err != nil {
		return nil, err
	}
	return client.New(f.url, f.tenant, &http.Client{Transport: transport})
}

// token is what the environment holds, unless a file is named.
func (f *lookFlags) token() string {
	if f.tokenFile != "" {
		return ""
	}
	return os.Getenv("COLDSCOPE_TOKEN")
}

func options(w io.Writer) terminal.Options {
	f, ok := w.(*os.File)
	if !ok {
		return terminal.Options{}
	}
	return terminal.Detect(f, os.Getenv)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func requestCommand() *cobra.Command {
	var f lookFlags
	cmd := &cobra.Command{
		Use:     "request ID",
		Short:   "Show one request: its cold start as a waterfall, its lines, and what would have been faster",
		Example: "  coldscope request 7b1fd3a2-6d0e-4c53-9a51-2f9f0f3c6a10\n  coldscope request 7b1fd3a2-6d0e-4c53-9a51-2f9f0f3c6a10 -o json | jq .cold_start.phases",
		Args:    cobra.ExactArgs(1),
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
				return printJSON(cmd.OutOrStdout(), page)
			}
			return terminal.Request(cmd.OutOrStdout(), page, options(cmd.OutOrStdout()))
		},
	}
	f.add(cmd)
	return cmd
}

func coldstartsCommand() *cobra.Command {
	var f lookFlags
	var filter client.ColdStartsFilter
	cmd := &cobra.Command{
		Use:     "coldstarts [FUNCTION]",
		Short:   "Show where cold starts spend their time, phase by phase",
		Example: "  coldscope coldstarts\n  coldscope coldstarts webapp --since 6h -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.client()
			if err != nil {
				return err
			}
			if len(args) > 0 {
				filter.Function = args[0]
			}
			stats, err := c.ColdStarts(cmd.Context(), filter)
			if err != nil {
				return err
			}
			if f.output == "json" {
				return printJSON(cmd.OutOrStdout(), stats)
			}
			return terminal.ColdStarts(cmd.OutOrStdout(), stats, options(cmd.OutOrStdout()))
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&filter.Since, "since", "24h", "from `WHEN`: a duration before now, or an RFC 3339 time")
	cmd.Flags().StringVar(&filter.Until, "until", "", "to `WHEN`")
	cmd.Flags().StringVar(&filter.Namespace, "namespace", "", "only functions of this namespace")
	cmd.Flags().StringVar(&filter.Version, "function-version", "", "only this version of the function")
	return cmd
}
