// Command loss tortures the collector and looks for lines that were lost, that
// came under two names, with two contents, damaged, or as of somebody else.
//
//	go run ./test/loss [-run REGEXP] [-seed N] [-kills N] [-outage D] [-refusal D] [-have gz,local,…] [-parallel N] [-list]
//
// Each case runs the real binary ($COLDSCOPE_COLLECTOR, else one that it
// builds) on files that it writes as the runtimes do, with a sink in a process
// of its own. A case that needs what the collector cannot do yet runs too; its
// failure is reported as "not yet". The exit code is 1 if any other one failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/coldscope/coldscope/test/loss/rig"
)

// options are the same for all cases.
type options struct {
	binary  string
	seed    uint64
	kills   int
	outage  time.Duration // how long a sink is down or stands still
	refusal time.Duration // how long a sink answers 429
	log     io.Writer     // of collectors; nil: none
}

// feature is something that a collector may lack.
type feature string

// The features.
const (
	gz      feature = "gz"      // reads generations that were compressed before it saw them
	inotify feature = "inotify" // hears of a new file at once
	local   feature = "local"   // Docker's local driver
	plain   feature = "plain"   // plain files, by the pattern of their paths
	links   feature = "links"   // kubelet's /var/log/containers
	pieces  feature = "pieces"  // joins a line whose pieces are in two generations
	spool   feature = "spool"   // keeps what was read of a deleted file through its own end
)

// lacking are the features that today's collector lacks: take out what it has
// learnt, so that it is held to it.
var lacking []feature

// testCase is one way to lose lines.
type testCase struct {
	name  string
	needs feature // empty: nothing special
	timed bool    // passes only where the collector gets its turn soon: not for go test
	run   func(ctx context.Context, e *env) error
}

func allCases() []testCase {
	return slices.Concat(rotationCases, formatCases, sinkCases, restartCases(), killCases)
}

type state string

const (
	passed  state = "ok"
	learnt  state = "ok, take it out of lacking"
	notYet  state = "not yet"
	failed  state = "FAILED"
	skipped state = "skipped"
)

type result struct {
	testCase
	state state
	took  time.Duration
	note  string
}

// errSkip is wrapped by the error of a case that this machine cannot run.
var errSkip = errors.New("skipped")

// do runs one case.
func (c testCase) do(ctx context.Context, o options, has func(feature) bool) (r result) {
	r = result{testCase: c}
	begin := time.Now()
	note, err := c.try(ctx, o)
	r.took, r.note = time.Since(begin), note
	switch {
	case errors.Is(err, errSkip):
		r.state = skipped
	case err != nil && !has(c.needs):
		r.state = notYet
	case err != nil:
		r.state = failed
	case !has(c.needs):
		r.state = learnt
	default:
		r.state = passed
	}
	if err != nil {
		r.note = err.Error()
	}
	return r
}

func (c testCase) try(ctx context.Context, o options) (note string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	e, err := newEnv(ctx, o, c.name)
	if err != nil {
		return "", err
	}
	defer e.close()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if err := c.run(ctx, e); err != nil {
		return e.note, err
	}
	return e.note, e.finish(ctx)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) //nolint:forbidigo // the program's root
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "loss:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == rig.SinkCommand {
		return rig.SinkMain(ctx, args[1:])
	}
	var o options
	set := flag.NewFlagSet("loss", flag.ContinueOnError)
	pattern := set.String("run", "", "run only the cases whose name matches this")
	have := set.String("have", "", "features, with commas between, that the collector is held to although the table says it lacks them; all: all")
	parallel := set.Int("parallel", 3, "cases at once")
	list := set.Bool("list", false, "list the cases and what they need")
	verbose := set.Bool("v", false, "show the collectors' logs")
	set.Uint64Var(&o.seed, "seed", rand.Uint64(), "of all dice; the same seed plans the same run")
	set.IntVar(&o.kills, "kills", 200, "kill -9s of the case kill")
	set.DurationVar(&o.outage, "outage", 5*time.Second, "how long a sink is down or stands still")
	set.DurationVar(&o.refusal, "refusal", 10*time.Second, "how long a sink answers 429")
	if err := set.Parse(args); err != nil {
		return err
	}
	only, err := regexp.Compile(*pattern)
	if err != nil {
		return err
	}
	has, err := features(*have)
	if err != nil {
		return err
	}
	chosen := slices.DeleteFunc(allCases(), func(c testCase) bool { return !only.MatchString(c.name) })
	if *list {
		for _, c := range chosen {
			fmt.Fprintf(os.Stdout, "%s\t%s\n", c.name, c.needs)
		}
		return nil
	}
	if *verbose {
		o.log = os.Stderr
	}
	dir, err := os.MkdirTemp("", "cs-loss-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if o.binary, err = rig.Binary(ctx, dir); err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "seed %d\n", o.seed)
	return report(os.Stdout, runAll(ctx, chosen, o, has, max(*parallel, 1)))
}

// features gives who says whether the collector is held to a feature.
func features(have string) (func(feature) bool, error) {
	held := map[feature]bool{"": true}
	for name := range strings.SplitSeq(have, ",") {
		switch f := feature(name); {
		case name == "all":
			for _, f := range lacking {
				held[f] = true
			}
		case name == "" || slices.Contains(lacking, f):
			held[f] = true
		default:
			return nil, fmt.Errorf("-have %s: not one of %v", name, lacking)
		}
	}
	return func(f feature) bool { return held[f] || !slices.Contains(lacking, f) }, nil
}

func runAll(ctx context.Context, cases []testCase, o options, has func(feature) bool, parallel int) []result {
	results := make([]result, len(cases))
	var running sync.WaitGroup
	slots := make(chan struct{}, parallel)
	for i, c := range cases {
		slots <- struct{}{}
		running.Go(func() {
			defer func() { <-slots }()
			results[i] = c.do(ctx, o, has)
			fmt.Fprintf(os.Stderr, "%-9s %s (%.1f s)\n", results[i].state, c.name, results[i].took.Seconds())
		})
	}
	running.Wait()
	return results
}

// report prints the table; its error says how many failed.
func report(w io.Writer, results []result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\ncase\tneeds\tstate\tseconds\tnote")
	count := map[state]int{}
	for _, r := range results {
		note, _, _ := strings.Cut(r.note, "\n")
		if len(note) > 200 {
			note = note[:200] + "…"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.1f\t%s\n", r.name, r.needs, r.state, r.took.Seconds(), note)
		count[r.state]++
	}
	_ = t.Flush() // to a terminal
	fmt.Fprintf(w, "\n%d ok, %d failed, %d not yet, %d skipped\n",
		count[passed]+count[learnt], count[failed], count[notYet], count[skipped])
	for _, r := range results {
		if r.state == failed {
			fmt.Fprintf(w, "\nFAILED %s: %s\n", r.name, r.note)
		}
	}
	if n := count[failed]; n > 0 {
		return fmt.Errorf("%d of %d cases failed", n, len(results))
	}
	return nil
}
