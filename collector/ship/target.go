package ship

import (
	"encoding/binary"
	"log/slog"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
)

// target is a Target and how it is.
type target struct {
	name string
	sink Sink

	// Guarded by the Shipper's mutex:
	downSince time.Time // zero: it is up
	probe     time.Time // when it is tried next although others have its work
	told      time.Time // when a failure was last logged
	failures  int       // since it is down
}

// rank gives the targets in the order of their hashes with key, the highest
// first: one target more or less moves nothing else.
func rank(targets []*target, key uint64) []*target {
	var k [8]byte
	binary.BigEndian.PutUint64(k[:], key)
	score := func(t *target) uint64 {
		return xxhash.Sum64(append([]byte(t.name), k[:]...))
	}
	order := slices.Clone(targets)
	slices.SortStableFunc(order, func(a, b *target) int {
		if x, y := score(a), score(b); x > y {
			return -1
		} else if x < y {
			return 1
		}
		return 0
	})
	return order
}

// route gives the target of a stream's lines: the first in its order that is
// not given up for now. With probe it may also be one that is, and is due to be
// tried again.
func (s *Shipper) route(to *Stream, probe bool) *target {
	if len(s.targets) == 1 {
		return s.targets[0]
	}
	if to.order == nil {
		to.order = rank(s.targets, to.key)
	}
	if s.opts.Failover <= 0 || to.order[0].downSince.IsZero() {
		return to.order[0]
	}
	now := time.Now()
	for _, t := range to.order {
		if t.downSince.IsZero() || now.Sub(t.downSince) < s.opts.Failover {
			return t
		}
		if probe && !now.Before(t.probe) {
			t.probe = now.Add(s.opts.MaxBackoff) // the others do not try
			return t
		}
	}
	return to.order[0]
}

// up notes that t has answered.
func (s *Shipper) up(t *target) {
	s.mu.Lock()
	failures, since := t.failures, t.downSince
	t.downSince, t.probe, t.told, t.failures = time.Time{}, time.Time{}, time.Time{}, 0
	s.mu.Unlock()
	if failures > 0 {
		s.log.Info("pushes arrive again", slog.String("target", t.name),
			slog.Int("failures", failures), slog.Duration("after", time.Since(since)))
	}
}

// down notes that t does not take anything, and reports whether that is worth
// a line in the log: once in a while it is.
func (s *Shipper) down(t *target, lost bool) (failures int, tell bool) {
	const every = 10 * time.Second
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	t.failures++
	if lost {
		if t.downSince.IsZero() {
			t.downSince = now
		}
		t.probe = now.Add(s.opts.MaxBackoff)
	}
	if tell = now.Sub(t.told) >= every; tell {
		t.told = now
	}
	return t.failures, tell
}

// divide groups the streams of a batch by where they are to go now, in their
// order. It gives nothing if that is t, where they have just been refused.
func (s *Shipper) divide(raw []byte, spans []span, t *target) []group {
	if len(spans) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var groups []group
	for _, sp := range spans {
		to := s.route(sp.to, false)
		i := slices.IndexFunc(groups, func(g group) bool { return g.target == to })
		if i < 0 {
			i = len(groups)
			groups = append(groups, group{target: to})
		}
		groups[i].raw = append(groups[i].raw, raw[:sp.bytes]...)
		groups[i].spans = append(groups[i].spans, sp)
		raw = raw[sp.bytes:]
	}
	if len(groups) == 1 && groups[0].target == t {
		return nil
	}
	return groups
}

// group is a part of a batch that goes to one target.
type group struct {
	target *target
	raw    []byte
	spans  []span
}
