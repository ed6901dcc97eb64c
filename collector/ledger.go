package collector

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/coldscope/coldscope/collector/checkpoint"
	"github.com/coldscope/coldscope/collector/discover"
	"github.com/coldscope/coldscope/collector/runtimelog"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// ledger is the account of one file. What it counts up to a place is kept with
// that place in the checkpoint, so that each line counts once, restarts included.
type ledger struct {
	checkpoint.Counts // of what was read

	mu sync.Mutex
	// Guarded by mu:
	marks  []mark // of what was handed over and may not be acknowledged, in order
	stored mark   // of what is acknowledged

	// The chain's:
	told     checkpoint.Counts // of the last event
	toldAt   time.Time
	quiet    bool // the last event said so
	complete bool // the last event said so

	counted  int64 // bytes that are in the metrics
	exported checkpoint.Counts
	secrets  int64    // that were redacted, not in the metrics yet
	streams  [3]int64 // lines of stdout, stderr and platform, not in the metrics yet
}

// mark is what a ledger counts up to a place in its file.
type mark struct {
	at int64
	checkpoint.Counts
}

// begin goes on at a place.
func (l *ledger) begin(at int64, c checkpoint.Counts, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Counts, l.stored, l.marks = c, mark{at, c}, nil
	l.streams = [3]int64{}
	l.complete = false
	l.counted, l.exported = at, c
	l.told, l.toldAt = c, now
}

// line counts one.
func (l *ledger) line(line *runtimelog.Line, now time.Time, lateAfter time.Duration) {
	l.Lines++
	if line.Stream == faas.Stderr {
		l.streams[1]++
	} else {
		l.streams[0]++
	}
	if line.Truncated > 0 {
		l.TruncatedLines++
		l.TruncatedBytes += line.Truncated
	}
	if now.Sub(line.Time) > lateAfter {
		l.LateLines++
	}
	if l.From.IsZero() || line.Time.Before(l.From) {
		l.From = line.Time
	}
	if line.Time.After(l.To) {
		l.To = line.Time
	}
}

// mark notes that all that was counted is before at.
func (l *ledger) mark(at int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.marks); n > 0 && l.marks[n-1].at == at || l.stored.at == at {
		return
	}
	l.marks = append(l.marks, mark{at, l.Counts})
}

// acknowledged gives what is counted up to the last mark that is acknowledged.
func (l *ledger) acknowledged(committed, refused int64) mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for n < len(l.marks) && l.marks[n].at <= committed {
		n++
	}
	if n > 0 {
		l.stored = l.marks[n-1]
		l.marks = append(l.marks[:0], l.marks[n:]...)
	}
	m := l.stored
	m.Refused += refused
	return m
}

// A ledger that has changed is told every minute, and once when its file is
// quiet: a request's last lines are the last for a while.
const (
	ledgerEvery = time.Minute
	quietEvery  = 5 * time.Second
)

// tell sends the file's ledger, if there is something new in it: when it is
// complete, and now and then until that.
func (g *generation) tell(ctx context.Context, now time.Time) {
	if g.window == nil || g.found.Format == discover.Journal {
		return
	}
	l := &g.ledger
	quiet := g.ch.listening && !g.final && g.window.Committed() >= g.state.Size && now.Sub(l.toldAt) > quietEvery
	if !g.final && !quiet && now.Sub(l.toldAt) < ledgerEvery || g.final && l.complete {
		return
	}
	stored := l.acknowledged(g.window.Committed(), g.window.Refused())
	complete := g.consumed()
	news := stored.Counts != l.told || quiet && !l.quiet
	if !news && complete == l.complete || !complete && !quiet && now.Sub(l.toldAt) < ledgerEvery {
		return
	}
	var through time.Time
	if quiet {
		through = g.looked.UTC()
	}
	err := g.c.record(ctx, faas.Event{
		ID: fmt.Sprintf("%016x/ledger/%d/%t/%t", g.id, stored.at, quiet, complete), Source: g.c.cfg.Host, Time: now.UTC(),
		Ref: g.found.Container.Ref,
		Data: faas.Ledger{
			FileID: wire.FormatFileID(g.id), From: stored.From, To: stored.To, Bytes: stored.at, Lines: stored.Lines,
			TruncatedLines: stored.TruncatedLines, TruncatedBytes: stored.TruncatedBytes, RefusedLines: stored.Refused,
			LostBytes: stored.LostBytes, LateLines: stored.LateLines, Complete: complete, Through: through,
		},
	})
	if err == nil { // else the journal is full: the next one says the same
		l.told, l.toldAt, l.complete, l.quiet = stored.Counts, now, complete, quiet
	}
}

// gap says that n bytes from offset on are lost.
func (g *generation) gap(ctx context.Context, now time.Time, offset, n int64, reason faas.GapReason) error {
	ref := g.found.Container.Ref
	err := g.c.lost(ctx, ref, now, faas.Gap{
		FileID: wire.FormatFileID(g.id), Offset: offset, Bytes: n, From: g.ledger.To, To: now.UTC(), Reason: reason,
	}, g.found.Path)
	if err == nil {
		g.ledger.LostBytes += n
	}
	return err
}

// lost makes a gap durable as an event, counts it and says it.
func (c *Collector) lost(ctx context.Context, ref faas.Ref, now time.Time, gap faas.Gap, path string) error {
	if err := c.record(ctx, faas.Event{
		ID: fmt.Sprintf("%s/gap/%d", gap.FileID, gap.Offset), Source: c.cfg.Host, Time: now.UTC(), Ref: ref, Data: gap,
	}); err != nil {
		return fmt.Errorf("record a gap: %w", err)
	}
	c.metrics.missed.WithLabelValues(string(gap.Reason)).Add(float64(gap.Bytes))
	c.log.Error("lines are lost", slog.String("advice", lostAdvice[gap.Reason]),
		slog.String("reason", string(gap.Reason)), slog.String("path", path), slog.String("instance", ref.Instance),
		slog.Int64("offset", gap.Offset), slog.Int64("missed_bytes", gap.Bytes))
	return nil
}

// lostAdvice says what happened and what to do about it.
var lostAdvice = map[faas.GapReason]string{
	faas.GapVanished:  "The file was deleted while the collector was not running: keep log files longer than it may be down",
	faas.GapPinned:    "Deleted files held more than pinned_bytes: bring the aggregator back sooner, or allow more",
	faas.GapTruncated: "The file was truncated before it was read: let log rotation rename files",
	faas.GapSpool:     "Saved logs were older than spool_age: bring the aggregator back sooner, or allow more",
}

// record makes an event of the collector's own durable.
func (c *Collector) record(ctx context.Context, e faas.Event) error {
	return c.journal.Append(ctx, []faas.Event{e})
}

// abandon makes the chain give up what it has not read of g, even if it waits
// for the sink.
func (g *generation) abandon(reason faas.GapReason) {
	if g.givenUp.CompareAndSwap(nil, &reason) {
		g.cancel()
		g.ch.poke()
	}
}

// giveUp loses what was not read of a file that must not be held any longer.
func (g *generation) giveUp(ctx context.Context, now time.Time, reason faas.GapReason) error {
	if g.final {
		return nil
	}
	if state, err := g.file.Stat(); err == nil {
		g.state = state
	}
	if g.window == nil { // never had a whole record
		g.final, g.state.Size = true, 0
		return nil
	}
	from := g.joiner.Safe(g.file.Pos()) // a line whose end was not read is lost as a whole
	if lost := g.state.Size - from; lost > 0 {
		if err := g.gap(ctx, now, from, lost, reason); err != nil {
			return err
		}
	}
	g.ctx = ctx // what was handed over is not lost
	g.drop()
	g.joiner.Reset()
	g.file.Skip(g.state.Size)
	g.c.scanner.Forget(g.found)
	_ = g.found.File.Close() // it was only read; its space is what is needed
	g.advance()
	g.final, g.idleSince = true, now
	return g.flushed()
}

// behind is for how long the file has had something that is not acknowledged:
// since it was written to, or since the last acknowledgement that moved its offset.
func (g *generation) behind(v *view, now time.Time) time.Duration {
	if v.window == nil || v.window.Committed() >= v.state.Size {
		return 0
	}
	since := v.lagging
	if last := v.window.Acknowledged(); last.After(since) {
		since = last
	}
	if since.IsZero() {
		return 0
	}
	return max(0, now.Sub(since))
}
