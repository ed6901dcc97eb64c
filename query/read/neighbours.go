package read

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
)

// Bounds of what is looked at to find a start's cause.
const (
	maxNeighbours = 1000
	// lookBack is how long before a demand a function's requests are looked at.
	lookBack = time.Hour
)

// Neighbour is an earlier start of the same function, and what its instance was
// doing at the time of the later one's demand.
type Neighbour struct {
	Instance       string     `ch:"instance"`
	Version        *string    `ch:"version"`
	Host           *string    `ch:"host"`
	Initialization *string    `ch:"initialization"`
	BegunAt        time.Time  `ch:"begun_at"`
	ReadyAt        *time.Time `ch:"ready_at"`
	StoppedAt      *time.Time `ch:"stopped_at"`
	StopReason     *string    `ch:"stop_reason"`
	ExitCode       *int32     `ch:"exit_code"`
	OOM            *bool      `ch:"oom"`
	Digest         *string    `ch:"digest"`
	MemoryLimit    *int64     `ch:"memory_limit"`

	Active  bool       `ch:"-"` // it had requests within the hour before
	Open    uint64     `ch:"-"` // requests that it was serving
	LastEnd *time.Time `ch:"-"` // of its last request that had ended
}

// activeRow is what an instance was doing.
type activeRow struct {
	Instance string     `ch:"instance"`
	Open     uint64     `ch:"open"`
	LastEnd  *time.Time `ch:"last_end"`
}

// Surroundings is what a start's cause is found by.
type Surroundings struct {
	Earlier  []Neighbour  // starts of the same function, newest first
	Attempts []Invocation // of the request that demanded the instance, that had begun before, newest first
}

// Surroundings reads how the start's function stood when the start was
// demanded; nil if it is not known when that was.
func (r *Reader) Surroundings(ctx context.Context, tenant string, s *ColdStart) (*Surroundings, error) {
	if s.DemandedAt == nil {
		return nil, nil //nolint:nilnil // not known, and nothing went wrong
	}
	at := *s.DemandedAt
	key := args{
		"tenant": tenant, "namespace": s.Namespace, "function": s.Function, "instance": s.Instance, "life": s.Life,
		"at": nanos(at), "since": nanos(at.Add(-lookBack)), "limit": maxNeighbours,
	}
	around := &Surroundings{}
	var active []activeRow
	var attempts []invocationRow
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		around.Earlier, err = selectRows[Neighbour](ctx, r, "neighbours", maxNeighbours, key)
		return err
	})
	g.Go(func() (err error) {
		active, err = selectRows[activeRow](ctx, r, "activity", maxNeighbours, key)
		return err
	})
	if s.RequestID != "" {
		g.Go(func() (err error) {
			attempts, err = selectRows[invocationRow](ctx, r, "attempts", maxAttempts, with(key, args{"request": s.RequestID, "limit": maxAttempts}))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	index := make(map[string]int, len(active))
	for i := range active {
		index[active[i].Instance] = i
	}
	for n := range around.Earlier {
		e := &around.Earlier[n]
		if i, ok := index[e.Instance]; ok {
			e.Active, e.Open, e.LastEnd = true, active[i].Open, utc(active[i].LastEnd)
		}
	}
	for i := range attempts {
		if v := attempts[i].invocation(); v.StartedAt.Before(at) {
			around.Attempts = append(around.Attempts, v)
		}
	}
	return around, nil
}
