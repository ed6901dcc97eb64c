package probe

import (
	"context"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/coldscope/coldscope/internal/faas"
)

// TestOutbox: while nothing can be made durable, memory is bounded and starts
// have more room than usage; what is given up is counted; the rest comes in order.
func TestOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(newMetrics(nil))
		ctx, cancel := context.WithCancel(t.Context())
		disk := make(chan struct{})
		var got []string
		var running sync.WaitGroup
		running.Go(func() {
			o.run(ctx, func(ctx context.Context, events ...faas.Event) error {
				select {
				case <-disk:
				case <-ctx.Done():
					return ctx.Err()
				}
				for _, e := range events {
					got = append(got, e.ID)
				}
				return nil
			})
		})
		o.add(faas.Event{ID: "first", Data: faas.Ready{}}) // taken, and stuck
		synctest.Wait()
		for n := range maxWaiting {
			o.add(faas.Event{ID: strconv.Itoa(n), Data: faas.InvocationUsage{}})
		}
		for n := range maxWaiting {
			o.add(faas.Event{ID: strconv.Itoa(maxWaiting + n), Data: faas.Ready{}})
		}
		for _, kind := range []faas.EventType{faas.TypeInvocationUsage, faas.TypeReady} {
			if n := testutil.ToFloat64(o.metrics.dropped.WithLabelValues(string(kind))); n != maxWaiting/2 {
				t.Errorf("%g of %s were dropped, want %d", n, kind, maxWaiting/2)
			}
		}
		close(disk)
		synctest.Wait()
		if len(got) != maxWaiting+1 || got[0] != "first" || got[1] != "0" || got[maxWaiting] != strconv.Itoa(maxWaiting+maxWaiting/2-1) {
			t.Errorf("%d events came, the last %s", len(got), got[len(got)-1])
		}
		cancel()
		running.Wait()
	})
}

func TestOptions(t *testing.T) {
	emit := func(context.Context, ...faas.Event) error { return nil }
	if _, err := New(Options{Source: "h", Emit: emit}); err != nil {
		t.Errorf("defaults are refused: %v", err)
	}
	for name, o := range map[string]Options{
		"no source":  {Emit: emit},
		"no emit":    {Source: "h"},
		"port":       {Source: "h", Emit: emit, Ports: []int{70000}},
		"ebpf":       {Source: "h", Emit: emit, EBPF: "maybe"},
		"intervals":  {Source: "h", Emit: emit, PollMin: time.Second, PollMax: time.Millisecond},
		"no timeout": {Source: "h", Emit: emit, Timeout: -1},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestRestart: a container that is started again keeps its ID, and is another start.
func TestRestart(t *testing.T) {
	p, r := run(t, Options{})
	var container string
	var before int
	ids := map[string]bool{}
	for range 5 {
		f := startFunction(t, server{After: 50 * time.Millisecond, Listen: []string{"tcp :9000"}}, false)
		if container == "" {
			container = f.process.ContainerID
		}
		f.process.ContainerID = container // its end was not told
		p.Running(f.process)
		ids[r.next(t).ID] = true
		ids[r.next(t).ID] = true
		f.end()
		if before == 0 { // by now Run has opened its own
			before = descriptors(t)
		}
	}
	if len(ids) != 10 {
		t.Errorf("events are %v", ids)
	}
	p.Exited(container)
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors are open, %d before", after, before)
	}
	if n := len(p.instances) + len(p.byRef); n != 0 {
		t.Errorf("%d instances are remembered", n)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}
