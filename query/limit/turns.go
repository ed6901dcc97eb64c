package limit

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Turns says whose question is answered next: only so many at once, and of one
// tenant fewer, so that nobody has to wait behind another tenant's.
type Turns struct {
	perTenant int
	wait      time.Duration
	all       chan struct{}

	mu      sync.Mutex
	tenants map[string]*queue // of those that have or want a turn
}

// queue is one tenant's turns.
type queue struct {
	turns chan struct{}
	users int // that have or want one
}

// NewTurns makes all turns, of which one tenant has perTenant at most. Who
// waits longer than wait is sent away.
func NewTurns(all, perTenant int, wait time.Duration) *Turns {
	return &Turns{perTenant: perTenant, wait: wait, all: make(chan struct{}, all), tenants: map[string]*queue{}}
}

// BusyError means that there was no turn in time.
type BusyError struct {
	Running int  // as many as there may be
	Tenant  bool // all of them the tenant's own
}

// Error says what to do.
func (e *BusyError) Error() string {
	if e.Tenant {
		return fmt.Sprintf("%d of the tenant's requests are being answered already: ask for less at once, or try again", e.Running)
	}
	return fmt.Sprintf("%d requests are being answered already: try again", e.Running)
}

// Take waits for a turn of the tenant's, and gives what ends it. The error is
// a BusyError, or the context's. A nil t has turns for all.
func (t *Turns) Take(ctx context.Context, tenant string) (done func(), err error) {
	if t == nil {
		return func() {}, nil
	}
	timer := time.NewTimer(t.wait)
	defer timer.Stop()
	q := t.enter(tenant)
	if err := take(ctx, q.turns, timer.C); err != nil {
		t.leave(tenant, q)
		return nil, busy(err, t.perTenant, true)
	}
	if err := take(ctx, t.all, timer.C); err != nil {
		<-q.turns
		t.leave(tenant, q)
		return nil, busy(err, cap(t.all), false)
	}
	return func() {
		<-t.all
		<-q.turns
		t.leave(tenant, q)
	}, nil
}

func (t *Turns) enter(tenant string) *queue {
	t.mu.Lock()
	defer t.mu.Unlock()
	q := t.tenants[tenant]
	if q == nil {
		q = &queue{turns: make(chan struct{}, t.perTenant)}
		t.tenants[tenant] = q
	}
	q.users++
	return q
}

func (t *Turns) leave(tenant string, q *queue) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if q.users--; q.users == 0 {
		delete(t.tenants, tenant)
	}
}

// errLate means that the time to wait is over.
var errLate = fmt.Errorf("no turn in time")

func take(ctx context.Context, turns chan<- struct{}, late <-chan time.Time) error {
	select {
	case turns <- struct{}{}: // at once, also where there is no time to wait
		return nil
	default:
	}
	select {
	case turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-late:
		return errLate
	}
}

func busy(err error, running int, tenant bool) error {
	if err == errLate { //nolint:errorlint // it is never wrapped
		return &BusyError{running, tenant}
	}
	return err
}
