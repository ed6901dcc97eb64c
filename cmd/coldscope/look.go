package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"

	"github.com/coldscope/coldscope/cmd/internal/contexts"
	"github.com/coldscope/coldscope/cmd/internal/pager"
	"github.com/coldscope/coldscope/cmd/internal/process"
	"github.com/coldscope/coldscope/internal/wire"
	"github.com/coldscope/coldscope/query/client"
	"github.com/coldscope/coldscope/query/terminal"
)

// lookFlags are those of the commands that ask a running Coldscope.
type lookFlags struct {
	contexts.Flags
	formats []string // that output may be; the first is for people
	output  string
	color   string
	noPager bool
	utc     bool
	common  *pflag.FlagSet
}

// add declares the flags on cmd, and what completes them.
func (f *lookFlags) add(cmd *cobra.Command, formats ...string) {
	f.declare(cmd.Flags(), formats...)
	f.complete(cmd)
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		return printUsage(cmd, cmd.UseLine(), flagGroup{"Flags", own(cmd.Flags(), f.common)}, flagGroup{"Flags of where to ask, and how to show it", f.common})
	})
}

// flagGroup is a part of a command's flags, under a title.
type flagGroup struct {
	title string
	flags *pflag.FlagSet
}

// own is the flags that are not common to all commands.
func own(all, common *pflag.FlagSet) *pflag.FlagSet {
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	all.VisitAll(func(flag *pflag.Flag) {
		if common.Lookup(flag.Name) == nil {
			set.AddFlag(flag)
		}
	})
	return set
}

// printUsage is cobra's usage with the flags in groups, and the exit codes.
func printUsage(cmd *cobra.Command, use string, groups ...flagGroup) error {
	width := 0
	if o := options(cmd.OutOrStdout()); o.Terminal {
		width = o.Width
	}
	var out strings.Builder
	out.WriteString("Usage:\n  " + use + "\n")
	if cmd.HasExample() {
		out.WriteString("\nExamples:\n" + cmd.Example + "\n")
	}
	for _, g := range groups {
		out.WriteString("\n" + g.title + ":\n" + g.flags.FlagUsagesWrapped(width))
	}
	out.WriteString("\n" + exitCodes)
	_, err := io.WriteString(cmd.OutOrStdout(), out.String())
	return err
}

func (f *lookFlags) declare(to *pflag.FlagSet, formats ...string) {
	f.formats = formats
	set := pflag.NewFlagSet("", pflag.ContinueOnError)
	f.common = set
	set.StringVar(&f.Context, "context", "", "`NAME` of the context to use, see coldscope context; also COLDSCOPE_CONTEXT (default the current one)")
	set.StringVar(&f.URL, "url", "", "`URL` of Coldscope; also COLDSCOPE_URL (default http://"+process.DefaultListen+")")
	set.StringVar(&f.Tenant, "tenant", "", "whose data; also COLDSCOPE_TENANT")
	set.StringVar(&f.TokenFile, "token-file", "", "`FILE` that holds the token; also COLDSCOPE_TOKEN_FILE, or the token itself in COLDSCOPE_TOKEN")
	set.StringVar(&f.CAFile, "ca-file", "", "`FILE` of the authorities that may have signed an https URL's certificate; also COLDSCOPE_CA_FILE")
	set.StringVar(&f.color, "color", "auto", "`WHEN` to use colours: auto (in a terminal, unless NO_COLOR is set), always, never")
	set.BoolVar(&f.noPager, "no-pager", false, "do not page long output with PAGER, or less, in a terminal")
	set.BoolVar(&f.utc, "utc", false, "show times in UTC instead of local time")
	to.AddFlagSet(set)
	to.StringVarP(&f.output, "output", "o", formats[0], "output `FORMAT`: "+strings.Join(formats, ", "))
}

// check refuses values that the flags do not have.
func (f *lookFlags) check() error {
	if !slices.Contains(f.formats, f.output) {
		return usage("--output %q: want %s", f.output, orList(f.formats))
	}
	if colors := []string{"auto", "always", "never"}; !slices.Contains(colors, f.color) {
		return usage("--color %q: want %s", f.color, orList(colors))
	}
	return nil
}

// orList is a, b or c.
func orList(words []string) string {
	last := len(words) - 1
	if last < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:last], ", ") + " or " + words[last]
}

// target is whom the command asks.
func (f *lookFlags) target() (*contexts.Target, error) {
	file, err := loadContexts()
	if err != nil {
		return nil, err
	}
	return file.Resolve(f.Flags, os.Getenv, "http://"+process.DefaultListen)
}

func loadContexts() (*contexts.File, error) {
	path, err := contexts.Path()
	if err != nil {
		return new(contexts.File), nil //nolint:nilerr // without a home there are no contexts, and all else works
	}
	return contexts.Load(path)
}

func (f *lookFlags) client() (*client.Client, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	target, err := f.target()
	if err != nil {
		return nil, err
	}
	return clientOf(target)
}

func clientOf(target *contexts.Target) (*client.Client, error) {
	transport, err := wire.NewClientWith(wire.Options{
		Target: target.URL, BearerToken: target.Token, BearerTokenFile: target.TokenFile, TLS: wire.TLSOptions{CAFile: target.CAFile},
	})
	if err != nil {
		return nil, usageError{err}
	}
	var trip http.RoundTripper = transport
	if target.TokenCommand != "" {
		trip = contexts.Transport(trip, target.TokenCommand)
	}
	return client.New(target.URL, target.Tenant, &http.Client{Transport: trip})
}

// options say what w can show and how its user wants it.
func (f *lookFlags) options(w io.Writer) terminal.Options {
	o := options(w)
	switch f.color {
	case "always":
		o.Color = true
	case "never":
		o.Color = false
	}
	if o.Zone = time.Local; f.utc {
		o.Zone = time.UTC
	}
	return o
}

func options(w io.Writer) terminal.Options {
	f, ok := w.(*os.File)
	if !ok {
		return terminal.Options{}
	}
	return terminal.Detect(f, os.Getenv)
}

// show gives draw where to draw, which is a pager if the output is a terminal.
func (f *lookFlags) show(cmd *cobra.Command, draw func(context.Context, io.Writer, terminal.Options) error) error {
	out := cmd.OutOrStdout()
	o := f.options(out)
	file, ok := out.(*os.File)
	command := pager.Command(os.LookupEnv)
	if !ok || f.noPager || command == "" || !term.IsTerminal(int(file.Fd())) {
		return draw(cmd.Context(), out, o)
	}
	p, err := pager.Start(command, file, os.Stderr)
	if err != nil {
		return err
	}
	// Ctrl-C belongs to the pager from here on. It ends the drawing, and what is
	// there can be read.
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
	defer stop()
	err = draw(ctx, p, o)
	if errors.Is(err, pager.ErrClosed) || ctx.Err() != nil {
		err = nil
	}
	return errors.Join(err, p.Wait())
}

// showJSON prints one JSON document.
func (f *lookFlags) showJSON(cmd *cobra.Command, v any) error {
	return f.show(cmd, func(_ context.Context, w io.Writer, _ terminal.Options) error { return printJSON(w, v) })
}

func printJSON(w io.Writer, v any) error { return terminal.JSON(w, v, "  ") }

// spanFlags are the time range that a command is about.
type spanFlags struct{ since, until string }

func (s *spanFlags) declare(set *pflag.FlagSet, since string) {
	set.StringVar(&s.since, "since", since, "from `WHEN`: a duration before now (90s, 15m, 24h, 7d), an RFC 3339 time, or a local one (\"2026-05-04 12:00\", \"12:00\")")
	set.StringVar(&s.until, "until", "", "to `WHEN`")
}

// resolve makes of local times what the API takes. Durations stay: they count
// back from the service's now.
func (s *spanFlags) resolve(f *lookFlags) (since, until string) {
	zone := time.Local
	if f.utc {
		zone = time.UTC
	}
	now := time.Now().In(zone)
	return when(s.since, now), when(s.until, now)
}

// times is resolve with the times themselves, by this machine's clock.
func (s *spanFlags) times(f *lookFlags) (since, until time.Time, err error) {
	from, to := s.resolve(f)
	now := time.Now()
	if since, err = timeOf(from, now); err != nil {
		return since, until, usage("--since %q: %w", s.since, err)
	}
	if until, err = timeOf(to, now); err != nil {
		return since, until, usage("--until %q: %w", s.until, err)
	}
	if to == "" {
		until = now
	}
	if !since.Before(until) {
		return since, until, usage("--until is not later than --since")
	}
	return since, until, nil
}

// timeOf reads what the API reads: an RFC 3339 time, or a duration before now.
func timeOf(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	days, rest, ok := strings.Cut(text, "d")
	if n, err := strconv.Atoi(days); ok && err == nil && n >= 0 && n <= 36500 {
		now = now.Add(-time.Duration(n) * 24 * time.Hour)
		if text = rest; text == "" {
			return now, nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return time.Time{}, errors.New("neither a time nor a duration (15m, 24h, 7d)")
	}
	return now.Add(-d), nil
}

// stamp is a time for programs.
func (f *lookFlags) stamp(t time.Time) string {
	if f.utc {
		t = t.UTC()
	}
	return t.Format(time.RFC3339Nano)
}

func when(text string, now time.Time) string {
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02", "15:04:05", "15:04"} {
		t, err := time.ParseInLocation(layout, text, now.Location())
		if err != nil {
			continue
		}
		if t.Year() == 0 { // of today, else of yesterday
			t = time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location())
			if t.After(now) {
				t = t.AddDate(0, 0, -1)
			}
		}
		return t.Format(time.RFC3339Nano)
	}
	return text
}

// functionName splits NAMESPACE/NAME; NAME alone is of any namespace, unless
// --namespace names it.
func functionName(namespace, text string) (ns, name string) {
	if before, after, ok := strings.Cut(text, "/"); ok && namespace == "" {
		return before, after
	}
	return namespace, text
}
