package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/signal"
	"slices"
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
}

// add declares the flags on cmd, and what completes them.
func (f *lookFlags) add(cmd *cobra.Command, formats ...string) {
	f.declare(cmd.Flags(), formats...)
	f.complete(cmd)
	cmd.SetUsageTemplate(cmd.UsageTemplate() + "\n" + exitCodes)
}

func (f *lookFlags) declare(set *pflag.FlagSet, formats ...string) {
	f.formats = formats
	set.StringVar(&f.Context, "context", "", "`NAME` of the context to use, see coldscope context; also COLDSCOPE_CONTEXT (default the current one)")
	set.StringVar(&f.URL, "url", "", "`URL` of Coldscope; also COLDSCOPE_URL (default http://"+process.DefaultListen+")")
	set.StringVar(&f.Tenant, "tenant", "", "whose data; also COLDSCOPE_TENANT")
	set.StringVar(&f.TokenFile, "token-file", "", "`FILE` that holds the token; also COLDSCOPE_TOKEN_FILE, or the token itself in COLDSCOPE_TOKEN")
	set.StringVar(&f.CAFile, "ca-file", "", "`FILE` of the authorities that may have signed an https URL's certificate; also COLDSCOPE_CA_FILE")
	set.StringVarP(&f.output, "output", "o", formats[0], "output `FORMAT`: "+strings.Join(formats, ", "))
	set.StringVar(&f.color, "color", "auto", "`WHEN` to use colours: auto (in a terminal, unless NO_COLOR is set), always, never")
	set.BoolVar(&f.noPager, "no-pager", false, "do not page long output with PAGER, or less, in a terminal")
	set.BoolVar(&f.utc, "utc", false, "show times in UTC instead of local time")
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
