package functionhost

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/functionhost/container"
)

// Why instances stop, as their events say.
const (
	reasonIdle        = "idle"
	reasonError       = "error" // the process ended by itself
	reasonOOM         = "oom"
	reasonShutdown    = "shutdown"
	reasonStartFailed = "start-failed"
	reasonTimeout     = "timeout"   // of an invocation
	reasonCancelled   = "cancelled" // an invocation was
	reasonReplaced    = "replaced"  // by another Deploy
)

// instance is one instance of a function, from its demand to its end.
type instance struct {
	pool       *pool
	ref        faas.Ref
	init       faas.Initialization
	demandedBy string
	demandedAt time.Time

	// guarded by pool.mu:
	state   state
	busy    int       // requests that have a place here
	lastEnd time.Time // of a request, or when it became ready

	vacated bool // vacant is closed

	started  chan struct{} // closed when the start is over, well or not
	recycled chan string   // a reason to stop; of size 1
	vacant   chan struct{} // closed when it takes no more requests and has none

	// set before started is closed:
	err       error // why the start failed
	readyAt   time.Time
	container container.Instance
	transport *http.Transport
}

func newInstance(p *pool, init faas.Initialization, requestID string) *instance {
	id := make([]byte, 8)
	_, _ = rand.Read(id) // never fails
	return &instance{
		pool: p, init: init, demandedBy: requestID,
		ref: faas.Ref{
			Tenant: p.host.cfg.Tenant, Namespace: p.fn.Namespace, Function: p.fn.Name,
			Version: p.fn.Version, Instance: hex.EncodeToString(id),
		},
		demandedAt: p.host.clock.now(),
		started:    make(chan struct{}), recycled: make(chan string, 1), vacant: make(chan struct{}),
	}
}

// recycle has live stop the instance. pool.mu is held.
func (i *instance) recycle(reason string) {
	i.state = stopping
	select {
	case i.recycled <- reason:
	default: // has a reason already
	}
}

// noteVacancy is called when busy or state may have changed. pool.mu is held.
func (i *instance) noteVacancy() {
	if i.state == stopping && i.busy == 0 && !i.vacated {
		i.vacated = true
		close(i.vacant)
	}
}

// hasExited may be asked of an instance that serves.
func (i *instance) hasExited() bool {
	select {
	case <-i.container.Exited():
		return true
	default:
		return false
	}
}

func (i *instance) report(at time.Time, data faas.Data) {
	i.pool.host.events.add(faas.Event{Time: at, Ref: i.ref, Data: data})
}

func (i *instance) reportDemand(digest string) {
	h, fn := i.pool.host, &i.pool.fn
	d := faas.Demanded{
		RequestID: i.demandedBy, Initialization: i.init,
		Image: h.registry.Addr() + "/" + fn.Image, Digest: digest,
		Registry: h.registry.Addr(), Region: h.cfg.Region, MemoryLimit: fn.MemoryLimit,
	}
	if img, ok := h.registry.Lookup(fn.repoTag()); ok && img.Digest.String() == digest {
		d.ImageBytes = img.Bytes
	}
	i.report(i.demandedAt, d)
}

// live is an instance's life after it was demanded. When ctx ends, it does.
func (h *Host) live(ctx context.Context, i *instance) {
	log := h.cfg.Logger.With("function", i.pool.fn.Key(), "instance", i.ref.Instance)
	// What undoes things has to work when ctx has ended.
	undo := context.WithoutCancel(ctx)
	if err := h.bringUp(ctx, i); err != nil {
		if ctx.Err() != nil {
			err = ErrClosed
		}
		log.Warn("instance start failed", "error", err)
		h.failStart(undo, i, err)
		return
	}
	i.pool.served(i)
	close(i.started)
	log.Debug("instance serves")

	var reason string
	select {
	case <-i.container.Exited():
		reason = reasonError
	case reason = <-i.recycled:
	case <-ctx.Done():
		reason = reasonShutdown
	}
	i.pool.leave(ctx, i, false)
	if reason == reasonShutdown {
		h.letFinish(i)
	}
	h.end(undo, i, reason)
	log.Debug("instance stopped", "reason", reason)
}

// letFinish gives requests that the instance is working on a little time.
func (h *Host) letFinish(i *instance) {
	t := time.NewTimer(h.cfg.StopGrace)
	defer t.Stop()
	select {
	case <-i.vacant:
	case <-i.container.Exited():
	case <-t.C:
	}
}

// failStart ends an instance that did not come up.
func (h *Host) failStart(ctx context.Context, i *instance, err error) {
	i.err = err
	reason := reasonStartFailed
	if errors.Is(err, ErrClosed) {
		reason = reasonShutdown
	}
	close(i.started)
	i.pool.leave(ctx, i, true)
	h.end(ctx, i, reason)
}

// end stops and removes the container, if there is one, and reports it.
func (h *Host) end(ctx context.Context, i *instance, reason string) {
	stopped := faas.Stopped{Reason: reason}
	log := h.cfg.Logger.With("function", i.pool.fn.Key(), "instance", i.ref.Instance)
	if i.container != nil {
		if err := i.container.Stop(ctx, h.cfg.StopGrace); err != nil {
			log.Warn("instance was not stopped", "error", err)
		}
		select {
		case <-i.container.Exited():
			exit := i.container.Exit()
			stopped.OOM, stopped.MemoryPeak = exit.OOM, exit.MemoryPeak
			if exit.Err == nil {
				stopped.ExitCode = &exit.Code
			}
			if exit.OOM {
				stopped.Reason = reasonOOM
			}
		default: // never ran
		}
	}
	i.report(h.clock.now(), stopped)
	if i.container == nil {
		return
	}
	if i.transport != nil {
		i.transport.CloseIdleConnections()
	}
	if err := i.container.Remove(ctx); err != nil {
		log.Warn("instance was not removed", "error", err)
	}
}

// waitReady waits until the function's port accepts a connection.
func (i *instance) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, i.pool.fn.InitTimeout)
	defer cancel()
	// A refused connection costs some 100 µs, so that this can be done often.
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := i.container.Dial(ctx)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-i.container.Exited():
			exit := i.container.Exit()
			what := fmt.Sprintf("exited with code %d", exit.Code)
			if exit.OOM {
				what = fmt.Sprintf("was killed for exceeding its memory limit of %d MiB", i.pool.fn.MemoryLimit>>20)
			}
			return fmt.Errorf("the function's process %s before it listened on port %d", what, container.Port)
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("the function did not listen on port %d within %v (last attempt: %w)", container.Port, i.pool.fn.InitTimeout, err)
			}
			return ctx.Err()
		}
	}
}
