package lifecycle_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/coldscope/coldscope/internal/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStopsInReverse(t *testing.T) {
	g := lifecycle.New(slog.New(slog.DiscardHandler), time.Second)
	var order []string
	for _, name := range []string{"engine", "aggregator", "collector"} {
		g.Run(t.Context(), name, func(ctx context.Context) error {
			<-ctx.Done()
			order = append(order, name)
			return ctx.Err()
		})
		g.OnStop("after "+name, func(context.Context) error { order = append(order, "after "+name); return nil })
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := g.Wait(ctx); err != nil {
		t.Error(err)
	}
	if err := g.Stop(ctx); err != nil {
		t.Error(err)
	}
	want := []string{"after collector", "collector", "after aggregator", "aggregator", "after engine", "engine"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Error(diff)
	}
	if err := g.Stop(ctx); err != nil {
		t.Error("second stop:", err)
	}
}

func TestComponentThatEndsEndsTheGroup(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{{errors.New("disk full"), "collector ended: disk full"}, {nil, "collector ended: without an error"}} {
		g := lifecycle.New(slog.New(slog.DiscardHandler), time.Second)
		g.Run(t.Context(), "collector", func(context.Context) error { return c.err })
		if err := g.Wait(t.Context()); err == nil || err.Error() != c.want {
			t.Errorf("got %v, want %s", err, c.want)
		}
		_ = g.Stop(t.Context())
	}
}

// TestDeadline: one that hangs does not keep the others from stopping.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := lifecycle.New(slog.New(slog.DiscardHandler), 10*time.Second)
		stopped := false
		release := make(chan struct{})
		g.OnStop("engine", func(context.Context) error { stopped = true; return nil })
		g.Run(t.Context(), "hung", func(context.Context) error { <-release; return nil })
		err := g.Stop(t.Context())
		if err == nil || !strings.Contains(err.Error(), "stop hung: did not stop within 10s") || !stopped {
			t.Errorf("got %v, engine stopped %t", err, stopped)
		}
		close(release)
	})
}
