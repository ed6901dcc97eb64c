package collector

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/coldscope/coldscope/collector/checkpoint"
	"github.com/coldscope/coldscope/collector/discover"
	"github.com/coldscope/coldscope/collector/runtimelog"
	"github.com/coldscope/coldscope/collector/ship"
	"github.com/coldscope/coldscope/collector/tail"
	"github.com/coldscope/coldscope/internal/faas"
	"github.com/coldscope/coldscope/internal/wire"
)

// How a file gets its name. Where records begin with their time, the name is
// computed from the first of them. A plain text file's is drawn and kept in the
// checkpoint, where place, head and guard find it again.

// drawn reports whether the file's name cannot be computed from it.
func (g *generation) drawn() bool { return g.found.Format == discover.Plain && g.found.Saved == nil }

// copyTime is how long a rotated file that begins like another one is watched
// before it is taken for one of its own: it may be a copy that is being made.
const copyTime = 2 * time.Second

// attach gives the file its name once it has one, and goes to where it was
// acknowledged. A file that holds the same as another open one, since it is a
// copy of it or its compressed form, gets none until it is alone.
func (g *generation) attach(buf *tail.Buffer, now time.Time) error {
	if g.window != nil {
		return nil
	}
	if s := g.found.Saved; s != nil {
		g.head = s.ID
		if g.c.isAttached(s.ID) {
			return nil
		}
		return g.resume(s.ID)
	}
	head, ok, err := g.file.Identify(buf)
	if err != nil || !ok {
		return err
	}
	g.head = head
	if g.found.Format == discover.CRI && g.file.First() == '{' {
		g.decoder = runtimelog.NewDecoder(runtimelog.JSONFile) // Docker's log behind kubelet's link
	}
	id := head
	if g.drawn() {
		if id, err = g.find(now); err != nil || id == 0 {
			return err
		}
	} else if g.c.isAttached(id) {
		return nil
	}
	return g.resume(id)
}

// waits reports whether the file has no name yet although it could have one.
func (g *generation) waits() bool { return g.head != 0 && g.window == nil }

// find gives a plain file its name back, or a new one; 0 if that cannot be said
// yet.
func (g *generation) find(now time.Time) (uint64, error) {
	at := g.found
	known := g.c.checkpoint.Find(func(_ uint64, e *checkpoint.Entry) bool {
		return e.Key == at.Container.Key && e.Head == g.head
	})
	if g.found.Compressed { // its size is needed to hold places against it
		if err := g.file.Measure(0); err != nil {
			return 0, err
		}
	}
	for id, e := range known {
		same := e.Dev == at.Dev && e.Inode == at.Inode
		switch {
		case g.c.isAttached(id):
			if same || !at.Rotated {
				continue // it was truncated, or begins like the one before
			}
			if g.file.Fits(e.Offset, e.Guard) == nil || now.Sub(g.state.Modified) < copyTime {
				return 0, nil
			}
		case same:
			if g.file.Fits(e.Offset, e.Guard) == nil {
				return id, nil
			}
		case at.Rotated:
			if g.ch.expects(g, &e) {
				return 0, nil // the file itself is there, this is a copy
			}
			if g.file.Fits(e.Offset, e.Guard) == nil {
				return id, nil
			}
		}
	}
	return g.draw(now)
}

// draw gives the file a new name, which is durable before anything is sent
// under it.
func (g *generation) draw(now time.Time) (uint64, error) {
	id := max(1, rand.Uint64())
	at := g.found
	g.c.checkpoint.Set(id, checkpoint.Entry{
		Head: g.head, Key: at.Container.Key, Dev: at.Dev, Inode: at.Inode, Path: at.Path, Ref: at.Container.Ref, Seen: now,
	})
	if err := g.c.checkpoint.Save(); err != nil {
		g.c.checkpoint.Delete(id)
		return 0, fmt.Errorf("keep the name of %s: %w", at.Path, err)
	}
	return id, nil
}

// expects reports whether another generation without a name is where e was.
func (ch *chain) expects(but *generation, e *checkpoint.Entry) bool {
	for _, g := range ch.gens {
		if g != but && g.window == nil && g.found.Dev == e.Dev && g.found.Inode == e.Inode && g.state.Size > 0 {
			return true
		}
	}
	return false
}

// resume names the file and goes to where it was acknowledged.
func (g *generation) resume(id uint64) error {
	e, _ := g.c.checkpoint.Get(id)
	if err := g.file.Measure(e.Offset); err != nil {
		return err
	}
	offset, guard := e.Offset, e.Guard
	if e.LinesAt > 0 && e.LinesAt < offset {
		offset, guard = e.LinesAt, 0 // so that the ledger counts each line once
	}
	if err := g.file.Resume(offset, guard); err != nil {
		g.c.metrics.restarts.WithLabelValues("guard").Inc()
		g.c.log.Warn("file does not fit its checkpoint, reading it from its beginning",
			slog.String("path", g.found.Path), slog.Int64("offset", offset), slog.Any("error", err))
		offset, e = 0, checkpoint.Entry{}
	}
	g.begin(id, offset, e)
	g.c.log.Debug("file attached", slog.String("path", g.found.Path),
		slog.String("file_id", wire.FormatFileID(id)), slog.Int64("offset", offset))
	return nil
}

// begin opens the window at offset, up to which e tells what was counted.
func (g *generation) begin(id uint64, offset int64, e checkpoint.Entry) {
	if s := g.found.Saved; s != nil {
		offset = max(offset, s.Offset)
	}
	g.id, g.window = id, ship.NewFile(id, offset)
	g.out = g.c.ship.Writer(g.window)
	g.ledger.begin(offset, e.Lines, g.looked)
	g.c.attached(id)
	g.publish() // the pass may wait for the sink
}

// truncated makes the file a new generation of itself.
func (g *generation) truncated(ctx context.Context, now time.Time, cause error) error {
	g.c.metrics.restarts.WithLabelValues("truncated").Inc()
	g.c.log.Warn("file was truncated, reading it from its beginning",
		slog.String("path", g.found.Path), slog.Int64("read", g.file.Pos()), slog.Any("error", cause))
	if g.window != nil {
		if err := g.flushed(); err != nil {
			return err
		}
		lost := g.state.Size - g.file.Pos()
		g.c.detached(g.id)
		// A copy goes on where this one was (copytruncate).
		if lost > 0 && !g.ch.hasMate(g) {
			if err := g.gap(ctx, now, g.file.Pos(), lost, faas.GapTruncated); err != nil {
				g.c.attached(g.id)
				return err
			}
		}
	}
	g.drop()
	g.file.Restart()
	g.joiner.Reset()
	g.window, g.out, g.head, g.state, g.final, g.idleSince = nil, nil, 0, tail.State{}, false, time.Time{}
	g.ledger.begin(0, checkpoint.Counts{}, now)
	return nil
}

// hasMate reports whether another generation holds the same log.
func (ch *chain) hasMate(but *generation) bool {
	for _, g := range ch.gens {
		if g != but && g.head == but.head {
			return true
		}
	}
	return false
}

// entry is the generation's place in the checkpoint.
func (g *generation) entry(v *view, now time.Time) checkpoint.Entry {
	at := g.found
	offset := v.window.Committed()
	stored := g.ledger.acknowledged(offset, v.window.Refused())
	e := checkpoint.Entry{
		Offset: offset, Read: v.state.Size, Head: v.head, Key: at.Container.Key, Dev: at.Dev, Inode: at.Inode,
		Path: at.Path, Ref: at.Container.Ref, Seen: now, Lines: stored.Counts, LinesAt: stored.at,
	}
	if g.held > 0 && e.Offset >= g.held {
		e.Offset = g.held - 1
	}
	if at.Compressed || at.Saved != nil {
		return e // nobody changes it
	}
	old, ok := g.c.checkpoint.Get(v.id)
	if ok && old.Offset == e.Offset && old.Guard != 0 {
		e.Guard = old.Guard
	} else if guard, err := tail.Guard(at.File, e.Offset); err == nil {
		e.Guard = guard // a file that was closed or truncated has none
	}
	return e
}
