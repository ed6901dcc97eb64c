package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/coldscope/coldscope/collector/checkpoint"
	"github.com/coldscope/coldscope/collector/discover"
	"github.com/coldscope/coldscope/collector/runtimelog"
	"github.com/coldscope/coldscope/collector/ship"
	"github.com/coldscope/coldscope/collector/tail"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// A file that was rotated away or deleted may have a writer for a moment yet.
const (
	// linger is how long such a file is quiet until what has no end in it is
	// taken as it is.
	linger = time.Second
	// deletedLinger is how long a deleted one is quiet until it is closed.
	deletedLinger = 5 * time.Second
)

// generation is one generation of a container's log on its way through tail,
// runtimelog and ship. The goroutine of its chain owns it; others read view.
type generation struct {
	c       *Collector
	found   *discover.Generation
	file    *tail.File
	decoder *runtimelog.Decoder
	joiner  *runtimelog.Joiner

	stdout, stderr *ship.Stream

	window    *ship.File // nil until the file has its ID
	id        uint64
	state     tail.State
	idleSince time.Time // there is nothing more to read, and nobody should write
	final     bool      // what was left without an end has been taken

	view atomic.Pointer[view]
}

// view is what others see of a generation.
type view struct {
	window *ship.File
	id     uint64
	state  tail.State
	read   int64 // how far it was read
	handed int64 // how far it is done with once all lines that were handed over are acknowledged
}

func (c *Collector) newGeneration(g *discover.Generation) *generation {
	format := runtimelog.CRI
	switch g.Container.Kind {
	case discover.Docker:
		format = runtimelog.JSONFile
	case discover.Journal:
		format = runtimelog.Journal
	case discover.CRI:
	}
	gen := &generation{
		c: c, found: g,
		file:    tail.New(g.File, g.Container.Owner, c.cfg.LineBytes+recordOverhead),
		decoder: runtimelog.NewDecoder(format),
		joiner:  runtimelog.NewJoiner(c.cfg.LineBytes, c.cfg.PartialTimeout, nil),
	}
	gen.view.Store(&view{})
	return gen
}

// recordOverhead is how much longer than a line's body its record may be
// before it is cut: time, stream, escapes.
const recordOverhead = 64 << 10

// read takes all that is new. last says that no younger generation exists. It
// reports whether there was anything. The error is ctx's, or one that will be
// tried again.
func (g *generation) read(ctx context.Context, buf *tail.Buffer, now time.Time, last bool) (bool, error) {
	state, err := g.file.Stat()
	if errors.Is(err, tail.ErrTruncated) {
		g.truncated(err)
		state, err = g.file.Stat()
	}
	if err != nil {
		return false, err
	}
	defer g.publish()
	was, pos := g.state, g.file.Pos()
	g.state = state
	if state.Size != was.Size || !state.Modified.Equal(was.Modified) {
		g.idleSince, g.final = time.Time{}, false
		err := g.attach(buf)
		if err == nil && g.window != nil {
			err = g.records(ctx, buf)
		}
		if err != nil {
			g.state = was // look again
			return g.file.Pos() > pos, err
		}
	}
	return g.file.Pos() > pos, g.end(ctx, buf, now, state.Deleted || !last)
}

// identify attaches the file as far as that is possible now. It is called
// before the chain owns the generation.
func (g *generation) identify() {
	buf := g.c.buffer()
	defer g.c.release(buf)
	state, err := g.file.Stat()
	if err != nil {
		return // the chain will see it
	}
	if g.attach(buf) == nil && g.window != nil {
		g.view.Store(&view{window: g.window, id: g.id, state: state, read: g.file.Pos(), handed: g.window.Committed()})
	}
}

// attach gives the file its ID once it has one, and goes to where it was
// acknowledged.
func (g *generation) attach(buf *tail.Buffer) error {
	if g.window != nil {
		return nil
	}
	id, ok, err := g.file.Identify(buf)
	if err != nil || !ok {
		return err
	}
	var committed int64
	if e, ok := g.c.checkpoint.Get(id); ok {
		if err := g.file.Resume(e.Offset); err != nil {
			g.c.metrics.restarts.WithLabelValues("guard").Inc()
			g.c.log.Warn("file does not fit its checkpoint, reading it from its beginning",
				slog.String("path", g.found.Path), slog.Int64("offset", e.Offset), slog.Any("error", err))
		} else {
			committed = e.Offset
		}
	}
	g.id, g.window = id, ship.NewFile(id, committed)
	g.c.attached(g)
	g.c.log.Debug("file attached", slog.String("path", g.found.Path),
		slog.String("file_id", wire.FormatFileID(id)), slog.Int64("offset", committed))
	return nil
}

// truncated makes the file a new generation of itself.
func (g *generation) truncated(err error) {
	g.c.metrics.restarts.WithLabelValues("truncated").Inc()
	g.c.log.Warn("file was truncated, reading it from its beginning; what was not read of it is lost",
		slog.String("path", g.found.Path), slog.Int64("read", g.file.Pos()), slog.Any("error", err))
	if g.window != nil {
		g.c.detached(g)
	}
	g.file.Restart()
	g.joiner.Reset()
	g.window, g.state, g.final, g.idleSince = nil, tail.State{}, false, time.Time{}
}

// records reads whole records to the file's end.
func (g *generation) records(ctx context.Context, buf *tail.Buffer) error {
	if err := g.file.Records(buf, func(r tail.Record) error { return g.record(ctx, r) }); err != nil {
		// Not all that is behind us was handed over: the offset has to stay.
		return err
	}
	g.advance()
	return nil
}

// advance moves the offset over records that gave no line. All lines before
// have been handed over.
func (g *generation) advance() {
	if safe := g.joiner.Safe(g.file.Pos()); safe > g.window.Committed() {
		g.c.ship.Advance(g.window, safe)
	}
}

// record takes one record. One that cannot be given up yet comes again; any
// other error is ctx's and the end.
func (g *generation) record(ctx context.Context, r tail.Record) error {
	rec, ok, err := g.decoder.Decode(r.Data, r.Cut, r.CutAt)
	if err != nil {
		if err := g.bury(r, ship.ReasonRecord, err); err != nil {
			return err
		}
	}
	g.c.metrics.readBytes.Add(float64(r.End - r.Offset))
	if !ok {
		return nil
	}
	if g.found.Container.Kind == discover.Journal {
		return g.event(ctx, r, rec.Body)
	}
	return g.joiner.Add(rec, r.Offset, r.End, func(l runtimelog.Line) error { return g.send(ctx, l) })
}

// send hands a line over.
func (g *generation) send(ctx context.Context, l runtimelog.Line) error {
	g.c.metrics.readLines[l.Stream].Inc()
	if l.Truncated > 0 {
		g.c.metrics.truncated.Inc()
	}
	to := &g.stdout
	if l.Stream == faas.Stderr {
		to = &g.stderr
	}
	if *to == nil {
		*to = ship.NewStream(g.found.Container.Ref, l.Stream, g.c.cfg.Host)
	}
	return g.c.ship.Send(ctx, g.window, *to, &ship.Line{
		Time: l.Time, Body: l.Body, Offset: l.Offset, Truncated: l.Truncated, Safe: l.Safe,
	})
}

// event hands an event over, under the labels of whose it is.
func (g *generation) event(ctx context.Context, r tail.Record, payload []byte) error {
	e, err := wire.DecodeEvent(payload, g.c.cfg.Tenant)
	if err != nil {
		return g.bury(r, ship.ReasonEvent, err)
	}
	g.c.metrics.readLines[faas.Platform].Inc()
	return g.c.ship.Send(ctx, g.window, g.c.platform(e.Ref), &ship.Line{
		Time: e.Time, Body: payload, Offset: r.Offset, Safe: r.End,
	})
}

// bury gives up a record that cannot be decoded.
func (g *generation) bury(r tail.Record, reason string, cause error) error {
	err := g.c.ship.Bury(ship.Letter{
		Reason: reason, Error: cause.Error(), Path: g.found.Path,
		FileID: wire.FormatFileID(g.id), Offset: strconv.FormatInt(r.Offset, 10), Line: string(r.Data),
	})
	if err != nil {
		return fmt.Errorf("give up a record of %s: %w", g.found.Path, err)
	}
	return nil
}

// end takes what has no end and will not get one: an open line in a file that
// has been quiet for long, and in one that nobody writes any more also a
// record without its newline.
func (g *generation) end(ctx context.Context, buf *tail.Buffer, now time.Time, ended bool) error {
	if g.final {
		return nil
	}
	if !ended {
		return g.joiner.Idle(g.file.Pos(), now.Sub(g.state.Modified), func(l runtimelog.Line) error { return g.send(ctx, l) })
	}
	if g.idleSince.IsZero() {
		g.idleSince = now
	}
	if now.Sub(g.idleSince) < linger {
		return nil
	}
	if err := g.rest(ctx, buf); err != nil {
		return err
	}
	if err := g.joiner.Flush(g.file.Pos(), func(l runtimelog.Line) error { return g.send(ctx, l) }); err != nil {
		return err
	}
	g.final = true
	return nil
}

// rest takes the record at the file's end that has no newline.
func (g *generation) rest(ctx context.Context, buf *tail.Buffer) error {
	r, ok, err := g.file.Rest(buf)
	if err != nil || !ok {
		return err
	}
	if g.window == nil { // the file's only record
		g.id = tail.FileID(g.found.Container.Owner, r.Data)
		g.window = ship.NewFile(g.id, 0)
		if e, ok := g.c.checkpoint.Get(g.id); ok && e.Offset == r.End {
			g.window = ship.NewFile(g.id, e.Offset)
			g.file.Skip(r.End)
			g.c.attached(g)
			return nil
		}
		g.c.attached(g)
	}
	if err := g.record(ctx, r); err != nil {
		return err
	}
	g.file.Skip(r.End)
	g.advance()
	return nil
}

// publish shows others where the generation is.
func (g *generation) publish() {
	g.view.Store(&view{
		window: g.window, id: g.id, state: g.state,
		read: g.file.Pos(), handed: g.joiner.Safe(g.file.Pos()),
	})
}

// consumed reports whether the file has ended and everything in it is
// acknowledged.
func (g *generation) consumed() bool {
	return g.final && (g.state.Size == 0 || g.window != nil && g.window.Committed() >= g.state.Size)
}

// gone reports whether the file is consumed and deleted, for so long that
// nobody is going to write to it.
func (g *generation) gone(now time.Time) bool {
	return g.state.Deleted && g.consumed() && now.Sub(g.idleSince) > deletedLinger
}

// entry is the generation's place in the checkpoint.
func (g *generation) entry(v *view, now time.Time) checkpoint.Entry {
	return checkpoint.Entry{
		Offset: v.window.Committed(), Read: v.state.Size, Path: g.found.Path,
		Instance: g.found.Container.Ref.Instance, Seen: now,
	}
}
