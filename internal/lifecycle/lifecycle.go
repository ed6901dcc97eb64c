// Package lifecycle starts a process's components in order and stops them in
// the reverse one: what is downstream is ready before the first line comes and
// drained after the last.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// Group is the components of one process, in the order in which they were
// started. It is used by one goroutine.
type Group struct {
	logger     *slog.Logger
	deadline   time.Duration
	components []component
	failed     chan error // size 1: the first component that ended by itself
}

type component struct {
	name string
	stop func(context.Context) error
}

// New returns an empty group. Each component gets deadline to stop; after that
// the next one's turn comes all the same.
func New(logger *slog.Logger, deadline time.Duration) *Group {
	return &Group{logger: logger, deadline: deadline, failed: make(chan error, 1)}
}

// Run starts a component that works until its context ends. Its own end before
// that ends the group. The context is derived from ctx but does not end with
// it: the group decides when its turn to stop has come.
func (g *Group) Run(ctx context.Context, name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 1)
	go func() {
		err := run(ctx)
		if ctx.Err() == nil {
			select {
			case g.failed <- fmt.Errorf("%s ended: %w", name, orEnded(err)):
			default: // another one was first
			}
		}
		done <- err
	}()
	g.components = append(g.components, component{name, func(wait context.Context) error {
		cancel()
		select {
		case err := <-done:
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		case <-wait.Done():
			return context.Cause(wait)
		}
	}})
}

var errEnded = errors.New("without an error")

func orEnded(err error) error {
	if err == nil {
		return errEnded
	}
	return err
}

// OnStop registers what has to be done when the turn comes to stop what was
// started just before.
func (g *Group) OnStop(name string, stop func(context.Context) error) {
	g.components = append(g.components, component{name, stop})
}

// Wait blocks until ctx ends or a component fails, and returns that failure.
// Stop has still to be called.
func (g *Group) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-g.failed:
		return err
	}
}

// Stop stops all components, the last one first, and waits for each. A second
// call does nothing.
func (g *Group) Stop(ctx context.Context) error {
	var errs []error
	for _, c := range slices.Backward(g.components) {
		wait, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), g.deadline,
			fmt.Errorf("did not stop within %s", g.deadline))
		started := time.Now()
		err := c.stop(wait)
		cancel()
		if err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", c.name, err))
		}
		g.logger.DebugContext(ctx, "stopped", "component", c.name, "took", time.Since(started))
	}
	g.components = nil
	return errors.Join(errs...)
}
