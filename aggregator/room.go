package aggregator

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/coldscope/coldscope/internal/wire"
)

// stay is what a request takes of the room for what is made of requests, which is
// Config.Pending bytes. It is safe for concurrent use; a nil one takes nothing.
type stay struct {
	a *Aggregator

	mu   sync.Mutex
	held int64
	left bool
}

// Lines take so many times the size of their request, measured of lines of 200
// bytes: as they are, and when they are packed (insert.Writer.Pack).
const (
	unpackedShare = 4
	packedShare   = 1.5
)

// enter waits until there is room for what is made of a body. A body waits as it
// came, which is the smaller.
func (a *Aggregator) enter(ctx context.Context, body []byte) (*stay, error) {
	size := len(body)
	if n, err := s2.DecodedLen(body); err == nil && n > size && int64(n) <= a.cfg.Ingest.InflatedBytes {
		size = n
	}
	need := min(unpackedShare*int64(size), a.cfg.Pending)
	if !a.room.TryAcquire(need) {
		ctx, cancel := context.WithTimeout(ctx, a.cfg.Patience)
		defer cancel()
		since := time.Now()
		a.outside.Add(1)
		err := a.room.Acquire(ctx, need)
		a.outside.Add(-1)
		a.metrics.roomWaits.Observe(time.Since(since).Seconds())
		if err != nil {
			return nil, fmt.Errorf("%w: %d bytes wait to be stored already", wire.ErrBusy, a.cfg.Pending)
		}
	}
	a.inside.Add(1)
	return &stay{a: a, held: need}, nil
}

// packed gives back what lines do not take any more when they are packed.
func (s *stay) packed() {
	if s != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.shrink(int64(float64(s.held) * packedShare / unpackedShare))
	}
}

// leave gives back all that is held.
func (s *stay) leave() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.left {
		s.left = true
		s.a.inside.Add(-1)
		s.shrink(0)
	}
}

func (s *stay) shrink(to int64) {
	s.a.room.Release(s.held - to)
	s.held = to
}
