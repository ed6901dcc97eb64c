// Command schemabench measures shapes of the table of lines on the embedded
// engine: what they cost to fill, what they take on disk, and how fast they
// answer. docs/schema.md keeps what it found.
//
//	go run ./test/schemabench [-lines N] [-span DURATION] [-block N] [-asked N] [-variants REGEXP] [-dir DIR] [-o FILE.json]
//
// The lines are those of test/corpus, loaded once into a base table and copied
// from there, in order of time, into each variant. With -dir the base stays for
// the next run of as many lines of the same span.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/coldscope/coldscope/internal/clickhouse"
	"github.com/coldscope/coldscope/internal/clickhouse/embedded"
)

func main() {
	embedded.RunChildIfAsked()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // the program's root
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "schemabench:", err)
		stop()
		os.Exit(1)
	}
}

// figures are those of one run.
type figures struct {
	Lines   int       `json:"lines"`
	Span    string    `json:"span"`
	Block   int       `json:"block"`
	Time    time.Time `json:"time"`
	Load    float64   `json:"load_cpu,omitempty"` // CPU seconds a million lines, by native inserts into the base
	Reading float64   `json:"reading_cpu"`        // the same, to read the base: not in the variants' figures
	Results []*result `json:"results"`
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (err error) {
	set := flag.NewFlagSet("schemabench", flag.ContinueOnError)
	lines := set.Int("lines", 20_000_000, "lines")
	span := set.Duration("span", 24*time.Hour, "time that the lines are from: how close together a file's lines lie matters more than how many there are")
	block := set.Int("block", 100_000, "lines of one insert")
	calm := set.Duration("calm", time.Second, "how long the engine must not merge to be taken for quiet")
	asked := set.Int("asked", 60, "how often each question is asked, unless it takes long; 0: not at all")
	pattern := set.String("variants", "", "measure only the variants whose name matches this")
	dir := set.String("dir", "", "keep the engine's data here, for the next run; empty: a directory that goes with this run")
	keep := set.Bool("keep", false, "do not drop a variant's tables when it is measured")
	out := set.String("o", "", "write the figures to this file as JSON")
	if err := set.Parse(args); err != nil {
		return err
	}
	only, err := regexp.Compile(*pattern)
	if err != nil {
		return err
	}
	if *dir == "" {
		if *dir, err = os.MkdirTemp("", "cs-schemabench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(*dir)) }()
	}
	engine, err := embedded.Start(ctx, embedded.Options{
		DataDir: filepath.Join(*dir, "engine"), MemoryLimit: 4 << 30, Logger: slog.New(slog.NewTextHandler(stderr, nil)),
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, engine.Close(context.WithoutCancel(ctx))) }()
	conn, err := clickhouse.Open(ctx, engine.DSN()+"?read_timeout=1h")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	s := &store{conn: conn, pid: engine.PID, lines: *lines, block: *block, span: *span, calm: *calm, asked: *asked}
	f := &figures{Lines: *lines, Block: *block, Span: span.String(), Time: time.Now().UTC()}
	err = s.run(ctx, f, only, *keep, stderr)
	report(stdout, f) // also what was measured before an error
	if err != nil || *out == "" {
		return err
	}
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*out, append(raw, '\n'), 0o644)
}

// run measures the variants that only matches.
func (s *store) run(ctx context.Context, f *figures, only *regexp.Regexp, keep bool, progress io.Writer) error {
	million := float64(s.lines) / 1e6
	used, err := s.prepare(ctx)
	if err != nil {
		return err
	}
	f.Load = used.Seconds() / million
	reading, err := s.reading(ctx)
	if err != nil {
		return err
	}
	f.Reading = reading.Seconds() / million
	cases, err := s.draw(ctx)
	if err != nil {
		return err
	}
	for _, v := range variants() {
		if !only.MatchString(v.name) {
			continue
		}
		begin := time.Now()
		r, err := s.measure(ctx, &v, reading, cases)
		if err != nil {
			return err
		}
		fmt.Fprintf(progress, "%s: %.2f CPU s a million, %.1f bytes a line (%s)\n",
			v.name, r.Insert, float64(r.Merge.Total)/float64(s.lines), time.Since(begin).Round(time.Second))
		f.Results = append(f.Results, r)
		if err := r.agrees(f.Results[0]); err != nil {
			return err
		}
		if keep {
			continue
		}
		if err := s.drop(ctx, &v); err != nil {
			return err
		}
	}
	return nil
}

// agrees holds r's answers against another variant's.
func (r *result) agrees(other *result) error {
	for name, t := range r.Queries {
		if want := other.Queries[name].Answers; t.Answers != want {
			return fmt.Errorf("%s answers %q with %d, %s with %d", r.Name, name, t.Answers, other.Name, want)
		}
	}
	return nil
}
