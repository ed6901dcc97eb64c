package ship

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/grafana/loki/pkg/push"

	"github.com/coldscope/coldscope/internal/wire"
)

// deliver brings b to its target, or what that refuses to the dead-letter
// file. It returns false if ctx ended before.
func (s *Shipper) deliver(ctx context.Context, b *batch) bool {
	return s.send(ctx, b, group{b.lane.target, b.raw, b.spans})
}

// send brings a part of b to a target.
func (s *Shipper) send(ctx context.Context, b *batch, g group) bool {
	for attempt := 0; ; attempt++ {
		began := time.Now()
		err := s.push(ctx, b.lane, g)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		if wire.Permanent(err) {
			var done bool
			if done, err = s.refused(ctx, b, g, err); err == nil {
				return done
			}
		}
		pause := s.pause(attempt, err)
		s.slower(b.lane, began, codeOf(err), pause)
		if failures, tell := s.down(g.target, lost(err)); tell {
			s.log.LogAttrs(ctx, slog.LevelWarn, "push failed, trying again",
				slog.String("target", g.target.name), slog.String("tenant", b.lane.tenant),
				slog.Int("failures", failures), slog.Duration("pause", pause), slog.Any("error", err))
		}
		if groups := s.divide(g.raw, g.spans, g.target); groups != nil {
			for _, other := range groups {
				if !s.send(ctx, b, other) {
					return false
				}
			}
			return true
		}
		if !wait(ctx, pause) {
			return false
		}
	}
}

// wait reports whether it lasted d, and not ctx less.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// push makes one attempt.
func (s *Shipper) push(ctx context.Context, ln *lane, g group) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.PushTimeout)
	defer cancel()
	began := time.Now()
	err := g.target.sink.PushEncoded(ctx, ln.tenant, g.raw)
	code := "2xx"
	if err != nil {
		if code = "error"; codeOf(err) != 0 {
			code = strconv.Itoa(codeOf(err))
		}
	}
	s.metrics.pushed(g.target.name, code, time.Since(began))
	if err == nil {
		s.faster(ln)
	}
	if err == nil || wire.Permanent(err) {
		s.up(g.target)
	}
	return err
}

// codeOf gives the peer's answer, 0 if there was none.
func codeOf(err error) int {
	if status, ok := errors.AsType[*wire.StatusError](err); ok {
		return status.Code
	}
	return 0
}

// lost reports whether err means that the target does not work, and not just
// that it has too much to do.
func lost(err error) bool { return codeOf(err) != http.StatusTooManyRequests }

// pause is a random part of what grows exponentially, so that many senders
// spread out, and at least what the peer asked for.
func (s *Shipper) pause(attempt int, err error) time.Duration {
	const mostAsked = 10 * time.Minute
	d := s.opts.MaxBackoff
	if attempt < 16 {
		d = min(d, s.opts.MinBackoff<<attempt)
	}
	d = rand.N(d) + 1
	if status, ok := errors.AsType[*wire.StatusError](err); ok && status.RetryAfter > 0 {
		d += min(status.RetryAfter, mostAsked)
	}
	return d
}

// refused gives up what the target will never take of g: all of it is sent
// again in halves until only that is left. The error is why it could not be
// given up.
func (s *Shipper) refused(ctx context.Context, b *batch, g group, cause error) (bool, error) {
	req, err := wire.DecodeRaw(g.raw)
	if err != nil {
		return false, fmt.Errorf("%w, and it cannot be divided: %w", cause, err)
	}
	if entries(req) <= 1 {
		return true, s.bury(b, req, cause)
	}
	first, second := halves(req)
	for _, half := range []*push.PushRequest{first, second} {
		raw, err := half.Marshal()
		if err != nil {
			return false, fmt.Errorf("%w, and it cannot be divided: %w", cause, err)
		}
		// Halves stay where they are: the target is up, it has just answered.
		if !s.send(ctx, b, group{target: g.target, raw: raw}) {
			return false, nil
		}
	}
	return true, nil
}

// entries counts the entries of req.
func entries(req *push.PushRequest) int {
	n := 0
	for i := range req.Streams {
		n += len(req.Streams[i].Entries)
	}
	return n
}

// halves splits req, which has at least two entries, in the middle.
func halves(req *push.PushRequest) (a, b *push.PushRequest) {
	a, b = new(push.PushRequest), new(push.PushRequest)
	left := entries(req) / 2
	for _, s := range req.Streams {
		n := min(left, len(s.Entries))
		left -= n
		if n > 0 {
			a.Streams = append(a.Streams, push.Stream{Labels: s.Labels, Entries: s.Entries[:n]})
		}
		if n < len(s.Entries) {
			b.Streams = append(b.Streams, push.Stream{Labels: s.Labels, Entries: s.Entries[n:]})
		}
	}
	return a, b
}

// bury gives up the one entry of req, which the target refuses for ever.
func (s *Shipper) bury(b *batch, req *push.PushRequest, cause error) error {
	reason := ReasonRefused
	if code := codeOf(cause); code != 0 {
		reason = "http_" + strconv.Itoa(code)
	}
	for _, stream := range req.Streams {
		for _, e := range stream.Entries {
			letter := Letter{
				Reason: reason, Error: cause.Error(), Tenant: b.lane.tenant,
				Labels: stream.Labels, Time: e.Timestamp, Line: e.Line,
			}
			for _, m := range e.StructuredMetadata {
				switch m.Name {
				case wire.MetaFileID:
					letter.FileID = m.Value
				case wire.MetaOffset:
					letter.Offset = m.Value
				}
			}
			if err := s.Bury(letter); err != nil {
				return err
			}
			for _, f := range b.files {
				if f.id == letter.FileID {
					f.refused.Add(1)
					break
				}
			}
		}
	}
	return nil
}

// Bury writes a dead letter and counts it. If it cannot be written, who has
// the entry keeps it and comes again.
func (s *Shipper) Bury(l Letter) error {
	if err := s.dead.write(l); err != nil {
		return err
	}
	s.metrics.dead.WithLabelValues(l.Reason).Inc()
	if n := s.buried.Add(1); n&(n-1) == 0 { // there may be many: the 1st, 2nd, 4th, 8th, … are logged
		s.log.Warn("entry given up, see the dead-letter file", slog.String("reason", l.Reason),
			slog.String("error", l.Error), slog.String("labels", l.Labels), slog.Int64("given_up", n))
	}
	return nil
}
