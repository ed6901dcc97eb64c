package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/coldscope/coldscope/test/loss/rig"
)

var sinkCases = []testCase{
	{name: "sink/slow", run: slowSink},
	{name: "sink/down", run: outage(rig.Mode{Down: true})},
	{name: "sink/503", run: outage(rig.Mode{Status: 503})},
	{name: "sink/429", run: refusing},
	{name: "sink/stopped", run: stoppedSink},
	{name: "sink/one-bad-entry", run: badEntry},
	{name: "sink/failing-often", run: failingOften},
}

// slowSink: the writer is faster than the sink, and rotates meanwhile.
func slowSink(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.start(ctx); err != nil {
		return err
	}
	if err := e.sink.Set(ctx, rig.Mode{Delay: 150 * time.Millisecond}); err != nil {
		return err
	}
	for i := range 6 {
		for _, l := range logs {
			for range 50 {
				l.Lines(i%2 == 0, rig.Filler(200), 100)
			}
			if i%2 == 1 {
				l.Rotate()
			}
		}
		if err := rig.Wait(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
	return e.settle(ctx)
}

// outage: nothing is taken for a time, over two rotations.
func outage(m rig.Mode) func(context.Context, *env) error {
	return func(ctx context.Context, e *env) error {
		logs := e.both()
		if err := e.start(ctx); err != nil {
			return err
		}
		e.bursts(100)
		if err := e.sink.Set(ctx, m); err != nil {
			return err
		}
		for range 3 {
			e.bursts(500)
			if err := rig.Wait(ctx, e.outage/3); err != nil {
				return err
			}
			for _, l := range logs {
				l.Rotate()
			}
		}
		e.bursts(50)
		if err := e.sink.Set(ctx, rig.Mode{}); err != nil {
			return err
		}
		return e.settle(ctx)
	}
}

// refusing: 429 for a long time. The collector comes back when it was told to,
// and not all the time.
func refusing(ctx context.Context, e *env) error {
	e.both()
	if err := e.begin(ctx, 10); err != nil {
		return err
	}
	before, err := e.sink.Report(ctx, nil)
	if err != nil {
		return err
	}
	if err := e.sink.Set(ctx, rig.Mode{Status: 429, RetryAfter: 1}); err != nil {
		return err
	}
	seconds := int(e.refusal.Seconds())
	for range seconds {
		e.bursts(200)
		if err := rig.Wait(ctx, time.Second); err != nil {
			return err
		}
	}
	r, err := e.sink.Report(ctx, nil)
	if err != nil {
		return err
	}
	r.Attempts -= before.Attempts
	e.note = fmt.Sprintf("(%d attempts in %d s)", r.Attempts, seconds)
	const atOnce = 16 // more pushes at the same time are nobody's default
	if limit := atOnce * (seconds + 1); r.Attempts > limit {
		return fmt.Errorf("%d attempts in %d s although Retry-After was 1 s, more than %d", r.Attempts, seconds, limit)
	}
	if r.Attempts == 0 {
		return errors.New("nobody tried")
	}
	if err := e.sink.Set(ctx, rig.Mode{}); err != nil {
		return err
	}
	return e.settle(ctx)
}

// stoppedSink: the sink's process stands still, its connections stay open.
func stoppedSink(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.begin(ctx, 100); err != nil {
		return err
	}
	if err := e.sink.Stop(); err != nil {
		return err
	}
	var err error
	for range 3 {
		e.bursts(300)
		err = errors.Join(err, rig.Wait(ctx, e.outage/3))
		for _, l := range logs {
			l.Rotate()
		}
	}
	if err := errors.Join(err, e.sink.Continue()); err != nil {
		return err
	}
	return e.settle(ctx)
}

// badEntry: the sink refuses a whole push for one entry's sake. All others
// arrive, and that one is written down.
func badEntry(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.start(ctx); err != nil {
		return err
	}
	const poison = "POISON of this case" // it never arrives
	if err := e.sink.Set(ctx, rig.Mode{Poison: poison}); err != nil {
		return err
	}
	for range 3 {
		e.bursts(300)
		for _, l := range logs {
			l.Foreign(true, []byte(poison), time.Now())
		}
		e.bursts(300)
		if err := e.moment(ctx); err != nil {
			return err
		}
	}
	if err := e.settle(ctx); err != nil {
		return err
	}
	return e.until(ctx, "not all refused entries are to be found in the data directory", func() (bool, error) {
		return e.written(poison) >= 6, nil
	})
}

// written counts how often text stands in the files of the data directory.
func (e *env) written(text string) (n int) {
	_ = filepath.WalkDir(e.data(), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			b, _ := os.ReadFile(path)
			n += bytes.Count(b, []byte(text))
		}
		return nil // what cannot be read holds nothing
	})
	return n
}

// failingOften: every second push fails, in all ways.
func failingOften(ctx context.Context, e *env) error {
	logs := e.both()
	if err := e.sink.Set(ctx, rig.Mode{Fail: 0.5, Seed: e.dice.Uint64()}); err != nil {
		return err
	}
	if err := e.start(ctx); err != nil {
		return err
	}
	for range 10 {
		e.bursts(300)
		for _, l := range logs {
			l.Rotate()
		}
		if err := rig.Wait(ctx, 300*time.Millisecond); err != nil {
			return err
		}
	}
	if err := e.sink.Set(ctx, rig.Mode{}); err != nil {
		return err
	}
	return e.settle(ctx)
}

// refusesSecond starts a second collector on the same data directory.
func refusesSecond(ctx context.Context, e *env) error {
	e.both()
	if err := e.start(ctx); err != nil {
		return err
	}
	e.bursts(100)
	second, err := rig.Start(ctx, e.startOptions())
	if err == nil {
		return errors.Join(errors.New("a second collector started on the same data directory"), second.Kill())
	}
	if !strings.Contains(err.Error(), "in use by another process") {
		return err
	}
	e.bursts(100)
	if err := e.c.Ended(); err != nil {
		return fmt.Errorf("the first one: %w", err)
	}
	return e.settle(ctx)
}
