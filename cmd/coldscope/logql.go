package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/query/client"
	"github.com/coldscope/coldscope/query/terminal"
)

// askFlags are those of a LogQL query.
type askFlags struct {
	lookFlags
	span    spanFlags
	step    time.Duration
	limit   int
	instant bool
	ids     bool
	follow  bool
}

func (f *askFlags) declare() *pflag.FlagSet {
	set := pflag.NewFlagSet("query", pflag.ContinueOnError)
	f.lookFlags.declare(set, "text", "json", "logfmt", "raw")
	f.span.declare(set, "1h")
	set.DurationVar(&f.step, "step", 0, "`TIME` between the values of a metric (default so that they fit the screen)")
	set.IntVarP(&f.limit, "limit", "n", 500, "at most the newest `N` lines")
	set.BoolVar(&f.instant, "instant", false, "a metric's value at the end of the range, instead of values over it")
	set.BoolVarP(&f.follow, "follow", "f", false, "go on with new lines as they come")
	set.BoolVar(&f.ids, "ids", false, "show each line's request, for coldscope request ID")
	return set
}

const queryLong = `With a LogQL query, asks a running Coldscope: lines are printed in order of time,
metrics as a graph, as small graphs, or as a table of values (--instant).
-f goes on with new lines. -o json prints one JSON object a line: of each line,
or of each series.

Without one, runs the query service: the API and the console.`

// queryCommand is two things under one name: the service, which is what a
// deployment starts, and a query to a running one.
func queryCommand() *cobra.Command {
	cmd := queryService()
	service := pflag.NewFlagSet("service", pflag.ContinueOnError)
	cmd.Flags().VisitAll(service.AddFlag)
	serve := cmd.RunE
	var f askFlags
	ask := f.declare()
	cmd.Flags().AddFlagSet(ask)
	f.complete(cmd)

	cmd.Use = "query [LOGQL]"
	cmd.Short = "Ask with LogQL; without a query, run the query service alone: the API and the console"
	cmd.Long = queryLong
	cmd.Example = `  coldscope query '{function="webapp"} |= "timeout" | json | status >= 500'
  coldscope query 'sum by (function) (rate({namespace="shop"}[5m]))' --since 6h
  coldscope query 'topk(5, sum by (function) (count_over_time({level="error"}[24h])))' --instant
  coldscope query --clickhouse clickhouse://ch.example:9000/coldscope`
	cmd.Args = cobra.MaximumNArgs(1)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		other, what := ask, "needs a LogQL query"
		if len(args) > 0 {
			other, what = service, "is for the query service, and there is a LogQL query"
		}
		if name := firstChanged(other); name != "" {
			return usage("--%s %s", name, what)
		}
		if len(args) == 0 {
			return serve(cmd, args)
		}
		return f.run(cmd, args[0])
	}
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		use := fmt.Sprintf("%s LOGQL [flags]\n  %s [flags of the service]", cmd.CommandPath(), cmd.CommandPath())
		return printUsage(cmd, use, flagGroup{"Flags of a query", own(ask, f.common)}, flagGroup{"Flags of where to ask, and how to show it", f.common}, flagGroup{"Flags of the service", service})
	})
	return cmd
}

// firstChanged is a flag of set that the command line names.
func firstChanged(set *pflag.FlagSet) (name string) {
	set.VisitAll(func(flag *pflag.Flag) {
		if flag.Changed && name == "" {
			name = flag.Name
		}
	})
	return name
}

func (f *askFlags) run(cmd *cobra.Command, logql string) error {
	c, err := f.client()
	if err != nil {
		return err
	}
	start, end, err := f.span.times(&f.lookFlags)
	if err != nil {
		return err
	}
	if f.follow {
		if f.instant || f.span.until != "" {
			return usage("--follow goes with neither --instant nor --until")
		}
		return f.goOn(cmd, c, logql, start)
	}
	var result *client.Result
	if f.instant {
		result, err = c.Query(cmd.Context(), logql, end, f.limit)
	} else {
		step := f.step
		if step == 0 {
			step = niceStep(end.Sub(start))
		}
		result, err = c.QueryRange(cmd.Context(), client.RangeQuery{Query: logql, Start: start, End: end, Step: step, Limit: f.limit})
	}
	if err != nil {
		return err
	}
	for _, warning := range result.Warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "coldscope: warning:", terminal.Clean(warning))
	}
	if err := f.show(cmd, func(_ context.Context, w io.Writer, o terminal.Options) error { return f.print(w, o, result) }); err != nil {
		return err
	}
	if len(result.Streams)+len(result.Series) == 0 {
		return nothing("the query gives nothing")
	}
	return nil
}

// niceStep makes a graph of about a hundred values, a round time apart.
func niceStep(span time.Duration) time.Duration {
	for _, step := range []time.Duration{
		time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute,
		10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	} {
		if span/step <= 120 {
			return step
		}
	}
	return 24 * time.Hour
}

func (f *askFlags) print(w io.Writer, o terminal.Options, result *client.Result) error {
	if result.Type == client.Streams {
		return f.printStreams(w, o, result.Streams)
	}
	switch {
	case f.output == "json":
		for i := range result.Series {
			if err := printSeries(w, &result.Series[i]); err != nil {
				return err
			}
		}
		return nil
	case f.output == "logfmt":
		return eachPoint(result.Series, func(s *client.Series, p client.Point) error {
			pairs := []terminal.Pair{{Key: "ts", Value: f.stamp(p.Time)}}
			for _, k := range slices.Sorted(maps.Keys(s.Labels)) {
				pairs = append(pairs, terminal.Pair{Key: k, Value: s.Labels[k]})
			}
			return terminal.Logfmt(w, append(pairs, terminal.Pair{Key: "value", Value: value(p)})...)
		})
	case f.output == "raw":
		return eachPoint(result.Series, func(_ *client.Series, p client.Point) error {
			_, err := fmt.Fprintln(w, value(p))
			return err
		})
	case result.Type == client.Matrix:
		return terminal.Matrix(w, result.Series, o)
	default:
		return terminal.Vector(w, result.Series, o)
	}
}

func eachPoint(series []client.Series, do func(*client.Series, client.Point) error) error {
	for i := range series {
		for _, p := range series[i].Points {
			if err := do(&series[i], p); err != nil {
				return err
			}
		}
	}
	return nil
}

func value(p client.Point) string { return strconv.FormatFloat(p.Value, 'g', -1, 64) }

// printSeries prints a series as one JSON object. Values are strings, as in
// Loki's API: JSON has no NaN.
func printSeries(w io.Writer, s *client.Series) error {
	type point struct {
		Time  time.Time `json:"ts"`
		Value string    `json:"value"`
	}
	out := struct {
		Labels map[string]string `json:"labels"`
		Values []point           `json:"values"`
	}{Labels: s.Labels, Values: make([]point, 0, len(s.Points))}
	if out.Labels == nil {
		out.Labels = map[string]string{}
	}
	for _, p := range s.Points {
		out.Values = append(out.Values, point{p.Time.UTC(), value(p)})
	}
	return terminal.JSON(w, out, "")
}

// printStreams prints the lines of all streams in order of time.
func (f *askFlags) printStreams(w io.Writer, o terminal.Options, streams []client.Stream) error {
	p := f.printer(w, o, f.ids, false)
	for _, l := range client.InOrder(streams) {
		if err := printLabelled(p, l.Labels, &l.Entry); err != nil {
			return err
		}
	}
	return nil
}

// printLabelled prints a line in the words of the line log. A stream without a
// function is told apart by all its labels.
func printLabelled(p *printer, labels map[string]string, e *client.Entry) error {
	get := func(keys ...string) string {
		for _, k := range keys {
			if v := labels[k]; v != "" {
				return v
			}
		}
		return ""
	}
	source := sourceName(labels["namespace"], labels["function"])
	if source == "" {
		source = terminal.Selector(labels)
	}
	return p.print(&terminal.LogLine{
		Time: e.Time, Source: source, Instance: labels["instance"], RequestID: labels["request_id"],
		Level: get("level", "detected_level", "severity"), Stream: faas.Stream(labels["stream"]), Body: e.Line,
	}, func() any {
		return struct {
			Time   time.Time         `json:"ts"`
			Labels map[string]string `json:"labels"`
			Line   string            `json:"line"`
		}{e.Time.UTC(), labels, e.Line}
	})
}

// goOn follows a query, until it is interrupted.
func (f *askFlags) goOn(cmd *cobra.Command, c *client.Client, logql string, start time.Time) error {
	return f.following(cmd, func(ctx context.Context, w, notes io.Writer) error {
		p := f.printer(w, f.options(w), f.ids, false)
		return c.Follow(ctx, logql, start, f.limit, func(e client.Followed) error {
			if e.Entry != nil {
				return printLabelled(p, e.Labels, e.Entry)
			}
			noteConnection(notes, e.Lost, e.Again)
			return nil
		})
	})
}

func sourceName(namespace, function string) string {
	if namespace == "" || function == "" {
		return function
	}
	return namespace + "/" + function
}
