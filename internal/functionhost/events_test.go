package functionhost

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// sinkFunc is a Sink.
type sinkFunc func([]faas.Event) error

func (f sinkFunc) SendEvents(_ context.Context, events []faas.Event) error { return f(events) }

func TestSenderKeepsOrderOverFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		tries := 0
		s := newSender(sinkFunc(func(events []faas.Event) error {
			if tries++; tries%3 != 0 {
				return errors.New("down")
			}
			for _, e := range events {
				got = append(got, e.Instance)
			}
			return nil
		}), "h", slog.New(slog.DiscardHandler))
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { s.run(ctx) })
		var want []string
		for i := range 1200 {
			name := strconv.Itoa(i)
			want = append(want, name)
			s.add(faas.Event{Ref: faas.Ref{Instance: name}, Data: faas.Ready{}})
			if i%400 == 0 {
				<-time.After(time.Second) // in the bubble: lets the sender work
			}
		}
		stop()
		wg.Wait()
		if !slices.Equal(got, want) {
			t.Errorf("%d events came, want %d in order", len(got), len(want))
		}
	})
}

func TestSenderDropsOnlyWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		s := newSender(sinkFunc(func(events []faas.Event) error {
			for _, e := range events {
				if e.Instance == "bad" {
					return fmt.Errorf("post: %w", &wire.StatusError{Code: http.StatusBadRequest})
				}
			}
			for _, e := range events {
				got = append(got, e.Instance)
			}
			return nil
		}), "h", slog.New(slog.DiscardHandler))
		for _, name := range []string{"a", "bad", "b"} {
			s.add(faas.Event{Ref: faas.Ref{Instance: name}, Data: faas.Ready{}})
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		s.run(ctx)
		if !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("came: %v", got)
		}
	})
}

func TestSenderIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSender(sinkFunc(func([]faas.Event) error { return errors.New("down") }), "h", slog.New(slog.DiscardHandler))
		for range maxQueued + 5 {
			s.add(faas.Event{Data: faas.Ready{}})
		}
		if len(s.queue) != maxQueued || s.dropped != 5 {
			t.Errorf("%d queued, %d dropped", len(s.queue), s.dropped)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		begin := time.Now()
		s.run(ctx)
		if took := time.Since(begin); took != flushTimeout {
			t.Errorf("gave up after %v, want %v", took, flushTimeout)
		}
	})
}

func TestClockNeverStandsStill(t *testing.T) {
	var c clock
	var mu sync.Mutex
	seen := map[int64]bool{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			last := time.Time{}
			for range 2000 {
				now := c.now()
				if !now.After(last) {
					t.Errorf("%v after %v", now, last)
				}
				last = now
				mu.Lock()
				if seen[now.UnixNano()] {
					t.Errorf("%v twice", now)
				}
				seen[now.UnixNano()] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}
