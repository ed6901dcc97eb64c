package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/coldscope/coldscope/query/client"
	"github.com/coldscope/coldscope/query/read"
	"github.com/coldscope/coldscope/query/terminal"
)

// logsFlags are those of coldscope logs.
type logsFlags struct {
	lookFlags
	span       spanFlags
	filter     client.LineFilter
	level      string
	grep       string
	ignoreCase bool
	follow     bool
	limit      int
	ids        bool
}

// The defaults of how many lines are shown, and how many before those that follow.
const (
	defaultLines  = 500
	defaultBefore = 20
)

func logsCommand() *cobra.Command {
	var f logsFlags
	cmd := &cobra.Command{
		Use:     "logs [FUNCTION]",
		GroupID: groupLook,
		Short:   "Show lines of functions, and follow them",
		Long: `Shows the lines of a function (NAME or NAMESPACE/NAME), or of all, in order of
time: what containers printed, and what the platform did.

With -f it goes on with new lines as they come, and over restarts of the service:
no line is left out, and none is shown twice.

-o json prints one JSON object a line, -o raw what the function wrote and nothing
else. In a terminal, bytes that would drive it are shown as escapes.`,
		Example: `  coldscope logs shop/webapp -f
  coldscope logs webapp --since 2h --level warn --grep 'time(d )?out'
  coldscope logs --request 7b1fd3a2-6d0e-4c53-9a51-2f9f0f3c6a10 --stream stdout,stderr
  coldscope logs webapp --since 24h -n 0 -o json | jq -r 'select(.level == "error") | .request_id' | sort | uniq -c`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				f.filter.Namespace, f.filter.Function = functionName(f.filter.Namespace, args[0])
			}
			return f.run(cmd)
		},
	}
	f.add(cmd, "text", "json", "logfmt", "raw")
	set := cmd.Flags()
	f.span.declare(set, "1h")
	set.BoolVarP(&f.follow, "follow", "f", false, "go on with new lines as they come")
	set.IntVarP(&f.limit, "limit", "n", defaultLines, fmt.Sprintf("at most the newest `N` lines; 0 for all (default with -f %d)", defaultBefore))
	set.StringVar(&f.filter.Namespace, "namespace", "", "only functions of this namespace")
	set.StringVar(&f.filter.Version, "function-version", "", "only this version of the function")
	set.StringVar(&f.filter.Instance, "instance", "", "only this instance")
	set.StringVar(&f.filter.Request, "request", "", "only lines of the request with this `ID`")
	set.StringVarP(&f.grep, "grep", "g", "", "only lines that match this `PATTERN` (RE2)")
	set.BoolVarP(&f.ignoreCase, "ignore-case", "i", false, "let --grep take upper and lower case for the same")
	set.StringVarP(&f.level, "level", "l", "", "only lines of this `LEVEL` and worse: "+strings.Join(levels, ", "))
	set.StringSliceVar(&f.filter.Streams, "stream", nil, "only these `STREAMS`: stdout, stderr, platform")
	set.BoolVar(&f.ids, "ids", false, "show each line's request, for coldscope request ID")
	cmd.ValidArgsFunction = f.completeFunctions
	completeFlag(cmd, "level", cobra.FixedCompletions(levels, noFiles))
	completeFlag(cmd, "stream", cobra.FixedCompletions(streams, noFiles))
	completeFlag(cmd, "request", func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return f.completeRequests(cmd, nil, "")
	})
	return cmd
}

var (
	levels  = []string{"trace", "debug", "info", "warn", "error", "fatal"} // worse and worse
	streams = []string{"stdout", "stderr", "platform"}
)

// complete the filter from the flags, or say what is wrong with them.
func (f *logsFlags) read(cmd *cobra.Command) error {
	for _, s := range f.filter.Streams {
		if !slices.Contains(streams, s) {
			return usage("--stream %q: want %s", s, orList(streams))
		}
	}
	if f.level != "" {
		worst := slices.Index(levels, f.level)
		if worst < 0 {
			return usage("--level %q: want %s", f.level, orList(levels))
		}
		f.filter.Levels = levels[worst:]
	}
	if f.filter.Regex = f.grep; f.ignoreCase && f.grep != "" {
		f.filter.Regex = "(?i)" + f.grep
	}
	if f.limit < 0 {
		return usage("--limit %d: want 0 for all, or more", f.limit)
	}
	if f.follow {
		if f.span.until != "" {
			return usage("--until and --follow exclude each other")
		}
		if !cmd.Flags().Changed("limit") {
			f.limit = defaultBefore
			if cmd.Flags().Changed("since") {
				f.limit = 0 // all since then was asked for
			}
		}
	}
	if f.filter.Request != "" && !cmd.Flags().Changed("since") {
		f.span.since = "" // a request is found whenever it was
	}
	f.filter.Since, f.filter.Until = f.span.resolve(&f.lookFlags)
	return nil
}

func (f *logsFlags) run(cmd *cobra.Command) error {
	if err := f.read(cmd); err != nil {
		return err
	}
	c, err := f.client()
	if err != nil {
		return err
	}
	if f.follow {
		return f.goOn(cmd, c)
	}
	if f.limit > 0 {
		return f.newest(cmd, c)
	}
	n := 0
	err = f.show(cmd, func(ctx context.Context, w io.Writer, o terminal.Options) error {
		p := f.printer(w, o, f.ids, f.oneFunction())
		return c.EachLine(ctx, f.filter, func(l *read.FoundLine) error {
			n++
			return printLine(p, l)
		})
	})
	if err == nil && n == 0 {
		return f.nothing()
	}
	return err
}

// nothing is an error that says where there are no lines.
func (f *logsFlags) nothing() error {
	span := ""
	if f.span.since != "" {
		span = " since " + f.span.since
	}
	return nothing("no such lines" + span)
}

// newest shows the newest lines, the oldest of them first.
func (f *logsFlags) newest(cmd *cobra.Command, c *client.Client) error {
	lines, more, err := c.NewestLines(cmd.Context(), f.filter, f.limit)
	if err != nil {
		return err
	}
	if len(lines) == 0 {
		return f.nothing()
	}
	err = f.show(cmd, func(_ context.Context, w io.Writer, o terminal.Options) error {
		p := f.printer(w, o, f.ids, f.oneFunction())
		for i := range lines {
			if err := printLine(p, &lines[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && more && !cmd.Flags().Changed("limit") {
		fmt.Fprintf(cmd.ErrOrStderr(), "coldscope: these are the newest %d lines; -n 0 shows all\n", f.limit)
	}
	return err
}

func (f *logsFlags) oneFunction() bool { return f.filter.Function != "" && f.filter.Namespace != "" }

// goOn shows the newest lines and those that come, until it is interrupted.
func (f *logsFlags) goOn(cmd *cobra.Command, c *client.Client) error {
	before := f.limit
	if before == 0 {
		before = client.AllLines
	}
	return f.following(cmd, func(ctx context.Context, w, notes io.Writer) error {
		p := f.printer(w, f.options(w), f.ids, f.oneFunction())
		return c.Tail(ctx, f.filter, before, func(e client.TailEvent) error {
			switch {
			case e.Line != nil && !e.Line.Corrected: // else it is on the screen already
				return printLine(p, &e.Line.FoundLine)
			case e.Problem != "":
				fmt.Fprintln(notes, "coldscope:", terminal.Clean(e.Problem))
			case e.Skipped:
				fmt.Fprintf(notes, "coldscope: %d lines are left out: they come faster than they can be shown\n", *e.Lines)
			}
			noteConnection(notes, e.Lost, e.Again)
			return nil
		})
	})
}

func printLine(p *printer, l *read.FoundLine) error {
	level := l.Level
	if level == "unknown" {
		level = ""
	}
	return p.print(&terminal.LogLine{
		Time: l.Time, Source: sourceName(l.Namespace, l.Function), Instance: l.Instance, RequestID: l.RequestID,
		Level: level, Stream: l.Stream, Body: l.Body, Truncated: l.Truncated,
	}, func() any { return l })
}
