// Command loggen makes a deterministic log corpus as files or pushes it to a
// log store, tells what queries must find in it, and has a counting HTTP sink.
//
//	loggen files -format docker|local|cri|raw -out DIR -files N -size BYTES [-seed S] [-long P] [-rare P] [-start T] ...
//	loggen push  -proto loki|vl|otlp -url URL -lines N [-batch 5000] [-conc 2] [-span 24h] ...   (empty -url: encode only)
//	loggen truth -lines N -fn fn-050 -hour 12 -req 1000 ...
//	loggen sink  -addr 127.0.0.1:3199 [-count nl|json] [-code 204]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/coldscope/coldscope/test/corpus"
)

func die(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "loggen:", err)
		os.Exit(1)
	}
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: loggen files|push|truth|sink [flags]   (-h for the flags of each)")
		os.Exit(2)
	}
	args := os.Args[2:]
	switch os.Args[1] {
	case "files":
		cmdFiles(args)
	case "push":
		cmdPush(context.Background(), args) //nolint:forbidigo // the program's root
	case "truth":
		cmdTruth(args)
	case "sink":
		cmdSink(args)
	default:
		die(fmt.Errorf("unknown command %q", os.Args[1]))
	}
}

type common struct {
	p     corpus.Params
	start string
	lines int
	span  time.Duration
}

func (c *common) flags(fs *flag.FlagSet) {
	fs.Uint64Var(&c.p.Seed, "seed", 1, "seed: the same flags give the same bytes")
	fs.IntVar(&c.p.Functions, "functions", 200, "distinct functions")
	fs.IntVar(&c.p.Instances, "instances", 2000, "distinct instances (a multiple of -functions)")
	fs.StringVar(&c.start, "start", "2026-11-22T00:00:00Z", "time of the first line")
	fs.IntVar(&c.p.Active, "active", 16, "requests in flight at once")
	fs.Float64Var(&c.p.LongP, "long", 0, "probability of a line over 16 KiB (20-50 kB, split as the runtime splits it)")
	fs.Float64Var(&c.p.RareP, "rare", 2e-4, "probability of the token quasarfault in a phrase")
	fs.IntVar(&c.lines, "lines", 10_000_000, "lines (push, truth)")
	fs.DurationVar(&c.span, "span", 24*time.Hour, "time that the lines are spread over")
}

func (c *common) done() {
	t, err := time.Parse(time.RFC3339, c.start)
	die(err)
	c.p.Start = t
	c.p.Step = max(c.span/time.Duration(c.lines), 1)
	if c.p.Instances%c.p.Functions != 0 {
		die(fmt.Errorf("-instances must be a multiple of -functions"))
	}
}
