package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/coldscope/coldscope/test/loss/rig"
)

var killCases = []testCase{{name: "kill", run: killing}}

// killing kills the collector again and again, at any moment, while lines of
// all formats are written and rotated and the sink fails at times.
func killing(ctx context.Context, e *env) error {
	if err := e.sink.Set(ctx, rig.Mode{Fail: 0.1, Seed: e.dice.Uint64()}); err != nil {
		return err
	}
	for range 3 {
		e.both()
	}
	if !slices.Contains(lacking, local) {
		e.newLog(rig.Local)
	}
	if !slices.Contains(lacking, plain) {
		e.config = rig.PlainConfig(rig.Plain, e.root(rig.Plain))
		e.newLog(rig.Plain)
	}
	writing, stop := context.WithCancel(ctx)
	defer stop()
	var writers sync.WaitGroup
	for _, l := range e.logs {
		dice := rand.New(rand.NewPCG(e.dice.Uint64(), 1))
		writers.Go(func() { scribble(writing, l, dice) })
	}
	err := e.killOften(ctx)
	stop()
	writers.Wait()
	if err != nil {
		return err
	}
	if err := e.sink.Set(ctx, rig.Mode{}); err != nil {
		return err
	}
	if err := e.start(ctx); err != nil {
		return err
	}
	begin := time.Now()
	r, err := e.settled(ctx)
	e.note = fmt.Sprintf("(%d kills, caught up in %.1f s, %d pushes)", e.kills, time.Since(begin).Seconds(), r.Pushes)
	return err
}

func (e *env) killOften(ctx context.Context) error {
	for range e.kills {
		if err := e.start(ctx); err != nil {
			return err
		}
		if err := rig.Wait(ctx, time.Duration(e.dice.IntN(700))*time.Millisecond); err != nil {
			return err
		}
		if err := e.c.Ended(); err != nil {
			return err
		}
		e.kill()
	}
	return nil
}

// scribble writes lines of all kinds until ctx ends.
func scribble(ctx context.Context, l *rig.Log, dice *rand.Rand) {
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	compress := !slices.Contains(lacking, gz)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		stderr := dice.IntN(2) == 0
		switch k := dice.IntN(1000); {
		case k < 10 && l.Format != rig.Plain && l.Format != rig.Local:
			l.Pieces(stderr, rig.Filler(dice.IntN(20_000)), 500+dice.IntN(8000), func() {
				if dice.IntN(3) == 0 {
					l.Line(!stderr, rig.Filler(dice.IntN(100)))
				}
				_ = rig.Wait(ctx, time.Duration(dice.IntN(20))*time.Millisecond) // the line is ended all the same
			})
		case k < 25 && l.Format != rig.Plain && l.Format != rig.Local:
			l.Overlapping(rig.Filler(dice.IntN(9000)), rig.Filler(dice.IntN(9000)), 500+dice.IntN(4000), func() {
				_ = rig.Wait(ctx, time.Duration(dice.IntN(40))*time.Millisecond)
			})
		case k < 34 && l.Size() > 0:
			to := l.Rotate()
			if compress && l.Format != rig.Plain && dice.IntN(2) == 0 {
				l.Compress(to, time.Duration(1+dice.IntN(5))*time.Millisecond)
			}
		case k < 40:
			l.Line(stderr, rig.Filler(dice.IntN(60_000)))
		default:
			for range 1 + dice.IntN(8) {
				l.Line(stderr, rig.Filler(dice.IntN(300)))
			}
		}
	}
}
