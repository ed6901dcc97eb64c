package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/coldscope/coldscope/test/loss/rig"
)

// env is one case's host: its containers' logs, one collector, one sink.
type env struct {
	options
	dice   *rand.Rand
	dir    string // short: a Unix socket is below it
	config string // of the collector
	note   string // for the table
	// foreign are beginnings of lines without a number that the case writes.
	foreign []string
	sink    *rig.Sink
	c       *rig.Collector
	logs    []*rig.Log
}

func newEnv(ctx context.Context, o options, name string) (*env, error) {
	h := fnv.New64a()
	h.Write([]byte(name))
	dir, err := os.MkdirTemp("", "cs-")
	if err != nil {
		return nil, err
	}
	e := &env{options: o, dice: rand.New(rand.NewPCG(o.seed, h.Sum64())), dir: dir}
	if e.sink, err = rig.StartSink(ctx); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return e, nil
}

func (e *env) close() {
	e.kill()
	e.sink.Close()
	for _, l := range e.logs {
		l.Close()
	}
	_ = os.RemoveAll(e.dir)
}

func (e *env) root(f rig.Format) string {
	return filepath.Join(e.dir, [...]string{"", "docker", "docker", "pods", "plain"}[f])
}

func (e *env) data() string { return filepath.Join(e.dir, "data") }

// newLog makes a container's log.
func (e *env) newLog(f rig.Format) *rig.Log {
	id := fmt.Sprintf("uid-%d", len(e.logs))
	if f == rig.JSONFile || f == rig.Local {
		id = fmt.Sprintf("%064x", e.dice.Uint64())
	}
	l := rig.NewLog(f, e.root(f), "hello", id)
	e.logs = append(e.logs, l)
	return l
}

// both makes a log of Docker's and one of Kubernetes'.
func (e *env) both() []*rig.Log { return []*rig.Log{e.newLog(rig.JSONFile), e.newLog(rig.CRI)} }

func (e *env) start(ctx context.Context) (err error) {
	e.c, err = rig.Start(ctx, e.startOptions())
	return err
}

func (e *env) startOptions() rig.Options {
	return rig.Options{
		Binary: e.binary, DataDir: e.data(), Target: e.sink.URL, Config: e.config, Stderr: e.log,
		Docker: []string{e.root(rig.JSONFile)}, CRI: []string{e.root(rig.CRI)},
	}
}

func (e *env) kill() {
	if e.c != nil {
		_ = e.c.Kill()
		e.c = nil
	}
}

// end ends the collector: in order, or with kill -9.
func (e *env) end(hard bool) error {
	if hard {
		e.kill()
		return nil
	}
	err := e.c.Terminate(time.Minute)
	e.c = nil
	return err
}

// burst writes n lines at once, of both streams and many lengths.
func (e *env) burst(l *rig.Log, n int) {
	for range n {
		l.Line(e.dice.IntN(3) == 0, rig.Filler(e.dice.IntN(300)))
	}
}

// bursts does so with all logs of the case.
func (e *env) bursts(n int) {
	for _, l := range e.logs {
		e.burst(l, n)
	}
}

// a moment is enough for the collector to see a new file or name.
func (e *env) moment(ctx context.Context) error { return rig.Wait(ctx, 600*time.Millisecond) }

// until waits until done holds; its error says what did not come.
func (e *env) until(ctx context.Context, what string, done func() (bool, error)) error {
	for begin := time.Now(); ; {
		ok, err := done()
		switch {
		case ok || err != nil:
			return err
		case time.Since(begin) > patience:
			return fmt.Errorf("%s, in %s", what, patience)
		}
		if err := rig.Wait(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// patience is how long nothing new comes until a case gives up: longer than
// any pause between attempts.
const patience = 30 * time.Second

// settle waits until the sink has every line that was written, and looks
// whether anything is wrong with them. It gives up when nothing new came for
// a while.
func (e *env) settle(ctx context.Context) error {
	_, err := e.settled(ctx)
	return err
}

func (e *env) settled(ctx context.Context) (rig.Report, error) {
	expect := map[string]int{}
	for _, l := range e.logs {
		l.Written(expect)
	}
	last, since := -1, time.Now()
	for {
		r, err := e.sink.Report(ctx, expect)
		if err != nil {
			return r, err
		}
		if r.Unique != last {
			last, since = r.Unique, time.Now()
		}
		switch {
		case r.Wrong > 0:
			return r, fmt.Errorf("%d entries are wrong: %s", r.Wrong, strings.Join(r.Examples, "\n"))
		case e.stranger(r) != "":
			return r, fmt.Errorf("nobody wrote this line: %.100q", e.stranger(r))
		case len(r.Gaps) == 0:
			return r, nil
		case time.Since(since) > patience:
			return r, fmt.Errorf("lost: %s", strings.Join(r.Gaps, "\n"))
		}
		if e.c != nil {
			if err := e.c.Ended(); err != nil {
				return r, err
			}
		}
		if err := rig.Wait(ctx, 100*time.Millisecond); err != nil {
			return r, err
		}
	}
}

// begin starts the collector, and waits until it has delivered n lines of
// every log.
func (e *env) begin(ctx context.Context, n int) error {
	if err := e.start(ctx); err != nil {
		return err
	}
	e.bursts(n)
	return e.settle(ctx)
}

// stranger gives a line that arrived and that nobody wrote: a piece of one.
func (e *env) stranger(r rig.Report) string {
	for line := range r.Foreign {
		if !slices.ContainsFunc(e.foreign, func(known string) bool { return strings.HasPrefix(line, known) }) {
			return line
		}
	}
	return ""
}

// finish settles once more, and again behind a kill and a restart: what then
// comes under another name was not named by what it is.
func (e *env) finish(ctx context.Context) error {
	if err := e.settle(ctx); err != nil {
		return err
	}
	e.kill()
	if err := e.start(ctx); err != nil {
		return err
	}
	if err := e.moment(ctx); err != nil {
		return err
	}
	r, err := e.settled(ctx)
	if err != nil {
		return fmt.Errorf("after a restart: %w", err)
	}
	if r.Unique == 0 {
		return errors.New("no line was written: the case tests nothing")
	}
	e.note = strings.TrimSpace(fmt.Sprintf("%d lines, %d came again %s", r.Unique, r.Again, e.note))
	return nil
}
