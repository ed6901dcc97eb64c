package collector

import (
	"context"
	"errors"
	"fmt"
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

// generation is one generation of a log on its way through tail, runtimelog
// and ship. The goroutine of its chain owns it; others read view.
type generation struct {
	c       *Collector
	ch      *chain
	found   *discover.Generation
	file    *tail.File
	decoder *runtimelog.Decoder
	joiner  *runtimelog.Joiner

	// ctx ends with the collector's reading, and when the file is given up.
	ctx    context.Context
	cancel context.CancelFunc
	send   func(runtimelog.Line) error // add, made once

	stdout, stderr *ship.Stream
	redacted       []byte // the last line that held a secret

	head      uint64     // hash of its first record; 0 until it has one
	id        uint64     // set with window
	window    *ship.File // nil until the file has its ID
	out       *ship.Writer
	state     tail.State
	looked    time.Time
	stated    time.Time // when the file itself was looked at
	idleSince time.Time // there is nothing more to read, and nobody should write
	final     bool      // what was left without an end has been taken
	ledger    ledger
	failed    string // the error of the last attempt to read

	// carried is the generation before, in which a line began whose end is in
	// this one. held is that generation's place, plus one, which it must not go
	// beyond until this one may go on: both guarded by the chain's places.
	carried *generation
	held    int64

	givenUp atomic.Pointer[faas.GapReason] // what was not read is lost, and why
	saved   atomic.Pointer[string]         // path of its copy in the spool
	view    atomic.Pointer[view]

	kept   kept // owned by who saves the checkpoint
	keptAt time.Time
}

// view is what others see of a generation.
type view struct {
	window  *ship.File
	id      uint64
	head    uint64
	state   tail.State
	read    int64     // how far it was read
	lagging time.Time // since when there was something to acknowledge, as far as the chain has seen
	handed  int64     // how far it is done with once all lines that were handed over are acknowledged
}

func (c *Collector) newGeneration(ctx context.Context, ch *chain, g *discover.Generation) *generation {
	kind := tail.Kind{Compressed: g.Compressed}
	format := runtimelog.CRI
	switch g.Format {
	case discover.JSONFile:
		format = runtimelog.JSONFile
	case discover.Local:
		format, kind.Framing = runtimelog.Local, tail.Prefixed
	case discover.Plain:
		format = runtimelog.Plain
	case discover.Journal:
		format = runtimelog.Journal
	case discover.CRI:
	}
	if s := g.Saved; s != nil {
		kind.Saved, kind.Header, kind.Base = true, s.Header, s.Offset
	}
	gen := &generation{
		c: c, ch: ch, found: g,
		file:    tail.New(g.File, kind, g.Container.Owner, c.cfg.LineBytes+recordOverhead),
		decoder: runtimelog.NewDecoder(format),
		joiner:  runtimelog.NewJoiner(c.cfg.LineBytes, c.cfg.PartialTimeout, c.rules),
	}
	gen.ctx, gen.cancel = context.WithCancel(ctx)
	gen.send = gen.add
	gen.view.Store(&view{})
	return gen
}

// recordOverhead is how much longer than a line's body its record may be
// before it is cut: time, stream, escapes.
const recordOverhead = 64 << 10

// read takes all that is new. ended says that nobody should write to it any
// more. It reports whether there was anything. The error is ctx's, or one that
// will be tried again.
func (g *generation) read(ctx context.Context, buf *tail.Buffer, now time.Time, ended bool) (bool, error) {
	g.looked = now
	defer g.publish()
	if reason := g.givenUp.Load(); reason != nil {
		return false, g.giveUp(ctx, now, *reason)
	}
	if !ended && g.window != nil && !g.final && !g.found.Compressed && g.carried == nil && now.Sub(g.stated) < statEvery {
		progress, err := g.poll(buf, now)
		if !errors.Is(err, tail.ErrTruncated) {
			return progress, err
		}
	}
	g.stated = now
	state, err := g.file.Stat()
	if errors.Is(err, tail.ErrTruncated) {
		if err := g.truncated(ctx, now, err); err != nil {
			return false, err
		}
		state, err = g.file.Stat()
	}
	if err != nil {
		return false, err
	}
	was, pos := g.state, g.file.Pos()
	g.state = state
	g.decoder.SetTime(state.Modified)
	g.arrive()
	changed := state.Size != was.Size || !state.Modified.Equal(was.Modified)
	if changed {
		g.idleSince, g.final, g.ledger.complete = time.Time{}, false, false
	}
	if changed || g.window == nil && g.head != 0 {
		if err := g.attach(buf, now); err != nil {
			g.state = was // look again
			return false, err
		}
		g.state = g.file.State()
	}
	if changed && g.window != nil || g.file.Pos() < g.state.Size && g.window != nil && g.found.Compressed {
		if err := g.records(g.file.Records, buf); err != nil {
			g.state = was
			if !errors.Is(err, tail.ErrTruncated) {
				return g.file.Pos() > pos, err
			}
			// It has grown again since it was cut.
			if err := g.truncated(ctx, now, err); err != nil {
				return false, err
			}
			return g.read(ctx, buf, now, ended)
		}
	}
	if err := g.end(buf, now, state.Deleted || ended); err != nil {
		return g.file.Pos() > pos, err
	}
	return g.file.Pos() > pos, nil
}

// statEvery is how often the file itself is looked at, while it is being read:
// whether it was deleted or cut.
const statEvery = 200 * time.Millisecond

// poll reads what is new of a file that was looked at a moment ago.
func (g *generation) poll(buf *tail.Buffer, now time.Time) (bool, error) {
	pos := g.file.Pos()
	g.decoder.SetTime(now)
	err := g.records(g.file.Poll, buf)
	if g.file.Pos() == pos {
		return false, err
	}
	g.state.Size, g.state.Modified = g.file.State().Size, now
	return true, err
}

// records reads whole records to the file's end.
func (g *generation) records(read func(*tail.Buffer, func(tail.Record) error) error, buf *tail.Buffer) error {
	err := read(buf, g.record)
	if err == nil {
		g.advance()
	}
	// Otherwise not all that is behind us was handed over: the offset has to stay.
	return errors.Join(err, g.flushed())
}

// flushed hands over what was added.
func (g *generation) flushed() error {
	if g.carried != nil {
		if err := g.carried.out.Flush(g.ctx); err != nil {
			return err
		}
	}
	if g.out == nil { // there is no line of its own
		return nil
	}
	if err := g.out.Flush(g.ctx); err != nil {
		return err
	}
	if g.safe() == g.file.Pos() {
		g.ledger.mark(g.file.Pos())
	}
	return nil
}

// safe is how far the file is done with once all lines are that were handed over.
func (g *generation) safe() int64 {
	if g.carried != nil {
		return 0
	}
	return g.joiner.Safe(g.file.Pos())
}

// advance moves the offset over records that gave no line. All lines before
// have been added.
func (g *generation) advance() {
	if safe := g.safe(); safe > g.window.Committed() {
		g.out.Advance(safe)
	}
}

// record takes one record. One that cannot be given up yet comes again; any
// other error is ctx's and the end.
func (g *generation) record(r tail.Record) error {
	rec, ok, err := g.decoder.Decode(r.Data, r.Cut, r.CutAt)
	if err != nil {
		if err := g.bury(r, ship.ReasonRecord, err); err != nil {
			return err
		}
	}
	if !ok {
		return nil
	}
	if g.found.Format == discover.Journal {
		return g.event(r, rec.Body)
	}
	return g.joiner.Add(rec, r.Offset, r.End, g.send)
}

// add hands a line over.
func (g *generation) add(l runtimelog.Line) error {
	to := &g.stdout
	if l.Stream == faas.Stderr {
		to = &g.stderr
	}
	if *to == nil {
		*to = ship.NewStream(g.found.Container.Ref, l.Stream, g.c.cfg.Host)
	}
	body := g.redact(l.Body)
	out, safe := g.out, l.Safe
	switch {
	case l.Carried:
		out, safe = g.carried.out, g.carried.state.Size
	case g.carried != nil:
		safe = 0
	}
	err := out.Add(g.ctx, *to, &ship.Line{Time: l.Time, Body: body, Offset: l.Offset, Truncated: l.Truncated, Safe: safe})
	if err == nil {
		g.ledger.line(&l, g.looked, g.c.cfg.LateAfter)
	}
	return err
}

// redact takes credentials out of b. The result is valid until the next call.
func (g *generation) redact(b []byte) []byte {
	out, n := g.c.redactor.Line(g.redacted[:0], b)
	if n > 0 {
		g.redacted = out
		g.ledger.secrets += int64(n)
	}
	return out
}

// event hands an event over, under the labels of whose it is.
func (g *generation) event(r tail.Record, payload []byte) error {
	e, err := wire.DecodeEvent(payload, g.c.cfg.Tenant)
	if err != nil {
		return g.bury(r, ship.ReasonEvent, err)
	}
	err = g.out.Add(g.ctx, g.c.platform(e.Ref), &ship.Line{Time: e.Time, Body: g.redact(payload), Offset: r.Offset, Safe: r.End})
	if err == nil {
		g.ledger.streams[2]++
	}
	return err
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
func (g *generation) end(buf *tail.Buffer, now time.Time, ended bool) error {
	if g.final {
		return nil
	}
	if !ended {
		return errors.Join(g.joiner.Idle(g.file.Pos(), now.Sub(g.state.Modified), g.send), g.flushed())
	}
	if g.idleSince.IsZero() {
		g.idleSince = now
	}
	if now.Sub(g.idleSince) < linger || g.waits() || g.carried != nil && g.joiner.Open() && !g.joiner.Carrying() {
		return nil
	}
	if err := g.rest(buf); err != nil {
		return err
	}
	if err := errors.Join(g.joiner.Flush(g.file.Pos(), g.send), g.flushed()); err != nil {
		return err
	}
	if g.window != nil {
		g.advance()
	}
	g.final = true
	return nil
}

// rest takes the record at the file's end that has no newline.
func (g *generation) rest(buf *tail.Buffer) error {
	r, ok, err := g.file.Rest(buf)
	if err != nil || !ok {
		return err
	}
	if g.window == nil { // the file's only record
		g.head = tail.FileID(g.found.Container.Owner, r.Data)
		id := g.head
		if g.drawn() {
			if id, err = g.draw(g.looked); err != nil {
				return err
			}
		}
		if e, ok := g.c.checkpoint.Get(id); ok && e.Offset == r.End {
			g.begin(id, e.Offset, e)
			g.file.Skip(r.End)
			return nil
		}
		g.begin(id, 0, checkpoint.Entry{})
	}
	if err := g.record(r); err != nil {
		return err
	}
	g.file.Skip(r.End)
	g.advance()
	return nil
}

// publish shows others where the generation is.
func (g *generation) publish() {
	g.c.metrics.add(&g.ledger, g.file.Pos(), g.ch.hint)
	old := g.view.Load()
	v := view{
		window: g.window, id: g.id, head: g.head, state: g.state,
		read: g.file.Pos(), handed: g.safe(),
	}
	if g.window != nil && g.window.Committed() < g.state.Size {
		if v.lagging = old.lagging; v.lagging.IsZero() {
			v.lagging = g.looked
		}
	}
	if v != *old {
		changed := v
		g.view.Store(&changed)
	}
}

// consumed reports whether the file has ended and everything in it is
// acknowledged.
func (g *generation) consumed() bool {
	return g.final && (g.state.Size == 0 || g.window != nil && g.window.Committed() >= g.state.Size)
}

// gone reports whether the file is consumed and deleted, for so long that
// nobody is going to write to it.
func (g *generation) gone(now time.Time) bool {
	return g.state.Deleted && g.held == 0 && g.consumed() && now.Sub(g.idleSince) > deletedLinger
}
