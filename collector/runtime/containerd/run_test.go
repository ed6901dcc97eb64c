package containerd

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/api/types"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/workload"
)

func TestNew(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("New takes no options")
	}
	good := options(t, "", newRecord())
	if w, err := New(good); err != nil || w.opts.Socket != DefaultSocket {
		t.Errorf("%+v, %v", w, err)
	}
	if _, err := NewCRI(good); err == nil || !strings.Contains(err.Error(), "Socket") {
		t.Errorf("NewCRI without socket: %v", err)
	}
	good.Emit = nil
	if _, err := New(good); err == nil {
		t.Error("New does without Emit")
	}
}

// TestAbsent: a runtime that is not there is looked for quietly, and not often.
func TestAbsent(t *testing.T) {
	opts := options(t, filepath.Join(t.TempDir(), "absent.sock"), newRecord())
	var log strings.Builder
	opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		attempts := 0
		run(ctx, &opts, func(context.Context, *state) (bool, error) {
			attempts++
			return false, errors.New("absent")
		})
		if attempts < 15 || attempts > 60 {
			t.Errorf("%d attempts in ten minutes", attempts)
		}
		if log.Len() > 0 {
			t.Errorf("logged %s", &log)
		}
	})
	w, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	if connected, err := w.session(t.Context(), newState(&w.opts, nil)); connected || err == nil {
		t.Errorf("a session with nobody: %t, %v", connected, err)
	}
}

// TestOutbox: a slow disk stops nobody until the outbox is full, gets events
// in order, and several at once.
func TestOutbox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		var calls atomic.Int64
		o := &outbox{queue: make(chan []faas.Event, outboxSize), emit: func(ctx context.Context, events ...faas.Event) error {
			calls.Add(1)
			wait(ctx, time.Second)
			for _, e := range events {
				got = append(got, e.ID)
			}
			return ctx.Err()
		}}
		ctx, cancel := context.WithCancel(t.Context())
		go o.run(ctx)
		var want []string
		begin := time.Now()
		for i := range outboxSize {
			id := strconv.Itoa(i)
			want = append(want, id)
			o.put(ctx, []faas.Event{{ID: id}})
		}
		if waited := time.Since(begin); waited > 0 {
			t.Errorf("waited %v for the disk", waited)
		}
		wait(ctx, time.Minute)
		synctest.Wait()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if n := calls.Load(); n > 5 {
			t.Errorf("%d calls for %d events", n, outboxSize)
		}
		cancel()
		synctest.Wait()
		o.put(ctx, []faas.Event{{ID: "late"}}) // returns
	})
}

// TestStop: what an end is told as.
func TestStop(t *testing.T) {
	for name, c := range map[string]struct {
		ran, oom bool
		kills    int64
		code     int
		reason   string
		isOOM    bool
	}{
		"by itself":                     {ran: true, code: 0, reason: reasonExited},
		"error":                         {ran: true, code: 1, reason: reasonError},
		"SIGTERM":                       {ran: true, code: 143, reason: reasonKilled},
		"out of memory":                 {ran: true, oom: true, code: 137, reason: reasonOOM, isOOM: true},
		"out of memory, by the group":   {ran: true, kills: 1, code: 137, reason: reasonOOM, isOOM: true},
		"a child was out of memory":     {ran: true, oom: true, code: 1, reason: reasonError, isOOM: true},
		"a child was, long ago":         {ran: true, kills: 1, code: 0, reason: reasonExited},
		"its process could not be made": {code: 128, reason: reasonStartFailed},
	} {
		t.Run(name, func(t *testing.T) {
			opts := &Options{Source: "s", Exited: func(string) workload.Usage { return workload.Usage{MemoryPeak: 7, OOMKills: c.kills} }}
			out := &outbox{queue: make(chan []faas.Event, 2)}
			i := &instance{ran: c.ran, oom: c.oom}
			s := newState(opts, out)
			if c.ran {
				s.exits.started(i.object())
			}
			s.exited(t.Context(), i, time.Unix(1, 0), c.code)
			s.exited(t.Context(), i, time.Unix(2, 0), c.code)
			if len(out.queue) != 1 {
				t.Fatalf("told %d times", len(out.queue))
			}
			d := (<-out.queue)[0].Data.(faas.Stopped)
			if d.Reason != c.reason || d.OOM != c.isOOM || *d.ExitCode != c.code || (d.MemoryPeak == 7) != c.ran {
				t.Errorf("%+v", d)
			}
		})
	}
}

// TestExits: a container is asked for once, whoever hears of its end first.
func TestExits(t *testing.T) {
	asked := map[string]int{}
	x := newExits(func(id string) workload.Usage {
		asked[id]++
		return workload.Usage{MemoryPeak: 7}
	})
	exit := func(namespace, container, process string) envelope {
		raw, err := proto.Marshal(&events.TaskExit{ContainerID: container, ID: process})
		if err != nil {
			t.Fatal(err)
		}
		return &types.Envelope{Namespace: namespace, Topic: "/tasks/exit", Event: &anypb.Any{Value: raw}}
	}
	for _, id := range []string{"received", "listed", "both"} {
		x.started(object{"n", id})
	}
	x.received(exit("n", "received", "received"))
	x.received(exit("n", "listed", "a process inside"))
	x.received(exit("another", "listed", "listed"))
	x.received(exit("n", "never started", "never started"))
	for _, id := range []string{"received", "listed", "both"} {
		if u := x.take(object{"n", id}); u.MemoryPeak != 7 {
			t.Errorf("%s used %+v", id, u)
		}
	}
	x.received(exit("n", "both", "both"))
	if diff := cmp.Diff(map[string]int{"received": 1, "listed": 1, "both": 1}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if len(x.running)+len(x.used) > 0 {
		t.Errorf("left %v, %v", x.running, x.used)
	}
}
