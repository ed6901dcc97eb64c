// Command bench measures Coldscope as operators meet it: the real binaries as
// whole processes. The collector reads real files and pushes to a sink in
// another process, and its processor figures are its process alone; the server
// takes pushes, stores them with its engine, and answers.
//
//	go run ./test/bench [-run REGEXP] [-size MIB] [-seconds N] [-long] [-dir DIR] [-profile DIR] [-o FILE.json]
//
// $COLDSCOPE_COLLECTOR and $COLDSCOPE_BINARY name binaries to measure instead of
// building them.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/coldscope/coldscope/test/loss/rig"
)

// bench is one run of the command.
type bench struct {
	size         int64 // bytes of each throughput corpus
	files        int
	seconds      time.Duration // of steady writing
	secondsGiven bool
	long         bool
	lines        int    // of each intake figure
	rate         int    // lines a second of fresh
	queryLines   int    // that are asked about
	binary       string // the collector's; empty: not built yet
	serverBinary string // coldscope's; empty: not built yet
	dir          string
	log          io.Writer // what is told while it runs
	profile      string    // where profiles of the server go; empty: none are taken
	results      []Result
}

// Result is one figure.
type Result struct {
	Name   string  `json:"name"`
	Figure float64 `json:"figure"`
	Unit   string  `json:"unit"`
	// Target is what the figure should not exceed; 0: none.
	Target float64 `json:"target,omitempty"`
	// AtLeast is what the figure should reach; 0: nothing.
	AtLeast float64 `json:"at_least,omitempty"`
	// State is ok, over (its target), under (what it should reach), not yet (the collector lacks it), failed
	// or skipped.
	State string `json:"state"`
	Note  string `json:"note,omitempty"`
}

type benchmark struct {
	name string
	run  func(context.Context, *bench) error
}

var benchmarks = []benchmark{
	{"docker", throughput(rig.JSONFile, 2.9)},
	{"cri", throughput(rig.CRI, 4)},
	{"local", throughput(rig.Local, 2.9)},
	{"plain", throughput(rig.Plain, 2.9)},
	{"steady", func(ctx context.Context, b *bench) error {
		return b.steady(ctx, "steady", steadyLoad{files: 10, rate: 1000, lag: 50 * time.Millisecond})
	}},
	// The same where a line may take a little longer: most of what a quiet host
	// pays is for waking up.
	{"thrifty", func(ctx context.Context, b *bench) error {
		return b.steady(ctx, "poll_interval 80ms", steadyLoad{files: 10, rate: 1000, poll: 80 * time.Millisecond, cores: 0.025})
	}},
	{"rotating", func(ctx context.Context, b *bench) error {
		return b.steady(ctx, "rotating", steadyLoad{files: 100, rate: 100, maxSize: 100_000, maxFile: 3, lag: 50 * time.Millisecond})
	}},
	{"active-100", func(ctx context.Context, b *bench) error { return b.footprint(ctx, 100, 10, 64) }},
	{"active-2000", func(ctx context.Context, b *bench) error { return b.footprint(ctx, 2000, 1, 150) }},
	{"idle", func(ctx context.Context, b *bench) error { return b.idle(ctx, 2000) }},
	{"intake", func(ctx context.Context, b *bench) error { return b.intake(ctx, "Loki push", workload{hosts: 1}) }},
	{"events", func(ctx context.Context, b *bench) error {
		return b.intake(ctx, "collectors' push", workload{events: true, hosts: hosts})
	}},
	{"events-any-order", func(ctx context.Context, b *bench) error {
		return b.intake(ctx, "events in any order", workload{events: true, hosts: 1})
	}},
	{"fresh", func(ctx context.Context, b *bench) error { return b.fresh(ctx, b.rate) }},
	{"queries", func(ctx context.Context, b *bench) error { return b.queries(ctx) }},
	{"sustained-rate", func(ctx context.Context, b *bench) error { return b.sustained(ctx, "sustained 50k lines/s", 50_000) }},
	{"sustained-full", func(ctx context.Context, b *bench) error { return b.sustained(ctx, "sustained at full speed", 0) }},
	{"churn", func(ctx context.Context, b *bench) error { return b.churnFiles(ctx) }},
	{"churn-docker", func(ctx context.Context, b *bench) error { return b.churnDocker(ctx) }},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // the program's root
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == rig.SinkCommand {
		return rig.SinkMain(ctx, args[1:])
	}
	var b bench
	set := flag.NewFlagSet("bench", flag.ContinueOnError)
	pattern := set.String("run", "", "run only the benchmarks whose name matches this")
	size := set.Int64("size", 512, "MiB of log files for each throughput figure")
	set.IntVar(&b.lines, "lines", 2_000_000, "lines of each intake figure")
	set.IntVar(&b.rate, "rate", 50_000, "lines a second, of which one is looked for: how fresh is it")
	set.IntVar(&b.queryLines, "query-lines", 10_000_000, "lines of a day that the store is asked about")
	set.IntVar(&b.files, "files", 8, "log files of each throughput figure")
	set.DurationVar(&b.seconds, "seconds", 30*time.Second, "how long to write at a steady rate")
	set.BoolVar(&b.long, "long", false, "churn of 2 000 containers in five minutes, not 200 in 30 s; sustained loads of five minutes each, or of -seconds")
	dir := set.String("dir", os.TempDir(), "where to write the log files")
	set.StringVar(&b.profile, "profile", "", "directory for profiles of the server under intake; they cost it a little")
	out := set.String("o", "", "write the figures to this file as JSON")
	if err := set.Parse(args); err != nil {
		return err
	}
	set.Visit(func(f *flag.Flag) { b.secondsGiven = b.secondsGiven || f.Name == "seconds" })
	b.log = stderr
	only, err := regexp.Compile(*pattern)
	if err != nil {
		return err
	}
	b.size = *size << 20
	if b.dir, err = os.MkdirTemp(*dir, "cs-bench-"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(b.dir) }()
	for _, m := range benchmarks {
		if !only.MatchString(m.name) {
			continue
		}
		fmt.Fprintf(stderr, "bench: %s\n", m.name)
		if err := m.run(ctx, &b); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			b.add(Result{Name: m.name, State: "failed", Note: err.Error()})
		}
	}
	machine := machine()
	b.print(stdout, machine)
	if *out != "" {
		if err := write(*out, machine, b.results); err != nil {
			return err
		}
	}
	for _, r := range b.results {
		if r.State == "failed" {
			return errors.New("some figures could not be had, or lines were lost")
		}
	}
	return nil
}

// Figures is the file that -o writes.
type Figures struct {
	Machine string    `json:"machine"`
	Time    time.Time `json:"time"`
	Results []Result  `json:"results"`
}

func write(path, machine string, results []Result) error {
	raw, err := json.MarshalIndent(Figures{machine, time.Now().UTC(), results}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}

func (b *bench) add(r Result) {
	if r.State == "" {
		r.State = "ok"
		if r.Target > 0 && r.Figure > r.Target {
			r.State = "over"
		}
		if r.Figure < r.AtLeast {
			r.State = "under"
		}
	}
	b.results = append(b.results, r)
}

// place makes a directory for one benchmark; done removes it.
func (b *bench) place(name string) (dir string, done func(), err error) {
	dir = filepath.Join(b.dir, name)
	return dir, func() { _ = os.RemoveAll(dir) }, os.MkdirAll(dir, 0o755)
}
