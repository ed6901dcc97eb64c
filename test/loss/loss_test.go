package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/coldscope/coldscope/test/loss/rig"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == rig.SinkCommand {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if err := rig.SinkMain(ctx, os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"))
}

// TestLoss runs the cases that the collector is held to, with shorter outages
// and fewer kills than `make loss`, which runs them all.
func TestLoss(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute: real processes are started, stopped and killed")
	}
	binary, err := rig.Binary(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := options{binary: binary, seed: rand.Uint64(), kills: 40, outage: 2 * time.Second, refusal: 3 * time.Second}
	t.Logf("seed %d; again with: go run ./test/loss -seed %d -kills %d -run CASE", o.seed, o.seed, o.kills)
	has, err := features("")
	if err != nil {
		t.Fatal(err)
	}
	cases := slices.DeleteFunc(allCases(), func(c testCase) bool { return c.timed || !has(c.needs) })
	// Most of the time a case waits, so more run at once than there are cores.
	results := make([]chan result, len(cases))
	slots := make(chan struct{}, 6)
	for i, c := range cases {
		results[i] = make(chan result, 1)
		go func() {
			slots <- struct{}{}
			results[i] <- c.do(t.Context(), o, has)
			<-slots
		}()
	}
	for i, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := <-results[i]
			if r.state == skipped {
				t.Skip(r.note)
			}
			if r.state == failed {
				t.Error(r.note)
			}
			t.Logf("%.1f s: %s", r.took.Seconds(), r.note)
		})
	}
}

// TestStates: a broken collector fails, and one that lacks what a case needs
// does not.
func TestStates(t *testing.T) {
	ctx := t.Context()
	o := options{binary: os.DevNull, seed: 1}
	r := testCase{name: "broken", run: func(ctx context.Context, e *env) error {
		e.both()
		return e.start(ctx)
	}}.do(ctx, o, func(feature) bool { return true })
	if r.state != failed {
		t.Errorf("a collector that does not start: %s", r.state)
	}
	r = testCase{name: "broken", needs: gz, run: func(context.Context, *env) error { return errors.New("no") }}.
		do(ctx, o, func(f feature) bool { return f != gz })
	if r.state != notYet {
		t.Errorf("a case that needs what is lacking: %s", r.state)
	}
	if err := report(io.Discard, []result{{state: notYet}, {state: failed}}); err == nil {
		t.Error("a failed case is no error")
	}
}
