package collectorcmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/coldscope/coldscope/cmd/internal/process"
	"github.com/coldscope/coldscope/collector"
)

// statusCommand shows what a running collector is doing.
func statusCommand() *cobra.Command {
	var url, output string
	var all bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show every file of this host's running collector, with its lag",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return fmt.Errorf("--output %q: want table or json", output)
			}
			raw, err := ask(cmd.Context(), url)
			if err != nil {
				return err
			}
			if output == "json" {
				_, err := cmd.OutOrStdout().Write(raw)
				return err
			}
			var s collector.Status
			if err := json.Unmarshal(raw, &s); err != nil {
				return fmt.Errorf("read the collector's answer: %w", err)
			}
			return printStatus(cmd.OutOrStdout(), &s, all)
		},
	}
	cmd.Flags().StringVar(&url, "url", "http://"+process.DefaultListen, "`URL` of the collector's HTTP port, or unix:///PATH of its socket")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "table or json")
	cmd.Flags().BoolVarP(&all, "all", "a", false, "also files that are read and acknowledged to their end")
	return cmd
}

// ask gets the status' JSON.
func ask(ctx context.Context, url string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client, base := http.DefaultClient, strings.TrimSuffix(url, "/")
	if path, ok := strings.CutPrefix(url, "unix://"); ok {
		base = "http://collector"
		client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}}}
		defer client.CloseIdleConnections()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+collector.PathStatus, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the collector: %w", err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the collector: %w (is one running? name it with --url)", err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("ask the collector: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask the collector: HTTP %d: %s", resp.StatusCode, strings.TrimSpace(string(raw)))
	}
	return raw, nil
}

func printStatus(w io.Writer, s *collector.Status, all bool) error {
	var lag, read int64
	shown := s.Files[:0:0]
	for _, f := range s.Files {
		lag += f.Lag
		read += f.Read
		if all || f.Lag > 0 {
			shown = append(shown, f)
		}
	}
	fmt.Fprintf(w, "host %s · %d files, %s read, %s not acknowledged · in memory %s · journal %s",
		clean(s.Host), len(s.Files), bytes(read), bytes(lag), bytes(s.Unacknowledged), bytes(s.JournalBytes))
	if s.LastAcknowledged != nil {
		fmt.Fprintf(w, " · last acknowledged %s ago", ago(time.Since(*s.LastAcknowledged)))
	}
	fmt.Fprintln(w)
	if len(shown) == 0 {
		_, err := fmt.Fprintln(w, "Every file is read and acknowledged to its end (--all shows them).")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "LAG\tBEHIND\tREAD\tSIZE\t\tFUNCTION\tINSTANCE\tFILE\t")
	for _, f := range shown {
		behind := "-"
		if f.Lag > 0 {
			behind = ago(time.Duration(f.LagSeconds * float64(time.Second)))
		}
		state := ""
		if f.Deleted {
			state = "deleted"
		}
		name := f.Function
		if f.Namespace != "" {
			name = f.Namespace + "/" + f.Function
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", bytes(f.Lag), behind, bytes(f.Read), bytes(f.Size), state,
			clean(name), clean(shorten(f.Instance)), clean(f.Path))
	}
	return t.Flush()
}

// shorten cuts a container's ID as runtimes' commands do, and no other name.
func shorten(instance string) string {
	const id, short = 64, 12
	if len(instance) == id && strings.Trim(instance, "0123456789abcdef") == "" {
		return instance[:short]
	}
	return instance
}

// clean keeps what others chose as names from steering the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

func bytes(n int64) string {
	units := []string{"B", "kB", "MB", "GB", "TB"}
	v, i := float64(n), 0
	for ; v >= 1000 && i < len(units)-1; i++ {
		v /= 1000
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

func ago(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
